//! Strategic merge patch, with the merge keys of the built-in kinds that are served here.

use serde_json::{Map, Value};

use crate::refusal::{self, Refusal};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";

/// How the entries of a list find their counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListMerge {
    /// They do not: the list is replaced.
    Replace,
    /// By the value of a field.
    ByKey(&'static str),
    /// They are plain values of a set.
    AsSet,
}

/// The table of merge keys: `patchMergeKey` in the Go types, by the list's field and the field that holds it.
fn list_merge(parent: &str, field: &str) -> ListMerge {
    match (parent, field) {
        (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "env"
            | "imagePullSecrets",
        )
        | (_, "resourceClaims" | "secrets") => ListMerge::ByKey("name"),
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => {
            ListMerge::ByKey("containerPort")
        }
        ("spec", "ports") => ListMerge::ByKey("port"),
        (_, "volumeMounts") => ListMerge::ByKey("mountPath"),
        (_, "volumeDevices") => ListMerge::ByKey("devicePath"),
        (_, "hostAliases") => ListMerge::ByKey("ip"),
        (_, "podIPs" | "hostIPs") => ListMerge::ByKey("ip"),
        (_, "topologySpreadConstraints") => ListMerge::ByKey("topologyKey"),
        ("status", "conditions" | "addresses") => ListMerge::ByKey("type"),
        ("metadata", "ownerReferences") => ListMerge::ByKey("uid"),
        ("metadata", "finalizers") => ListMerge::AsSet,
        _ => ListMerge::Replace,
    }
}

/// Applies a patch to an object in place.
pub(crate) fn merge(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    merge_value(object, patch, "")
}

fn merge_value(target: &mut Value, patch: &Value, field: &str) -> Result<(), Refusal> {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = Value::Object(without_directives(patch));
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => {
            return Err(refusal::bad_request(format!(
                "unknown $patch directive {other:?}"
            )));
        }
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return Ok(());
    };
    if let Some(retained) = patch.get(RETAIN_KEYS).and_then(Value::as_array) {
        target.retain(|name, _| retained.iter().any(|kept| kept == name.as_str()));
    }
    for (name, removed) in patch
        .iter()
        .filter_map(|(name, value)| name.strip_prefix(DELETE_PREFIX).map(|name| (name, value)))
    {
        if let (Some(Value::Array(entries)), Value::Array(removed)) =
            (target.get_mut(name), removed)
        {
            entries.retain(|entry| !removed.contains(entry));
        }
    }
    let order_of = |name: &str| {
        patch
            .get(&format!("{ORDER_PREFIX}{name}"))
            .and_then(Value::as_array)
    };
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        merge_field(target, name, value, order_of(name), field)?;
    }
    for name in patch
        .keys()
        .filter_map(|name| name.strip_prefix(ORDER_PREFIX))
    {
        if let (None, Some(order), Some(Value::Array(entries))) =
            (patch.get(name), order_of(name), target.get_mut(name))
        {
            let server = entries.clone();
            arrange(entries, order, &server, list_merge(field, name));
        }
    }
    Ok(())
}

fn merge_field(
    target: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    order: Option<&Vec<Value>>,
    parent: &str,
) -> Result<(), Refusal> {
    match value {
        Value::Null => {
            target.remove(name);
        }
        Value::Object(patch) => {
            if patch.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                target.remove(name);
            } else {
                merge_value(target.entry(name).or_insert(Value::Null), value, name)?;
            }
        }
        Value::Array(patch) => {
            let entries = target
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            let by = list_merge(parent, name);
            match (by, entries) {
                (ListMerge::Replace, entries) => *entries = value.clone(),
                (_, Value::Array(entries)) => {
                    let server = entries.clone();
                    let replaced = merge_list(entries, patch, by, name)?;
                    if !replaced {
                        arrange(entries, order.unwrap_or(patch), &server, by);
                    }
                }
                (_, entries) => *entries = value.clone(),
            }
        }
        plain => {
            target.insert(name.to_owned(), plain.clone());
        }
    }
    Ok(())
}

/// Merges entries by key or as a set; true if the patch replaced the whole list.
fn merge_list(
    entries: &mut Vec<Value>,
    patch: &[Value],
    by: ListMerge,
    field: &str,
) -> Result<bool, Refusal> {
    let directive = |entry: &Value| {
        entry
            .get(DIRECTIVE)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if patch
        .iter()
        .any(|entry| directive(entry).as_deref() == Some("replace"))
    {
        *entries = patch
            .iter()
            .filter(|entry| directive(entry).is_none())
            .cloned()
            .collect();
        return Ok(true);
    }
    let ListMerge::ByKey(key) = by else {
        for entry in patch {
            if !entries.contains(entry) {
                entries.push(entry.clone());
            }
        }
        return Ok(false);
    };
    for change in patch {
        let Some(id) = change.get(key) else {
            // The real server answers so too: it takes this for an error of its own.
            let why = format!("map: {change} does not contain declared merge key: {key}");
            return Err(refusal::plain(500, "", why));
        };
        if directive(change).as_deref() == Some("delete") {
            entries.retain(|entry| entry.get(key) != Some(id));
            continue;
        }
        match entries.iter_mut().find(|entry| entry.get(key) == Some(id)) {
            Some(entry) => merge_value(entry, change, field)?,
            None => {
                let mut entry = Value::Object(Map::new());
                merge_value(&mut entry, change, field)?;
                entries.push(entry);
            }
        }
    }
    Ok(false)
}

/// Orders a merged list as the API server does: what the patch names in the patch's order,
/// the rest as it was, and the rest before the named only where the server had it so.
fn arrange(entries: &mut Vec<Value>, order: &[Value], server: &[Value], by: ListMerge) {
    let same = |one: &Value, other: &Value| match by {
        ListMerge::ByKey(key) => one.get(key).is_some() && one.get(key) == other.get(key),
        ListMerge::AsSet | ListMerge::Replace => one == other,
    };
    let rank = |list: &[Value], entry: &Value| list.iter().position(|other| same(other, entry));
    let (mut named, rest): (Vec<Value>, Vec<Value>) = entries
        .drain(..)
        .partition(|entry| rank(order, entry).is_some());
    named.sort_by_key(|entry| rank(order, entry));
    let mut named = named.into_iter().peekable();
    for entry in rest {
        while let Some(next) =
            named.next_if(|next| match (rank(server, &entry), rank(server, next)) {
                (Some(of_rest), Some(of_named)) => of_named < of_rest,
                _ => true,
            })
        {
            entries.push(next);
        }
        entries.push(entry);
    }
    entries.extend(named);
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

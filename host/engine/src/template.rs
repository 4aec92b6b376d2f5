//! Whether two pod templates are the same (REC-011): compared as the API server defaults them, without what a
//! controller puts into a set's template.

use serde_json::Value;

use crate::quantity::same_amount;
use crate::{hash, keys};

/// Identity of a template as it stands in a ReplicaSet: equal exactly when the templates mean the same.
///
/// Taken out before: the hash label, the metadata that the annotation `ephemeral-metadata` (KEY-009) says was injected,
/// the anti-affinity term that a Rollout adds (CA-016), the deprecated `serviceAccount`, and nulls. What is empty because
/// of that is taken out, too; what is empty otherwise may mean something: an empty `namespaceSelector` takes every
/// namespace, an absent one only the pod's own.
pub fn identity(template: &Value, ephemeral: Option<&str>) -> String {
    let mut template = template.clone();
    if let Some(labels) = object_at(&mut template, &["metadata", "labels"]) {
        labels.remove(keys::POD_TEMPLATE_HASH);
    }
    if let Some(injected) = ephemeral.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        for part in ["labels", "annotations"] {
            let names = injected.get(part).and_then(Value::as_object);
            if let (Some(names), Some(present)) =
                (names, object_at(&mut template, &["metadata", part]))
            {
                present.retain(|name, _| !names.contains_key(name));
            }
        }
    }
    if let Some(spec) = object_at(&mut template, &["spec"]) {
        spec.remove("serviceAccount");
    }
    remove_injected_anti_affinity(&mut template);
    for path in [&["metadata", "labels"], &["metadata", "annotations"]] {
        remove_empty(&mut template, path);
    }
    hash::template_source(&template)
}

/// Identity of a template as somebody wrote it, for one that says everything which the API server would add: `undo`
/// writes such a one. None where it cannot be compared like that, because a deprecated name stands for the other one.
pub fn identity_as_written(template: &Value) -> Option<String> {
    let spec = template.get("spec")?;
    let account = spec.get("serviceAccount").filter(|name| !name.is_null());
    let told = account.is_none() || account == spec.get("serviceAccountName");
    told.then(|| identity(template, None))
}

/// Whether a live template has everything that the source sets.
///
/// For when the API server cannot be asked to complete the source: what the live template has beyond it is taken for
/// defaults. Items with names are found by name, others by position.
pub fn covers(source: &Value, live: &Value) -> bool {
    covered(source, Some(live), false)
}

/// `quantities`: texts below are amounts, which the API server writes in its own way.
fn covered(source: &Value, live: Option<&Value>, quantities: bool) -> bool {
    let Some(live) = live else {
        return is_zero(source);
    };
    match (source, live) {
        (Value::Null, _) => true,
        (Value::Object(source), Value::Object(live)) => source.iter().all(|(name, value)| {
            let amounts = quantities
                || matches!(
                    name.as_str(),
                    "limits" | "requests" | "overhead" | "sizeLimit" | "divisor"
                );
            covered(value, live.get(name), amounts)
        }),
        (Value::Array(source), Value::Array(live)) => {
            let name = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
            if !source.is_empty() && source.iter().all(|item| name(item).is_some()) {
                let named = |wanted: &Value| live.iter().find(|item| name(item) == name(wanted));
                source.iter().all(|item| {
                    named(item).is_some_and(|live| covered(item, Some(live), quantities))
                })
            } else {
                source.len() == live.len()
                    && source
                        .iter()
                        .zip(live)
                        .all(|(item, live)| covered(item, Some(live), quantities))
            }
        }
        (source, live) => source == live || (quantities && same_amount(source, live)),
    }
}

/// What the API server leaves out: nulls, empty lists and maps, and zeros.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

/// Follows field names to an object.
fn object_at<'a>(
    value: &'a mut Value,
    path: &[&str],
) -> Option<&'a mut serde_json::Map<String, Value>> {
    path.iter()
        .try_fold(value, |value, name| value.get_mut(*name))?
        .as_object_mut()
}

/// Removes terms whose only expression is `rollouts-pod-template-hash In [..]`: only a Rollout writes those.
fn remove_injected_anti_affinity(template: &mut Value) {
    const ANTI_AFFINITY: [&str; 3] = ["spec", "affinity", "podAntiAffinity"];
    let Some(anti) = object_at(template, &ANTI_AFFINITY) else {
        return;
    };
    let injected = |term: &Value| {
        let expressions = term
            .pointer("/labelSelector/matchExpressions")
            .and_then(Value::as_array);
        expressions.is_some_and(|list| {
            matches!(list.as_slice(), [only] if only.get("key").and_then(Value::as_str) == Some(keys::POD_TEMPLATE_HASH))
        })
    };
    let mut removed = false;
    for (list, inner) in [
        ("requiredDuringSchedulingIgnoredDuringExecution", None),
        (
            "preferredDuringSchedulingIgnoredDuringExecution",
            Some("podAffinityTerm"),
        ),
    ] {
        let Some(Value::Array(terms)) = anti.get_mut(list) else {
            continue;
        };
        let count = terms.len();
        terms.retain(|term| {
            let term = inner.map_or(Some(term), |inner| term.get(inner));
            !term.is_some_and(injected)
        });
        if terms.len() < count {
            removed = true;
            if terms.is_empty() {
                anti.remove(list);
            }
        }
    }
    if removed {
        remove_empty(template, &ANTI_AFFINITY);
        remove_empty(template, &["spec", "affinity"]);
    }
}

/// Removes an object or list that has nothing in it.
fn remove_empty(template: &mut Value, path: &[&str]) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    if let Some(parent) = object_at(template, parents)
        && parent.get(*last).is_some_and(is_empty)
    {
        parent.remove(*last);
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

//! Objects in memory, as the plugins of a test see and change them.

use std::collections::{BTreeMap, BTreeSet};

use json_patch::Patch;
use serde_json::Value;

use crate::{
    Change, Edit, FailedChange, Object, ObjectRef, Read, ReadOutcome, ReadResult, Selector,
};

/// One YAML document as JSON.
pub fn yaml(text: &str) -> Value {
    match serde_saphyr::from_str(text) {
        Ok(value) => value,
        Err(error) => panic!("the test's YAML cannot be read: {error}\n{text}"),
    }
}

/// The documents of a YAML stream, separated by lines of `---`, as JSON. Empty ones are left out.
pub fn yaml_documents(text: &str) -> Vec<Value> {
    text.split("\n---")
        .filter(|document| !document.trim().is_empty())
        .map(yaml)
        .collect()
}

/// Kind, namespace and name. Two versions of a kind are the same object.
type Key = (String, String, String);

/// Objects in memory. Every change of an object gives it a new resourceVersion.
#[derive(Debug, Default)]
pub struct Cluster {
    objects: BTreeMap<Key, Value>,
    version: u64,
    not_served: BTreeSet<String>,
}

impl Cluster {
    /// Puts an object there, replacing one of the same kind, namespace and name.
    ///
    /// # Panics
    /// When it has no kind, namespace or name.
    pub fn put(&mut self, mut object: Value) {
        let key = (
            text(&object, "/kind"),
            text(&object, "/metadata/namespace"),
            text(&object, "/metadata/name"),
        );
        assert!(
            !key.0.is_empty() && !key.1.is_empty() && !key.2.is_empty(),
            "not the identity of an object: {key:?}"
        );
        self.version += 1;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert(
                "resourceVersion".to_owned(),
                self.version.to_string().into(),
            );
        }
        self.objects.insert(key, object);
    }

    /// Takes an object away.
    pub fn remove(&mut self, kind: &str, namespace: &str, name: &str) {
        self.objects
            .remove(&(kind.to_owned(), namespace.to_owned(), name.to_owned()));
    }

    /// From now on this kind is not served, as if its CRD were missing.
    pub fn stop_serving(&mut self, kind: &str) {
        self.not_served.insert(kind.to_owned());
    }

    /// An object without its resourceVersion, to be compared; null when it does not exist.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Value {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let mut object = self.objects.get(&key).cloned().unwrap_or_default();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        object
    }

    /// The answer to a question that is asked on behalf of a subject in this namespace.
    pub fn answer(&self, read: &Read, namespace: &str) -> ReadResult {
        ReadResult {
            id: read.id.clone(),
            outcome: self.outcome(read, namespace),
        }
    }

    fn outcome(&self, read: &Read, namespace: &str) -> ReadOutcome {
        if self.not_served.contains(&read.kind) {
            return ReadOutcome::NotServed(
                "the server could not find the requested resource".to_owned(),
            );
        }
        let namespace = read.namespace.as_deref().unwrap_or(namespace);
        let found = self.objects.iter().filter(|((kind, place, name), object)| {
            *kind == read.kind && place == namespace && selects(&read.select, name, object)
        });
        ReadOutcome::Found(
            found
                .map(|(key, object)| as_read(key, &read.api_version, object))
                .collect(),
        )
    }

    /// Applies changes in order up to the first that fails, and says which did not happen.
    ///
    /// # Panics
    /// When a change would change nothing, or is no JSON.
    pub fn apply(&mut self, changes: &[Change], namespace: &str) -> Vec<FailedChange> {
        for (index, change) in changes.iter().enumerate() {
            if let Err(message) = self.apply_one(change, namespace) {
                return changes
                    .iter()
                    .skip(index)
                    .map(|change| FailedChange {
                        target: change.target.clone(),
                        message: message.clone(),
                    })
                    .collect();
            }
        }
        Vec::new()
    }

    fn apply_one(&mut self, change: &Change, namespace: &str) -> Result<(), String> {
        let ObjectRef {
            kind,
            namespace: place,
            name,
            ..
        } = &change.target;
        let key = (
            kind.clone(),
            place.clone().unwrap_or_else(|| namespace.to_owned()),
            name.clone(),
        );
        let before = self.objects.get(&key);
        if let (Some(wanted), Some(before)) = (&change.precondition, before)
            && text(before, "/metadata/resourceVersion") != *wanted
        {
            return Err(format!("{name} has changed"));
        }
        let after = match (&change.edit, before) {
            (Edit::Create(_), Some(_)) => return Err(format!("{name} already exists")),
            (Edit::Create(creation), None) => json(&creation.body),
            (Edit::Delete(_), _) => {
                self.objects.remove(&key);
                return Ok(());
            }
            (_, None) => return Err(format!("{name} not found")),
            (Edit::MergePatch(patch), Some(before)) => {
                let mut after = before.clone();
                json_patch::merge(&mut after, &json(patch));
                after
            }
            (Edit::JsonPatch(patch), Some(before)) => {
                let mut after = before.clone();
                let patch: Patch = match serde_json::from_value(json(patch)) {
                    Ok(patch) => patch,
                    Err(error) => panic!("no JSON patch: {error}: {patch}"),
                };
                json_patch::patch(&mut after, &patch).map_err(|error| error.to_string())?;
                after
            }
        };
        assert!(
            before != Some(&after),
            "a change that changes nothing: {change:?}"
        );
        self.put(after);
        Ok(())
    }
}

fn selects(selector: &Selector, name: &str, object: &Value) -> bool {
    let has = |map: &str, wanted: &crate::Pair| {
        let value = object
            .pointer(map)
            .and_then(|map| map.get(&wanted.name))
            .and_then(Value::as_str);
        value == Some(wanted.value.as_str())
    };
    match selector {
        Selector::Name(wanted) => wanted == name,
        Selector::Labels(labels) => labels.iter().all(|label| has("/metadata/labels", label)),
        Selector::Annotated(annotation) => has("/metadata/annotations", annotation),
    }
}

fn as_read((kind, namespace, name): &Key, api_version: &str, object: &Value) -> Object {
    // As an API server does, in the version that was asked for.
    let mut body = object.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.insert("apiVersion".to_owned(), api_version.into());
    }
    Object {
        key: ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.clone(),
            namespace: Some(namespace.clone()),
            name: name.clone(),
        },
        resource_version: text(object, "/metadata/resourceVersion"),
        body: body.to_string(),
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn json(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => panic!("no JSON: {error}: {text}"),
    }
}

//! The scale subresource: an `autoscaling/v1` Scale in front of an object's replicas.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Part, Server, WriteOptions};
use crate::json;
use crate::kinds::{Kind, Scale, built_in};
use crate::patch::Patch;
use crate::refusal::{self, FieldError, Refusal};
use crate::selectors::LabelSelector;
use crate::store::Key;

impl Server {
    /// The Scale of an object.
    pub(crate) fn get_scale(&self, kind: &Kind, key: &Key) -> Result<Value, Refusal> {
        let scale = kind.scale.as_ref().ok_or_else(refusal::no_such_path)?;
        Ok(of(scale, self.get(kind, key)?.as_ref()))
    }

    /// Replaces the Scale of an object.
    pub(crate) fn update_scale(
        &mut self,
        kind: &Arc<Kind>,
        version: &str,
        key: &Key,
        body: Value,
        options: WriteOptions,
    ) -> Result<Value, Refusal> {
        let scale = kind.scale.clone().ok_or_else(refusal::no_such_path)?;
        let wanted = built_in::decode_scale(&body).map_err(|why| {
            refusal::bad_request(format!("the body cannot be handled as a Scale: {why}"))
        })?;
        let replicas = json::number(&wanted, "/spec/replicas").unwrap_or_default();
        if replicas < 0 {
            return Err(refusal::invalid_as(
                "autoscaling",
                "Scale",
                &key.1,
                &[FieldError::invalid(
                    "spec.replicas",
                    &Value::from(replicas),
                    "must be greater than or equal to 0",
                )],
            ));
        }
        let object = self.get(kind, key)?;
        let mut changed = object.as_ref().clone();
        json::set(&mut changed, "apiVersion", kind.api_version(version));
        set_pointer(&mut changed, &scale.spec_replicas, Value::from(replicas));
        let metadata = json::child(&mut changed, "metadata");
        for field in ["resourceVersion", "uid"] {
            let given = json::text(&wanted, &format!("/metadata/{field}"));
            if given.is_empty() {
                json::restore(
                    metadata,
                    object.get("metadata").unwrap_or(&Value::Null),
                    field,
                );
            } else {
                json::set(metadata, field, given);
            }
        }
        let written = self.update(kind, version, key, Part::Main, changed, options)?;
        Ok(of(&scale, &written))
    }

    /// Patches the Scale of an object.
    pub(crate) fn patch_scale(
        &mut self,
        kind: &Arc<Kind>,
        version: &str,
        key: &Key,
        patch: &Patch,
        options: WriteOptions,
    ) -> Result<Value, Refusal> {
        let patched = patch.apply(&self.get_scale(kind, key)?)?;
        self.update_scale(kind, version, key, patched, options)
    }
}

fn of(scale: &Scale, object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let replicas = |pointer: &str| json::number(object, pointer).unwrap_or_default();
    let mut spec = json!({});
    // Zero is left out, as Go's omitempty does.
    if replicas(&scale.spec_replicas) != 0 {
        json::set(&mut spec, "replicas", replicas(&scale.spec_replicas));
    }
    let mut status = json!({"replicas": replicas(&scale.status_replicas)});
    let selector = scale
        .selector
        .as_deref()
        .and_then(|pointer| object.pointer(pointer));
    let selector = match selector {
        Some(Value::String(text)) => Some(text.clone()),
        Some(selector) => LabelSelector::from_object(selector).map(|selector| selector.to_string()),
        None => None,
    };
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        json::set(&mut status, "selector", selector);
    }
    json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    })
}

/// Sets what a pointer of plain field names leads to.
fn set_pointer(object: &mut Value, pointer: &str, value: Value) {
    let mut names = pointer.trim_start_matches('/').split('/').peekable();
    let mut at = object;
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            json::set(at, name, value);
            return;
        }
        at = json::child(at, name);
    }
}

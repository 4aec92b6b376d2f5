//! The difference between two statuses as a JSON merge patch (RFC 7386), with explicit nulls.
//!
//! A serialised status would never clear `abort`, `pauseConditions` or `promoteFull`, and could overwrite what somebody
//! wrote meanwhile. Fields that this version does not know appear on neither side and are left alone.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The patch that turns an object with `old` as its status into one with `new`; None when nothing differs.
pub fn diff<T: Serialize>(old: &T, new: &T) -> Option<Value> {
    let old = serde_json::to_value(old).unwrap_or_default();
    let new = serde_json::to_value(new).unwrap_or_default();
    let patch = between(&old, &new)?;
    Some(json!({ "status": patch }))
}

fn between(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (name, value) in new {
        match old.get(name) {
            None => {
                // An empty object that was absent means nothing.
                if value.as_object().is_none_or(|fields| !fields.is_empty()) {
                    patch.insert(name.clone(), value.clone());
                }
            }
            Some(before) => {
                if let Some(change) = between(before, value) {
                    patch.insert(name.clone(), change);
                }
            }
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

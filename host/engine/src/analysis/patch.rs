//! The difference of two JSON values as a merge patch (RFC 7386), with explicit nulls for what is gone.

use serde_json::{Map, Value};

/// The patch that makes `after` of `before`; None where they are equal.
///
/// A null in `after` is the same as an absent field, since a merge patch cannot say otherwise.
pub(super) fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let changes = changes(before, after);
            (!changes.is_empty()).then_some(Value::Object(changes))
        }
        _ if before == after => None,
        _ => Some(after.clone()),
    }
}

fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut changes = Map::new();
    for (name, value) in after.iter().filter(|(_, value)| !value.is_null()) {
        let change = match before.get(name) {
            None | Some(Value::Null) => Some(value.clone()),
            Some(old) => merge_patch(old, value),
        };
        changes.extend(change.map(|change| (name.clone(), change)));
    }
    for (name, _) in before.iter().filter(|(_, value)| !value.is_null()) {
        if after.get(name).is_none_or(Value::is_null) {
            changes.insert(name.clone(), Value::Null);
        }
    }
    changes
}

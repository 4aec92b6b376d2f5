//! Leaves out what Go leaves out: a field with `omitempty` and no pointer is not written when it has its zero value.
//!
//! Two templates that differ in `paused: false` alone are the same template once they are stored,
//! and whoever compares templates relies on that.

use serde_json::Value;

/// Maps of texts: left out when empty, and their texts are data, not fields.
const MAPS: &[&str] = &[
    "annotations",
    "binaryData",
    "data",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "overhead",
    "requests",
    "selector",
    "stringData",
];
/// Lists that are written even when empty.
const REQUIRED_LISTS: &[&str] = &["containers"];
/// Texts behind a pointer, for which empty means something.
const POINTED_TEXTS: &[&str] = &["service", "storageClassName", "type", "volumeName"];
/// Flags that are no pointers.
const FLAGS: &[&str] = &[
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "paused",
    "publishNotReadyAddresses",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
];
/// Numbers that are no pointers.
const NUMBERS: &[&str] = &[
    "failureThreshold",
    "healthCheckNodePort",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
    "periodSeconds",
    "successThreshold",
    "timeoutSeconds",
];

/// Takes zero values out of an object of a built-in kind.
pub(super) fn zero_values(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| !is_omitted(name, value));
            for (name, value) in fields.iter_mut() {
                // A label selector is called like a Service's map of labels, and is a structure.
                let is_map = MAPS.contains(&name.as_str())
                    && value
                        .as_object()
                        .is_some_and(|map| map.values().all(Value::is_string));
                if !is_map {
                    zero_values(value);
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(zero_values),
        _ => {}
    }
}

fn is_omitted(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty() && !REQUIRED_LISTS.contains(&name),
        Value::Object(map) => map.is_empty() && MAPS.contains(&name) && name != "selector",
        Value::String(text) => text.is_empty() && !POINTED_TEXTS.contains(&name),
        Value::Bool(flag) => !flag && FLAGS.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && NUMBERS.contains(&name),
    }
}

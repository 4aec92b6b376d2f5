//! Reading and writing fields of JSON objects without ever panicking on their shape.

use serde_json::{Map, Value};

/// The text at a JSON pointer such as `/metadata/name`, or "".
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a JSON pointer, if there is one.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// True if the pointer leads to `true`.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// The entries at a JSON pointer; none if there is no array.
pub(crate) fn entries<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The object behind a value; what was there before is replaced if it was no object.
pub(crate) fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        #[expect(clippy::unreachable, reason = "made an object just above")]
        _ => unreachable!(),
    }
}

/// The object in a field, made if it is not there.
pub(crate) fn child<'a>(parent: &'a mut Value, name: &str) -> &'a mut Value {
    let child = fields(parent)
        .entry(name)
        .or_insert_with(|| Value::Object(Map::new()));
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    child
}

/// Sets a field.
pub(crate) fn set(parent: &mut Value, name: &str, value: impl Into<Value>) {
    fields(parent).insert(name.to_owned(), value.into());
}

/// Sets a field that is absent or null.
pub(crate) fn default(parent: &mut Value, name: &str, value: impl Into<Value>) {
    let fields = fields(parent);
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), value.into());
    }
}

/// Takes a field out.
pub(crate) fn take(parent: &mut Value, name: &str) -> Option<Value> {
    parent
        .as_object_mut()
        .and_then(|fields| fields.remove(name))
}

/// Puts a field as it is in `from`: set if it is there, removed if it is not.
pub(crate) fn restore(into: &mut Value, from: &Value, name: &str) {
    match from.get(name) {
        Some(value) => set(into, name, value.clone()),
        None => {
            take(into, name);
        }
    }
}

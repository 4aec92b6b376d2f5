//! From a JSON Schema, as `schemars` derives it or a plugin ships it, to a *structural* OpenAPI schema, the only kind
//! that a CustomResourceDefinition may hold. What cannot be expressed there becomes "any value, kept as it is".
//! What the schemas say is the business of the types.

use serde_json::{Map, Value, json};

/// Keywords that mean the same on both sides and are copied.
const COPIED: &[&str] = &[
    "description",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "multipleOf",
    "required",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

/// Formats that the API server knows; it warns about every other one.
const FORMATS: &[&str] = &["int32", "int64", "float", "double", "date-time"];

/// Deeper than any configuration; a schema that nests further refers to itself.
const MAX_DEPTH: usize = 32;

/// Makes a schema structural. `$ref` is resolved within the document; defaults are left out, because the API server
/// would write them into the user's objects; `null` is left out, because the API server takes `null` for "absent".
#[must_use]
pub fn structural(schema: &Value) -> Value {
    convert(schema, schema, MAX_DEPTH)
}

/// Any value, kept as it is.
pub(crate) fn anything() -> Value {
    json!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// An integer or a text.
fn int_or_string() -> Value {
    json!({
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "x-kubernetes-int-or-string": true,
    })
}

fn convert(node: &Value, root: &Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return anything();
    };
    let Some(merged) = merge(node, root, MAX_DEPTH) else {
        return anything();
    };
    if merged.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        let mut result = int_or_string();
        copy(&merged, "description", &mut result);
        return result;
    }
    if let Some(result) = convert_alternatives(&merged, root, depth) {
        return result;
    }

    let mut result = json!({});
    for keyword in COPIED {
        copy(&merged, keyword, &mut result);
    }
    convert_limits(&merged, &mut result);
    convert_choices(&merged, &mut result);
    if let Some(format) = merged.get("format").and_then(Value::as_str)
        && FORMATS.contains(&format)
    {
        put(&mut result, "format", format.into());
    }
    match type_of(&merged) {
        Type::One(name) => {
            put(&mut result, "type", name.as_str().into());
            match name.as_str() {
                "object" => convert_object(&merged, root, depth, &mut result),
                "array" => convert_array(&merged, root, depth, &mut result),
                _ => {}
            }
            result
        }
        Type::IntOrString => {
            let mut result = int_or_string();
            copy(&merged, "description", &mut result);
            result
        }
        Type::Any => {
            let mut result = anything();
            copy(&merged, "description", &mut result);
            result
        }
    }
}

/// The node with `$ref` and `allOf` taken in; none when it says nothing or cannot be resolved.
fn merge(node: &Value, root: &Value, depth: usize) -> Option<Map<String, Value>> {
    let depth = depth.checked_sub(1)?;
    let fields = node.as_object()?;
    let mut merged = Map::new();
    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
        merged = merge(root.pointer(reference.strip_prefix('#')?)?, root, depth)?;
    }
    for part in fields
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        unite(&mut merged, merge(part, root, depth)?);
    }
    let own = fields
        .iter()
        .filter(|(keyword, _)| !matches!(keyword.as_str(), "$ref" | "allOf"));
    unite(
        &mut merged,
        own.map(|(keyword, value)| (keyword.clone(), value.clone()))
            .collect(),
    );
    Some(merged)
}

/// Adds the keywords of `more`: properties and required fields are united, everything else is replaced.
fn unite(into: &mut Map<String, Value>, more: Map<String, Value>) {
    for (keyword, value) in more {
        match (into.get_mut(&keyword), value) {
            (Some(Value::Object(old)), Value::Object(new)) if keyword == "properties" => {
                old.extend(new)
            }
            (Some(Value::Array(old)), Value::Array(new)) if keyword == "required" => {
                old.extend(new)
            }
            (_, value) => drop(into.insert(keyword, value)),
        }
    }
}

/// `anyOf` and `oneOf`: one alternative besides `null` is that alternative; texts become one list of choices; a number
/// or a text is what Kubernetes calls int-or-string; anything else cannot be told apart and is kept as it is.
fn convert_alternatives(merged: &Map<String, Value>, root: &Value, depth: usize) -> Option<Value> {
    let listed = merged
        .get("anyOf")
        .or_else(|| merged.get("oneOf"))?
        .as_array()?;
    let alternatives: Vec<_> = listed
        .iter()
        .filter(|node| node.get("type") != Some(&"null".into()))
        .collect();

    let mut result = if let [only] = alternatives.as_slice() {
        // The keywords beside `anyOf` hold as well.
        let mut both = merge(only, root, MAX_DEPTH)?;
        let beside = merged
            .iter()
            .filter(|(keyword, _)| !matches!(keyword.as_str(), "anyOf" | "oneOf"));
        unite(
            &mut both,
            beside
                .map(|(keyword, value)| (keyword.clone(), value.clone()))
                .collect(),
        );
        return Some(convert(&Value::Object(both), root, depth));
    } else {
        let converted: Vec<Value> = alternatives
            .iter()
            .map(|node| convert(node, root, depth))
            .collect();
        let types: Option<Vec<&str>> = converted
            .iter()
            .map(|node| node.get("type").and_then(Value::as_str))
            .collect();
        match types.as_deref() {
            Some(["integer", "string"] | ["string", "integer"]) => int_or_string(),
            Some(types) if types.iter().all(|name| *name == "string") => {
                let choices: Option<Vec<&Vec<Value>>> = converted
                    .iter()
                    .map(|node| node.get("enum").and_then(Value::as_array))
                    .collect();
                let mut text = json!({ "type": "string" });
                if let Some(choices) = choices {
                    put(
                        &mut text,
                        "enum",
                        choices.into_iter().flatten().cloned().collect(),
                    );
                }
                text
            }
            Some(types) if types.iter().all(|name| *name == "object") => {
                json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
            }
            _ => anything(),
        }
    };
    copy(merged, "description", &mut result);
    Some(result)
}

fn convert_object(merged: &Map<String, Value>, root: &Value, depth: usize, result: &mut Value) {
    let properties = merged.get("properties").and_then(Value::as_object);
    match properties {
        Some(properties) if !properties.is_empty() => {
            let converted = properties
                .iter()
                .map(|(name, node)| (name.clone(), convert(node, root, depth)));
            put(result, "properties", Value::Object(converted.collect()));
            // A structural schema may have either, not both: keep what the map would have allowed.
            if matches!(
                merged.get("additionalProperties"),
                Some(Value::Object(_) | Value::Bool(true))
            ) {
                put(result, "x-kubernetes-preserve-unknown-fields", true.into());
            }
        }
        _ => match merged.get("additionalProperties") {
            Some(node @ Value::Object(_)) => {
                put(result, "additionalProperties", convert(node, root, depth));
            }
            Some(Value::Bool(true)) => {
                put(result, "x-kubernetes-preserve-unknown-fields", true.into())
            }
            _ => {}
        },
    }
}

fn convert_array(merged: &Map<String, Value>, root: &Value, depth: usize, result: &mut Value) {
    let items = merged
        .get("items")
        .map_or_else(anything, |items| convert(items, root, depth));
    put(result, "items", items);
}

/// Exclusive limits are numbers in JSON Schema and flags in OpenAPI.
fn convert_limits(merged: &Map<String, Value>, result: &mut Value) {
    for (exclusive, limit) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        match merged.get(exclusive) {
            Some(number @ Value::Number(_)) => {
                put(result, limit, number.clone());
                put(result, exclusive, true.into());
            }
            Some(flag @ Value::Bool(true)) => put(result, exclusive, flag.clone()),
            _ => {}
        }
    }
}

/// `const` does not exist in OpenAPI, and `null` is no choice.
fn convert_choices(merged: &Map<String, Value>, result: &mut Value) {
    let listed = merged.get("enum").and_then(Value::as_array).cloned();
    let choices = listed.or_else(|| merged.get("const").map(|only| vec![only.clone()]));
    if let Some(choices) = choices {
        put(
            result,
            "enum",
            choices
                .into_iter()
                .filter(|choice| !choice.is_null())
                .collect(),
        );
    }
}

enum Type {
    One(String),
    IntOrString,
    Any,
}

fn type_of(merged: &Map<String, Value>) -> Type {
    let names: Vec<&str> = match merged.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        // Without a type: a list of texts to choose from, or fields, say enough.
        _ if merged.contains_key("properties") => vec!["object"],
        _ => match merged.get("const").or_else(|| merged.get("enum")?.get(0)) {
            Some(Value::String(_)) => vec!["string"],
            _ => vec![],
        },
    };
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "null").collect();
    match names.as_slice() {
        [name] => Type::One((*name).to_owned()),
        ["integer", "string"] | ["string", "integer"] => Type::IntOrString,
        _ => Type::Any,
    }
}

fn copy(from: &Map<String, Value>, keyword: &str, to: &mut Value) {
    if let Some(value) = from.get(keyword) {
        put(to, keyword, value.clone());
    }
}

fn put(to: &mut Value, keyword: &str, value: Value) {
    if let Value::Object(fields) = to {
        fields.insert(keyword.to_owned(), value);
    }
}

//! From JSON Schema to what a CustomResourceDefinition may hold.

use serde_json::{Value, json};

use crate::structural;

/// Panics where the API server would refuse a schema.
pub(super) fn assert_structural(node: &Value, path: &str) {
    const KNOWN: &[&str] = &[
        "type",
        "description",
        "format",
        "enum",
        "pattern",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "anyOf",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type",
        "x-kubernetes-validations",
    ];
    let fields = node
        .as_object()
        .unwrap_or_else(|| panic!("{path} is no schema"));
    for keyword in fields.keys() {
        assert!(KNOWN.contains(&keyword.as_str()), "{path}: {keyword}");
    }
    let int_or_string = node["x-kubernetes-int-or-string"] == true;
    let any = node["x-kubernetes-preserve-unknown-fields"] == true;
    assert!(
        node["type"].is_string() || int_or_string || any,
        "{path} has no type"
    );
    assert!(
        !(int_or_string && fields.contains_key("type")),
        "{path}: int-or-string with a type"
    );
    // Alternatives may only validate; the one pattern that may name types is that of int-or-string.
    if let Some(alternatives) = fields.get("anyOf") {
        assert!(int_or_string, "{path}: anyOf");
        assert_eq!(
            alternatives,
            &json!([{ "type": "integer" }, { "type": "string" }])
        );
    }
    assert!(
        !(fields.contains_key("properties") && fields.contains_key("additionalProperties")),
        "{path}: properties and additionalProperties"
    );
    let properties = fields.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties {
        assert_eq!(node["type"], "object", "{path}");
        for (name, property) in properties {
            assert_structural(property, &format!("{path}.{name}"));
        }
    }
    for name in fields
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let known =
            properties.is_some_and(|properties| properties.contains_key(name.as_str().unwrap()));
        assert!(known, "{path} requires {name}, which it does not have");
    }
    if node["type"] == "array" {
        assert!(fields.contains_key("items"), "{path} has no items");
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner_node) = fields.get(inner) {
            assert_structural(inner_node, &format!("{path}.{inner}"));
        }
    }
}

fn check(schema: Value, expected: Value) {
    let converted = structural(&schema);
    assert_eq!(converted, expected);
    assert_structural(&converted, "schema");
    // Done once or twice, it is the same.
    assert_eq!(structural(&converted), converted);
}

fn any() -> Value {
    json!({ "x-kubernetes-preserve-unknown-fields": true })
}

#[test]
fn what_openapi_has_is_kept() {
    check(
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Config",
            "type": "object", "required": ["port"], "additionalProperties": false,
            "properties": {
                "port": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535, "default": 80 },
                "hosts": { "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^a" } },
                "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            },
        }),
        json!({
            "type": "object", "required": ["port"],
            "properties": {
                "port": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535 },
                "hosts": { "type": "array", "minItems": 1, "items": { "type": "string", "pattern": "^a" } },
                "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            },
        }),
    );
}

#[test]
fn null_is_no_type_of_its_own() {
    check(
        json!({ "type": ["integer", "null"], "format": "int64" }),
        json!({ "type": "integer", "format": "int64" }),
    );
    check(
        json!({ "type": "string", "nullable": true }),
        json!({ "type": "string" }),
    );
    check(
        json!({ "description": "outer", "anyOf": [{ "type": "object", "description": "inner" }, { "type": "null" }] }),
        json!({ "type": "object", "description": "outer" }),
    );
}

#[test]
fn references_are_resolved() {
    check(
        json!({
            "type": "object",
            "properties": { "a": { "$ref": "#/$defs/A", "description": "outer" } },
            "$defs": { "A": { "type": "string", "description": "inner" } },
        }),
        json!({ "type": "object", "properties": { "a": { "type": "string", "description": "outer" } } }),
    );
    check(
        json!({
            "allOf": [
                { "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } },
                { "required": ["b"], "properties": { "b": { "type": "boolean" } } },
            ],
        }),
        json!({
            "type": "object", "required": ["a", "b"],
            "properties": { "a": { "type": "string" }, "b": { "type": "boolean" } },
        }),
    );
}

#[test]
fn choices_become_one_list() {
    let expected = json!({ "type": "string", "enum": ["GET", "PUT"] });
    check(
        json!({ "type": "string", "enum": ["GET", "PUT"] }),
        expected.clone(),
    );
    check(json!({ "enum": ["GET", "PUT", null] }), expected.clone());
    check(
        json!({ "oneOf": [{ "const": "GET", "description": "d" }, { "type": "string", "enum": ["PUT"] }] }),
        expected,
    );
    check(
        json!({ "oneOf": [{ "const": "GET" }, { "type": "string" }] }),
        json!({ "type": "string" }),
    );
}

#[test]
fn a_number_or_a_text_is_int_or_string() {
    let expected = json!({
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "x-kubernetes-int-or-string": true,
    });
    check(
        json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] }),
        expected.clone(),
    );
    check(json!({ "type": ["integer", "string"] }), expected.clone());
    check(
        json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }, { "type": "null" }] }),
        expected.clone(),
    );
    check(expected.clone(), expected);
}

#[test]
fn limits_that_exclude_their_end_are_flags() {
    let expected = json!({ "type": "integer", "minimum": 0, "exclusiveMinimum": true });
    check(
        json!({ "type": "integer", "exclusiveMinimum": 0 }),
        expected.clone(),
    );
    check(expected.clone(), expected);
}

#[test]
fn formats_that_the_api_server_does_not_know_are_left_out() {
    check(
        json!({ "type": "integer", "format": "uint16", "minimum": 0 }),
        json!({ "type": "integer", "minimum": 0 }),
    );
    check(
        json!({ "type": "string", "format": "date-time" }),
        json!({ "type": "string", "format": "date-time" }),
    );
}

#[test]
fn what_cannot_be_said_is_kept_as_it_is() {
    check(json!({}), any());
    check(json!(true), any());
    check(json!({ "type": ["boolean", "string"] }), any());
    check(json!({ "$ref": "#/$defs/Missing" }), any());
    check(
        json!({ "anyOf": [{ "type": "boolean" }, { "type": "object" }] }),
        any(),
    );
    check(
        json!({ "type": "array" }),
        json!({ "type": "array", "items": any() }),
    );
    check(
        json!({ "description": "d", "oneOf": [{ "type": "object", "required": ["a"], "properties": { "a": {} } }, { "type": "object" }] }),
        json!({ "type": "object", "description": "d", "x-kubernetes-preserve-unknown-fields": true }),
    );
    check(
        json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": { "type": "string" } }),
        json!({
            "type": "object", "properties": { "a": { "type": "string" } },
            "x-kubernetes-preserve-unknown-fields": true,
        }),
    );
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let endless = json!({
        "type": "object",
        "properties": { "next": { "$ref": "#" } },
    });
    assert_structural(&structural(&endless), "schema");
    assert_eq!(structural(&json!({ "$ref": "#" })), any());
    assert_eq!(structural(&json!({ "allOf": [{ "$ref": "#" }] })), any());
}

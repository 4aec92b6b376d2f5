//! Holds an object against a schema, with the wording of the API server's validation.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;
use serde_json::{Map, Value};

use super::{Additional, Limits, Schema, join};
use crate::refusal::FieldError;

/// Collects what is wrong with a value.
pub(super) fn check(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() && schema.nullable {
        return;
    }
    if !has_type(schema, value) {
        let wanted = if schema.int_or_string {
            "integer,string"
        } else {
            &schema.kind
        };
        let found = type_of(value);
        errors.push(FieldError::wrong_type(
            path,
            &Value::from(found),
            &format!("{path} in body must be of type {wanted}: {found:?}"),
        ));
        check_choice(schema, value, path, errors);
        return;
    }
    check_choice(schema, value, path, errors);
    match value {
        Value::Object(fields) => check_object(schema, fields, path, errors),
        Value::Array(entries) => check_array(schema, entries, path, errors),
        Value::String(text) => check_text(schema, text, path, errors),
        Value::Number(number) => check_number(
            schema,
            number.as_f64().unwrap_or_default(),
            value,
            path,
            errors,
        ),
        Value::Null | Value::Bool(_) => {}
    }
    check_combinations(schema, value, path, errors);
}

/// The value must be one of those that the schema names, whatever its type is.
fn check_choice(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !schema.one_of_values.is_empty() && !schema.one_of_values.contains(value) {
        let known: Vec<String> = schema
            .one_of_values
            .iter()
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .collect();
        errors.push(FieldError::unsupported(path, value, &known));
    }
}

/// Collects what changed against the rules. Entries of lists have no counterpart before.
pub(super) fn check_transition(
    schema: &Schema,
    value: &Value,
    old: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if let Some(message) = &schema.immutable
        && value != old
    {
        errors.push(FieldError::invalid(path, value, message));
    }
    let (Value::Object(fields), Value::Object(before)) = (value, old) else {
        return;
    };
    for (name, value) in fields {
        let known = match (schema.properties.get(name), &schema.additional) {
            (Some(schema), _) => Some(schema),
            (None, Additional::Of(schema)) => Some(schema.as_ref()),
            (None, Additional::Any | Additional::Unspecified) => None,
        };
        if let (Some(known), Some(old)) = (known, before.get(name)) {
            check_transition(known, value, old, &join(path, name), errors);
        }
    }
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || is_integer(value);
    }
    match schema.kind.as_str() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_integer(value),
        "number" => value.is_number(),
        _ => true,
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_object(
    schema: &Schema,
    fields: &Map<String, Value>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    for name in &schema.required {
        if !fields.contains_key(name) {
            errors.push(FieldError::required(join(path, name), ""));
        }
    }
    for (name, value) in fields {
        let known = match (schema.properties.get(name), &schema.additional) {
            (Some(schema), _) => Some(schema),
            (None, Additional::Of(schema)) => Some(schema.as_ref()),
            (None, Additional::Any | Additional::Unspecified) => None,
        };
        if let Some(known) = known {
            check(known, value, &join(path, name), errors);
        }
    }
    check_limits(
        schema.fields,
        fields.len() as u64,
        "properties",
        path,
        errors,
    );
}

fn check_array(schema: &Schema, entries: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    check_limits(schema.count, entries.len() as u64, "items", path, errors);
    let mut seen: Vec<Value> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let at = format!("{path}[{index}]");
        if let Some(items) = &schema.items {
            check(items, entry, &at, errors);
        }
        let key = match schema.list_type.as_str() {
            "set" => entry.clone(),
            "map" => schema
                .list_keys
                .iter()
                .filter_map(|key| entry.get(key).map(|value| (key.clone(), value.clone())))
                .collect::<Map<_, _>>()
                .into(),
            _ => continue,
        };
        if seen.contains(&key) {
            errors.push(FieldError::duplicate(at, &key));
        } else {
            seen.push(key);
        }
    }
}

fn check_text(schema: &Schema, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let value = Value::from(text);
    let length = text.chars().count() as u64;
    // The first failure counts, as in the real server.
    if let Some(most) = schema.length.most.filter(|most| length > *most) {
        errors.push(FieldError {
            reason: "FieldValueTooLong",
            field: path.to_owned(),
            message: format!("Too long: may not be more than {most} bytes"),
        });
    } else if let Some(least) = schema.length.least.filter(|least| length < *least) {
        errors.push(FieldError::invalid(
            path,
            &value,
            &format!("{path} in body should be at least {least} chars long"),
        ));
    } else if let Some(pattern) = schema
        .pattern
        .as_ref()
        .filter(|pattern| !pattern.is_match(text))
    {
        errors.push(FieldError::invalid(
            path,
            &value,
            &format!("{path} in body should match '{}'", pattern.as_str()),
        ));
    }
    if schema.date_time && !is_date_time(text) {
        errors.push(FieldError::wrong_type(
            path,
            &value,
            &format!("{path} in body must be of type date-time: {text:?}"),
        ));
    }
}

/// The time of day in a `date-time`, in lower case. Any character may stand before the fraction, as in the real server.
static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$";
    Regex::new(pattern).ok()
});

/// Whether a text is a `date-time` to the API server: `IsDateTime` of kube-openapi, which looks at nothing that follows
/// another `t`.
fn is_date_time(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let mut parts = text.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    // jiff alone would take more, such as a date without dashes.
    date.len() == 10
        && date.parse::<Date>().is_ok()
        && TIME.as_ref().is_some_and(|form| form.is_match(time))
}

fn check_number(
    schema: &Schema,
    number: f64,
    value: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let mut wrong = |detail: String| {
        errors.push(FieldError::invalid(
            path,
            value,
            &format!("{path} in body should be {detail}"),
        ));
    };
    if let Some(bound) = schema.minimum {
        if bound.exclusive && number <= bound.value {
            wrong(format!("greater than {}", bound.value));
        } else if number < bound.value {
            wrong(format!("greater than or equal to {}", bound.value));
        }
    }
    if let Some(bound) = schema.maximum {
        if bound.exclusive && number >= bound.value {
            wrong(format!("less than {}", bound.value));
        } else if number > bound.value {
            wrong(format!("less than or equal to {}", bound.value));
        }
    }
    if let Some(factor) = schema.multiple_of
        && (number / factor).fract() != 0.0
    {
        wrong(format!("a multiple of {factor}"));
    }
}

fn check_limits(limits: Limits, size: u64, of: &str, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(least) = limits.least.filter(|least| size < *least) {
        errors.push(FieldError::invalid(
            path,
            &Value::from(size),
            &format!("{path} in body should have at least {least} {of}"),
        ));
    }
    if let Some(most) = limits.most.filter(|most| size > *most) {
        errors.push(FieldError {
            reason: "FieldValueTooMany",
            field: path.to_owned(),
            message: format!("Too many: {size}: must have at most {most} {of}"),
        });
    }
}

fn check_combinations(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for part in &schema.all_of {
        check(part, value, path, errors);
    }
    let matching = |parts: &[Schema]| {
        parts
            .iter()
            .filter(|part| {
                let mut found = Vec::new();
                check(part, value, path, &mut found);
                found.is_empty()
            })
            .count()
    };
    let mut wrong = |detail: &str| {
        errors.push(FieldError::invalid(
            path,
            value,
            &format!("{path} in body {detail}"),
        ));
    };
    if !schema.any_of.is_empty() && matching(&schema.any_of) == 0 {
        wrong("must validate at least one schema (anyOf)");
    }
    if !schema.one_of.is_empty() && matching(&schema.one_of) != 1 {
        wrong("must validate one and only one schema (oneOf)");
    }
    if let Some(not) = &schema.not
        && matching(std::slice::from_ref(not)) == 1
    {
        wrong("must not validate the schema (not)");
    }
}

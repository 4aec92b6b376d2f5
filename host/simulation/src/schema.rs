//! Structural schemas of custom resources: reading them, pruning, defaulting and validating objects by them.
//!
//! Of CEL rules (`x-kubernetes-validations`) only `self == oldSelf` is known, which makes a field immutable:
//! our definitions have no other. Other rules and string formats other than `date-time` are left out,
//! and so never an error here.

mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::json;
use crate::refusal::FieldError;

/// A node of a structural schema.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`; empty if any is allowed.
    kind: String,
    nullable: bool,
    int_or_string: bool,
    preserve_unknown: bool,
    embedded_resource: bool,
    properties: BTreeMap<String, Schema>,
    additional: Additional,
    items: Option<Box<Schema>>,
    required: Vec<String>,
    default: Option<Value>,
    one_of_values: Vec<Value>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<f64>,
    length: Limits,
    count: Limits,
    fields: Limits,
    pattern: Option<Regex>,
    date_time: bool,
    list_type: String,
    list_keys: Vec<String>,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
    /// Whether it has rules, known here or not.
    rules: bool,
    /// What is said when a value changes that must not; nothing where it may.
    immutable: Option<String>,
}

/// The rule that makes a value immutable.
const UNCHANGED: &str = "self == oldSelf";

/// What `additionalProperties` says.
#[derive(Debug, Default)]
enum Additional {
    /// Nothing: unknown fields are pruned.
    #[default]
    Unspecified,
    /// Any value.
    Any,
    /// Values of this structure.
    Of(Box<Schema>),
}

/// A numeric limit.
#[derive(Clone, Copy, Debug)]
struct Bound {
    value: f64,
    exclusive: bool,
}

/// A smallest and a largest size.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    least: Option<u64>,
    most: Option<u64>,
}

impl Schema {
    /// Reads an `openAPIV3Schema`; `path` is where it stands in its definition.
    pub(crate) fn parse(source: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let schema = Self::read(source, path, &mut errors);
        if errors.is_empty() {
            Ok(schema)
        } else {
            Err(errors)
        }
    }

    fn read(source: &Value, path: &str, errors: &mut Vec<FieldError>) -> Self {
        let mut nested = |field: &str| -> Vec<Schema> {
            json::entries(source, &format!("/{field}"))
                .iter()
                .enumerate()
                .map(|(index, part)| Self::read(part, &format!("{path}.{field}[{index}]"), errors))
                .collect()
        };
        let (all_of, any_of, one_of) = (nested("allOf"), nested("anyOf"), nested("oneOf"));
        let single = |field: &str, errors: &mut Vec<FieldError>| {
            source
                .get(field)
                .filter(|part| part.is_object())
                .map(|part| Box::new(Self::read(part, &format!("{path}.{field}"), errors)))
        };
        let items = single("items", errors);
        let not = single("not", errors);
        let additional = match source.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(Value::Object(_)) => single("additionalProperties", errors)
                .map_or(Additional::Unspecified, Additional::Of),
            _ => Additional::Unspecified,
        };
        let properties = source
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, part)| {
                let schema = Self::read(part, &format!("{path}.properties[{name}]"), errors);
                (name.clone(), schema)
            })
            .collect();
        let pattern = match json::text(source, "/pattern") {
            "" => None,
            text => match Regex::new(text) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    errors.push(FieldError::invalid(
                        format!("{path}.pattern"),
                        &Value::from(text),
                        &format!("must be a valid regular expression, but isn't: {error}"),
                    ));
                    None
                }
            },
        };
        let bound = |value: &str, exclusive: &str| {
            source
                .get(value)
                .and_then(Value::as_f64)
                .map(|value| Bound {
                    value,
                    exclusive: json::flag(source, exclusive),
                })
        };
        let limits = |least: &str, most: &str| Limits {
            least: source.get(least).and_then(Value::as_u64),
            most: source.get(most).and_then(Value::as_u64),
        };
        let texts = |pointer: &str| {
            json::entries(source, pointer)
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        Self {
            kind: json::text(source, "/type").to_owned(),
            nullable: json::flag(source, "/nullable"),
            int_or_string: json::flag(source, "/x-kubernetes-int-or-string"),
            preserve_unknown: json::flag(source, "/x-kubernetes-preserve-unknown-fields"),
            embedded_resource: json::flag(source, "/x-kubernetes-embedded-resource"),
            properties,
            additional,
            items,
            required: texts("/required"),
            default: source.get("default").cloned(),
            one_of_values: json::entries(source, "/enum").to_vec(),
            minimum: bound("minimum", "/exclusiveMinimum"),
            maximum: bound("maximum", "/exclusiveMaximum"),
            multiple_of: source.get("multipleOf").and_then(Value::as_f64),
            length: limits("minLength", "maxLength"),
            count: limits("minItems", "maxItems"),
            fields: limits("minProperties", "maxProperties"),
            pattern,
            date_time: json::text(source, "/format") == "date-time",
            list_type: json::text(source, "/x-kubernetes-list-type").to_owned(),
            list_keys: texts("/x-kubernetes-list-map-keys"),
            all_of,
            any_of,
            one_of,
            not,
            rules: !json::entries(source, "/x-kubernetes-validations").is_empty(),
            immutable: json::entries(source, "/x-kubernetes-validations")
                .iter()
                .find(|rule| json::text(rule, "/rule") == UNCHANGED)
                .map(|rule| match json::text(rule, "/message") {
                    "" => format!("failed rule: {UNCHANGED}"),
                    message => message.to_owned(),
                }),
        }
    }

    /// Drops what the schema does not name and returns the paths of what was dropped.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut dropped = Vec::new();
        self.prune_at(object, "", true, &mut dropped);
        dropped
    }

    fn prune_at(&self, value: &mut Value, path: &str, is_object: bool, dropped: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                self.prune_fields(fields, path, is_object || self.embedded_resource, dropped)
            }
            Value::Array(entries) => {
                let Some(items) = &self.items else { return };
                for (index, entry) in entries.iter_mut().enumerate() {
                    items.prune_at(entry, &format!("{path}[{index}]"), false, dropped);
                }
            }
            _ => {}
        }
    }

    fn prune_fields(
        &self,
        fields: &mut Map<String, Value>,
        path: &str,
        is_object: bool,
        dropped: &mut Vec<String>,
    ) {
        let names: Vec<String> = fields.keys().cloned().collect();
        for name in names {
            let at = join(path, &name);
            // The identity of an object is never pruned, whatever the schema says of it.
            if is_object && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let known = match (self.properties.get(&name), &self.additional) {
                (Some(schema), _) => Some(schema),
                (None, Additional::Of(schema)) => Some(schema.as_ref()),
                (None, Additional::Any) => continue,
                (None, Additional::Unspecified) => None,
            };
            match known {
                Some(schema) => {
                    if let Some(value) = fields.get_mut(&name) {
                        schema.prune_at(value, &at, false, dropped);
                    }
                }
                None if self.preserve_unknown => {}
                None => {
                    fields.remove(&name);
                    dropped.push(at);
                }
            }
        }
    }

    /// Sets what is missing and has a default.
    pub(crate) fn default(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, schema) in &self.properties {
                    // Null is no value where it is not allowed: it is dropped before defaults are set.
                    if !schema.nullable && fields.get(name).is_some_and(Value::is_null) {
                        fields.remove(name);
                    }
                    if let Some(default) = &schema.default
                        && !fields.contains_key(name)
                    {
                        fields.insert(name.clone(), default.clone());
                    }
                    if let Some(value) = fields.get_mut(name) {
                        schema.default(value);
                    }
                }
                if let Additional::Of(schema) = &self.additional {
                    for (name, value) in fields.iter_mut() {
                        if !self.properties.contains_key(name) {
                            schema.default(value);
                        }
                    }
                }
            }
            Value::Array(entries) => {
                if let Some(items) = &self.items {
                    for entry in entries {
                        items.default(entry);
                    }
                }
            }
            _ => {}
        }
    }

    /// Every field that is not as the schema wants it.
    pub(crate) fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        validate::check(self, object, "", &mut errors);
        errors
    }

    /// Whether there is a rule anywhere in it.
    pub(crate) fn has_rules(&self) -> bool {
        self.rules
            || self.properties.values().any(Self::has_rules)
            || self.items.as_deref().is_some_and(Self::has_rules)
            || matches!(&self.additional, Additional::Of(schema) if schema.has_rules())
    }

    /// Every field that changed and must not.
    pub(crate) fn validate_transition(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        validate::check_transition(self, object, old, "", &mut errors);
        errors
    }
}

/// A field's path below its parent's.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

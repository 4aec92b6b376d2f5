//! What an object looks like when it is stored: decoded, pruned, defaulted and validated.

use serde_json::Value;

use super::Server;
use crate::defaults;
use crate::json;
use crate::kinds::{Kind, Source, built_in};
use crate::refusal::{self, FieldError, Refusal};

mod metadata;
mod workloads;

impl Server {
    /// The stored form of an object in a request of the given version; `old` is what it replaces.
    pub(super) fn admit(
        &mut self,
        kind: &Kind,
        version: &str,
        object: Value,
        old: Option<&Value>,
        strict: bool,
    ) -> Result<Value, Refusal> {
        let name = json::text(&object, "/metadata/name").to_owned();
        let mut object = match kind.source {
            Source::BuiltIn(row) => self.admit_built_in(kind, row, version, object, old, strict)?,
            Source::Custom => admit_custom(kind, version, object, strict)?,
        };
        json::set(
            &mut object,
            "apiVersion",
            kind.api_version(kind.storage_version()),
        );
        let mut errors = metadata::check(kind, &object);
        if let Source::BuiltIn(_) = kind.source {
            errors.extend(workloads::check(kind, &object, old));
        }
        if errors.is_empty() {
            Ok(object)
        } else {
            Err(refusal::invalid(kind, &name, &errors))
        }
    }

    fn admit_built_in(
        &mut self,
        kind: &Kind,
        row: &built_in::BuiltIn,
        version: &str,
        object: Value,
        old: Option<&Value>,
        strict: bool,
    ) -> Result<Value, Refusal> {
        let mut decoded = (row.decode)(object.clone()).map_err(|why| {
            refusal::bad_request(format!(
                "{} in version {version:?} cannot be handled as a {}: json: {why}",
                kind.kind, kind.kind
            ))
        })?;
        if strict {
            let mut unknown = Vec::new();
            lost_fields(&object, &decoded, "", &mut unknown);
            refuse_unknown(&unknown)?;
        }
        if old.is_none() {
            defaults::initial_status(kind, &mut decoded);
        }
        if !keeps_empty_lists(kind) {
            omit_empty(&mut decoded);
        }
        defaults::apply(kind, &mut decoded, old, self);
        Ok(decoded)
    }
}

fn admit_custom(
    kind: &Kind,
    version: &str,
    mut object: Value,
    strict: bool,
) -> Result<Value, Refusal> {
    let metadata = json::take(&mut object, "metadata").unwrap_or(Value::Null);
    let metadata = built_in::decode_metadata(metadata).map_err(|why| {
        refusal::bad_request(format!("metadata of the object cannot be read: {why}"))
    })?;
    json::set(&mut object, "metadata", metadata);
    omit_empty(json::child(&mut object, "metadata"));
    let Some(schema) = kind
        .version(version)
        .and_then(|version| version.schema.as_ref())
    else {
        return Ok(object);
    };
    let dropped = schema.prune(&mut object);
    if strict {
        refuse_unknown(&dropped)?;
    }
    schema.default(&mut object);
    let errors = schema.validate(&object);
    if errors.is_empty() {
        Ok(object)
    } else {
        Err(refusal::invalid(
            kind,
            json::text(&object, "/metadata/name"),
            &errors,
        ))
    }
}

/// Kinds with required lists that may be empty, or with free JSON in which an empty list means something.
fn keeps_empty_lists(kind: &Kind) -> bool {
    kind.is("discovery.k8s.io", "EndpointSlice")
        || kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// Drops empty lists and empty maps of texts, as Go's `omitempty` does; an empty structure such as `emptyDir: {}` stays.
fn omit_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| match value {
                Value::Array(entries) => !entries.is_empty() || name == "containers",
                Value::Object(map) => {
                    !map.is_empty()
                        || !matches!(
                            name.as_str(),
                            "labels"
                                | "annotations"
                                | "matchLabels"
                                | "nodeSelector"
                                | "limits"
                                | "requests"
                        )
                }
                _ => true,
            });
            fields.values_mut().for_each(omit_empty);
        }
        Value::Array(entries) => entries.iter_mut().for_each(omit_empty),
        _ => {}
    }
}

fn refuse_unknown(fields: &[String]) -> Result<(), Refusal> {
    if fields.is_empty() {
        return Ok(());
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|field| format!("unknown field {field:?}"))
        .collect();
    Err(refusal::bad_request(format!(
        "strict decoding error: {}",
        fields.join(", ")
    )))
}

/// The paths that an object had before it went through its typed model and has not after.
fn lost_fields(before: &Value, after: &Value, path: &str, lost: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                let at = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                match after.get(name) {
                    Some(kept) => lost_fields(value, kept, &at, lost),
                    None if value.is_null() => {}
                    None => lost.push(at),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                lost_fields(before, after, &format!("{path}[{index}]"), lost);
            }
        }
        _ => {}
    }
}

/// Short for a list with one error if something is missing.
fn require(errors: &mut Vec<FieldError>, object: &Value, pointer: &str) {
    let missing = match object.pointer(pointer) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(entries)) => entries.is_empty(),
        Some(_) => false,
    };
    if missing {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        errors.push(FieldError::required(field, ""));
    }
}

//! What an object looks like when it is stored: decoded, pruned, defaulted and validated.

use serde_json::Value;

use super::{Server, WriteOptions};
use crate::defaults;
use crate::json;
use crate::kinds::{Kind, Source, built_in};
use crate::refusal::{self, FieldError, Refusal};

mod metadata;
mod omit;
mod workloads;

impl Server {
    /// The stored form of an object in a request of the given version; `old` is what it replaces.
    pub(super) fn admit(
        &mut self,
        kind: &Kind,
        version: &str,
        object: Value,
        old: Option<&Value>,
        options: WriteOptions,
    ) -> Result<Value, Refusal> {
        let name = json::text(&object, "/metadata/name").to_owned();
        let mut object = match kind.source {
            Source::BuiltIn(row) => {
                self.admit_built_in(kind, row, version, object, old, options)?
            }
            Source::Custom => admit_custom(kind, version, object, options)?,
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
        options: WriteOptions,
    ) -> Result<Value, Refusal> {
        let mut decoded = (row.decode)(object.clone())
            .map_err(|why| unreadable(kind, version, &object, &format!("json: {why}"), options))?;
        if options.strict {
            let mut unknown = Vec::new();
            lost_fields(&object, &decoded, "", &mut unknown);
            refuse_unknown(kind, version, &object, &unknown, options)?;
        }
        if !keeps_empty(kind) {
            omit::zero_values(&mut decoded);
        }
        defaults::apply(kind, &mut decoded, old, self);
        if old.is_none() {
            defaults::initial_status(kind, &mut decoded);
        }
        Ok(decoded)
    }
}

fn admit_custom(
    kind: &Kind,
    version: &str,
    mut object: Value,
    options: WriteOptions,
) -> Result<Value, Refusal> {
    let metadata = json::take(&mut object, "metadata").unwrap_or(Value::Null);
    let metadata = built_in::decode_metadata(metadata).map_err(|why| {
        refusal::bad_request(format!("metadata of the object cannot be read: {why}"))
    })?;
    json::set(&mut object, "metadata", metadata);
    omit::zero_values(json::child(&mut object, "metadata"));
    let Some(schema) = kind
        .version(version)
        .and_then(|version| version.schema.as_ref())
    else {
        return Ok(object);
    };
    let dropped = schema.prune(&mut object);
    if options.strict {
        refuse_unknown(kind, version, &object, &dropped, options)?;
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
fn keeps_empty(kind: &Kind) -> bool {
    kind.is("discovery.k8s.io", "EndpointSlice")
        || kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

fn refuse_unknown(
    kind: &Kind,
    version: &str,
    object: &Value,
    fields: &[String],
    options: WriteOptions,
) -> Result<(), Refusal> {
    if fields.is_empty() {
        return Ok(());
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|field| format!("unknown field {field:?}"))
        .collect();
    let why = format!("strict decoding error: {}", fields.join(", "));
    Err(unreadable(kind, version, object, &why, options))
}

/// The object does not have the form of its kind: 400, or 422 if a patch made it so.
fn unreadable(
    kind: &Kind,
    version: &str,
    object: &Value,
    why: &str,
    options: WriteOptions,
) -> Refusal {
    if options.patched {
        let object = object.to_string();
        return refusal::unprocessable(format!(
            " \"\" is invalid: patch: Invalid value: {object:?}: {why}"
        ));
    }
    refusal::bad_request(format!(
        "{} in version {version:?} cannot be handled as a {}: {why}",
        kind.kind, kind.kind
    ))
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

//! What an object looks like when it is stored: decoded, pruned, defaulted and validated.

use serde_json::Value;

use super::{Server, UnknownFields, WriteOptions};
use crate::defaults;
use crate::json;
use crate::kinds::{Kind, Source, built_in};
use crate::refusal::{self, FieldError, Refusal};

mod metadata;
mod omit;
mod pod_spec;
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
            Source::Custom => self.admit_custom(kind, version, object, old, options)?,
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
        let mut decoded = (row.decode)(&object)
            .map_err(|why| unreadable(kind, version, &object, &format!("json: {why}"), options))?;
        if pod_spec::unreadable_amount(&decoded).is_some() {
            let why = "quantities must match the regular expression \
                       '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
            return Err(unreadable(kind, version, &object, why, options));
        }
        if options.unknown != UnknownFields::Drop {
            let mut unknown = Vec::new();
            lost_fields(&object, &decoded, &mut Vec::new(), &mut unknown);
            self.mention_unknown(kind, version, &object, &unknown, options)?;
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

    fn admit_custom(
        &mut self,
        kind: &Kind,
        version: &str,
        mut object: Value,
        old: Option<&Value>,
        options: WriteOptions,
    ) -> Result<Value, Refusal> {
        let metadata = built_in::decode_metadata(object.get("metadata").unwrap_or(&Value::Null))
            .map_err(|why| {
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
        self.mention_unknown(kind, version, &object, &dropped, options)?;
        schema.default(&mut object);
        let mut errors = schema.validate(&object);
        errors.extend(scale_errors(kind, &object));
        if errors.iter().any(hides_rules) {
            if schema.has_rules() {
                errors.push(FieldError::invalid("<nil>", &Value::Null, UNCHECKED));
            }
        } else if let Some(old) = old {
            errors.extend(schema.validate_transition(&object, old));
        }
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

    /// Says no to unknown fields, or remembers to warn of them, as the client wishes.
    fn mention_unknown(
        &mut self,
        kind: &Kind,
        version: &str,
        object: &Value,
        fields: &[String],
        options: WriteOptions,
    ) -> Result<(), Refusal> {
        if fields.is_empty() || options.unknown == UnknownFields::Drop {
            return Ok(());
        }
        let fields = fields
            .iter()
            .map(|field| format!("unknown field {field:?}"));
        if options.unknown == UnknownFields::Warn {
            self.warnings.extend(fields);
            return Ok(());
        }
        let fields: Vec<String> = fields.collect();
        let why = format!("strict decoding error: {}", fields.join(", "));
        Err(unreadable(kind, version, object, &why, options))
    }
}

const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; \
     correct the existing errors to complete validation";

/// Whether rules are not even tried on an object with this mistake.
fn hides_rules(error: &FieldError) -> bool {
    matches!(
        error.reason,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

/// Replicas that the scale subresource could not show.
fn scale_errors(kind: &Kind, object: &Value) -> Option<FieldError> {
    let pointer = &kind.scale.as_ref()?.spec_replicas;
    let replicas = object.pointer(pointer)?;
    let field = pointer.replace('/', ".");
    match replicas.as_i64() {
        Some(0..) => None,
        Some(_) => Some(FieldError::invalid(
            field,
            replicas,
            "should be a non-negative integer",
        )),
        None => {
            let (shown, found) = match replicas {
                Value::String(text) => (text.clone(), "string"),
                Value::Bool(flag) => (flag.to_string(), "bool"),
                Value::Number(number) => (number.to_string(), "float64"),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            let why =
                format!("{field} accessor error: {shown} is of the type {found}, expected int64");
            Some(FieldError::invalid(field, &Value::from(0), &why))
        }
    }
}

/// Kinds with required lists that may be empty, or with free JSON in which an empty list means something.
fn keeps_empty(kind: &Kind) -> bool {
    kind.is("discovery.k8s.io", "EndpointSlice")
        || kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
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

/// A step on the way to a field.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Entry(usize),
}

/// The paths that an object had before it went through its typed model and has not after.
fn lost_fields<'a>(
    before: &'a Value,
    after: &Value,
    path: &mut Vec<Step<'a>>,
    lost: &mut Vec<String>,
) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                path.push(Step::Field(name));
                match after.get(name) {
                    Some(kept) => lost_fields(value, kept, path, lost),
                    None if value.is_null() => {}
                    None => lost.push(written(path)),
                }
                path.pop();
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                path.push(Step::Entry(index));
                lost_fields(before, after, path, lost);
                path.pop();
            }
        }
        _ => {}
    }
}

fn written(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Step::Entry(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
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

//! The rules for names, labels, annotations and owner references.

use serde_json::Value;

use crate::json;
use crate::kinds::Kind;
use crate::refusal::FieldError;

/// Annotations of one object may be this long together, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
     start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
     regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
/// What is said of the name of a container that is none.
pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
     and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
     regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
     regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
     regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// What is wrong with an object's metadata.
pub(super) fn check(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = json::text(object, "/metadata/name");
    if kind.is("", "Service") {
        if !is_dns_label(name) {
            errors.push(FieldError::invalid(
                "metadata.name",
                &Value::from(name),
                DNS_LABEL,
            ));
        }
    } else if name.len() > 253 {
        errors.push(FieldError::invalid(
            "metadata.name",
            &Value::from(name),
            "must be no more than 253 characters",
        ));
    } else if !is_subdomain(name) {
        errors.push(FieldError::invalid(
            "metadata.name",
            &Value::from(name),
            SUBDOMAIN,
        ));
    }
    check_labels(
        object.pointer("/metadata/labels"),
        "metadata.labels",
        &mut errors,
    );
    check_annotations(object.pointer("/metadata/annotations"), &mut errors);
    if !kind.is_custom() {
        check_finalizers(json::entries(object, "/metadata/finalizers"), &mut errors);
    }
    check_owners(
        json::entries(object, "/metadata/ownerReferences"),
        &mut errors,
    );
    errors
}

/// What is wrong with a map of labels.
pub(super) fn check_labels(labels: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        if !is_qualified_name(key) {
            errors.push(FieldError::invalid(
                path,
                &Value::from(key.as_str()),
                QUALIFIED_NAME,
            ));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            errors.push(FieldError::invalid(
                path,
                value,
                "must be no more than 63 bytes",
            ));
        } else if !text.is_empty() && !is_name_part(text) {
            errors.push(FieldError::invalid(path, value, LABEL_VALUE));
        }
    }
}

fn check_annotations(annotations: Option<&Value>, errors: &mut Vec<FieldError>) {
    let mut length = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        if !is_qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(
                "metadata.annotations",
                &Value::from(key.as_str()),
                QUALIFIED_NAME,
            ));
        }
        length += key.len() + value.as_str().unwrap_or_default().len();
    }
    if length > ANNOTATIONS_LIMIT {
        errors.push(FieldError {
            reason: "FieldValueTooLong",
            field: "metadata.annotations".to_owned(),
            message: format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"),
        });
    }
}

fn check_owners(owners: &[Value], errors: &mut Vec<FieldError>) {
    for owner in owners {
        for (field, pointer) in [
            ("apiVersion", "/apiVersion"),
            ("kind", "/kind"),
            ("name", "/name"),
            ("uid", "/uid"),
        ] {
            if json::text(owner, pointer).is_empty() {
                errors.push(FieldError::invalid(
                    format!("metadata.ownerReferences.{field}"),
                    &Value::from(""),
                    "must not be empty",
                ));
            }
        }
    }
    let controllers: Vec<String> = owners
        .iter()
        .filter(|owner| json::flag(owner, "/controller"))
        .map(|owner| {
            format!(
                "{}/{}",
                json::text(owner, "/kind"),
                json::text(owner, "/name")
            )
        })
        .collect();
    if controllers.len() > 1 {
        errors.push(FieldError::invalid(
            "metadata.ownerReferences",
            &Value::from(owners.to_vec()),
            &format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {}",
                controllers.join(" and ")
            ),
        ));
    }
}

/// Built-in kinds take only finalizers that say whose they are.
fn check_finalizers(finalizers: &[Value], errors: &mut Vec<FieldError>) {
    for (index, finalizer) in finalizers.iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes") {
            errors.push(FieldError::invalid(
                format!("metadata.finalizers[{index}]"),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_subdomain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|part| {
            part.bytes()
                .all(|byte| is_alphanumeric(byte) || byte == b'-')
                && part.bytes().next().is_some_and(is_alphanumeric)
                && part.bytes().last().is_some_and(is_alphanumeric)
        })
}

/// Whether a text can be the name of a container.
pub(super) fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_subdomain(name) && !name.contains('.')
}

fn is_dns_label(name: &str) -> bool {
    name.len() <= 63
        && is_subdomain(name)
        && !name.contains('.')
        && name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase())
}

fn is_name_part(text: &str) -> bool {
    text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text
            .bytes()
            .last()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
        None => is_name_part(key),
    }
}

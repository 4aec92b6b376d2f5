//! The API server's ways to say no, as `metav1.Status`.
//!
//! Wording, reasons and codes are those of `k8s.io/apimachinery/pkg/api/errors`: clients match on them.

use kube::core::response::{Status, StatusCause, StatusDetails};
use serde_json::{Map, Value, json};

use crate::kinds::Kind;

/// Why a request was refused, with the HTTP code it is answered with.
pub type Refusal = Box<Status>;

/// One wrong field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// A machine-readable reason such as `FieldValueRequired`.
    pub reason: &'static str,
    /// Path of the field, as in `spec.selector`.
    pub field: String,
    /// What is wrong with it, without the path.
    pub message: String,
}

impl FieldError {
    /// The field is missing.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    /// The field has a value that is not allowed.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    /// The field has a value of the wrong JSON type.
    pub(crate) fn wrong_type(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self {
            reason: "FieldValueTypeInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    /// The field's value is none of those that exist.
    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, known: &[String]) -> Self {
        let known: Vec<String> = known.iter().map(|value| format!("{value:?}")).collect();
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                known.join(", ")
            ),
        }
    }

    /// The field names something that is not there.
    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueNotFound",
            field: field.into(),
            message: format!("Not found: {value}"),
        }
    }

    /// Two entries of the field have the same key.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message: format!("Duplicate value: {value}"),
        }
    }

    /// The field may not have what was asked for.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {detail}"),
        }
    }
}

/// 404: no such object.
pub(crate) fn not_found(kind: &Kind, name: &str) -> Refusal {
    about(
        kind,
        name,
        404,
        "NotFound",
        format!("{} {name:?} not found", kind.resource()),
    )
}

/// 409: an object of this name exists.
pub(crate) fn already_exists(kind: &Kind, name: &str) -> Refusal {
    about(
        kind,
        name,
        409,
        "AlreadyExists",
        format!("{} {name:?} already exists", kind.resource()),
    )
}

/// 409: somebody else changed the object in between.
pub(crate) fn modified(kind: &Kind, name: &str) -> Refusal {
    conflict(
        kind,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

/// 409 for any other reason.
pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Refusal {
    about(
        kind,
        name,
        409,
        "Conflict",
        format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            kind.resource()
        ),
    )
}

/// 403.
pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Refusal {
    about(
        kind,
        name,
        403,
        "Forbidden",
        format!("{} {name:?} is forbidden: {why}", kind.resource()),
    )
}

/// 422: wrong fields.
pub(crate) fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Refusal {
    invalid_as(&kind.group, &kind.kind, name, errors)
}

/// 422 as the storage of custom kinds says it, with the plural where others have the kind.
pub(crate) fn invalid_resource(kind: &Kind, name: &str, errors: &[FieldError]) -> Refusal {
    invalid_as(&kind.group, &kind.plural, name, errors)
}

/// 422 about a kind that is named here, as of subresources.
pub(crate) fn invalid_as(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Refusal {
    let mut texts: Vec<String> = errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect();
    let text = if texts.len() == 1 {
        texts.remove(0)
    } else {
        format!("[{}]", texts.join(", "))
    };
    let qualified = if group.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}.{group}")
    };
    let mut status = plain(
        422,
        "Invalid",
        format!("{qualified} {name:?} is invalid: {text}"),
    );
    status.details = Some(StatusDetails {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        uid: String::new(),
        causes: errors
            .iter()
            .map(|error| StatusCause {
                reason: error.reason.to_owned(),
                message: error.message.clone(),
                field: error.field.clone(),
            })
            .collect(),
        retry_after_seconds: 0,
    });
    status
}

/// 422: a list or watch that makes no sense.
pub(crate) fn list_options(field: &str, why: &str) -> Refusal {
    plain(
        422,
        "Invalid",
        format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {why}"),
    )
}

/// 406: none of the forms that the client takes.
pub(crate) fn not_acceptable() -> Refusal {
    plain(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf",
    )
}

/// 504: a version that has not been reached yet.
pub(crate) fn from_the_future(wanted: u64, current: u64) -> Refusal {
    let refusal = plain(
        504,
        "Timeout",
        format!("Timeout: Too large resource version: {wanted}, current: {current}"),
    );
    caused(
        refusal,
        "ResourceVersionTooLarge",
        "Too large resource version",
        "",
        1,
    )
}

/// 400.
pub(crate) fn bad_request(why: impl Into<String>) -> Refusal {
    plain(400, "BadRequest", why)
}

/// 405.
pub(crate) fn method_not_allowed() -> Refusal {
    plain(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    )
}

/// 415: a body or patch of a form that is not understood here.
pub(crate) fn unsupported_media_type(known: &[&str]) -> Refusal {
    plain(
        415,
        "UnsupportedMediaType",
        format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            known.join(", ")
        ),
    )
}

/// 410: the history that the request needs is gone.
pub(crate) fn expired(why: impl Into<String>) -> Refusal {
    plain(410, "Expired", why)
}

/// 422 without a field: a JSON patch that does not apply.
pub(crate) fn unprocessable(why: impl Into<String>) -> Refusal {
    plain(422, "Invalid", why)
}

/// 404 for a path that names nothing that is served.
pub(crate) fn no_such_path() -> Refusal {
    plain(
        404,
        "NotFound",
        "the server could not find the requested resource",
    )
}

/// 500, 503, 504 and 429, which only faults answer.
pub(crate) fn by_code(code: u16, retry_after: u32) -> Refusal {
    let (reason, message) = match code {
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        _ => (
            "InternalError",
            "an error on the server has prevented the request from succeeding",
        ),
    };
    let mut status = plain(code, reason, message);
    if retry_after > 0 {
        status.details = Some(StatusDetails {
            retry_after_seconds: retry_after,
            ..no_details()
        });
    }
    status
}

/// A refusal with a cause that clients look for, and how long to wait before another try.
pub(crate) fn caused(
    mut refusal: Refusal,
    reason: &str,
    message: &str,
    field: &str,
    retry_after: u32,
) -> Refusal {
    let details = refusal.details.get_or_insert_with(no_details);
    details.causes.push(StatusCause {
        reason: reason.to_owned(),
        message: message.to_owned(),
        field: field.to_owned(),
    });
    details.retry_after_seconds = retry_after;
    refusal
}

fn no_details() -> StatusDetails {
    StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

/// The JSON body of a refusal.
pub(crate) fn body(refusal: &Status) -> Value {
    let mut body = match serde_json::to_value(refusal) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    body.insert("kind".to_owned(), json!("Status"));
    body.insert("apiVersion".to_owned(), json!("v1"));
    body.insert("metadata".to_owned(), json!({}));
    Value::Object(body)
}

/// A refusal about no object in particular.
pub(crate) fn plain(code: u16, reason: &str, message: impl Into<String>) -> Refusal {
    Box::new(Status::failure(&message.into(), reason).with_code(code))
}

fn about(kind: &Kind, name: &str, code: u16, reason: &str, message: String) -> Refusal {
    let mut status = plain(code, reason, message);
    status.details = Some(StatusDetails {
        name: name.to_owned(),
        group: kind.group.clone(),
        kind: kind.plural.clone(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    });
    status
}

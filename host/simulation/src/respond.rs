//! Writes answers: objects, lists, Status bodies, in the form that the client's Accept header asks for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Map, Value, json};
use tower::BoxError;

use crate::json;
use crate::kinds::Kind;
use crate::refusal::{self, Refusal};
use crate::request::write_continue;
use crate::server::Page;
use crate::server::delete::Deleted;

/// A response body: whole, or streaming for watches.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The form in which objects are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
}

impl Form {
    /// Reads an Accept header, of which the first form that is known counts.
    pub(crate) fn of(accept: &str) -> Self {
        for wanted in accept.split(',') {
            let parameter = wanted
                .split(';')
                .map(str::trim)
                .find_map(|parameter| parameter.strip_prefix("as="));
            match parameter {
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    return Self::Metadata;
                }
                Some(_) => {}
                None => return Self::Whole,
            }
        }
        Self::Whole
    }

    /// An object in this form, and in the version that was asked for.
    pub(crate) fn object(self, kind: &Kind, version: &str, object: &Arc<Value>) -> Arc<Value> {
        let api_version = kind.api_version(version);
        match self {
            Self::Whole if json::text(object, "/apiVersion") == api_version => Arc::clone(object),
            Self::Whole => {
                let mut object = object.as_ref().clone();
                json::set(&mut object, "apiVersion", api_version);
                Arc::new(object)
            }
            Self::Metadata => Arc::new(json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": object.get("metadata"),
            })),
        }
    }

    /// A list in this form.
    pub(crate) fn list(self, kind: &Kind, version: &str, page: &Page) -> Value {
        let items: Vec<Value> = page
            .items
            .iter()
            .map(|object| self.object(kind, version, object).as_ref().clone())
            .collect();
        let mut metadata = Map::new();
        metadata.insert(
            "resourceVersion".to_owned(),
            json!(page.version.to_string()),
        );
        if let Some(last) = &page.next {
            metadata.insert(
                "continue".to_owned(),
                json!(write_continue(page.version, last)),
            );
        }
        if let Some(remaining) = page.remaining {
            metadata.insert("remainingItemCount".to_owned(), json!(remaining));
        }
        let (api_version, list_kind) = match self {
            Self::Whole => (kind.api_version(version), kind.list_kind.clone()),
            Self::Metadata => (
                "meta.k8s.io/v1".to_owned(),
                "PartialObjectMetadataList".to_owned(),
            ),
        };
        json!({"apiVersion": api_version, "kind": list_kind, "metadata": metadata, "items": items})
    }
}

/// The body and code that a deletion is answered with.
pub(crate) fn deleted(kind: &Kind, version: &str, deleted: &Deleted) -> Value {
    match deleted {
        Deleted::Terminating(object) => Form::Whole.object(kind, version, object).as_ref().clone(),
        Deleted::Gone(object) if kind.delete_returns_object => {
            Form::Whole.object(kind, version, object).as_ref().clone()
        }
        Deleted::Gone(object) => json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {
                "name": json::text(object, "/metadata/name"),
                "group": kind.group,
                "kind": kind.plural,
                "uid": json::text(object, "/metadata/uid"),
            },
        }),
    }
}

/// A whole JSON answer.
pub(crate) fn json(code: u16, body: &Value) -> Response<Body> {
    with_type(code, "application/json", body.to_string())
}

/// A whole answer of any type.
pub(crate) fn with_type(
    code: u16,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let body = Full::new(body.into())
        .map_err(|never| -> BoxError { match never {} })
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    response
}

/// A refusal, with `Retry-After` where it says so.
pub(crate) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.code, &refusal::body(refusal));
    let retry_after = refusal
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    if retry_after > 0 {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, header::HeaderValue::from(retry_after));
    }
    response
}

/// What a path that nothing serves is answered with: plain text, as the real server does.
pub(crate) fn no_such_path() -> Response<Body> {
    with_type(404, "text/plain; charset=utf-8", "404 page not found\n")
}

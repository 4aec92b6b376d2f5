//! Writes answers: objects, lists, Status bodies, in the form that the client's Accept header asks for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tower::BoxError;

use crate::json;
use crate::kinds::Kind;
use crate::refusal::{self, Refusal};
use crate::request::write_continue;
use crate::server::Page;
use crate::server::delete::Deleted;
use crate::table::{self, Include};

/// A response body: whole, or streaming for watches.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The form in which objects are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
    /// A Table, as `kubectl get` shows it.
    Table(Include),
}

impl Form {
    /// Reads an Accept header, of which the first form that is known counts.
    pub(crate) fn of(accept: &str, include: Include) -> Self {
        for wanted in accept.split(',') {
            let parameter = wanted
                .split(';')
                .map(str::trim)
                .find_map(|parameter| parameter.strip_prefix("as="));
            match parameter {
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    return Self::Metadata;
                }
                Some("Table") => return Self::Table(include),
                Some(_) => {}
                None => return Self::Whole,
            }
        }
        Self::Whole
    }

    /// An object in this form, and in the version that was asked for. Ages are as of `now`.
    pub(crate) fn object(
        self,
        kind: &Kind,
        version: &str,
        object: &Arc<Value>,
        now: Timestamp,
    ) -> Arc<Value> {
        match self {
            Self::Whole => in_version(kind, version, object),
            Self::Metadata => Arc::new(json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": object.get("metadata"),
            })),
            Self::Table(include) => {
                let metadata =
                    json!({"resourceVersion": json::text(object, "/metadata/resourceVersion")});
                let rows = [in_version(kind, version, object)];
                Arc::new(table::of(kind, version, &rows, metadata, include, now))
            }
        }
    }

    /// A list in this form.
    pub(crate) fn list(self, kind: &Kind, version: &str, page: &Page, now: Timestamp) -> Value {
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
            Self::Table(include) => {
                let rows: Vec<Arc<Value>> = page
                    .items
                    .iter()
                    .map(|object| in_version(kind, version, object))
                    .collect();
                return table::of(kind, version, &rows, Value::Object(metadata), include, now);
            }
        };
        let items: Vec<Value> = page
            .items
            .iter()
            .map(|object| {
                let mut item = self.object(kind, version, object, now).as_ref().clone();
                if !kind.is_custom() && self == Self::Whole {
                    // Items of typed lists do not repeat what the list says.
                    json::take(&mut item, "apiVersion");
                    json::take(&mut item, "kind");
                }
                item
            })
            .collect();
        json!({"apiVersion": api_version, "kind": list_kind, "metadata": metadata, "items": items})
    }
}

/// An object in a served version: without conversion webhooks, versions differ in name alone.
fn in_version(kind: &Kind, version: &str, object: &Arc<Value>) -> Arc<Value> {
    let api_version = kind.api_version(version);
    if json::text(object, "/apiVersion") == api_version {
        return Arc::clone(object);
    }
    let mut object = object.as_ref().clone();
    json::set(&mut object, "apiVersion", api_version);
    Arc::new(object)
}

/// The body and code that a deletion is answered with.
pub(crate) fn deleted(kind: &Kind, version: &str, deleted: &Deleted) -> Value {
    match deleted {
        Deleted::Terminating(object) => in_version(kind, version, object).as_ref().clone(),
        Deleted::Gone(object) if kind.delete_returns_object => {
            in_version(kind, version, object).as_ref().clone()
        }
        Deleted::Gone(object) => {
            let mut details = json!({
                "name": json::text(object, "/metadata/name"),
                "kind": kind.plural,
                "uid": json::text(object, "/metadata/uid"),
            });
            if !kind.group.is_empty() {
                json::set(&mut details, "group", kind.group.as_str());
            }
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
        }
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

//! Writes answers: objects, lists, Status bodies, in the form that the client's Accept header asks for.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
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
    /// Reads an Accept header, of which the first form that is known counts; nothing if none is.
    pub(crate) fn of(accept: &str, include: Include) -> Option<Self> {
        if accept.is_empty() {
            return Some(Self::Whole);
        }
        for wanted in accept.split(',') {
            let mut parts = wanted.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            if !matches!(media_type, "application/json" | "application/*" | "*/*") {
                continue;
            }
            match parts.find_map(|parameter| parameter.strip_prefix("as=")) {
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    return Some(Self::Metadata);
                }
                Some("Table") => return Some(Self::Table(include)),
                Some(_) => {}
                None => return Some(Self::Whole),
            }
        }
        None
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

    /// A list in this form, as it is sent.
    pub(crate) fn list(self, kind: &Kind, version: &str, page: &Page, now: Timestamp) -> String {
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
                let metadata = Value::Object(metadata);
                return table::of(kind, version, &rows, metadata, include, now).to_string();
            }
        };
        let typed = !kind.is_custom() && self == Self::Whole;
        let objects: Vec<Arc<Value>> = page
            .items
            .iter()
            .map(|object| self.object(kind, version, object, now))
            .collect();
        let list = List {
            api_version: &api_version,
            items: objects
                .iter()
                .map(|object| Item { object, typed })
                .collect(),
            kind: &list_kind,
            metadata: &metadata,
        };
        serde_json::to_string(&list).unwrap_or_default()
    }
}

/// A list as it is sent, without a copy of any object.
#[derive(Serialize)]
struct List<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    items: Vec<Item<'a>>,
    kind: &'a str,
    metadata: &'a Map<String, Value>,
}

/// An object of a list.
struct Item<'a> {
    object: &'a Value,
    /// Objects of typed lists do not repeat what the list says.
    typed: bool,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.object {
            Value::Object(fields) if self.typed => serializer.collect_map(
                fields
                    .iter()
                    .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind")),
            ),
            object => object.serialize(serializer),
        }
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

/// The body that a deletion is answered with.
pub(crate) fn deleted(kind: &Kind, version: &str, deleted: &Deleted) -> String {
    match deleted {
        Deleted::Terminating(object) => in_version(kind, version, object).to_string(),
        Deleted::Gone(object) if kind.delete_returns_object => {
            in_version(kind, version, object).to_string()
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
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}).to_string()
        }
    }
}

/// A whole JSON answer, with what the client is to be warned of.
pub(crate) fn json(code: u16, body: String, warnings: &[String]) -> Response<Body> {
    let mut response = with_type(code, "application/json", body);
    for warning in warnings {
        let text = format!("299 - {warning:?}");
        if let Ok(value) = header::HeaderValue::try_from(text) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
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
    let mut response = json(refusal.code, refusal::body(refusal).to_string(), &[]);
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

//! Reads an HTTP request: which object or collection it is about, and what it wants of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Uri};
use serde_json::{Value, json};

use crate::faults::{Facts, Verb};
use crate::json;
use crate::kinds::{Kind, Registry};
use crate::refusal::{self, Refusal};
use crate::selectors::{FieldSelector, LabelSelector};
use crate::server::delete::{DeleteOptions, Propagation};
use crate::server::{ListOptions, UnknownFields, WriteOptions};
use crate::store::Key;
use crate::watch::Scope;

/// A request to a resource.
#[derive(Debug)]
pub(crate) struct Call {
    pub kind: Arc<Kind>,
    pub version: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
    pub verb: Verb,
    pub query: Query,
}

/// The parameters behind the question mark.
#[derive(Debug, Default)]
pub(crate) struct Query {
    values: BTreeMap<String, String>,
}

impl Query {
    /// Decodes a query; of a repeated parameter the first counts.
    pub(crate) fn parse(query: &str) -> Self {
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            values
                .entry(name.into_owned())
                .or_insert_with(|| value.into_owned());
        }
        Self { values }
    }

    /// A parameter; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A flag such as `watch=1`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some("1" | "true"))
    }

    /// A resourceVersion, or another number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    refusal::bad_request(format!(
                        "{name}: Invalid value: {text:?}: must be a number"
                    ))
                })
            })
            .transpose()
    }

    fn dry_run(&self) -> Result<bool, Refusal> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(refusal::plain(
                422,
                "Invalid",
                format!("dryRun: Unsupported value: {other:?}: supported values: \"All\""),
            )),
        }
    }
}

/// The parts of a path to a resource.
struct Path<'a> {
    group: &'a str,
    version: &'a str,
    namespace: Option<&'a str>,
    plural: &'a str,
    name: Option<&'a str>,
    subresource: Option<String>,
}

fn split(path: &str) -> Option<Path<'_>> {
    let mut parts = path.trim_matches('/').split('/');
    let (group, version) = match parts.next()? {
        "api" => ("", parts.next()?),
        "apis" => (parts.next()?, parts.next()?),
        _ => return None,
    };
    let parts: Vec<&str> = parts.collect();
    // A namespace's own subresources look like resources in it.
    let (namespace, rest) = match parts.as_slice() {
        ["namespaces", _, "status" | "finalize"] => (None, parts.as_slice()),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let (plural, rest) = rest.split_first()?;
    let (name, rest) = match rest.split_first() {
        Some((name, rest)) => (Some(*name), rest),
        None => (None, rest),
    };
    Some(Path {
        group,
        version,
        namespace,
        plural,
        name,
        subresource: (!rest.is_empty()).then(|| rest.join("/")),
    })
}

impl Call {
    /// Reads a request; nothing if the path names no resource that is served.
    pub(crate) fn parse(
        kinds: &Registry,
        method: &Method,
        uri: &Uri,
    ) -> Result<Option<Self>, Refusal> {
        let Some(path) = split(uri.path()) else {
            return Ok(None);
        };
        let Some(kind) = kinds.by_resource(path.group, path.version, path.plural) else {
            return Ok(None);
        };
        let query = Query::parse(uri.query().unwrap_or_default());
        let verb = match (method, path.name) {
            (&Method::GET, None) if query.flag("watch") => Verb::Watch,
            (&Method::GET, None) => Verb::List,
            (&Method::GET, Some(_)) => Verb::Get,
            (&Method::POST, None) => Verb::Create,
            (&Method::POST, Some(_)) if path.subresource.is_some() => Verb::Create,
            (&Method::PUT, Some(_)) => Verb::Update,
            (&Method::PATCH, Some(_)) => Verb::Patch,
            (&Method::DELETE, Some(_)) => Verb::Delete,
            (&Method::DELETE, None) => Verb::DeleteCollection,
            _ => return Err(refusal::method_not_allowed()),
        };
        if kind.namespaced && path.namespace.is_none() && !matches!(verb, Verb::List | Verb::Watch)
        {
            return Err(refusal::method_not_allowed());
        }
        if !kind.namespaced && path.namespace.is_some() {
            return Ok(None);
        }
        Ok(Some(Self {
            version: path.version.to_owned(),
            namespace: path.namespace.map(str::to_owned),
            name: path.name.map(str::to_owned),
            subresource: path.subresource,
            kind,
            verb,
            query,
        }))
    }

    /// Namespace and name.
    pub(crate) fn key(&self) -> Key {
        (
            self.namespace.clone().unwrap_or_default(),
            self.name.clone().unwrap_or_default(),
        )
    }

    /// What fault rules look at.
    pub(crate) fn facts<'a>(&'a self, client: &'a str) -> Facts<'a> {
        Facts {
            client,
            verb: self.verb,
            resource: &self.kind.plural,
            subresource: self.subresource.as_deref().unwrap_or_default(),
            namespace: self.namespace.as_deref().unwrap_or_default(),
            name: self.name.as_deref().unwrap_or_default(),
        }
    }

    /// Which objects a list or watch is about.
    pub(crate) fn scope(&self) -> Result<Scope, Refusal> {
        Ok(Scope {
            namespace: self.namespace.clone(),
            labels: LabelSelector::parse(self.query.get("labelSelector").unwrap_or_default())?,
            fields: FieldSelector::parse(
                self.query.get("fieldSelector").unwrap_or_default(),
                &self.kind,
            )?,
        })
    }

    /// Which of the states at and after a version a list wants, or whether a watch begins with all objects.
    pub(crate) fn check_version_match(&self, watch: bool) -> Result<(), Refusal> {
        let refuse = |why: &str| Err(refusal::list_options("resourceVersionMatch", why));
        let version = self.query.get("resourceVersion");
        let matching = self.query.get("resourceVersionMatch");
        if watch && self.query.get("sendInitialEvents").is_some() {
            return match matching {
                Some("NotOlderThan") => Ok(()),
                _ => refuse(
                    "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                ),
            };
        }
        match matching {
            None => Ok(()),
            Some(_) if watch => refuse(
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            Some(_) if version.is_none() => refuse(
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            Some(_) if self.query.get("continue").is_some() => {
                refuse("Forbidden: resourceVersionMatch is forbidden when continue is provided")
            }
            Some("Exact") if version == Some("0") => refuse(
                "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ),
            Some("Exact" | "NotOlderThan") => Ok(()),
            Some(other) => refuse(&format!(
                "Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
            )),
        }
    }

    /// What a list asks for.
    pub(crate) fn list_options(&self) -> Result<ListOptions, Refusal> {
        self.check_version_match(false)?;
        let version = self.query.number("resourceVersion")?;
        let after = self.query.get("continue").map(read_continue).transpose()?;
        if after.is_some() && version.is_some_and(|version| version > 0) {
            return Err(refusal::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let limit = self
            .query
            .number("limit")?
            // A list of whatever state there is comes from the watch cache, which knows no pages.
            .filter(|limit| *limit > 0 && version != Some(0));
        let (exactly, at_least) = match self.query.get("resourceVersionMatch") {
            Some("Exact") => (version, None),
            _ => (None, version),
        };
        Ok(ListOptions {
            scope: self.scope()?,
            limit: limit.and_then(|limit| usize::try_from(limit).ok()),
            after,
            exactly,
            at_least,
        })
    }

    /// What a write asks for.
    pub(crate) fn write_options(&self) -> Result<WriteOptions, Refusal> {
        Ok(WriteOptions {
            dry_run: self.query.dry_run()?,
            unknown: match self.query.get("fieldValidation") {
                Some("Strict") => UnknownFields::Refuse,
                Some("Ignore") => UnknownFields::Drop,
                _ => UnknownFields::Warn,
            },
            patched: false,
        })
    }

    /// What a deletion asks for, from its body and its query.
    pub(crate) fn delete_options(&self, body: &Bytes) -> Result<DeleteOptions, Refusal> {
        let body = if body.is_empty() {
            Value::Null
        } else {
            read_body(body)?
        };
        let text = |pointer: &str| match json::text(&body, pointer) {
            "" => None,
            text => Some(text.to_owned()),
        };
        let propagation = text("/propagationPolicy")
            .or_else(|| self.query.get("propagationPolicy").map(str::to_owned));
        let legacy_orphan = body.get("orphanDependents").and_then(Value::as_bool);
        let propagation = match (propagation, legacy_orphan) {
            (Some(policy), _) => Some(Propagation::parse(&policy)?),
            (None, Some(true)) => Some(Propagation::Orphan),
            (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
        };
        let grace = json::number(&body, "/gracePeriodSeconds").or(self
            .query
            .number("gracePeriodSeconds")?
            .and_then(|seconds| i64::try_from(seconds).ok()));
        Ok(DeleteOptions {
            propagation,
            uid: text("/preconditions/uid"),
            version: text("/preconditions/resourceVersion"),
            dry_run: self.query.dry_run()? || !json::entries(&body, "/dryRun").is_empty(),
            grace,
        })
    }
}

/// Reads a JSON body.
pub(crate) fn read_body(body: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        refusal::bad_request(format!("the body of the request is not JSON: {error}"))
    })
}

/// The token that continues a list behind its last key.
pub(crate) fn write_continue(version: u64, key: &Key) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": version, "start": [key.0, key.1]});
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token.to_string())
}

fn read_continue(token: &str) -> Result<(u64, Key), Refusal> {
    let refuse = || refusal::bad_request("continue key is not valid");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| refuse())?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| refuse())?;
    let version = token.get("rv").and_then(Value::as_u64).ok_or_else(refuse)?;
    let text = |pointer: &str| {
        token
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(refuse)
    };
    Ok((version, (text("/start/0")?, text("/start/1")?)))
}

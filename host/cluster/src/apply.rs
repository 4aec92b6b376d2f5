//! The only place that writes to the API server: plans, the lease and events all leave through here, and nothing leaves
//! while the gate is closed.
//!
//! A write is sent as it was planned; the only thing added is the version that an earlier write of the same pass has
//! produced. What the server answers is kept at once, so that no later pass works on what this one has overwritten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kube::{Client, Error};
use serde_json::{Value, json};
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::observed::Defaulted;
use sluice_engine::plan::{
    Action, Done, Edit, Outcome, Plan, Propagation, Subresource, Write, WriteError, WriteErrorKind,
    Written,
};
use sluice_engine::planted::{self, Bug};
use sluice_engine::template;

use crate::Settings;
use crate::cluster::{Cluster, Shared};
use crate::feed::{Trouble, is_absent, is_unknown_path};
use crate::kinds::{Served, escape};
use crate::lease::Gate;
use crate::store::is_newer;

/// Sends writes.
pub(crate) struct Writer {
    client: Client,
    gate: Gate,
    field_manager: String,
    limit: Duration,
}

/// One request that changes something, or would if it were not a dry run.
pub(crate) struct Send<'a> {
    /// Where the kind is served.
    pub(crate) served: &'a Served,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub(crate) method: Method,
    /// Namespace, for namespaced kinds.
    pub(crate) namespace: Option<&'a str>,
    /// Name, except for `POST`.
    pub(crate) name: Option<&'a str>,
    /// For example `status`.
    pub(crate) subresource: Option<&'a str>,
    /// Media type of the body.
    pub(crate) content_type: &'static str,
    /// The body.
    pub(crate) body: &'a Value,
    /// Check it, answer as if it were done, and do not do it.
    pub(crate) dry_run: bool,
}

impl Send<'_> {
    fn class(&self) -> Class {
        if self.subresource == Some("eviction") {
            Class::Eviction
        } else if self.method == Method::POST {
            Class::Create
        } else {
            Class::Other
        }
    }
}

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

impl Writer {
    /// Writes as this field manager, while the gate is open.
    pub(crate) fn new(client: Client, settings: &Settings, gate: Gate) -> Self {
        Self {
            client,
            gate,
            field_manager: settings.field_manager.clone(),
            limit: settings.request_timeout,
        }
    }

    /// Sends one request and returns the object that the server answers with.
    ///
    /// # Errors
    /// When the gate is closed, the server refuses, or no answer comes in time.
    pub(crate) async fn send(&self, send: Send<'_>) -> Result<Value, WriteError> {
        self.ask(&send)
            .await?
            .map_err(|error| classify(&error, &send))
    }

    /// Sends one request. The inner result is what the server says, unclassified.
    async fn ask(&self, send: &Send<'_>) -> Result<Result<Value, Error>, WriteError> {
        let request = self.request(send)?;
        // Whoever holds the lease next must not meet a request of ours that is still under way.
        let limit = self
            .gate
            .pass()
            .map_err(|closed| WriteError::new(WriteErrorKind::NotLeading, closed.to_string()))?;
        let limit = limit.map_or(self.limit, |left| left.min(self.limit));
        let answer = tokio::time::timeout(limit, self.client.request::<Value>(request)).await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(_) => Err(WriteError::new(
                WriteErrorKind::Unavailable,
                format!(
                    "no answer from the API server within {} ms",
                    limit.as_millis()
                ),
            )),
        }
    }

    fn request(&self, send: &Send<'_>) -> Result<http::Request<Vec<u8>>, WriteError> {
        let invalid = |message: String| WriteError::new(WriteErrorKind::Invalid, message);
        let mut uri = send
            .served
            .path(send.namespace, send.name)
            .map_err(invalid)?;
        if let Some(subresource) = send.subresource {
            uri.push('/');
            uri.push_str(subresource);
        }
        if send.method != Method::DELETE {
            uri.push_str("?fieldManager=");
            uri.push_str(&escape(&self.field_manager));
            if send.dry_run {
                uri.push_str("&dryRun=All");
            }
        }
        let body = serde_json::to_vec(send.body).map_err(|error| invalid(error.to_string()))?;
        let request = http::Request::builder()
            .method(send.method.clone())
            .uri(uri)
            .header(http::header::ACCEPT, JSON)
            .header(http::header::CONTENT_TYPE, send.content_type);
        request
            .body(body)
            .map_err(|error| invalid(error.to_string()))
    }
}

/// What the meaning of a status code depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Create,
    Eviction,
    Other,
}

/// What an error means for the pass.
fn classify(error: &Error, send: &Send<'_>) -> WriteError {
    let Error::Api(status) = error else {
        return WriteError::new(WriteErrorKind::Unavailable, error.to_string());
    };
    let class = send.class();
    let is_gone = || send.name.is_some_and(|name| is_absent(error, name));
    let kind = match status.code {
        409 if status.reason == "AlreadyExists" => WriteErrorKind::AlreadyExists,
        409 => WriteErrorKind::Conflict,
        // The collection of a create does not exist: its kind or its namespace is missing.
        404 if class != Class::Other || is_gone() => WriteErrorKind::NotFound,
        429 if class == Class::Eviction => WriteErrorKind::Refused,
        // A namespace that is going away answers 403 and stays that way; so does missing RBAC.
        400 | 402 | 403 | 405 | 406 | 411..=428 | 431..=499 => WriteErrorKind::Invalid,
        // 401 while credentials are renewed, 404 about no object while the server starts up, 408, 410, 429 when overloaded,
        // and every 5xx.
        _ => WriteErrorKind::Unavailable,
    };
    let seconds = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    WriteError {
        retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
        ..WriteError::new(kind, status.message.clone())
    }
}

const VERSION_PATH: &str = "/metadata/resourceVersion";

impl Cluster {
    /// Carries a plan out, in order. An action whose predecessors did not all succeed is skipped; a failure stops nothing
    /// else. Calls are left to the plugin host and count as asked.
    pub async fn execute(&self, subject: &Subject, plan: &Plan) -> Outcome {
        self.shared.looks.begin_pass(subject);
        let mut outcome = Outcome::default();
        for planned in &plan.actions {
            let ready = planned.after.iter().all(|index| outcome.succeeded(*index))
                || planted::is(Bug::PredecessorIgnored);
            let done = match &planned.action {
                _ if !ready => Done::Skipped,
                Action::Call(_) => Done::Asked,
                Action::Look(query) => match self.look(subject, query).await {
                    Ok(()) => Done::Asked,
                    Err(error) => Done::Failed(error),
                },
                Action::Write(write) => self.write(subject, write).await,
            };
            outcome.done.push(done);
        }
        outcome
    }

    /// Carries one write out, as a later part of the subject's latest pass: the status, for example.
    ///
    /// Where the precondition is older than what an earlier write of the pass has produced, that newer version is used;
    /// where it is newer (the subject was read again after a conflict) it stands.
    pub async fn write(&self, subject: &Subject, write: &Write) -> Done {
        match self.try_write(subject, write).await {
            Ok(object) => Done::Applied { object },
            Err(error) => {
                tracing::info!(target = %write.target, reason = write.reason, ?error, "write failed");
                if error.kind == WriteErrorKind::AlreadyExists {
                    self.meet(subject, &write.target).await;
                }
                Done::Failed(error)
            }
        }
    }

    async fn try_write(&self, subject: &Subject, write: &Write) -> Result<Written, WriteError> {
        let shared = &self.shared;
        let target = &write.target;
        let served = shared
            .discovery
            .find(&target.api_version, &target.kind)
            .await
            .map_err(refused)?;
        let earlier = shared.looks.written(subject, target);
        let version = match (&write.precondition, earlier) {
            (Some(version), Some(earlier)) if is_newer(&earlier, version) => Some(earlier),
            (precondition, _) => precondition.clone(),
        };
        let version = version.filter(|_| !planted::is(Bug::PreconditionDropped));
        let (method, content_type, body) = request_parts(shared, write, version);
        let create = matches!(write.edit, Edit::Create(_));
        let send = Send {
            served: &served,
            method,
            namespace: target.namespace.as_deref(),
            name: (!create || write.subresource == Subresource::Eviction)
                .then_some(target.name.as_str()),
            subresource: match write.subresource {
                Subresource::None => None,
                Subresource::Status => Some("status"),
                Subresource::Eviction => Some("eviction"),
            },
            content_type,
            body: &body,
            dry_run: false,
        };
        let answer = shared.writer.ask(&send).await;
        let answer = answer.and_then(|answer| {
            answer.map_err(|error| {
                if is_unknown_path(&error) {
                    shared.discovery.forget(&target.api_version);
                }
                classify(&error, &send)
            })
        });
        let has_no_effect = |error: &WriteError| {
            matches!(
                error.kind,
                WriteErrorKind::Invalid | WriteErrorKind::NotLeading
            )
        };
        if !answer.as_ref().is_err_and(has_no_effect) {
            shared.looks.forget_read(subject, target);
        }
        Ok(absorb(shared, subject, write, answer?))
    }

    /// The template as the API server defaults it: a ReplicaSet with it is created as a dry run.
    ///
    /// # Errors
    /// When the server cannot be asked now; a later attempt may succeed.
    pub(crate) async fn dry_run_template(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        template: &Value,
    ) -> Result<Defaulted, WriteError> {
        let served = Served::new("apps/v1", "ReplicaSet", "replicasets", true);
        let body = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": { "generateName": "template-", "namespace": namespace },
            "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": template },
        });
        let send = Send {
            served: &served,
            method: Method::POST,
            namespace: Some(namespace),
            name: None,
            subresource: None,
            content_type: JSON,
            body: &body,
            dry_run: true,
        };
        match self.shared.writer.ask(&send).await? {
            Ok(answer) => {
                let defaulted = answer.pointer("/spec/template").unwrap_or(&Value::Null);
                Ok(Defaulted::Identity(template::identity(defaulted, None)))
            }
            Err(Error::Api(status)) if is_invalid(&status) => {
                Ok(Defaulted::Invalid(without_name(&status.message).to_owned()))
            }
            Err(error) => match classify(&error, &send) {
                WriteError {
                    kind: WriteErrorKind::Invalid,
                    message,
                    ..
                } => Ok(Defaulted::Denied(message)),
                error => Err(error),
            },
        }
    }
}

/// Whether the API server itself finds fault with the object. Webhooks, policies, quotas and missing rights may answer
/// with the same code, in other words.
fn is_invalid(status: &kube::core::response::Status) -> bool {
    status.code == 422
        && !status.message.contains(" is forbidden: ")
        && !status.message.starts_with("admission webhook ")
}

/// What is wrong, without the name, which was made up for the occasion.
fn without_name(message: &str) -> &str {
    message
        .split_once("\" is invalid: ")
        .map_or(message, |(_, what)| what)
}

/// Method, media type and body of a planned write.
fn request_parts(
    shared: &Shared,
    write: &Write,
    version: Option<String>,
) -> (Method, &'static str, Value) {
    match &write.edit {
        Edit::Create(body) => {
            let body = match write.subresource {
                Subresource::Eviction if body.get("kind").is_none() => json!({
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": { "name": write.target.name, "namespace": write.target.namespace },
                }),
                Subresource::None | Subresource::Status | Subresource::Eviction => body.clone(),
            };
            (Method::POST, JSON, body)
        }
        Edit::MergePatch(patch) => {
            let mut patch = patch.clone();
            if let Some(version) = version {
                set_version(&mut patch, version);
            }
            (Method::PATCH, MERGE_PATCH, patch)
        }
        Edit::JsonPatch(patch) => {
            let mut patch = patch.clone();
            // Not a `test`: the API server answers a failed one with 422 and no word about what failed. A version that
            // is not the current one is a conflict, as in a merge patch.
            if let (Some(version), Value::Array(operations)) = (version, &mut patch) {
                operations.insert(
                    0,
                    json!({ "op": "replace", "path": VERSION_PATH, "value": version }),
                );
            }
            (Method::PATCH, JSON_PATCH, patch)
        }
        Edit::Delete(propagation) => {
            let mut preconditions = serde_json::Map::new();
            if let Some(uid) = shared.known_uid(&write.target) {
                preconditions.insert("uid".to_owned(), uid.into());
            }
            if let Some(version) = version {
                preconditions.insert("resourceVersion".to_owned(), version.into());
            }
            let mut options = json!({
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": match propagation {
                    Propagation::Background => "Background",
                    Propagation::Foreground => "Foreground",
                    Propagation::Orphan => "Orphan",
                },
            });
            if let (false, Some(options)) = (preconditions.is_empty(), options.as_object_mut()) {
                options.insert("preconditions".to_owned(), preconditions.into());
            }
            (Method::DELETE, JSON, options)
        }
    }
}

/// A merge patch that names a resourceVersion is refused with a conflict when it is not the current one.
fn set_version(patch: &mut Value, version: String) {
    let Some(fields) = patch.as_object_mut() else {
        return;
    };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
}

/// Keeps what the server answered.
fn absorb(shared: &Arc<Shared>, subject: &Subject, write: &Write, answer: Value) -> Written {
    let target = &write.target;
    let text = |pointer: &str| {
        answer
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let is_object = answer.get("kind").and_then(Value::as_str) != Some("Status")
        && write.subresource != Subresource::Eviction;
    if !is_object {
        // A finished delete answers with a Status that names the object's UID; an eviction with nothing of use.
        let uid = Some(text("/details/uid")).filter(|uid| !uid.is_empty());
        let uid = uid.or_else(|| shared.known_uid(target)).unwrap_or_default();
        if matches!(write.edit, Edit::Delete(_)) && !uid.is_empty() {
            shared.absorb_deletion(target, &uid);
        }
        return Written {
            name: target.name.clone(),
            uid,
            ..Written::default()
        };
    }
    let written = Written {
        name: text("/metadata/name"),
        uid: text("/metadata/uid"),
        resource_version: text("/metadata/resourceVersion"),
        generation: answer
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
    };
    let target = ObjectKey {
        name: written.name.clone(),
        ..target.clone()
    };
    shared
        .looks
        .remember_written(subject, target.clone(), written.resource_version.clone());
    if planted::is(Bug::OwnWriteNotAwaited) {
        return written;
    }
    let deleted = matches!(write.edit, Edit::Delete(_)) && !waits_for_finalizers(&answer);
    if deleted {
        // Some API servers answer a finished delete with the object as it was.
        shared.absorb_deletion(&target, &written.uid);
    } else {
        shared.absorb(&target, answer);
    }
    written
}

/// Whether an object that was deleted is still there.
fn waits_for_finalizers(object: &Value) -> bool {
    let finalizers = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    finalizers.is_some_and(|finalizers| !finalizers.is_empty())
        || object
            .pointer("/metadata/deletionGracePeriodSeconds")
            .and_then(Value::as_i64)
            .is_some_and(|left| left > 0)
}

/// A kind that cannot be found cannot be written.
fn refused(trouble: Trouble) -> WriteError {
    let (kind, message) = match trouble {
        Trouble::NotServed(message) => (WriteErrorKind::NotFound, message),
        Trouble::Forbidden(message) => (WriteErrorKind::Invalid, message),
        Trouble::Unavailable(message) => (WriteErrorKind::Unavailable, message),
    };
    WriteError::new(kind, message)
}

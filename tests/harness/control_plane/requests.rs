//! Counts the requests that a user made, from the API server's audit log.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use serde::Deserialize;
use tokio::time::sleep;

use super::components::Files;
use super::credentials::User;
use super::plane::ControlPlane;

/// How many requests there were by (verb, resource, subresource), such as `("patch", "rollouts", "status")`.
/// A watch counts when it begins. The resource is without its group.
pub type Requests = BTreeMap<(String, String, String), u64>;

/// A request that changed something, or was meant to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteRequest {
    /// Who sent it.
    pub user: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The resource without its group, and with `/` and its subresource if it is about one.
    pub resource: String,
    /// The name; empty when the API server gives it.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

/// How often and at what distance the log is read again for a request known to have been made.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

impl ControlPlane {
    /// The requests of a user since the control plane started, but those for no resource, such as
    /// discovery.
    ///
    /// # Errors
    /// If there is no audit log, as for a cluster of the user.
    pub async fn requests(&self, user: User) -> Result<Requests> {
        self.count(user, None).await
    }

    /// As [`ControlPlane::requests`], but only those in one namespace.
    ///
    /// # Errors
    /// As there.
    pub async fn requests_in(&self, user: User, namespace: &str) -> Result<Requests> {
        self.count(user, Some(namespace)).await
    }

    /// The writes of all users in a namespace, in the order in which they were answered.
    ///
    /// # Errors
    /// As [`ControlPlane::requests`].
    pub async fn writes_in(&self, namespace: &str) -> Result<Vec<WriteRequest>> {
        let logs = self
            .logs()
            .context("requests are logged only by a control plane of our own")?;
        let log = Files::audit_log(logs);
        self.catch_up(&log).await?;
        Ok(writes(&read(&log)?, namespace))
    }

    async fn count(&self, user: User, namespace: Option<&str>) -> Result<Requests> {
        let logs = self
            .logs()
            .context("requests are counted only by a control plane of our own")?;
        let log = Files::audit_log(logs);
        self.catch_up(&log).await?;
        Ok(count(&read(&log)?, user.name(), namespace))
    }

    /// Makes a request that can be recognised and waits until it is in the log: what was answered before
    /// that is there too.
    async fn catch_up(&self, log: &Path) -> Result<()> {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        let mark = format!(
            "/version?mark={}-{}",
            std::process::id(),
            MARKS.fetch_add(1, Ordering::Relaxed)
        );
        let question = Request::get(&mark).body(Vec::new())?;
        self.client(User::Admin)
            .await?
            .request_text(question)
            .await
            .context("failed to mark the audit log")?;
        for _ in 0..ATTEMPTS {
            if read(log)?.contains(&mark) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        ensure!(
            read(log)?.contains(&mark),
            "the audit log does not show a request that was answered"
        );
        Ok(())
    }
}

fn read(log: &Path) -> Result<String> {
    fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))
}

/// The fields of an audit event that matter here; source: `audit.k8s.io/v1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: Username,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

#[derive(Deserialize)]
struct Username {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

/// Counts in the text of a log, whose last line may be half written.
pub(super) fn count(log: &str, user: &str, namespace: Option<&str>) -> Requests {
    let mut requests = Requests::new();
    for event in log
        .lines()
        .filter_map(|line| serde_json::from_str::<Event>(line).ok())
    {
        let Some(object) = event.object_ref else {
            continue;
        };
        if event.user.username == user && namespace.is_none_or(|name| name == object.namespace) {
            *requests
                .entry((event.verb, object.resource, object.subresource))
                .or_default() += 1;
        }
    }
    requests
}

/// The writes in the text of a log.
pub(super) fn writes(log: &str, namespace: &str) -> Vec<WriteRequest> {
    let mut writes = Vec::new();
    for event in log
        .lines()
        .filter_map(|line| serde_json::from_str::<Event>(line).ok())
    {
        let Some(object) = event.object_ref.filter(|one| one.namespace == namespace) else {
            continue;
        };
        if matches!(event.verb.as_str(), "get" | "list" | "watch") {
            continue;
        }
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            subresource => format!("{}/{subresource}", object.resource),
        };
        writes.push(WriteRequest {
            user: event.user.username,
            verb: event.verb,
            resource,
            name: object.name,
            code: event.response_status.map_or(0, |status| status.code),
        });
    }
    writes
}

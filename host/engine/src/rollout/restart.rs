//! Restarts: every pod that is older than `spec.restartAt` is evicted, a few at a time (ledger RST rows).

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sluice_api as api;

use super::counts;
use super::pass::Pass;
use super::planner::{Meaning, Planner};
use crate::object::ObjectKey;
use crate::observed::{Looked, Pod, ReplicaSet};
use crate::plan::{Edit, Query, Requeue, Role, Subresource, Write};
use crate::report::Report;

/// When an eviction is tried again that the API server refused.
pub(crate) const REFUSED_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// How far a restart is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// None is asked for, or it is done.
    None,
    /// At this time.
    Later(Timestamp),
    /// The pods have to be listed first.
    Look(Vec<Query>),
    /// These are too old, in the order in which they go; so many may go now.
    Evict { old: Vec<ObjectKey>, now: usize },
    /// No pod is older: to be recorded.
    Done(api::Time),
}

/// Works out how far a restart is.
pub(crate) fn restart(pass: &Pass<'_>) -> Restart {
    // As the status writes it, or a fraction of a second would never be recorded.
    let Some(at) = pass.raw.spec.restart_at.map(api::Time::truncated) else {
        return Restart::None;
    };
    if pass.status.restarted_at == Some(at) {
        return Restart::None;
    }
    if at.0 > pass.now() {
        return Restart::Later(at.0);
    }
    let mut missing = Vec::new();
    let mut old = Vec::new();
    let mut available = 0_i32;
    for set in in_order(pass) {
        let query = query(pass, set);
        match pass.seen.looked.get(&query) {
            Some(Looked::Pods(pods)) => {
                let alive = || {
                    pods.iter()
                        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                };
                available = available.saturating_add(
                    i32::try_from(alive().filter(|pod| is_available(pass, pod)).count())
                        .unwrap_or(0),
                );
                old.extend(
                    alive()
                        .filter(|pod| is_older(pod, at))
                        .map(|pod| key(pass, pod)),
                );
            }
            Some(Looked::Template(_) | Looked::Object(_) | Looked::Failed(_)) | None => {
                missing.push(query)
            }
        }
    }
    if !missing.is_empty() {
        return Restart::Look(missing);
    }
    if old.is_empty() {
        return Restart::Done(at);
    }
    let wanted: i32 = pass.sets.all.iter().map(|set| set.replicas).sum();
    let unavailable = max_unavailable(pass).max(1);
    let floor = pass.replicas().max(wanted).saturating_sub(unavailable);
    let now = usize::try_from(available.saturating_sub(floor)).unwrap_or(0);
    Restart::Evict { old, now }
}

/// Whether a restart takes pods in this pass, or may have in the one before: the numbers in the ReplicaSets are not to be
/// relied upon. Pods that cannot be listed stop the restart and nothing else.
pub(crate) fn is_evicting(pass: &Pass<'_>) -> bool {
    match restart(pass) {
        Restart::None | Restart::Later(_) | Restart::Done(_) => false,
        Restart::Look(queries) => !queries
            .iter()
            .any(|query| matches!(pass.seen.looked.get(query), Some(Looked::Failed(_)))),
        Restart::Evict { now, .. } => now > 0,
    }
}

/// Plans the looks or evictions of this pass.
pub(crate) fn plan(pass: &Pass<'_>, planner: &mut Planner, report: &mut Report) -> Requeue {
    match restart(pass) {
        Restart::None | Restart::Done(_) => {}
        Restart::Later(time) => {
            report.wait_until("the restart", "spec.restartAt", time);
            return Requeue::At(time);
        }
        Restart::Look(queries) => queries.into_iter().for_each(|query| planner.look(query)),
        Restart::Evict { old, now } => {
            if now == 0 {
                report.wait("the restart", "restarted pods to become available");
            }
            for pod in old.into_iter().take(now) {
                let body = json!({
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": { "name": pod.name, "namespace": pod.namespace },
                });
                planner.write(
                    Role::Restart,
                    Write {
                        target: pod,
                        edit: Edit::Create(body),
                        subresource: Subresource::Eviction,
                        precondition: None,
                        reason: "older than spec.restartAt".to_owned(),
                    },
                    Meaning::Other,
                );
            }
        }
    }
    Requeue::OnChange
}

/// Sets with pods: stable first, then new, then the others (RST-001).
fn in_order<'a>(pass: &Pass<'a>) -> Vec<&'a ReplicaSet> {
    let mut sets: Vec<&ReplicaSet> = Vec::new();
    sets.extend(pass.sets.distinct_stable());
    sets.extend(pass.new_set());
    sets.extend(pass.sets.others());
    sets.retain(|set| set.replicas > 0 || set.status_replicas > 0);
    sets
}

/// Ready for `minReadySeconds`.
fn is_available(pass: &Pass<'_>, pod: &Pod) -> bool {
    let seconds = pass.raw.spec.min_ready_seconds;
    let long_enough = || {
        let wait = SignedDuration::from_secs(i64::from(seconds));
        pod.ready_since
            .is_some_and(|since| pass.after(since.0, wait) <= pass.now())
    };
    pod.ready && (seconds <= 0 || long_enough())
}

fn is_older(pod: &Pod, than: api::Time) -> bool {
    pod.metadata
        .creation_timestamp
        .is_some_and(|created| created < than)
}

fn query(pass: &Pass<'_>, set: &ReplicaSet) -> Query {
    Query::Pods {
        namespace: pass.raw.metadata.namespace.clone(),
        replica_set: set.metadata.name.clone(),
    }
}

fn key(pass: &Pass<'_>, pod: &Pod) -> ObjectKey {
    ObjectKey::namespaced(
        "v1",
        "Pod",
        &pass.raw.metadata.namespace,
        &pod.metadata.name,
    )
}

fn max_unavailable(pass: &Pass<'_>) -> i32 {
    counts::share_of(&pass.raw.spec.max_unavailable(), pass.replicas(), false)
}

//! Restarts: every pod that is older than `spec.restartAt` is evicted, a few at a time (ledger RST rows).
//!
//! A restart and everything else that takes pods share the number that may be missing. The ReplicaSets' own numbers say
//! of an eviction only a moment later, so for that moment no set loses pods; and an eviction counts with the sizes that
//! its pass gives the sets. One that the API server refuses takes nothing, and holds up nobody.

mod evict;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sluice_api as api;

use super::goal::Goal;
use super::pass::Pass;
use super::planner::Planner;
use crate::object::ObjectKey;
use crate::observed::{Looked, Pod, ReplicaSet};
use crate::plan::{Query, Requeue};
use crate::report::Report;

/// When an eviction is tried again that the API server refused.
pub(crate) const REFUSED_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// How far a restart is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Restart<'a> {
    /// None is asked for, or it is done.
    None,
    /// At this time.
    Later(Timestamp),
    /// The pods have to be listed first.
    Look(Vec<Query>),
    /// There are older pods, or sets that still count one.
    Underway(Vec<Listed<'a>>),
    /// No pod is older: to be recorded.
    Done(api::Time),
}

/// A set and its pods, as the API server has listed them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed<'a> {
    set: &'a ReplicaSet,
    available: i32,
    old: Vec<Old>,
}

/// A pod that is to go.
#[derive(Clone, Debug, PartialEq)]
struct Old {
    key: ObjectKey,
    available: bool,
}

impl Listed<'_> {
    /// Whether the set counts no pod as available that is gone. Those that it has beyond its size are on their way out.
    fn is_shown(&self) -> bool {
        self.available >= self.set.available.min(self.set.replicas)
    }
}

/// Works out how far a restart is.
pub(crate) fn restart<'a>(pass: &Pass<'a>) -> Restart<'a> {
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
    let sets = in_order(pass);
    let mut listed = Vec::new();
    for set in &sets {
        if let Some(Looked::Pods(pods)) = pass.seen.looked.get(&query(pass, set)) {
            listed.push(sorted_out(pass, set, pods, at));
        }
    }
    // A list lives one pass, so those of all sets are made at once: a set that appears between two passes would get its
    // own when the others have lost theirs, for ever.
    if listed.len() < sets.len() {
        return Restart::Look(sets.into_iter().map(|set| query(pass, set)).collect());
    }
    // A restart that is recorded is over, so the last eviction has to be in the sets' numbers before.
    if listed
        .iter()
        .all(|listed| listed.old.is_empty() && listed.is_shown())
    {
        return Restart::Done(at);
    }
    Restart::Underway(listed)
}

/// Whether the numbers in the ReplicaSets show every pod that a restart has taken. Pods that cannot be listed stop the
/// restart and nothing else.
pub(crate) fn is_shown(pass: &Pass<'_>) -> Result<(), String> {
    match restart(pass) {
        Restart::None | Restart::Later(_) | Restart::Done(_) => Ok(()),
        Restart::Look(queries) => {
            let failed = |query| matches!(pass.seen.looked.get(query), Some(Looked::Failed(_)));
            if queries.iter().any(failed) {
                Ok(())
            } else {
                Err("the pods are listed first, for the restart".to_owned())
            }
        }
        Restart::Underway(listed) => match listed.iter().find(|listed| !listed.is_shown()) {
            Some(Listed { set, available, .. }) => Err(format!(
                "ReplicaSet {} counts {} available pods where there are {available}",
                set.metadata.name, set.available
            )),
            None => Ok(()),
        },
    }
}

/// Plans the looks or evictions of this pass. Everything that gives sets another size is planned already.
pub(crate) fn plan(
    pass: &Pass<'_>,
    goal: &Goal,
    planner: &mut Planner,
    report: &mut Report,
) -> Requeue {
    match restart(pass) {
        Restart::None | Restart::Done(_) => Requeue::OnChange,
        Restart::Later(time) => {
            report.wait_until("the restart", "spec.restartAt", time);
            Requeue::At(time)
        }
        Restart::Look(queries) => {
            queries.into_iter().for_each(|query| planner.look(query));
            Requeue::OnChange
        }
        Restart::Underway(listed) => evict::plan(pass, goal, &listed, planner, report),
    }
}

/// The pods of a set that are alive, as far as a restart cares.
fn sorted_out<'a>(
    pass: &Pass<'_>,
    set: &'a ReplicaSet,
    pods: &[Arc<Pod>],
    at: api::Time,
) -> Listed<'a> {
    let mut listed = Listed {
        set,
        available: 0,
        old: Vec::new(),
    };
    for pod in pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
    {
        let available = is_available(pass, pod);
        listed.available = listed.available.saturating_add(i32::from(available));
        if is_older(pod, at) {
            let key = key(pass, pod);
            listed.old.push(Old { key, available });
        }
    }
    listed
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

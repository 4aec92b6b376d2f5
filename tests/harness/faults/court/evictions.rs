//! I8, for restarts: no more pods are taken than may be missing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sluice_simulation::Changed;

use super::mirror::text;
use super::{Court, Finding, Window};
use crate::faults::scene::NAME;

/// Pods that may be missing. What the scenes say and upstream's default come to no more, for so few pods.
const UNAVAILABLE: i64 = 1;

/// The Rollout's pods that serve, and those that did.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods(BTreeMap<String, Pod>);

#[derive(Clone, Copy, Debug)]
enum Pod {
    Serves,
    /// Since then not, and no restart is why.
    Lost(Timestamp),
    /// A restart has taken it.
    Taken,
}

impl Pods {
    /// Takes a change over; `taken` by a restart.
    pub fn note(&mut self, at: Timestamp, change: &Changed, taken: bool) {
        let is_ours = |pod: &Value| text(pod, "/metadata/labels/app") == NAME;
        if ![&change.before, &change.after]
            .into_iter()
            .flatten()
            .any(|pod| is_ours(pod))
        {
            return;
        }
        let serves = change.after.as_deref().is_some_and(serves);
        match self.0.get(&change.name) {
            _ if serves => self.0.insert(change.name.clone(), Pod::Serves),
            Some(Pod::Serves) if taken => self.0.insert(change.name.clone(), Pod::Taken),
            Some(Pod::Serves) => self.0.insert(change.name.clone(), Pod::Lost(at)),
            Some(Pod::Lost(_) | Pod::Taken) | None => None,
        };
    }

    /// The most pods that a controller can have taken for serving ones: of those that its own restart has taken it knows.
    fn most(&self, window: Window) -> i64 {
        let known = self.0.values().filter(|pod| match pod {
            Pod::Serves => true,
            Pod::Lost(at) => *at >= window.from,
            Pod::Taken => false,
        });
        i64::try_from(known.count()).unwrap_or(i64::MAX)
    }
}

fn serves(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready = |condition: &Value| {
        text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
    };
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && conditions.is_some_and(|conditions| conditions.iter().any(is_ready))
}

impl Court {
    /// A controller has made this change of a pod.
    pub(super) fn judge_eviction(&self, window: Window, change: &Changed) -> Vec<Finding> {
        let served = change.before.as_deref().is_some_and(serves);
        if !served || change.after.as_deref().is_some_and(serves) {
            return Vec::new();
        }
        if let Some(found) = self.judge_last(window, change) {
            return vec![found];
        }
        let left = self.pods.most(window) - 1;
        let floor = self.mirror.least_replicas(window) - UNAVAILABLE;
        if left >= floor {
            return Vec::new();
        }
        let text = format!(
            "{} is evicted, and {left} pods are left where {floor} must be",
            change.name
        );
        vec![("I8 restarts leave pods", text)]
    }

    /// The last pod that serves a share stays, unless its set is to have no other.
    fn judge_last(&self, window: Window, change: &Changed) -> Option<Finding> {
        let pod = change.before.as_deref()?;
        let hash = text(pod, "/metadata/labels/rollouts-pod-template-hash");
        let set = self.mirror.by_hash(hash)?;
        let share = self.mirror.traffic.share(hash);
        // A pod that has just become ready is none that anybody knew of.
        let one = set.pods.during(window).all(|pods| pods.ready == 1);
        let alone = one && set.least_wanted(window) > 1;
        (share > 0 && alone && !self.traffic_in_doubt(window)).then(|| {
            let text = format!(
                "{} is evicted, the last one for {share} % of the traffic",
                change.name
            );
            ("I8 restarts leave pods", text)
        })
    }
}

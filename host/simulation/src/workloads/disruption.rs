//! The disruption controller: counts for each PodDisruptionBudget how many of its pods may be evicted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::hands::Hands;
use super::{ownership, pod};
use crate::api::Api;
use crate::clock;
use crate::json;
use crate::selectors::LabelSelector;
use crate::server::is_terminating;
use crate::store::{Change, Key};

const ACTOR: &str = "disruption-controller";
/// How long an eviction that was allowed counts, though its pod was not deleted.
const DELETION_EXPECTED_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// The budgets whose pods a change is about.
pub(super) fn concerned(api: &Api, change: &Change) -> impl Iterator<Item = Key> + use<> {
    let budgets: Vec<Key> = api.with_server(|server| {
        server
            .store
            .list(
                &("policy".to_owned(), "poddisruptionbudgets".to_owned()),
                Some(change.key.0.as_str()),
            )
            .filter(|(_, budget)| {
                let selector = selector(budget);
                [&change.before, &change.after]
                    .into_iter()
                    .flatten()
                    .any(|pod| selector.matches(pod))
            })
            .map(|(key, _)| key.clone())
            .collect()
    });
    budgets.into_iter()
}

fn selector(budget: &Value) -> LabelSelector {
    budget
        .pointer("/spec/selector")
        .and_then(LabelSelector::from_object)
        .unwrap_or_default()
}

/// Counts the pods of a budget.
pub(super) fn reconcile(hands: &mut Hands<'_>, key: &Key) -> Option<Duration> {
    let budget = hands.get("policy", "poddisruptionbudgets", key)?;
    let selector = selector(&budget);
    let mut pods = hands.list("", "pods", &key.0);
    pods.retain(|pod| selector.matches(pod));
    let (expected, desired) = expectation(hands, &budget, &pods);
    let (disrupted, again) = still_disrupted(hands, &budget, &pods);
    let healthy = pods
        .iter()
        .filter(|pod| {
            !is_terminating(pod)
                && !disrupted.contains_key(json::text(pod, "/metadata/name"))
                && pod::is_ready(pod)
        })
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let allowed = if expected > 0 {
        (healthy - desired).max(0)
    } else {
        0
    };
    let generation = json::number(&budget, "/metadata/generation").unwrap_or_default();
    let mut status = json!({
        "conditions": [condition(hands, &budget, allowed > 0, generation)],
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": generation,
    });
    if !disrupted.is_empty() {
        json::set(&mut status, "disruptedPods", disrupted);
    }
    // Whoever changed it in between causes another look.
    let _ = hands.set_status(ACTOR, &budget, status);
    again
}

/// How many pods there should be, and how many of them healthy.
fn expectation(hands: &Hands<'_>, budget: &Value, pods: &[Arc<Value>]) -> (i64, i64) {
    let present = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if let Some(limit) = budget.pointer("/spec/maxUnavailable") {
        let expected = wished(hands, pods);
        return (expected, (expected - share(limit, expected)).max(0));
    }
    match budget.pointer("/spec/minAvailable") {
        Some(Value::Number(number)) => (present, number.as_i64().unwrap_or_default()),
        Some(limit) => {
            let expected = wished(hands, pods);
            (expected, share(limit, expected))
        }
        None => (present, 0),
    }
}

/// A number, or a percentage of the whole, rounded up.
fn share(limit: &Value, whole: i64) -> i64 {
    match limit {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or_default();
            (whole * percent + 99) / 100
        }
        limit => limit.as_i64().unwrap_or_default(),
    }
}

/// How many pods the controllers of these want together.
fn wished(hands: &Hands<'_>, pods: &[Arc<Value>]) -> i64 {
    let mut counted = BTreeSet::new();
    let mut sum = 0;
    for pod in pods {
        let Some((uid, replicas)) = scale_behind(hands, pod) else {
            continue;
        };
        if counted.insert(uid) {
            sum += replicas;
        }
    }
    sum
}

/// The UID and the wished replicas of what controls a pod: the Deployment behind its set, if there is one.
fn scale_behind(hands: &Hands<'_>, pod: &Value) -> Option<(String, i64)> {
    let namespace = json::text(pod, "/metadata/namespace");
    let controller_of = |object: &Value, kind: &str, plural: &str| {
        let owner =
            ownership::controller(object).filter(|owner| json::text(owner, "/kind") == kind)?;
        let name = json::text(owner, "/name").to_owned();
        hands.get("apps", plural, &(namespace.to_owned(), name))
    };
    let set = controller_of(pod, "ReplicaSet", "replicasets")
        .or_else(|| controller_of(pod, "StatefulSet", "statefulsets"))?;
    let scale = controller_of(&set, "Deployment", "deployments").unwrap_or(set);
    Some((
        json::text(&scale, "/metadata/uid").to_owned(),
        json::number(&scale, "/spec/replicas").unwrap_or(1),
    ))
}

/// Evictions that were allowed and whose pods are still there, and when the first of them is forgotten.
fn still_disrupted(
    hands: &Hands<'_>,
    budget: &Value,
    pods: &[Arc<Value>],
) -> (Map<String, Value>, Option<Duration>) {
    let mut left = Map::new();
    let mut again: Option<Duration> = None;
    let noted = budget
        .pointer("/status/disruptedPods")
        .and_then(Value::as_object);
    for (name, at) in noted.into_iter().flatten() {
        let waits = pods
            .iter()
            .any(|pod| json::text(pod, "/metadata/name") == name && !is_terminating(pod));
        let since = clock::parse(at.as_str().unwrap_or_default());
        let remaining = since.and_then(|since| {
            DELETION_EXPECTED_WITHIN.checked_sub(hands.now().duration_since(since))
        });
        if let Some(remaining) = remaining.and_then(|left| Duration::try_from(left).ok())
            && waits
        {
            left.insert(name.clone(), at.clone());
            again = Some(again.map_or(remaining, |again| again.min(remaining)));
        }
    }
    (left, again)
}

fn condition(hands: &Hands<'_>, budget: &Value, allowed: bool, generation: i64) -> Value {
    let (status, reason) = if allowed {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let before = json::entries(budget, "/status/conditions").first();
    let since = before
        .filter(|before| json::text(before, "/status") == status)
        .map(|before| json::text(before, "/lastTransitionTime").to_owned())
        .unwrap_or_else(|| hands.timestamp());
    json!({
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": since,
        "observedGeneration": generation,
    })
}

//! The ReplicaSet controller.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::hands::Hands;
use super::ownership;
use crate::clock;
use crate::json;
use crate::selectors::LabelSelector;
use crate::server::is_terminating;
use crate::store::{Key, version_of};

const ACTOR: &str = "replicaset-controller";

/// Brings pods to the wished number and the status to the pods.
pub(super) fn reconcile(hands: &mut Hands<'_>, key: &Key) -> Option<Duration> {
    let set = hands.get("apps", "replicasets", key)?;
    let pods = claim_pods(hands, &set);
    let wished = json::number(&set, "/spec/replicas").unwrap_or_default();
    let present = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if !is_terminating(&set) {
        if present < wished {
            for _ in present..wished {
                // A pod that is refused is refused again at the next look; the log says why.
                if hands.create(ACTOR, new_pod(&set)).is_err() {
                    break;
                }
            }
        } else {
            let surplus = usize::try_from(present - wished).unwrap_or_default();
            for pod in pods_to_delete_first(&pods).into_iter().take(surplus) {
                hands.delete(ACTOR, &pod, None, None);
            }
        }
    }
    // The status tells what was seen, not what was just asked for; the pods' own events bring the next look.
    let (status, again) = status(hands, &set, &pods);
    let set = hands.get("apps", "replicasets", key)?;
    // Whoever changed it in between causes another look.
    let _ = hands.set_status(ACTOR, &set, status);
    again
}

/// The set's active pods: its own that still match, and matching ones that nobody controls.
fn claim_pods(hands: &mut Hands<'_>, set: &Value) -> Vec<Arc<Value>> {
    let uid = json::text(set, "/metadata/uid");
    let selector = set
        .pointer("/spec/selector")
        .and_then(LabelSelector::from_object)
        .unwrap_or_default();
    let mut claimed = Vec::new();
    for pod in hands.list("", "pods", json::text(set, "/metadata/namespace")) {
        if !is_active(&pod) {
            continue;
        }
        let matches = selector.matches(&pod);
        let claim = match ownership::controller(&pod) {
            Some(_) if ownership::is_controlled_by(&pod, uid) && !matches => {
                release(hands, &pod, uid);
                None
            }
            Some(_) if ownership::is_controlled_by(&pod, uid) => Some(pod),
            Some(_) => None,
            None if matches && !is_terminating(set) => adopt(hands, &pod, set),
            None => None,
        };
        claimed.extend(claim);
    }
    claimed
}

fn release(hands: &mut Hands<'_>, pod: &Value, uid: &str) {
    let left: Vec<&Value> = json::entries(pod, "/metadata/ownerReferences")
        .iter()
        .filter(|owner| json::text(owner, "/uid") != uid)
        .collect();
    // Whoever changed it in between causes another look.
    let _ = hands.patch(ACTOR, pod, json!({"metadata": {"ownerReferences": left}}));
}

fn adopt(hands: &mut Hands<'_>, pod: &Value, set: &Value) -> Option<Arc<Value>> {
    let mut owners = json::entries(pod, "/metadata/ownerReferences").to_vec();
    owners.push(ownership::reference(set));
    hands
        .patch(ACTOR, pod, json!({"metadata": {"ownerReferences": owners}}))
        .ok()
}

fn is_active(pod: &Value) -> bool {
    !is_terminating(pod) && !matches!(json::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// A pod made from the set's template.
fn new_pod(set: &Value) -> Value {
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    super::pod::from_template(&template, set)
}

/// Active pods, the ones to delete first in front: not placed, not running, not ready, cheaper,
/// ready for less time, restarted more often, newer.
fn pods_to_delete_first(pods: &[Arc<Value>]) -> Vec<Arc<Value>> {
    let ready_since = |pod: &Value| super::pod::ready_since(pod).unwrap_or_default().to_owned();
    let restarts = |pod: &Value| -> i64 {
        json::entries(pod, "/status/containerStatuses")
            .iter()
            .filter_map(|status| json::number(status, "/restartCount"))
            .max()
            .unwrap_or_default()
    };
    let cost = |pod: &Value| -> i64 {
        json::text(
            pod,
            "/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost",
        )
        .parse()
        .unwrap_or_default()
    };
    let mut ordered = pods.to_vec();
    ordered.sort_by_key(|pod| {
        let placed = !json::text(pod, "/spec/nodeName").is_empty();
        let running = json::text(pod, "/status/phase") == "Running";
        let ready = super::pod::is_ready(pod);
        (
            (placed, running, ready, cost(pod)),
            // Later times first, and among equals the newest object.
            std::cmp::Reverse(ready_since(pod)),
            std::cmp::Reverse(restarts(pod)),
            std::cmp::Reverse(json::text(pod, "/metadata/creationTimestamp").to_owned()),
            std::cmp::Reverse(version_of(pod)),
        )
    });
    ordered
}

/// The status that follows from the pods, and when it will change by time alone.
fn status(hands: &Hands<'_>, set: &Value, pods: &[Arc<Value>]) -> (Value, Option<Duration>) {
    let template_labels = set
        .pointer("/spec/template/metadata/labels")
        .unwrap_or(&Value::Null);
    let fully = LabelSelector::from_map(template_labels);
    let minimum = json::number(set, "/spec/minReadySeconds").unwrap_or_default();
    let (mut labeled, mut ready, mut available) = (0, 0, 0);
    let mut again: Option<Duration> = None;
    for pod in pods {
        labeled += i64::from(fully.matches(pod));
        if !super::pod::is_ready(pod) {
            continue;
        }
        ready += 1;
        match time_until_available(hands, pod, minimum) {
            None => available += 1,
            Some(left) => again = Some(again.map_or(left, |again| again.min(left))),
        }
    }
    let mut status = set.get("status").cloned().unwrap_or_else(|| json!({}));
    json::set(&mut status, "replicas", pods.len());
    for (field, count) in [
        ("fullyLabeledReplicas", labeled),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ] {
        // Zero is left out, as Go's omitempty does.
        if count == 0 {
            json::take(&mut status, field);
        } else {
            json::set(&mut status, field, count);
        }
    }
    json::set(&mut status, "terminatingReplicas", terminating(hands, set));
    json::set(
        &mut status,
        "observedGeneration",
        json::number(set, "/metadata/generation").unwrap_or_default(),
    );
    (status, again)
}

/// Pods of the set that were deleted and are not gone yet.
fn terminating(hands: &Hands<'_>, set: &Value) -> usize {
    hands
        .list("", "pods", json::text(set, "/metadata/namespace"))
        .iter()
        .filter(|pod| {
            is_terminating(pod)
                && ownership::is_controlled_by(pod, json::text(set, "/metadata/uid"))
        })
        .count()
}

/// How long a ready pod still has to stay so until it counts as available; nothing if it does already.
pub(super) fn time_until_available(
    hands: &Hands<'_>,
    pod: &Value,
    minimum_seconds: i64,
) -> Option<Duration> {
    if minimum_seconds <= 0 {
        return None;
    }
    let since = clock::parse(super::pod::ready_since(pod)?)?;
    let passed = hands.now().duration_since(since);
    let wanted = jiff::SignedDuration::from_secs(minimum_seconds);
    let left = wanted.checked_sub(passed)?;
    if left.is_positive() {
        Duration::try_from(left).ok()
    } else {
        None
    }
}

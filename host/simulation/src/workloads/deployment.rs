//! The Deployment controller: one ReplicaSet per template, and the way from the old ones to the new.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::hands::Hands;
use super::ownership;
use crate::clock;
use crate::json;
use crate::server::is_terminating;
use crate::store::Key;

const ACTOR: &str = "deployment-controller";
const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

/// Brings the Deployment's ReplicaSets and status on.
pub(super) fn reconcile(hands: &mut Hands<'_>, key: &Key) -> Option<Duration> {
    let deployment = hands.get("apps", "deployments", key)?;
    let sets = own_sets(hands, &deployment);
    let template = deployment
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let newest = sets
        .iter()
        .find(|set| same_template(set, &template))
        .cloned();
    if is_terminating(&deployment) {
        return None;
    }
    let old: Vec<Arc<Value>> = sets
        .iter()
        .filter(|set| {
            newest
                .as_ref()
                .is_none_or(|newest| !Arc::ptr_eq(set, newest))
        })
        .cloned()
        .collect();
    let plan = Plan::of(&deployment);
    if json::flag(&deployment, "/spec/paused") {
        follow_scale(hands, &plan, &sets);
    } else {
        match &newest {
            Some(newest) => {
                mark_revision(hands, &deployment, newest, &old);
                roll(hands, &plan, newest, &old);
            }
            None if plan.recreate && (replicas(&old) > 0 || pods_of(hands, &old) > 0) => {
                for set in &old {
                    scale(hands, set, 0);
                }
            }
            None => create_set(hands, &deployment, &plan, &old),
        }
    }
    clean_up(hands, &deployment, &plan, newest.as_deref(), &old);
    let deployment = hands.get("apps", "deployments", key)?;
    let (status, again) = status(hands, &deployment, &plan);
    // Whoever changed it in between causes another look.
    let _ = hands.set_status(ACTOR, &deployment, status);
    again
}

/// What the spec asks for.
struct Plan {
    wished: i64,
    recreate: bool,
    surge: i64,
    unavailable: i64,
}

impl Plan {
    fn of(deployment: &Value) -> Self {
        let wished = json::number(deployment, "/spec/replicas").unwrap_or(1);
        let recreate = json::text(deployment, "/spec/strategy/type") == "Recreate";
        let part = |field: &str, up: bool| {
            let value = deployment.pointer(&format!("/spec/strategy/rollingUpdate/{field}"));
            value.map_or(0, |value| share(value, wished, up))
        };
        let (surge, mut unavailable) = (part("maxSurge", true), part("maxUnavailable", false));
        if surge == 0 && unavailable == 0 {
            // Both rounded to nothing would never move.
            unavailable = 1;
        }
        Self {
            wished,
            recreate,
            surge,
            unavailable,
        }
    }
}

/// A number or a percentage of a whole, rounded up or down.
fn share(value: &Value, whole: i64, up: bool) -> i64 {
    let percent = value
        .as_str()
        .and_then(|text| text.strip_suffix('%'))
        .and_then(|text| text.parse::<i64>().ok());
    match percent {
        Some(percent) if up => (whole * percent + 99) / 100,
        Some(percent) => whole * percent / 100,
        None => value.as_i64().unwrap_or_default(),
    }
}

fn own_sets(hands: &Hands<'_>, deployment: &Value) -> Vec<Arc<Value>> {
    let uid = json::text(deployment, "/metadata/uid");
    let namespace = json::text(deployment, "/metadata/namespace");
    let mut sets = hands.list("apps", "replicasets", namespace);
    sets.retain(|set| ownership::is_controlled_by(set, uid));
    sets.sort_by_key(|set| revision(set));
    sets
}

fn revision(object: &Value) -> i64 {
    json::text(object, REVISION).parse().unwrap_or_default()
}

fn same_template(set: &Value, template: &Value) -> bool {
    let mut of_set = set.pointer("/spec/template").cloned().unwrap_or_default();
    if let Some(labels) = of_set.pointer_mut("/metadata/labels") {
        json::take(labels, HASH_LABEL);
    }
    of_set == *template
}

fn replicas(sets: &[Arc<Value>]) -> i64 {
    sets.iter()
        .filter_map(|set| json::number(set, "/spec/replicas"))
        .sum()
}

fn sum(sets: &[Arc<Value>], pointer: &str) -> i64 {
    sets.iter()
        .filter_map(|set| json::number(set, pointer))
        .sum()
}

/// Pods of these sets that still exist, terminating ones included.
fn pods_of(hands: &Hands<'_>, sets: &[Arc<Value>]) -> usize {
    sets.iter()
        .map(|set| {
            let uid = json::text(set, "/metadata/uid");
            hands
                .list("", "pods", json::text(set, "/metadata/namespace"))
                .iter()
                .filter(|pod| ownership::is_controlled_by(pod, uid))
                .count()
        })
        .sum()
}

fn scale(hands: &mut Hands<'_>, set: &Value, replicas: i64) {
    if json::number(set, "/spec/replicas") != Some(replicas) {
        // Whoever changed it in between causes another look.
        let _ = hands.patch(ACTOR, set, json!({"spec": {"replicas": replicas}}));
    }
}

/// Without a rollout, the one set that has pods follows the Deployment's number.
fn follow_scale(hands: &mut Hands<'_>, plan: &Plan, sets: &[Arc<Value>]) {
    let mut active = sets
        .iter()
        .filter(|set| json::number(set, "/spec/replicas").unwrap_or_default() > 0);
    if let (Some(only), None) = (active.next(), active.next()) {
        scale(hands, only, plan.wished);
    }
}

fn create_set(hands: &mut Hands<'_>, deployment: &Value, plan: &Plan, old: &[Arc<Value>]) {
    let mut template = deployment
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let hash = hash(&template);
    let labels = json::child(json::child(&mut template, "metadata"), "labels");
    json::set(labels, HASH_LABEL, hash.as_str());
    let labels = labels.clone();
    let mut selector = deployment
        .pointer("/spec/selector")
        .cloned()
        .unwrap_or_default();
    json::set(
        json::child(&mut selector, "matchLabels"),
        HASH_LABEL,
        hash.as_str(),
    );
    let revision = old
        .iter()
        .map(|set| revision(set))
        .max()
        .unwrap_or_default()
        + 1;
    let name = json::text(deployment, "/metadata/name");
    let room = plan.wished + plan.surge - replicas(old);
    let first = if plan.recreate {
        plan.wished
    } else {
        plan.wished.min(room.max(0))
    };
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{name}-{hash}"),
            "namespace": json::text(deployment, "/metadata/namespace"),
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [ownership::reference(deployment)],
        },
        "spec": {
            "replicas": first,
            "minReadySeconds": json::number(deployment, "/spec/minReadySeconds").unwrap_or_default(),
            "selector": selector,
            "template": template,
        },
    });
    if hands.create(ACTOR, set).is_ok() {
        annotate_revision(hands, deployment, revision);
    }
}

/// The newest set has the highest revision, also when an old template returns.
fn mark_revision(hands: &mut Hands<'_>, deployment: &Value, newest: &Value, old: &[Arc<Value>]) {
    let highest = old
        .iter()
        .map(|set| revision(set))
        .max()
        .unwrap_or_default();
    let wanted = revision(newest).max(highest + 1);
    if revision(newest) != wanted {
        annotate_revision(hands, newest, wanted);
    }
    if revision(deployment) != wanted {
        annotate_revision(hands, deployment, wanted);
    }
}

fn annotate_revision(hands: &mut Hands<'_>, object: &Value, revision: i64) {
    let patch = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": revision.to_string()}}});
    // Whoever changed it in between causes another look.
    let _ = hands.patch(ACTOR, object, patch);
}

/// One step from the old sets to the new one.
fn roll(hands: &mut Hands<'_>, plan: &Plan, newest: &Arc<Value>, old: &[Arc<Value>]) {
    let of_new = json::number(newest, "/spec/replicas").unwrap_or_default();
    if plan.recreate {
        for set in old {
            scale(hands, set, 0);
        }
        if pods_of(hands, old) == 0 {
            scale(hands, newest, plan.wished);
        }
        return;
    }
    let total = replicas(old) + of_new;
    if of_new > plan.wished {
        scale(hands, newest, plan.wished);
    } else if of_new < plan.wished {
        let room = (plan.wished + plan.surge - total).max(0);
        scale(hands, newest, plan.wished.min(of_new + room));
    }
    let floor = plan.wished - plan.unavailable;
    let available_of_new = json::number(newest, "/status/availableReplicas").unwrap_or_default();
    let mut removable = (total - floor - (of_new - available_of_new)).max(0);
    // Old pods that do not serve go first and cost no capacity.
    let mut kept = Vec::new();
    for set in old {
        let present = json::number(set, "/spec/replicas").unwrap_or_default();
        let available = json::number(set, "/status/availableReplicas").unwrap_or_default();
        let sick = (present - available).clamp(0, removable);
        removable -= sick;
        kept.push((set, present - sick, sick > 0));
    }
    let mut spare = sum(old, "/status/availableReplicas") + available_of_new - floor;
    for (set, left, changed) in kept {
        let down = left.min(removable).min(spare.max(0));
        removable -= down;
        spare -= down;
        if changed || down > 0 {
            scale(hands, set, left - down);
        }
    }
}

/// Forgets the oldest sets beyond the history limit, once the rollout is complete.
fn clean_up(
    hands: &mut Hands<'_>,
    deployment: &Value,
    plan: &Plan,
    newest: Option<&Value>,
    old: &[Arc<Value>],
) {
    let complete = newest.is_some_and(|newest| {
        json::number(newest, "/status/availableReplicas").unwrap_or_default() == plan.wished
            && replicas(old) == 0
    });
    if !complete {
        return;
    }
    let limit = json::number(deployment, "/spec/revisionHistoryLimit").unwrap_or(10);
    let surplus = old
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or_default());
    let idle = old.iter().filter(|set| {
        json::number(set, "/status/replicas").unwrap_or_default() == 0 && !is_terminating(set)
    });
    for set in idle.take(surplus) {
        hands.delete(ACTOR, set, None, None);
    }
}

fn status(hands: &Hands<'_>, deployment: &Value, plan: &Plan) -> (Value, Option<Duration>) {
    let sets = own_sets(hands, deployment);
    let template = deployment
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let newest = sets.iter().find(|set| same_template(set, &template));
    let of_newest = |pointer: &str| {
        newest
            .and_then(|set| json::number(set, pointer))
            .unwrap_or_default()
    };
    let (total, available) = (
        sum(&sets, "/status/replicas"),
        sum(&sets, "/status/availableReplicas"),
    );
    let updated = of_newest("/status/replicas");
    let before = deployment
        .get("status")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut status = before.clone();
    json::set(
        &mut status,
        "observedGeneration",
        json::number(deployment, "/metadata/generation").unwrap_or_default(),
    );
    for (field, count) in [
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", sum(&sets, "/status/readyReplicas")),
        ("availableReplicas", available),
        (
            "unavailableReplicas",
            (plan.wished.max(total) - available).max(0),
        ),
    ] {
        // Zero is left out, as Go's omitempty does.
        if count == 0 {
            json::take(&mut status, field);
        } else {
            json::set(&mut status, field, count);
        }
    }
    json::set(
        &mut status,
        "terminatingReplicas",
        sum(&sets, "/status/terminatingReplicas"),
    );
    let enough = available >= plan.wished - plan.unavailable;
    set_condition(
        hands,
        &mut status,
        "Available",
        enough,
        if enough {
            "MinimumReplicasAvailable"
        } else {
            "MinimumReplicasUnavailable"
        },
        if enough {
            "Deployment has minimum availability."
        } else {
            "Deployment does not have minimum availability."
        },
        false,
    );
    let name = newest
        .map(|set| json::text(set, "/metadata/name"))
        .unwrap_or_default();
    let complete = newest.is_some()
        && updated == plan.wished
        && total == plan.wished
        && of_newest("/status/availableReplicas") == plan.wished;
    let counts = |status: &Value| {
        [
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
        ]
        .map(|field| json::number(status, &format!("/{field}")).unwrap_or_default())
    };
    let moved = counts(&before) != counts(&status);
    let mut again = None;
    if complete {
        let text = format!("ReplicaSet \"{name}\" has successfully progressed.");
        set_condition(
            hands,
            &mut status,
            "Progressing",
            true,
            "NewReplicaSetAvailable",
            &text,
            moved,
        );
    } else {
        let late = has_reason(&before, "ProgressDeadlineExceeded")
            || time_left(hands, deployment, &before).is_some_and(|left| !left.is_positive());
        if late && !moved {
            let text = format!("ReplicaSet \"{name}\" has timed out progressing.");
            set_condition(
                hands,
                &mut status,
                "Progressing",
                false,
                "ProgressDeadlineExceeded",
                &text,
                false,
            );
        } else {
            let text = format!("ReplicaSet \"{name}\" is progressing.");
            set_condition(
                hands,
                &mut status,
                "Progressing",
                true,
                "ReplicaSetUpdated",
                &text,
                moved,
            );
            again = time_left(hands, deployment, &status)
                .and_then(|left| Duration::try_from(left).ok());
        }
    }
    (status, again)
}

fn has_reason(status: &Value, reason: &str) -> bool {
    json::entries(status, "/conditions")
        .iter()
        .any(|condition| json::text(condition, "/reason") == reason)
}

/// How long the rollout may go on without progress.
fn time_left(hands: &Hands<'_>, deployment: &Value, status: &Value) -> Option<SignedDuration> {
    let limit = json::number(deployment, "/spec/progressDeadlineSeconds")?;
    let progressing = json::entries(status, "/conditions")
        .iter()
        .find(|condition| json::text(condition, "/type") == "Progressing")?;
    if json::text(progressing, "/reason") == "NewReplicaSetAvailable" {
        return None;
    }
    let updated = clock::parse(json::text(progressing, "/lastUpdateTime"))?;
    SignedDuration::from_secs(limit).checked_sub(hands.now().duration_since(updated))
}

fn set_condition(
    hands: &Hands<'_>,
    status: &mut Value,
    name: &str,
    holds: bool,
    reason: &str,
    message: &str,
    renewed: bool,
) {
    let at = hands.timestamp();
    let text = if holds { "True" } else { "False" };
    let mut conditions = json::entries(status, "/conditions").to_vec();
    let place = conditions
        .iter()
        .position(|condition| json::text(condition, "/type") == name);
    let before = place.map_or(Value::Null, |place| conditions.remove(place));
    let same = json::text(&before, "/status") == text && json::text(&before, "/reason") == reason;
    let mut condition = json!({
        "type": name,
        "status": text,
        "reason": reason,
        "message": message,
        "lastUpdateTime": at,
        "lastTransitionTime": at,
    });
    if same && !renewed {
        json::restore(&mut condition, &before, "lastUpdateTime");
    }
    if json::text(&before, "/status") == text {
        json::restore(&mut condition, &before, "lastTransitionTime");
    }
    conditions.insert(place.unwrap_or(conditions.len()), condition);
    json::set(status, "conditions", conditions);
}

/// A hash of a template in the characters of generated names.
fn hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = template
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut text = String::new();
    for _ in 0..10 {
        let pick = usize::try_from(hash % 27).unwrap_or_default();
        text.extend(ALPHABET.get(pick).map(|byte| char::from(*byte)));
        hash /= 27;
    }
    text
}

//! Conditions of a Rollout, as passes arrive at them.

use serde_json::{Value, json};
use sluice_api as api;
use sluice_api::{ConditionStatus, RolloutConditionType};

use super::world::World;
use crate::rollout::conditions;

fn time(text: &str) -> api::Time {
    text.parse().unwrap()
}

// How a condition is set.
#[test]
fn a_condition_that_says_the_same_is_left_alone_and_a_changed_one_goes_to_the_end() {
    let mut status = api::RolloutStatus::default();
    let (first, later) = (time("2024-05-06T07:08:09Z"), time("2024-05-06T08:00:00Z"));
    let mut set =
        |at, type_: RolloutConditionType, value: ConditionStatus, reason: &str, message: &str| {
            let changed = conditions::set(&mut status, at, type_, value, reason, message);
            let shown: Vec<String> = status
                .conditions
                .iter()
                .map(|condition| {
                    let moved = if condition.last_transition_time == later {
                        " later"
                    } else {
                        ""
                    };
                    format!(
                        "{} {} {}{moved}",
                        condition.type_, condition.reason, condition.message
                    )
                })
                .collect();
            (changed, shown.join(", "))
        };
    let progressing = RolloutConditionType::Progressing;
    let available = RolloutConditionType::Available;
    let (yes, no) = (ConditionStatus::True, ConditionStatus::False);
    assert_eq!(
        set(first, progressing.clone(), yes.clone(), "A", "a"),
        (true, "Progressing A a".to_owned())
    );
    set(first, available, no.clone(), "B", "b");
    // A message alone is no change.
    assert_eq!(
        set(later, progressing.clone(), yes.clone(), "A", "other"),
        (false, "Progressing A a, Available B b".to_owned())
    );
    // Another reason: to the end, and the transition time stays.
    assert_eq!(
        set(later, progressing.clone(), yes, "C", "c"),
        (true, "Available B b, Progressing C c".to_owned())
    );
    assert_eq!(
        set(later, progressing, no, "C", "c"),
        (true, "Available B b, Progressing C c later".to_owned())
    );
}

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] })
}

fn conditions_of(world: &World) -> Vec<String> {
    world
        .status()
        .conditions
        .iter()
        .map(|condition| {
            format!(
                "{} {}",
                condition.type_,
                world.condition(condition.type_.as_str())
            )
        })
        .collect()
}

// CND-002, CND-003, CND-006, CND-007, CND-009, CND-015, CND-016, CND-017, CND-018
#[test]
fn an_update_goes_through_its_conditions() {
    let mut world = World::canary(steps());
    world.pods_get_ready(false);
    world.settle();
    assert_eq!(
        conditions_of(&world),
        [
            "Available False AvailableReason: Rollout does not have minimum availability",
            "Completed True RolloutCompleted: RolloutCompleted",
            "Progressing True ReplicaSetUpdated: ReplicaSet \"web-r1\" is progressing.",
        ]
    );
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        "True NewReplicaSetAvailable: ReplicaSet \"web-r1\" has successfully progressed."
    );
    assert_eq!(
        world.condition("Available"),
        "True AvailableReason: Rollout has minimum availability"
    );
    assert_eq!(
        world.condition("Healthy"),
        "True RolloutHealthy: Rollout is healthy"
    );
    assert_eq!(world.condition("Paused"), "absent");

    world.release("web:2");
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutPaused: Rollout is paused"
    );
    assert_eq!(
        world.condition("Paused"),
        "True RolloutPaused: Rollout is paused"
    );
    assert_eq!(
        world.condition("Healthy"),
        "False RolloutHealthy: Rollout is not healthy"
    );
    assert_eq!(
        world.condition("Completed"),
        "False RolloutCompleted: RolloutCompleted"
    );

    world.promote();
    world.pods_get_ready(false);
    world.settle();
    assert_eq!(
        world.condition("Paused"),
        "False RolloutPaused: Rollout is paused"
    );
    assert_eq!(
        world.condition("Progressing"),
        "True ReplicaSetUpdated: ReplicaSet \"web-r2\" is progressing."
    );
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(
        world.condition("Healthy"),
        "True RolloutHealthy: Rollout is healthy"
    );
    assert_eq!(
        world.condition("Completed"),
        "True RolloutCompleted: RolloutCompleted"
    );
}

// CND-008, CND-018, CND-022
#[test]
fn a_promoted_rollout_that_loses_pods_says_so_and_is_late_as_any_other() {
    let mut world = World::canary(json!({}));
    world.edit(json!({ "progressDeadlineSeconds": 30 }));
    world.settle();
    world.pods_get_ready(false);
    world.pods_ready(1, 7);
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        "True ReplicaSetNotAvailable: Rollout does not have minimum availability"
    );
    assert_eq!(
        world.condition("Available"),
        "False AvailableReason: Rollout does not have minimum availability"
    );
    assert_eq!(
        world.condition("Healthy"),
        "False RolloutHealthy: Rollout is not healthy"
    );
    assert_eq!(
        world.phase(),
        "Progressing: updated replicas are still becoming available"
    );
    // CND-013
    world.sleep();
    assert_eq!(
        world.phase(),
        "Degraded: ProgressDeadlineExceeded: ReplicaSet \"web-r1\" has timed out progressing."
    );
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.phase(), "Healthy");
}

// CND-019
#[test]
fn a_failing_set_is_reported_the_new_one_first() {
    let mut world = World::canary(steps());
    world.settle();
    world.release("web:2");
    world.settle();
    let fail = |world: &mut World, revision: usize, message: &str| {
        let name = format!("web-{}", world.hash(revision));
        let mut set = world.object("ReplicaSet", &name).clone();
        set["status"]["conditions"] = match message {
            "" => json!([]),
            message => json!([{
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
                "lastTransitionTime": "2024-01-01T00:00:00Z",
            }]),
        };
        world.replace("ReplicaSet", &name, set);
        world.settle();
        world.condition("ReplicaFailure")
    };
    assert_eq!(fail(&mut world, 1, "quota"), "True FailedCreate: quota");
    let failure = world.status().conditions.last().unwrap().clone();
    assert_eq!(failure.last_transition_time, time("2024-01-01T00:00:00Z"));
    assert_eq!(failure.last_update_time, time("2024-01-01T00:00:00Z"));
    assert_eq!(fail(&mut world, 1, ""), "absent");
    fail(&mut world, 1, "of the old one");
    assert_eq!(fail(&mut world, 1, ""), "absent");
    assert_eq!(
        fail(&mut world, 2, "of the new one"),
        "True FailedCreate: of the new one"
    );
}

// CND-021, REC-024: every sign of progress starts the deadline anew, and only those do.
#[test]
fn progress_starts_the_deadline_anew() {
    let mut world = World::canary(json!({ "maxSurge": 2, "maxUnavailable": 0 }));
    world.edit(json!({ "progressDeadlineSeconds": 100 }));
    world.settle();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    let update = |world: &World| {
        let status = world.status();
        let condition = conditions::find(&status, &RolloutConditionType::Progressing).unwrap();
        condition.last_update_time
    };
    let began = update(&world);
    world.advance(60);
    world.settle();
    assert_eq!(update(&world), began);
    world.pods_ready(2, 1);
    world.settle();
    let moved = update(&world);
    assert!(moved > began);
    world.advance(60);
    world.settle();
    assert_eq!(
        world.phase(),
        "Progressing: more replicas need to be updated"
    );
    world.sleep();
    assert_eq!(
        world.phase(),
        "Degraded: ProgressDeadlineExceeded: ReplicaSet \"web-r2\" has timed out progressing."
    );
}

// CND-005: carried on from a controller that left no Progressing condition.
#[test]
fn a_set_that_was_there_before_is_found() {
    let mut world = World::canary(json!({}));
    world.settle();
    let mut rollout = world.object("Rollout", "web").clone();
    rollout["status"]["conditions"] = json!([]);
    world.replace("Rollout", "web", rollout);
    world.pods_get_ready(false);
    world.pods_ready(1, 5);
    world.pass();
    assert_eq!(
        world.condition("Progressing"),
        "True FoundNewReplicaSet: Found new replica set \"web-r1\""
    );
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.phase(), "Healthy");
}

// KEY-019, REC-015, RO-006: what the Rollout carries, its set carries too.
#[test]
fn annotations_and_readiness_follow_the_rollout() {
    let mut world = World::canary(steps());
    world.settle();
    let mut rollout = world.object("Rollout", "web").clone();
    rollout["metadata"]["annotations"]["team"] = json!("shop");
    rollout["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        json!("{}");
    world.replace("Rollout", "web", rollout);
    world.edit(json!({ "minReadySeconds": 7 }));
    world.settle();
    let set = world.object("ReplicaSet", &format!("web-{}", world.hash(1)));
    let annotations = &set["metadata"]["annotations"];
    assert_eq!(annotations["team"], "shop");
    assert_eq!(
        annotations["kubectl.kubernetes.io/last-applied-configuration"],
        Value::Null
    );
    assert_eq!(annotations["rollout.argoproj.io/desired-replicas"], "10");
    assert_eq!(set["spec"]["minReadySeconds"], 7);
}

// HASH-008, CA-016, KEY-001
#[test]
fn a_new_set_carries_hash_owner_and_anti_affinity() {
    let mut world = World::canary(
        json!({ "antiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {} } }),
    );
    world.settle();
    let set = |world: &World, revision: usize| {
        world
            .object("ReplicaSet", &format!("web-{}", world.hash(revision)))
            .clone()
    };
    let first = set(&world, 1);
    assert_eq!(
        first["spec"]["template"]["spec"]["affinity"],
        Value::Null,
        "there is no stable set to keep away from"
    );
    let hash = world.hash(1);
    for labels in [
        &first["metadata"]["labels"],
        &first["spec"]["selector"]["matchLabels"],
        &first["spec"]["template"]["metadata"]["labels"],
    ] {
        assert_eq!(
            *labels,
            json!({ "app": "web", "rollouts-pod-template-hash": hash })
        );
    }
    let owner = &first["metadata"]["ownerReferences"][0];
    assert_eq!(
        *owner,
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "uid-web",
            "controller": true, "blockOwnerDeletion": true,
        })
    );
    world.release("web:2");
    world.settle();
    let second = set(&world, 2);
    let terms = &second["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
    assert_eq!(
        terms["requiredDuringSchedulingIgnoredDuringExecution"],
        json!([{
            "labelSelector": { "matchExpressions": [
                { "key": "rollouts-pod-template-hash", "operator": "In", "values": [hash] },
            ] },
            "namespaces": ["shop"],
            "topologyKey": "kubernetes.io/hostname",
        }])
    );
}

// BG-011: a preview keeps away from the active set in the same way.
#[test]
fn a_preview_carries_its_anti_affinity_too() {
    let mut world = World::blue_green(json!({ "antiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": { "weight": 7 },
    } }));
    world.settle();
    world.release("web:2");
    world.settle();
    let second = world.object("ReplicaSet", &format!("web-{}", world.hash(2)));
    let terms = &second["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
    assert_eq!(
        terms["preferredDuringSchedulingIgnoredDuringExecution"],
        json!([{ "weight": 7, "podAffinityTerm": {
            "labelSelector": { "matchExpressions": [
                { "key": "rollouts-pod-template-hash", "operator": "In", "values": [world.hash(1)] },
            ] },
            "namespaces": ["shop"],
            "topologyKey": "kubernetes.io/hostname",
        } }])
    );
}

// RO-001, REC-009
#[test]
fn a_rollout_without_a_size_gets_one() {
    let mut world = World::canary(json!({}));
    world.edit(json!({ "replicas": null }));
    world.settle();
    assert_eq!(world.rollout().spec.replicas, Some(1));
    assert_eq!(world.sizes(), "r1 1/1");
}

// CND-004: upstream writes it on its own; in the one status of a pass that the set makes progress follows at once.
#[test]
fn a_set_that_was_created_is_progress() {
    for mut world in [
        World::canary(json!({})),
        World::blue_green(json!({ "activeService": "active" })),
    ] {
        world.settle();
        world.pods_get_ready(false);
        world.release("web:2");
        let mut seen = Vec::new();
        for _ in 0..4 {
            world.pass();
            seen.push(world.condition("Progressing"));
        }
        seen.dedup();
        assert_eq!(
            seen,
            [
                r#"True NewReplicaSetAvailable: ReplicaSet "web-r1" has successfully progressed."#,
                r#"True ReplicaSetUpdated: Rollout "web" is progressing."#,
                r#"True ReplicaSetUpdated: ReplicaSet "web-r2" is progressing."#,
            ]
        );
    }
}

// CND-004: the update that begins anew is news; that the Rollout progresses is not.
#[test]
fn a_new_set_leaves_the_time_since_when_the_rollout_progresses() {
    let mut world = World::canary(json!({}));
    world.settle();
    let progressing = |world: &World| {
        let status = world.status();
        conditions::find(&status, &RolloutConditionType::Progressing)
            .unwrap()
            .clone()
    };
    let first = progressing(&world);
    world.advance(60);
    world.release("web:2");
    world.settle();
    let second = progressing(&world);
    assert_eq!(second.last_transition_time, first.last_transition_time);
    assert_ne!(second.last_update_time, first.last_update_time);
}

// CND-008, CND-013: pods of a promoted Rollout that were lost while somebody held it have their whole time afterwards.
#[test]
fn a_promoted_rollout_is_not_late_because_it_was_held() {
    let mut world = World::canary(json!({}));
    world.settle();
    world.advance(3600);
    world.edit(json!({ "paused": true }));
    world.settle();
    // As upstream: the new generation is news.
    let status = world.status();
    let progressing = conditions::find(&status, &RolloutConditionType::Progressing).unwrap();
    assert_eq!(
        progressing.last_update_time,
        api::Time(world.now).truncated()
    );
    world.advance(3600);
    world.pods_get_ready(false);
    world.pods_ready(1, 7);
    world.settle();
    world.edit(json!({ "paused": false }));
    for _ in 0..5 {
        world.pass();
        assert!(
            world.phase().starts_with("Progressing"),
            "{}",
            world.phase()
        );
    }
    world.settle();
    world.advance(601);
    world.settle();
    assert!(world.phase().starts_with("Degraded"), "{}", world.phase());
}

// CND-007: the way back from a pause is no lack of pods.
#[test]
fn a_way_back_from_a_pause_is_progress() {
    let mut world = World::canary(json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] }));
    world.settle();
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    world.release("web:1");
    for _ in 0..6 {
        world.pass();
        let progressing = world.condition("Progressing");
        assert!(
            !progressing.contains("ReplicaSetNotAvailable"),
            "{progressing}"
        );
    }
}

//! Stories of a canary without a router: pods are the split.

use expect_test::expect;
use serde_json::{Value, json};

use super::world::{Fault, World};
use crate::keys;
use crate::plan::{Requeue, Role, WriteErrorKind};

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": { "duration": 10 } }] })
}

fn deployed(canary: Value) -> World {
    let mut world = World::canary(canary);
    world.settle();
    world.events.clear();
    world
}

// PAU-005, REC-015, REC-020, EVT-001, EVT-002, EVT-003, EVT-005, EVT-060, CND-051
#[test]
fn the_first_revision_is_stable_at_once() {
    let mut world = World::canary(steps());
    expect![[r#"
        write ReplicaSet web-r1: revision 1
        write Rollout web: revision 1
        event RolloutAddedToInformer: Rollout resource added to informer: shop/web
        event RolloutUpdated: Rollout updated to revision 1
        event NewReplicaSetCreated: Created ReplicaSet web-r1 (revision 1)
        event RolloutNotCompleted: Rollout not completed, started update to revision 1 (r1)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 0 to 10
        event RolloutCompleted: Rollout completed update to revision 1 (r1): Initial deploy
        Healthy | r1 10/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.status().current_step_index, Some(4));
}

// PAU-001, PAU-003, PAU-004, EVT-006, EVT-007, EVT-008, EVT-009, EVT-010, EVT-060, CLI-005
#[test]
fn an_update_goes_through_its_steps() {
    let mut world = deployed(steps());
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        write ReplicaSet web-r1: scale from 10 to 8
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 8
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(
        world.requeue,
        Requeue::OnChange,
        "only somebody can end this pause"
    );
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 2/4 completed (pause)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 2 to 5
        write ReplicaSet web-r1: scale from 8 to 6
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 8 to 6
        write ReplicaSet web-r1: scale from 6 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 6 to 5
        event RolloutStepCompleted: Rollout step 3/4 completed (setWeight: 50)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        again at 10.3s
        Paused: CanaryPauseStep | r1 5/5, r2 5/5
    "#]]
    .assert_eq(&world.settle());
    expect![[r#"
        event RolloutStepCompleted: Rollout step 4/4 completed (pause: 10)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 5 to 8
        write ReplicaSet web-r1: scale from 5 to 3
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 5 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 5 to 3
        write ReplicaSet web-r2: scale from 8 to 10
        write ReplicaSet web-r1: scale from 3 to 0
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 8 to 10
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 3 to 0
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed all 4 canary steps
        Healthy | r1 0/0, r2 10/10
    "#]].assert_eq(&world.sleep());
}

// CA-003, CAN-006, CAN-008, CAN-009, CND-045, CND-046, CND-049, CND-050
#[test]
fn pods_move_within_surge_and_unavailability_as_they_get_ready() {
    let mut world = deployed(json!({ "maxSurge": 2, "maxUnavailable": 0 }));
    world.pods_get_ready(false);
    world.release("web:2");
    let mut story = world.settle();
    for _ in 0..20 {
        if world.status().phase == sluice_api::RolloutPhase::Healthy {
            break;
        }
        world.pods_ready(2, 10);
        story.push_str(&world.settle());
    }
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        again at 601.3s
        Progressing: more replicas need to be updated | r1 10/10, r2 0/2
        write ReplicaSet web-r1: scale from 10 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 8
        write ReplicaSet web-r2: scale from 2 to 4
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 4
        again at 601.3s
        Progressing: more replicas need to be updated | r1 8/8, r2 2/4
        write ReplicaSet web-r1: scale from 8 to 6
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 8 to 6
        write ReplicaSet web-r2: scale from 4 to 6
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 4 to 6
        again at 601.3s
        Progressing: more replicas need to be updated | r1 6/6, r2 4/6
        write ReplicaSet web-r1: scale from 6 to 4
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 6 to 4
        write ReplicaSet web-r2: scale from 6 to 8
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 6 to 8
        again at 601.3s
        Progressing: more replicas need to be updated | r1 4/4, r2 6/8
        write ReplicaSet web-r1: scale from 4 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 4 to 2
        write ReplicaSet web-r2: scale from 8 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 8 to 10
        again at 601.3s
        Progressing: old replicas are pending termination | r1 2/2, r2 8/10
        write ReplicaSet web-r1: scale from 2 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 2 to 0
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed all 0 canary steps
        Healthy | r1 0/0, r2 10/10
    "#]].assert_eq(&story);
}

// REC-022, EVT-012, ROL-001, DUR-002
#[test]
fn back_to_the_stable_template_skips_the_steps() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.settle();
    world.release("web:1");
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: scale from 8 to 10
        write ReplicaSet web-r2: scale from 2 to 0
        event RolloutUpdated: Rollout updated to revision 3
        event SkipSteps: Rollback to stable ReplicaSets
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 8 to 10
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 2 to 0
        event RolloutResumed: Rollout is resumed
        Healthy | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.settle());
}

// REC-011, REC-015, KEY-005, KEY-006, CLI-009
#[test]
fn undo_finds_the_old_set_although_its_template_comes_back_defaulted() {
    let mut world = deployed(json!({}));
    world.release("web:2");
    world.settle();
    let old = super::world::default_template(&json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "main", "image": "web:1" }] },
    }));
    world.edit(json!({ "template": old }));
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: scale from 0 to 3
        write ReplicaSet web-r2: scale from 10 to 8
        event RolloutUpdated: Rollout updated to revision 3
        event RolloutNotCompleted: Rollout not completed, started update to revision 3 (r1)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 0 to 3
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 10 to 8
        write ReplicaSet web-r1: scale from 3 to 5
        write ReplicaSet web-r2: scale from 8 to 5
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 3 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 8 to 5
        write ReplicaSet web-r1: scale from 5 to 8
        write ReplicaSet web-r2: scale from 5 to 3
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 5 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 3
        write ReplicaSet web-r1: scale from 8 to 10
        write ReplicaSet web-r2: scale from 3 to 0
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 8 to 10
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 3 to 0
        event RolloutCompleted: Rollout completed update to revision 3 (r1): Completed all 0 canary steps
        Healthy | r1 10/10, r2 0/0
    "#]].assert_eq(&world.settle());
    let set = world.object("ReplicaSet", &format!("web-{}", world.hash(1)));
    assert_eq!(
        set["metadata"]["annotations"]["rollout.argoproj.io/revision"],
        "3"
    );
    assert_eq!(
        set["metadata"]["annotations"]["rollout.argoproj.io/revision-history"],
        "1"
    );
}

// ABT-001, ABT-003, ABT-013, ST-004, CND-012, EVT-011, EVT-060, CLI-001, CLI-002
#[test]
fn an_abort_goes_back_at_once_and_a_retry_starts_over() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.settle();
    world.abort();
    expect![[r#"
        write ReplicaSet web-r1: scale from 8 to 10
        write ReplicaSet web-r2: scale from 2 to 0
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 8 to 10
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 2 to 0
        warning RolloutAborted: Rollout aborted update to revision 2
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.status().current_step_index, Some(0));
    let aborted_at = world.status().aborted_at;
    assert!(aborted_at.is_some());
    world.advance(60);
    world.edit(json!({ "revisionHistoryLimit": 5 }));
    world.settle();
    assert_eq!(world.status().aborted_at, aborted_at);
    world.retry();
    expect![[r#"
        write ReplicaSet web-r2: scale from 0 to 2
        write ReplicaSet web-r1: scale from 10 to 8
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 8
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.status().aborted_at, None);
}

// EVT-060
#[test]
fn the_events_of_abort_retry_and_promotion_come_in_the_order_that_clients_know() {
    let mut world = World::canary(json!({ "steps": [{ "setWeight": 50 }, { "pause": {} }] }));
    world.edit(json!({ "replicas": 1 }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.abort();
    world.settle();
    world.retry();
    world.settle();
    world.promote();
    world.settle();
    expect!["RolloutAddedToInformer RolloutUpdated NewReplicaSetCreated RolloutNotCompleted ScalingReplicaSet RolloutCompleted RolloutUpdated NewReplicaSetCreated RolloutNotCompleted ScalingReplicaSet RolloutStepCompleted RolloutPaused ScalingReplicaSet RolloutAborted ScalingReplicaSet RolloutStepCompleted RolloutPaused RolloutStepCompleted RolloutResumed ScalingReplicaSet RolloutCompleted"].assert_eq(&world.reasons());
}

// ABT-005, CLI-006, DUR-002
#[test]
fn a_promotion_in_full_skips_every_step() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.settle();
    world.promote_full();
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 5
        write ReplicaSet web-r1: scale from 8 to 6
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 8 to 6
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 5 to 7
        write ReplicaSet web-r1: scale from 6 to 3
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 5 to 7
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 6 to 3
        write ReplicaSet web-r2: scale from 7 to 10
        write ReplicaSet web-r1: scale from 3 to 1
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 7 to 10
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 3 to 1
        write ReplicaSet web-r1: scale from 1 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 1 to 0
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Full promotion requested
        Healthy | r1 0/0, r2 10/10
    "#]].assert_eq(&world.settle());
}

// RO-010, REC-019, CND-009, CND-015, CND-042, CLI-004
#[test]
fn the_users_pause_stops_scaling_and_goes_on_where_it_was() {
    let mut world = deployed(steps());
    world.edit(json!({ "paused": true }));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        Paused: manually paused | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutPaused: Rollout is paused"
    );
    world.promote();
    expect![[r#"
        write ReplicaSet web-r2: scale from 0 to 2
        write ReplicaSet web-r1: scale from 10 to 8
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 8
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
}

// PAU-002, CLI-007
#[test]
fn a_skipped_pause_does_not_skip_the_next_one() {
    let mut world = deployed(json!({ "steps": [
        { "setWeight": 20 }, { "pause": {} }, { "setWeight": 40 }, { "pause": {} },
    ] }));
    world.release("web:2");
    world.settle();
    world.skip_step();
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 4
        write ReplicaSet web-r1: scale from 8 to 6
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 4
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 8 to 6
        event RolloutResumed: Rollout is resumed
        event RolloutStepCompleted: Rollout step 3/4 completed (setWeight: 40)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 6/6, r2 4/4
    "#]]
    .assert_eq(&world.settle());
}

// HPA-001, REC-013
#[test]
fn an_autoscaler_changes_sizes_and_not_the_step() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.settle();
    world.edit(json!({ "replicas": 20 }));
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 4
        write ReplicaSet web-r1: scale from 8 to 16
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 4
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 8 to 16
        Paused: CanaryPauseStep | r1 16/16, r2 4/4
    "#]]
    .assert_eq(&world.settle());
    world.edit(json!({ "replicas": 5 }));
    expect![[r#"
        write ReplicaSet web-r2: scale from 4 to 1
        write ReplicaSet web-r1: scale from 16 to 6
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 4 to 1
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 16 to 6
        write ReplicaSet web-r1: scale from 6 to 4
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 6 to 4
        Paused: CanaryPauseStep | r1 4/4, r2 1/1
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.status().current_step_index, Some(1));
}

// CND-013, CND-023, REC-024
#[test]
fn an_update_that_does_not_get_anywhere_is_degraded_after_its_deadline() {
    let mut world = deployed(json!({}));
    world.pods_get_ready(false);
    world.edit(json!({ "progressDeadlineSeconds": 60 }));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        write ReplicaSet web-r1: scale from 10 to 8
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 3
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 8
        write ReplicaSet web-r2: scale from 3 to 5
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 3 to 5
        again at 61.3s
        Progressing: more replicas need to be updated | r1 8/8, r2 0/5
    "#]]
    .assert_eq(&world.settle());
    expect![[r#"
        Degraded: ProgressDeadlineExceeded: ReplicaSet "web-r2" has timed out progressing. | r1 8/8, r2 0/5
    "#]].assert_eq(&world.sleep());
    assert_eq!(world.requeue, Requeue::OnChange);
    world.pods_get_ready(true);
    expect![[r#"
        write ReplicaSet web-r1: scale from 8 to 3
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 8 to 3
        write ReplicaSet web-r2: scale from 5 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 5 to 10
        write ReplicaSet web-r1: scale from 3 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 3 to 0
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed all 0 canary steps
        Healthy | r1 0/0, r2 10/10
    "#]].assert_eq(&world.settle());
}

// REC-025, RO-012, EVT-011
#[test]
fn a_deadline_may_abort() {
    let mut world = deployed(json!({}));
    world.pods_get_ready(false);
    world.edit(json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": true }));
    world.release("web:2");
    world.settle();
    expect![[r#"
        warning RolloutAborted: ReplicaSet "web-r2" has timed out progressing.
        warning RolloutAborted: Rollout aborted update to revision 2: ReplicaSet "web-r2" has timed out progressing.
        write ReplicaSet web-r2: scale from 5 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 0
        write ReplicaSet web-r1: scale from 8 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 8 to 10
        Degraded: RolloutAborted: Rollout aborted update to revision 2: ReplicaSet "web-r2" has timed out progressing. | r1 8/10, r2 0/0
    "#]].assert_eq(&world.sleep());
}

// CAN-007, CAN-011, ABT-004
#[test]
fn a_third_revision_replaces_the_second_half_way() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.release("web:3");
    expect![[r#"
        write ReplicaSet web-r3: revision 3
        write Rollout web: revision 3
        write ReplicaSet web-r1: scale from 5 to 8
        write ReplicaSet web-r2: scale from 5 to 3
        event RolloutUpdated: Rollout updated to revision 3
        event NewReplicaSetCreated: Created ReplicaSet web-r3 (revision 3)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 5 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 3
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r3: scale from 0 to 2
        write ReplicaSet web-r2: scale from 3 to 0
        event ScalingReplicaSet: Scaled up ReplicaSet web-r3 (revision 3) from 0 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 3 to 0
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 8/8, r2 0/0, r3 2/2
    "#]]
    .assert_eq(&world.settle());
}

// REC-026, REC-027, RO-009
#[test]
fn only_so_many_old_sets_are_kept() {
    let mut world = deployed(json!({}));
    world.edit(json!({ "revisionHistoryLimit": 1 }));
    for image in ["web:2", "web:3", "web:4"] {
        world.release(image);
        world.settle();
    }
    assert_eq!(world.sizes(), "r3 0/0, r4 10/10");
}

// REC-026: a set goes only once its controller is known to have none of its pods left.
#[test]
fn no_old_set_goes_that_may_have_pods() {
    for (still, gone) in [
        (json!({ "spec": { "replicas": 1 } }), false),
        (json!({ "status": { "replicas": 1 } }), false),
        (json!({ "status": { "observedGeneration": 0 } }), false),
        (json!({}), true),
    ] {
        let mut world = deployed(json!({}));
        for image in ["web:2", "web:3"] {
            world.release(image);
            world.settle();
        }
        let oldest = world.set_name(1);
        world.edit(json!({ "revisionHistoryLimit": 0 }));
        world.patch("ReplicaSet", &oldest, &still, false);
        world.pass();
        let kept = |name: &str| {
            world
                .objects
                .contains_key(&("ReplicaSet".to_owned(), name.to_owned()))
        };
        assert_eq!(!kept(&oldest), gone, "{still}");
        assert!(!kept(&world.set_name(2)), "{still}");
    }
}

// ROL-002, RO-007, REC-022
#[test]
fn a_rollback_within_the_window_needs_no_steps() {
    let mut world = deployed(steps());
    world.edit(json!({ "rollbackWindow": { "revisions": 2 } }));
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    world.advance(60);
    world.release("web:1");
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: scale from 0 to 3
        write ReplicaSet web-r2: scale from 10 to 8
        event RolloutUpdated: Rollout updated to revision 3
        event RolloutNotCompleted: Rollout not completed, started update to revision 3 (r1)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 0 to 3
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 10 to 8
        write ReplicaSet web-r1: scale from 3 to 5
        write ReplicaSet web-r2: scale from 8 to 5
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 3 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 8 to 5
        write ReplicaSet web-r1: scale from 5 to 8
        write ReplicaSet web-r2: scale from 5 to 3
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 5 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 3
        write ReplicaSet web-r1: scale from 8 to 10
        write ReplicaSet web-r2: scale from 3 to 0
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 8 to 10
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 3 to 0
        event RolloutCompleted: Rollout completed update to revision 3 (r1): Rollback within window
        Healthy | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.settle());
}

// ROL-002: nor is an update a way back because the stable set has lost its revisions, though both came within a second.
#[test]
fn a_stable_set_without_revisions_is_not_the_younger_one() {
    let mut world = deployed(steps());
    world.edit(json!({ "rollbackWindow": { "revisions": 2 } }));
    world.release("web:2");
    world.settle();
    let (stable, new) = (world.set_name(1), world.set_name(2));
    let created = &world.object("ReplicaSet", &stable)["metadata"]["creationTimestamp"];
    let created = json!({ "metadata": { "creationTimestamp": created } });
    world.patch("ReplicaSet", &new, &created, false);
    let lost = json!({ "metadata": { "annotations": {
        (keys::REVISION): null, (keys::REVISION_HISTORY): null,
    } } });
    world.patch("ReplicaSet", &stable, &lost, false);
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    world.pass();
    assert_eq!(world.status().current_step_index, Some(1));
}

// ABT-001, ABT-005: of an abort and a full promotion the later one counts.
#[test]
fn a_full_promotion_can_be_aborted_and_an_abort_promoted() {
    let mut world = deployed(steps());
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    assert!(world.status().promote_full);
    world.abort();
    world.settle();
    let aborted = "Degraded: RolloutAborted: Rollout aborted update to revision 2";
    assert_eq!(world.phase(), aborted);
    assert!(world.status().abort && !world.status().promote_full);
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.phase(), aborted);
    world.promote_full();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
}

// REC-025, ABT-005: pods that never get ready end a full promotion, too.
#[test]
fn a_deadline_may_abort_a_full_promotion() {
    let mut world = deployed(steps());
    world.edit(json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": true }));
    world.settle();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    world.sleep();
    let aborted = "Degraded: RolloutAborted: Rollout aborted update to revision 2: \
                   ReplicaSet \"web-r2\" has timed out progressing.";
    assert_eq!(world.phase(), aborted);
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.phase(), aborted);
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
}

// ROL-002, ABT-001
#[test]
fn a_rollback_within_the_window_can_be_aborted() {
    let mut world = deployed(steps());
    world.edit(json!({ "rollbackWindow": { "revisions": 2 } }));
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    world.pods_get_ready(false);
    world.advance(60);
    world.release("web:1");
    world.settle();
    world.abort();
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 3"
    );
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
}

// ROL-001: made within one second as the stable one, and nothing says which revision it was.
#[test]
fn a_set_that_has_lost_its_revisions_is_no_way_back() {
    let mut world = World::canary(json!({ "steps": [{ "setWeight": 10 }, { "pause": {} }] }));
    world.edit(json!({ "rollbackWindow": { "revisions": 2 } }));
    world.settle();
    // Within the second.
    world.advance(-1);
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    let new = format!("web-{}", world.status().current_pod_hash);
    let lost = json!({ "metadata": { "annotations": null } });
    world.patch("ReplicaSet", &new, &lost, false);
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    assert_eq!(world.status().current_step_index, Some(1));
}

// HASH-009, CND-014, EVT-004
#[test]
fn a_set_that_cannot_be_created_is_said_and_tried_again() {
    let mut world = deployed(steps());
    world.release("web:2");
    let role = Some(Role::CreateSet);
    world.faults.push(Fault {
        role,
        kind: WriteErrorKind::Invalid,
        times: 2,
    });
    world.pass();
    let lines = world.pass().lines;
    // Before the second attempt it is looked whether the first one took effect.
    world.pass();
    world.pass();
    assert_eq!(
        world
            .condition("Progressing")
            .replace(&world.status().current_pod_hash, "r2"),
        "False ReplicaSetCreateError: Failed to create new replica set \"web-r2\": on purpose"
    );
    expect![[r#"
        failed ReplicaSet web-7675c7fcc8: revision 2
        write Rollout web: revision 2
        skipped ReplicaSet web-r1: scale from 10 to 8
        event RolloutUpdated: Rollout updated to revision 2
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (7675c7fcc8)
        warning ReplicaSetCreateError: Failed to create new replica set "web-7675c7fcc8": on purpose
        again at 601.3s"#]]
    .assert_eq(&lines.join("\n"));
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutPaused: Rollout is paused"
    );
}

// CND-014, EVT-004: a webhook that fails is answered with 500.
#[test]
fn a_set_that_cannot_be_created_for_now_is_said_and_a_success_takes_it_back() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.faults.push(Fault {
        role: Some(Role::CreateSet),
        kind: WriteErrorKind::Unavailable,
        times: 2,
    });
    for _ in 0..4 {
        world.pass();
    }
    assert!(
        world
            .condition("Progressing")
            .starts_with("False ReplicaSetCreateError: Failed to create new replica set"),
        "{}",
        world.condition("Progressing")
    );
    assert!(world.reasons().contains("ReplicaSetCreateError"));
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutPaused: Rollout is paused"
    );
}

// EVT-009, EVT-010, DUR-004
#[test]
fn each_of_two_pauses_in_a_row_is_told() {
    let pauses =
        json!({ "steps": [{ "pause": { "duration": 10 } }, { "pause": {} }, { "pause": {} }] });
    let mut world = deployed(pauses);
    world.release("web:2");
    world.settle();
    world.events.clear();
    let ends: [fn(&mut World); 2] = [
        |world| {
            world.sleep();
        },
        World::promote,
    ];
    for end in ends {
        end(&mut world);
        world.settle();
        assert_eq!(
            world.reasons(),
            "RolloutStepCompleted RolloutResumed RolloutPaused"
        );
        world.events.clear();
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
        // It waits for somebody.
        assert!(
            world
                .status()
                .duration
                .is_some_and(|duration| duration.manual_pause_started_at.is_some())
        );
    }
}

// DUR-004
#[test]
fn a_manual_pause_is_counted_from_the_pass_that_begins_it() {
    let mut world = deployed(json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] }));
    world.release("web:2");
    while world.status().pause_conditions.is_empty() {
        world.pass();
    }
    let duration = world.status().duration.expect("an update");
    assert!(duration.manual_pause_started_at.is_some(), "{duration:?}");
}

// EVT-005, VAL-001
#[test]
fn an_abort_of_what_cannot_be_worked_on_tells_what_it_scales() {
    let mut world = deployed(json!({ "steps": [{ "setWeight": 50 }, { "pause": {} }] }));
    world.release("web:2");
    world.settle();
    world.events.clear();
    world.edit(json!({ "strategy": { "canary": { "steps": [{ "setWeight": 150 }] } } }));
    world.abort();
    world.settle();
    let scaled = "event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 5 to 8";
    assert!(
        world.events.iter().any(|event| event == scaled),
        "{:#?}",
        world.events
    );
}

// AR#4073: a resume between what the pass has read and the status that it writes.
#[test]
fn a_resume_in_the_pass_that_pauses_is_not_lost() {
    let mut world = deployed(json!({ "steps": [
        { "setWeight": 20 }, { "pause": {} }, { "setWeight": 40 }, { "pause": {} },
    ] }));
    world.release("web:2");
    world.settle();
    world.edit(json!({ "replicas": 20 }));
    world.meanwhile = Some(World::promote);
    world.settle();
    assert!(world.meanwhile.is_none());
    assert_eq!(world.status().current_step_index, Some(3));
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// ST-034, REC-016
#[test]
fn what_somebody_writes_meanwhile_is_not_lost() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.settle();
    world.promote();
    world.pass();
    world.meanwhile = Some(World::promote_full);
    world.pass();
    assert!(world.status().promote_full);
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
}

// PAU-002, CLI-007
#[test]
fn a_pause_that_was_skipped_to_begins_anew() {
    let mut world = deployed(json!({ "steps": [
        { "setWeight": 20 }, { "pause": {} }, { "setWeight": 40 }, { "pause": {} }, { "setWeight": 60 }, { "pause": {} },
    ] }));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.skip_step();
    world.settle();
    world.skip_step();
    world.settle();
    assert_eq!(world.status().current_step_index, Some(3));
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// CND-014, CND-015: whoever goes on where nothing can be said of the next revision is not shown as paused.
#[test]
fn an_update_that_waits_for_the_api_server_is_not_paused() {
    let mut world = deployed(steps());
    world.release("web:2");
    world.settle();
    assert_eq!(
        world.condition("Paused"),
        "True RolloutPaused: Rollout is paused"
    );
    world.look_fails = true;
    world.release("web:3");
    world.promote();
    world.pass();
    world.pass();
    let condition = world.condition("Progressing");
    assert!(
        condition.starts_with("False ReplicaSetCreateError"),
        "{condition}"
    );
    assert_eq!(
        world.condition("Paused"),
        "False RolloutPaused: Rollout is paused"
    );
}

// CND-014: of a set that is there it is known, also when somebody scales it before its controller has looked at its template.
#[test]
fn a_controller_that_takes_over_says_nothing_of_a_set_that_is_there() {
    for scaled in [false, true] {
        let mut world = deployed(steps());
        let of_argo = json!({
            "metadata": { "annotations": { (keys::TEMPLATE_SOURCE): null } },
            "spec": { "template": { "spec": { "schedulerName": "default-scheduler" } } },
        });
        let set = world.set_name(1);
        world.patch("ReplicaSet", &set, &of_argo, false);
        world.look_fails = true;
        if scaled {
            world.edit(json!({ "replicas": 11 }));
        } else {
            // Its hash is not the one that the template has today.
            let collided = json!({ "status": { "collisionCount": 1 } });
            world.patch("Rollout", "web", &collided, true);
        }
        world.events.clear();
        for _ in 0..3 {
            world.pass();
        }
        assert_eq!(world.reasons(), "");
        assert_eq!(world.phase(), "Healthy");
    }
}

// ABT-001, CND-014: that an update cannot go on is told, and does not hide that the one before was aborted.
#[test]
fn an_aborted_update_stays_so_where_nothing_can_be_said_of_the_next() {
    for lost in [false, true] {
        let mut world = deployed(steps());
        world.release("web:2");
        world.settle();
        world.look_fails = true;
        world.release("web:3");
        if lost {
            let set = world.set_name(2);
            world.remove("ReplicaSet", &set);
        }
        world.abort();
        world.pass();
        world.pass();
        world.events.clear();
        for _ in 0..3 {
            world.pass();
        }
        assert!(
            world
                .condition("Progressing")
                .starts_with("False RolloutAborted")
        );
        assert!(world.reasons().contains("ReplicaSetCreateError"));
    }
}

// CND-014: what failed once and was answered then is told once.
#[test]
fn what_the_api_server_answers_later_is_no_failure_any_more() {
    let mut world = deployed(steps());
    world.look_fails = true;
    world.release("web:2");
    world.events.clear();
    world.pass();
    world.look_fails = false;
    world.settle();
    assert_eq!(world.reasons().matches("ReplicaSetCreateError").count(), 1);
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// CND-014: that nobody answered for one template says nothing of the next.
#[test]
fn a_failure_is_told_of_its_own_template() {
    let mut world = deployed(steps());
    world.look_fails = true;
    world.release("web:2");
    world.events.clear();
    world.meanwhile = Some(|world| world.release("web:3"));
    world.pass();
    assert_eq!(world.reasons(), "");
    world.look_fails = false;
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// CND-014, REC-011: where dry runs are denied the set of another controller is read, and that it cannot be is told.
#[test]
fn a_set_that_cannot_be_read_is_told() {
    for aborted in [false, true] {
        let mut world = deployed(steps());
        if aborted {
            world.release("web:2");
            world.settle();
            world.abort();
            world.settle();
        }
        world.dry_run_denied = true;
        world.reads_fail = true;
        let set = world.set_name(1 + usize::from(aborted));
        let of_argo = json!({ "metadata": { "annotations": { (keys::TEMPLATE_SOURCE): null } } });
        world.patch("ReplicaSet", &set, &of_argo, false);
        world.release("web:3");
        world.events.clear();
        for _ in 0..3 {
            world.pass();
        }
        let condition = world.condition("Progressing");
        let reason = if aborted {
            "RolloutAborted"
        } else {
            "ReplicaSetCreateError"
        };
        assert!(
            condition.starts_with(&format!("False {reason}")),
            "{condition}"
        );
        let reasons = world.reasons();
        assert!(reasons.contains("ReplicaSetCreateError"), "{reasons}");
        world.reads_fail = false;
        world.settle();
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    }
}

// CND-052: a client must not take the health of the last revision for that of the next.
#[test]
fn a_specification_counts_as_observed_only_when_its_revision_is_known() {
    let mut world = deployed(steps());
    world.release("web:2");
    let generation = world.rollout().metadata.generation.to_string();
    world.look_fails = true;
    world.events.clear();
    for _ in 0..3 {
        world.pass();
        assert_ne!(world.status().observed_generation, generation);
    }
    // CND-014: what keeps the update waiting is said.
    let why = "Failed to create new replica set \"web-";
    let condition = world.condition("Progressing");
    assert!(
        condition.starts_with(&format!("False ReplicaSetCreateError: {why}")),
        "{condition}"
    );
    assert!(world.reasons().contains("ReplicaSetCreateError"));
    world.look_fails = false;
    world.pass();
    world.pass();
    assert_eq!(world.status().observed_generation, generation);
    assert_eq!(
        world.phase(),
        "Progressing: more replicas need to be updated"
    );
}

// DUR-001, DUR-002, DUR-003, DUR-004, MET-007, ST-032
#[test]
fn the_duration_of_an_update_is_kept_with_its_end() {
    let duration = |world: &World| serde_json::to_value(world.status().duration).unwrap();
    let mut world = deployed(steps());
    assert_eq!(duration(&world)["completionStatus"], "Promoted");
    assert_eq!(duration(&world)["finishedAt"], "2024-05-06T07:08:09Z");

    world.advance(100);
    world.release("web:2");
    world.settle();
    world.advance(60);
    world.promote();
    world.settle();
    world.sleep();
    let promoted = duration(&world);
    assert_eq!(promoted["completionStatus"], "Promoted");
    assert_eq!(promoted["totalManualPauseDurationSeconds"], 60);

    world.release("web:3");
    world.settle();
    assert_eq!(duration(&world)["completionStatus"], Value::Null);
    world.release("web:4");
    world.settle();
    assert_eq!(
        duration(&world)["finishedAt"],
        Value::Null,
        "a new attempt, after a superseded one"
    );
    world.abort();
    world.settle();
    assert_eq!(duration(&world)["completionStatus"], "Aborted");
    world.retry();
    world.settle();
    assert_eq!(duration(&world)["completionStatus"], Value::Null);
    world.release("web:2");
    world.settle();
    assert_eq!(duration(&world)["completionStatus"], "FastRolledBack");

    world.release("web:5");
    world.settle();
    world.promote_full();
    world.settle();
    assert_eq!(duration(&world)["completionStatus"], "FastPromoted");
    // MET-007: each of them is told of once, those too that the status does not show any more.
    let ended: Vec<_> = world
        .ended
        .iter()
        .map(|(how, total, paused)| (how.as_str(), *total, *paused))
        .collect();
    assert_eq!(
        ended,
        [
            ("Promoted", 0, 0),
            ("Promoted", 70, 60),
            ("Superseded", 1, 1),
            ("Aborted", 0, 0),
            ("FastRolledBack", 1, 1),
            ("FastPromoted", 0, 0),
        ]
    );
}

// DUR-001: an update begins unless what it asks for is stable and has its pods.
#[test]
fn no_update_begins_where_the_template_is_stable_and_available() {
    for (available, begins) in [(10, false), (9, true)] {
        let mut world = deployed(steps());
        world.release("web:2");
        world.settle();
        world.abort();
        world.settle();
        let aborted = world.status().duration.unwrap();
        assert_eq!(
            aborted.completion_status,
            Some(sluice_api::CompletionStatus::Aborted)
        );
        world.pods_get_ready(false);
        world.pods_ready(1, available);
        world.advance(30);
        world.release("web:1");
        world.settle();
        assert_eq!(world.status().current_pod_hash, world.hash(1));
        let duration = world.status().duration.unwrap();
        if begins {
            assert!(duration.rollout_started_at > aborted.rollout_started_at);
            assert_eq!(duration.finished_at, None);
        } else {
            assert_eq!(duration, aborted);
        }
    }
}

// DUR-001: other steps make no update of what is stable.
#[test]
fn no_update_begins_with_other_steps() {
    let mut world = deployed(steps());
    let (before, hash) = (world.status().duration, world.status().current_step_hash);
    world.advance(30);
    world.edit(json!({ "strategy": { "canary": { "steps": [{ "setWeight": 50 }] } } }));
    world.settle();
    assert_ne!(world.status().current_step_hash, hash);
    assert_eq!(world.status().duration, before);
}

// CAN-002: with pods that do not get ready, the first size that a set gets is the one that the weight asks for.
#[test]
fn the_weight_is_all_or_nothing_where_no_step_counts() {
    type Act = (&'static str, fn(&mut World), &'static str);
    let block = json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }] });
    let resized = |world: &mut World| {
        let before = world.sizes();
        let mut passes = 0;
        while world.sizes() == before {
            passes += 1;
            assert!(passes < 10, "{before} for ever");
            world.pass();
        }
        world.sizes()
    };
    let mut world = World::routed(block.clone());
    world.pods_get_ready(false);
    assert_eq!(resized(&mut world), "r1 0/10", "the first revision");
    world.pods_get_ready(true);
    world.settle();
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 2/2", "a step counts");
    world.pods_get_ready(false);
    let acts: [Act; 3] = [
        ("promoted in full", World::promote_full, "r1 10/10, r2 2/10"),
        (
            "past the last step",
            |world| {
                world.promote();
                world.settle();
                assert_eq!(world.sizes(), "r1 10/10, r2 2/5", "the last step");
                world.promote();
            },
            "r1 10/10, r2 2/10",
        ),
        (
            "no stable set",
            |world| {
                let stable = format!("web-{}", world.hash(1));
                world.remove("ReplicaSet", &stable);
            },
            "r2 2/10",
        ),
    ];
    for (name, act, sizes) in acts {
        let mut world = world.clone();
        act(&mut world);
        assert_eq!(resized(&mut world), sizes, "{name}");
    }
    let mut world = deployed(block);
    world.release("web:2");
    world.settle();
    world.abort();
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0", "aborted");
}

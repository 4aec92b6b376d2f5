//! Stories of a blue-green Rollout.

use expect_test::expect;
use serde_json::{Value, json};

use super::world::{Fault, World};
use crate::plan::{Requeue, Role, WriteErrorKind};

fn deployed(blue_green: Value) -> World {
    let mut world = World::blue_green(blue_green);
    world.add_template("checks");
    world.settle();
    world.events.clear();
    world
}

// BG-002, BGR-001, EVT-061, SVC-001, ST-009, ST-010, ST-021, ST-024, ST-025
#[test]
fn the_first_revision_is_active_once_it_is_there() {
    let mut world = World::blue_green(json!({}));
    world.pods_get_ready(false);
    expect![[r#"
        write ReplicaSet web-r1: revision 1
        write Rollout web: revision 1
        write Service preview: select revision r1
        event RolloutAddedToInformer: Rollout resource added to informer: shop/web
        event RolloutUpdated: Rollout updated to revision 1
        event NewReplicaSetCreated: Created ReplicaSet web-r1 (revision 1)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 0 to 3
        event SwitchService: Switched selector for service 'preview' from '' to 'r1'
        event RolloutCompleted: Rollout completed update to revision 1 (r1): Initial deploy
        again at 600.3s
        Progressing: updated replicas are still becoming available | r1 0/3
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.selects("active"), "all");
    world.pods_get_ready(true);
    expect![[r#"
        write Service active: select revision r1
        event SwitchService: Switched selector for service 'active' from '' to 'r1'
        Healthy | r1 3/3
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(
        world.status().selector,
        format!("app=web,rollouts-pod-template-hash={}", world.hash(1))
    );
}

// EVT-061
#[test]
fn the_events_of_an_update_come_in_the_order_that_clients_know() {
    let mut world = World::blue_green(json!({ "previewService": "" }));
    world.settle();
    world.release("web:2");
    world.settle();
    assert_eq!(
        world.reasons(),
        "RolloutAddedToInformer RolloutUpdated NewReplicaSetCreated ScalingReplicaSet RolloutCompleted SwitchService \
         RolloutUpdated NewReplicaSetCreated RolloutNotCompleted ScalingReplicaSet SwitchService RolloutCompleted"
    );
}

// BG-001, BGR-006, BGR-007, BGR-008, SCD-001, CND-047
#[test]
fn an_update_switches_when_every_pod_is_there_and_the_old_set_goes_later() {
    let mut world = deployed(json!({}));
    world.pods_get_ready(false);
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        write Service preview: select revision r2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 3
        event SwitchService: Switched selector for service 'preview' from 'r1' to 'r2'
        again at 601.3s
        Progressing: active service cutover pending | r1 3/3, r2 0/3
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.selects("preview"), "r2");
    world.pods_ready(2, 2);
    world.settle();
    assert_eq!(world.selects("active"), "r1");
    world.pods_ready(2, 3);
    expect![[r#"
        write Service active: select revision r2
        event SwitchService: Switched selector for service 'active' from 'r1' to 'r2'
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed blue-green update
        write ReplicaSet web-r1: annotations
        again at 30.3s
        Healthy | r1 3/3, r2 3/3
    "#]].assert_eq(&world.settle());
    assert_eq!(world.selects("active"), "r2");
    expect![[r#"
        write ReplicaSet web-r1: scale from 3 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 3 to 0
        Healthy | r1 0/0, r2 3/3
    "#]]
    .assert_eq(&world.sleep());
}

// BG-004, BGR-002, BGR-004, BGR-005, CLI-005
#[test]
fn without_auto_promotion_somebody_switches() {
    let mut world = deployed(json!({ "autoPromotionEnabled": false }));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        write Service preview: select revision r2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 3
        event SwitchService: Switched selector for service 'preview' from 'r1' to 'r2'
        event RolloutPaused: Rollout is paused (BlueGreenPause)
        Paused: BlueGreenPause | r1 3/3, r2 3/3
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.requeue, Requeue::OnChange);
    world.promote();
    expect![[r#"
        write Service active: select revision r2
        event SwitchService: Switched selector for service 'active' from 'r1' to 'r2'
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed blue-green update
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r1: annotations
        again at 30.3s
        Healthy | r1 3/3, r2 3/3
    "#]].assert_eq(&world.settle());
}

// BGR-005: a resume is not lost because the switch fails.
#[test]
fn a_promotion_is_remembered_until_the_switch_succeeds() {
    let mut world = deployed(json!({ "autoPromotionEnabled": false }));
    world.release("web:2");
    world.settle();
    let role = Some(Role::Select);
    world.faults.push(Fault {
        role,
        kind: WriteErrorKind::Unavailable,
        times: 3,
    });
    world.promote();
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    assert_eq!(world.phase(), "Healthy");
    assert!(!world.status().controller_pause);
}

// BG-005, BGR-004
#[test]
fn auto_promotion_may_wait_some_seconds() {
    let mut world = deployed(json!({ "autoPromotionSeconds": 15 }));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        write Service preview: select revision r2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 3
        event SwitchService: Switched selector for service 'preview' from 'r1' to 'r2'
        event RolloutPaused: Rollout is paused (BlueGreenPause)
        again at 15.3s
        Paused: BlueGreenPause | r1 3/3, r2 3/3
    "#]]
    .assert_eq(&world.settle());
    expect![[r#"
        write Service active: select revision r2
        event SwitchService: Switched selector for service 'active' from 'r1' to 'r2'
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed blue-green update
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r1: annotations
        again at 45.3s
        Healthy | r1 3/3, r2 3/3
    "#]].assert_eq(&world.sleep());
}

// BG-003, BGR-013, BGR-014, ST-022
#[test]
fn a_small_preview_grows_once_it_is_promoted() {
    let mut world = deployed(json!({ "previewReplicaCount": 1, "autoPromotionEnabled": false }));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        write Service preview: select revision r2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 1
        event SwitchService: Switched selector for service 'preview' from 'r1' to 'r2'
        event RolloutPaused: Rollout is paused (BlueGreenPause)
        Paused: BlueGreenPause | r1 3/3, r2 1/1
    "#]]
    .assert_eq(&world.settle());
    world.promote();
    world.pods_get_ready(false);
    expect![[r#"
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 1 to 3
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 1 to 3
        again at 601.3s
        Progressing: active service cutover pending | r1 3/3, r2 1/3
    "#]]
    .assert_eq(&world.settle());
    assert!(world.status().blue_green.scale_up_preview_check_point);
    assert_eq!(world.selects("active"), "r1");
    world.pods_get_ready(true);
    expect![[r#"
        write Service active: select revision r2
        event SwitchService: Switched selector for service 'active' from 'r1' to 'r2'
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed blue-green update
        write ReplicaSet web-r1: annotations
        again at 30.3s
        Healthy | r1 3/3, r2 3/3
    "#]].assert_eq(&world.settle());
    assert!(!world.status().blue_green.scale_up_preview_check_point);
}

// BGR-013
#[test]
fn a_small_preview_grows_by_itself_with_auto_promotion() {
    let mut world = deployed(json!({ "previewReplicaCount": 1, "autoPromotionSeconds": 10 }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 1/1");
    world.sleep();
    assert_eq!(world.selects("active"), "r2");
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
}

// BGR-013, ROL-001
#[test]
fn a_rollback_before_the_promotion_takes_no_pods_for_a_preview() {
    let mut world = deployed(json!({
        "previewReplicaCount": 1,
        "autoPromotionSeconds": 10,
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    world.sleep();
    assert_eq!(world.selects("active"), "r2");
    world.release("web:1");
    world.settle();
    assert_eq!(world.selects("active"), "r1");
    assert!(world.sizes().contains("r1 3/3"), "{}", world.sizes());
}

// BG-009, BG-010, BG-007, RAN-006, BGR-007, SCD-003, CND-048
#[test]
fn analysis_before_and_after_the_switch_must_succeed() {
    let mut world = deployed(json!({
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        write Service preview: select revision r2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 3
        event SwitchService: Switched selector for service 'preview' from 'r1' to 'r2'
        write AnalysisRun web-r2-2-pre: PrePromotion analysis
        again at 601.3s
        Progressing: active service cutover pending | r1 3/3, r2 3/3
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.selects("active"), "r1");
    world.analysis("r2-2-pre", "Successful", "");
    expect![[r#"
        write Service active: select revision r2
        event AnalysisRunSuccessful: PrePromotion Analysis Run 'web-r2-2-pre' Status New: 'Successful' Previous: ''
        event SwitchService: Switched selector for service 'active' from 'r1' to 'r2'
        write AnalysisRun web-r2-2-post: PostPromotion analysis
        Progressing: waiting for analysis to complete | r1 3/3, r2 3/3
    "#]].assert_eq(&world.settle());
    assert_eq!(world.selects("active"), "r2");
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    world.analysis("r2-2-post", "Successful", "");
    expect![[r#"
        event AnalysisRunSuccessful: PostPromotion Analysis Run 'web-r2-2-post' Status New: 'Successful' Previous: ''
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed blue-green update
        write ReplicaSet web-r1: annotations
        again at 30.3s
        Healthy | r1 3/3, r2 3/3
    "#]].assert_eq(&world.settle());
    expect![[r#"
        write ReplicaSet web-r1: scale from 3 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 3 to 0
        Healthy | r1 0/0, r2 3/3
    "#]]
    .assert_eq(&world.sleep());
}

// ABT-002, BGR-006, ABT-010, ABT-011
#[test]
fn failed_analysis_goes_back() {
    let block = json!({
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    });
    let mut world = deployed(block.clone());
    world.release("web:2");
    world.settle();
    world.analysis("r2-2-pre", "Failed", "");
    expect![[r#"
        write ReplicaSet web-r2: annotations
        warning AnalysisRunFailed: PrePromotion Analysis Run 'web-r2-2-pre' Status New: 'Failed' Previous: ''
        warning RolloutAborted: Rollout aborted update to revision 2: Blue/green pre-promotion analysis phase error/failed
        wait ReplicaSet web-r2: its scale-down deadline until 30.3s
        again at 30.3s
        Degraded: RolloutAborted: Rollout aborted update to revision 2: Blue/green pre-promotion analysis phase error/failed | r1 3/3, r2 3/3
    "#]].assert_eq(&world.settle());
    expect![[r#"
        write ReplicaSet web-r2: scale from 3 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 3 to 0
        Degraded: RolloutAborted: Rollout aborted update to revision 2: Blue/green pre-promotion analysis phase error/failed | r1 3/3, r2 0/0
    "#]].assert_eq(&world.sleep());
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2: \
         Blue/green pre-promotion analysis phase error/failed"
    );

    let mut world = deployed(block);
    world.release("web:2");
    world.settle();
    world.analysis("r2-2-pre", "Successful", "");
    world.settle();
    world.analysis("r2-2-post", "Error", "no data");
    expect![[r#"
        write Service active: select revision r1
        write ReplicaSet web-r2: annotations
        warning AnalysisRunError: PostPromotion Analysis Run 'web-r2-2-post' Status New: 'Error' Previous: ''
        event SwitchService: Switched selector for service 'active' from 'r2' to 'r1'
        warning RolloutAborted: Rollout aborted update to revision 2: Blue/green post-promotion analysis phase error/failed: no data
        wait ReplicaSet web-r2: its scale-down deadline until 30.3s
        again at 30.3s
        Degraded: RolloutAborted: Rollout aborted update to revision 2: Blue/green post-promotion analysis phase error/failed: no data | r1 3/3, r2 3/3
    "#]].assert_eq(&world.settle());
    assert_eq!(world.selects("active"), "r1");
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2: \
         Blue/green post-promotion analysis phase error/failed: no data"
    );
    // A retry measures both anew.
    world.retry();
    world.settle();
    assert_eq!(
        world.runs(),
        [
            "web-r2-2-post Error",
            "web-r2-2-pre Successful",
            "web-r2-2-pre.1 new"
        ]
    );
    world.analysis("r2-2-pre.1", "Successful", "");
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    world.analysis("r2-2-post.1", "Successful", "");
    world.settle();
    assert_eq!(world.phase(), "Healthy");
}

// RAN-004, RAN-005
#[test]
fn an_inconclusive_preview_is_measured_again_and_still_waits_for_somebody() {
    let mut world = deployed(json!({
        "autoPromotionEnabled": false,
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    world.analysis("r2-2-pre", "Inconclusive", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    world.promote();
    world.settle();
    assert_eq!(
        world.runs(),
        ["web-r2-2-pre Inconclusive", "web-r2-2-pre.1 new"]
    );
    world.analysis("r2-2-pre.1", "Successful", "");
    world.settle();
    assert_eq!(
        world.phase(),
        "Paused: BlueGreenPause",
        "the resume was for the analysis"
    );
    assert_eq!(world.selects("active"), "r1");
    world.promote();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
}

// SCD-003
#[test]
fn old_sets_stay_while_an_inconclusive_analysis_waits_for_somebody() {
    let mut world = deployed(json!({
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    world.every_run("Successful");
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    world.release("web:3");
    world.settle();
    world.every_run("Inconclusive");
    world.settle();
    world.advance(60);
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3, r3 3/3");
    // Its time was over long ago.
    world.promote();
    world.settle();
    assert_eq!(world.runs().last().unwrap(), "web-r3-3-pre.1 new");
    assert_eq!(world.sizes(), "r1 0/0, r2 3/3, r3 3/3");
}

// ROL-001, BGR-003, SCD-002, EVT-007
#[test]
fn a_rollback_while_the_old_set_is_still_up_is_fast() {
    let mut world = deployed(json!({ "autoPromotionEnabled": false }));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.advance(10);
    world.release("web:1");
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: annotations
        write Service preview: select revision r1
        write Service active: select revision r1
        event RolloutUpdated: Rollout updated to revision 3
        event RolloutNotCompleted: Rollout not completed, started update to revision 3 (r1)
        event SwitchService: Switched selector for service 'preview' from 'r2' to 'r1'
        event SwitchService: Switched selector for service 'active' from 'r2' to 'r1'
        write ReplicaSet web-r1: annotations
        event RolloutCompleted: Rollout completed update to revision 3 (r1): Fast rollback
        write ReplicaSet web-r2: annotations
        again at 41.3s
        Healthy | r1 3/3, r2 3/3
    "#]]
    .assert_eq(&world.settle());
}

// ROL-002, EVT-007
#[test]
fn a_rollback_within_the_window_is_fast_too() {
    let mut world = deployed(json!({ "autoPromotionEnabled": false }));
    world.edit(json!({ "rollbackWindow": { "revisions": 1 } }));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.sleep();
    assert_eq!(world.sizes(), "r1 0/0, r2 3/3");
    world.events.clear();
    world.release("web:1");
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert!(
        world
            .events
            .last()
            .unwrap()
            .ends_with("(r1): Rollback within window"),
        "{:?}",
        world.events
    );
}

// ABT-001, ABT-010, ABT-011, BG-013, BGR-006
#[test]
fn an_abort_leaves_the_active_service_and_removes_the_preview_later() {
    let mut world = deployed(json!({ "autoPromotionEnabled": false }));
    world.release("web:2");
    world.settle();
    world.abort();
    expect![[r#"
        write ReplicaSet web-r2: annotations
        warning RolloutAborted: Rollout aborted update to revision 2
        wait ReplicaSet web-r2: its scale-down deadline until 30.3s
        again at 30.3s
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 3/3, r2 3/3
    "#]]
    .assert_eq(&world.settle());
    expect![[r#"
        write ReplicaSet web-r2: scale from 3 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 3 to 0
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 3/3, r2 0/0
    "#]]
    .assert_eq(&world.sleep());
    world.retry();
    expect![[r#"
        write ReplicaSet web-r2: scale from 0 to 3
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 3
        event RolloutPaused: Rollout is paused (BlueGreenPause)
        Paused: BlueGreenPause | r1 3/3, r2 3/3
    "#]]
    .assert_eq(&world.settle());
}

// BG-013
#[test]
fn a_preview_may_be_kept_after_an_abort() {
    let mut world =
        deployed(json!({ "autoPromotionEnabled": false, "abortScaleDownDelaySeconds": 0 }));
    world.release("web:2");
    world.settle();
    world.abort();
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    assert_eq!(world.requeue, Requeue::OnChange);
}

// ABT-004, BGR-008, SCD-001
#[test]
fn a_third_revision_replaces_the_preview() {
    let mut world = deployed(json!({ "autoPromotionEnabled": false }));
    world.release("web:2");
    world.settle();
    world.release("web:3");
    expect![[r#"
        write ReplicaSet web-r3: revision 3
        write Rollout web: revision 3
        write Service preview: select revision r3
        event RolloutUpdated: Rollout updated to revision 3
        event NewReplicaSetCreated: Created ReplicaSet web-r3 (revision 3)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r3 (revision 3) from 0 to 3
        event SwitchService: Switched selector for service 'preview' from 'r2' to 'r3'
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: annotations
        event RolloutPaused: Rollout is paused (BlueGreenPause)
        again at 31.3s
        Paused: BlueGreenPause | r1 3/3, r2 3/3, r3 3/3
    "#]]
    .assert_eq(&world.settle());
    expect![[r#"
        write ReplicaSet web-r2: scale from 3 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 3 to 0
        Paused: BlueGreenPause | r1 3/3, r2 0/0, r3 3/3
    "#]]
    .assert_eq(&world.sleep());
}

// BG-008, SCD-001
#[test]
fn only_so_many_old_sets_stay_up() {
    let mut world =
        deployed(json!({ "scaleDownDelaySeconds": 3600, "scaleDownDelayRevisionLimit": 1 }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    world.release("web:3");
    world.settle();
    assert_eq!(world.sizes(), "r1 0/0, r2 3/3, r3 3/3");
    assert_ne!(world.requeue, Requeue::OnChange);
}

// HPA-001, BGR-008, CND-002
#[test]
fn an_autoscaler_resizes_every_set_that_is_up() {
    let mut world =
        deployed(json!({ "autoPromotionEnabled": false, "scaleDownDelaySeconds": 3600 }));
    world.release("web:2");
    world.settle();
    world.edit(json!({ "replicas": 5 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
    assert_eq!(world.phase(), "Paused: BlueGreenPause");
    assert_eq!(
        world.condition("Available"),
        "True AvailableReason: Rollout has minimum availability"
    );
    world.promote();
    world.settle();
    world.edit(json!({ "replicas": 2 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 2/2, r2 2/2");
    assert_eq!(world.phase(), "Healthy");
}

// RAN-006: nothing is analysed before the switch, so old sets wait for nothing.
#[test]
fn a_set_in_between_goes_although_analysis_is_to_come() {
    let mut world = deployed(json!({
        "autoPromotionEnabled": false,
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    for image in ["web:2", "web:3"] {
        world.release(image);
        world.settle();
    }
    world.abort();
    world.settle();
    world.advance(60);
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 0/0, r3 0/0");
}

// BGR-006, KEY-007
#[test]
fn an_empty_set_without_annotations_can_become_active() {
    let mut world = deployed(json!({}));
    world.edit(json!({ "replicas": 0, "paused": true }));
    world.settle();
    world.release("web:2");
    world.settle();
    let new = format!("web-{}", world.status().current_pod_hash);
    let lost = json!({ "metadata": { "annotations": null } });
    world.patch("ReplicaSet", &new, &lost, false);
    world.settle();
    world.edit(json!({ "paused": false }));
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.selects("active"), "r2");
}

// BGR-006, KEY-007
#[test]
fn an_empty_set_of_the_past_can_become_active() {
    let mut world = deployed(json!({}));
    world.release("web:2");
    world.settle();
    world.advance(60);
    world.settle();
    world.edit(json!({ "replicas": 0 }));
    world.settle();
    world.release("web:1");
    world.settle();
    world.promote();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.selects("active"), "r1");
}

// ABT-005, CLI-006
#[test]
fn a_promotion_in_full_skips_pause_and_analysis() {
    let mut world = deployed(json!({
        "previewReplicaCount": 1,
        "autoPromotionEnabled": false,
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2-pre new"]);
    world.promote_full();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.selects("active"), "r2");
    assert_eq!(world.runs(), ["web-r2-2-pre new terminated"]);
    assert!(!world.status().promote_full);
}

// CND-025, REC-025
#[test]
fn a_deadline_aborts_with_exactly_four_conditions() {
    let mut world = deployed(json!({}));
    world.edit(json!({ "progressDeadlineSeconds": 5, "progressDeadlineAbort": true }));
    world.settle();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.sleep();
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2: \
         ReplicaSet \"web-r2\" has timed out progressing."
    );
    let types: Vec<String> = world
        .status()
        .conditions
        .iter()
        .map(|condition| condition.type_.to_string())
        .collect();
    assert_eq!(types.len(), 4, "{types:?}");
    assert_eq!(world.selects("active"), "r1");
}

// RO-010, REC-019: pods come all the same, so that an autoscaler is followed.
#[test]
fn the_users_pause_holds_the_switch() {
    let mut world = deployed(json!({}));
    world.edit(json!({ "paused": true }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Paused: manually paused");
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    assert_eq!(world.selects("active"), "r1");
    assert_eq!(world.selects("preview"), "r1");
    world.promote();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.selects("active"), "r2");
}

// I8: the user's pause holds no abort, or the active Service would keep a set that loses its pods.
#[test]
fn an_abort_switches_back_although_the_rollout_is_paused() {
    let mut world = deployed(json!({
        "abortScaleDownDelaySeconds": 30,
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    world.edit(json!({ "paused": true }));
    world.abort();
    world.settle();
    assert_eq!(world.selects("active"), "r1");
    world.advance(31);
    world.settle();
    assert_eq!(world.selects("active"), "r1");
    assert_eq!(world.sizes(), "r1 3/3, r2 0/0");
}

// I8: the revision that is active may be the only one that serves.
#[test]
fn an_abort_switches_back_once_the_stable_set_serves() {
    let mut world = deployed(json!({
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    world.pods_get_ready(false);
    world.pods_ready(1, 0);
    world.abort();
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    world.advance(3600);
    world.settle();
    assert_eq!(world.sizes(), "r1 0/3, r2 3/3");

    world.pods_ready(1, 1);
    world.settle();
    assert_eq!(world.selects("active"), "r1");
    assert_eq!(world.sizes(), "r1 1/3, r2 3/3");
}

// ROL-001: API servers write whole seconds, and two revisions can come within one.
#[test]
fn a_rollback_within_the_delay_is_fast_although_both_sets_are_of_one_second() {
    let mut world = World::blue_green(json!({ "autoPromotionEnabled": false }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    let made = world.object("ReplicaSet", &format!("web-{}", world.hash(1)))["metadata"]
        ["creationTimestamp"]
        .clone();
    let name = format!("web-{}", world.hash(2));
    let mut set = world.object("ReplicaSet", &name).clone();
    set["metadata"]["creationTimestamp"] = made;
    world.replace("ReplicaSet", &name, set);
    world.release("web:1");
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.status().stable_rs, world.hash(1));
    // And back again: the set of the second revision is the younger one, so it has to be looked at first.
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Paused: BlueGreenPause");
}

// ST-009, ST-010, ST-024, ST-025: what counts in the pass that switches is what it has switched to.
#[test]
fn the_pass_that_switches_counts_the_pods_that_serve_from_now_on() {
    let mut world = deployed(json!({ "previewService": "" }));
    world.release("web:2");
    let mut before = world.status();
    loop {
        world.pass();
        let status = world.status();
        let hash = &status.blue_green.active_selector;
        assert_eq!(
            status.selector,
            format!("app=web,rollouts-pod-template-hash={hash}")
        );
        if status.blue_green.active_selector != before.blue_green.active_selector {
            assert_eq!(*hash, world.hash(2));
            break;
        }
        before = status;
    }
}

// SCD-010: a set that a Service still selects is none of those.
#[test]
fn a_set_that_serves_is_not_counted_among_the_old_ones() {
    let mut world = deployed(json!({
        "scaleDownDelaySeconds": 3600, "scaleDownDelayRevisionLimit": 1,
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    world.every_run("Successful");
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    world.release("web:3");
    world.settle();
    // The third one is active and being measured when the fourth comes.
    world.release("web:4");
    world.pods_get_ready(false);
    world.settle();
    assert_eq!(world.selects("active"), "r3");
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3, r3 3/3, r4 0/3");
}

/// Somebody goes back to a revision whose pods are gone, and its analysis has just failed.
fn an_older_revision_that_fails(mut blue_green: Value) -> World {
    blue_green["prePromotionAnalysis"] = json!({ "templates": [{ "templateName": "checks" }] });
    let mut world = deployed(blue_green);
    world.release("web:2");
    world.settle();
    world.every_run("Successful");
    world.settle();
    world.sleep();
    assert_eq!(world.sizes(), "r1 0/0, r2 3/3");
    world.release("web:1");
    world.settle();
    world.every_run("Failed");
    world
}

// ROL-002: the end that an abort announces makes no update fast. Who retries wants the analysis that failed.
#[test]
fn a_retry_of_an_older_revision_is_analysed() {
    let mut world = an_older_revision_that_fails(json!({}));
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    world.retry();
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    assert_eq!(world.status().stable_rs, world.hash(2));
    assert_eq!(
        world.runs(),
        [
            "web-r1-3-pre Failed",
            "web-r1-3-pre.1 new",
            "web-r2-2-pre Successful"
        ]
    );
    world.every_run("Successful");
    world.settle();
    assert_eq!(world.selects("active"), "r1");
}

// ROL-002: the end that an abort announces makes no fast rollback of it, although the status of that pass was lost, or the
// pass of a retry could not take it off.
#[test]
fn what_has_failed_its_analysis_does_not_go_live_by_the_end_that_was_announced() {
    let lose = |role: Option<Role>| Fault {
        role,
        kind: WriteErrorKind::Unavailable,
        times: 1,
    };
    for retries in [false, true] {
        let mut world = an_older_revision_that_fails(json!({}));
        if retries {
            world.settle();
            world.faults.push(lose(Some(Role::Annotate)));
            world.retry();
        } else {
            world.faults.push(lose(None));
        }
        world.settle();
        assert_eq!(world.selects("active"), "r2");
        assert_eq!(world.status().stable_rs, world.hash(2));
        if !retries {
            assert!(world.status().abort);
        }
    }
}

// ROL-002: nor by the end that is announced once the next revision has come, where the abort announced none.
#[test]
fn what_was_aborted_is_analysed_whenever_somebody_comes_back_to_it() {
    let mut world = an_older_revision_that_fails(json!({ "abortScaleDownDelaySeconds": 0 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    world.release("web:3");
    world.settle();
    world.release("web:1");
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3, r3 3/3");
    assert_eq!(world.selects("active"), "r2");
    world.every_run("Successful");
    world.settle();
    assert_eq!(world.selects("active"), "r1");
    assert_eq!(world.status().stable_rs, world.hash(1));
}

// RAN-006, AR#3724: pods that come and go meanwhile end no analysis, and without one nothing is switched or promoted.
#[test]
fn an_analysis_that_has_begun_goes_on_while_pods_are_not_ready() {
    let mut world = deployed(json!({
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    for (run, active) in [("web-r2-2-pre", "r1"), ("web-r2-2-post", "r2")] {
        world.pods_get_ready(false);
        world.pods_ready(2, 2);
        world.settle();
        assert!(
            world.runs().contains(&format!("{run} new")),
            "{run}: {:?}",
            world.runs()
        );
        assert_eq!(world.selects("active"), active, "{run}");
        assert_eq!(world.status().stable_rs, world.hash(1), "{run}");
        world.pods_ready(2, 3);
        world.every_run("Successful");
        world.settle();
    }
    assert_eq!(world.phase(), "Healthy");
}

// BGR-008: the next revision comes while one is active and not promoted. An autoscaler reaches the pods that serve.
#[test]
fn the_set_that_serves_has_its_size_whatever_comes_after_it() {
    let mut world = deployed(json!({
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.release("web:3");
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3, r3 0/3");
    world.edit(json!({ "replicas": 5 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 3/5, r2 3/5, r3 0/5");
    world.edit(json!({ "replicas": 2 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 2/2, r2 2/2, r3 0/2");
    assert_eq!(world.selects("active"), "r2");
    // Once nothing selects it, it goes as any other.
    world.pods_ready(3, 2);
    world.settle();
    assert_eq!(world.selects("active"), "r3");
    world.every_run("Successful");
    world.settle();
    world.sleep();
    assert_eq!(world.sizes(), "r1 0/0, r2 0/0, r3 2/2");
}

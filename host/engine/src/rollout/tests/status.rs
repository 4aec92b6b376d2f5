//! What the status says at each stage, field by field.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::world::{Fault, World};
use crate::keys;
use crate::plan::{Role, WriteErrorKind};

fn status(world: &World) -> String {
    let status = serde_json::to_value(world.status()).unwrap();
    let mut lines = Vec::new();
    for (field, value) in status.as_object().unwrap() {
        if field == "conditions" {
            for condition in value.as_array().unwrap() {
                let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
                lines.push(format!(
                    "  {} {} {}: {}",
                    text("type"),
                    text("status"),
                    text("reason"),
                    text("message")
                ));
            }
        } else {
            lines.push(format!("{field} {value}"));
        }
    }
    world.readable(&lines.join("\n"))
}

fn check(world: &World, expected: &Expect) {
    expected.assert_eq(&status(world));
}

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] })
}

// ST-001 to ST-008, ST-011, ST-013, ST-014, ST-018, ST-026, ST-029, ST-032, CND-020, REC-021, REC-023
#[test]
fn the_status_of_a_canary() {
    let mut world = World::routed(steps());
    world.settle();
    check(
        &world,
        &expect![[r#"
        HPAReplicas 10
        availableReplicas 10
        blueGreen {}
        canary {"weights":{"canary":{"podTemplateHash":"r1","serviceName":"canary","weight":0},"stable":{"podTemplateHash":"r1","serviceName":"stable","weight":100}}}
          Completed True RolloutCompleted: RolloutCompleted
          Healthy True RolloutHealthy: Rollout is healthy
          Progressing True NewReplicaSetAvailable: ReplicaSet "web-r1" has successfully progressed.
          Available True AvailableReason: Rollout has minimum availability
        currentPodHash "r1"
        currentStepHash "54649b9f5c"
        currentStepIndex 2
        duration {"completionStatus":"Promoted","finishedAt":"2024-05-06T07:08:09Z","rolloutStartedAt":"2024-05-06T07:08:09Z"}
        observedGeneration "1"
        phase "Healthy"
        readyReplicas 10
        replicas 10
        selector "app=web"
        stableRS "r1"
        updatedReplicas 10"#]],
    );
    world.release("web:2");
    world.settle();
    check(
        &world,
        &expect![[r#"
        HPAReplicas 12
        availableReplicas 12
        blueGreen {}
        canary {"weights":{"canary":{"podTemplateHash":"r2","serviceName":"canary","weight":20},"stable":{"podTemplateHash":"r1","serviceName":"stable","weight":80}}}
          Available True AvailableReason: Rollout has minimum availability
          Healthy False RolloutHealthy: Rollout is not healthy
          Completed False RolloutCompleted: RolloutCompleted
          Progressing Unknown RolloutPaused: Rollout is paused
          Paused True RolloutPaused: Rollout is paused
        controllerPause true
        currentPodHash "r2"
        currentStepHash "54649b9f5c"
        currentStepIndex 1
        duration {"manualPauseStartedAt":"2024-05-06T07:08:10Z","rolloutStartedAt":"2024-05-06T07:08:10Z"}
        message "CanaryPauseStep"
        observedGeneration "2"
        pauseConditions [{"reason":"CanaryPauseStep","startTime":"2024-05-06T07:08:10Z"}]
        phase "Paused"
        readyReplicas 12
        replicas 12
        selector "app=web"
        stableRS "r1"
        updatedReplicas 2"#]],
    );
    world.abort();
    world.settle();
    check(
        &world,
        &expect![[r#"
        HPAReplicas 12
        abort true
        abortedAt "2024-05-06T07:08:10Z"
        availableReplicas 12
        blueGreen {}
        canary {"weights":{"canary":{"podTemplateHash":"r2","serviceName":"canary","weight":0},"stable":{"podTemplateHash":"r1","serviceName":"stable","weight":100}}}
          Available True AvailableReason: Rollout has minimum availability
          Healthy False RolloutHealthy: Rollout is not healthy
          Completed False RolloutCompleted: RolloutCompleted
          Paused True RolloutPaused: Rollout is paused
          Progressing False RolloutAborted: Rollout aborted update to revision 2
        currentPodHash "r2"
        currentStepHash "54649b9f5c"
        currentStepIndex 0
        duration {"completionStatus":"Aborted","finishedAt":"2024-05-06T07:08:10Z","rolloutStartedAt":"2024-05-06T07:08:10Z","totalManualPauseDurationSeconds":0}
        message "RolloutAborted: Rollout aborted update to revision 2"
        observedGeneration "2"
        phase "Degraded"
        readyReplicas 12
        replicas 12
        selector "app=web"
        stableRS "r1"
        updatedReplicas 2"#]],
    );
    world.retry();
    world.settle();
    check(
        &world,
        &expect![[r#"
        HPAReplicas 12
        availableReplicas 12
        blueGreen {}
        canary {"weights":{"canary":{"podTemplateHash":"r2","serviceName":"canary","weight":20},"stable":{"podTemplateHash":"r1","serviceName":"stable","weight":80}}}
          Available True AvailableReason: Rollout has minimum availability
          Healthy False RolloutHealthy: Rollout is not healthy
          Completed False RolloutCompleted: RolloutCompleted
          Progressing Unknown RolloutPaused: Rollout is paused
          Paused True RolloutPaused: Rollout is paused
        controllerPause true
        currentPodHash "r2"
        currentStepHash "54649b9f5c"
        currentStepIndex 1
        duration {"manualPauseStartedAt":"2024-05-06T07:08:10Z","rolloutStartedAt":"2024-05-06T07:08:10Z"}
        message "CanaryPauseStep"
        observedGeneration "2"
        pauseConditions [{"reason":"CanaryPauseStep","startTime":"2024-05-06T07:08:10Z"}]
        phase "Paused"
        readyReplicas 12
        replicas 12
        selector "app=web"
        stableRS "r1"
        updatedReplicas 2"#]],
    );
    world.promote();
    world.settle();
    check(
        &world,
        &expect![[r#"
        HPAReplicas 20
        availableReplicas 20
        blueGreen {}
        canary {"weights":{"canary":{"podTemplateHash":"r2","serviceName":"canary","weight":0},"stable":{"podTemplateHash":"r2","serviceName":"stable","weight":100}}}
          Available True AvailableReason: Rollout has minimum availability
          Healthy False RolloutHealthy: Rollout is not healthy
          Paused False RolloutPaused: Rollout is paused
          Progressing True ReplicaSetUpdated: ReplicaSet "web-r2" is progressing.
          Completed True RolloutCompleted: RolloutCompleted
        currentPodHash "r2"
        currentStepHash "54649b9f5c"
        currentStepIndex 2
        duration {"completionStatus":"Promoted","finishedAt":"2024-05-06T07:08:10Z","rolloutStartedAt":"2024-05-06T07:08:10Z","totalManualPauseDurationSeconds":0}
        observedGeneration "2"
        phase "Healthy"
        readyReplicas 20
        replicas 20
        selector "app=web"
        stableRS "r2"
        updatedReplicas 10"#]],
    );
}

// ST-009, ST-010, ST-021, ST-022, ST-023, ST-024, ST-025
#[test]
fn the_status_of_a_blue_green_rollout() {
    let mut world = World::blue_green(json!({
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.add_template("checks");
    world.settle();
    world.release("web:2");
    world.settle();
    world.analysis("r2-2-pre", "Successful", "");
    world.settle();
    check(
        &world,
        &expect![[r#"
        HPAReplicas 3
        availableReplicas 3
        blueGreen {"activeSelector":"r2","postPromotionAnalysisRunStatus":{"name":"web-r2-2-post","status":""},"prePromotionAnalysisRunStatus":{"name":"web-r2-2-pre","status":"Successful"},"previewSelector":"r2"}
        canary {}
          Available True AvailableReason: Rollout has minimum availability
          Completed False RolloutCompleted: RolloutCompleted
          Healthy True RolloutHealthy: Rollout is healthy
          Progressing True NewReplicaSetAvailable: ReplicaSet "web-r2" has successfully progressed.
        currentPodHash "r2"
        duration {"rolloutStartedAt":"2024-05-06T07:08:10Z"}
        message "waiting for analysis to complete"
        observedGeneration "2"
        phase "Progressing"
        readyReplicas 3
        replicas 6
        selector "app=web,rollouts-pod-template-hash=r2"
        stableRS "r1"
        updatedReplicas 3"#]],
    );
    world.analysis("r2-2-post", "Successful", "");
    world.settle();
    check(
        &world,
        &expect![[r#"
        HPAReplicas 3
        availableReplicas 3
        blueGreen {"activeSelector":"r2","postPromotionAnalysisRunStatus":{"name":"web-r2-2-post","status":"Successful"},"prePromotionAnalysisRunStatus":{"name":"web-r2-2-pre","status":"Successful"},"previewSelector":"r2"}
        canary {}
          Available True AvailableReason: Rollout has minimum availability
          Healthy True RolloutHealthy: Rollout is healthy
          Progressing True NewReplicaSetAvailable: ReplicaSet "web-r2" has successfully progressed.
          Completed True RolloutCompleted: RolloutCompleted
        currentPodHash "r2"
        duration {"completionStatus":"Promoted","finishedAt":"2024-05-06T07:08:10Z","rolloutStartedAt":"2024-05-06T07:08:10Z"}
        observedGeneration "2"
        phase "Healthy"
        readyReplicas 3
        replicas 6
        selector "app=web,rollouts-pod-template-hash=r2"
        stableRS "r2"
        updatedReplicas 3"#]],
    );
}

// ST-028, CLI-006: it is kept until it has its effect, and a new template ends it.
#[test]
fn a_promotion_in_full_is_kept_until_it_is_done() {
    let mut world = World::canary(steps());
    world.settle();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    assert!(world.status().promote_full);
    assert_eq!(world.status().current_step_index, Some(2));
    world.release("web:3");
    world.settle();
    assert!(!world.status().promote_full);
    assert_eq!(world.status().current_step_index, Some(0));
    world.promote_full();
    world.pods_get_ready(true);
    world.settle();
    assert!(!world.status().promote_full);
    assert_eq!(world.phase(), "Healthy");
}

// CND-022: what counts is the generation that was seen before this pass.
#[test]
fn a_change_of_the_specification_is_seen_before_it_is_healthy() {
    let mut world = World::canary(steps());
    world.settle();
    world.edit(json!({ "progressDeadlineSeconds": 700 }));
    world.pass();
    assert_eq!(
        world.condition("Healthy"),
        "False RolloutHealthy: Rollout is not healthy"
    );
    world.settle();
    assert_eq!(
        world.condition("Healthy"),
        "True RolloutHealthy: Rollout is healthy"
    );
    assert_eq!(world.phase(), "Healthy");
}

// CND-010, CND-011, CND-015, CND-024: what somebody pauses and resumes, and what an abort leaves.
#[test]
fn pauses_are_acknowledged() {
    let mut world = World::canary(json!({}));
    world.settle();
    world.edit(json!({ "paused": true }));
    world.settle();
    assert_eq!(
        world.condition("Paused"),
        "True RolloutPaused: Rollout is paused"
    );
    // What is completed has progressed, paused or not.
    assert_eq!(
        world.condition("Progressing"),
        "True NewReplicaSetAvailable: ReplicaSet \"web-r1\" has successfully progressed."
    );
    assert_eq!(world.phase(), "Paused: manually paused");
    world.edit(json!({ "paused": false }));
    world.settle();
    assert_eq!(
        world.condition("Paused"),
        "False RolloutPaused: Rollout is paused"
    );

    let mut world = World::canary(steps());
    world.settle();
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.promote();
    world.pass();
    assert_eq!(
        world.condition("Progressing"),
        "True ReplicaSetUpdated: ReplicaSet \"web-r2\" is progressing."
    );
    world.edit(json!({ "paused": true }));
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutPaused: Rollout is paused"
    );
    world.edit(json!({ "paused": false }));
    world.pass();
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutResumed: Rollout is resumed"
    );

    let mut world = World::canary(steps());
    world.settle();
    world.release("web:2");
    world.settle();
    world.abort();
    world.settle();
    assert_eq!(
        world.condition("Paused"),
        "True RolloutPaused: Rollout is paused"
    );
    assert_eq!(
        world.condition("Progressing"),
        "False RolloutAborted: Rollout aborted update to revision 2"
    );
    world.pods_get_ready(false);
    world.retry();
    world.pass();
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutRetry: Retrying Rollout after abort"
    );
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(
        world.condition("Progressing"),
        "Unknown RolloutPaused: Rollout is paused"
    );
}

// CND-013, CND-014, EVT-004, REC-025: a set that cannot be created is late like one whose pods do not come, and stays
// late; its abort is told once.
#[test]
fn a_set_that_can_never_be_created_is_late() {
    for (abort, phase) in [
        (
            false,
            "Degraded: ProgressDeadlineExceeded: Rollout \"web\" has timed out progressing.",
        ),
        (
            true,
            "Degraded: RolloutAborted: Rollout aborted update to revision 2: Rollout \"web\" has timed out progressing.",
        ),
    ] {
        let mut world = World::canary(steps());
        world.edit(json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": abort }));
        world.settle();
        world.release("web:2");
        world.faults.push(Fault {
            role: Some(Role::CreateSet),
            kind: WriteErrorKind::Invalid,
            times: 1000,
        });
        for _ in 0..10 {
            world.pass();
        }
        assert!(
            world
                .condition("Progressing")
                .starts_with("False ReplicaSetCreateError: Failed to create new replica set"),
            "{}",
            world.condition("Progressing")
        );
        world.advance(62);
        world.events.clear();
        for _ in 0..10 {
            world.pass();
            assert_eq!(world.phase(), phase);
        }
        let (attempts, others): (Vec<_>, Vec<_>) = world
            .events
            .iter()
            .partition(|event| event.contains("ReplicaSetCreateError"));
        assert_eq!(others.len(), if abort { 2 } else { 0 }, "{others:?}");
        // Each attempt says why.
        assert_eq!(attempts.len(), 10, "{attempts:?}");
    }
}

// DUR-005: a specification that is wrong stops the clock of nobody.
#[test]
fn durations_stand_still_while_the_specification_is_wrong() {
    let mut world = World::canary(steps());
    world.settle();
    world.release("web:2");
    world.settle();
    let before = world.status().duration;
    assert!(before.is_some());
    world.advance(30);
    world.edit(json!({ "progressDeadlineSeconds": 1, "minReadySeconds": 5 }));
    world.settle();
    assert!(world.phase().starts_with("Degraded: InvalidSpec"));
    assert_eq!(world.status().duration, before);
    world.edit(json!({ "progressDeadlineSeconds": 600 }));
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    assert_eq!(world.status().duration, before);
}

// DUR-001, DUR-002, DUR-003, DUR-004
#[test]
fn a_rollback_continues_its_attempt_and_manual_pauses_are_counted() {
    let duration = |world: &World| serde_json::to_value(world.status().duration).unwrap();
    // To an earlier revision that is not the stable one, in the middle of an update.
    let mut world =
        World::canary(json!({ "steps": [{ "setWeight": 20 }, { "pause": { "duration": 60 } }] }));
    world.settle();
    world.advance(100);
    world.release("web:2");
    world.settle();
    world.sleep();
    world.advance(100);
    world.release("web:3");
    world.settle();
    let started = duration(&world)["rolloutStartedAt"].clone();
    world.release("web:1");
    world.settle();
    assert_eq!(duration(&world)["completionStatus"], "RolledBack");
    assert_eq!(duration(&world)["rolloutStartedAt"], started);
    assert_eq!(duration(&world)["finishedAt"], Value::Null);
    world.sleep();
    assert_eq!(duration(&world)["completionStatus"], "RolledBack");
    assert_ne!(duration(&world)["finishedAt"], Value::Null);
    assert_eq!(
        duration(&world)["totalManualPauseDurationSeconds"],
        Value::Null,
        "a timed pause waits for nobody"
    );

    // Somebody's pause, and a preview that waits for somebody.
    let mut world = World::blue_green(json!({ "autoPromotionEnabled": false }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.advance(40);
    world.edit(json!({ "paused": true }));
    world.settle();
    world.advance(7);
    world.promote();
    world.settle();
    world.promote();
    world.settle();
    let promoted = duration(&world);
    assert_eq!(promoted["completionStatus"], "Promoted");
    assert_eq!(promoted["totalManualPauseDurationSeconds"], 47);
    assert_eq!(promoted["manualPauseStartedAt"], Value::Null);

    // A promotion waits for its pods before it is over.
    let mut world =
        World::canary(json!({ "replicaProgressThreshold": { "type": "Percent", "value": 50 } }));
    world.settle();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    for _ in 0..10 {
        world.pods_ready(2, 6);
        world.settle();
    }
    assert_eq!(world.status().stable_rs, world.hash(2));
    assert_eq!(duration(&world)["completionStatus"], "Promoted");
    assert_eq!(duration(&world)["finishedAt"], Value::Null);
    world.pods_get_ready(true);
    world.settle();
    assert_ne!(duration(&world)["finishedAt"], Value::Null);
}

// VAL-007: of the first revision, too.
#[test]
fn a_first_template_that_the_api_server_refuses_is_an_invalid_specification() {
    let mut world = World::canary(steps());
    world.template_refused = true;
    world.faults.push(Fault {
        role: Some(Role::CreateSet),
        kind: WriteErrorKind::Invalid,
        times: 1,
    });
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: InvalidSpec: The Rollout \"web\" is invalid: spec.template.spec.containers[0].image: Required value"
    );
    assert_eq!(world.sizes(), "");
    // Once it is mended, the first revision comes.
    world.template_refused = false;
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.sizes(), "r1 10/10");
}

// What was done is told although the status cannot be written, and once.
#[test]
fn what_was_written_is_told_although_the_status_is_not() {
    let mut world = World::canary(json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] }));
    world.settle();
    world.release("web:2");
    world.events.clear();
    world.faults.push(Fault {
        role: None,
        kind: WriteErrorKind::Unavailable,
        times: 1,
    });
    while !world
        .pass()
        .lines
        .iter()
        .any(|line| line.contains("status failed"))
    {}
    assert_eq!(
        world.reasons(),
        "RolloutUpdated NewReplicaSetCreated ScalingReplicaSet ScalingReplicaSet"
    );
    world.settle();
    assert_eq!(
        world.reasons(),
        "RolloutNotCompleted RolloutStepCompleted RolloutPaused"
    );
}

// ST-021: what an earlier strategy has left says nothing of this one.
#[test]
fn a_status_says_nothing_of_another_strategy() {
    let mut world = World::blue_green(json!({ "previewService": "" }));
    world.settle();
    assert_eq!(world.status().blue_green.active_selector, world.hash(1));
    world.edit(json!({ "strategy": { "blueGreen": null, "canary": steps() } }));
    world.settle();
    assert_eq!(
        world.status().blue_green,
        sluice_api::BlueGreenStatus::default()
    );
    world.release("web:2");
    world.settle();
    assert_eq!(world.status().current_step_index, Some(1));
    world.edit(
        json!({ "strategy": { "canary": null, "blueGreen": { "activeService": "active" } } }),
    );
    world.settle();
    let status = world.status();
    assert_eq!(status.current_step_index, None);
    assert_eq!(status.canary, sluice_api::CanaryStatus::default());
    assert_eq!(world.phase(), "Healthy");
}

// CND-014: the first set is tried again although nobody answers dry runs either, and is late after its deadline.
#[test]
fn a_first_set_is_tried_whatever_becomes_of_the_dry_run() {
    let mut world = World::canary(steps());
    world.edit(json!({ "progressDeadlineSeconds": 60 }));
    world.look_fails = true;
    world.faults.push(Fault {
        role: Some(Role::CreateSet),
        kind: WriteErrorKind::Unavailable,
        times: 1000,
    });
    for _ in 0..10 {
        world.pass();
    }
    let attempts = world.reasons().matches("ReplicaSetCreateError").count();
    assert!(attempts >= 3, "{attempts}");
    world.advance(62);
    for _ in 0..4 {
        world.pass();
    }
    assert!(
        world
            .phase()
            .starts_with("Degraded: ProgressDeadlineExceeded"),
        "{}",
        world.phase()
    );
    world.faults.clear();
    for _ in 0..4 {
        world.pass();
    }
    assert_eq!(world.sizes(), "r1 10/10");
}

// VAL-007: the dry run is asked again once it has failed.
#[test]
fn a_first_template_is_refused_although_the_first_dry_run_failed() {
    let mut world = World::canary(steps());
    world.look_fails = true;
    world.faults.push(Fault {
        role: Some(Role::CreateSet),
        kind: WriteErrorKind::Invalid,
        times: 1000,
    });
    for _ in 0..6 {
        world.pass();
    }
    assert!(!world.phase().contains("InvalidSpec"), "{}", world.phase());
    world.look_fails = false;
    world.template_refused = true;
    world.settle();
    assert!(
        world.phase().starts_with("Degraded: InvalidSpec"),
        "{}",
        world.phase()
    );
}

// CND-013, CND-014: that the update before was late says nothing of this one.
#[test]
fn the_next_update_is_not_late_because_the_one_before_was() {
    let mut world = World::canary(json!({}));
    world.edit(json!({ "progressDeadlineSeconds": 60 }));
    world.settle();
    world.faults.push(Fault {
        role: Some(Role::CreateSet),
        kind: WriteErrorKind::Invalid,
        times: 1000,
    });
    let passes = |world: &mut World| {
        (0..6).for_each(|_| drop(world.pass()));
        world.condition("Progressing")
    };
    for image in ["web:2", "web:3"] {
        world.release(image);
        let progressing = passes(&mut world);
        assert!(
            progressing.starts_with("False ReplicaSetCreateError"),
            "{image}: {progressing}"
        );
        world.advance(62);
        // Once it is late, it stays so, whatever becomes of other pods.
        for ready in [10, 5, 10] {
            world.pods_ready(1, ready);
            let progressing = passes(&mut world);
            assert!(
                progressing.starts_with("False ProgressDeadlineExceeded"),
                "{image}, {ready}: {progressing}"
            );
        }
    }
}

// CND-023: an empty set waits for nothing, whatever is announced of it.
#[test]
fn the_announced_end_of_an_empty_set_holds_up_no_deadline() {
    let mut world = World::routed(json!({}));
    world.edit(json!({ "progressDeadlineSeconds": 60 }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.advance(60);
    world.settle();
    let first = format!("web-{}", world.hash(1));
    let announced = json!({ "metadata": { "annotations": { (keys::SCALE_DOWN_DEADLINE): "2024-05-06T07:08:09Z" } } });
    world.patch("ReplicaSet", &first, &announced, false);
    world.pods_get_ready(false);
    world.release("web:3");
    world.settle();
    world.advance(62);
    world.settle();
    assert!(
        world.phase().contains("ProgressDeadlineExceeded"),
        "{}",
        world.phase()
    );
}

// CND-023: the update is not late before old pods whose end is announced have gone, and then its time begins.
#[test]
fn the_announced_end_of_old_pods_holds_up_the_deadline() {
    let mut world = World::routed(json!({ "scaleDownDelaySeconds": 3600 }));
    world.edit(json!({ "progressDeadlineSeconds": 60 }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.release("web:3");
    world.settle();
    world.advance(1800);
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 10/10, r3 0/10");
    assert!(
        world.phase().starts_with("Progressing: "),
        "{}",
        world.phase()
    );
    world.sleep();
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10, r3 0/10");
    assert!(
        world.phase().starts_with("Progressing: "),
        "{}",
        world.phase()
    );
    world.sleep();
    assert!(
        world.phase().contains("ProgressDeadlineExceeded"),
        "{}",
        world.phase()
    );
}

// ABT-011: what is paused keeps its size, and its time begins when it goes on.
#[test]
fn an_aborted_canary_is_announced_once_its_rollout_goes_on() {
    let mut world = World::routed(json!({ "steps": [{ "setWeight": 50 }, { "pause": {} }] }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.edit(json!({ "paused": true }));
    world.abort();
    world.settle();
    world.advance(300);
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 5/5");
    world.edit(json!({ "paused": false }));
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 5/5");
    world.advance(31);
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
}

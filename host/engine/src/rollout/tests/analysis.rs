//! Stories of a canary that is judged.

use expect_test::expect;
use serde_json::{Value, json};

use super::world::{Fault, Router, World};
use crate::plan::{Requeue, Role, WriteErrorKind};

fn background() -> Value {
    json!({
        "analysis": { "templates": [{ "templateName": "checks" }] },
        "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }],
    })
}

fn inline() -> Value {
    json!({ "steps": [
        { "setWeight": 20 },
        { "analysis": { "templates": [{ "templateName": "checks" }] } },
        { "setWeight": 50 },
        { "pause": {} },
    ] })
}

fn deployed(canary: Value) -> World {
    let mut world = World::canary(canary);
    world.add_template("checks");
    world.settle();
    world.events.clear();
    world
}

// A controller that dies between the creation of a run and the status repeats no analysis, also of a later step.
#[test]
fn a_run_that_the_status_does_not_name_yet_is_not_repeated() {
    let checks = json!({ "analysis": { "templates": [{ "templateName": "checks" }] } });
    let mut world = deployed(json!({ "steps": [{ "setWeight": 20 }, checks, checks] }));
    world.release("web:2");
    world.settle();
    let first = world.status().canary.current_step_analysis_run_status;
    world.every_run("Successful");
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2-1 Successful", "web-r2-2-2 new"]);
    let before = json!({ "status": { "canary": { "currentStepAnalysisRunStatus": first } } });
    world.patch("Rollout", "web", &before, true);
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2-1 Successful", "web-r2-2-2 new"]);
}

// RAN-001, RAN-002, RAN-007, RAN-008, ST-016, EVT-019, HASH-010, KEY-014
#[test]
fn background_analysis_runs_with_the_update_and_ends_with_it() {
    let mut world = deployed(background());
    assert_eq!(
        world.runs(),
        Vec::<String>::new(),
        "no analysis of the first revision"
    );
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
        write AnalysisRun web-r2-2: Background analysis
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.runs(), ["web-r2-2 new"]);
    let name = world
        .status()
        .canary
        .current_background_analysis_run_status
        .unwrap()
        .name;
    let run = world.object("AnalysisRun", &name);
    assert_eq!(run["metadata"]["labels"]["rollout-type"], "Background");
    assert_eq!(
        run["metadata"]["labels"]["rollouts-pod-template-hash"],
        world.hash(2).as_str()
    );
    world.analysis("r2-2", "Running", "");
    expect![[r#"
        event AnalysisRunRunning: Background Analysis Run 'web-r2-2' Status New: 'Running' Previous: ''
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]].assert_eq(&world.settle());
    world.promote_full();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.runs(), ["web-r2-2 Running terminated"]);
    assert_eq!(
        world.status().canary.current_background_analysis_run_status,
        None
    );
}

// CA-007
#[test]
fn background_analysis_may_start_at_a_later_step() {
    let mut block = background();
    block["analysis"]["startingStep"] = json!(2);
    let mut world = deployed(block);
    world.release("web:2");
    world.settle();
    assert_eq!(world.runs(), Vec::<String>::new());
    world.promote();
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2 new"]);
}

// HASH-010, ENG-060
#[test]
fn a_name_that_somebody_else_has_taken_is_counted_on() {
    let mut block = background();
    block["analysis"]["startingStep"] = json!(2);
    let mut world = deployed(block);
    world.release("web:2");
    world.settle();
    let taken = format!("web-{}-2", world.hash(2));
    let metrics = json!({ "spec": { "metrics": [] } });
    world.put("AnalysisRun", &taken, metrics.clone());
    world.put("AnalysisRun", &format!("{taken}.1"), metrics);
    world.promote();
    world.settle();
    let current = world.status().canary;
    let current = current.current_background_analysis_run_status.unwrap();
    assert_eq!(current.name, format!("{taken}.2"));
    assert_eq!(
        world.runs(),
        ["web-r2-2 new", "web-r2-2.1 new", "web-r2-2.2 new"]
    );
    // Those of others are neither stopped nor forgotten.
    world.promote_full();
    world.settle();
    assert_eq!(
        world.runs(),
        [
            "web-r2-2 new",
            "web-r2-2.1 new",
            "web-r2-2.2 new terminated"
        ]
    );
}

// ABT-002, ABT-003, CND-012, EVT-011, EVT-019, RAN-005
#[test]
fn failed_background_analysis_aborts_with_its_message() {
    for (phase, message, expected) in [
        ("Failed", "", "Background analysis phase error/failed"),
        (
            "Error",
            "Metric \"errors\" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4)",
            "Background analysis phase error/failed: Metric \"errors\" assessed Error due to consecutiveErrors (5) > \
             consecutiveErrorLimit (4)",
        ),
    ] {
        let mut world = deployed(background());
        world.release("web:2");
        world.settle();
        world.analysis("r2-2", phase, message);
        world.events.clear();
        world.settle();
        let message = format!("Rollout aborted update to revision 2: {expected}");
        assert_eq!(
            world.phase(),
            format!("Degraded: RolloutAborted: {message}")
        );
        assert_eq!(
            world.condition("Progressing"),
            format!("False RolloutAborted: {message}")
        );
        assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
        assert_eq!(
            world.reasons(),
            format!("AnalysisRun{phase} ScalingReplicaSet ScalingReplicaSet RolloutAborted")
        );
        // A retry measures anew.
        world.retry();
        world.settle();
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
        assert_eq!(
            world.runs(),
            [format!("web-r2-2 {phase}"), "web-r2-2.1 new".to_owned()]
        );
    }
}

// RAN-003, PAU-003, ST-015, EVT-008
#[test]
fn a_step_waits_for_its_analysis() {
    let mut world = deployed(inline());
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
        write AnalysisRun web-r2-2-1: Step analysis
        Progressing: more replicas need to be updated | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.runs(), ["web-r2-2-1 new"]);
    assert_eq!(
        world.requeue,
        Requeue::OnChange,
        "an analysis is no lack of progress"
    );
    world.analysis("r2-2-1", "Running", "");
    world.settle();
    world.analysis("r2-2-1", "Successful", "");
    expect![[r#"
        event AnalysisRunSuccessful: Step Analysis Run 'web-r2-2-1' Status New: 'Successful' Previous: 'Running'
        event RolloutStepCompleted: Rollout step 2/4 completed (analysis)
        write ReplicaSet web-r2: scale from 2 to 5
        write ReplicaSet web-r1: scale from 8 to 6
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 8 to 6
        write ReplicaSet web-r1: scale from 6 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 6 to 5
        event RolloutStepCompleted: Rollout step 3/4 completed (setWeight: 50)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 5/5, r2 5/5
    "#]].assert_eq(&world.settle());
    assert_eq!(world.status().canary.current_step_analysis_run_status, None);
}

// ABT-002, ABT-003
#[test]
fn a_failed_step_aborts() {
    let mut world = deployed(inline());
    world.release("web:2");
    world.settle();
    world.analysis("r2-2-1", "Failed", "too many errors");
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2: \
         Step-based analysis phase error/failed: too many errors"
    );
    world.retry();
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2-1 Failed", "web-r2-2-1.1 new"]);
    world.analysis("r2-2-1.1", "Successful", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// RAN-004, RAN-005, REC-019, PAU-002, CLI-005
#[test]
fn an_inconclusive_analysis_pauses_until_somebody_decides() {
    let mut block = background();
    block["steps"] = json!([
        { "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }, { "setWeight": 80 }, { "pause": {} },
    ]);
    let mut world = deployed(block);
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.analysis("r2-2", "Inconclusive", "");
    expect![[r#"
        event AnalysisRunInconclusive: Background Analysis Run 'web-r2-2' Status New: 'Inconclusive' Previous: ''
        Paused: CanaryPauseStep | r1 5/5, r2 5/5
    "#]].assert_eq(&world.settle());
    world.edit(json!({ "replicas": 20 }));
    world.settle();
    assert_eq!(
        world.sizes(),
        "r1 5/5, r2 5/5",
        "nothing is scaled meanwhile"
    );
    world.edit(json!({ "replicas": 10 }));
    world.promote();
    expect![[r#"
        write AnalysisRun web-r2-2.1: Background analysis
        event RolloutStepCompleted: Rollout step 4/6 completed (pause)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 5 to 8
        write ReplicaSet web-r1: scale from 5 to 3
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 5 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 5 to 3
        write ReplicaSet web-r1: scale from 3 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 3 to 2
        event RolloutStepCompleted: Rollout step 5/6 completed (setWeight: 80)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 2/2, r2 8/8
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.runs(), ["web-r2-2 Inconclusive", "web-r2-2.1 new"]);
    // The second one is inconclusive as well: it pauses as well, and no third one is made.
    world.analysis("r2-2.1", "Inconclusive", "");
    world.settle();
    assert_eq!(
        world.status().pause_conditions.last().unwrap().reason,
        sluice_api::PauseReason::InconclusiveAnalysis
    );
    assert_eq!(
        world.runs(),
        ["web-r2-2 Inconclusive", "web-r2-2.1 Inconclusive"]
    );
}

// PAU-004: the last pod and the verdict come in the same pass.
#[test]
fn an_inconclusive_analysis_is_heard_before_the_promotion() {
    let mut block = background();
    block["steps"] = json!([{ "setWeight": 50 }]);
    let mut world = deployed(block);
    world.release("web:2");
    world.pods_get_ready(false);
    world.settle();
    world.pods_ready(2, 5);
    world.settle();
    world.pods_ready(2, 9);
    world.settle();
    assert_eq!(world.status().current_step_index, Some(1));
    world.pods_ready(2, 10);
    world.analysis("r2-2", "Inconclusive", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    assert_eq!(world.status().stable_rs, world.hash(1));
    world.promote();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.status().stable_rs, world.hash(2));
}

// PAU-002: a resume after an inconclusive analysis is no promotion past the next pause.
#[test]
fn a_resume_is_used_once() {
    let mut world = deployed(json!({
        "analysis": { "templates": [{ "templateName": "checks" }] },
        "maxSurge": 1, "maxUnavailable": 0,
        "steps": [{ "setWeight": 50 }, { "pause": {} }],
    }));
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.analysis("r2-2", "Inconclusive", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    world.promote();
    world.settle();
    assert!(!world.status().controller_pause);
    world.analysis("r2-2.1", "Inconclusive", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    assert_eq!(
        world.runs(),
        ["web-r2-2 Inconclusive", "web-r2-2.1 Inconclusive"]
    );
}

// CLI-005: `promote` at an inconclusive step goes past it.
#[test]
fn an_inconclusive_step_may_be_skipped_or_measured_again() {
    let mut world = deployed(inline());
    world.release("web:2");
    world.settle();
    world.analysis("r2-2-1", "Inconclusive", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    let mut other = world.clone();
    world.promote_past_inconclusive();
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    assert_eq!(world.status().current_step_index, Some(3));
    other.promote();
    other.settle();
    assert_eq!(
        other.runs(),
        ["web-r2-2-1 Inconclusive", "web-r2-2-1.1 new"]
    );
    assert_eq!(other.status().current_step_index, Some(1));
}

// RAN-008, RAN-001
#[test]
fn an_abort_a_new_revision_and_a_promotion_stop_what_is_running() {
    type Act = (fn(&mut World), &'static [&'static str]);
    let acts: [Act; 3] = [
        (World::abort, &["web-r2-2-1 Running terminated"]),
        (World::promote_full, &["web-r2-2-1 Running terminated"]),
        (
            |world| world.release("web:3"),
            &["web-r2-2-1 Running terminated", "web-r3-3-1 new"],
        ),
    ];
    for (act, runs) in acts {
        let mut world = deployed(inline());
        world.release("web:2");
        world.settle();
        world.analysis("r2-2-1", "Running", "");
        world.settle();
        act(&mut world);
        world.settle();
        assert_eq!(world.runs(), runs);
    }
}

// RAN-010, RO-014, RO-015
#[test]
fn only_so_many_finished_runs_are_kept() {
    let mut world = deployed(inline());
    world.edit(json!({
        "analysis": { "successfulRunHistoryLimit": 1, "unsuccessfulRunHistoryLimit": 1 },
        "revisionHistoryLimit": 10,
    }));
    world.settle();
    for (revision, phase) in [
        (2, "Successful"),
        (3, "Failed"),
        (4, "Successful"),
        (5, "Failed"),
    ] {
        world.release(&format!("web:{revision}"));
        world.settle();
        world.analysis(&format!("r{revision}-{revision}-1"), phase, "");
        world.settle();
    }
    world.release("web:6");
    world.settle();
    assert_eq!(
        world
            .runs()
            .iter()
            .filter(|run| !run.contains("r6"))
            .collect::<Vec<_>>(),
        ["web-r4-4-1 Successful", "web-r5-5-1 Failed"]
    );
}

// REC-026, RAN-010: the runs of a set go with it.
#[test]
fn runs_of_a_set_that_is_gone_are_not_kept() {
    let mut world = deployed(inline());
    world.edit(json!({ "revisionHistoryLimit": 1 }));
    world.settle();
    for revision in 2..5 {
        world.release(&format!("web:{revision}"));
        world.settle();
        world.analysis(&format!("r{revision}-{revision}-1"), "Successful", "");
        world.settle();
        world.promote_full();
        world.settle();
    }
    assert_eq!(world.sizes(), "r3 0/0, r4 10/10");
    assert_eq!(
        world.runs(),
        ["web-r3-3-1 Successful", "web-r4-4-1 Successful"]
    );
}

// ENG-060: a run that could not be created is tried again; one that exists already is not made twice.
#[test]
fn a_run_that_could_not_be_created_is_tried_again() {
    let mut world = deployed(inline());
    world.release("web:2");
    let role = Some(Role::StartRun);
    world.faults.push(Fault {
        role,
        kind: WriteErrorKind::Unavailable,
        times: 2,
    });
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2-1 new"]);
    // The status write of the pass that created it was lost.
    let mut world = deployed(inline());
    world.release("web:2");
    while world.runs().is_empty() {
        world.faults.clear();
        world.faults.push(Fault {
            role: None,
            kind: WriteErrorKind::Unavailable,
            times: 1,
        });
        world.pass();
        if world.runs().is_empty() {
            world.pass();
        }
    }
    world.faults.clear();
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2-1 new"]);
}

// A run that somebody deleted is made again.
#[test]
fn a_deleted_run_is_replaced() {
    let mut world = deployed(background());
    world.release("web:2");
    world.settle();
    let name = world
        .status()
        .canary
        .current_background_analysis_run_status
        .unwrap()
        .name;
    world.remove("AnalysisRun", &name);
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2 new"]);
}

// A finished run of this step is not forgotten because it ended well: nothing is measured twice.
#[test]
fn successful_background_analysis_is_not_repeated() {
    let mut world = deployed(background());
    world.release("web:2");
    world.settle();
    world.analysis("r2-2", "Successful", "");
    world.settle();
    world.promote();
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2 Successful"]);
    assert_eq!(world.status().current_step_index, Some(3));
}

// PAU-002: a resume is not forgotten because the analysis that it asks for cannot be started.
#[test]
fn a_resume_waits_until_it_is_measured_again() {
    let mut world = deployed(json!({
        "analysis": { "templates": [{ "templateName": "checks" }] },
        "maxSurge": 1, "maxUnavailable": 0,
        "steps": [{ "setWeight": 50 }, { "pause": {} }],
    }));
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.analysis("r2-2", "Inconclusive", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    world.faults.push(Fault {
        role: Some(Role::StartRun),
        kind: WriteErrorKind::Unavailable,
        times: 3,
    });
    world.promote();
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2 Inconclusive", "web-r2-2.1 new"]);
    assert!(
        world.phase().starts_with("Progressing"),
        "{}",
        world.phase()
    );
}

// PAU-002: nor because a step ends in the very pass in which it cannot be started.
#[test]
fn a_resume_that_also_ends_a_step_is_measured_again() {
    let mut world = deployed(json!({
        "analysis": { "templates": [{ "templateName": "checks" }] },
        "steps": [{ "setWeight": 50 }, { "pause": {} }, { "setWeight": 80 }, { "pause": {} }],
    }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    world.analysis("r2-2", "Inconclusive", "");
    world.settle();
    world.faults.push(Fault {
        role: Some(Role::StartRun),
        kind: WriteErrorKind::Unavailable,
        times: 3,
    });
    world.promote();
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2 Inconclusive", "web-r2-2.1 new"]);
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    assert_eq!(world.status().current_step_index, Some(3));
}

// RAN-008: a run that was stopped for another revision is no verdict when somebody comes back to the one that it measured.
#[test]
fn a_run_that_was_stopped_for_nobody_to_know_is_measured_again() {
    let mut world = deployed(inline());
    world.release("web:2");
    world.settle();
    assert_eq!(world.runs(), ["web-r2-2-1 new"]);
    world.analysis("r2-2-1", "Running", "");
    world.faults.push(Fault {
        role: None,
        kind: WriteErrorKind::Unavailable,
        times: 1,
    });
    world.release("web:3");
    while world.faults.iter().any(|fault| fault.times > 0) {
        world.pass();
    }
    assert_eq!(world.status().current_pod_hash, world.hash(2));
    world.release("web:2");
    world.analysis("r2-2-1", "Successful", "Run Terminated");
    // However often the status is lost, too: one run at a time.
    world.faults.push(Fault {
        role: None,
        kind: WriteErrorKind::Unavailable,
        times: 3,
    });
    world.settle();
    assert_eq!(world.status().current_step_index, Some(1));
    assert_eq!(
        world.runs(),
        ["web-r2-2-1 Successful terminated", "web-r2-4-1 new"]
    );
}

// TRR-006: what a new revision is to show, the one before would show, for as long as the canary Service is its own.
#[test]
fn nothing_is_measured_on_another_revision() {
    let mut world = World::routed(json!({
        "analysis": { "templates": [{ "templateName": "checks" }] },
        "steps": [
            { "setCanaryScale": { "replicas": 1 } },
            { "analysis": { "templates": [{ "templateName": "checks" }] } },
            { "setWeight": 20 },
            { "pause": {} },
        ],
    }));
    world.add_template("checks");
    world.settle();
    world.release("web:2");
    world.settle();
    world.every_run("Running");
    world.analysis("r2-2-1", "Successful", "");
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
    world.router = Router::Fails;
    world.release("web:3");
    world.settle();
    assert_eq!(world.selects("canary"), "r2");
    assert_eq!(world.status().current_step_index, Some(0));
    let of_third = |run: &String| run.starts_with("web-r3");
    assert!(!world.runs().iter().any(of_third), "{:?}", world.runs());
    world.router = Router::Works;
    world.sleep();
    assert_eq!(world.selects("canary"), "r3");
    assert_eq!(world.status().current_step_index, Some(1));
    assert_eq!(world.runs().iter().filter(|run| of_third(run)).count(), 2);
}

// DUR-004
#[test]
fn an_inconclusive_analysis_is_a_manual_pause() {
    let mut block = inline();
    block["steps"].as_array_mut().unwrap().pop();
    let mut world = deployed(block);
    world.ended.clear();
    world.release("web:2");
    world.settle();
    world.advance(5);
    world.analysis("r2-2-1", "Inconclusive", "");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    world.advance(25);
    world.promote_past_inconclusive();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.ended, [("Promoted".to_owned(), 30, 25)]);
}

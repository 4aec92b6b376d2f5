//! The progress deadline, and what does not count against it.

use serde_json::{Value, json};

use super::world::{Fault, Router, World, away};
use crate::plan::{Role, WriteErrorKind};
use crate::plugin::Disposition;
use crate::rollout::conditions;

const SAYS_SO: &str = "ProgressDeadlineExceeded";

fn deadline() -> Value {
    json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": true })
}

fn has_failed(world: &World) -> bool {
    let told = |reason: &str| world.events.iter().any(|event| event.contains(reason));
    told("RolloutAborted") || told(SAYS_SO) || world.condition("Progressing").contains(SAYS_SO)
}

fn last_progress(world: &World) -> Option<sluice_api::Time> {
    let status = world.status();
    let progressing = sluice_api::RolloutConditionType::Progressing;
    conditions::find(&status, &progressing).map(|condition| condition.last_update_time)
}

/// Somebody ends the step.
type End = fn(&mut World);

// REC-025, CND-013, CLI-005, CLI-006, CLI-007: an analysis may take longer than the deadline, and who ends it wants no abort.
#[test]
fn a_promotion_past_a_long_analysis_is_not_late() {
    let ends: [(&str, End); 3] = [
        ("promote", World::promote),
        ("promote --full", World::promote_full),
        ("promote --skip-current-step", World::skip_step),
    ];
    for abort in [true, false] {
        for (name, end) in ends {
            let mut world = World::canary(json!({ "steps": [
                { "setWeight": 20 },
                { "analysis": { "templates": [{ "templateName": "checks" }] } },
                { "setWeight": 40 },
                { "pause": {} },
            ] }));
            world.add_template("checks");
            world.edit(deadline());
            world.edit(json!({ "progressDeadlineAbort": abort }));
            world.settle();
            world.release("web:2");
            world.settle();
            assert_eq!(world.status().current_step_index, Some(1));
            world.advance(600);
            world.settle();
            end(&mut world);
            // Every pass counts: `status` of the client ends with an error at the first word of it.
            for _ in 0..4 {
                world.pass();
                assert!(!has_failed(&world), "{name}: {}", world.phase());
            }
            world.settle();
            assert!(!has_failed(&world), "{name}: {}", world.phase());
            let expected = if name == "promote --full" {
                "Healthy"
            } else {
                "Paused: CanaryPauseStep"
            };
            assert_eq!(world.phase(), expected, "{name}");
        }
    }
}

// CND-023, PAU-003: what a step still waits for once its analysis has succeeded is late after the deadline, and no sooner.
#[test]
fn what_an_analysis_leaves_to_do_is_late_from_its_end_on() {
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let analysis = json!({ "templates": [{ "templateName": "checks" }] });
    for abort in [true, false] {
        let mut world = World::routed(json!({
            "trafficRouting": { "managedRoutes": [{ "name": "beta" }] },
            "steps": [{ "setWeight": 20 }, { "pause": {} }, { "analysis": analysis, "setHeaderRoute": header }, { "pause": {} }],
        }));
        world.add_template("checks");
        world.edit(deadline());
        world.edit(json!({ "progressDeadlineAbort": abort }));
        world.settle();
        world.release("web:2");
        world.settle();
        world.router = Router::Fails;
        world.promote();
        world.settle();
        let since = last_progress(&world);
        world.advance(600);
        world.every_run("Running");
        world.settle();
        assert!(!has_failed(&world), "{}", world.phase());
        assert_eq!(last_progress(&world), since, "a run that goes on");
        world.every_run("Successful");
        world.settle();
        world.advance(30);
        for ready in [1, 2] {
            world.pods_ready(2, ready);
            world.settle();
        }
        world.advance(59);
        world.settle();
        assert_eq!(world.status().current_step_index, Some(2));
        assert!(!has_failed(&world), "{}", world.phase());
        world.advance(3);
        world.settle();
        assert!(has_failed(&world), "{}", world.phase());
        assert_eq!(world.status().abort, abort);
    }
}

// CND-023: a step with nothing but its analysis is never late, whatever keeps it once that has succeeded.
#[test]
fn a_step_with_nothing_but_an_analysis_is_not_late() {
    let mut world = World::canary(json!({
        "analysis": { "templates": [{ "templateName": "background" }] },
        "steps": [
            { "setWeight": 50 },
            { "analysis": { "templates": [{ "templateName": "checks" }] } },
            { "pause": {} },
        ],
    }));
    world.add_template("background");
    world.add_template("checks");
    world.edit(deadline());
    world.settle();
    world.release("web:2");
    world.settle();
    world.analysis("r2-2", "Inconclusive", "");
    world.every_run("Successful");
    world.settle();
    assert_eq!(world.phase(), "Paused: InconclusiveAnalysisRun");
    world.faults.push(Fault {
        role: Some(Role::StartRun),
        kind: WriteErrorKind::Unavailable,
        times: 1000,
    });
    world.promote();
    for _ in 0..4 {
        world.pass();
    }
    world.advance(62);
    for _ in 0..4 {
        world.pass();
        assert_eq!(world.status().current_step_index, Some(1));
        assert!(!has_failed(&world), "{}", world.phase());
    }
}

/// At a weight that the router has not heard of, and nobody there for ten minutes.
fn after_an_outage(abort: bool) -> World {
    let mut world = World::routed(json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] }));
    world.edit(deadline());
    world.edit(json!({ "progressDeadlineAbort": abort }));
    world.settle();
    world.router = Router::Hangs;
    world.release("web:2");
    world.settle();
    assert_eq!(world.status().current_step_index, Some(0));
    world.advance(600);
    world.restart();
    world
}

// REC-025: upstream asks its routers in the pass that judges.
#[test]
fn an_outage_of_the_controller_is_no_lack_of_progress() {
    for abort in [true, false] {
        let mut world = after_an_outage(abort);
        world.router = Router::Works;
        for _ in 0..8 {
            world.pass();
            assert!(!has_failed(&world), "{}", world.phase());
        }
        world.settle();
        assert!(!has_failed(&world), "{}", world.phase());
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    }
}

#[test]
fn a_router_that_is_still_being_loaded_is_no_lack_of_progress() {
    for abort in [true, false] {
        let mut world = after_an_outage(abort);
        world.router = Router::Works;
        let plugins = std::mem::take(&mut world.plugins);
        world.loading = true;
        for _ in 0..3 {
            world.pass();
            assert!(!has_failed(&world), "{}", world.phase());
            world.advance(5);
        }
        world.plugins = plugins;
        world.loading = false;
        for _ in 0..8 {
            world.pass();
            assert!(!has_failed(&world), "{}", world.phase());
        }
        world.settle();
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    }
}

// Nobody is told shares while one router has not looked at its configuration: the other one is not waited for.
#[test]
fn a_router_that_never_checks_its_configuration_holds_up_no_deadline() {
    for abort in [true, false] {
        let mut world = World::routed(json!({
            "trafficRouting": { "other": {} }, "steps": [{ "setWeight": 20 }, { "pause": {} }],
        }));
        world.provide("other");
        world.edit(deadline());
        world.edit(json!({ "progressDeadlineAbort": abort }));
        world.settle();
        world.refuses("other", away(Disposition::Retry));
        world.restart();
        world.release("web:2");
        world.settle();
        assert!(!has_failed(&world), "{}", world.phase());
        world.advance(61);
        world.settle();
        assert!(has_failed(&world), "{}", world.phase());
    }
}

#[test]
fn a_router_that_does_not_answer_puts_a_deadline_off_by_seconds() {
    for router in [Router::Hangs, Router::Traps] {
        let mut world = after_an_outage(true);
        world.router = router.clone();
        let began = world.now;
        world.settle();
        if router == Router::Hangs {
            assert!(!has_failed(&world), "{}", world.phase());
            world.sleep();
        }
        assert_eq!(
            world.phase(),
            "Degraded: RolloutAborted: Rollout aborted update to revision 2: \
             ReplicaSet \"web-r2\" has timed out progressing.",
            "{router:?}"
        );
        assert!(world.now.duration_since(began).as_secs() <= 11);
    }
}

// CND-021: the controller has made the set, and died before it could say so. The next one finds as many pods of the new
// revision as the status has of the one before: nothing that is counted has moved.
#[test]
fn a_revision_whose_set_is_there_begins_its_own_deadline() {
    for abort in [true, false] {
        let mut world =
            World::blue_green(json!({ "previewService": null, "scaleDownDelaySeconds": 0 }));
        world.edit(deadline());
        world.edit(json!({ "progressDeadlineAbort": abort }));
        world.settle();
        world.pods_get_ready(false);
        world.release("web:2");
        world.settle();
        world.release("web:3");
        world.faults.push(Fault {
            role: None,
            kind: WriteErrorKind::Unavailable,
            times: 2,
        });
        world.pass();
        world.pass();
        assert_eq!(world.status().current_pod_hash, world.hash(2));
        assert_eq!(world.sizes(), "r1 3/3, r2 0/0, r3 0/3");
        world.advance(70);
        world.restart();
        for _ in 0..4 {
            world.pass();
            assert!(!has_failed(&world), "{}", world.phase());
        }
        world.settle();
        world.sleep();
        assert!(
            has_failed(&world),
            "a deadline of its own: {}",
            world.phase()
        );
    }
}

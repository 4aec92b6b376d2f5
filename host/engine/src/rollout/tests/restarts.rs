//! Restarts: pods older than `restartAt` are evicted, a few at a time.

use expect_test::expect;
use serde_json::json;

use super::world::{Fault, World};
use crate::plan::{Requeue, Role, WriteErrorKind};

fn deployed(mut world: World) -> World {
    world.settle();
    world.advance(100);
    world.events.clear();
    world
}

fn now(world: &World) -> String {
    sluice_api::Time(world.now).truncated().to_string()
}

// RO-013, RST-001, RST-002, CND-044, ST-027, CLI-008
#[test]
fn old_pods_go_a_few_at_a_time_and_then_the_restart_is_recorded() {
    let mut world = deployed(World::canary(json!({})));
    world.ask_for_restart(json!(now(&world)));
    world.pods_get_ready(false);
    expect![[r#"
        write Pod web-r1-1: older than spec.restartAt
        write Pod web-r1-2: older than spec.restartAt
        wait the restart: restarted pods to become available (prevents every pod of a Rollout gone at once, by a restart)
        again at 700.3s
        Progressing: rollout is restarting | r1 8/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.phase(), "Progressing: rollout is restarting");
    assert_eq!(world.status().restarted_at, None);
    world.pods_get_ready(true);
    expect![[r#"
        write Pod web-r1-3: older than spec.restartAt
        write Pod web-r1-4: older than spec.restartAt
        write Pod web-r1-5: older than spec.restartAt
        write Pod web-r1-6: older than spec.restartAt
        write Pod web-r1-7: older than spec.restartAt
        write Pod web-r1-8: older than spec.restartAt
        write Pod web-r1-9: older than spec.restartAt
        write Pod web-r1-10: older than spec.restartAt
        Healthy | r1 10/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.ages(1), [0; 10]);
    assert_eq!(world.status().restarted_at, world.rollout().spec.restart_at);
    assert_eq!(world.phase(), "Healthy");
    // The same time again is no restart.
    world.advance(50);
    world.settle();
    assert_eq!(world.ages(1), [50; 10]);
}

// RST-001: a time to come is waited for.
#[test]
fn a_restart_may_be_planned() {
    let mut world = deployed(World::canary(json!({})));
    let at = world.now + jiff::SignedDuration::from_secs(60);
    world.ask_for_restart(json!(sluice_api::Time(at).truncated().to_string()));
    world.settle();
    assert_eq!(world.ages(1), [100; 10]);
    assert_eq!(world.phase(), "Progressing: rollout is restarting");
    world.sleep();
    assert_eq!(world.ages(1), [0; 10]);
    assert_eq!(world.phase(), "Healthy");
}

// RST-001: stable first, then new; the step stays, and so do weight and Services.
#[test]
fn a_restart_in_the_middle_takes_both_sets_and_no_step() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 },
    ] })));
    world.release("web:2");
    world.settle();
    world.advance(10);
    let before = world.status();
    world.events.clear();
    world.ask_for_restart(json!(now(&world)));
    expect![[r#"
        write Pod web-r1-1: older than spec.restartAt
        write Pod web-r1-2: older than spec.restartAt
        write Pod web-r1-3: older than spec.restartAt
        write Pod web-r1-4: older than spec.restartAt
        write Pod web-r1-5: older than spec.restartAt
        write Pod web-r1-6: older than spec.restartAt
        write Pod web-r1-7: older than spec.restartAt
        write Pod web-r1-8: older than spec.restartAt
        write Pod web-r1-9: older than spec.restartAt
        write Pod web-r1-10: older than spec.restartAt
        write Pod web-r2-11: older than spec.restartAt
        write Pod web-r2-12: older than spec.restartAt
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.ages(1), [0; 10]);
    assert_eq!(world.ages(2), [0; 2]);
    assert_eq!(world.status().current_step_index, before.current_step_index);
    assert_eq!(world.routes(), "canary 20, stable 80");
    assert_eq!(world.selects("canary"), "r2");
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// RST-002: what a disruption budget refuses is no failure, and is tried again half a minute later.
#[test]
fn a_disruption_budget_holds_a_restart_up() {
    let mut world = deployed(World::blue_green(json!({})));
    world.ask_for_restart(json!(now(&world)));
    world.budget = Some(1);
    while !world
        .pass()
        .lines
        .iter()
        .any(|line| line.starts_with("failed"))
    {}
    let mut ages = world.ages(1);
    ages.dedup();
    assert_eq!(ages, [0, 100]);
    let Requeue::At(again) = world.requeue else {
        panic!("nobody tries again");
    };
    assert_eq!(again.duration_since(world.now).as_secs(), 30);
    world.budget = None;
    world.now = again;
    world.settle();
    ages = world.ages(1);
    ages.dedup();
    assert_eq!(ages, [0, 30]);
    assert_eq!(world.phase(), "Healthy");
}

// REC-021: pods of a new revision need no restart.
#[test]
fn a_new_revision_is_a_restart() {
    let mut world = deployed(World::canary(json!({})));
    world.pods_get_ready(false);
    world.ask_for_restart(json!(now(&world)));
    world.release("web:2");
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.status().restarted_at, world.rollout().spec.restart_at);
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
}

// REC-021: the pass that begins an update records the restart, whether it is due or to come.
#[test]
fn a_new_revision_records_the_restart_at_once() {
    for seconds in [0, 3600] {
        let mut world = deployed(World::canary(steps()));
        let at = world.now + jiff::SignedDuration::from_secs(seconds);
        world.ask_for_restart(json!(sluice_api::Time(at).truncated().to_string()));
        world.release("web:2");
        let before = world.status().current_pod_hash;
        while world.status().current_pod_hash == before {
            assert_eq!(world.status().restarted_at, None);
            world.pass();
        }
        let asked = world.rollout().spec.restart_at;
        assert!(asked.is_some());
        assert_eq!(world.status().restarted_at, asked, "in {seconds} s");
        // Nothing is left to restart, not even of the revision before.
        world.settle();
        world.advance(seconds + 1);
        world.settle();
        assert!(
            world.ages(1).iter().all(|age| *age > seconds),
            "{:?}",
            world.ages(1)
        );
    }
}

fn steps() -> serde_json::Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }] })
}

// RST-002: a restart that nobody lets go on holds up no update, no abort and no clean-up, and goes on once it may.
#[test]
fn a_refused_restart_holds_up_nothing_else() {
    let mut dynamic = steps();
    dynamic["dynamicStableScale"] = json!(true);
    let worlds: [fn(serde_json::Value) -> World; 2] = [World::canary, World::routed];
    for refusal in [WriteErrorKind::Refused, WriteErrorKind::Invalid] {
        for (make, block) in worlds.iter().zip([steps(), dynamic.clone()]) {
            for abort in [false, true] {
                let mut world = deployed(make(block.clone()));
                world.release("web:2");
                world.settle();
                world.advance(10);
                world.ask_for_restart(json!(now(&world)));
                world.faults.push(Fault {
                    role: Some(Role::Restart),
                    kind: refusal,
                    times: usize::MAX,
                });
                let end = if abort {
                    world.abort();
                    world.settle();
                    "r1 10/10, r2 0/0"
                } else {
                    world.promote();
                    world.settle();
                    world.promote();
                    world.settle();
                    "r1 0/0, r2 10/10"
                };
                assert_eq!(world.sizes(), end);
                assert_eq!(world.status().restarted_at, None);
                world.faults.clear();
                if refusal == WriteErrorKind::Refused {
                    world.sleep();
                } else {
                    // What fails is repeated by itself.
                    world.settle();
                }
                assert_eq!(world.status().restarted_at, world.rollout().spec.restart_at);
                assert_eq!(world.sizes(), end);
            }
        }
    }
}

// RST-001: an autoscaler that never rests and a restart do not wait for each other, however passes and sizes meet.
#[test]
fn a_restart_ends_while_every_pass_has_another_size() {
    let limits = [json!({}), json!({ "maxSurge": 1, "maxUnavailable": 1 })];
    let sizes: [&[i32]; 4] = [&[10, 9], &[9, 10], &[10, 9, 8], &[6, 9]];
    for lag in 0..3 {
        for (block, sizes) in limits
            .iter()
            .flat_map(|limit| sizes.map(|sizes| (limit, sizes)))
        {
            let mut world = deployed(World::canary(block.clone()));
            world.story = format!("sizes {sizes:?}, numbers {lag} passes late, {block}");
            world.numbers_lag = lag;
            world.ask_for_restart(json!(now(&world)));
            let mut passes = sizes.iter().cycle().take(100);
            while world.status().restarted_at.is_none() {
                let size = passes.next().expect(&world.story);
                world.edit(json!({ "replicas": size }));
                world.pass();
            }
            world.edit(json!({ "replicas": 7 }));
            world.settle();
            assert_eq!(world.sizes(), "r1 7/7", "{}", world.story);
            assert_eq!(world.ages(1), [0; 7], "{}", world.story);
        }
    }
}

// ST-027: what is recorded is over, so nothing that comes next reckons with pods that are gone.
#[test]
fn a_restart_is_recorded_once_the_sets_show_its_last_eviction() {
    let mut world = deployed(World::canary(json!({})));
    world.numbers_lag = 3;
    world.ask_for_restart(json!(now(&world)));
    let mut waited = false;
    while world.status().restarted_at.is_none() {
        let passed = world.pass();
        let waits =
            |line: &String| line.contains("the ReplicaSets to count the pods that are left");
        waited |= passed.lines.iter().any(waits);
        // A list that was made just before the set's last change is followed by no change.
        if waited && world.status().restarted_at.is_none() && !passed.listed {
            assert!(matches!(world.requeue, Requeue::At(time) if time > world.now));
        }
    }
    assert!(waited);
    assert!(world.hidden.is_empty());
    assert_eq!(world.ages(1), [0; 10]);
}

// I8: where everything may be missing, what users reach keeps a pod all the same.
#[test]
fn the_last_pod_of_a_set_that_serves_stays_until_another_one_does() {
    let mut world = deployed(World::blue_green(json!({})));
    world.edit(json!({ "strategy": { "blueGreen": { "maxUnavailable": "100%" } } }));
    world.settle();
    world.ask_for_restart(json!(now(&world)));
    world.pods_get_ready(false);
    expect![[r#"
        write Pod web-r1-1: older than spec.restartAt
        write Pod web-r1-2: older than spec.restartAt
        wait the restart: another available pod of ReplicaSet web-r1 (prevents traffic to a set of several pods whose last ready one a restart has taken)
        again at 700.3s
        Progressing: rollout is restarting | r1 1/3
    "#]].assert_eq(&world.settle());
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.ages(1), [0; 3]);
    assert_eq!(world.status().restarted_at, world.rollout().spec.restart_at);
}

// RST-002: the only pod of a set has nobody to wait for. A router takes its share back for the moment.
#[test]
fn the_only_pod_of_a_set_is_restarted_all_the_same() {
    let mut world = deployed(World::blue_green(json!({})));
    world.edit(json!({ "replicas": 1 }));
    world.settle();
    world.ask_for_restart(json!(now(&world)));
    world.settle();
    assert_eq!(world.ages(1), [0]);
    assert_eq!(world.phase(), "Healthy");

    let mut world = deployed(World::routed(
        json!({ "steps": [{ "setWeight": 10 }, { "pause": {} }] }),
    ));
    world.release("web:2");
    world.settle();
    world.advance(10);
    world.ask_for_restart(json!(now(&world)));
    world.pods_get_ready(false);
    world.pods_ready(1, 10);
    while world.ages(2) != [0] {
        world.pass();
        world.pods_ready(1, 10);
    }
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.routes(), "canary 10, stable 90");
    assert_eq!(world.status().restarted_at, world.rollout().spec.restart_at);
}

// RST-001: pods are listed anew in every pass that needs them, those of a set that has just come included.
#[test]
fn a_set_that_appears_while_pods_are_listed_is_waited_for() {
    let mut world = deployed(World::canary(steps()));
    world.edit(json!({ "paused": true }));
    world.release("web:2");
    world.settle();
    world.ask_for_restart(json!(now(&world)));
    // The new set gets its first pods in the pass that lists those of the other.
    world.edit(json!({ "paused": false }));
    world.settle();
    assert_eq!(world.sizes(), "r1 8/8, r2 2/2");
    assert_eq!(world.status().restarted_at, world.rollout().spec.restart_at);
}

// RST-002: a canary that is half-way has more pods than replicas; those beyond them are not taken on top.
#[test]
fn no_more_pods_go_than_there_are_to_be() {
    let mut world = World::canary(json!({
        "maxUnavailable": 5, "maxSurge": 1, "steps": [{ "setWeight": 34 }, { "pause": {} }],
    }));
    world.edit(json!({ "replicas": 2 }));
    let mut world = deployed(world);
    world.release("web:2");
    world.settle();
    let pods = world.available();
    assert_eq!(pods, 3, "{}", world.sizes());
    world.advance(10);
    world.pods_get_ready(false);
    world.ask_for_restart(json!(now(&world)));
    let story = world.settle();
    assert_eq!(
        story.matches("older than spec.restartAt").count(),
        2,
        "{story}"
    );
}

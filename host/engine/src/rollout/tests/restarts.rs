//! Restarts: pods older than `restartAt` are evicted, a few at a time.

use expect_test::expect;
use serde_json::json;

use super::world::World;
use crate::plan::Requeue;

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
        wait the restart: restarted pods to become available
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

//! Whole stories, disturbed at each of their writes: everything is in the facts, so they all end alike.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{Disturbance, How, World};
use crate::plan::Requeue;

/// What a story came to.
#[derive(Debug, PartialEq)]
struct End {
    phase: String,
    sizes: String,
    runs: Vec<String>,
    services: Vec<(String, String)>,
    routes: String,
    status: Value,
}

fn end(world: &World) -> End {
    let services = ["active", "preview", "stable", "canary"];
    let services = services.iter().filter(|name| world.exists("Service", name));
    let mut status = serde_json::to_value(world.status()).unwrap();
    // When something happened, and in which order, may differ.
    let fields = status.as_object_mut().unwrap();
    fields.remove("duration");
    fields.remove("conditions");
    fields.remove("abortedAt");
    for pause in fields
        .get_mut("pauseConditions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        pause["startTime"] = Value::Null;
    }
    let mut conditions: Vec<String> = [
        "Available",
        "Completed",
        "Healthy",
        "InvalidSpec",
        "Paused",
        "Progressing",
    ]
    .iter()
    .map(|type_| world.condition(type_))
    .collect();
    conditions.push(world.readable(&status.to_string()));
    End {
        phase: world.phase(),
        sizes: world.sizes(),
        runs: world.runs(),
        services: services
            .map(|name| ((*name).to_owned(), world.selects(name)))
            .collect(),
        routes: if world.exists("VirtualService", "routes") {
            world.routes()
        } else {
            String::new()
        },
        status: json!(conditions),
    }
}

fn counted(world: &World) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for event in &world.events {
        // The hash of a set that was not there yet reads well now.
        *counted.entry(world.readable(event)).or_insert(0) += 1;
    }
    counted
}

/// What somebody does; the world settles after each.
type Act = fn(&mut World);

fn play(world: &mut World, acts: &[Act]) {
    for act in acts {
        act(world);
        world.settle();
    }
}

/// Tells the story once undisturbed, then once for every write and every kind of disturbance.
fn told(name: &str, world: World, acts: &[Act]) {
    let mut calm = world;
    let mut before = Vec::new();
    for act in acts {
        before.push(calm.clone());
        play(&mut calm, &[*act]);
    }
    let expected = end(&calm);
    let usual = counted(&calm);
    for (index, start) in before.iter().enumerate() {
        let end_of_act = before.get(index + 1).unwrap_or(&calm).writes;
        for at in start.writes + 1..=end_of_act {
            for how in [How::Crash, How::Fail, How::Lose] {
                let case = format!("{name}, {how:?} at write {at}");
                let mut disturbed = start.clone();
                disturbed.disturbance = Some(Disturbance { at, how });
                disturbed.twice = false;
                play(&mut disturbed, &acts[index..]);
                assert_eq!(end(&disturbed), expected, "{case}");
                check_events(&disturbed, &usual, &case);
            }
        }
    }
}

/// Events may get lost, and are never told twice.
fn check_events(disturbed: &World, usual: &BTreeMap<String, usize>, case: &str) {
    for (event, count) in counted(disturbed) {
        let often = usual.get(&event).copied().unwrap_or(0);
        // Without its first set, a Rollout of any strategy is not completed.
        let first = event.contains("RolloutNotCompleted") && event.contains("revision 1 ");
        // Sizes and weights may take another way to the same end, and what failed is said.
        let explained = [
            "ReplicaSetCreateError",
            "TrafficRoutingError",
            "ScalingReplicaSet",
            "TrafficWeightUpdated",
        ]
        .iter()
        .any(|reason| event.contains(reason));
        assert!(
            count <= often.max(usize::from(first)) || explained,
            "{case}: {event} {count} times"
        );
    }
}

/// The time for which the Rollout waits passes.
fn wait(world: &mut World) {
    if world.requeue != Requeue::OnChange {
        world.sleep();
    }
}

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": { "duration": 10 } }] })
}

const UPDATE: Act = |world| world.release("web:2");

// REC-007, REC-016
#[test]
fn a_first_revision_comes_up_whatever_fails_on_the_way() {
    let worlds = [
        World::canary(steps()),
        World::routed(steps()),
        World::blue_green(json!({})),
    ];
    for world in worlds {
        told("first", world, &[|_| {}]);
    }
}

fn deployed(mut world: World) -> World {
    world.settle();
    world
}

#[test]
fn a_canary_goes_through_whatever_fails_on_the_way() {
    told(
        "canary",
        deployed(World::canary(steps())),
        &[UPDATE, World::promote, wait],
    );
}

#[test]
fn a_canary_with_a_router_goes_through_whatever_fails_on_the_way() {
    told(
        "routed",
        deployed(World::routed(steps())),
        &[UPDATE, World::promote, wait, wait],
    );
}

#[test]
fn an_abort_and_a_retry_go_through_whatever_fails_on_the_way() {
    let mut block = steps();
    block["analysis"] = json!({ "templates": [{ "templateName": "checks" }] });
    let mut world = World::routed(block);
    world.add_template("checks");
    let fail: Act = |world| world.analysis("r2-2", "Failed", "too many errors");
    told(
        "abort",
        deployed(world),
        &[UPDATE, fail, wait, World::retry],
    );
}

#[test]
fn a_dynamic_stable_set_goes_through_whatever_fails_on_the_way() {
    let mut block = steps();
    block["dynamicStableScale"] = json!(true);
    let next: Act = |world| world.release("web:3");
    told(
        "dynamic",
        deployed(World::routed(block)),
        &[
            UPDATE,
            World::promote,
            World::abort,
            next,
            World::promote_full,
        ],
    );
}

#[test]
fn blue_green_goes_through_whatever_fails_on_the_way() {
    let mut world = World::blue_green(json!({
        "autoPromotionEnabled": false,
        "previewReplicaCount": 1,
        "prePromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.add_template("checks");
    let before: Act = |world| world.analysis("r2-2-pre", "Successful", "");
    let after: Act = |world| world.analysis("r2-2-post", "Successful", "");
    told(
        "blue-green",
        deployed(world),
        &[UPDATE, before, World::promote, after, wait],
    );
}

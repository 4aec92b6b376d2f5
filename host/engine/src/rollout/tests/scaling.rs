//! Sizes that steps, thresholds and delays fix: `setCanaryScale`, `replicaProgressThreshold`, `scaleDownDelaySeconds`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::world::{Fault, Router, World};
use crate::plan::{Requeue, Role, WriteErrorKind};
use crate::rollout::{decide, settle, validate};

fn deployed(mut world: World) -> World {
    world.settle();
    world.events.clear();
    world
}

fn size(world: &World, revision: usize) -> i64 {
    let set = world.object("ReplicaSet", &format!("web-{}", world.hash(revision)));
    set["spec"]["replicas"].as_i64().unwrap()
}

/// Sizes and canary weight at every pause of an update, and at its end.
fn pauses(mut world: World) -> Vec<String> {
    let mut seen = Vec::new();
    world.release("web:2");
    for _ in 0..20 {
        world.settle();
        let weight = world.routes();
        let weight = weight.split(',').next().unwrap_or_default();
        seen.push(format!("{weight}: {}", world.sizes()));
        if world.status().pause_conditions.is_empty() {
            return seen;
        }
        world.promote();
    }
    panic!("no end: {seen:?}");
}

// STP-005, CAN-020, CAN-021, CAN-022, CAN-023, CA-014
#[test]
fn a_canary_has_the_size_that_its_steps_fix() {
    let pause = json!({ "pause": {} });
    let scale = |scale: Value| json!({ "setCanaryScale": scale });
    let weight = |weight: i32| json!({ "setWeight": weight });
    let rows: Vec<(Value, Value, Vec<&str>)> = vec![
        // A share of the pods; it stays until it is matched to the weight.
        (
            json!([
                scale(json!({ "weight": 30 })),
                weight(10),
                pause,
                weight(40),
                pause,
                scale(json!({ "matchTrafficWeight": true })),
                pause
            ]),
            json!({}),
            vec![
                "canary 10: r1 10/10, r2 3/3",
                "canary 40: r1 10/10, r2 3/3",
                "canary 40: r1 10/10, r2 4/4",
                "canary 0: r1 10/10, r2 10/10",
            ],
        ),
        // A number wins over a share, and no floor applies to it.
        (
            json!([
                scale(json!({ "replicas": 1, "weight": 50 })),
                pause,
                weight(20),
                pause,
                scale(json!({ "matchTrafficWeight": true })),
                pause
            ]),
            json!({ "minPodsPerReplicaSet": 4 }),
            vec![
                "canary 0: r1 10/10, r2 1/1",
                "canary 20: r1 10/10, r2 1/1",
                "canary 20: r1 10/10, r2 4/4",
                "canary 0: r1 10/10, r2 10/10",
            ],
        ),
        // Zero pods are no canary, whatever the weight.
        (
            json!([
                scale(json!({ "replicas": 0 })),
                pause,
                scale(json!({ "matchTrafficWeight": true })),
                weight(20),
                pause
            ]),
            json!({}),
            vec![
                "canary 0: r1 10/10, r2 0/0",
                "canary 20: r1 10/10, r2 2/2",
                "canary 0: r1 10/10, r2 10/10",
            ],
        ),
        // The stable set follows the weight and not the canary's size.
        (
            json!([
                scale(json!({ "replicas": 6 })),
                weight(20),
                pause,
                weight(50),
                pause
            ]),
            json!({ "dynamicStableScale": true }),
            vec![
                "canary 20: r1 10/10, r2 6/6",
                "canary 50: r1 10/10, r2 6/6",
                "canary 0: r1 0/0, r2 10/10",
            ],
        ),
        (
            json!([weight(1), pause, weight(99), pause]),
            json!({ "dynamicStableScale": true, "minPodsPerReplicaSet": 3 }),
            vec![
                "canary 1: r1 10/10, r2 3/3",
                "canary 99: r1 3/3, r2 10/10",
                "canary 0: r1 0/0, r2 10/10",
            ],
        ),
    ];
    for (steps, block, expected) in rows {
        let mut canary = json!({ "steps": steps });
        super::world::merge(&mut canary, &block);
        let world = deployed(World::routed(canary.clone()));
        assert_eq!(pauses(world), expected, "{canary}");
    }
}

// CAN-021, ABT-010: an abort ends the fixed size, unless the canary is to be kept as it is.
#[test]
fn an_abort_ends_a_fixed_size() {
    for (block, end) in [
        (json!({}), "r1 10/10, r2 0/0"),
        (
            json!({ "abortScaleDownDelaySeconds": 0 }),
            "r1 10/10, r2 7/7",
        ),
        (
            json!({ "abortScaleDownDelaySeconds": 5 }),
            "r1 10/10, r2 0/0",
        ),
        (json!({ "dynamicStableScale": true }), "r1 10/10, r2 0/0"),
    ] {
        let mut canary = json!({ "steps": [{ "setCanaryScale": { "replicas": 7 } }, { "setWeight": 20 }, { "pause": {} }] });
        super::world::merge(&mut canary, &block);
        let mut world = deployed(World::routed(canary));
        world.release("web:2");
        world.settle();
        assert!(world.sizes().ends_with("r2 7/7"), "{}", world.sizes());
        world.abort();
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100");
        if world.requeue != Requeue::OnChange {
            world.sleep();
        }
        assert_eq!(world.sizes(), end, "{block}");
    }
}

// CA-015: a step, and the promotion, may go on with less than all pods.
#[test]
fn a_threshold_lets_steps_go_on_with_less_than_all_pods() {
    let rows = [
        (json!(null), 5, 10),
        (json!({ "type": "Percent", "value": 60 }), 3, 6),
        (json!({ "type": "Percent", "value": 100 }), 5, 10),
        (json!({ "type": "Percent", "value": 0 }), 0, 0),
        (json!({ "type": "Pods", "value": 2 }), 2, 2),
        (json!({ "type": "Pods", "value": 50 }), 5, 10),
        (json!({ "type": "Percent", "value": -1 }), 5, 10),
    ];
    for (threshold, for_step, for_promotion) in rows {
        let mut world = deployed(World::canary(json!({
            "steps": [{ "setWeight": 50 }, { "pause": {} }], "replicaProgressThreshold": threshold,
            "maxSurge": "100%", "maxUnavailable": 0,
        })));
        world.pods_get_ready(false);
        world.release("web:2");
        world.settle();
        let needed = (0..=5).find(|count| {
            world.pods_ready(2, *count);
            world.settle();
            world.status().current_step_index == Some(1)
        });
        assert_eq!(needed, Some(for_step), "{threshold}");
        world.pods_ready(2, 5);
        world.promote();
        world.settle();
        let needed = (0..=10).find(|count| {
            if *count > 5 {
                world.pods_ready(2, *count);
            }
            world.settle();
            world.status().stable_rs == world.hash(2)
        });
        assert_eq!(
            needed.map(|count| if count <= 5 { 0 } else { count }),
            Some(if for_promotion <= 5 { 0 } else { for_promotion }),
            "{threshold}"
        );
    }
}

// CAN-012, CAN-026: a set that cannot be told to go stops nothing else, and a step does not end on the pods of a set that is still to go.
#[test]
fn a_step_waits_until_the_sets_in_between_are_gone() {
    let mut world = deployed(World::canary(json!({
        "steps": [{ "setWeight": 20 }, { "pause": {} }], "maxSurge": 0, "maxUnavailable": 2,
    })));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.pods_ready(2, 0);
    world.settle();
    // The pods of the second revision cannot be told to go for a while.
    world.faults.push(Fault {
        role: Some(Role::ScaleDown),
        kind: WriteErrorKind::Unavailable,
        times: 1000,
    });
    world.release("web:3");
    for _ in 0..6 {
        world.pass();
    }
    assert_eq!(world.sizes(), "r1 8/8, r2 0/2, r3 0/0");
    assert_eq!(world.status().current_step_index, Some(0));
    world.faults.clear();
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.status().current_step_index, Some(1));
    assert_eq!(world.sizes(), "r1 8/8, r2 0/0, r3 2/2");
}

// CAN-027, CA-009, CA-010, SCD-001, SCD-002
#[test]
fn old_sets_of_a_routed_canary_go_when_their_time_has_come() {
    // Delay, limit of sets that stay up; after three promotions, and when the first time has come.
    let rows = [
        (
            json!({}),
            "r1 10/10, r2 10/10, r3 10/10",
            "r1 0/0, r2 10/10, r3 10/10",
        ),
        (
            json!({ "scaleDownDelaySeconds": 600 }),
            "r1 10/10, r2 10/10, r3 10/10",
            "r1 0/0, r2 10/10, r3 10/10",
        ),
        (
            json!({ "scaleDownDelayRevisionLimit": 1 }),
            "r1 0/0, r2 10/10, r3 10/10",
            "r1 0/0, r2 0/0, r3 10/10",
        ),
        (
            json!({ "scaleDownDelayRevisionLimit": 0 }),
            "r1 0/0, r2 0/0, r3 10/10",
            "",
        ),
        (
            json!({ "scaleDownDelaySeconds": 0 }),
            "r1 0/0, r2 0/0, r3 10/10",
            "",
        ),
    ];
    for (block, promoted, later) in rows {
        let mut world = deployed(World::routed(block.clone()));
        world.release("web:2");
        world.settle();
        world.release("web:3");
        world.settle();
        assert_eq!(world.sizes(), promoted, "{block}");
        if later.is_empty() {
            assert_eq!(world.requeue, Requeue::OnChange, "{block}");
        } else {
            world.sleep();
            assert_eq!(world.sizes(), later, "{block}");
        }
    }
}

// REC-019, ABT-001, CAN-003: the pause of a user holds no bad canary in traffic.
#[test]
fn an_abort_of_a_paused_rollout_brings_the_stable_set_back() {
    let mut world = deployed(World::routed(json!({
        "dynamicStableScale": true, "steps": [{ "setWeight": 50 }, { "pause": {} }],
    })));
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
    world.edit(json!({ "paused": true }));
    world.settle();
    world.abort();
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    // What is too many stays for as long as the pause.
    assert_eq!(world.sizes(), "r1 10/10, r2 5/5");
    world.edit(json!({ "paused": false }));
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
}

// SCD-002, ABT-011, KEY-002, KEY-007: an abort that is taken back takes its deadline along; the sizes follow an autoscaler
// meanwhile.
#[test]
fn a_retry_takes_the_deadline_back() {
    let mut world = deployed(World::routed(
        json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] }),
    ));
    world.release("web:2");
    world.settle();
    world.abort();
    world.settle();
    let deadline = |world: &World| {
        let set = world.object("ReplicaSet", &format!("web-{}", world.hash(2)));
        set["metadata"]["annotations"].clone()
    };
    let announced = deadline(&world)["scale-down-deadline"].clone();
    let text = announced.as_str().unwrap();
    // In UTC, to the second.
    let time: jiff::Timestamp = text.parse().unwrap();
    assert_eq!(time.to_string(), text);
    assert_eq!(time.subsec_nanosecond(), 0);
    world.edit(json!({ "replicas": 20 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 20/20, r2 2/2");
    assert_eq!(
        deadline(&world)["rollout.argoproj.io/desired-replicas"],
        "20"
    );
    world.retry();
    world.settle();
    assert_eq!(deadline(&world)["scale-down-deadline"], Value::Null);
    assert_eq!(world.sizes(), "r1 20/20, r2 4/4");
    assert_eq!(world.requeue, Requeue::OnChange);
}

// REC-013, REC-014, HPA-001: an autoscaler that changes its mind in every pass.
#[test]
fn an_autoscaler_that_never_rests_leaves_step_and_weight() {
    for make in [World::canary, World::routed, World::subsets] {
        let mut world = deployed(make(json!({ "steps": [
            { "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} },
        ] })));
        world.release("web:2");
        world.settle();
        for replicas in [11, 30, 9, 10, 28, 5, 6, 7, 40, 10] {
            world.edit(json!({ "replicas": replicas }));
            world.pass();
            assert_eq!(world.status().current_step_index, Some(1));
            if world.exists("VirtualService", "routes") {
                assert_eq!(world.routes(), "canary 20, stable 80");
            }
        }
        world.settle();
        assert!(world.sizes().ends_with("r2 2/2"), "{}", world.sizes());
        world.promote();
        for replicas in [11, 12, 13, 14, 15, 16, 17, 18, 19, 20] {
            world.edit(json!({ "replicas": replicas }));
            world.pass();
        }
        world.settle();
        assert_eq!(world.status().current_step_index, Some(3));
        assert!(world.sizes().ends_with("r2 10/10"), "{}", world.sizes());
        world.promote_full();
        for replicas in [19, 18, 17, 16, 15] {
            world.edit(json!({ "replicas": replicas }));
            world.pass();
        }
        world.settle();
        assert_eq!(world.status().stable_rs, world.hash(2));
        assert!(world.sizes().ends_with("r2 15/15"), "{}", world.sizes());
    }
}

// REC-019: the user's pause holds the sizes of a canary, and no size of a blue-green Rollout.
#[test]
fn an_autoscaler_of_a_paused_blue_green_rollout_is_followed() {
    let mut world = deployed(World::blue_green(json!({})));
    world.edit(json!({ "paused": true }));
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 3/3, r2 3/3");
    world.edit(json!({ "replicas": 8 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 8/8, r2 8/8");
    assert_eq!(world.selects("active"), "r1");
    assert_eq!(world.selects("preview"), "r1");
    assert_eq!(world.phase(), "Paused: manually paused");
    world.promote();
    world.settle();
    assert_eq!(world.selects("active"), "r2");
}

// CA-004, TRR-001, ST-018: traffic routing without a router sizes as with one, and records no weight.
#[test]
fn traffic_routing_without_a_router_has_no_weights() {
    let mut world = deployed(World::routed(json!({
        "trafficRouting": { "istio": null }, "steps": [{ "setWeight": 20 }, { "pause": {} }],
    })));
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 2/2");
    assert_eq!(world.status().canary.weights, None);
    assert_eq!(world.status().current_step_index, Some(1));
    world.promote();
    world.settle();
    assert_eq!(world.status().stable_rs, world.hash(2));
}

// ABT-011, SCD-010: nothing that a router may still send to is announced or removed, however long it takes.
#[test]
fn nothing_that_may_get_traffic_goes_while_the_router_is_away() {
    let steps = json!({ "steps": [{ "setWeight": 50 }, { "pause": {} }] });
    for make in [World::routed, World::subsets] {
        for act in [World::abort, World::promote_full, |world: &mut World| {
            world.release("web:1");
        }] {
            let mut world = deployed(make(steps.clone()));
            world.release("web:2");
            world.settle();
            world.router = Router::Fails;
            act(&mut world);
            world.settle();
            for _ in 0..20 {
                world.advance(60);
                world.settle();
            }
            let (stable, canary) = (size(&world, 1), size(&world, 2));
            assert!(stable >= 10, "{}", world.sizes());
            assert!(canary >= 5, "{}", world.sizes());
        }
    }
}

// CAN-011: what a set has beyond its size is on its way out, and cannot be taken again.
#[test]
fn old_sets_shrink_no_further_while_their_numbers_are_late() {
    let mut world = deployed(World::canary(json!({
        "maxSurge": 0, "maxUnavailable": 2, "steps": [{ "setWeight": 50 }, { "pause": {} }],
    })));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.numbers_lag = 3;
    world.release("web:3");
    world.settle();
    assert_eq!(world.sizes(), "r1 5/5, r2 3/3, r3 0/2");
}

// What somebody asks of each set is summed up in all strategies, in an abort, and where the specification is invalid.
#[test]
fn sets_of_more_pods_than_can_be_counted_get_no_more() {
    let steps = json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] });
    let invalid = json!({ "minReadySeconds": 60, "progressDeadlineSeconds": 30 });
    for (mut world, spec) in [
        (World::canary(steps.clone()), json!({})),
        (World::canary(steps.clone()), invalid),
        (World::routed(steps), json!({})),
        (
            World::blue_green(json!({ "activeService": "active" })),
            json!({}),
        ),
    ] {
        world.settle();
        world.pods_get_ready(false);
        for image in ["web:2", "web:3", "web:4"] {
            world.release(image);
            world.settle();
        }
        assert_eq!(world.all_sizes().len(), 4);
        world.edit(spec);
        for aborted in [false, true] {
            if aborted {
                world.abort();
            }
            let mut seen = world.observe();
            for set in &mut seen.replica_sets {
                let set = Arc::make_mut(set);
                (set.replicas, set.available) = (i32::MAX, i32::MAX);
                (set.ready, set.status_replicas) = (i32::MAX, i32::MAX);
            }
            let spec = validate(&seen.rollout, &seen);
            let made = decide(&spec, &seen);
            let mut roles = made.plan.actions.iter().map(|planned| planned.role);
            assert!(roles.all(|role| role != Role::ScaleUp), "{:?}", made.plan);
            settle(&spec, &seen, &made, &Default::default());
        }
    }
}

// CAN-026: a canary that the steps give no pods gets no share, and its steps go by.
#[test]
fn steps_of_a_canary_without_pods_go_by() {
    for scale in [json!({ "replicas": 0 }), json!({ "weight": 0 })] {
        let mut world = World::routed(json!({ "steps": [
            { "setCanaryScale": scale },
            { "setWeight": 20 },
            { "pause": {} },
        ] }));
        world.settle();
        world.release("web:2");
        world.settle();
        assert_eq!(world.phase(), "Paused: CanaryPauseStep", "{scale}");
        assert_eq!(world.routes(), "canary 0, stable 100", "{scale}");
        assert_eq!(world.sizes(), "r1 10/10, r2 0/0", "{scale}");
        world.promote();
        world.settle();
        assert_eq!(world.phase(), "Healthy", "{scale}");
    }
}

// CAN-021: the first revision has no canary, whatever its first step says.
#[test]
fn the_first_revision_gets_its_pods_at_once() {
    let mut world = World::routed(json!({ "steps": [
        { "setCanaryScale": { "replicas": 1 } },
        { "pause": {} },
    ] }));
    world.settle();
    let scaled = world
        .events
        .iter()
        .filter(|event| event.contains("ScalingReplicaSet"));
    let scaled: Vec<_> = scaled.cloned().collect();
    assert_eq!(
        scaled,
        ["event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 0 to 10"]
    );
}

// I8: a canary that a later step leaves without pods loses its share first.
#[test]
fn a_share_goes_before_the_last_pods_that_carry_it() {
    let mut world = World::routed(json!({ "steps": [
        { "setWeight": 50 },
        { "setCanaryScale": { "replicas": 0 } },
        { "pause": {} },
    ] }));
    world.settle();
    world.release("web:2");
    let story = world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
    let at = |text: &str| {
        story
            .rfind(text)
            .unwrap_or_else(|| panic!("{text}: {story}"))
    };
    assert!(
        at("TrafficWeightUpdated: Traffic weight updated from 50 to 0")
            < at("write ReplicaSet web-r2: scale from 5 to 0"),
        "{story}"
    );
}

// I8: the same while the stable set cannot take it yet.
#[test]
fn the_last_pods_of_a_canary_stay_until_the_stable_set_can_take_their_share() {
    let mut world = World::routed(json!({ "steps": [
        { "setWeight": 60 },
        { "pause": {} },
        { "setCanaryScale": { "replicas": 0 } },
        { "pause": {} },
    ] }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.edit(json!({ "replicas": 14 }));
    world.promote();
    world.settle();
    assert_eq!(world.routes(), "canary 60, stable 40");
    assert_eq!(world.sizes(), "r1 10/14, r2 6/9");
    world.pods_get_ready(true);
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(world.sizes(), "r1 14/14, r2 0/0");
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// CA-015: with the pods that a step is content with the share goes to the new set, and not past it.
#[test]
fn a_share_goes_through_a_service_that_selects_its_pods() {
    let mut world = World::routed(json!({
        "replicaProgressThreshold": { "type": "Pod", "value": 2 },
        "steps": [{ "setWeight": 50 }, { "pause": {} }],
    }));
    // No Service was ever pointed.
    world.pods_get_ready(false);
    world.settle();
    world.release("web:2");
    world.settle();
    world.pods_ready(1, 10);
    world.settle();
    assert_eq!(world.selects("canary"), "all");
    world.pods_ready(2, 2);
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    assert_eq!(world.routes(), "canary 50, stable 50");
    assert_eq!(world.selects("canary"), "r2");
}

// An autoscaler waits for no router: what keeps every pod that the Rollout asks for can carry any share.
#[test]
fn a_smaller_rollout_waits_for_no_router() {
    for steps in [json!([]), json!([{ "setWeight": 20 }, { "pause": {} }])] {
        let mut world = World::routed(json!({ "steps": steps }));
        world.settle();
        world.release("web:2");
        world.settle();
        let canary = world.phase() != "Healthy";
        world.router = Router::Fails;
        world.restart();
        world.edit(json!({ "replicas": 5 }));
        for _ in 0..10 {
            world.pass();
        }
        // The canary's own share of them does wait.
        let expected = if canary {
            "r1 5/5, r2 2/2"
        } else {
            "r1 10/10, r2 5/5"
        };
        assert_eq!(world.sizes(), expected);
    }
}

// I8: a set that the stable Service still selects keeps the pods of what comes through it, whatever it is now.
#[test]
fn a_set_that_still_serves_as_the_stable_one_keeps_its_pods() {
    let mut world = World::routed(json!({
        "replicaProgressThreshold": { "type": "Percent", "value": 33 },
        "steps": [{ "setWeight": 10 }, { "pause": {} }],
    }));
    world.settle();
    let first = world.object("Rollout", "web")["spec"]["template"].clone();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.pods_ready(2, 10);
    world.promote_full();
    world.settle();
    world.pods_ready(2, 5);
    while world.status().stable_rs != world.hash(2) {
        world.pass();
    }
    world.pods_ready(2, 2);
    world.pass();
    assert_eq!(
        world.selects("stable"),
        "r1",
        "the new one cannot take everything yet"
    );
    world.edit(json!({ "template": first }));
    world.settle();
    assert!(world.sizes().starts_with("r1 10/10"), "{}", world.sizes());
    world.pods_ready(2, 10);
    world.settle();
    assert_eq!(world.selects("stable"), "r2");
    assert_eq!(world.sizes(), "r1 1/1, r2 10/10");
}

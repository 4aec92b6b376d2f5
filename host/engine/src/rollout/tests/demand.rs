//! What users of progressive delivery have reported as outages, each as a test.

use serde_json::{Value, json};

use super::world::{Router, World};
use crate::plan::Requeue;

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }] })
}

fn dynamic() -> Value {
    let mut block = steps();
    block["dynamicStableScale"] = json!(true);
    block
}

fn deployed(mut world: World) -> World {
    world.settle();
    world.events.clear();
    world
}

fn at_50(world: World) -> World {
    let mut world = deployed(world);
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world
}

/// Pods get ready one after the other; every pass is checked.
fn trickle(world: &mut World, revision: usize, upto: i32) {
    for count in 1..=upto {
        world.pods_ready(revision, count);
        world.settle();
    }
}

/// Every kind of Rollout.
fn kinds() -> [(&'static str, World); 5] {
    [
        ("canary", World::canary(steps())),
        ("routed", World::routed(steps())),
        ("subsets", World::subsets(steps())),
        ("dynamic", World::routed(dynamic())),
        (
            "blue-green",
            World::blue_green(json!({ "autoPromotionEnabled": false })),
        ),
    ]
}

// The next revision at 50 %, with a stable set that was scaled down: it has its pods before it has its traffic, and the
// set in between leaves only then.
#[test]
fn the_next_revision_gives_a_scaled_down_stable_set_its_pods_before_its_traffic() {
    for make in [World::routed, World::subsets] {
        let mut world = at_50(make(dynamic()));
        assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
        world.pods_get_ready(false);
        world.release("web:3");
        world.settle();
        assert_eq!(world.sizes(), "r1 5/10, r2 5/5, r3 0/2");
        assert_eq!(world.routes(), "canary 50, stable 50");
        world.pods_ready(1, 7);
        world.settle();
        assert_eq!(world.routes(), "canary 30, stable 70");
        world.pods_ready(1, 10);
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100");
        trickle(&mut world, 3, 2);
        world.pods_get_ready(true);
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        assert_eq!(world.sizes(), "r1 8/8, r2 0/0, r3 2/2");
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    }
}

// The stable template comes back while its pods are slow: never fewer pods than maxUnavailable allows (the world checks
// that after every write), and traffic only where pods are.
#[test]
fn the_stable_template_comes_back_without_a_gap() {
    for (kind, world) in kinds().into_iter().take(4) {
        let mut world = at_50(world);
        world.pods_get_ready(false);
        world.release("web:1");
        world.settle();
        trickle(&mut world, 1, 10);
        world.settle();
        assert_eq!(world.status().stable_rs, world.hash(1), "{kind}");
        assert_eq!(world.phase(), "Healthy", "{kind}");
        if world.requeue != Requeue::OnChange {
            world.sleep();
        }
        assert_eq!(world.sizes(), "r1 10/10, r2 0/0", "{kind}");
    }
}

// ABT-004, AR#1292, AR PR#3064: an abort with nothing in progress is dropped and does nothing else.
#[test]
fn an_abort_with_nothing_in_progress_does_nothing() {
    for (kind, world) in kinds() {
        let mut world = deployed(world);
        let before = (world.sizes(), world.phase());
        world.abort();
        world.settle();
        assert_eq!(world.events, Vec::<String>::new(), "{kind}");
        assert_eq!((world.sizes(), world.phase()), before, "{kind}");
        assert!(!world.status().abort, "{kind}");
        assert_eq!(world.status().aborted_at, None, "{kind}");
        // The same after an update that was promoted in full.
        world.release("web:2");
        world.settle();
        world.promote_full();
        world.settle();
        world.events.clear();
        world.abort();
        world.settle();
        assert!(!world.status().abort, "{kind}");
        assert!(
            world.events.iter().all(|event| !event.contains("Abort")),
            "{kind}: {:?}",
            world.events
        );
        assert_eq!(world.status().stable_rs, world.hash(2), "{kind}");
    }
}

// AR#1415, AR#2050: an autoscaler while the canary has no pods leaves the stable set its own.
#[test]
fn an_autoscaler_never_empties_the_stable_set() {
    for (kind, world) in kinds() {
        let mut world = deployed(world);
        world.pods_get_ready(false);
        world.release("web:2");
        world.settle();
        for replicas in [12, 7, 1, 20, 3] {
            world.edit(json!({ "replicas": replicas }));
            world.settle();
            world.pods_ready(1, replicas);
            world.settle();
            let sizes = world.sizes();
            assert!(!sizes.starts_with("r1 0/"), "{kind}: {replicas}: {sizes}");
        }
    }
}

// AR#3078: a canary that is kept after an abort does not make its Service flap while pods come and go.
#[test]
fn a_kept_canary_does_not_make_its_service_flap() {
    let mut block = steps();
    block["abortScaleDownDelaySeconds"] = json!(0);
    let mut world = at_50(World::routed(block));
    world.abort();
    world.settle();
    world.events.clear();
    for (revision, count) in [(2, 0), (2, 5), (1, 9), (1, 10), (2, 1)] {
        world.pods_get_ready(false);
        world.pods_ready(revision, count);
        world.settle();
        assert_eq!(world.selects("canary"), "r1");
        assert_eq!(world.routes(), "canary 0, stable 100");
    }
    assert_eq!(world.events, Vec::<String>::new());
}

// AR#1774, FL#639: the stable set is broken, the new one is the cure.
#[test]
fn a_good_version_replaces_a_broken_stable_set() {
    for (kind, world) in kinds() {
        let mut world = deployed(world);
        world.pods_get_ready(false);
        world.pods_ready(1, 0);
        world.settle();
        world.release("web:2");
        world.settle();
        for _ in 0..30 {
            world.pods_ready(2, 10);
            world.settle();
            if !world.status().pause_conditions.is_empty() {
                world.promote();
            } else if world.requeue != Requeue::OnChange {
                world.sleep();
            }
        }
        assert_eq!(
            world.status().stable_rs,
            world.hash(2),
            "{kind}: {} {}",
            world.phase(),
            world.sizes()
        );
        assert_eq!(world.phase(), "Healthy", "{kind}");
    }
}

// AR#4128: an image that cannot be pulled: the deadline passes, and an abort has its effect.
#[test]
fn pods_that_never_come_hold_up_neither_deadline_nor_abort() {
    for (kind, world) in kinds() {
        let mut world = deployed(world);
        world.edit(json!({ "progressDeadlineSeconds": 60 }));
        world.settle();
        world.pods_get_ready(false);
        world.release("web:2");
        world.settle();
        world.sleep();
        assert_eq!(
            world.phase(),
            "Degraded: ProgressDeadlineExceeded: ReplicaSet \"web-r2\" has timed out progressing.",
            "{kind}"
        );
        world.abort();
        world.settle();
        assert_eq!(
            world.phase(),
            "Degraded: RolloutAborted: Rollout aborted update to revision 2",
            "{kind}"
        );
    }
}

// GW#158, GW#191, AR#4716; STP-006, STP-007, TRR-005: weights and restarts leave header and mirror routes as they are.
#[test]
fn weights_and_restarts_leave_header_routes_alone() {
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let mirror =
        json!({ "name": "copy", "percentage": 10, "match": [{ "method": { "exact": "GET" } }] });
    let block = json!({
        "trafficRouting": { "managedRoutes": [{ "name": "beta" }, { "name": "copy" }] },
        "steps": [
            { "setWeight": 20 }, { "setHeaderRoute": header }, { "setMirrorRoute": mirror }, { "pause": {} },
            { "setWeight": 50 }, { "pause": {} },
            { "setHeaderRoute": { "name": "beta" } }, { "pause": {} },
        ],
    });
    let mut world = deployed(World::routed(block));
    assert_eq!(world.managed_routes(), json!([null, null]), "of revision 1");
    world.release("web:2");
    world.settle();
    let both = json!([[header], [mirror]]);
    assert_eq!(world.managed_routes(), both);
    world.promote();
    world.settle();
    assert_eq!(world.routes(), "canary 50, stable 50");
    assert_eq!(world.managed_routes(), both);
    world.advance(10);
    let now = sluice_api::Time(world.now).truncated().to_string();
    world.ask_for_restart(json!(now));
    world.settle();
    assert_eq!(world.ages(2), [0; 5]);
    assert_eq!(world.managed_routes(), both);
    world.promote();
    world.settle();
    assert_eq!(world.managed_routes(), json!([null, [mirror]]));
    world.abort();
    world.settle();
    assert_eq!(world.managed_routes(), json!([null, null]));
}

// VAL-025, CAN-021, STP-006: a step with several things does them all.
#[test]
fn a_step_may_have_a_scale_and_what_else_it_likes() {
    let scale = json!({ "replicas": 3 });
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let none = json!(null);
    for (step, shares, pods, routes) in [
        (
            json!({ "setCanaryScale": scale, "setWeight": 10 }),
            "canary 10, stable 90",
            3,
            &none,
        ),
        (
            json!({ "setCanaryScale": scale, "pause": {} }),
            "canary 0, stable 100",
            3,
            &none,
        ),
        (
            json!({ "setCanaryScale": scale, "setHeaderRoute": header }),
            "canary 0, stable 100",
            3,
            &json!([header]),
        ),
        (
            json!({ "setWeight": 20, "setHeaderRoute": header }),
            "canary 20, stable 80",
            2,
            &json!([header]),
        ),
    ] {
        let mut world = deployed(World::routed(json!({
            "trafficRouting": { "managedRoutes": [{ "name": "beta" }] },
            "steps": [step.clone(), { "pause": {} }],
        })));
        world.pods_get_ready(false);
        world.release("web:2");
        world.settle();
        assert_eq!(world.status().current_step_index, Some(0), "{step}");
        world.pods_ready(2, pods);
        world.settle();
        assert_eq!(world.phase(), "Paused: CanaryPauseStep", "{step}");
        assert_eq!(world.routes(), shares, "{step}");
        assert_eq!(
            world.sizes(),
            format!("r1 10/10, r2 {pods}/{pods}"),
            "{step}"
        );
        assert_eq!(&world.managed_routes()[0], routes, "{step}");
    }
}

// VAL-025, PAU-001: a pause is over when its time is, whatever has become of the pods.
#[test]
fn a_pause_with_a_scale_waits_for_no_pods() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setCanaryScale": { "replicas": 3 }, "pause": { "duration": 10 } }, { "pause": {} },
    ] })));
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 0/3");
    assert_eq!(world.status().current_step_index, Some(0));
    world.sleep();
    world.settle();
    assert_eq!(world.status().current_step_index, Some(1));
}

// PAU-003, VAL-025: a step ends once its route is there, whatever weight its canary has already.
#[test]
fn a_step_waits_for_its_route() {
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let mirror = json!({ "name": "copy", "match": [{ "method": { "exact": "GET" } }] });
    let rows = [
        json!({ "setHeaderRoute": header }),
        json!({ "setMirrorRoute": mirror }),
        json!({ "setWeight": 20, "setHeaderRoute": header }),
        json!({ "setCanaryScale": { "replicas": 2 }, "setHeaderRoute": header }),
    ];
    for (step, router) in rows
        .iter()
        .flat_map(|step| [(step, Router::Fails), (step, Router::Lags)])
    {
        let mut world = deployed(World::routed(json!({
            "trafficRouting": { "managedRoutes": [{ "name": "beta" }, { "name": "copy" }] },
            "steps": [{ "setWeight": 20 }, { "pause": {} }, step.clone(), { "pause": {} }],
        })));
        world.release("web:2");
        world.settle();
        world.router = router;
        world.promote();
        world.settle();
        assert_eq!(world.status().current_step_index, Some(2), "{step}");
        world.router = Router::Works;
        world.sleep();
        assert_eq!(world.status().current_step_index, Some(3), "{step}");
        assert_ne!(world.managed_routes(), json!([null, null]), "{step}");
    }
}

// PAU-003: nobody knows of a route while no router has been asked for it, nor is one set that would lead to no pods.
#[test]
fn a_step_does_not_take_its_route_for_granted() {
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let at_route = |broken: fn(&mut World)| {
        let mut world = deployed(World::routed(json!({
            "trafficRouting": { "managedRoutes": [{ "name": "beta" }] },
            "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setHeaderRoute": header }, { "pause": {} }],
        })));
        world.release("web:2");
        world.settle();
        broken(&mut world);
        world.promote();
        world.settle();
        assert_eq!(world.status().current_step_index, Some(2));
        world
    };
    let mut world = at_route(|world| world.router = Router::Fails);
    for _ in 0..4 {
        world.restart();
        world.pass();
        assert_eq!(world.status().current_step_index, Some(2));
    }
    let mut world = at_route(|world| {
        world.pods_get_ready(false);
        world.pods_ready(2, 0);
    });
    world.pods_ready(2, 2);
    world.settle();
    assert_eq!(world.status().current_step_index, Some(3));
    assert_eq!(world.managed_routes(), json!([[header], null]));
}

// PAU-003: what routers were asked for before somebody went on to the step is not its route.
#[test]
fn a_route_is_not_that_of_the_step_before() {
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let mirror = json!({ "name": "copy", "match": [{ "method": { "exact": "GET" } }] });
    for step in [
        json!({ "setHeaderRoute": header }),
        json!({ "setMirrorRoute": mirror }),
    ] {
        let mut world = deployed(World::routed(json!({
            "trafficRouting": { "managedRoutes": [{ "name": "beta" }, { "name": "copy" }] },
            "steps": [{ "setWeight": 20 }, { "pause": {} }, step, { "pause": {} }],
        })));
        world.release("web:2");
        world.settle();
        // The status is written, and meets a conflict; of the routers nothing new is asked.
        world.edit(json!({ "revisionHistoryLimit": 5 }));
        world.meanwhile = Some(World::skip_step);
        world.pass();
        assert_eq!(world.status().current_step_index, Some(2), "{step}");
        world.settle();
        assert_eq!(world.status().current_step_index, Some(3), "{step}");
        assert_ne!(world.managed_routes(), json!([null, null]), "{step}");
    }
}

// PAU-003: a route is removed whatever has become of the pods to which it led.
#[test]
fn a_route_is_removed_without_pods() {
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let mut world = deployed(World::routed(json!({
        "trafficRouting": { "managedRoutes": [{ "name": "beta" }] },
        "steps": [{ "setWeight": 20 }, { "setHeaderRoute": header }, { "pause": {} }, { "setHeaderRoute": { "name": "beta" } }, { "pause": {} }],
    })));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.pods_ready(2, 0);
    world.promote();
    world.settle();
    assert_eq!(world.status().current_step_index, Some(4));
    assert_eq!(world.managed_routes(), json!([null, null]));
}

// VAL-025: of a scale and an analysis both are waited for.
#[test]
fn a_step_with_a_scale_waits_for_its_analysis() {
    for (result, ends) in [("Failed", "Degraded"), ("Successful", "Paused")] {
        let mut world = World::routed(json!({ "steps": [
            { "setCanaryScale": { "replicas": 3 }, "analysis": { "templates": [{ "templateName": "ok" }] } }, { "pause": {} },
        ] }));
        world.add_template("ok");
        world.settle();
        world.release("web:2");
        world.settle();
        assert_eq!(world.sizes(), "r1 10/10, r2 3/3");
        assert_eq!(world.status().current_step_index, Some(0));
        world.every_run(result);
        world.settle();
        assert!(world.phase().starts_with(ends), "{}", world.phase());
    }
}

// A router that knows no header routes gets none, and the update goes on.
#[test]
fn routes_are_for_routers_that_know_them() {
    let header = json!({ "name": "beta", "match": [{ "headerName": "x-beta", "headerValue": { "exact": "1" } }] });
    let block = json!({
        "trafficRouting": { "managedRoutes": [{ "name": "beta" }] },
        "steps": [{ "setWeight": 20 }, { "setHeaderRoute": header }, { "pause": {} }],
    });
    for (knows, expected) in [(true, json!([header])), (false, json!(null))] {
        let mut world = World::routed(block.clone());
        if !knows {
            world.provide_plain("istio");
        }
        let mut world = deployed(world);
        world.release("web:2");
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        assert_eq!(world.managed_routes()[0], expected);
    }
}

// STP-006, STP-007: routes of steps that nobody took are not made up for.
#[test]
fn skipped_steps_set_no_routes() {
    let mirror =
        json!({ "name": "copy", "percentage": 10, "match": [{ "method": { "exact": "GET" } }] });
    let mut world = deployed(World::routed(json!({
        "trafficRouting": { "managedRoutes": [{ "name": "copy" }] },
        "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setMirrorRoute": mirror }, { "pause": {} }],
    })));
    world.release("web:2");
    world.settle();
    world.patch(
        "Rollout",
        "web",
        &json!({ "status": { "pauseConditions": null, "currentStepIndex": 4 } }),
        true,
    );
    for _ in 0..10 {
        world.pass();
        assert_eq!(world.managed_routes(), json!([null, null]));
    }
    world.settle();
    assert_eq!(world.phase(), "Healthy");
}

// KR#257: somebody goes back while the canary is paused; FL#1588: and changes their mind once more.
#[test]
fn a_change_of_mind_while_paused_goes_through() {
    for (kind, world) in kinds() {
        let mut world = deployed(world);
        world.release("web:2");
        world.settle();
        assert!(world.phase().starts_with("Paused"), "{kind}");
        world.release("web:1");
        world.settle();
        assert_eq!(world.phase(), "Healthy", "{kind}");
        world.release("web:2");
        world.settle();
        assert!(world.phase().starts_with("Paused"), "{kind}");
        world.promote_full();
        world.settle();
        assert_eq!(world.phase(), "Healthy", "{kind}");
        assert_eq!(world.status().stable_rs, world.hash(2), "{kind}");
    }
}

// AR#4626: a router that fails for ever, in every state in which somebody may want out.
#[test]
fn nobody_needs_the_router_to_get_out() {
    for router in [Router::Fails, Router::Traps, Router::Hangs, Router::Lags] {
        for make in [World::routed, World::subsets] {
            for block in [steps(), dynamic()] {
                let mut world = at_50(make(block));
                world.router = router.clone();
                world.abort();
                world.settle();
                assert_eq!(
                    world.phase(),
                    "Degraded: RolloutAborted: Rollout aborted update to revision 2"
                );
                // Stable has all of its pods, and the canary keeps those that may still get traffic.
                assert_eq!(world.sizes(), "r1 10/10, r2 5/5", "{router:?}");
            }
        }
    }
}

// AR#3467, AR#4424: more pods of the canary than the Rollout asks for are no more than all of the traffic. The world looks
// at every weight.
#[test]
fn a_full_promotion_of_an_oversized_canary_gives_it_no_more_than_everything() {
    let mut world = deployed(World::routed(json!({
        "dynamicStableScale": true,
        "steps": [{ "setCanaryScale": { "replicas": 3 } }, { "setWeight": 50 }, { "pause": {} }],
    })));
    world.edit(json!({ "replicas": 2 }));
    world.settle();
    world.release("web:2");
    world.settle();
    assert!(world.sizes().ends_with("r2 3/3"), "{}", world.sizes());
    world.promote_full();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.sizes(), "r1 0/0, r2 2/2");
}

// AR#4828: the stable set has no pods at all while the update pauses at 100 %.
#[test]
fn at_a_pause_with_all_of_the_traffic_the_way_is_open_in_both_directions() {
    type Act = fn(&mut World);
    let at_100 = || {
        let mut block = dynamic();
        block["steps"] = json!([{ "setWeight": 50 }, { "setWeight": 100 }, { "pause": {} }]);
        let mut world = deployed(World::routed(block));
        world.release("web:2");
        world.settle();
        assert_eq!(world.routes(), "canary 100, stable 0");
        assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
        world.pods_get_ready(false);
        world
    };
    let mut world = at_100();
    world.promote();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.selects("stable"), "r2");
    assert_eq!(world.routes(), "canary 0, stable 100");

    // An abort goes back by the steps that it came, the next revision with all pods.
    let back: [(&str, Act, i32); 2] = [
        ("abort", World::abort, 5),
        ("the next revision", |world| world.release("web:3"), 10),
    ];
    for (name, act, first) in back {
        let mut world = at_100();
        act(&mut world);
        world.settle();
        assert_eq!(world.routes(), "canary 100, stable 0", "{name}");
        let sizes = format!("r1 0/{first}, r2 10/10");
        assert!(
            world.sizes().starts_with(&sizes),
            "{name}: {}",
            world.sizes()
        );
        world.pods_ready(1, 5);
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50", "{name}");
        assert!(
            world.sizes().starts_with("r1 5/10"),
            "{name}: {}",
            world.sizes()
        );
        world.pods_ready(1, 10);
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100", "{name}");
        assert_eq!(world.selects("stable"), "r1", "{name}");
    }
}

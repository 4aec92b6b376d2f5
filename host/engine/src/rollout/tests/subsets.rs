//! A router that splits by subsets, with no Service to point: which pods it is told to wait for.

use expect_test::expect;
use serde_json::json;

use super::routed::{deployed, steps};
use super::world::{Fault, Router, World};
use crate::plan::WriteErrorKind;

fn subset(world: &World, name: &str) -> Option<String> {
    let routes = world.object("VirtualService", "routes");
    routes["spec"][name]["hash"].as_str().map(str::to_owned)
}

// RT-ISTIO-012: only pods that the share is for are waited for.
#[test]
fn a_rollback_by_subsets_does_not_wait_for_pods_that_it_does_not_want() {
    let mut world = deployed(World::subsets(steps()));
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    world.router = Router::Awaits;
    world.pods_get_ready(false);
    world.pods_ready(1, 9);
    world.release("web:1");
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: annotations
        event RolloutUpdated: Rollout updated to revision 3
        event RolloutNotCompleted: Rollout not completed, started update to revision 3 (r1)
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        write ReplicaSet web-r1: scale from 10 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 3) from 10 to 2
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 2/2, r2 10/10
    "#]]
    .assert_eq(&world.settle());
}

// RT-ISTIO-012: a broken pod of the stable set does not hold up an update whose share it would not serve.
#[test]
fn subsets_that_were_made_anew_wait_for_the_pods_of_their_shares() {
    let mut world = deployed(World::subsets(steps()));
    world.router = Router::Awaits;
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    let nobody = json!({ "spec": { "canary": { "hash": null }, "stable": { "hash": null } } });
    world.patch("VirtualService", "routes", &nobody, false);
    world.pods_ready(1, 7);
    world.settle();
    assert_eq!(subset(&world, "stable"), None);
    world.pods_ready(1, 8);
    world.settle();
    assert_eq!(subset(&world, "stable"), Some(world.hash(1)));
    assert_eq!(world.routes(), "canary 20, stable 80");
}

// Half of its pods would have all of the traffic, through both subsets.
#[test]
fn a_promoted_set_that_has_lost_pods_gets_no_second_subset() {
    let mut world = deployed(World::subsets(json!({
        "steps": [{ "setWeight": 90 }, { "pause": {} }], "dynamicStableScale": true,
    })));
    world.release("web:2");
    world.settle();
    world.router = Router::Fails;
    world.promote_full();
    world.settle();
    assert_eq!(world.status().stable_rs, world.hash(2));
    world.pods_get_ready(false);
    world.pods_ready(2, 5);
    world.release("web:3");
    world.router = Router::Awaits;
    world.settle();
    world.sleep();
    assert_eq!(subset(&world, "stable"), Some(world.hash(1)));
    world.pods_ready(2, 10);
    world.settle();
    world.sleep();
    assert_eq!(subset(&world, "stable"), Some(world.hash(2)));
}

// CA-015: the canary's share does without the pods that the threshold does without; a promoted set has all but those that may be unavailable.
#[test]
fn a_threshold_is_for_the_canary_of_a_router_by_subset() {
    for (threshold, for_step) in [(80, 4), (0, 1)] {
        let mut world = deployed(World::subsets(json!({
            "steps": [{ "setWeight": 50 }, { "pause": {} }],
            "replicaProgressThreshold": { "type": "Percent", "value": threshold },
        })));
        world.router = Router::Awaits;
        world.pods_get_ready(false);
        world.release("web:2");
        world.settle();
        world.pods_ready(2, for_step - 1);
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100", "{threshold} %");
        world.pods_ready(2, for_step);
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50", "{threshold} %");
        world.promote_full();
        world.settle();
        world.pods_ready(2, 7);
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50", "{threshold} %");
        world.pods_ready(2, 8);
        world.settle();
        world.sleep();
        assert_eq!(world.routes(), "canary 0, stable 100", "{threshold} %");
        assert_eq!(subset(&world, "stable"), Some(world.hash(2)));
    }
}

// TRR-004: a user who goes back is served by a stable set that keeps its size as with an abort; the next revision waits for
// three quarters of its pods, and for no more.
#[test]
fn a_way_back_does_not_wait_for_a_stable_pod_that_never_comes() {
    for (back, enough, shares) in [
        ("web:1", 1, "canary 0, stable 100"),
        ("web:3", 8, "canary 20, stable 80"),
    ] {
        for unavailable in [json!(0), json!("25%")] {
            let mut world = deployed(World::subsets(steps()));
            world.edit(json!({ "strategy": { "canary": { "maxUnavailable": unavailable } } }));
            world.release("web:2");
            world.settle();
            world.promote();
            world.settle();
            assert_eq!(world.routes(), "canary 50, stable 50");
            world.pods_get_ready(false);
            world.pods_ready(1, enough - 1);
            world.release(back);
            world.settle();
            assert_eq!(subset(&world, "canary"), Some(world.hash(2)));
            assert_eq!(world.routes(), "canary 50, stable 50");
            world.pods_ready(1, enough);
            world.settle();
            assert_eq!(world.routes(), "canary 0, stable 100");
            world.pods_get_ready(true);
            world.settle();
            assert_eq!(world.routes(), shares);
        }
    }
}

// A share that is held waits for its own pods, not for those of the step that comes.
#[test]
fn a_rollback_within_the_window_has_the_share_of_the_pods_that_are_there() {
    let mut world = deployed(World::subsets(json!({
        "steps": [{ "setWeight": 80 }, { "pause": {} }],
    })));
    world.edit(json!({ "rollbackWindow": { "revisions": 2 } }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    world.router = Router::Awaits;
    world.pods_get_ready(false);
    world.pods_ready(1, 9);
    world.release("web:1");
    world.settle();
    world.sleep();
    assert_eq!(world.routes(), "canary 80, stable 20");
}

// TRR-005: what a step sets is for the pods of its own revision.
#[test]
fn a_header_route_does_not_lead_to_the_update_before() {
    let route = json!({ "name": "beta", "match": [{ "headerName": "x", "headerValue": { "exact": "1" } }] });
    let mut world = deployed(World::subsets(json!({
        "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setHeaderRoute": route }, { "pause": {} }],
        "trafficRouting": { "managedRoutes": [{ "name": "beta" }] },
    })));
    world.release("web:2");
    world.settle();
    world.router = Router::Lags;
    world.release("web:3");
    world.settle();
    for _ in 0..3 {
        world.skip_step();
        world.settle();
    }
    let to_beta = |world: &World| {
        let routes = world.object("VirtualService", "routes");
        let leads = routes["spec"]["headers"].is_array();
        (leads, subset(world, "canary"))
    };
    assert_eq!(to_beta(&world), (false, Some(world.hash(2))));
    world.router = Router::Works;
    world.settle();
    world.sleep();
    assert_eq!(to_beta(&world), (true, Some(world.hash(3))));
}

// Histories 15176, 21728 and 23723: what the stable set cannot carry is not the canary's that never had anything.
#[test]
fn an_abort_before_anybody_has_pods_gives_the_canary_nothing() {
    let mut world = World::subsets(json!({
        "steps": [{ "setWeight": 50 }, { "pause": {} }], "dynamicStableScale": true,
    }));
    world.router = Router::Fails;
    world.pods_get_ready(false);
    world.settle();
    world.release("web:2");
    world.settle();
    world.abort();
    world.settle();
    world.router = Router::Awaits;
    world.sleep();
    let routes = world.object("VirtualService", "routes");
    assert_ne!(routes["spec"]["canary"]["weight"], 100);
    world.pods_ready(1, 10);
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
}

// A release replaces the first one before anything was promoted, while the Rollout is paused: its set has no pods yet.
#[test]
fn no_subset_goes_to_a_first_revision_that_is_paused_without_pods() {
    let mut world = World::subsets(steps());
    world.router = Router::Awaits;
    world.faults.push(Fault {
        role: None,
        kind: WriteErrorKind::Conflict,
        times: 1000,
    });
    for _ in 0..5 {
        world.pass();
    }
    world.faults.clear();
    assert_eq!(world.status().stable_rs, "");
    world.release("web:2");
    world.edit(json!({ "paused": true }));
    world.settle();
    assert_eq!(subset(&world, "stable"), None);
    assert_eq!(world.phase(), "Paused: manually paused");
    world.edit(json!({ "paused": false }));
    world.settle();
    assert_eq!(subset(&world, "stable"), Some(world.hash(2)));
    assert_eq!(world.phase(), "Healthy");
}

//! Sets that are short of pods for good, and what goes on all the same.

use serde_json::json;

use super::routed::{deployed, steps};
use super::world::{Router, World};
use crate::keys;

fn at_5(mut block: serde_json::Value) -> World {
    block["steps"] = json!([{ "setWeight": 5 }, { "pause": {} }]);
    let mut world = deployed(World::routed(block));
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary 5, stable 95");
    world.pods_get_ready(false);
    world
}

/// The second revision has half of the traffic, with or without `dynamicStableScale`.
fn half_way(make: fn(serde_json::Value) -> World, dynamic: bool) -> World {
    let mut world = deployed(make(json!({
        "steps": [{ "setWeight": 50 }, { "pause": {} }], "dynamicStableScale": dynamic,
    })));
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary 50, stable 50");
    world
}

// SVC-002: a Service whose selector somebody has applied anew without the hash gets it back.
#[test]
fn a_service_gets_its_hash_back_while_its_set_misses_a_pod() {
    let none = json!({ "spec": { "selector": { (keys::POD_TEMPLATE_HASH): null } } });
    for (available, selects) in [(7, "all"), (8, "r1")] {
        let mut world = at_5(json!({}));
        world.pods_ready(1, available);
        world.patch("Service", "stable", &none, false);
        world.settle();
        assert_eq!(world.selects("stable"), selects, "{available} of 10");
    }
}

// SVC-002: a Service goes where there are as many pods as it has now, besides those for the share that is there already.
#[test]
fn a_service_leaves_a_set_that_has_fewer_pods() {
    let mut world = at_5(json!({}));
    world.pods_ready(2, 10);
    world.promote_full();
    world.settle();
    world.pods_ready(2, 10);
    while world.status().stable_rs != world.hash(2) {
        world.pass();
    }
    world.pods_ready(2, 1);
    world.pass();
    assert_eq!(
        world.selects("stable"),
        "r1",
        "the set before has every pod"
    );
    world.pods_ready(1, 0);
    world.settle();
    assert_eq!(world.selects("stable"), "r2");
    assert_eq!(world.routes(), "canary 0, stable 100");
}

// SVC-002: a set that has the canary's share already needs the pods for both.
#[test]
fn a_stable_service_waits_for_the_pods_of_both_shares() {
    let mut world = half_way(World::routed, false);
    world.promote_full();
    while world.status().stable_rs != world.hash(2) {
        world.pass();
    }
    world.pods_get_ready(false);
    for (available, selects) in [(7, "r1"), (8, "r2")] {
        world.pods_ready(2, available);
        world.settle();
        assert_eq!(world.selects("stable"), selects);
    }
}

// SVC-002: with `dynamicStableScale`, too, a set that was promoted gets the stable Service without its last pods.
#[test]
fn a_promoted_set_does_not_wait_for_every_pod_of_its_service() {
    let mut world = deployed(World::routed(json!({
        "steps": [{ "setWeight": 50 }, { "pause": {} }], "dynamicStableScale": true,
    })));
    world.edit(json!({ "rollbackWindow": { "revisions": 2 } }));
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    world.advance(60);
    world.release("web:1");
    while world.status().stable_rs == world.hash(2) {
        world.pass();
    }
    world.pods_get_ready(false);
    for (available, selects) in [(7, "r2"), (8, "r1")] {
        world.pods_ready(1, available);
        world.settle();
        assert_eq!(world.selects("stable"), selects);
    }
}

// TRR-004, TRR-006: a share that is on the stable set already goes whatever pods that has.
#[test]
fn the_next_revision_does_not_wait_for_a_share_that_stays_where_it_is() {
    let mut world = half_way(World::routed, true);
    world.promote_full();
    while world.status().stable_rs == world.hash(1) {
        world.pass();
    }
    world.router = Router::Fails;
    world.settle();
    assert_eq!(world.selects("stable"), "r2");
    let carried = world.status().canary.weights.unwrap().canary;
    assert!(carried.weight > 0 && carried.pod_template_hash == world.hash(2));
    world.pods_get_ready(false);
    world.pods_ready(2, 3);
    world.release("web:3");
    world.router = Router::Works;
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
}

// SVC-002: the canary Service leaves a set that is gone for the pods that are there.
#[test]
fn a_canary_service_leaves_a_set_that_is_gone() {
    let mut world = half_way(World::routed, false);
    world.pods_get_ready(false);
    world.pods_ready(2, 1);
    for (hash, selects) in [(json!(null), "all"), (json!("gone"), "r2")] {
        let selector = json!({ "spec": { "selector": { (keys::POD_TEMPLATE_HASH): hash } } });
        world.patch("Service", "canary", &selector, false);
        world.settle();
        assert_eq!(world.selects("canary"), selects);
    }
}

// TRR-004: a set that has just become the stable one, since the one before was deleted, still gets its pods.
#[test]
fn a_stable_set_that_grows_takes_a_share_with_its_pods() {
    let mut world = at_5(json!({}));
    world.remove("ReplicaSet", &world.set_name(1));
    world.release("web:3");
    world.settle();
    for (available, shares) in [(7, "canary 5, stable 95"), (8, "canary 0, stable 100")] {
        world.pods_ready(3, available);
        world.settle();
        assert_eq!(
            (world.selects("stable"), world.routes()),
            ("r3".into(), shares.into())
        );
    }
}

// CA-015, SVC-002: what is enough for a promotion is enough for the Service.
#[test]
fn a_set_that_was_promoted_with_fewer_pods_gets_the_stable_service() {
    for dynamic in [false, true] {
        let mut world = at_5(json!({
            "dynamicStableScale": dynamic,
            "replicaProgressThreshold": { "type": "Percent", "value": 60 },
        }));
        world.promote_full();
        world.settle();
        world.pods_ready(2, 6);
        world.settle();
        assert_eq!(world.status().stable_rs, world.hash(2), "{dynamic}");
        assert_eq!(world.selects("stable"), "r2", "{dynamic}");
        assert_eq!(world.routes(), "canary 0, stable 100", "{dynamic}");
    }
}

// TRR-004: a fix comes whatever pods a stable set that keeps its size has, where nobody serves the share of the canary before.
#[test]
fn a_fix_comes_where_nobody_serves() {
    for make in [World::routed, World::subsets] {
        let mut world = deployed(make(steps()));
        world.release("web:2");
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        world.pods_get_ready(false);
        world.pods_ready(1, 1);
        world.release("web:3");
        world.settle();
        // Somebody is served.
        assert_eq!(world.routes(), "canary 20, stable 80");
        world.pods_ready(2, 0);
        world.settle();
        world.pods_ready(3, 2);
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        let carried = world.status().canary.weights.unwrap();
        assert_eq!(carried.canary.pod_template_hash, world.hash(3));
        assert_eq!(world.phase(), "Paused: CanaryPauseStep");
    }
}

// TRR-002, TRR-003: an abort with `dynamicStableScale` leaves a canary that serves nobody at once, and another one once three
// quarters of the stable pods are there.
#[test]
fn a_dynamic_abort_does_not_wait_for_every_stable_pod() {
    for (canary, waits, goes) in [(0, 4, 5), (5, 7, 8)] {
        let mut world = half_way(World::routed, true);
        assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
        world.pods_get_ready(false);
        world.pods_ready(2, canary);
        world.pods_ready(1, waits);
        world.abort();
        world.settle();
        assert_eq!(world.selects("canary"), "r2", "{canary}");
        world.pods_ready(1, goes);
        world.settle();
        assert_eq!(world.selects("canary"), "r1", "{canary}");
    }
}

// TRR-004: one pod of two or three is missing for good.
#[test]
fn a_small_stable_set_may_miss_a_pod() {
    for replicas in [2, 3] {
        let mut world = deployed(World::routed(json!({
            "steps": [{ "setWeight": 50 }, { "pause": {} }],
        })));
        world.edit(json!({ "replicas": replicas }));
        world.settle();
        world.release("web:2");
        world.settle();
        world.pods_get_ready(false);
        world.pods_ready(1, replicas - 1);
        world.release("web:3");
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100", "{replicas}");
    }
}

// TRR-004: a share does not go to a stable set without pods, not even one that nobody serves for a moment; somebody may want the
// fix in full.
#[test]
fn a_fix_in_full_replaces_what_is_broken() {
    for dynamic in [false, true] {
        for make in [World::routed, World::subsets] {
            let mut block = steps();
            block["dynamicStableScale"] = json!(dynamic);
            let mut world = deployed(make(block));
            world.release("web:2");
            world.settle();
            world.pods_get_ready(false);
            world.pods_ready(1, 0);
            world.release("web:3");
            world.settle();
            world.pods_ready(2, 0);
            world.pods_ready(3, 2);
            world.settle();
            assert_eq!(world.routes(), "canary 20, stable 80");
            let carried = world.status().canary.weights.unwrap();
            assert_eq!(carried.canary.pod_template_hash, world.hash(2));
            world.promote_full();
            world.settle();
            world.pods_ready(3, 10);
            world.settle();
            assert_eq!(world.routes(), "canary 0, stable 100");
            assert_eq!(world.status().stable_rs, world.hash(3));
            assert_eq!(world.phase(), "Healthy");
        }
    }
}

// TRR-006: a stable set that was scaled down and does not get its last pods back keeps no revision waiting.
#[test]
fn the_next_revision_does_not_wait_for_pods_that_may_be_unavailable() {
    for make in [World::routed, World::subsets] {
        let mut world = half_way(make, true);
        assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
        world.pods_get_ready(false);
        world.release("web:3");
        world.settle();
        world.pods_ready(1, 7);
        world.settle();
        assert_eq!(world.routes(), "canary 30, stable 70");
        world.pods_ready(1, 8);
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100");
        world.pods_ready(3, 5);
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50");
        let carried = world.status().canary.weights.unwrap();
        assert_eq!(carried.canary.pod_template_hash, world.hash(3));
    }
}

// TRR-004: a share that is to be smaller waits for stable pods, and not for every one; somebody may go on without it.
#[test]
fn a_smaller_share_does_not_wait_for_every_stable_pod() {
    let percent = |value: i32| json!({ "type": "Percent", "value": value });
    let steps = |weight: i32| json!([{ "setWeight": weight }, { "pause": {} }]);
    for (extra, enough) in [
        (json!({ "maxUnavailable": 0 }), 8),
        (json!({ "maxUnavailable": "50%" }), 5),
        (json!({ "maxUnavailable": "100%" }), 1),
        (json!({ "replicaProgressThreshold": percent(40) }), 4),
        (json!({ "replicaProgressThreshold": percent(0) }), 1),
        (json!({ "replicaProgressThreshold": percent(150) }), 8),
    ] {
        let mut block = extra.clone();
        block["steps"] = steps(50);
        let mut world = deployed(World::routed(block));
        world.release("web:2");
        world.settle();
        world.pods_get_ready(false);
        world.pods_ready(1, enough - 1);
        world.edit(json!({ "strategy": { "canary": { "steps": steps(5) } } }));
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50", "{extra}");
        world.skip_step();
        world.settle();
        assert_eq!(world.phase(), "Paused: CanaryPauseStep", "{extra}");
        world.pods_ready(1, enough);
        world.settle();
        assert_eq!(world.routes(), "canary 5, stable 95", "{extra}");
    }
}

// SVC-002: a user who goes back takes a bad revision out of the traffic although its router fails, with whatever pods a stable
// set has that keeps its size.
#[test]
fn a_user_who_goes_back_gets_the_canary_service_with_a_pod() {
    let mut world = half_way(World::routed, false);
    world.pods_get_ready(false);
    world.router = Router::Fails;
    world.pods_ready(1, 0);
    world.release("web:1");
    world.settle();
    assert_eq!(world.selects("canary"), "r2", "nobody else serves");
    world.pods_ready(1, 3);
    world.settle();
    assert_eq!(world.selects("canary"), "r1");
}

// TRR-004: a canary that is dead does not keep its share for the sake of a last stable pod, with `dynamicStableScale` neither.
#[test]
fn a_share_that_nobody_serves_goes_to_most_of_a_dynamic_stable_set() {
    for make in [World::routed, World::subsets] {
        let mut world = half_way(make, true);
        world.pods_get_ready(false);
        world.pods_ready(2, 0);
        world.settle();
        world.pods_ready(1, 7);
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50");
        world.pods_ready(1, 8);
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100");
    }
}

// TRR-003: nor does it while somebody aborts.
#[test]
fn an_abort_of_a_dead_canary_does_not_wait_for_every_dynamic_pod() {
    let mut world = half_way(World::subsets, true);
    world.pods_get_ready(false);
    world.abort();
    world.settle();
    world.pods_ready(1, 8);
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80", "somebody is served");
    world.pods_ready(1, 7);
    world.pods_ready(2, 0);
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
    world.pods_ready(1, 8);
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
}

// CA-015: nobody waits for more pods than there are to be.
#[test]
fn a_threshold_beyond_every_pod_asks_for_every_pod() {
    let mut world = deployed(World::routed(json!({
        "steps": [{ "setWeight": 50 }, { "pause": {} }],
        "replicaProgressThreshold": { "type": "Percent", "value": 150 },
    })));
    world.release("web:2");
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// TRR-004: what any pod serves is not served by nobody.
#[test]
fn a_share_that_any_pod_serves_waits() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.pods_ready(1, 7);
    let none = json!({ "spec": { "selector": { (keys::POD_TEMPLATE_HASH): null } } });
    world.patch("Service", "canary", &none, false);
    world.pods_ready(2, 0);
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
}

// SVC-002: a stable Service without a share waits for no pods of it.
#[test]
fn a_stable_service_that_carries_nothing_goes_to_one_pod() {
    let mut world = deployed(World::routed(json!({ "steps": [] })));
    world.release("web:2");
    while world.status().stable_rs == world.hash(1) {
        world.pass();
    }
    assert_eq!(
        (world.selects("stable"), world.routes()),
        ("r1".into(), "canary 100, stable 0".into())
    );
    world.pods_get_ready(false);
    world.pods_ready(2, 3);
    world.pass();
    assert_eq!(world.selects("stable"), "r2");
}

// CA-015, CAN-021, SVC-002: what is enough for a step is enough for its Service, which somebody has made anew without a hash.
#[test]
fn the_canary_service_gets_its_hash_back_with_the_pods_of_the_step() {
    let threshold = json!({ "type": "Percent", "value": 60 });
    let scale = json!({ "setCanaryScale": { "replicas": 3 } });
    let pause = json!({ "pause": {} });
    for block in [
        json!({ "steps": [{ "setWeight": 50 }, pause], "replicaProgressThreshold": threshold }),
        json!({ "steps": [scale, { "setWeight": 50 }, pause] }),
    ] {
        let mut world = deployed(World::routed(block));
        world.release("web:2");
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50");
        world.pods_get_ready(false);
        world.pods_ready(2, 3);
        let none = json!({
            "metadata": { "annotations": { (keys::MANAGED_BY): null } },
            "spec": { "selector": { (keys::POD_TEMPLATE_HASH): null } },
        });
        world.patch("Service", "canary", &none, false);
        world.settle();
        assert_eq!(world.selects("canary"), "r2");
    }
}

// TRR-003, TRR-004: nor does a rollback keep a bad revision in traffic for the sake of a last pod.
#[test]
fn a_dynamic_rollback_does_not_wait_for_every_stable_pod() {
    for make in [World::routed, World::subsets] {
        let mut world = half_way(make, true);
        world.pods_get_ready(false);
        world.release("web:1");
        world.settle();
        world.pods_ready(1, 7);
        world.settle();
        assert_eq!(world.routes(), "canary 30, stable 70");
        world.pods_ready(1, 8);
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100");
    }
}

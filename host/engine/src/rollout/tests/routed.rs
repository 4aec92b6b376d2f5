//! Stories of a canary with a router.

use expect_test::expect;
use serde_json::{Value, json};

use super::world::{Fault, Router, World};
use crate::keys;
use crate::plan::{Requeue, Role, WriteErrorKind};

pub(super) fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }] })
}

pub(super) fn deployed(world: World) -> World {
    let mut world = world;
    world.settle();
    world.events.clear();
    world
}

// CA-001, CA-002, SVC-001, SVC-002, SVC-003, TRR-002, ST-018
#[test]
fn the_first_revision_gets_all_traffic() {
    let mut world = World::routed(steps());
    expect![[r#"
        write ReplicaSet web-r1: revision 1
        write Rollout web: revision 1
        event RolloutAddedToInformer: Rollout resource added to informer: shop/web
        event RolloutUpdated: Rollout updated to revision 1
        event NewReplicaSetCreated: Created ReplicaSet web-r1 (revision 1)
        event RolloutNotCompleted: Rollout not completed, started update to revision 1 (r1)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 0 to 10
        event RolloutCompleted: Rollout completed update to revision 1 (r1): Initial deploy
        write Service stable: select revision r1
        write Service canary: select revision r1
        event SwitchService: Switched selector for service 'stable' from '' to 'r1'
        event SwitchService: Switched selector for service 'canary' from '' to 'r1'
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated to 0
        Healthy | r1 10/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.routes(), "canary 0, stable 100");
}

// CAN-020, CAN-022, TRR-007, TRR-008, EVT-013, EVT-014, SCD-001, CLI-005
#[test]
fn an_update_moves_traffic_step_by_step_and_the_old_set_goes_later() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.routes(), "canary 20, stable 80");
    assert_eq!(world.selects("canary"), "r2");
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 2/4 completed (pause)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 2 to 5
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 5
        write VirtualService routes: canary 50, stable 50
        event TrafficWeightUpdated: Traffic weight updated from 20 to 50
        event RolloutStepCompleted: Rollout step 3/4 completed (setWeight: 50)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 5/5
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.routes(), "canary 50, stable 50");
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 4/4 completed (pause)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 5 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 5 to 10
        write VirtualService routes: canary 100, stable 0
        event TrafficWeightUpdated: Traffic weight updated from 50 to 100
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed all 4 canary steps
        write Service stable: select revision r2
        event SwitchService: Switched selector for service 'stable' from 'r1' to 'r2'
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 100 to 0
        write ReplicaSet web-r1: annotations
        again at 30.3s
        Healthy | r1 10/10, r2 10/10
    "#]].assert_eq(&world.settle());
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(world.selects("stable"), "r2");
    expect![[r#"
        write ReplicaSet web-r1: scale from 10 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 0
        Healthy | r1 0/0, r2 10/10
    "#]]
    .assert_eq(&world.sleep());
}

// RT-ISTIO: the hash moves with the weight.
#[test]
fn a_router_that_splits_by_subset_needs_no_service() {
    let mut world = deployed(World::subsets(steps()));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    world.promote_full();
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 10
        event RolloutResumed: Rollout is resumed
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Full promotion requested
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 20 to 0
        write ReplicaSet web-r1: annotations
        again at 30.3s
        Healthy | r1 10/10, r2 10/10
    "#]].assert_eq(&world.settle());
}

// TRR-007, EVT-015: a router that fails blocks neither pods nor status.
#[test]
fn a_router_that_fails_holds_the_step_and_is_asked_again() {
    let mut world = deployed(World::routed(steps()));
    world.router = Router::Fails;
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        warning TrafficRoutingError: the mesh is away
        warning TrafficRoutingError: the mesh is away
        wait router istio: the mesh is away
        again at 11.0s
        Progressing: more replicas need to be updated | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    expect![[r#"
        warning TrafficRoutingError: the mesh is away
        wait router istio: the mesh is away
        again at 21.0s
        Progressing: more replicas need to be updated | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.sleep());
    world.router = Router::Works;
    expect![[r#"
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.sleep());
}

#[test]
fn a_router_that_traps_is_a_warning_on_its_rollout() {
    let mut world = deployed(World::routed(steps()));
    world.router = Router::Traps;
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        warning TrafficRoutingError: plugin istio failed: Trapped: unreachable
        warning TrafficRoutingError: plugin istio failed: Trapped: unreachable
        wait router istio: istio: Trapped: unreachable
        again at 11.0s
        Progressing: more replicas need to be updated | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
}

#[test]
fn a_router_that_hangs_holds_the_step_and_nothing_else() {
    let mut world = deployed(World::routed(steps()));
    world.router = Router::Hangs;
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        wait router istio: its answer
        again at 601.3s
        Progressing: more replicas need to be updated | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    world.abort();
    expect![[r#"
        write Service canary: select revision r1
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r1'
        warning RolloutAborted: Rollout aborted update to revision 2
        wait router istio: its answer
        wait the end of ReplicaSet web-r2: weight 0 is unconfirmed: a router has not answered yet (prevents a canary announced for removal while the router still sends to it)
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
}

// TRR-009, ST-018, PAU-003
#[test]
fn a_step_ends_when_the_data_path_is_known_to_follow() {
    let mut world = deployed(World::routed(steps()));
    world.router = Router::Lags;
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        wait router istio: the data path lags
        again at 11.0s
        Progressing: more replicas need to be updated | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.status().canary.weights.unwrap().verified, Some(false));
    world.router = Router::Verifies;
    expect![[r#"
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.sleep());
    assert_eq!(world.status().canary.weights.unwrap().verified, Some(true));
}

// ABT-001, ABT-010, ABT-011, TRR-002
#[test]
fn an_abort_takes_traffic_back_and_keeps_the_canary_for_a_while() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.abort();
    expect![[r#"
        write Service canary: select revision r1
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r1'
        warning RolloutAborted: Rollout aborted update to revision 2
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 20 to 0
        write ReplicaSet web-r2: annotations
        wait ReplicaSet web-r2: its scale-down deadline until 30.3s
        again at 30.3s
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(world.selects("canary"), "r1");
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 2 to 0
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.sleep());
    world.retry();
    expect![[r#"
        write ReplicaSet web-r2: scale from 0 to 2
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
}

// I8: a good canary keeps its share while nobody could take it.
#[test]
fn an_abort_gives_traffic_back_once_the_stable_set_serves() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.pods_ready(1, 0);
    world.abort();
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
    assert_eq!(world.selects("canary"), "r2");

    world.pods_ready(1, 1);
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(world.selects("canary"), "r1");
}

// ABT-011: with Services split, the canary Service points at the stable set although no router answers; the canary
// keeps its pods until the weight is confirmed.
#[test]
fn an_abort_without_a_router_serves_from_stable_and_keeps_the_canary() {
    for router in [Router::Fails, Router::Traps, Router::Hangs] {
        let mut world = deployed(World::routed(steps()));
        world.release("web:2");
        world.settle();
        world.router = router;
        // The answer of before is no longer fresh.
        world.put("VirtualService", "routes", json!({ "spec": {
            "canary": { "weight": 20, "service": "canary" }, "stable": { "weight": 80, "service": "stable" }, "x": 1,
        } }));
        world.abort();
        world.settle();
        assert_eq!(
            world.phase(),
            "Degraded: RolloutAborted: Rollout aborted update to revision 2"
        );
        assert_eq!(world.selects("canary"), "r1");
        assert_eq!(world.routes(), "canary 20, stable 80");
        assert_eq!(world.sizes(), "r1 10/10, r2 2/2");
        world.advance(3600);
        world.settle();
        assert_eq!(
            world.sizes(),
            "r1 10/10, r2 2/2",
            "no deadline before weight 0 is confirmed"
        );
        world.router = Router::Works;
        if world.requeue == Requeue::OnChange {
            world.restart();
            world.settle();
        } else {
            world.sleep();
        }
        assert_eq!(world.routes(), "canary 0, stable 100");
        world.sleep();
        assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
    }
}

#[test]
fn an_abort_with_subsets_and_no_router_says_what_is_not_confirmed() {
    let mut world = deployed(World::subsets(steps()));
    world.release("web:2");
    world.settle();
    world.router = Router::Fails;
    world.abort();
    expect![[r#"
        warning RolloutAborted: Rollout aborted update to revision 2
        warning TrafficRoutingError: the mesh is away; weight 20 is unconfirmed, and the pods that it goes to stay
        wait router istio: the mesh is away
        wait the end of ReplicaSet web-r2: weight 20 is unconfirmed: a router failed: the mesh is away (prevents a canary announced for removal while the router still sends to it)
        again at 11.0s
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 10/10, r2 2/2
    "#]].assert_eq(&world.settle());
    world.router = Router::Works;
    world.sleep();
    assert_eq!(world.routes(), "canary 0, stable 100");
    world.sleep();
    assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
}

// EVT-015: a router that has an event of its own for why it does nothing writes no warning, and an abort says what it keeps.
#[test]
fn an_event_of_a_router_says_what_an_abort_keeps() {
    let mut world = deployed(World::subsets(steps()));
    world.release("web:2");
    world.settle();
    world.router = Router::Tells;
    world.abort();
    let told = world.settle();
    let event = "event MeshAway: the mesh is on holiday; weight 20 is unconfirmed, and the pods that it goes to stay";
    assert!(
        told.contains(event) && !told.contains("TrafficRoutingError"),
        "{told}"
    );
}

// BG-013, ABT-010: abortScaleDownDelaySeconds 0
#[test]
fn a_canary_may_be_kept_after_an_abort() {
    let mut block = steps();
    block["abortScaleDownDelaySeconds"] = json!(0);
    let mut world = deployed(World::routed(block));
    world.release("web:2");
    world.settle();
    world.abort();
    expect![[r#"
        write Service canary: select revision r1
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r1'
        warning RolloutAborted: Rollout aborted update to revision 2
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 20 to 0
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.requeue, Requeue::OnChange);
}

// A new specification at 50 % with a failing router: the set that carries the weight keeps its pods, and the canary
// Service stays with it until weight 0 is confirmed.
#[test]
fn the_set_that_carries_weight_is_protected_when_the_next_revision_comes() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.router = Router::Fails;
    world.release("web:3");
    expect![[r#"
        write ReplicaSet web-r3: revision 3
        write Rollout web: revision 3
        event RolloutUpdated: Rollout updated to revision 3
        event NewReplicaSetCreated: Created ReplicaSet web-r3 (revision 3)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r3 (revision 3) from 0 to 2
        event RolloutResumed: Rollout is resumed
        warning TrafficRoutingError: the mesh is away
        wait the traffic weight: traffic leaves the previous canary first (prevents a subset that carries traffic labelled with another revision)
        wait router istio: the mesh is away
        wait Service canary: traffic leaves the previous canary first (prevents the next revision served the share of the one before, past its own steps)
        wait fewer pods of ReplicaSet web-r2: Service canary still selects ReplicaSet web-r2 (prevents a Service or subset without endpoints)
        again at 12.0s
        Progressing: more replicas need to be updated | r1 10/10, r2 5/5, r3 2/2
    "#]].assert_eq(&world.settle());
    assert_eq!(world.selects("canary"), "r2");
    assert_eq!(world.routes(), "canary 50, stable 50");
    world.router = Router::Works;
    expect![[r#"
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 50 to 0
        write Service canary: select revision r3
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r3'
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        write ReplicaSet web-r2: scale from 5 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 0
        Paused: CanaryPauseStep | r1 10/10, r2 0/0, r3 2/2
    "#]]
    .assert_eq(&world.sleep());
    assert_eq!(world.selects("canary"), "r3");
    assert_eq!(world.routes(), "canary 20, stable 80");
}

// The same although the next revision has the pods for it, and while the data path is not known to have followed.
#[test]
fn the_next_revision_does_not_inherit_the_weight_of_the_one_before() {
    for router in [Router::Fails, Router::Lags] {
        let mut world = deployed(World::routed(json!({ "steps": [
            { "setCanaryScale": { "replicas": 10 } }, { "setWeight": 50 }, { "pause": {} },
        ] })));
        world.release("web:2");
        world.settle();
        assert_eq!(world.routes(), "canary 50, stable 50");
        world.router = router.clone();
        world.release("web:3");
        world.settle();
        assert_eq!(world.sizes(), "r1 10/10, r2 10/10, r3 10/10");
        assert_eq!(world.selects("canary"), "r2", "{router:?}");
        world.router = Router::Works;
        world.sleep();
        assert_eq!(world.selects("canary"), "r3", "{router:?}");
        assert_eq!(world.routes(), "canary 50, stable 50");
        assert_eq!(world.sizes(), "r1 10/10, r2 0/0, r3 10/10");
    }
}

/// The status of the pass that applies the first weight does not arrive.
fn unrecorded(block: Value) -> World {
    let mut world = deployed(World::routed(block));
    world.release("web:2");
    for _ in 0..20 {
        world.meanwhile = Some(|world| {
            if world.routes() == "canary 20, stable 80" {
                world.faults.push(Fault {
                    role: None,
                    kind: WriteErrorKind::Unavailable,
                    times: 1,
                });
            }
        });
        world.pass();
        if world.routes() == "canary 20, stable 80" {
            world.meanwhile = None;
            assert_eq!(world.status().canary.weights.unwrap().canary.weight, 0);
            world.router = Router::Fails;
            world.restart();
            return world;
        }
    }
    panic!("no weight: {}", world.routes());
}

// TRR-006, SVC-002: a share that was applied and not recorded is the previous revision's as well.
#[test]
fn the_next_revision_does_not_inherit_a_weight_that_nobody_recorded() {
    type Before = (&'static str, fn(&mut World));
    let before: [Before; 4] = [
        ("at once", |_| {}),
        ("after an abort", |world| {
            world.abort();
            world.settle();
            assert_eq!(world.selects("canary"), "r1");
        }),
        ("after a way back", |world| {
            world.release("web:1");
            world.settle();
            assert_eq!(world.selects("canary"), "r1");
        }),
        ("with a status that is lost again", |world| {
            world.faults.push(Fault {
                role: None,
                kind: WriteErrorKind::Unavailable,
                times: 2,
            });
        }),
    ];
    for (name, before) in before {
        let mut world = unrecorded(steps());
        before(&mut world);
        let selected = world.selects("canary");
        world.release("web:3");
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80", "{name}");
        assert_eq!(world.sizes(), "r1 10/10, r2 2/2, r3 2/2", "{name}");
        assert_eq!(world.selects("canary"), selected, "{name}");
        world.router = Router::Works;
        world.restart();
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80", "{name}");
        assert_eq!(world.selects("canary"), "r3", "{name}");
        assert_eq!(world.phase(), "Paused: CanaryPauseStep", "{name}");
    }
}

// The same where a promotion in full has waited for no router.
#[test]
fn the_next_revision_does_not_inherit_a_weight_from_before_a_promotion() {
    let mut world = unrecorded(steps());
    world.promote_full();
    world.settle();
    assert_eq!(world.status().stable_rs, world.hash(2));
    assert_eq!(world.routes(), "canary 20, stable 80");
    world.release("web:3");
    world.settle();
    assert_eq!(world.status().stable_rs, world.hash(2));
    assert_eq!(world.selects("canary"), "r2");
    world.router = Router::Works;
    world.restart();
    world.settle();
    assert_eq!(world.selects("canary"), "r3");
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// The same while the shares of the update before are still what routers apply.
#[test]
fn the_next_revision_does_not_inherit_the_weight_of_the_stable_one() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setCanaryScale": { "replicas": 10 } }, { "setWeight": 50 }, { "pause": {} },
    ] })));
    world.release("web:2");
    world.settle();
    world.promote();
    while world.status().stable_rs == world.hash(1) {
        world.pass();
    }
    assert_eq!(world.routes(), "canary 100, stable 0");
    world.router = Router::Fails;
    world.release("web:3");
    world.settle();
    assert_eq!(world.routes(), "canary 100, stable 0");
    assert_eq!(world.sizes(), "r1 10/10, r2 10/10, r3 10/10");
    assert_eq!(world.selects("canary"), "r2");
}

// ABT-011, ABT-003: nor does the retry of an abort that the router has not carried out begin with the share from before it.
#[test]
fn a_retry_does_not_begin_with_the_weight_from_before_the_abort() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.router = Router::Fails;
    world.abort();
    world.settle();
    assert_eq!(world.selects("canary"), "r1");
    world.retry();
    world.settle();
    assert_eq!(world.routes(), "canary 50, stable 50");
    assert_eq!(world.selects("canary"), "r1");
    world.router = Router::Works;
    world.sleep();
    assert_eq!(world.routes(), "canary 20, stable 80");
    assert_eq!(world.selects("canary"), "r2");
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// I8, TRR-004: nor does it wait for the last pod of the stable set, which the abort did not wait for either.
#[test]
fn a_retry_gives_its_old_share_to_whatever_pods_the_stable_set_has() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.pods_get_ready(false);
    world.pods_ready(1, 9);
    world.router = Router::Fails;
    world.abort();
    world.settle();
    assert_eq!(world.selects("canary"), "r1");
    world.retry();
    world.settle();
    world.router = Router::Works;
    world.sleep();
    assert_eq!(world.selects("canary"), "r2");
    assert_eq!(world.routes(), "canary 20, stable 80");
}

// SCD-010: a Rollout of no pods keeps none for a share that its router does not give back.
#[test]
fn a_left_over_share_keeps_no_pods_of_a_rollout_that_wants_none() {
    let mut world = unrecorded(steps());
    world.release("web:3");
    world.settle();
    assert_eq!(world.selects("canary"), "r2");
    world.edit(json!({ "replicas": 0 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 0/0, r2 0/0, r3 0/0");
}

// ROL-001, REC-022, EVT-012
#[test]
fn back_to_stable_takes_the_weight_from_the_canary_first() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.release("web:1");
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: annotations
        write Service canary: select revision r1
        event RolloutUpdated: Rollout updated to revision 3
        event SkipSteps: Rollback to stable ReplicaSets
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r1'
        event RolloutResumed: Rollout is resumed
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 50 to 0
        write ReplicaSet web-r2: annotations
        again at 31.3s
        Healthy | r1 10/10, r2 5/5
    "#]]
    .assert_eq(&world.settle());
    expect![[r#"
        write ReplicaSet web-r2: scale from 5 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 0
        Healthy | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.sleep());
}

// EVT-012, REC-022: only of a set that still has pods is it said that the steps are skipped.
#[test]
fn a_rollback_within_the_window_to_pods_that_are_still_there_says_that_it_skips_the_steps() {
    let skips = "event SkipSteps: Rollback to active ReplicaSets within RollbackWindow";
    for (waits, sizes, said) in [
        (0, "r1 10/10, r2 10/10", true),
        (60, "r1 0/0, r2 10/10", false),
    ] {
        let mut world = deployed(World::routed(steps()));
        world.edit(json!({ "rollbackWindow": { "revisions": 1 } }));
        world.release("web:2");
        world.settle();
        world.promote_full();
        world.settle();
        world.advance(waits);
        world.settle();
        assert_eq!(world.sizes(), sizes);
        world.events.clear();
        world.release("web:1");
        while world.status().current_pod_hash != world.hash(1) {
            world.pass();
        }
        assert_eq!(world.status().current_step_index, Some(4));
        world.settle();
        let skipped: Vec<&String> = world
            .events
            .iter()
            .filter(|event| event.contains("SkipSteps"))
            .collect();
        assert_eq!(
            skipped,
            if said { vec![skips] } else { Vec::new() },
            "after {waits} s"
        );
        assert_eq!(world.status().stable_rs, world.hash(1));
    }
}

// SCD-001, SCD-002
#[test]
fn a_rollback_within_the_delay_keeps_the_old_pods() {
    let mut world = deployed(World::routed(json!({})));
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 10/10");
    world.release("web:1");
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: annotations
        write Service canary: select revision r1
        event RolloutUpdated: Rollout updated to revision 3
        event RolloutNotCompleted: Rollout not completed, started update to revision 3 (r1)
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r1'
        write VirtualService routes: canary 100, stable 0
        event TrafficWeightUpdated: Traffic weight updated from 0 to 100
        event RolloutCompleted: Rollout completed update to revision 3 (r1): Completed all 0 canary steps
        write Service stable: select revision r1
        event SwitchService: Switched selector for service 'stable' from 'r2' to 'r1'
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 100 to 0
        write ReplicaSet web-r2: annotations
        again at 31.3s
        Healthy | r1 10/10, r2 10/10
    "#]].assert_eq(&world.settle());
}

// A share that gets smaller goes before its pods, with a threshold as without.
#[test]
fn a_smaller_share_waits_for_no_pods_that_it_does_not_want() {
    for threshold in [json!(null), json!({ "type": "Percent", "value": 80 })] {
        let mut world = deployed(World::routed(json!({
            "steps": [{ "setWeight": 50 }, { "pause": {} }, { "setWeight": 20 }, { "pause": {} }],
            "replicaProgressThreshold": threshold,
        })));
        world.release("web:2");
        world.settle();
        world.pods_get_ready(false);
        world.pods_ready(2, 3);
        world.promote();
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80", "{threshold}");
        assert_eq!(world.status().current_step_index, Some(3), "{threshold}");
    }
}

// What may be unavailable is some of its pods, not some of those that it needs.
#[test]
fn a_stable_set_has_the_pods_for_a_share_that_is_not_all_of_the_traffic() {
    let mut world = deployed(World::routed(json!({
        "steps": [{ "setWeight": 50 }, { "pause": {} }, { "setWeight": 20 }, { "pause": {} }],
    })));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.pods_ready(1, 7);
    world.promote();
    world.settle();
    assert_eq!(world.routes(), "canary 50, stable 50");
    world.pods_ready(1, 8);
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
}

// CA-012: a stable set that was scaled down has no pod to spare.
#[test]
fn a_scaled_down_stable_set_takes_a_share_back_with_all_of_its_pods() {
    let mut world = deployed(World::routed(json!({
        "steps": [{ "setWeight": 50 }, { "pause": {} }, { "setWeight": 20 }, { "pause": {} }],
        "dynamicStableScale": true,
    })));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.promote();
    world.settle();
    world.pods_ready(1, 7);
    world.settle();
    assert_eq!(world.routes(), "canary 50, stable 50");
    world.pods_ready(1, 8);
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
}

// A Service that still selects what somebody deleted gets no share before it can go elsewhere.
#[test]
fn nothing_is_given_to_a_stable_service_that_selects_another_set() {
    let mut world = deployed(World::routed(
        json!({ "steps": [{ "setWeight": 5 }, { "pause": {} }] }),
    ));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    let stable = format!("web-{}", world.hash(1));
    world.remove("ReplicaSet", &stable);
    // Pointing it is for all of the pods, then.
    let unmanaged = json!({ "metadata": { "annotations": { (keys::MANAGED_BY): null } } });
    world.patch("Service", "stable", &unmanaged, false);
    world.release("web:3");
    world.settle();
    world.pods_ready(3, 9);
    world.settle();
    assert_eq!(
        (world.selects("stable"), world.routes()),
        ("r1".into(), "canary 5, stable 95".into())
    );
    world.pods_ready(3, 10);
    world.settle();
    assert_eq!(
        (world.selects("stable"), world.routes()),
        ("r3".into(), "canary 0, stable 100".into())
    );
}

// HPA-001: the stable set is never without pods.
#[test]
fn an_autoscaler_resizes_both_sets_and_leaves_the_weight() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.edit(json!({ "replicas": 20 }));
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 4
        write ReplicaSet web-r1: scale from 10 to 20
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 4
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 10 to 20
        Paused: CanaryPauseStep | r1 20/20, r2 4/4
    "#]]
    .assert_eq(&world.settle());
    world.edit(json!({ "replicas": 1 }));
    expect![[r#"
        write ReplicaSet web-r2: scale from 4 to 1
        write ReplicaSet web-r1: scale from 20 to 1
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 4 to 1
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 20 to 1
        Paused: CanaryPauseStep | r1 1/1, r2 1/1
    "#]]
    .assert_eq(&world.settle());
    world.edit(json!({ "replicas": 0 }));
    expect![[r#"
        write ReplicaSet web-r2: scale from 1 to 0
        write ReplicaSet web-r1: scale from 1 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 1 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 1 to 0
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 20 to 0
        Paused: CanaryPauseStep | r1 0/0, r2 0/0
    "#]]
    .assert_eq(&world.settle());
    world.edit(json!({ "replicas": 10 }));
    expect![[r#"
        write ReplicaSet web-r2: scale from 0 to 2
        write ReplicaSet web-r1: scale from 0 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 0 to 10
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
}

// CA-012, CAN-023, CAN-024
#[test]
fn a_dynamic_stable_set_shrinks_after_the_weight_has_moved() {
    let mut block = steps();
    block["dynamicStableScale"] = json!(true);
    let mut world = deployed(World::routed(block));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 2
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        write ReplicaSet web-r1: scale from 10 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 8
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 2/4 completed (pause)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 2 to 5
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 5
        write VirtualService routes: canary 50, stable 50
        event TrafficWeightUpdated: Traffic weight updated from 20 to 50
        event RolloutStepCompleted: Rollout step 3/4 completed (setWeight: 50)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        write ReplicaSet web-r1: scale from 8 to 5
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 8 to 5
        Paused: CanaryPauseStep | r1 5/5, r2 5/5
    "#]]
    .assert_eq(&world.settle());
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 4/4 completed (pause)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 5 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 5 to 10
        write VirtualService routes: canary 100, stable 0
        event TrafficWeightUpdated: Traffic weight updated from 50 to 100
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Completed all 4 canary steps
        write Service stable: select revision r2
        event SwitchService: Switched selector for service 'stable' from 'r1' to 'r2'
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 100 to 0
        write ReplicaSet web-r1: scale from 5 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 5 to 0
        Healthy | r1 0/0, r2 10/10
    "#]].assert_eq(&world.settle());
}

// CAN-025, TRR-003
#[test]
fn an_abort_of_a_dynamic_stable_set_gives_it_pods_before_traffic() {
    let mut block = steps();
    block["dynamicStableScale"] = json!(true);
    let mut world = deployed(World::routed(block));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.pods_get_ready(false);
    world.abort();
    expect![[r#"
        write ReplicaSet web-r1: scale from 5 to 8
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 5 to 8
        warning RolloutAborted: Rollout aborted update to revision 2
        wait Service canary: ReplicaSet web-r1 has 5 of the 8 available pods that its share of the traffic needs (prevents half of the traffic on the one pod of the next revision)
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 5/8, r2 5/5
    "#]]
    .assert_eq(&world.settle());
    world.pods_ready(1, 6);
    expect![[r#"
        write VirtualService routes: canary 40, stable 60
        event TrafficWeightUpdated: Traffic weight updated from 50 to 40
        write ReplicaSet web-r2: scale from 5 to 4
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 4
        wait Service canary: ReplicaSet web-r1 has 6 of the 8 available pods that its share of the traffic needs (prevents half of the traffic on the one pod of the next revision)
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 6/8, r2 4/4
    "#]]
    .assert_eq(&world.settle());
    world.pods_get_ready(true);
    expect![[r#"
        write ReplicaSet web-r1: scale from 8 to 10
        write Service canary: select revision r1
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 1) from 8 to 10
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r1'
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 40 to 0
        write ReplicaSet web-r2: scale from 4 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 4 to 0
        Degraded: RolloutAborted: Rollout aborted update to revision 2 | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.settle());
}

// CAN-025, ABT-012, CA-014: what keeps the canary large does not hold the stable set back.
#[test]
fn an_abort_of_a_dynamic_stable_set_ends_whatever_keeps_the_canary() {
    for (field, value, end) in [
        ("abortScaleDownDelaySeconds", 60, "r1 10/10, r2 0/0"),
        ("abortScaleDownDelaySeconds", 0, "r1 10/10, r2 5/5"),
        ("minPodsPerReplicaSet", 5, "r1 10/10, r2 0/0"),
    ] {
        let mut block = steps();
        block["dynamicStableScale"] = json!(true);
        block[field] = json!(value);
        let mut world = deployed(World::routed(block));
        world.release("web:2");
        world.settle();
        world.promote();
        world.settle();
        assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
        world.abort();
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100", "{field}: {value}");
        if world.requeue != Requeue::OnChange {
            world.sleep();
        }
        assert_eq!(world.sizes(), end, "{field}: {value}");
    }
}

// TRR-002 (a): back to the stable template while it is too small.
#[test]
fn a_dynamic_rollback_gives_stable_its_pods_before_traffic() {
    let mut block = steps();
    block["dynamicStableScale"] = json!(true);
    let mut world = deployed(World::routed(block));
    world.release("web:2");
    world.settle();
    world.promote();
    world.settle();
    world.pods_get_ready(false);
    world.release("web:1");
    expect![[r#"
        write Rollout web: revision 3
        write ReplicaSet web-r1: scale from 5 to 10
        event RolloutUpdated: Rollout updated to revision 3
        event SkipSteps: Rollback to stable ReplicaSets
        event ScalingReplicaSet: Scaled up ReplicaSet web-r1 (revision 3) from 5 to 10
        event RolloutResumed: Rollout is resumed
        wait Service canary: ReplicaSet web-r1 has 5 of the 8 available pods that its share of the traffic needs (prevents half of the traffic on the one pod of the next revision)
        wait fewer pods of ReplicaSet web-r2: Service canary still selects ReplicaSet web-r2 (prevents a Service or subset without endpoints)
        again at 602.3s
        Healthy | r1 5/10, r2 5/5
    "#]].assert_eq(&world.settle());
    world.pods_get_ready(true);
    expect![[r#"
        write Service canary: select revision r1
        event SwitchService: Switched selector for service 'canary' from 'r2' to 'r1'
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 50 to 0
        write ReplicaSet web-r2: scale from 5 to 0
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 0
        Healthy | r1 10/10, r2 0/0
    "#]]
    .assert_eq(&world.settle());
}

// I8: the share gets smaller before its pods go, although steps ask for both at once.
#[test]
fn a_smaller_weight_comes_before_a_smaller_canary() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setWeight": 50 }, { "pause": {} }, { "setWeight": 20 }, { "pause": {} },
    ] })));
    world.release("web:2");
    world.settle();
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 2/4 completed (pause)
        event RolloutResumed: Rollout is resumed
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 50 to 20
        event RolloutStepCompleted: Rollout step 3/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        write ReplicaSet web-r2: scale from 5 to 2
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 5 to 2
        Paused: CanaryPauseStep | r1 10/10, r2 2/2
    "#]]
    .assert_eq(&world.settle());
}

// TRR-002: a set that shrinks after its share still shows the pods from before. That is no way back to the larger share.
#[test]
fn a_smaller_weight_does_not_grow_again_while_the_canary_shrinks() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setWeight": 80 }, { "setWeight": 20 }, { "pause": {} },
    ] })));
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
    // The status of the pass in which the step ended does not arrive.
    let again = json!({ "status": { "currentStepIndex": 1, "pauseConditions": null, "controllerPause": false } });
    world.patch("Rollout", "web", &again, true);
    let late = json!({ "status": { "replicas": 8, "readyReplicas": 8, "availableReplicas": 8 } });
    let name = world.set_name(2);
    for _ in 0..4 {
        world.patch("ReplicaSet", &name, &late, true);
        world.pass();
        assert_eq!(world.routes(), "canary 20, stable 80");
    }
}

// STP-005, CAN-021
#[test]
fn a_canary_of_fixed_size_is_there_before_its_weight() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setCanaryScale": { "replicas": 3 } }, { "setWeight": 5 }, { "pause": {} },
        { "setCanaryScale": { "matchTrafficWeight": true } }, { "pause": {} },
    ] })));
    world.release("web:2");
    expect![[r#"
        write ReplicaSet web-r2: revision 2
        write Rollout web: revision 2
        event RolloutUpdated: Rollout updated to revision 2
        event NewReplicaSetCreated: Created ReplicaSet web-r2 (revision 2)
        event RolloutNotCompleted: Rollout not completed, started update to revision 2 (r2)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 0 to 3
        write Service canary: select revision r2
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r2'
        event RolloutStepCompleted: Rollout step 1/5 completed (setCanaryScale{replicas: 3})
        write VirtualService routes: canary 5, stable 95
        event TrafficWeightUpdated: Traffic weight updated from 0 to 5
        event RolloutStepCompleted: Rollout step 2/5 completed (setWeight: 5)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 3/3
    "#]]
    .assert_eq(&world.settle());
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 3/5 completed (pause)
        event RolloutResumed: Rollout is resumed
        write ReplicaSet web-r2: scale from 3 to 1
        event ScalingReplicaSet: Scaled down ReplicaSet web-r2 (revision 2) from 3 to 1
        event RolloutStepCompleted: Rollout step 4/5 completed (setCanaryScale{matchTrafficWeight: true})
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 10/10, r2 1/1
    "#]].assert_eq(&world.settle());
}

// REC-025, CND-013: a router that always fails does not hide the deadline.
#[test]
fn a_deadline_passes_although_the_router_fails() {
    let mut world = deployed(World::routed(steps()));
    world.edit(json!({ "progressDeadlineSeconds": 60 }));
    world.settle();
    world.router = Router::Fails;
    world.release("web:2");
    world.settle();
    for _ in 0..7 {
        world.sleep();
    }
    assert_eq!(
        world.phase(),
        "Degraded: ProgressDeadlineExceeded: ReplicaSet \"web-r2\" has timed out progressing."
    );

    let mut world = deployed(World::routed(steps()));
    world.edit(json!({ "progressDeadlineSeconds": 60, "progressDeadlineAbort": true }));
    world.settle();
    world.router = Router::Fails;
    world.release("web:2");
    world.settle();
    for _ in 0..7 {
        world.sleep();
    }
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2: \
         ReplicaSet \"web-r2\" has timed out progressing."
    );
}

// TRR-007: what was asked for is recorded only once it was written.
#[test]
fn weights_count_when_they_are_written() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    let role = Some(Role::Route);
    world.faults.push(Fault {
        role,
        kind: WriteErrorKind::Unavailable,
        times: 1000,
    });
    for _ in 0..10 {
        world.pass();
    }
    assert_eq!(world.status().canary.weights.unwrap().canary.weight, 0);
    assert_eq!(world.status().current_step_index, Some(0));
    assert!(!world.reasons().contains("TrafficWeightUpdated"));
    world.faults.clear();
    world.settle();
    assert_eq!(world.phase(), "Paused: CanaryPauseStep");
}

// A Service that cannot be switched holds the weight; nothing goes to a set that it does not select.
#[test]
fn no_weight_moves_before_the_service_that_carries_it() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    let role = Some(Role::Select);
    world.faults.push(Fault {
        role,
        kind: WriteErrorKind::Invalid,
        times: 1000,
    });
    for _ in 0..10 {
        world.pass();
    }
    assert_eq!(world.routes(), "canary 0, stable 100");
    world.faults.clear();
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
}

// ABT-004
#[test]
fn a_new_revision_after_an_abort_starts_over() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.abort();
    world.settle();
    world.release("web:3");
    expect![[r#"
        write ReplicaSet web-r3: revision 3
        write Rollout web: revision 3
        event RolloutUpdated: Rollout updated to revision 3
        event NewReplicaSetCreated: Created ReplicaSet web-r3 (revision 3)
        event ScalingReplicaSet: Scaled up ReplicaSet web-r3 (revision 3) from 0 to 2
        write Service canary: select revision r3
        event SwitchService: Switched selector for service 'canary' from 'r1' to 'r3'
        write VirtualService routes: canary 20, stable 80
        event TrafficWeightUpdated: Traffic weight updated from 0 to 20
        event RolloutStepCompleted: Rollout step 1/4 completed (setWeight: 20)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        again at 30.3s
        Paused: CanaryPauseStep | r1 10/10, r2 2/2, r3 2/2
    "#]]
    .assert_eq(&world.settle());
}

// SVC-003, I8: somebody deleted the stable set, and its Service selects nobody until the new set serves.
#[test]
fn without_a_stable_set_all_traffic_goes_to_the_pods_that_are_there() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setWeight": 20 }, { "pause": {} },
    ] })));
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    let stable = format!("web-{}", world.hash(1));
    world.remove("ReplicaSet", &stable);
    expect![[r#"
        write ReplicaSet web-r2: scale from 2 to 10
        event ScalingReplicaSet: Scaled up ReplicaSet web-r2 (revision 2) from 2 to 10
        event RolloutCompleted: Rollout completed update to revision 2 (r2): Initial deploy
        event RolloutResumed: Rollout is resumed
        write Service stable: select revision r2
        event SwitchService: Switched selector for service 'stable' from 'r1' to 'r2'
        write VirtualService routes: canary 0, stable 100
        event TrafficWeightUpdated: Traffic weight updated from 20 to 0
        again at 601.3s
        Progressing: updated replicas are still becoming available | r2 2/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.routes(), "canary 0, stable 100");
    world.pods_get_ready(true);
    expect![[r#"
        Healthy | r2 10/10
    "#]]
    .assert_eq(&world.settle());
    assert_eq!(world.routes(), "canary 0, stable 100");
}

// TRR-002: there is nothing that could take a share, so nothing waits for it.
#[test]
fn an_update_of_no_pods_goes_through_its_steps_without_weight() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    world.edit(json!({ "replicas": 0 }));
    world.settle();
    world.promote();
    expect![[r#"
        event RolloutStepCompleted: Rollout step 2/4 completed (pause)
        event RolloutResumed: Rollout is resumed
        event RolloutStepCompleted: Rollout step 3/4 completed (setWeight: 50)
        event RolloutPaused: Rollout is paused (CanaryPauseStep)
        Paused: CanaryPauseStep | r1 0/0, r2 0/0
    "#]]
    .assert_eq(&world.settle());
    world.promote();
    world.settle();
    assert_eq!(world.status().stable_rs, world.hash(2));
    assert_eq!(world.phase(), "Healthy");
    world.edit(json!({ "replicas": 10 }));
    world.settle();
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
}

/// The status records these shares of these revisions, whatever routers do now.
fn record_late(world: &mut World, canary: (i32, usize), stable: (i32, usize)) {
    let share = |(weight, revision): (i32, usize)| json!({ "weight": weight, "podTemplateHash": world.hash(revision) });
    let weights = json!({ "canary": share(canary), "stable": share(stable) });
    let late = json!({ "status": { "canary": { "weights": weights } } });
    world.patch("Rollout", "web", &late, true);
}

// CAN-023: what is recorded may be of the time before the promotion, when the stable set was the canary.
#[test]
fn a_record_from_before_the_promotion_takes_no_stable_pods() {
    let mut world = deployed(World::routed(
        json!({ "dynamicStableScale": true, "steps": [] }),
    ));
    world.release("web:2");
    world.settle();
    record_late(&mut world, (100, 2), (0, 1));
    world.pods_get_ready(false);
    world.release("web:3");
    for _ in 0..10 {
        world.pass();
        assert!(world.sizes().contains("r2 10/10"), "{}", world.sizes());
    }
}

// CAN-023: the same for a record of the moment before the canary lost its pods, of a controller that died before it could
// say that the share was taken back.
#[test]
fn a_record_from_before_the_canary_failed_takes_no_stable_pods() {
    let mut world = deployed(World::routed(
        json!({ "dynamicStableScale": true, "steps": [{ "setWeight": 40 }] }),
    ));
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    record_late(&mut world, (40, 2), (60, 1));
    for _ in 0..10 {
        world.pass();
        assert!(world.sizes().contains("r1 10/10"), "{}", world.sizes());
    }
}

// CAN-023: where the router waits for pods of the stable set, upstream waits with it.
#[test]
fn a_canary_that_fails_gives_its_share_to_a_stable_set_that_grows_for_it() {
    let mut world = deployed(World::routed(
        json!({ "dynamicStableScale": true, "steps": [{ "setWeight": 40 }, { "pause": {} }] }),
    ));
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary 40, stable 60");
    assert_eq!(world.sizes(), "r1 6/6, r2 4/4");

    world.pods_get_ready(false);
    world.pods_ready(2, 0);
    world.settle();
    assert_eq!(world.routes(), "canary 40, stable 60");
    assert_eq!(world.sizes(), "r1 6/10, r2 0/4");

    world.pods_ready(1, 10);
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(world.sizes(), "r1 10/10, r2 0/4");

    world.pods_ready(2, 4);
    world.settle();
    assert_eq!(world.routes(), "canary 40, stable 60");
    assert_eq!(world.sizes(), "r1 6/6, r2 4/4");
}

// TRR-004: seven pods are not ten, and better than none.
#[test]
fn a_share_that_nobody_serves_goes_to_whatever_pods_the_stable_set_has() {
    let steps = json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }] });
    for make in [World::routed, World::subsets] {
        let mut world = deployed(make(steps.clone()));
        world.release("web:2");
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        world.pods_get_ready(false);
        world.pods_ready(1, 7);
        world.pods_ready(2, 1);
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        // Ready, and not for `minReadySeconds` yet: somebody serves it.
        let name = format!("web-{}", world.hash(2));
        let numbers = json!({ "status": { "availableReplicas": 0 } });
        world.patch("ReplicaSet", &name, &numbers, false);
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        world.pods_ready(2, 0);
        world.settle();
        assert_eq!(world.routes(), "canary 0, stable 100");
        // It comes back with its pods.
        world.pods_ready(2, 2);
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
        // Where the stable set has none either, there is nobody to give it to.
        world.pods_ready(1, 0);
        world.pods_ready(2, 0);
        world.settle();
        assert_eq!(world.routes(), "canary 20, stable 80");
    }
}

#[test]
fn an_update_of_no_pods_goes_on_with_a_canary_of_a_fixed_size() {
    let mut world = deployed(World::routed(json!({ "steps": [
        { "setCanaryScale": { "replicas": 3 } }, { "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 },
    ] })));
    world.edit(json!({ "replicas": 0 }));
    world.settle();
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    world.promote();
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.status().stable_rs, world.hash(2));
}

// Services that keep selecting the old set would keep its pods, which nobody wants.
#[test]
fn a_rollout_of_no_pods_keeps_none_for_its_services() {
    let mut world = World::routed(json!({ "steps": [{ "setWeight": 50 }, { "pause": {} }] }));
    world.settle();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.edit(json!({ "replicas": 0 }));
    world.promote_full();
    world.settle();
    world.advance(60);
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.sizes(), "r1 0/0, r2 0/0");
    assert_eq!(
        (world.selects("stable"), world.selects("canary")),
        ("r2".into(), "r2".into())
    );
}

//! Routers that a Rollout names no more, and Rollouts that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::expect;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::world::{Fault, Router, World, away};
use crate::keys;
use crate::object::{ObjectKey, Subject};
use crate::plan::{Done, Edit, Outcome, Requeue, Subresource, Write, WriteError, WriteErrorKind};
use crate::plugin::{
    Ask, Disposition, Effects, Job, JobState, PluginCall, PluginInfo, PluginKind, PluginName,
    Plugins, Reply, Routed, Verification,
};
use crate::rollout::{Departed, Parted, Record, Recorded, decide_departed, settle_departed};

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }] })
}

fn deployed(world: World) -> World {
    let mut world = world;
    world.settle();
    world.events.clear();
    world
}

/// A canary at 20 %, whose router is then taken out.
fn dropped(world: World, router: Router) -> World {
    let mut world = deployed(world);
    world.release("web:2");
    world.settle();
    world.router = router;
    world.edit(json!({ "strategy": { "canary": { "trafficRouting": null } } }));
    world
}

/// Calls that one more pass plans.
fn asked(world: &World) -> usize {
    let seen = world.observe();
    let spec = crate::rollout::validate(&seen.rollout, &seen);
    let made = crate::rollout::decide(&spec, &seen);
    made.plan.calls().count()
}

fn recorded(world: &World) -> Value {
    let annotations = &world.object("Rollout", "web")["metadata"]["annotations"];
    let text = annotations[keys::ROUTERS].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

// RT-ISTIO-013: subsets that kept the hash of a retired set would have no endpoints.
#[test]
fn a_router_that_is_not_named_any_more_lets_go_before_any_pod_goes() {
    let mut world = deployed(World::subsets(steps()));
    world.release("web:2");
    world.settle();
    world.edit(json!({ "strategy": { "canary": { "trafficRouting": null } } }));
    expect![[r#"
        write Rollout web: routers
        write VirtualService routes: let go
        write Rollout web: routers
        write ReplicaSet web-r1: scale from 10 to 8
        event ScalingReplicaSet: Scaled down ReplicaSet web-r1 (revision 1) from 10 to 8
        Paused: CanaryPauseStep | r1 8/8, r2 2/2
    "#]]
    .assert_eq(&world.settle());
    assert!(world.status().canary.weights.is_none());
    assert_eq!(asked(&world), 0);
}

#[test]
fn a_router_that_is_not_named_any_more_lets_go_at_rest() {
    let mut world = deployed(World::subsets(steps()));
    world.edit(json!({ "strategy": { "canary": { "trafficRouting": null } } }));
    expect![[r#"
        write Rollout web: routers
        write VirtualService routes: let go
        write Rollout web: routers
        Healthy | r1 10/10
    "#]]
    .assert_eq(&world.settle());
    assert!(world.status().canary.weights.is_none());
    assert_eq!(asked(&world), 0);
}

#[test]
fn a_switch_to_blue_green_lets_go_of_the_router() {
    let mut world = deployed(World::subsets(steps()));
    world.add_service("active");
    world.edit(
        json!({ "strategy": { "canary": null, "blueGreen": { "activeService": "active" } } }),
    );
    expect![[r#"
        write Rollout web: routers
        write Service active: select revision r1
        event SwitchService: Switched selector for service 'active' from '' to 'r1'
        write VirtualService routes: let go
        write Rollout web: routers
        Healthy | r1 10/10
    "#]]
    .assert_eq(&world.settle());
    assert!(world.status().canary.weights.is_none());
    assert_eq!(asked(&world), 0);
}

// A restart forgets every job, but not that there is something to let go of.
#[test]
fn pods_stay_until_a_failing_router_has_let_go() {
    let mut world = deployed(World::subsets(steps()));
    world.release("web:2");
    world.settle();
    world.router = Router::Fails;
    world.edit(json!({ "strategy": { "canary": { "trafficRouting": null } } }));
    world.settle();
    world.promote_full();
    world.settle();
    assert!(world.status().canary.weights.is_some());
    assert!(world.sizes().contains("r1 10/10"), "{}", world.sizes());
    world.restart();
    world.router = Router::Works;
    world.settle();
    assert!(world.status().canary.weights.is_none());
    assert!(world.sizes().contains("r1 0/0"), "{}", world.sizes());
    assert_eq!(asked(&world), 0);
}

// I9
#[test]
fn a_rollout_that_never_had_a_router_asks_none() {
    let world = deployed(World::canary(steps()));
    assert_eq!(asked(&world), 0);
}

// A canary Service that is gone with the router would take the weight that it had to nowhere.
#[test]
fn weights_of_services_come_back_although_the_block_is_gone() {
    let mut world = deployed(World::routed(steps()));
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary 20, stable 80");
    world.edit(json!({ "strategy": { "canary": {
        "trafficRouting": null, "canaryService": null, "stableService": null,
    } } }));
    // What nobody remembers but the Rollout itself.
    world.restart();
    world.settle();
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(recorded(&world), Value::Null);
    assert_eq!(asked(&world), 0);
}

// I8: a stable set that was scaled down cannot take all of the traffic.
#[test]
fn weights_come_back_when_the_stable_set_can_take_them() {
    let mut world = deployed(World::routed(json!({
        "dynamicStableScale": true, "steps": [{ "setWeight": 50 }, { "pause": {} }],
    })));
    world.release("web:2");
    world.settle();
    world.advance(600);
    world.settle();
    assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
    world.edit(json!({ "strategy": { "canary": {
        "trafficRouting": null, "dynamicStableScale": null,
    } } }));
    world.settle();
    assert_eq!(world.routes(), "canary 50, stable 50");
    world.promote_full();
    world.settle();
    assert_eq!(world.sizes(), "r1 0/0, r2 10/10");
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(recorded(&world), Value::Null);
}

/// How often somebody was told that pods wait for a router no longer.
fn told_late(world: &World) -> usize {
    let events = world.events.iter();
    events
        .filter(|event| event.contains("is waited for no longer"))
        .count()
}

#[test]
fn a_router_that_cannot_let_go_is_waited_for_a_while() {
    for router in [Router::Traps, Router::Hangs] {
        let mut world = dropped(World::subsets(steps()), router.clone());
        world.settle();
        world.promote_full();
        world.settle();
        world.advance(299);
        world.settle();
        assert!(world.sizes().contains("r1 10/10"), "{}", world.sizes());
        assert!(world.status().canary.weights.is_some());
        world.advance(1);
        world.settle();
        assert!(world.sizes().contains("r1 0/0"), "{}", world.sizes());
        assert!(world.status().canary.weights.is_none());
        assert_eq!(told_late(&world), 1, "{:?}", world.events);
        assert_eq!(world.requeue, Requeue::OnChange, "{router:?}");
        // Not forgotten, not even by the next controller.
        world.restart();
        world.router = Router::Works;
        let lines = world.settle();
        assert!(
            lines.contains("write VirtualService routes: let go"),
            "{lines}"
        );
        assert_eq!(recorded(&world), Value::Null);
    }
}

// What was noted on the Rollout is not noted again, so it is said now or never.
#[test]
fn that_a_router_is_waited_for_no_longer_is_said_even_if_the_status_fails() {
    let mut world = dropped(World::subsets(steps()), Router::Traps);
    world.settle();
    world.promote_full();
    world.settle();
    world.advance(300);
    world.faults.push(Fault {
        role: None,
        kind: WriteErrorKind::Unavailable,
        times: 1,
    });
    world.pass();
    assert_eq!(world.faults[0].times, 0, "the status was not tried");
    assert_eq!(told_late(&world), 1, "{:?}", world.events);
    world.settle();
    assert_eq!(told_late(&world), 1, "{:?}", world.events);
}

#[test]
fn a_router_that_is_not_loaded_lets_go_when_it_comes() {
    let mut world = dropped(World::subsets(steps()), Router::Works);
    world.plugins.clear();
    world.settle();
    world.promote_full();
    world.settle();
    assert!(world.sizes().contains("r1 10/10"), "{}", world.sizes());
    assert_eq!(
        recorded(&world)["istio"]["config"]["virtualService"]["name"],
        "routes"
    );
    world.advance(300);
    world.settle();
    assert!(world.sizes().contains("r1 0/0"), "{}", world.sizes());
    world.provide("istio");
    world.settle();
    assert!(world.object("VirtualService", "routes")["spec"]["stable"]["hash"].is_null());
    assert_eq!(recorded(&world), Value::Null);
}

#[test]
fn a_router_that_another_one_replaces_lets_go_before_any_pod_goes() {
    let mut world = deployed(World::subsets(steps()));
    world.provide("other");
    world.release("web:2");
    world.settle();
    world.router = Router::Fails;
    world.edit(json!({ "strategy": { "canary": {
        "trafficRouting": { "istio": null, "other": {} },
    } } }));
    world.settle();
    world.promote_full();
    world.settle();
    assert!(world.sizes().contains("r1 10/10"), "{}", world.sizes());
    world.router = Router::Works;
    for _ in 0..3 {
        world.advance(30);
        world.settle();
    }
    assert!(world.sizes().contains("r1 0/0"), "{}", world.sizes());
    assert_eq!(world.routes(), "canary 0, stable 100");
    let names: Vec<String> = recorded(&world)
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(names, ["other"]);
}

#[test]
fn another_name_of_the_same_plugin_is_the_same_router() {
    let mut world = deployed(World::subsets(steps()));
    world.provide("istio");
    let name = |name: &str| PluginName {
        kind: PluginKind::TrafficRouter,
        name: name.to_owned(),
    };
    let info = world.plugins[&name("istio")].clone();
    world.plugins.insert(name("acme/istio"), info);
    let block =
        world.object("Rollout", "web")["spec"]["strategy"]["canary"]["trafficRouting"]["istio"]
            .clone();
    world.edit(json!({ "strategy": { "canary": {
        "trafficRouting": { "istio": null, "plugins": { "acme/istio": block } },
    } } }));
    let seen = world.observe();
    let spec = crate::rollout::validate(&seen.rollout, &seen);
    let made = crate::rollout::decide(&spec, &seen);
    assert!(made.plan.calls().all(|call| call.ask != Ask::Route(None)));
}

// A Rollout that Argo Rollouts has worked on has no record; the marks on the router's objects are left.
#[test]
fn marks_are_taken_off_where_nothing_else_is_known() {
    let mut world = deployed(World::subsets(steps()));
    world.release("web:2");
    world.settle();
    world.provide("other");
    let mut rollout = world.object("Rollout", "web").clone();
    rollout["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(keys::ROUTERS);
    world.replace("Rollout", "web", rollout);
    world.edit(json!({ "strategy": { "canary": { "trafficRouting": null } } }));
    world.marked.insert("istio".to_owned());
    let lines = world.settle();
    assert!(lines.contains("write VirtualService routes: "), "{lines}");
    let spec = &world.object("VirtualService", "routes")["spec"];
    assert!(spec["stable"]["hash"].is_null());
    assert_eq!(world.routes(), "canary 20, stable 80");
    assert!(world.marked.is_empty());
    assert_eq!(recorded(&world), Value::Null);
    assert_eq!(asked(&world), 0);
}

#[test]
fn a_record_that_cannot_be_read_is_written_anew() {
    let mut world = deployed(World::subsets(steps()));
    let kept = recorded(&world);
    for nonsense in ["", "[]", "nonsense", r#"{"istio":7}"#] {
        let mut rollout = world.object("Rollout", "web").clone();
        rollout["metadata"]["annotations"][keys::ROUTERS] = json!(nonsense);
        world.replace("Rollout", "web", rollout);
        world.settle();
        assert_eq!(recorded(&world), kept, "{nonsense}");
    }
}

// All annotations of an object share 256 KiB.
#[test]
fn a_long_record_is_kept_without_the_blocks() {
    let mut world = World::subsets(steps());
    world.edit(json!({ "strategy": { "canary": { "trafficRouting": {
        "istio": { "note": "x".repeat(20_000) },
    } } } }));
    world.settle();
    assert_eq!(recorded(&world), json!({ "istio": {} }));
    assert_eq!(
        world.settle().lines().count(),
        1,
        "a further pass writes it again"
    );
}

/// A Rollout that is gone, whose router has this answer, and how the pass over it ends.
fn parted(reply: Option<Reply>, seconds: i64, replaced: bool, got: &[Done]) -> (usize, Parted) {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let name = PluginName {
        kind: PluginKind::TrafficRouter,
        name: "mesh".to_owned(),
    };
    let info = PluginInfo {
        digest: "sha256:mesh".to_owned(),
        ..PluginInfo::default()
    };
    let recorded = Recorded {
        config: json!({ "rule": "web" }),
        ..Recorded::default()
    };
    let mut seen = Departed {
        now,
        subject: Subject {
            key: ObjectKey::namespaced("argoproj.io/v1alpha1", "Rollout", "shop", "web"),
            uid: "uid-web".to_owned(),
        },
        routers: Record::from([("mesh".to_owned(), recorded)]),
        until: now + jiff::SignedDuration::from_secs(600),
        replaced,
        plugins: Plugins {
            loaded: Arc::new(BTreeMap::from([(name, info)])),
            ..Plugins::default()
        },
    };
    let first = decide_departed(&seen);
    let call: Option<PluginCall> = first.plan.calls().next().cloned();
    if let (Some(call), Some(reply)) = (call, reply) {
        assert_eq!(call.ask, Ask::Route(None));
        assert_eq!(call.config, json!({ "rule": "web" }));
        seen.plugins.jobs.push(Job {
            slot: call.slot.clone(),
            key: call.key(),
            due: call.due,
            started: now,
            reported: false,
            state: JobState::Finished {
                at: now + jiff::SignedDuration::from_secs(seconds),
                reply: Arc::new(reply),
                fresh: true,
            },
        });
    }
    seen.now = now + jiff::SignedDuration::from_secs(seconds);
    let made = decide_departed(&seen);
    let got = Outcome { done: got.to_vec() };
    (
        made.plan.writes().count(),
        settle_departed(&seen, &made, &got),
    )
}

fn routed(writes: Vec<Write>) -> Reply {
    Reply::Routed(Routed {
        effects: Effects {
            writes,
            ..Effects::default()
        },
        verification: Verification::NotSupported,
        status: None,
    })
}

fn change() -> Write {
    Write {
        target: ObjectKey::namespaced("mesh.example/v1", "Rule", "shop", "web"),
        edit: Edit::MergePatch(json!({ "spec": { "hash": null } })),
        subresource: Subresource::None,
        precondition: Some("7".to_owned()),
        reason: "let go".to_owned(),
    }
}

// RT-ISTIO-013
#[test]
fn routers_let_go_of_a_rollout_that_is_gone() {
    let (writes, waits) = parted(None, 0, false, &[]);
    assert_eq!((writes, waits.over), (0, false), "nobody has answered yet");
    let (writes, changes) = parted(Some(routed(vec![change()])), 0, false, &[]);
    assert_eq!(
        (writes, changes.over),
        (1, false),
        "the last pass has nothing to write"
    );
    let (writes, done) = parted(Some(routed(Vec::new())), 0, false, &[]);
    assert_eq!((writes, done.over), (0, true));
    assert!(done.events.is_empty());
}

#[test]
fn a_rollout_of_the_same_name_has_what_the_one_before_left() {
    let (writes, parted) = parted(Some(routed(vec![change()])), 0, true, &[]);
    assert_eq!((writes, parted.over), (0, true));
    assert!(parted.events.is_empty());
}

#[test]
fn a_router_that_does_not_let_go_of_a_rollout_that_is_gone_is_given_up() {
    let refusal = |disposition| Reply::Refused(away(disposition));
    let broken = Reply::Broken {
        reason: "Trapped".to_owned(),
        message: "unreachable".to_owned(),
    };
    let failed = Done::Failed(WriteError::new(
        WriteErrorKind::Invalid,
        "rules is forbidden",
    ));
    let cases = [
        (None, vec![], "it has not answered yet"),
        (
            Some(refusal(Disposition::Retry)),
            vec![],
            "the mesh is away",
        ),
        (Some(broken), vec![], "mesh: Trapped: unreachable"),
        (
            Some(routed(vec![change()])),
            vec![failed],
            "rules is forbidden",
        ),
    ];
    for (reply, got, why) in cases {
        let (_, early) = parted(reply.clone(), 599, false, &got);
        assert!(!early.over && early.events.is_empty(), "{why}");
        assert_ne!(early.requeue, Requeue::OnChange, "{why}");
        let (_, late) = parted(reply, 600, false, &got);
        assert!(late.over, "{why}");
        let told: Vec<&str> = late
            .events
            .iter()
            .map(|event| event.message.as_str())
            .collect();
        let wanted = format!("Router mesh has not let go of the deleted Rollout: {why}");
        assert_eq!(told, [wanted]);
    }
    // One that never will has nothing to be waited for.
    let (_, refused) = parted(Some(refusal(Disposition::Fail)), 0, false, &[]);
    assert!(refused.over);
}

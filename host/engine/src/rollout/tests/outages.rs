//! Every line of the order names an outage. Here each is told twice: as it is, and without its line, when it must happen.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::world::{Fault, Router, World};
use crate::keys;
use crate::plan::{Requeue, Role, WriteErrorKind};
use crate::rollout::order::{LEFT_OUT, gates, prerequisites};

/// What a line prevents, and a story that comes to grief without it.
type Outage = (&'static str, fn());

const OUTAGES: &[Outage] = &[
    (
        "a preview of a revision that could not even be created",
        || {
            let mut world = deployed(World::blue_green(json!({})));
            world.release("web:2");
            fail(&mut world, Role::CreateSet, WriteErrorKind::Invalid);
            passes(&mut world, 5);
            assert_eq!(world.selects("preview"), "r1");
        },
    ),
    (
        "a weight that lands on a Service which still selects the set before",
        || {
            let mut world = deployed(World::routed(steps()));
            world.release("web:2");
            fail(&mut world, Role::Select, WriteErrorKind::Invalid);
            for _ in 0..10 {
                world.pass();
                assert_eq!(world.routes(), "canary 0, stable 100");
            }
        },
    ),
    (
        "pods taken away although their replacement could not even be created",
        || {
            let mut world = deployed(World::canary(steps()));
            world.release("web:2");
            fail(&mut world, Role::CreateSet, WriteErrorKind::Invalid);
            passes(&mut world, 5);
            assert_eq!(world.sizes(), "r1 10/10");
        },
    ),
    (
        "pods taken away although their replacement could not even be asked for",
        || {
            let mut world = at_20(World::canary(steps()));
            fail(&mut world, Role::ScaleUp, WriteErrorKind::Invalid);
            world.abort();
            passes(&mut world, 5);
            assert_eq!(world.sizes(), "r1 8/8, r2 2/2");
        },
    ),
    ("pods taken away while a Service still selects them", || {
        let mut block = steps();
        block["canaryService"] = json!("canary");
        let mut world = at_20(World::canary(block));
        fail(&mut world, Role::Select, WriteErrorKind::Invalid);
        world.abort();
        passes(&mut world, 5);
        assert_eq!(world.selects("canary"), "r2");
        assert_eq!(world.sizes(), "r1 10/10, r2 2/2");
    }),
    (
        "pods taken away while the router still sends them traffic",
        super::order::fewer_pods_come_after_the_router,
    ),
    ("a Service that selects no ready pod", || {
        let mut world = deployed(World::routed(steps()));
        world.pods_get_ready(false);
        world.release("web:2");
        world.settle();
        assert_eq!(world.selects("canary"), "r1");
    }),
    (
        "the next revision served the share of the one before, past its own steps",
        || {
            let mut world = deployed(World::routed(json!({ "steps": [
                { "setCanaryScale": { "replicas": 10 } }, { "setWeight": 50 }, { "pause": {} },
            ] })));
            world.release("web:2");
            world.settle();
            world.router = Router::Fails;
            world.release("web:3");
            world.settle();
            assert_eq!(world.sizes(), "r1 10/10, r2 10/10, r3 10/10");
            assert_eq!(world.selects("canary"), "r2");
        },
    ),
    (
        "half of the traffic on the one pod of the next revision",
        || {
            let mut world = at_50(World::routed(dynamic()));
            world.pods_get_ready(false);
            world.router = Router::Fails;
            world.abort();
            world.settle();
            assert_eq!(world.selects("canary"), "r2");
            assert_eq!(world.sizes(), "r1 5/8, r2 5/5");
        },
    ),
    (
        "a subset that carries traffic labelled with another revision",
        || {
            let mut world = at_50(World::subsets(steps()));
            world.pods_get_ready(false);
            world.release("web:3");
            while world.routes() == "canary 50, stable 50" {
                world.pass();
            }
            let canary = &world.object("VirtualService", "routes")["spec"]["canary"];
            assert_eq!(canary["weight"], 0);
            assert_eq!(canary["hash"], json!(world.hash(2)));
        },
    ),
    ("a share on pods that are not there yet", || {
        let mut world = at_20(World::routed(steps()));
        world.pods_get_ready(false);
        world.promote();
        world.settle();
        assert_eq!(world.sizes(), "r1 10/10, r2 2/5");
        assert_eq!(world.routes(), "canary 20, stable 80");
    }),
    (
        "all of the traffic on a stable set that was scaled down",
        || {
            let mut block = dynamic();
            block["steps"] = json!([
                { "setWeight": 50 }, { "pause": {} }, { "setWeight": 20 }, { "pause": {} },
            ]);
            let mut world = deployed(World::routed(block));
            world.release("web:2");
            world.settle();
            assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
            world.pods_get_ready(false);
            world.promote();
            world.settle();
            assert_eq!(world.routes(), "canary 50, stable 50");
        },
    ),
    (
        "stable pods gone while a failing router still sends them traffic",
        || {
            let mut world = deployed(World::routed(dynamic()));
            world.router = Router::Lags;
            world.release("web:2");
            world.settle();
            assert_eq!(world.routes(), "canary 20, stable 80");
            assert_eq!(world.sizes(), "r1 10/10, r2 2/2");
        },
    ),
    (
        "the pods that may be missing taken twice, by a restart and by an update",
        || {
            let mut world = restarting(at_20(World::canary(steps())));
            // The pods of the stable set are new already, those of the canary are gone.
            while !world.ages(2).is_empty() {
                world.pass();
            }
            assert_eq!(world.ages(1), [0; 8]);
            world.promote();
            world.settle();
            assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
        },
    ),
    (
        "canary pods gone after an abort that the router has not carried out",
        || {
            let mut world = at_50(World::routed(dynamic()));
            world.router = Router::Lags;
            world.abort();
            world.settle();
            assert_eq!(world.sizes(), "r1 10/10, r2 5/5");
        },
    ),
    (
        "the pods that may be missing taken twice, by a restart and by an abort",
        || {
            let mut world = restarting(at_20(World::canary(tight())));
            evicts(&mut world);
            world.abort();
            world.settle();
            assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
        },
    ),
    (
        "a canary announced for removal while the router still sends to it",
        || {
            let mut world = at_20(World::routed(steps()));
            world.router = Router::Fails;
            world.abort();
            world.settle();
            assert_eq!(deadline(&world, 2), Value::Null);
        },
    ),
    (
        "the canary's pods gone before the stable set has its own back",
        || {
            let mut world = at_20(World::routed(steps()));
            world.pods_get_ready(false);
            world.pods_ready(1, 7);
            world.abort();
            world.settle();
            assert_eq!(world.routes(), "canary 0, stable 100");
            assert_eq!(deadline(&world, 2), Value::Null);
        },
    ),
    ("a Service or subset without endpoints", || {
        let mut world = at_20(World::routed(steps()));
        world.pods_get_ready(false);
        world.release("web:3");
        world.settle();
        assert_eq!(world.selects("canary"), "r2");
        assert_eq!(world.sizes(), "r1 10/10, r2 2/2, r3 0/2");
    }),
    (
        "the set that carries a recorded weight scaled to zero after a change of mind",
        || {
            let mut world = at_50(World::subsets(dynamic()));
            world.pods_get_ready(false);
            world.release("web:3");
            world.settle();
            world.pods_ready(1, 7);
            world.settle();
            assert_eq!(world.routes(), "canary 30, stable 70");
            assert_eq!(world.sizes(), "r1 7/10, r2 5/5, r3 0/2");
        },
    ),
    (
        "the previous stable set announced for removal while the router still sends to it",
        || {
            let mut world = at_50(World::subsets(steps()));
            world.router = Router::Lags;
            world.promote_full();
            world.settle();
            assert_eq!(world.status().stable_rs, world.hash(2));
            assert_eq!(deadline(&world, 1), Value::Null);
        },
    ),
    (
        "the pods that may be missing taken twice, by a restart and by a clean-up",
        || {
            let mut world = at_20(World::canary(tight()));
            // Paused by hand, the set in between stays, and pods are restarted all the same.
            world.edit(json!({ "paused": true }));
            world.release("web:3");
            let mut world = restarting(world);
            world.numbers_lag = 2;
            evicts(&mut world);
            world.edit(json!({ "paused": false }));
            world.settle();
            assert_eq!(world.sizes(), "r1 8/8, r2 0/0, r3 2/2");
        },
    ),
    (
        "traffic to a set of several pods whose last ready one a restart has taken",
        || {
            let mut block = steps();
            block["maxUnavailable"] = json!(5);
            let mut world = restarting(at_20(World::routed(block)));
            world.settle();
            assert_eq!(world.ages(2), [0, 0]);
        },
    ),
    ("every pod of a Rollout gone at once, by a restart", || {
        let mut world = restarting(at_20(World::canary(steps())));
        world.settle();
        assert_eq!(world.ages(1), [0; 8]);
    }),
    (
        "the pods that may be missing taken twice in one pass, by a restart and by smaller sets",
        || {
            let mut world = restarting(at_20(World::canary(tight())));
            world.pass();
            world.abort();
            world.settle();
            assert_eq!(world.sizes(), "r1 10/10, r2 0/0");
        },
    ),
    (
        "steps that go on although the data path stays where it was",
        || {
            let mut world = deployed(World::routed(steps()));
            world.router = Router::Lags;
            world.release("web:2");
            world.settle();
            assert_eq!(world.status().current_step_index, Some(0));
        },
    ),
    // TRR-009
    ("a promotion that the data path has not followed", || {
        let mut world = at_50(World::routed(steps()));
        world.router = Router::Lags;
        world.promote();
        world.settle();
        assert_eq!(world.routes(), "canary 100, stable 0");
        assert_eq!(world.status().stable_rs, world.hash(1));
        assert_eq!(world.selects("stable"), "r1");
        assert_eq!(world.sizes(), "r1 10/10, r2 10/10");
    }),
    ("a revision marked stable that no user reaches", || {
        let mut world = deployed(World::blue_green(json!({ "autoPromotionEnabled": false })));
        world.release("web:2");
        world.settle();
        assert_eq!(world.status().stable_rs, world.hash(1));
    }),
];

fn steps() -> Value {
    json!({ "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": {} }] })
}

fn dynamic() -> Value {
    let mut block = steps();
    block["dynamicStableScale"] = json!(true);
    block
}

/// Two pods may be missing, none may be too many.
fn tight() -> Value {
    let mut block = steps();
    block["maxSurge"] = json!(0);
    block["maxUnavailable"] = json!(2);
    block
}

fn deployed(mut world: World) -> World {
    world.settle();
    world
}

fn at_20(world: World) -> World {
    let mut world = deployed(world);
    world.release("web:2");
    world.settle();
    world
}

fn at_50(world: World) -> World {
    let mut world = at_20(world);
    world.promote();
    world.settle();
    world
}

/// A restart is asked for, and the sets are late to show who is gone.
fn restarting(mut world: World) -> World {
    world.settle();
    world.numbers_lag = 4;
    world.advance(10);
    restart(&mut world);
    world
}

/// Passes until pods are gone, of which the sets know nothing yet.
fn evicts(world: &mut World) {
    while world.hidden.is_empty() {
        world.pass();
    }
}

fn passes(world: &mut World, count: usize) {
    for _ in 0..count {
        world.pass();
    }
}

fn fail(world: &mut World, role: Role, kind: WriteErrorKind) {
    world.faults.push(Fault {
        role: Some(role),
        kind,
        times: 1000,
    });
}

fn restart(world: &mut World) {
    let now = sluice_api::Time(world.now).truncated().to_string();
    world.ask_for_restart(json!(now));
}

fn deadline(world: &World, revision: usize) -> Value {
    let set = world.object("ReplicaSet", &format!("web-{}", world.hash(revision)));
    set["metadata"]["annotations"][keys::SCALE_DOWN_DEADLINE].clone()
}

/// Whether the story ends well without this line.
fn ends_well_without(line: Option<&'static str>, story: fn()) -> bool {
    LEFT_OUT.set(line);
    let end = catch_unwind(AssertUnwindSafe(story));
    LEFT_OUT.set(None);
    end.is_ok()
}

// TRR-002, TRR-004, TRR-006, SVC-002, CAN-024, SCD-010; the order of REC-017 and REC-018 as far as it matters
#[test]
fn each_line_of_the_order_prevents_the_outage_that_it_names() {
    let lines: Vec<&str> = prerequisites()
        .map(|line| line.prevents)
        .chain(gates().map(|line| line.prevents))
        .collect();
    let told: Vec<&str> = OUTAGES.iter().map(|(line, _)| *line).collect();
    assert_eq!(told, lines, "every line has its story, in order");
    let mut wrong = Vec::new();
    for (line, story) in OUTAGES {
        if !ends_well_without(None, *story) {
            wrong.push(format!("happens all the same: {line}"));
        }
        if ends_well_without(Some(line), *story) {
            wrong.push(format!("does not happen without its line: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_restart_waits_for_nobody_and_ends() {
    let mut world = at_20(World::canary(steps()));
    world.advance(10);
    restart(&mut world);
    world.settle();
    assert_eq!(world.requeue, Requeue::OnChange);
    assert_eq!(world.status().restarted_at, world.rollout().spec.restart_at);
}

//! Whatever people and the cluster do, in whatever order: every pass keeps the invariants, every state comes to rest, and
//! a promotion in full ends it well.

use serde_json::{Value, json};

use super::world::{Disturbance, How, Router, World};
use crate::plan::Requeue;

/// A sequence that depends on the seed only.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Constants of the MMIX generator; the high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn act(world: &mut World, dice: &mut Dice, log: &mut Vec<String>) {
    let roll = dice.roll(25);
    let number = i32::try_from(dice.roll(12)).unwrap();
    let what = match roll {
        0 | 1 => {
            let image = format!("web:{}", dice.roll(5));
            world.release(&image);
            format!("release {image}")
        }
        2..=4 => {
            world.promote();
            "promote".to_owned()
        }
        5 => {
            world.abort();
            "abort".to_owned()
        }
        6 => {
            world.retry();
            "retry".to_owned()
        }
        7 => {
            world.promote_full();
            "promote in full".to_owned()
        }
        8 => {
            world.edit(json!({ "replicas": number }));
            format!("{number} replicas")
        }
        9 | 10 => {
            let ready = dice.roll(2) == 0;
            world.pods_get_ready(ready);
            format!("pods get ready: {ready}")
        }
        11 => {
            let revision = world.last_revision();
            world.pods_ready(revision, number);
            format!("{number} pods of r{revision}")
        }
        12 | 13 => {
            let routers = [
                Router::Works,
                Router::Verifies,
                Router::Lags,
                Router::Awaits,
                Router::Fails,
                Router::Traps,
                Router::Hangs,
            ];
            world.router = routers[usize::try_from(dice.roll(7)).unwrap()].clone();
            format!("router {:?}", world.router)
        }
        14 => {
            let seconds = i64::try_from(dice.roll(700)).unwrap();
            world.advance(seconds);
            format!("{seconds} s")
        }
        15 => {
            let how = [How::Crash, How::Fail, How::Lose][usize::try_from(dice.roll(3)).unwrap()];
            let at = world.writes + 1 + usize::try_from(dice.roll(4)).unwrap();
            world.disturbance = Some(Disturbance { at, how });
            format!("{how:?} at write {at}")
        }
        16 => {
            world.restart();
            "restart".to_owned()
        }
        17 => {
            let phase = ["Running", "Successful", "Failed", "Inconclusive", "Error"]
                [usize::try_from(dice.roll(5)).unwrap()];
            world.every_run(phase);
            format!("analysis {phase}")
        }
        18 => {
            let paused = dice.roll(3) == 0;
            world.edit(json!({ "paused": paused }));
            format!("paused: {paused}")
        }
        19 => {
            let now = sluice_api::Time(world.now).truncated().to_string();
            world.ask_for_restart(json!(now));
            "restart pods".to_owned()
        }
        20 if world.status().current_step_index.is_some() => {
            world.skip_step();
            "skip".to_owned()
        }
        23 => {
            world.numbers_lag = usize::try_from(dice.roll(4)).unwrap();
            format!("numbers {} passes late", world.numbers_lag)
        }
        24 => {
            world.budget = (dice.roll(2) == 0).then_some(0);
            format!("evictions allowed: {}", world.budget.is_none())
        }
        _ => {
            if let Requeue::At(time) = world.requeue
                && time > world.now
            {
                world.now = time;
            }
            "wait".to_owned()
        }
    };
    log.push(what);
}

fn walk(seed: u64, name: &str, mut world: World) {
    let mut dice = Dice(seed);
    let mut log = Vec::new();
    world.add_template("checks");
    world.story = format!("{name}, seed {seed}");
    world.settle();
    for _ in 0..25 {
        act(&mut world, &mut dice, &mut log);
        world.story = format!("{name}, seed {seed}: {}", log.join(", "));
        world.settle();
    }
    // Everybody means well from here on.
    world.disturbance = None;
    world.numbers_lag = 0;
    world.budget = None;
    world.router = Router::Works;
    world.edit(json!({ "paused": false, "replicas": 4 }));
    world.pods_get_ready(true);
    world.restart();
    world.release("web:good");
    world.settle();
    world.promote_full();
    world.settle();
    let mut slept = 0;
    while world.requeue != Requeue::OnChange && slept < 10 {
        world.sleep();
        slept += 1;
    }
    let last = world.last_revision();
    assert_eq!(world.phase(), "Healthy", "{}", world.story);
    assert!(
        world.sizes().ends_with(&format!("r{last} 4/4")),
        "{}: {}",
        world.sizes(),
        world.story
    );
    let left: i32 = world.all_sizes().iter().sum();
    assert_eq!(left, 4, "{}: {}", world.sizes(), world.story);
}

fn block(extra: Value) -> Value {
    let mut block = json!({
        "analysis": { "templates": [{ "templateName": "checks" }], "startingStep": 1 },
        "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 50 }, { "pause": { "duration": 60 } }, { "setWeight": 80 }],
    });
    super::world::merge(&mut block, &extra);
    block
}

/// Enough for every run of the tests; more have been tried.
const SEEDS: std::ops::Range<u64> = 0..6;

/// Every seed has another variant of the strategy.
fn variant(seed: u64, variants: &[Value]) -> Value {
    let count = u64::try_from(variants.len()).unwrap();
    variants[usize::try_from(seed % count).unwrap()].clone()
}

// CAN-008, SVC-002, TRR-004, SCD-010
#[test]
fn a_canary_survives_any_sequence() {
    let variants = [
        json!({ "maxSurge": 1, "maxUnavailable": 0 }),
        json!({ "maxSurge": 0, "maxUnavailable": 1 }),
        json!({ "canaryService": "canary", "stableService": "stable" }),
        json!({ "replicaProgressThreshold": { "type": "Percent", "value": 50 } }),
    ];
    for seed in SEEDS {
        let extra = variant(seed, &variants);
        walk(seed, "basic", World::canary(block(extra.clone())));
        walk(seed, "no steps", World::canary(extra));
    }
}

#[test]
fn a_canary_with_a_router_survives_any_sequence() {
    let variants = [
        json!({}),
        json!({ "abortScaleDownDelaySeconds": 0 }),
        json!({ "minPodsPerReplicaSet": 2 }),
        json!({ "abortScaleDownDelaySeconds": 20 }),
    ];
    for seed in SEEDS {
        let extra = variant(seed, &variants);
        walk(seed, "routed", World::routed(block(extra.clone())));
        walk(seed, "subsets", World::subsets(block(extra.clone())));
        let mut dynamic = extra;
        dynamic["dynamicStableScale"] = json!(true);
        walk(seed, "dynamic", World::routed(block(dynamic.clone())));
        walk(seed, "dynamic subsets", World::subsets(block(dynamic)));
    }
}

#[test]
fn blue_green_survives_any_sequence() {
    let variants = [
        json!({ "autoPromotionSeconds": 30 }),
        json!({ "autoPromotionEnabled": false, "previewReplicaCount": 1 }),
        json!({ "previewReplicaCount": 2, "scaleDownDelaySeconds": 5, "abortScaleDownDelaySeconds": 0 }),
        json!({ "autoPromotionEnabled": false, "scaleDownDelayRevisionLimit": 1 }),
    ];
    let analysis = json!({ "templates": [{ "templateName": "checks" }] });
    for seed in SEEDS {
        let mut block = variant(seed, &variants);
        walk(seed, "blue-green", World::blue_green(block.clone()));
        block["prePromotionAnalysis"] = analysis.clone();
        block["postPromotionAnalysis"] = analysis.clone();
        walk(seed, "analysed", World::blue_green(block));
    }
}

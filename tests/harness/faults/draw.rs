//! Draws the events of a history. What is likely in production is likely here; what is terrible comes often enough.

use std::time::Duration;

use serde_json::json;

use super::dice::Dice;
use super::history::{
    CrashAt, Event, Fate, Misbehaviour, Mood, Role, Target, Trouble, WatchTrouble, What,
};
use super::scene::{self, Scene, Strategy};

/// Kinds that controllers watch.
const WATCHED: &[&str] = &[
    "replicasets",
    "rollouts",
    "services",
    "analysisruns",
    "virtualservices",
];

/// Draws the events.
pub(super) fn events(dice: &mut Dice, scene: &Scene) -> Vec<Event> {
    let mut timed: Vec<(Duration, What)> = Vec::new();
    let mut at = dice.millis(500, 6000);
    let mut version = 1;
    let mut held = false;
    for index in 0..dice.between(1, 7) {
        let what = if index == 0 {
            release(dice, &mut version, true)
        } else {
            act(dice, scene, &mut version)
        };
        // Who stops a Rollout lets it go on.
        if what == What::Hold(true) {
            held = true;
        }
        timed.push((at, what));
        at += match dice.between(0, 3) {
            0 => dice.millis(1, 800),
            1 => dice.millis(800, 5000),
            _ => dice.millis(3000, 25_000),
        };
    }
    if held {
        timed.push((at, What::Hold(false)));
        at += dice.millis(100, 3000);
    }
    if dice.chance(75) {
        let acts: Vec<Duration> = timed.iter().map(|(at, _)| *at).collect();
        for _ in 0..dice.between(1, 5) {
            let when = match dice.pick(&acts) {
                // What goes wrong while something changes does the most harm.
                Some(act) if dice.chance(50) => {
                    (act + dice.millis(0, 5000)).saturating_sub(Duration::from_millis(1500))
                }
                _ => dice.millis(0, u64::try_from(at.as_millis()).unwrap_or(1000)),
            };
            let what = fault(dice, scene);
            let hangs = matches!(what, What::Plugin(_, Misbehaviour::Hangs, _));
            let ill = matches!(what, What::Metrics(_));
            timed.push((when, what));
            if ill && dice.chance(60) {
                // The backend gets well while an update still asks it.
                let well = when + dice.millis(500, 20_000);
                timed.push((well, What::Metrics(Mood::Answers)));
            }
            if hangs && dice.chance(50) {
                // Somebody changes his mind while a guest is at work.
                let release = release(dice, &mut version, false);
                timed.push((when + dice.millis(0, 1000), release));
                timed.push((when + dice.millis(1000, 5000), What::Abort));
            }
        }
    }
    timed.sort_by_key(|(at, _)| *at);
    timed
        .into_iter()
        .enumerate()
        .map(|(number, (at, what))| Event { number, at, what })
        .collect()
}

fn release(dice: &mut Dice, version: &mut u32, first: bool) -> What {
    let fate = match dice.weighted(&[70, 12, 10, 8]) {
        0 => Fate::Good(dice.between(1, 4)),
        1 => Fate::Erring,
        2 => Fate::Unready,
        _ => Fate::Crashing,
    };
    if !first && dice.chance(30) {
        // Back to what was there before.
        return What::Release {
            version: u32::try_from(dice.between(1, u64::from(*version))).unwrap_or(1),
            fate: Fate::Good(1),
        };
    }
    *version += 1;
    What::Release {
        version: *version,
        fate,
    }
}

fn act(dice: &mut Dice, scene: &Scene, version: &mut u32) -> What {
    let routed = scene.strategy == Strategy::Routed;
    let canary = scene.strategy != Strategy::BlueGreen;
    match dice.weighted(&[24, 16, 12, 8, 12, 8, 3, 4, 4, 5, 4, 10]) {
        0 => release(dice, version, false),
        1 => What::Promote,
        2 => What::Abort,
        3 if canary && dice.chance(25) => What::SkipAll,
        3 if canary && dice.chance(35) => What::SkipOne,
        3 => What::PromoteFull,
        4 => What::Scale(i32::try_from(dice.between(0, 7)).unwrap_or(1)),
        5 => What::Retry,
        6 => What::RestartPods,
        7 => What::Hold(true),
        8 if canary => What::Steps(scene::steps(dice, routed)),
        8 => What::Promote,
        9 => What::KillPod(number(dice, 5)),
        10 => What::SickPod(number(dice, 5), dice.millis(500, 20_000)),
        _ => by_hand(dice, scene),
    }
}

fn by_hand(dice: &mut Dice, scene: &Scene) -> What {
    let role = dice
        .pick(&[Role::New, Role::Stable, Role::Old])
        .unwrap_or(Role::New);
    let routed = scene.strategy == Strategy::Routed;
    match dice.weighted(&[20, 20, 15, 12, 12, 12, 10, 10]) {
        0 => What::DeleteSet(role),
        1 => What::ResizeSet(role, i32::try_from(dice.between(0, 7)).unwrap_or(1)),
        2 => What::Repoint(role),
        3 => What::LoseService(dice.millis(200, 15_000)),
        4 if routed => What::LoseRoutes(dice.millis(200, 15_000)),
        5 if routed => What::EditWeight(i32::try_from(dice.between(0, 100)).unwrap_or(0)),
        6 => What::DeleteRun,
        _ => What::Unannotate(role),
    }
}

fn fault(dice: &mut Dice, scene: &Scene) -> What {
    match dice.weighted(&[34, 20, 14, 12, 14, 3, 4, 3]) {
        0 => requests(dice, scene),
        1 => What::Watches(
            match dice.weighted(&[20, 20, 8, 15, 15, 10, 12]) {
                0 => WatchTrouble::Closed,
                1 => WatchTrouble::Broken,
                2 => WatchTrouble::HalfOpen,
                3 => WatchTrouble::Expired,
                4 => WatchTrouble::Forgotten,
                5 => WatchTrouble::Refused,
                _ => WatchTrouble::Outdated,
            },
            match dice.pick(WATCHED).unwrap_or("replicasets") {
                // What the routes name.
                "virtualservices" if scene.subsets && dice.chance(50) => "destinationrules",
                plural => plural,
            },
        ),
        2 => What::Metrics(
            dice.pick(&[Mood::Fails, Mood::Hangs, Mood::Raves, Mood::Unreachable])
                .unwrap_or(Mood::Fails),
        ),
        3 => What::Plugin(
            if scene.strategy == Strategy::Routed {
                dice.pick(&["istio", "istio", "prometheus"])
                    .unwrap_or("istio")
            } else {
                "prometheus"
            },
            dice.pick(&[
                Misbehaviour::Traps,
                Misbehaviour::Hangs,
                Misbehaviour::Raves,
            ])
            .unwrap_or(Misbehaviour::Traps),
            dice.millis(500, 20_000),
        ),
        4 => What::Crash(match dice.between(0, 4) {
            0 => CrashAt::Now,
            1 | 2 => CrashAt::BeforeWrite(number(dice, 8)),
            _ => CrashAt::AfterWrite(number(dice, 8)),
        }),
        5 => What::Replace,
        6 if scene.leased.is_some() => What::LeaseUnreachable(dice.millis(2000, 30_000)),
        7 if scene.leased.is_some() => What::LeaseStolen,
        _ => requests(dice, scene),
    }
}

fn requests(dice: &mut Dice, scene: &Scene) -> What {
    let trouble = match dice.weighted(&[22, 14, 6, 12, 16, 10, 14, 6]) {
        0 => Trouble::Conflict,
        1 => Trouble::Refused500,
        2 => Trouble::Overloaded,
        3 => Trouble::Lost,
        4 => Trouble::AnswerLost,
        5 => Trouble::ToldFailure,
        6 => Trouble::Slow(dice.millis(20, 4000)),
        _ => Trouble::StaleLists,
    };
    let target = match trouble {
        Trouble::StaleLists => Target::Everything,
        Trouble::Conflict | Trouble::AnswerLost | Trouble::ToldFailure => writes(dice, scene),
        _ if dice.chance(30) => Target::Everything,
        _ => writes(dice, scene),
    };
    let percent = dice.pick(&[20, 50, 100]).unwrap_or(50);
    What::Requests(trouble, target, dice.millis(200, 12_000), percent)
}

fn writes(dice: &mut Dice, scene: &Scene) -> Target {
    match dice.between(0, 5) {
        0 | 1 => Target::Writes,
        2 => Target::WritesOf("replicasets"),
        3 => Target::WritesOf("rollouts"),
        4 => Target::WritesOf("services"),
        _ => Target::WritesOf(match dice.between(0, 2) {
            0 => "analysisruns",
            1 if scene.subsets => "destinationrules",
            _ => "virtualservices",
        }),
    }
}

fn number(dice: &mut Dice, most: u64) -> u32 {
    u32::try_from(dice.between(0, most)).unwrap_or(0)
}

/// A patch of the Rollout that a user makes.
pub(super) fn release_patch(version: u32, fate: Fate) -> serde_json::Value {
    let mut template = scene::pod_template(version, fate);
    // A template as a user would write it: what it does not say is gone.
    let annotations = template
        .pointer_mut("/metadata/annotations")
        .and_then(serde_json::Value::as_object_mut);
    if let Some(annotations) = annotations {
        for name in ["ready-after", "error-rate", "never-ready", "crash-after"] {
            annotations
                .entry(format!("simulation.sluice.dev/{name}"))
                .or_insert(serde_json::Value::Null);
        }
    }
    json!({ "spec": { "template": template } })
}

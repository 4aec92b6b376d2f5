//! Canary steps: what they say, and which weight and size are in force at a step.

use serde_json::{Value, json};
use sluice_api as api;

use crate::rollout::steps::{CanaryScale, Step, display, pause_duration, scale_at, weight_at};

fn step(step: Value) -> api::CanaryStep {
    serde_json::from_value(step).unwrap()
}

fn steps(steps: Value) -> Vec<Step> {
    let steps: Vec<api::CanaryStep> = serde_json::from_value(steps).unwrap();
    steps
        .iter()
        .map(|step| Step::parse(step).unwrap())
        .collect()
}

// STP-009
#[test]
fn a_step_is_shown_as_events_show_it() {
    let rows = [
        (json!({ "setWeight": 20 }), "setWeight: 20"),
        (json!({ "pause": {} }), "pause"),
        (json!({ "pause": { "duration": 10 } }), "pause: 10"),
        (json!({ "pause": { "duration": "1h" } }), "pause: 1h"),
        (json!({ "experiment": { "templates": [] } }), "experiment"),
        (json!({ "analysis": {} }), "analysis"),
        (
            json!({ "setCanaryScale": { "weight": 5 } }),
            "setCanaryScale{weight: 5}",
        ),
        (
            json!({ "setCanaryScale": { "matchTrafficWeight": true } }),
            "setCanaryScale{matchTrafficWeight: true}",
        ),
        (
            json!({ "setCanaryScale": { "replicas": 3 } }),
            "setCanaryScale{replicas: 3}",
        ),
        (
            json!({ "plugin": { "name": "acme/gate" } }),
            "plugin: acme/gate",
        ),
        (
            json!({ "setHeaderRoute": { "name": "beta" } }),
            "setHeaderRoute: beta",
        ),
        (
            json!({ "setMirrorRoute": { "name": "mirror" } }),
            "setMirrorRoute: mirror",
        ),
        (
            json!({ "setCanaryScale": {}, "setHeaderRoute": { "name": "beta" } }),
            "setHeaderRoute: beta",
        ),
        (json!({}), "invalid"),
    ];
    for (spec, expected) in rows {
        assert_eq!(display(&step(spec.clone())), expected, "{spec}");
    }
}

// STP-002
#[test]
fn a_pause_lasts_seconds_a_duration_or_until_promoted() {
    let seconds = |duration: Value| {
        let pause = step(json!({ "pause": { "duration": duration } }))
            .pause
            .unwrap();
        pause_duration(&pause).map(|length| length.map(|length| length.as_secs()))
    };
    let rows = [
        (Value::Null, Some(None)),
        (json!(0), Some(Some(0))),
        (json!(15), Some(Some(15))),
        (json!("15"), Some(Some(15))),
        (json!("1h30m"), Some(Some(5400))),
        (json!("1500ms"), Some(Some(1))),
        (json!(-1), Some(Some(-1))),
        (json!("soon"), None),
        (json!("1d"), None),
    ];
    for (duration, expected) in rows {
        assert_eq!(seconds(duration.clone()).ok(), expected, "{duration}");
    }
}

// VAL-025: what a step says is done, whatever else it says.
#[test]
fn a_step_with_several_things_has_them_all() {
    let both = json!({ "setCanaryScale": { "replicas": 1 }, "setWeight": 5 });
    let step_of = |value: &Value| Step::parse(&step(value.clone()));
    let parsed = step_of(&both).unwrap();
    assert_eq!(parsed.scale, Some(CanaryScale::Replicas(1)));
    assert_eq!(parsed.weight, Some(5));
    assert_eq!(step_of(&json!({})), None);
}

// CAN-002
#[test]
fn the_last_weight_at_or_before_the_step_counts() {
    let steps = steps(
        json!([{ "pause": {} }, { "setWeight": 20 }, { "pause": {} }, { "setWeight": 0 }, { "analysis": {} }]),
    );
    let weights: Vec<i32> = (0..6).map(|index| weight_at(&steps, index)).collect();
    assert_eq!(weights, [0, 20, 20, 0, 0, 0]);
}

// CAN-021, STP-005
#[test]
fn a_fixed_size_counts_until_it_is_matched_to_the_weight_or_the_steps_are_over() {
    let steps = steps(json!([
        { "setWeight": 20 },
        { "setCanaryScale": { "replicas": 3, "weight": 50 } },
        { "pause": {} },
        { "setCanaryScale": { "matchTrafficWeight": true } },
        { "setWeight": 30 },
        { "setCanaryScale": { "weight": 25 } },
    ]));
    let sizes: Vec<Option<CanaryScale>> = (0..7).map(|index| scale_at(&steps, index)).collect();
    let three = Some(CanaryScale::Replicas(3));
    assert_eq!(
        sizes,
        [
            None,
            three,
            three,
            None,
            None,
            Some(CanaryScale::Weight(25)),
            None
        ]
    );
}

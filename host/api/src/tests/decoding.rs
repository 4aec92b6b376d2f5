//! Malformed objects: one bad field hides nothing else.

use serde_json::{Value, json};

use super::wire::rich_canary;
use crate::*;

/// Sets a field of an otherwise good Rollout and decodes it.
fn decode_with(pointer: &str, value: Value) -> Decoded<Rollout> {
    let mut rollout = rich_canary();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = rollout.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        _ => parent[key] = value,
    }
    decode(rollout).unwrap()
}

fn check(pointer: &str, value: Value, problems: &[&str]) -> Rollout {
    let decoded = decode_with(pointer, value);
    let found: Vec<String> = decoded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found, problems);
    // Whatever was wrong, the object is there, and so is the end of it.
    assert_eq!(decoded.object.metadata.name, "shop");
    assert_eq!(decoded.object.status.canary.current_experiment, "e");
    decoded.object
}

// BASE-018, CTL-013
#[test]
fn quantities_are_nobody_s_business() {
    let containers = "/spec/template/spec/containers";
    let bad = json!([{ "name": "shop", "resources": { "requests": { "cpu": 0.001, "memory": "invalid" } } }]);
    let rollout = check(containers, bad.clone(), &[]);
    assert_eq!(rollout.spec.template.unwrap().spec()["containers"], bad);
    check("/spec/template/spec", json!("nonsense"), &[]);
    check("/spec/template", json!([1, 2]), &[]);
}

// BASE-018, CTL-013
#[test]
fn a_field_of_the_wrong_type_is_named_and_left_out() {
    let rollout = check(
        "/spec/replicas",
        json!("three"),
        &[r#"spec.replicas: invalid type: string "three", expected i32"#],
    );
    assert_eq!(rollout.spec.replicas, None);

    let rollout = check(
        "/spec/strategy/canary/steps/0",
        json!({ "setWeight": true }),
        &["spec.strategy.canary.steps[0].setWeight: invalid type: boolean `true`, expected i32"],
    );
    assert_eq!(
        rollout.spec.strategy.canary.unwrap().steps[0],
        CanaryStep::default()
    );

    let rollout = check(
        "/spec/strategy/canary/trafficRouting/maxTrafficWeight",
        json!({}),
        &["spec.strategy.canary.trafficRouting.maxTrafficWeight: invalid type: map, expected i32"],
    );
    let routing = rollout
        .spec
        .strategy
        .canary
        .unwrap()
        .traffic_routing
        .unwrap();
    assert_eq!(
        (routing.max_traffic_weight, routing.routers.len()),
        (None, 2)
    );

    check(
        "/spec/restartAt",
        json!("yesterday"),
        &[r#"spec.restartAt: invalid time "yesterday", expected RFC 3339"#],
    );
    check(
        "/metadata/labels",
        json!({ "a": 5, "b": "c" }),
        &["metadata.labels.a: invalid type: integer `5`, expected a string"],
    );
    check(
        "/spec/minReadySeconds",
        json!(1e99),
        &["spec.minReadySeconds: invalid type: floating point `1e+99`, expected i32"],
    );
    check(
        "/status/conditions/0",
        json!("Available"),
        &[
            r#"status.conditions[0]: invalid type: string "Available", expected struct RolloutCondition"#,
        ],
    );
}

#[test]
fn every_malformed_field_is_named() {
    let mut value = rich_canary();
    value["spec"]["paused"] = json!("yes");
    value["spec"]["replicas"] = json!(-1.5);
    let decoded = decode::<Rollout>(value).unwrap();
    let fields: Vec<_> = decoded
        .problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(fields, ["spec.paused", "spec.replicas"]);
}

#[test]
fn null_is_absent() {
    let rollout = check("/spec/strategy/canary/steps", Value::Null, &[]);
    assert_eq!(rollout.spec.strategy.canary.unwrap().steps, []);
    let rollout = check("/status/conditions", json!([null]), &[]);
    assert_eq!(rollout.status.conditions, []);
    let rollout = check("/status/pauseConditions/0/startTime", Value::Null, &[]);
    assert!(rollout.status.pause_conditions[0].start_time.is_zero());
    check("/metadata/annotations", Value::Null, &[]);
}

#[test]
fn an_integer_may_be_written_as_a_float() {
    assert_eq!(
        check("/spec/replicas", json!(3.0), &[]).spec.replicas,
        Some(3)
    );
    assert_eq!(
        check("/spec/minReadySeconds", json!(-0.0), &[])
            .spec
            .min_ready_seconds,
        0
    );
}

// BASE-018
#[test]
fn int_or_string_takes_every_scalar() {
    let check = |value: Value, expected: IntOrString| {
        assert_eq!(
            serde_json::from_value::<IntOrString>(value).unwrap(),
            expected
        );
    };
    check(json!(7), IntOrString::Int(7));
    check(json!(7.0), IntOrString::Int(7));
    check(json!("25%"), IntOrString::String("25%".into()));
    check(json!("7"), IntOrString::String("7".into()));
    check(json!(1.5), IntOrString::String("1.5".into()));
    check(json!(true), IntOrString::String("true".into()));
    check(
        json!(5_000_000_000_i64),
        IntOrString::String("5000000000".into()),
    );
    check(
        json!(u64::MAX),
        IntOrString::String("18446744073709551615".into()),
    );
}

#[test]
fn what_is_no_object_is_refused() {
    for value in [json!(null), json!(5), json!("Rollout")] {
        assert!(matches!(
            decode::<Rollout>(value),
            Err(DecodeError::NotAnObject(_))
        ));
    }
    let steps: Vec<Value> = (0..200).map(|_| json!("x")).collect();
    let hopeless = json!({ "spec": { "strategy": { "canary": { "steps": steps } } } });
    let Err(DecodeError::TooManyProblems(first)) = decode::<Rollout>(hopeless) else {
        panic!("two hundred malformed steps were accepted")
    };
    assert_eq!(first.field, "spec.strategy.canary.steps[0]");
}

#[test]
fn unknown_fields_are_ignored() {
    let rollout = check(
        "/spec/strategy/canary/fieldOfTomorrow",
        json!({ "x": 1 }),
        &[],
    );
    assert_eq!(rollout.spec.replicas, Some(0));
}

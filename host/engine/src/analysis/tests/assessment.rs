//! Counters and verdicts.

use serde_json::{Value, json};

use super::world::{World, measured, nothing};
use crate::plugin::Measured;

fn phase(text: &str) -> crate::plugin::Reply {
    measured(Measured {
        phase: Some(text.to_owned()),
        ..nothing()
    })
}

/// A metric that is measured with these outcomes (S, F, I, E), one after the other.
fn play(extra: &Value, outcomes: &str) -> World {
    let mut metric = json!({ "name": "m", "interval": "1s", "provider": { "web": {} } });
    metric
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    let mut world = World::new(json!({ "metrics": [metric] }));
    for outcome in outcomes.chars() {
        world.settle();
        assert!(world.is_asked("m"), "ended before {outcome} of {outcomes}");
        world.answer(
            "m",
            phase(match outcome {
                'S' => "Successful",
                'F' => "Failed",
                'I' => "Inconclusive",
                _ => "Error",
            }),
        );
        world.settle();
        world.wait(10);
    }
    world
}

// ENG-030
#[test]
fn counters_follow_the_measurements() {
    let check = |outcomes: &str, expected: [i32; 7]| {
        let world = play(
            &json!({ "failureLimit": 100, "inconclusiveLimit": 100 }),
            outcomes,
        );
        let r = world.result("m");
        let found = [
            r.count,
            r.successful,
            r.failed,
            r.inconclusive,
            r.error,
            r.consecutive_error,
            r.consecutive_success,
        ];
        assert_eq!(found, expected, "{outcomes}");
    };
    //            count, S, F, I, E, errors and successes in a row
    check("S", [1, 1, 0, 0, 0, 0, 1]);
    check("SS", [2, 2, 0, 0, 0, 0, 2]);
    check("SF", [2, 1, 1, 0, 0, 0, 0]);
    check("SI", [2, 1, 0, 1, 0, 0, 0]);
    check("SE", [1, 1, 0, 0, 1, 1, 0]);
    check("EES", [1, 1, 0, 0, 2, 0, 1]);
    check("EEF", [1, 0, 1, 0, 2, 0, 0]);
    check("EEI", [1, 0, 0, 1, 2, 0, 0]);
    check("SEE", [1, 1, 0, 0, 2, 2, 0]);
}

// ENG-040, ENG-041, ENG-044
#[test]
fn metrics_are_assessed_in_upstreams_order() {
    let check = |extra: Value, outcomes: &str, expected: &str, message: &str| {
        let world = play(&extra, outcomes);
        assert_eq!(
            world.result("m").phase.as_str(),
            expected,
            "{extra} {outcomes}"
        );
        let run_message = match message {
            "" => String::new(),
            message => format!("Metric \"m\" assessed {expected} due to {message}"),
        };
        assert_eq!(world.run.status.message, run_message, "{extra} {outcomes}");
    };
    let failed = "failed (1) > failureLimit (0)";
    check(json!({}), "S", "Running", "");
    check(json!({}), "F", "Failed", failed);
    check(json!({ "failureLimit": 1 }), "F", "Running", "");
    check(
        json!({ "failureLimit": "1" }),
        "FF",
        "Failed",
        "failed (2) > failureLimit (1)",
    );
    check(
        json!({}),
        "I",
        "Inconclusive",
        "inconclusive (1) > inconclusiveLimit (0)",
    );
    check(
        json!({ "inconclusiveLimit": 1 }),
        "II",
        "Inconclusive",
        "inconclusive (2) > inconclusiveLimit (1)",
    );
    check(json!({}), "EEEE", "Running", "");
    check(
        json!({}),
        "EEEEE",
        "Error",
        "consecutiveErrors (5) > consecutiveErrorLimit (4)",
    );
    check(
        json!({ "consecutiveErrorLimit": 0 }),
        "E",
        "Error",
        "consecutiveErrors (1) > consecutiveErrorLimit (0)",
    );
    check(json!({}), "EEEESEEEE", "Running", "");
    check(json!({ "count": 2 }), "SS", "Successful", "");
    check(
        json!({ "count": 2, "failureLimit": 1 }),
        "SF",
        "Successful",
        "",
    );
    check(json!({ "count": 1 }), "ES", "Successful", "");
    // AT-014
    let wanted = |limit: i32, failures: i32| json!({ "count": 3, "consecutiveSuccessLimit": limit, "failureLimit": failures });
    check(wanted(2, 1), "SS", "Successful", "");
    check(wanted(2, 1), "FSS", "Successful", "");
    check(wanted(2, 1), "SFS", "Inconclusive", "");
    check(wanted(2, -1), "SFS", "Failed", "");
    check(wanted(2, -1), "FFS", "Failed", "");
    check(
        json!({ "consecutiveSuccessLimit": 2, "failureLimit": -1 }),
        "FFFSFSS",
        "Successful",
        "",
    );
}

// ENG-044: counted by limit, so that two of these count as successful
#[test]
fn the_summary_counts_by_limit() {
    let check = |extra: Value, outcomes: &str, expected: Value| {
        let world = play(&extra, outcomes);
        assert_eq!(
            serde_json::to_value(&world.run.status.run_summary).unwrap(),
            expected,
            "{extra} {outcomes}"
        );
    };
    check(json!({}), "S", json!({ "count": 1 }));
    check(json!({}), "F", json!({ "count": 1, "failed": 1 }));
    check(json!({}), "I", json!({ "count": 1, "inconclusive": 1 }));
    check(
        json!({ "consecutiveErrorLimit": 0 }),
        "E",
        json!({ "count": 1, "error": 1 }),
    );
    check(
        json!({ "count": 2, "consecutiveSuccessLimit": 2 }),
        "SF",
        json!({ "count": 1, "failed": 1 }),
    );
    check(
        json!({ "count": 2, "consecutiveSuccessLimit": 2, "failureLimit": -1 }),
        "SF",
        json!({ "count": 1, "successful": 1 }),
    );
}

// ENG-042, ENG-043
#[test]
fn the_worst_metric_decides_once_all_have_ended() {
    let check = |outcomes: &[(&str, &str)], expected: &str, message: &str| {
        let metrics: Vec<Value> = outcomes
            .iter()
            .map(|(name, _)| json!({ "name": name, "consecutiveErrorLimit": 0, "provider": { "web": {} } }))
            .collect();
        let mut world = World::new(json!({ "metrics": metrics }));
        world.settle();
        for (name, outcome) in outcomes {
            world.answer(name, phase(outcome));
        }
        world.settle();
        assert_eq!(
            (world.phase(), world.run.status.message.as_str()),
            (expected, message),
            "{outcomes:?}"
        );
    };
    check(
        &[("a", "Successful"), ("b", "Successful")],
        "Successful",
        "",
    );
    check(
        &[("a", "Inconclusive"), ("b", "Failed"), ("c", "Error")],
        "Failed",
        "Metric \"b\" assessed Failed due to failed (1) > failureLimit (0)",
    );
    check(
        &[("a", "Inconclusive"), ("b", "Error"), ("c", "Successful")],
        "Error",
        "Metric \"b\" assessed Error due to consecutiveErrors (1) > consecutiveErrorLimit (0)",
    );
    check(
        &[("a", "Successful"), ("b", "Failed"), ("c", "Failed")],
        "Failed",
        "Metric \"b\" assessed Failed due to failed (1) > failureLimit (0)",
    );
}

#[test]
fn a_phase_that_is_no_end_is_an_error() {
    let mut world = World::new(json!({ "metrics": [{ "name": "m", "provider": { "web": {} } }] }));
    world.settle();
    world.answer("m", phase("Running"));
    world.settle();
    assert_eq!(
        world.last("m").message,
        "the provider ended the measurement as \"Running\""
    );
}

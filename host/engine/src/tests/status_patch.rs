//! The difference between two statuses.

use serde_json::{Value, json};
use sluice_api::RolloutStatus;

use crate::status_patch::diff;

fn status(status: Value) -> RolloutStatus {
    serde_json::from_value(status).unwrap()
}

// ST-034, BASE-008, ST-033
#[test]
fn a_patch_says_what_changed_and_what_is_gone() {
    let pause = json!([{ "reason": "CanaryPauseStep", "startTime": "2024-05-06T07:08:09Z" }]);
    let rows = [
        (json!({}), json!({}), Value::Null),
        (
            json!({ "replicas": 3 }),
            json!({ "replicas": 3 }),
            Value::Null,
        ),
        (
            json!({ "replicas": 3 }),
            json!({ "replicas": 4 }),
            json!({ "replicas": 4 }),
        ),
        // What is cleared must be named: a serialised status would leave it as it is.
        (
            json!({ "abort": true }),
            json!({}),
            json!({ "abort": null }),
        ),
        (
            json!({ "promoteFull": true, "pauseConditions": pause, "controllerPause": true }),
            json!({}),
            json!({ "promoteFull": null, "pauseConditions": null, "controllerPause": null }),
        ),
        // A list is replaced as a whole.
        (
            json!({}),
            json!({ "pauseConditions": pause }),
            json!({ "pauseConditions": pause }),
        ),
        (
            json!({ "canary": { "weights": { "canary": { "weight": 5 }, "stable": { "weight": 95 } } } }),
            json!({ "canary": { "weights": { "canary": { "weight": 9 }, "stable": { "weight": 91 } } } }),
            json!({ "canary": { "weights": { "canary": { "weight": 9 }, "stable": { "weight": 91 } } } }),
        ),
        (
            json!({ "canary": { "weights": { "canary": { "weight": 5 }, "stable": { "weight": 95 } } } }),
            json!({}),
            json!({ "canary": { "weights": null } }),
        ),
        (
            json!({ "currentStepIndex": 2 }),
            json!({ "currentStepIndex": 0 }),
            json!({ "currentStepIndex": 0 }),
        ),
        // Fractions of a second are no change: the wire has none.
        (
            json!({ "abortedAt": "2024-05-06T07:08:09.9Z" }),
            json!({ "abortedAt": "2024-05-06T07:08:09Z" }),
            Value::Null,
        ),
    ];
    for (old, new, expected) in rows {
        let patch = diff(&status(old.clone()), &status(new.clone()));
        let expected = (!expected.is_null()).then(|| json!({ "status": expected }));
        assert_eq!(patch, expected, "{old} to {new}");
    }
}

// ST-034
#[test]
fn fields_that_nobody_here_knows_are_left_alone() {
    let old = status(json!({ "replicas": 3, "fromTheFuture": { "a": 1 } }));
    let new = status(json!({ "replicas": 4 }));
    assert_eq!(
        diff(&old, &new),
        Some(json!({ "status": { "replicas": 4 } }))
    );
}

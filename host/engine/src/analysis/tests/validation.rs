//! What a run must look like to be carried out.

use serde_json::{Value, json};

use super::world::run;
use crate::analysis::validate;

fn check(spec: Value, expected: &str) {
    let found = validate(&run(spec.clone()))
        .map(|_| "valid".to_owned())
        .unwrap_or_else(|error| error);
    assert_eq!(found, expected, "{spec}");
}

fn one(extra: Value) -> Value {
    let mut metric = json!({ "name": "m", "provider": { "web": { "url": "u" } } });
    metric
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    json!({ "metrics": [metric] })
}

// ENG-010, VAL-053, AT-001, AT-006 to AT-015
#[test]
fn metrics_are_checked_in_upstreams_order_and_words() {
    let check = |extra: Value, expected: &str| {
        let expected = match expected {
            "valid" => expected.to_owned(),
            error => format!("Analysis spec invalid: metrics[0]: {error}"),
        };
        check(one(extra), &expected);
    };
    check(json!({}), "valid");
    check(
        json!({ "count": 2 }),
        "interval must be specified when count > 1",
    );
    check(json!({ "count": 2, "interval": "1m" }), "valid");
    check(json!({ "count": "2", "interval": "1m" }), "valid");
    check(json!({ "count": "two", "interval": "1m" }), "valid");
    check(
        json!({ "consecutiveSuccessLimit": -1 }),
        "consecutiveSuccessLimit must be >= 0",
    );
    check(
        json!({ "failureLimit": -2 }),
        "failureLimit must be >= 0, or -1 to be disabled",
    );
    check(
        json!({ "failureLimit": -1 }),
        "failureLimit and consecutiveSuccessLimit cannot both be disabled",
    );
    check(
        json!({ "failureLimit": -1, "consecutiveSuccessLimit": 1 }),
        "valid",
    );
    check(
        json!({ "inconclusiveLimit": -1 }),
        "inconclusiveLimit must be >= 0",
    );
    check(
        json!({ "consecutiveErrorLimit": -1 }),
        "consecutiveErrorLimit must be >= 0",
    );
    check(
        json!({ "count": 3, "interval": "1s", "failureLimit": 2, "consecutiveSuccessLimit": 2 }),
        "count (3) must be >= failureLimit + consecutiveSuccessLimit (2 + 2) if both >= 0",
    );
    check(
        json!({ "count": 3, "interval": "1s", "failureLimit": 4 }),
        "count (3) must be >= failureLimit + consecutiveSuccessLimit (4 + 0) if both >= 0",
    );
    check(
        json!({ "count": 3, "interval": "1s", "failureLimit": -1, "consecutiveSuccessLimit": 4 }),
        "count must be >= consecutiveSuccessLimit",
    );
    check(
        json!({ "count": 3, "interval": "1s", "inconclusiveLimit": 4 }),
        "count must be >= inconclusiveLimit",
    );
    // Without a count the sums are not checked.
    check(json!({ "interval": "1s", "failureLimit": 40 }), "valid");
    check(
        json!({ "interval": "nope" }),
        "invalid interval string: time: invalid duration \"nope\"",
    );
    check(
        json!({ "initialDelay": "5" }),
        "invalid startDelay string: time: missing unit in duration \"5\"",
    );
    check(json!({ "provider": {} }), "no provider specified");
    check(
        json!({ "provider": { "web": null } }),
        "no provider specified",
    );
    check(
        json!({ "provider": { "plugin": {} } }),
        "no provider specified",
    );
    check(
        json!({ "provider": { "web": {}, "job": {} } }),
        "multiple providers specified",
    );
    check(
        json!({ "provider": { "plugin": { "a": {}, "b": {} } } }),
        "multiple providers specified",
    );
    check(
        json!({ "provider": { "web": {}, "plugin": { "a": {} } } }),
        "multiple providers specified",
    );
    check(
        json!({ "provider": { "plugin": { "acme/judge": {} } } }),
        "valid",
    );
}

// ENG-010
#[test]
fn a_run_has_metrics_with_different_names() {
    check(
        json!({ "metrics": [] }),
        "Analysis spec invalid: no metrics specified",
    );
    let metric = json!({ "name": "m", "provider": { "web": {} } });
    check(
        json!({ "metrics": [metric, metric] }),
        "Analysis spec invalid: metrics[1]: duplicate name 'm'",
    );
}

// ENG-011, AT-003, AT-004
#[test]
fn rules_are_unanchored_regular_expressions_that_must_match() {
    let check = |field: &str, rules: &[&str], expected: &str| {
        let mut spec = one(json!({ "name": "success-rate" }));
        spec[field] = rules
            .iter()
            .map(|rule| json!({ "metricName": rule, "limit": 3 }))
            .collect();
        check(spec, expected);
    };
    for field in ["dryRun", "measurementRetention"] {
        check(field, &["success-rate"], "valid");
        check(field, &["cess"], "valid");
        check(field, &[".*"], "valid");
        check(
            field,
            &["^rate"],
            &format!("Analysis spec invalid: {field}[0]: Rule didn't match any metric name(s)"),
        );
        // A star alone is no regular expression.
        check(
            field,
            &["s", "*"],
            &format!("Analysis spec invalid: {field}[1]: Rule didn't match any metric name(s)"),
        );
    }
}

// AT-004, AT-015
#[test]
fn a_valid_run_knows_its_providers_rules_and_limits() {
    let mut spec = one(json!({ "provider": { "plugin": { "acme/judge": { "a": 1 } } } }));
    let other = json!({ "name": "other", "interval": "1m", "provider": { "web": { "url": "u" } } });
    spec["metrics"].as_array_mut().unwrap().push(other);
    spec["dryRun"] = json!([{ "metricName": "other" }]);
    spec["measurementRetention"] =
        json!([{ "metricName": "^m$", "limit": 3 }, { "metricName": "other", "limit": 0 }]);
    let valid = validate(&run(spec)).unwrap();
    let [first, second] = valid.metrics.as_slice() else {
        panic!()
    };
    assert_eq!(
        (first.provider.as_str(), &first.config),
        ("acme/judge", &json!({ "a": 1 }))
    );
    assert_eq!(
        (first.dry_run, first.retention, first.count),
        (false, 3, Some(1))
    );
    assert_eq!(
        (
            second.provider.as_str(),
            second.dry_run,
            second.retention,
            second.count
        ),
        ("web", true, 10, None)
    );
}

// ENG-003, ENG-004, AT-002
#[test]
fn arguments_are_resolved_before_anything_is_checked() {
    check(
        json!({ "metrics": [{ "name": "{{args.n}}", "provider": {} }] }),
        "Unable to resolve metric arguments: failed to resolve {{args.n}}",
    );
    check(
        json!({ "metrics": [{ "name": "m", "provider": {} }], "args": [{ "name": "unused" }] }),
        "Unable to resolve metric arguments: argument \"unused\" was not supplied",
    );
    // A field of an object has been resolved by whoever made the run.
    check(
        json!({
            "metrics": [{ "name": "m", "provider": {} }],
            "args": [{ "name": "n", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
        }),
        "Unable to resolve metric arguments: argument \"n\" was not supplied",
    );
}

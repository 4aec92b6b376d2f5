//! Label selectors.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_api::LabelSelector;

use crate::selector::{format, matches};

fn selector(selector: Value) -> Option<LabelSelector> {
    serde_json::from_value(selector).unwrap()
}

// ST-025
// Recorded from Kubernetes' own function.
#[test]
fn a_selector_is_written_as_kubernetes_writes_it() {
    let rows = [
        (Value::Null, "<none>"),
        (json!({}), "<none>"),
        (json!({ "matchLabels": { "b": "2", "a": "1" } }), "a=1,b=2"),
        (
            json!({ "matchLabels": { "app": "web" }, "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["b", "a"] },
                { "key": "x", "operator": "Exists" },
                { "key": "y", "operator": "DoesNotExist" },
                { "key": "z", "operator": "NotIn", "values": ["q"] },
            ] }),
            "app=web,tier in (a,b),x,!y,z notin (q)",
        ),
        (
            json!({ "matchLabels": { "app": "web" }, "matchExpressions": [
                { "key": "app", "operator": "In", "values": ["x"] },
            ] }),
            "app=web,app in (x)",
        ),
        (
            json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": [] }] }),
            "<error>",
        ),
        (
            json!({ "matchExpressions": [{ "key": "app", "operator": "Near", "values": ["x"] }] }),
            "<error>",
        ),
        (
            json!({ "matchLabels": { "s": "1", "u": "2" }, "matchExpressions": [
                { "key": "t", "operator": "In", "values": ["a"] },
            ] }),
            "s=1,t in (a),u=2",
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(format(selector(spec.clone()).as_ref()), expected, "{spec}");
    }
}

// VAL-007
#[test]
fn everything_that_a_selector_lists_must_hold() {
    let labels = BTreeMap::from([
        ("app".to_owned(), "web".to_owned()),
        ("tier".to_owned(), "front".to_owned()),
    ]);
    let one = |key: &str, operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
    let rows = [
        (json!({}), true),
        (json!({ "matchLabels": { "app": "web" } }), true),
        (
            json!({ "matchLabels": { "app": "web", "tier": "back" } }),
            false,
        ),
        (one("app", "In", &["x", "web"]), true),
        (one("app", "In", &["x"]), false),
        (one("none", "In", &["x"]), false),
        (one("app", "NotIn", &["web"]), false),
        (one("none", "NotIn", &["web"]), true),
        (one("app", "Exists", &[]), true),
        (one("none", "Exists", &[]), false),
        (one("none", "DoesNotExist", &[]), true),
        (one("app", "DoesNotExist", &[]), false),
        (one("app", "Near", &["web"]), false),
    ];
    for (spec, expected) in rows {
        assert_eq!(
            matches(&selector(spec.clone()).unwrap(), &labels),
            expected,
            "{spec}"
        );
    }
}

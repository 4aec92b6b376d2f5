//! Whether two pod templates are the same.

use serde_json::{Value, json};

use crate::template::identity;

fn template() -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "main", "image": "web:1" }], "restartPolicy": "Always" },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut template = template();
    change(&mut template);
    template
}

fn same(other: &Value, ephemeral: Option<&str>) -> bool {
    identity(other, ephemeral) == identity(&template(), None)
}

// REC-011
#[test]
fn what_a_controller_puts_into_a_set_is_not_part_of_its_template() {
    let term = |key: &str| {
        json!({ "labelSelector": { "matchExpressions": [{ "key": key, "operator": "In", "values": ["abc"] }] },
                "topologyKey": "kubernetes.io/hostname" })
    };
    let hash = "rollouts-pod-template-hash";
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let rows = [
        (true, with(|_| {})),
        (true, with(|t| t["metadata"]["labels"][hash] = json!("abc"))),
        (
            true,
            with(|t| t["metadata"]["creationTimestamp"] = Value::Null),
        ),
        (true, with(|t| t["spec"]["serviceAccount"] = json!("robot"))),
        (true, with(|t| t["spec"]["securityContext"] = json!({}))),
        (
            true,
            with(|t| t["spec"]["containers"][0]["resources"] = json!({})),
        ),
        (true, with(|t| t["spec"]["volumes"] = json!([]))),
        (true, with(|t| t["spec"]["nodeName"] = Value::Null)),
        (
            true,
            with(|t| {
                t["spec"]["affinity"] = json!({ "podAntiAffinity": { required: [term(hash)] } })
            }),
        ),
        (
            true,
            with(|t| {
                let list = json!([{ "weight": 1, "podAffinityTerm": term(hash) }]);
                t["spec"]["affinity"] = json!({ "podAntiAffinity": { preferred: list } });
            }),
        ),
        (
            false,
            with(|t| {
                t["spec"]["affinity"] = json!({ "podAntiAffinity": { required: [term("app")] } })
            }),
        ),
        (
            false,
            with(|t| t["spec"]["containers"][0]["image"] = json!("web:2")),
        ),
        (
            false,
            with(|t| t["metadata"]["labels"]["tier"] = json!("front")),
        ),
        (
            false,
            with(|t| t["spec"]["serviceAccountName"] = json!("robot")),
        ),
        (
            false,
            with(|t| t["spec"]["terminationGracePeriodSeconds"] = json!(0)),
        ),
        (false, with(|t| t["spec"]["hostNetwork"] = json!(false))),
    ];
    for (expected, other) in rows {
        assert_eq!(same(&other, None), expected, "{other}");
    }
}

// KEY-009, EPH-002, EPH-003
#[test]
fn injected_metadata_is_taken_out_and_the_users_stays() {
    let injected = r#"{"labels":{"role":"canary"},"annotations":{"note":"x"}}"#;
    let live = with(|t| {
        t["metadata"]["labels"]["role"] = json!("canary");
        t["metadata"]["annotations"] = json!({ "note": "x" });
    });
    assert!(same(&live, Some(injected)));
    assert!(!same(&live, None));
    assert!(!same(&live, Some("not JSON")));
    let own = with(|t| t["metadata"]["labels"]["team"] = json!("shop"));
    assert!(!same(&own, Some(injected)));
}

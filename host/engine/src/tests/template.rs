//! Whether two pod templates are the same.

use serde_json::{Value, json};

use crate::template::{covers, identity, identity_as_written};

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
        // The API server writes what is empty the same way every time; it may mean something.
        (false, with(|t| t["spec"]["securityContext"] = json!({}))),
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

// KEY-009, REC-011
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

// REC-011: an empty `namespaceSelector` takes every namespace, an absent one the pod's own.
#[test]
fn empty_is_not_absent_where_the_api_server_tells_them_apart() {
    let term = |selector: Value| {
        with(|t| {
            t["spec"]["affinity"] = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
                "labelSelector": { "matchLabels": { "app": "web" } },
                "namespaceSelector": selector,
                "topologyKey": "zone",
            }] } });
        })
    };
    assert_ne!(
        identity(&term(json!({})), None),
        identity(&term(Value::Null), None)
    );
}

// CLI-009
#[test]
fn a_template_that_is_complete_is_compared_as_it_is_written() {
    assert_eq!(
        identity_as_written(&template()),
        Some(identity(&template(), None))
    );
    // As `undo` writes it back.
    let live = with(|t| {
        t["spec"]["serviceAccount"] = json!("robot");
        t["spec"]["serviceAccountName"] = json!("robot");
    });
    assert_eq!(identity_as_written(&live), Some(identity(&live, None)));
    // The deprecated field alone stands for the other one, which the comparison does not see.
    let old = with(|t| t["spec"]["serviceAccount"] = json!("robot"));
    assert_eq!(identity_as_written(&old), None);
}

#[test]
fn a_live_template_covers_what_the_source_sets() {
    let live = json!({
        "metadata": { "labels": { "app": "web", "rollouts-pod-template-hash": "abc" }, "annotations": { "injected": "yes" } },
        "spec": {
            "containers": [
                { "name": "proxy", "image": "proxy:1" },
                {
                    "name": "main", "image": "web:1", "imagePullPolicy": "Always",
                    "args": ["-v", "2"],
                    "env": [{ "name": "INJECTED", "value": "1" }, { "name": "AMOUNT", "value": "500m" }],
                    "resources": { "limits": { "cpu": "500m", "memory": "1Gi" }, "requests": { "cpu": "1" } },
                },
            ],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "tolerations": [{ "key": "spot", "operator": "Exists", "effect": "NoSchedule" }],
        },
    });
    let rows = [
        (true, json!({})),
        (
            true,
            json!({ "spec": { "containers": [{ "name": "main", "image": "web:1" }] } }),
        ),
        (
            false,
            json!({ "spec": { "containers": [{ "name": "main", "image": "web:2" }] } }),
        ),
        (
            false,
            json!({ "spec": { "containers": [{ "name": "other" }] } }),
        ),
        (true, json!({ "metadata": { "labels": { "app": "web" } } })),
        (
            false,
            json!({ "metadata": { "labels": { "app": "web", "tier": "front" } } }),
        ),
        // What the API server leaves out, because it is nothing.
        (
            true,
            json!({ "spec": { "hostNetwork": false, "volumes": [], "securityContext": {}, "nodeName": "", "priority": null } }),
        ),
        (false, json!({ "spec": { "hostNetwork": true } })),
        (
            false,
            json!({ "spec": { "terminationGracePeriodSeconds": 0 } }),
        ),
        // Amounts are compared as amounts, texts as texts.
        (
            true,
            json!({ "spec": { "containers": [{ "name": "main", "resources": { "limits": { "cpu": 0.5, "memory": "1024Mi" }, "requests": { "cpu": "1000m" } } }] } }),
        ),
        (
            false,
            json!({ "spec": { "containers": [{ "name": "main", "resources": { "limits": { "cpu": "501m" } } }] } }),
        ),
        (
            true,
            json!({ "spec": { "containers": [{ "name": "main", "env": [{ "name": "AMOUNT", "value": "500m" }] }] } }),
        ),
        (
            false,
            json!({ "spec": { "containers": [{ "name": "main", "env": [{ "name": "AMOUNT", "value": "0.5" }] }] } }),
        ),
        // Lists without names are compared whole.
        (
            true,
            json!({ "spec": { "containers": [{ "name": "main", "args": ["-v", "2"] }] } }),
        ),
        (
            false,
            json!({ "spec": { "containers": [{ "name": "main", "args": ["-v"] }] } }),
        ),
        (
            true,
            json!({ "spec": { "tolerations": [{ "key": "spot" }] } }),
        ),
        (false, json!({ "spec": { "tolerations": [] } })),
        (false, json!({ "spec": "none" })),
    ];
    for (expected, source) in rows {
        assert_eq!(covers(&source, &live), expected, "{source}");
    }
}

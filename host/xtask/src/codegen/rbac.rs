//! What the controller may do in the cluster: what Argo Rollouts' role allows for the kinds that the host itself
//! handles, and for everything else exactly what the shipped plugins ask for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::manifest::Manifest;

const FIVE_KINDS: &str = "argoproj.io";

/// Rules of the host itself: API group, resources, verbs.
const HOST_RULES: &[(&[&str], &[&str], &[&str])] = &[
    (
        &[FIVE_KINDS],
        &["rollouts", "rollouts/status", "rollouts/finalizers"],
        &["get", "list", "watch", "update", "patch"],
    ),
    (
        &[FIVE_KINDS],
        &[
            "analysisruns",
            "analysisruns/finalizers",
            "experiments",
            "experiments/finalizers",
        ],
        &[
            "create", "get", "list", "watch", "update", "patch", "delete",
        ],
    ),
    (
        &[FIVE_KINDS],
        &["analysistemplates", "clusteranalysistemplates"],
        &["get", "list", "watch"],
    ),
    (
        &["apps"],
        &["replicasets"],
        &[
            "create", "get", "list", "watch", "update", "patch", "delete",
        ],
    ),
    // Workloads that a Rollout refers to: read, and scaled down when it asks for that.
    (
        &["", "apps"],
        &["deployments", "podtemplates"],
        &["get", "list", "watch", "update", "patch"],
    ),
    // Selectors of the Services that a Rollout names; Services of experiments come and go.
    (
        &[""],
        &["services"],
        &["get", "list", "watch", "patch", "create", "delete"],
    ),
    // Leader election.
    (
        &["coordination.k8s.io"],
        &["leases"],
        &["create", "get", "update", "patch"],
    ),
    // Arguments of analyses, and the controller's own configuration.
    (&[""], &["secrets", "configmaps"], &["get", "list", "watch"]),
    // Metadata that pods carry for the time that they are canary, stable, active or preview.
    (&[""], &["pods"], &["list", "watch", "update", "patch"]),
    // Restarts.
    (&[""], &["pods/eviction"], &["create"]),
    (&[""], &["events"], &["create", "update", "patch"]),
];

/// The role of the controller.
pub fn cluster_role(plugins: &[Manifest]) -> Value {
    let host = HOST_RULES.iter().map(|(groups, resources, verbs)| {
        json!({ "apiGroups": groups, "resources": resources, "verbs": verbs })
    });
    let rules: Vec<Value> = host.chain(plugin_rules(plugins)).collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": "argo-rollouts", "labels": labels("rollouts-controller", "argo-rollouts") },
        "rules": rules,
    })
}

/// The roles that give the users of a cluster access to the five kinds.
pub fn aggregate_roles() -> Vec<Value> {
    let kinds = [
        "rollouts",
        "rollouts/scale",
        "experiments",
        "analysistemplates",
        "clusteranalysistemplates",
        "analysisruns",
    ];
    let read = ["get", "list", "watch"];
    let write = [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ];
    let role = |to: &str, resources: &[&str], verbs: &[&str]| {
        let name = format!("argo-rollouts-aggregate-to-{to}");
        let mut labels = labels("aggregate-cluster-role", &name);
        if let Value::Object(labels) = &mut labels {
            labels.insert(
                format!("rbac.authorization.k8s.io/aggregate-to-{to}"),
                "true".into(),
            );
        }
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": name, "labels": labels },
            "rules": [{ "apiGroups": [FIVE_KINDS], "resources": resources, "verbs": verbs }],
        })
    };
    let with_status: Vec<&str> = kinds.iter().copied().chain(["rollouts/status"]).collect();
    vec![
        role("view", &kinds, &read),
        role("edit", &with_status, &write),
        role("admin", &with_status, &write),
    ]
}

fn labels(component: &str, name: &str) -> Value {
    json!({
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "argo-rollouts",
    })
}

/// One rule for each API group and set of verbs that the plugins ask for.
fn plugin_rules(plugins: &[Manifest]) -> Vec<Value> {
    let mut verbs: BTreeMap<(&str, String), BTreeSet<&str>> = BTreeMap::new();
    for plugin in plugins {
        for grant in &plugin.grants.reads {
            for kind in &grant.kinds {
                let asked = verbs.entry((&grant.group, resource(kind))).or_default();
                asked.extend(["get", "list", "watch"]);
            }
        }
        for grant in &plugin.grants.changes {
            for kind in &grant.kinds {
                let asked = verbs.entry((&grant.group, resource(kind))).or_default();
                asked.extend(grant.verbs.iter().map(String::as_str));
            }
        }
    }
    let mut rules: BTreeMap<(&str, BTreeSet<&str>), BTreeSet<String>> = BTreeMap::new();
    for ((group, resource), asked) in verbs {
        if !host_allows(group, &resource, &asked) {
            rules.entry((group, asked)).or_default().insert(resource);
        }
    }
    let rule = |((group, verbs), resources)| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
    rules.into_iter().map(rule).collect()
}

/// Whether the rules of the host cover it already.
fn host_allows(group: &str, resource: &str, asked: &BTreeSet<&str>) -> bool {
    HOST_RULES.iter().any(|(groups, resources, verbs)| {
        groups.contains(&group)
            && resources.contains(&resource)
            && asked.iter().all(|verb| verbs.contains(verb))
    })
}

/// The plural of a kind, as Kubernetes names resources.
fn resource(kind: &str) -> String {
    let name = kind.to_lowercase();
    let vowel_y = ["ay", "ey", "oy", "uy"]
        .iter()
        .any(|end| name.ends_with(end));
    match name.strip_suffix('y') {
        // Already a plural.
        _ if name == "endpoints" => name,
        Some(stem) if !vowel_y => format!("{stem}ies"),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| name.ends_with(end)) => format!("{name}es"),
        _ => format!("{name}s"),
    }
}

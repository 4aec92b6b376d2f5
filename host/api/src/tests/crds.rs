//! The definitions are what the contract says, and what the API server accepts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::*;

fn crd(kind: &str) -> Value {
    let found = crds()
        .into_iter()
        .find(|crd| crd["spec"]["names"]["kind"] == kind);
    found.unwrap()
}

fn version(kind: &str) -> Value {
    crd(kind)["spec"]["versions"][0].clone()
}

/// The node at a path such as `spec.strategy.canary.steps[].pause`.
fn node(kind: &str, path: &str) -> Value {
    let mut node = version(kind)["schema"]["openAPIV3Schema"].clone();
    for name in path.split('.') {
        let (name, items) = name
            .strip_suffix("[]")
            .map_or((name, false), |name| (name, true));
        node = node["properties"][name].clone();
        if items {
            node = node["items"].clone();
        }
        assert!(node.is_object(), "{kind} has no {path}");
    }
    node
}

// BASE-001, BASE-002, BASE-004..006
#[test]
fn names_are_those_of_argo_rollouts() {
    let check = |kind: &str, plural: &str, short: &str, scope: &str| {
        let crd = crd(kind);
        assert_eq!(crd["metadata"]["name"], format!("{plural}.argoproj.io"));
        let names = json!({
            "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
            "singular": kind.to_lowercase(), "shortNames": [short],
        });
        assert_eq!(crd["spec"]["names"], names);
        assert_eq!(crd["spec"]["scope"], scope);
        assert_eq!(crd["spec"]["group"], "argoproj.io");
        assert_eq!(crd["spec"]["versions"].as_array().unwrap().len(), 1);
        assert_eq!(crd["spec"]["versions"][0]["name"], "v1alpha1");
    };
    check("Rollout", "rollouts", "ro", "Namespaced");
    check("AnalysisRun", "analysisruns", "ar", "Namespaced");
    check("AnalysisTemplate", "analysistemplates", "at", "Namespaced");
    check(
        "ClusterAnalysisTemplate",
        "clusteranalysistemplates",
        "cat",
        "Cluster",
    );
    check("Experiment", "experiments", "exp", "Namespaced");
}

// BASE-003..006
#[test]
fn columns_are_those_of_argo_rollouts() {
    let check = |kind: &str, expected: &[&str]| {
        let version = version(kind);
        let columns = version["additionalPrinterColumns"].as_array().unwrap();
        let shown: Vec<String> = columns
            .iter()
            .map(|column| {
                let text = |field: &str| column[field].as_str().unwrap();
                format!("{} {} {}", text("name"), text("type"), text("jsonPath"))
            })
            .collect();
        assert_eq!(shown, expected);
    };
    let age = "Age date .metadata.creationTimestamp";
    let status = "Status string .status.phase";
    check(
        "Rollout",
        &[
            "Desired integer .spec.replicas",
            "Current integer .status.replicas",
            "Up-to-date integer .status.updatedReplicas",
            "Available integer .status.availableReplicas",
            age,
        ],
    );
    check("AnalysisRun", &[status, age]);
    check("Experiment", &[status, age]);
    check("AnalysisTemplate", &[age]);
    check("ClusterAnalysisTemplate", &[age]);
}

// BASE-002, BASE-004, BASE-005, BASE-007
#[test]
fn only_rollouts_have_subresources() {
    assert_eq!(
        version("Rollout")["subresources"],
        json!({ "status": {}, "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.HPAReplicas",
            "labelSelectorPath": ".status.selector",
        } })
    );
    for kind in [
        "AnalysisRun",
        "AnalysisTemplate",
        "ClusterAnalysisTemplate",
        "Experiment",
    ] {
        assert_eq!(version(kind)["subresources"], json!({}));
    }
    const { assert!(Rollout::STATUS_SUBRESOURCE && !AnalysisRun::STATUS_SUBRESOURCE) };
}

// BASE-011
#[test]
fn the_selector_of_a_rollout_cannot_be_changed() {
    let expected = json!([{ "rule": "self == oldSelf", "message": ".spec.selector is immutable" }]);
    assert_eq!(
        node("Rollout", "spec.selector")["x-kubernetes-validations"],
        expected
    );
}

// BASE-012, BASE-013, BASE-015
#[test]
fn required_fields_are_those_of_argo_rollouts() {
    let check = |kind: &str, path: &str, expected: &[&str]| {
        let node = node(kind, path);
        let mut required: Vec<&str> = node["required"].as_array().map_or(vec![], |names| {
            names.iter().filter_map(Value::as_str).collect()
        });
        required.sort_unstable();
        assert_eq!(required, expected, "{kind} {path}");
    };
    for crd in crds() {
        assert_eq!(
            crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["required"],
            json!(["spec"])
        );
    }
    let canary = "spec.strategy.canary";
    check("Rollout", "spec", &[]);
    check("Rollout", "spec.template", &[]);
    check("Rollout", "spec.template.spec", &["containers"]);
    check("Rollout", "spec.strategy.blueGreen", &["activeService"]);
    check(
        "Rollout",
        &format!("{canary}.antiAffinity.preferredDuringSchedulingIgnoredDuringExecution"),
        &["weight"],
    );
    check(
        "Rollout",
        &format!("{canary}.pingPong"),
        &["pingService", "pongService"],
    );
    check(
        "Rollout",
        &format!("{canary}.replicaProgressThreshold"),
        &["type", "value"],
    );
    check(
        "Rollout",
        &format!("{canary}.steps[].experiment"),
        &["templates"],
    );
    check(
        "Rollout",
        &format!("{canary}.steps[].experiment.templates[]"),
        &["name", "specRef"],
    );
    check(
        "Rollout",
        &format!("{canary}.steps[].experiment.analyses[]"),
        &["name", "templateName"],
    );
    check("Rollout", &format!("{canary}.steps[].plugin"), &["name"]);
    check("Rollout", &format!("{canary}.steps[].setHeaderRoute"), &[]);
    check(
        "Rollout",
        &format!("{canary}.steps[].setHeaderRoute.match[]"),
        &["headerName", "headerValue"],
    );
    check(
        "Rollout",
        &format!("{canary}.steps[].setMirrorRoute"),
        &["name"],
    );
    check(
        "Rollout",
        &format!("{canary}.steps[].analysis.templates[]"),
        &[],
    );
    check(
        "Rollout",
        &format!("{canary}.trafficRouting.managedRoutes[]"),
        &["name"],
    );
    let condition = [
        "lastTransitionTime",
        "lastUpdateTime",
        "message",
        "reason",
        "status",
        "type",
    ];
    check("Rollout", "status.conditions[]", &condition);
    check(
        "Rollout",
        "status.pauseConditions[]",
        &["reason", "startTime"],
    );
    check("Rollout", "status.canary.weights", &["canary", "stable"]);
    check("Rollout", "status.canary.weights.additional[]", &["weight"]);
    check(
        "Rollout",
        "status.canary.stepPluginStatuses[]",
        &["index", "name", "operation"],
    );
    check("Rollout", "status.alb.loadBalancer", &["arn", "name"]);
    check("AnalysisRun", "spec", &["metrics"]);
    check("AnalysisRun", "spec.metrics[]", &["name", "provider"]);
    check("AnalysisRun", "status", &["phase"]);
    check("AnalysisTemplate", "spec", &[]);
    check(
        "ClusterAnalysisTemplate",
        "spec.metrics[]",
        &["name", "provider"],
    );
    check("Experiment", "spec", &["templates"]);
    check(
        "Experiment",
        "spec.templates[]",
        &["name", "selector", "template"],
    );
    check("Experiment", "spec.analyses[]", &["name", "templateName"]);
    check("Experiment", "status.conditions[]", &condition);
}

// BASE-016
#[test]
fn what_belongs_to_others_is_kept() {
    let check = |kind: &str, path: &str| {
        assert_eq!(
            node(kind, path)["x-kubernetes-preserve-unknown-fields"],
            true,
            "{kind} {path}"
        );
    };
    check("Rollout", "spec.template.spec");
    check("Rollout", "spec.template.spec.containers[]");
    check("Rollout", "spec.strategy.canary.steps[].plugin.config");
    check("Rollout", "spec.strategy.canary.trafficRouting.plugins");
    check("Rollout", "status.canary.stepPluginStatuses[].status");
    check("Experiment", "spec.templates[].template.spec");
    check("AnalysisRun", "spec.metrics[].provider.plugin");
    let metadata = node("Rollout", "spec.template.metadata");
    let fields: Vec<_> = metadata["properties"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["annotations", "labels"]);
}

// TRF-013, AT-015
#[test]
fn every_router_and_provider_of_upstream_has_a_block() {
    let names = |kind: &str, path: &str| -> Vec<String> {
        let mut names: Vec<String> = node(kind, path)["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names("Rollout", "spec.strategy.canary.trafficRouting"),
        [
            "alb",
            "ambassador",
            "apisix",
            "appMesh",
            "istio",
            "managedRoutes",
            "maxTrafficWeight",
            "nginx",
            "plugins",
            "smi",
            "traefik"
        ]
    );
    assert_eq!(
        names("AnalysisTemplate", "spec.metrics[].provider"),
        [
            "cloudWatch",
            "datadog",
            "graphite",
            "influxdb",
            "job",
            "kayenta",
            "newRelic",
            "plugin",
            "prometheus",
            "skywalking",
            "wavefront",
            "web"
        ]
    );
}

#[test]
fn the_schema_of_a_plugin_becomes_its_block() {
    let block = json!({ "type": "object", "properties": { "mappings": { "type": "array", "items": { "type": "string" } } } });
    let schemas = ConfigSchemas {
        routers: BTreeMap::from([("ambassador".into(), block.clone())]),
        providers: BTreeMap::from([("web".into(), block.clone())]),
    };
    let crds = crds_with(&schemas);
    let root = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let at = |index: usize, path: &str| crds[index].pointer(&format!("{root}{path}")).unwrap();
    let routers = "/strategy/properties/canary/properties/trafficRouting/properties";
    assert_eq!(at(0, &format!("{routers}/ambassador")), &block);
    assert_eq!(
        at(0, &format!("{routers}/smi"))["x-kubernetes-preserve-unknown-fields"],
        true
    );
    let providers = "/metrics/items/properties/provider/properties";
    for index in 1..4 {
        assert_eq!(at(index, &format!("{providers}/web")), &block);
        assert_eq!(
            at(index, &format!("{providers}/job"))["x-kubernetes-preserve-unknown-fields"],
            true
        );
    }
}

#[test]
fn the_shipped_schemas_are_readable() {
    let text = include_str!("../../data/config-schemas.json");
    assert_eq!(
        &serde_json::from_str::<ConfigSchemas>(text).unwrap(),
        ConfigSchemas::shipped()
    );
}

// BASE-009: upstream's definitions need server-side apply; ours do not.
#[test]
fn definitions_are_small_enough_for_kubectl_apply() {
    for crd in crds() {
        let size = serde_json::to_string(&crd).unwrap().len();
        assert!(
            size < 262_144 / 2,
            "{} has {size} bytes",
            crd["metadata"]["name"]
        );
    }
}

// The rules of structural schemas, without which the API server refuses a definition.
#[test]
fn definitions_are_structural() {
    for crd in crds() {
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        super::structural::assert_structural(schema, crd["metadata"]["name"].as_str().unwrap());
    }
}

// What the types write is what the schema allows: no field of a rich object would be pruned.
#[test]
fn every_field_of_a_rich_rollout_is_in_its_definition() {
    let schema = version("Rollout")["schema"]["openAPIV3Schema"].clone();
    let rollout = super::wire::rich_canary();
    for part in ["spec", "status"] {
        assert_known(&rollout[part], &schema["properties"][part], part);
    }
}

fn assert_known(value: &Value, schema: &Value, path: &str) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let schema = schema["properties"]
                    .get(name)
                    .or_else(|| schema.get("additionalProperties"));
                let schema = schema.unwrap_or_else(|| panic!("{path}.{name} would be pruned"));
                assert_known(field, schema, &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            for item in items {
                assert_known(item, &schema["items"], &format!("{path}[]"));
            }
        }
        _ => {}
    }
}

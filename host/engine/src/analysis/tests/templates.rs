//! From templates to runs.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_api as api;

use crate::analysis::template::{
    self, ClusterTemplates, Problem, RunRequest, Templates, metadata_field,
};

fn named<T: serde::de::DeserializeOwned>(name: &str, spec: &Value) -> T {
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
}

/// Templates by name; those that begin with `cluster-` are of the cluster, null ones do not exist.
fn templates(entries: &[(&str, Value)]) -> (Templates, ClusterTemplates) {
    let mut found = (Templates::new(), ClusterTemplates::new());
    for (name, spec) in entries {
        if name.starts_with("cluster-") {
            let template = (!spec.is_null()).then(|| Arc::new(named(name, spec)));
            found.1.insert((*name).to_owned(), template);
        } else {
            let template = (!spec.is_null()).then(|| Arc::new(named(name, spec)));
            found.0.insert((*name).to_owned(), template);
        }
    }
    found
}

fn references(names: &[&str]) -> Vec<api::AnalysisTemplateRef> {
    let reference = |name: &&str| api::AnalysisTemplateRef {
        template_name: (*name).to_owned(),
        cluster_scope: name.starts_with("cluster-").then_some(true),
    };
    names.iter().map(reference).collect()
}

fn metric(name: &str) -> Value {
    json!({ "name": name, "provider": { "web": { "url": "u" } } })
}

fn nested(metrics: &[&str], names: &[&str]) -> Value {
    let metrics: Vec<_> = metrics.iter().map(|name| metric(name)).collect();
    json!({ "metrics": metrics, "templates": references(names) })
}

// ARG-005, ARG-006, AT-001, AT-005
#[test]
fn nested_templates_are_found_depth_first_and_once() {
    let check = |entries: &[(&str, Value)], wanted: &[&str], expected: &[&str]| {
        let (templates, cluster) = templates(entries);
        let found = template::find(&references(wanted), &templates, &cluster).unwrap();
        let flat = template::flatten(&found).unwrap();
        let names: Vec<_> = flat
            .metrics
            .iter()
            .map(|metric| metric.name.as_str())
            .collect();
        assert_eq!(names, expected, "{wanted:?}");
    };
    let tree = [
        ("a", nested(&["a"], &["b", "cluster-x"])),
        ("b", nested(&["b1", "b2"], &["c"])),
        ("c", nested(&["c"], &[])),
        ("cluster-x", nested(&["x"], &["c", "d"])),
        ("d", nested(&["d"], &[])),
        (
            "only-others",
            json!({ "templates": references(&["c", "d"]) }),
        ),
    ];
    check(&tree, &["c"], &["c"]);
    check(&tree, &["d", "c"], &["d", "c"]);
    check(&tree, &["a"], &["a", "b1", "b2", "c", "d", "x"]);
    check(&tree, &["cluster-x", "d"], &["c", "d", "x"]);
    check(&tree, &["only-others"], &["c", "d"]);
    let circle = [
        ("a", nested(&["a"], &["b"])),
        ("b", nested(&["b"], &["cluster-c"])),
        ("cluster-c", nested(&["c"], &["a", "cluster-c"])),
    ];
    check(&circle, &["a"], &["a", "b", "c"]);
    check(&circle, &["cluster-c", "b"], &["a", "b", "c"]);
}

// ARG-005
#[test]
fn what_two_templates_define_differently_is_refused() {
    let check = |left: Value, right: Value, expected: &str| {
        let (templates, cluster) = templates(&[("a", left.clone()), ("b", right.clone())]);
        let found = template::find(&references(&["a", "b"]), &templates, &cluster).unwrap();
        let message = template::flatten(&found).map(|flat| json!(flat.args).to_string());
        assert_eq!(
            message.unwrap_or_else(|error| error),
            expected,
            "{left} {right}"
        );
    };
    let args = |value: Value| json!({ "args": [value] });
    check(
        json!({ "metrics": [metric("m")] }),
        json!({ "metrics": [metric("m")] }),
        "two metrics have the same name 'm'",
    );
    check(
        json!({ "dryRun": [{ "metricName": "m" }] }),
        json!({ "dryRun": [{ "metricName": "m" }] }),
        "two Dry-Run metric rules have the same name 'm'",
    );
    check(
        json!({ "measurementRetention": [{ "metricName": "m", "limit": 1 }] }),
        json!({ "measurementRetention": [{ "metricName": "m", "limit": 2 }] }),
        "two Measurement Retention metric rules have the same name 'm'",
    );
    check(
        args(json!({ "name": "n", "value": "1" })),
        args(json!({ "name": "n", "value": "2" })),
        "Argument `n` specified multiple times with different values: '1', '2'",
    );
    let (one, none) = (json!({ "name": "n", "value": "1" }), json!({ "name": "n" }));
    let expected = r#"[{"name":"n","value":"1"}]"#;
    check(args(one.clone()), args(none.clone()), expected);
    check(args(none.clone()), args(one.clone()), expected);
    check(args(one.clone()), args(one), expected);
    check(args(none.clone()), args(none), r#"[{"name":"n"}]"#);
}

// ARG-004
#[test]
fn declared_arguments_get_their_values() {
    let check = |given: Value, declared: Value, expected: Value| {
        let given: Vec<api::Argument> = serde_json::from_value(given).unwrap();
        let declared: Vec<api::Argument> = serde_json::from_value(declared).unwrap();
        let found = template::merge_args(&given, &declared)
            .map_or_else(|error| json!(error), |args| json!(args));
        assert_eq!(found, expected);
    };
    let secret = json!({ "secretKeyRef": { "name": "s", "key": "k" } });
    check(
        json!([]),
        json!([{ "name": "a" }]),
        json!("args.a was not resolved"),
    );
    check(
        json!([{ "name": "a", "value": "1" }, { "name": "unknown", "value": "2" }]),
        json!([{ "name": "a" }, { "name": "b", "value": "d" }]),
        json!([{ "name": "a", "value": "1" }, { "name": "b", "value": "d" }]),
    );
    check(
        json!([{ "name": "a", "value": "" }]),
        json!([{ "name": "a", "value": "d" }]),
        json!([{ "name": "a", "value": "" }]),
    );
    check(
        json!([{ "name": "a", "valueFrom": secret }]),
        json!([{ "name": "a" }]),
        json!([{ "name": "a", "valueFrom": secret }]),
    );
    check(
        json!([{ "name": "a", "value": "1", "valueFrom": secret }]),
        json!([{ "name": "a" }]),
        json!([{ "name": "a", "value": "1" }]),
    );
}

fn problem(entries: &[(&str, Value)], analysis: Value, background: bool) -> Option<Problem> {
    let (templates, cluster) = templates(entries);
    let analysis: api::RolloutAnalysis = serde_json::from_value(analysis).unwrap();
    template::check(&analysis, &templates, &cluster, background).err()
}

// VAL-043
#[test]
fn templates_must_exist() {
    let check = |entries: &[(&str, Value)],
                 wanted: &str,
                 path: Option<&'static str>,
                 value: &str,
                 message: &str| {
        let found = problem(
            entries,
            json!({ "templates": references(&[wanted]) }),
            false,
        );
        let expected = Problem {
            path,
            value: value.to_owned(),
            message: message.to_owned(),
        };
        assert_eq!(found, Some(expected));
    };
    check(&[], "a", None, "a", "AnalysisTemplate 'a' not found");
    check(
        &[("a", Value::Null)],
        "a",
        None,
        "a",
        "AnalysisTemplate 'a' not found",
    );
    check(
        &[],
        "cluster-a",
        None,
        "cluster-a",
        "ClusterAnalysisTemplate 'cluster-a' not found",
    );
    check(
        &[("a", nested(&["m"], &["cluster-b"]))],
        "a",
        Some("spec.templates"),
        "cluster-b",
        "ClusterAnalysisTemplate 'cluster-b' not found",
    );
}

// VAL-044, VAL-045, VAL-046
#[test]
fn templates_must_make_a_run_that_can_end() {
    let check = |spec: Value, rest: Value, background: bool, expected: &str| {
        let mut analysis = json!({ "templates": references(&["a", "cluster-b"]) });
        analysis
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        let entries = [("a", spec.clone()), ("cluster-b", nested(&["b"], &[]))];
        let found = problem(&entries, analysis, background)
            .map(|found| format!("{}: {}", found.value, found.message));
        assert_eq!(
            found.as_deref().unwrap_or("valid"),
            expected,
            "{spec} {rest}"
        );
    };
    let given = json!({ "args": [{ "name": "n", "value": "3" }] });
    let endless = |count: Value| {
        json!({
            "metrics": [{ "name": "m", "interval": "1m", "count": count, "provider": {} }], "args": [{ "name": "n" }],
        })
    };
    let forever = |count: &str| {
        format!(
            "a: AnalysisTemplate a has metric m which runs indefinitely. Invalid value for count: {count}"
        )
    };
    check(nested(&["m"], &[]), json!({}), false, "valid");
    check(
        nested(&["b"], &[]),
        json!({}),
        false,
        "templateNames: [a cluster-b]: two metrics have the same name 'b'",
    );
    check(
        endless(json!(null)),
        json!({}),
        false,
        "templateNames: [a cluster-b]: args.n was not resolved",
    );
    check(
        endless(json!(null)),
        given.clone(),
        false,
        &forever("<nil>"),
    );
    check(endless(json!(0)), given.clone(), false, &forever("0"));
    check(endless(json!("x")), given.clone(), false, &forever("x"));
    check(endless(json!(null)), given.clone(), true, "valid");
    check(endless(json!("{{args.n}}")), given.clone(), false, "valid");
    check(
        endless(json!("{{args.other}}")),
        given.clone(),
        false,
        "a: AnalysisTemplate a: failed to resolve {{args.other}}",
    );
    let both =
        json!({ "name": "n", "value": "1", "valueFrom": { "fieldRef": { "fieldPath": "x" } } });
    check(
        json!({ "metrics": [metric("m")], "args": [both] }),
        json!({}),
        false,
        "a: AnalysisTemplate a: arg 'n' has both Value and ValueFrom fields",
    );
    let hash =
        json!({ "args": [{ "name": "n", "valueFrom": { "podTemplateHashValue": "Latest" } }] });
    check(endless(json!(1)), hash, false, "valid");
    check(
        nested(&["m"], &[]),
        json!({ "dryRun": [{ "metricName": "m" }, { "metricName": "m" }] }),
        true,
        "templateNames: [a cluster-b]: two Dry-Run metric rules have the same name 'm'",
    );
}

fn rollout() -> api::Rollout {
    serde_json::from_value(json!({
        "metadata": {
            "name": "checkout", "namespace": "shop", "uid": "0b9a-ro",
            "labels": { "app": "checkout", "argo-rollouts.argoproj.io/controller-instance-id": "blue" },
            "annotations": { "Example.com/Owner": "team \"a\"", "b": "1" },
        },
        "spec": {
            "replicas": 5,
            "progressDeadlineSeconds": 1_234_567,
            "selector": { "matchLabels": { "app": "checkout", "rollout-type": "from the selector" } },
            "strategy": { "canary": { "steps": [{ "setWeight": 20 }, { "pause": {} }] } },
            "template": { "spec": { "containers": [{ "name": "c", "image": "i:1", "cpu": 0.5, "tty": true }] } },
        },
        "status": { "pauseConditions": [{ "reason": "CanaryPauseStep", "startTime": "2024-05-06T07:08:09Z" }] },
    }))
    .unwrap()
}

// RAN-009
#[test]
fn arguments_may_be_fields_of_the_rollout() {
    let check = |path: &str, expected: Result<&str, &str>| {
        let argument = json!([{ "name": "n", "valueFrom": { "fieldRef": { "fieldPath": path } } }]);
        let args: Vec<api::AnalysisRunArgument> = serde_json::from_value(argument).unwrap();
        let found = template::arguments(&args, &rollout(), "stable9", "latest7");
        let found = found.map(|args| args[0].value.clone().unwrap());
        assert_eq!(
            found,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{path}"
        );
    };
    check("metadata.name", Ok("checkout"));
    check("metadata.namespace", Ok("shop"));
    check("metadata.uid", Ok("0b9a-ro"));
    check("metadata.labels['app']", Ok("checkout"));
    check("metadata.labels['env']", Ok(""));
    check(
        "metadata.annotations['Example.com/Owner']",
        Ok("team \"a\""),
    );
    check(
        "metadata.annotations",
        Ok("Example.com/Owner=\"team \\\"a\\\"\"\nb=\"1\""),
    );
    check(
        "metadata.generation",
        Err("unsupported fieldPath: metadata.generation"),
    );
    check(
        "metadata.name['a']",
        Err("fieldPath \"metadata.name['a']\" does not support subscript"),
    );
    check(
        "metadata.labels['a b']",
        Err(
            "invalid key subscript in metadata.labels['a b']: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
    );
    check("spec.replicas", Ok("5"));
    // Go prints a large number with an exponent.
    check("spec.progressDeadlineSeconds", Ok("1.234567e+06"));
    check("spec.strategy.canary.steps[0].setWeight", Ok("20"));
    check("spec.strategy.canary.steps.0.setWeight", Ok("20"));
    check("status.pauseConditions[0].reason", Ok("CanaryPauseStep"));
    check("spec.template.spec.containers[0].cpu", Ok("0.5"));
    check("spec.template.spec.containers[0].tty", Ok("true"));
    check("spec.template.spec.containers[0].image", Ok("i:1"));
    check(
        "spec.strategy.canary.steps[x].setWeight",
        Err("invalid index 'x'"),
    );
    check(
        "spec.strategy.canary.steps[2].setWeight",
        Err("index 2 out of range"),
    );
    check(
        "spec.strategy.canary.steps[-1].setWeight",
        Err("index -1 out of range"),
    );
    check("spec.nothing", Err("invalid path spec.nothing in rollout"));
    check(
        "spec.replicas.more",
        Err("invalid path spec.replicas.more in rollout"),
    );
    check(
        "spec.strategy",
        Err("path spec.strategy in rollout must terminate in a primitive value"),
    );
}

// RAN-009
#[test]
fn arguments_may_be_fixed_or_hashes() {
    let args: Vec<api::AnalysisRunArgument> = serde_json::from_value(json!([
        { "name": "fixed", "value": "v" },
        { "name": "empty" },
        { "name": "new", "valueFrom": { "podTemplateHashValue": "Latest" } },
        { "name": "old", "value": "unused", "valueFrom": { "podTemplateHashValue": "Stable" } },
    ]))
    .unwrap();
    let found = template::arguments(&args, &rollout(), "stable9", "latest7").unwrap();
    let values: Vec<_> = found
        .iter()
        .map(|argument| argument.value.as_deref().unwrap())
        .collect();
    assert_eq!(values, ["v", "", "latest7", "stable9"]);
    let wrong: Vec<api::AnalysisRunArgument> = serde_json::from_value(json!([
        { "name": "wrong", "valueFrom": { "fieldRef": { "fieldPath": "spec.nothing" } } },
        { "name": "right", "valueFrom": { "fieldRef": { "fieldPath": "spec.replicas" } } },
    ]))
    .unwrap();
    let found = template::arguments(&wrong, &rollout(), "stable9", "latest7");
    assert_eq!(found.unwrap_err(), "invalid path spec.nothing in rollout");
}

// STP-004, RAN-007, KEY-014, ARG-005
#[test]
fn a_run_carries_the_rollouts_labels_rules_and_arguments() {
    let spec = json!({
        "metrics": [metric("m")], "args": [{ "name": "hash" }], "dryRun": [{ "metricName": "from-template" }],
        "measurementRetention": [{ "metricName": "m", "limit": 4 }],
    });
    let (templates, cluster) = templates(&[("a", spec)]);
    let analysis = serde_json::from_value(json!({
        "templates": references(&["a"]),
        "args": [{ "name": "hash", "valueFrom": { "podTemplateHashValue": "Latest" } }],
        "dryRun": [{ "metricName": "from-rollout" }],
        "analysisRunMetadata": {
            "labels": { "team": "a", "app": "mine" },
            "annotations": { "note": "n", "rollout.argoproj.io/revision": "mine" },
        },
    }))
    .unwrap();
    let body = template::run(&RunRequest {
        rollout: &rollout(),
        analysis: &analysis,
        templates: &templates,
        cluster_templates: &cluster,
        name: "checkout-latest7-3-2",
        rollout_type: "Step",
        step_index: Some(2),
        stable_hash: "stable9",
        latest_hash: "latest7",
        revision: 3,
    })
    .unwrap();
    assert_eq!(
        body,
        json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisRun",
            "metadata": {
                "name": "checkout-latest7-3-2",
                "namespace": "shop",
                "labels": {
                    "rollouts-pod-template-hash": "latest7", "rollout-type": "from the selector", "step-index": "2",
                    "argo-rollouts.argoproj.io/controller-instance-id": "blue", "team": "a", "app": "checkout",
                },
                "annotations": { "note": "n", "rollout.argoproj.io/revision": "mine" },
                "ownerReferences": [{
                    "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "checkout", "uid": "0b9a-ro",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "metrics": [metric("m")],
                "args": [{ "name": "hash", "value": "latest7" }],
                "dryRun": [{ "metricName": "from-rollout" }, { "metricName": "from-template" }],
                "measurementRetention": [{ "metricName": "m", "limit": 4 }],
            },
        })
    );
}

// VAL-033
#[test]
fn metadata_fields_are_those_of_the_downward_api() {
    let metadata = rollout().metadata;
    assert!(metadata_field(&metadata, "metadata.labels['x.example.com/y']").is_ok());
    assert!(metadata_field(&metadata, "metadata.labels['']").is_err());
    assert!(metadata_field(&metadata, "metadata.labels['-x']").is_err());
    assert!(metadata_field(&metadata, "metadata.labels['UPPER/x']").is_err());
    assert!(metadata_field(&metadata, "metadata.annotations['UPPER/x']").is_ok());
    assert!(metadata_field(&metadata, "metadata").is_err());
}

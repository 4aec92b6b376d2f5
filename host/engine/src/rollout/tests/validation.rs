//! What is wrong with a specification, in upstream's words.

use serde_json::{Value, json};

use super::world::World;
use crate::plan::{Outcome, Requeue};
use crate::plugin::{Disposition, PluginKind, PluginName, Refusal};
use crate::rollout::{ValidRollout, decide, settle, validate};

fn valid(world: &World) -> Result<ValidRollout, String> {
    let seen = world.observe();
    validate(&seen.rollout, &seen).map_err(|errors| errors.first.to_string())
}

fn check(world: &World, expected: &str) {
    let message = valid(world).map_or_else(|error| error, |_| String::new());
    assert_eq!(
        message,
        expected,
        "{}",
        world.object("Rollout", "web")["spec"]["strategy"]
    );
}

// VAL-004, VAL-007, VAL-008, VAL-009, VAL-010, VAL-011, VAL-012, VAL-013, VAL-014, VAL-020, VAL-021, VAL-022, VAL-023,
// VAL-024, VAL-025, VAL-026, VAL-027, VAL-028, VAL-029, VAL-030, VAL-031, VAL-033, RO-008, RO-011, STP-001, TRF-010
// The texts were recorded from upstream's own validation.
#[test]
fn a_wrong_field_is_named_as_upstream_names_it() {
    let rows: Vec<(&str, Value, &str)> = vec![
        (
            "VAL-004",
            json!({"strategy": {"canary": {}}, "replicas": -1}),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "VAL-004",
            json!({"strategy": {"canary": {}}, "minReadySeconds": -1}),
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "VAL-004",
            json!({"strategy": {"canary": {}}, "revisionHistoryLimit": -1}),
            "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "VAL-004",
            json!({"strategy": {"canary": {}}, "progressDeadlineSeconds": -1}),
            "spec.progressDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "VAL-007",
            json!({"strategy": {"canary": {}}, "selector": {"matchLabels": {"app": "other"}}}),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
        ),
        (
            "VAL-007",
            json!({"strategy": {"canary": {}}, "template": {"spec": {"restartPolicy": "Never"}}}),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "VAL-007",
            json!({"strategy": {"canary": {}}, "template": {"spec": {"containers": []}}}),
            "spec.template.spec.containers: Required value",
        ),
        (
            "VAL-008",
            json!({"strategy": {"canary": {}}, "progressDeadlineSeconds": 10, "minReadySeconds": 10}),
            "spec.progressDeadlineSeconds: Invalid value: 10: must be greater than minReadySeconds",
        ),
        (
            "VAL-009",
            json!({}),
            "spec.strategy.strategy: Required value: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen'",
        ),
        (
            "VAL-009",
            json!({"strategy": {"canary": {}, "blueGreen": {"activeService": "active"}}}),
            "spec.strategy.strategy: Invalid value: \"blueGreen: true canary: true\": Multiple Strategies can not be listed",
        ),
        (
            "VAL-010",
            json!({"strategy": {"blueGreen": {"activeService": "active", "previewService": "active"}}}),
            "spec.strategy.activeService: Invalid value: \"active\": This rollout uses the same service for the active and preview services, but two different services are required.",
        ),
        (
            "VAL-011",
            json!({"strategy": {"blueGreen": {"activeService": "active", "scaleDownDelayRevisionLimit": 4}}, "revisionHistoryLimit": 3}),
            "spec.strategy.scaleDownDelayRevisionLimit: Invalid value: 4: This rollout's revision history limit can not be smaller than the rollout's scale down limit",
        ),
        (
            "VAL-012",
            json!({"strategy": {"blueGreen": {"activeService": "active", "antiAffinity": {}}}}),
            "spec.strategy.antiAffinity: Invalid value: \"antiAffinity.PreferredDuringSchedulingIgnoredDuringExecution: false antiAffinity.RequiredDuringSchedulingIgnoredDuringExecution: false\": AntiAffinity must have exactly one strategy listed",
        ),
        (
            "VAL-012",
            json!({"strategy": {"canary": {"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 1}, "requiredDuringSchedulingIgnoredDuringExecution": {}}}}}),
            "spec.strategy.antiAffinity: Invalid value: \"antiAffinity.PreferredDuringSchedulingIgnoredDuringExecution: true antiAffinity.RequiredDuringSchedulingIgnoredDuringExecution: true\": AntiAffinity must have exactly one strategy listed",
        ),
        (
            "VAL-012",
            json!({"strategy": {"canary": {"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 101}}}}}),
            "spec.strategy.antiAffinity.weight: Invalid value: 101: AntiAffinity weight must be between 1-100",
        ),
        (
            "VAL-012",
            json!({"strategy": {"canary": {"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 0}}}}}),
            "spec.strategy.antiAffinity.weight: Invalid value: 0: AntiAffinity weight must be between 1-100",
        ),
        (
            "VAL-013",
            json!({"strategy": {"canary": {"maxSurge": 0, "maxUnavailable": 0}}}),
            "spec.strategy.maxSurge: Invalid value: 0: MaxSurge and MaxUnavailable both can not be zero",
        ),
        (
            "VAL-013",
            json!({"strategy": {"canary": {"maxSurge": "0%", "maxUnavailable": 0}}}),
            "spec.strategy.maxSurge: Invalid value: \"0%\": MaxSurge and MaxUnavailable both can not be zero",
        ),
        (
            "VAL-014",
            json!({"strategy": {"canary": {"canaryService": "same", "stableService": "same"}}}),
            "spec.strategy.stableService: Invalid value: \"same\": This rollout uses the same service for the stable and canary services, but two different services are required.",
        ),
        (
            "VAL-020",
            json!({"strategy": {"canary": {"trafficRouting": {"istio": {"virtualService": {"name": "routes"}}}}}}),
            "spec.strategy.stableService: Invalid value: \"\": Canary service and Stable service must to be set to use Traffic Routing",
        ),
        (
            "VAL-020",
            json!({"strategy": {"canary": {"canaryService": "canary", "trafficRouting": {"nginx": {"stableIngress": "x"}}}}}),
            "spec.strategy.stableService: Invalid value: \"\": Canary service and Stable service must to be set to use Traffic Routing",
        ),
        (
            "VAL-021",
            json!({"strategy": {"canary": {"scaleDownDelaySeconds": 30}}}),
            "spec.strategy.scaleDownDelaySeconds: Invalid value: 30: Canary scaleDownDelaySeconds can only be used with traffic routing",
        ),
        (
            "VAL-022",
            json!({"strategy": {"canary": {"dynamicStableScale": true}}}),
            "spec.strategy.dynamicStableScale: Invalid value: true: Canary dynamicStableScale can only be used with traffic routing",
        ),
        (
            "VAL-023",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}}, "dynamicStableScale": true, "scaleDownDelaySeconds": 30}}}),
            "spec.strategy.dynamicStableScale: Invalid value: true: Canary dynamicStableScale cannot be used with scaleDownDelaySeconds",
        ),
        (
            "VAL-024",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}, "maxTrafficWeight": 1000}}}}),
            "spec.strategy.trafficRouting.maxTrafficWeight: Invalid value: 1000: Canary maxTrafficWeight in traffic routing only supported in Nginx and Plugins",
        ),
        (
            "VAL-025",
            json!({"strategy": {"canary": {"steps": [{}]}}}),
            "spec.strategy.steps[0]: Invalid value: \"step.Experiment: true step.Pause: true step.SetWeight: true step.Analysis: true step.SetCanaryScale: true step.SetHeaderRoute: true step.SetMirrorRoute: true step.Plugin: true\": Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause",
        ),
        (
            "VAL-025",
            json!({"strategy": {"canary": {"steps": [{"setWeight": 10, "pause": {}}]}}}),
            "spec.strategy.steps[0]: Invalid value: \"step.Experiment: false step.Pause: true step.SetWeight: true step.Analysis: false\": Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause",
        ),
        (
            "VAL-025",
            json!({"strategy": {"canary": {"steps": [{"setWeight": 10}, {"analysis": {"templates": []}, "pause": {}}]}}}),
            "spec.strategy.steps[1]: Invalid value: \"step.Experiment: false step.Pause: true step.SetWeight: false step.Analysis: true\": Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause",
        ),
        (
            "VAL-026",
            json!({"strategy": {"canary": {"steps": [{"setWeight": 101}]}}}),
            "spec.strategy.steps[0].setWeight: Invalid value: 101: SetWeight needs to be between 0 and 100",
        ),
        (
            "VAL-026",
            json!({"strategy": {"canary": {"steps": [{"setWeight": -1}]}}}),
            "spec.strategy.steps[0].setWeight: Invalid value: -1: SetWeight needs to be between 0 and 100",
        ),
        (
            "VAL-026",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"plugins": {"acme/router": {}}, "maxTrafficWeight": 1000}, "steps": [{"setWeight": 1001}]}}}),
            "spec.strategy.steps[0].setWeight: Invalid value: 1001: SetWeight needs to be between 0 and 1000",
        ),
        (
            "VAL-027",
            json!({"strategy": {"canary": {"steps": [{"pause": {"duration": -1}}]}}}),
            "spec.strategy.steps[0].pause.duration: Invalid value: -1: Duration needs to be greater than 0",
        ),
        (
            "VAL-027",
            json!({"strategy": {"canary": {"steps": [{"pause": {"duration": "soon"}}]}}}),
            "spec.strategy.steps[0].pause.duration: Invalid value: -1: Duration needs to be greater than 0",
        ),
        (
            "VAL-027",
            json!({"strategy": {"canary": {"steps": [{"pause": {"duration": "-5m"}}]}}}),
            "spec.strategy.steps[0].pause.duration: Invalid value: -300: Duration needs to be greater than 0",
        ),
        (
            "VAL-028",
            json!({"strategy": {"canary": {"steps": [{"setCanaryScale": {"replicas": 1}}]}}}),
            "spec.strategy.trafficRouting: Required value: SetCanaryScale requires TrafficRouting to be set",
        ),
        (
            "VAL-029",
            json!({"strategy": {"canary": {"steps": [{"setHeaderRoute": {"name": "test"}}]}}}),
            "spec.strategy.steps[0].setHeaderRoute: Invalid value: {\"name\":\"test\"}: SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix",
        ),
        (
            "VAL-030",
            json!({"strategy": {"canary": {"steps": [{"setMirrorRoute": {"name": "test"}}]}}}),
            "spec.strategy.steps[0].setMirrorRoute: Invalid value: {\"name\":\"test\"}: SetMirrorRoute requires TrafficRouting, supports Istio and Plugins",
        ),
        (
            "VAL-029",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"nginx": {"stableIngress": "x"}}, "steps": [{"setHeaderRoute": {"name": "test"}}]}}}),
            "spec.strategy.steps[0].setHeaderRoute: Invalid value: {\"name\":\"test\"}: SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix",
        ),
        (
            "VAL-030",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"nginx": {"stableIngress": "x"}}, "steps": [{"setMirrorRoute": {"name": "test"}}]}}}),
            "spec.strategy.steps[0].setMirrorRoute: Invalid value: {\"name\":\"test\"}: SetMirrorRoute requires TrafficRouting, supports Istio and Plugins",
        ),
        (
            "VAL-031",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}}, "steps": [{"setHeaderRoute": {"name": "test"}}]}}}),
            "spec.strategy.trafficRouting.managedRoutes: Required value: Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'",
        ),
        (
            "VAL-031",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}, "managedRoutes": [{"name": "other"}]}, "steps": [{"setHeaderRoute": {"name": "test"}}]}}}),
            "spec.strategy.steps[0].setHeaderRoute: Invalid value: \"test\": Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes",
        ),
        (
            "VAL-031",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}, "managedRoutes": [{"name": "other"}]}, "steps": [{"setMirrorRoute": {"name": "test"}}]}}}),
            "spec.strategy.steps[0].setMirrorRoute: Invalid value: \"test\": Steps define a route that does not exist in spec.strategy.canary.trafficRouting.managedRoutes",
        ),
        (
            "VAL-029",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}, "managedRoutes": [{"name": "test"}]}, "steps": [{"setHeaderRoute": {"name": "test", "match": [{"headerName": "a", "headerValue": {"exact": "b", "prefix": "c"}}]}}]}}}),
            "spec.strategy.steps[0].setHeaderRoute.match[0]: Invalid value: {\"exact\":\"b\",\"prefix\":\"c\"}: StringMatch match value must have exactly one of the following: exact, regex, prefix",
        ),
        (
            "VAL-029",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}, "managedRoutes": [{"name": "test"}]}, "steps": [{"setHeaderRoute": {"name": "test", "match": [{"headerName": "a", "headerValue": {}}]}}]}}}),
            "spec.strategy.steps[0].setHeaderRoute.match[0]: Invalid value: {}: StringMatch value missed, match value must have one of the following: exact, regex, prefix",
        ),
        (
            "VAL-030",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}, "managedRoutes": [{"name": "test"}]}, "steps": [{"setMirrorRoute": {"name": "test", "match": [{"path": {"exact": "b", "prefix": "c"}}]}}]}}}),
            "spec.strategy.steps[0].setMirrorRoute.match[0]: Invalid value: {\"exact\":\"b\",\"prefix\":\"c\"}: StringMatch match value must have exactly one of the following: exact, regex, prefix",
        ),
        (
            "VAL-033",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}}, "steps": [{"analysis": {"templates": [{"templateName": "checks"}], "args": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nonsense"}}}]}}]}}}),
            "spec.strategy.steps[0].analyses: Invalid value: [{\"name\":\"a\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.nonsense\"}}}]: Analyses arguments must refer to valid object metadata supported by downwardAPI",
        ),
        (
            "ok",
            json!({"strategy": {"canary": {"steps": [{"setWeight": 0}, {"setWeight": 100}, {"pause": {"duration": 0}}, {"pause": {"duration": "1h30m"}}, {"pause": {"duration": "15"}}]}}}),
            "",
        ),
        (
            "ok",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"istio": {"virtualService": {"name": "routes"}}}, "steps": [{"setWeight": 0}, {"setCanaryScale": {"replicas": 1}, "setWeight": 5}]}}}),
            "",
        ),
        (
            "ok",
            json!({"strategy": {"canary": {"canaryService": "canary", "stableService": "stable", "trafficRouting": {"plugins": {"acme/router": {}}, "maxTrafficWeight": 1000}, "steps": [{"setWeight": 1000}]}}}),
            "",
        ),
        (
            "ok",
            json!({"strategy": {"canary": {"trafficRouting": {"plugins": {"acme/router": {}}}}}}),
            "",
        ),
        (
            "ok",
            json!({"strategy": {"canary": {"maxSurge": 0, "maxUnavailable": "1%"}}}),
            "",
        ),
    ];
    for (row, spec, expected) in rows {
        assert!(row.starts_with("VAL-") || expected.is_empty());
        check(&World::new(spec), expected);
    }
}

// RT-CAP-09: where the plugin says so.
#[test]
fn a_total_is_for_routers_that_know_it() {
    let mut world = World::new(json!({ "strategy": { "canary": {
        "canaryService": "canary", "stableService": "stable", "steps": [{ "setWeight": 500 }],
        "trafficRouting": { "plugins": { "acme/router": {} }, "maxTrafficWeight": 1000 },
    } } }));
    check(&world, "");
    world.provide_plain("acme/router");
    check(
        &world,
        "spec.strategy.trafficRouting.maxTrafficWeight: Invalid value: 1000: router acme/router splits into 100 parts only",
    );
}

// VAL-005, RO-002
#[test]
fn a_selector_is_needed_and_selects_something() {
    let mut world = World::canary(json!({}));
    world.edit(json!({ "selector": null }));
    check(
        &world,
        "spec.selector: Required value: Rollout has missing field '.spec.selector'",
    );
    world.edit(json!({ "selector": {} }));
    check(
        &world,
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
    );
}

// VAL-005
// The texts were recorded from apimachinery's own function.
#[test]
fn a_selector_is_written_as_kubernetes_wants_it() {
    let name = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
         character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
         start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
         validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let long = "a".repeat(64);
    let label = |key: &str, value: &str| json!({ "matchLabels": { key: value } });
    let requires = |requirement: Value| {
        let good = json!({ "key": "app", "operator": "Exists" });
        json!({ "matchExpressions": [good, requirement] })
    };
    let of_labels = |value: &str, why: &str| {
        format!("spec.selector.matchLabels: Invalid value: \"{value}\": {why}")
    };
    let of = |field: &str, why: &str| format!("spec.selector.matchExpressions[1].{field}: {why}");
    let rows = [
        (
            label("a b", "x"),
            of_labels("a b", &format!("name part {name}")),
        ),
        (label("", "x"), of_labels("", "name part must be non-empty")),
        (
            label("/x", "x"),
            of_labels("/x", "prefix part must be non-empty"),
        ),
        (
            label("A.b/x", "x"),
            of_labels("A.b/x", &format!("prefix part {subdomain}")),
        ),
        (
            label("a/b/c", "x"),
            of_labels(
                "a/b/c",
                &format!(
                    "a qualified name {name} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
                ),
            ),
        ),
        (
            label(&long, "x"),
            of_labels(&long, "name part must be no more than 63 characters"),
        ),
        (label("a", "-x"), of_labels("-x", value)),
        (
            label("a", &long),
            of_labels(&long, "must be no more than 63 characters"),
        ),
        (
            requires(json!({ "key": "a", "operator": "in", "values": ["x"] })),
            of(
                "operator",
                "Invalid value: \"in\": not a valid selector operator",
            ),
        ),
        (
            requires(json!({ "key": "a", "operator": "In" })),
            of(
                "values",
                "Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
        ),
        (
            requires(json!({ "key": "a", "operator": "DoesNotExist", "values": ["x"] })),
            of(
                "values",
                "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
        ),
        (
            requires(json!({ "key": "-a", "operator": "Exists" })),
            of("key", &format!("Invalid value: \"-a\": name part {name}")),
        ),
        (
            requires(json!({ "key": "a", "operator": "NotIn", "values": ["x", "y z"] })),
            of("values[1]", &format!("Invalid value: \"y z\": {value}")),
        ),
        (
            requires(
                json!({ "key": "example.com/a_b", "operator": "NotIn", "values": ["", "X.y"] }),
            ),
            String::new(),
        ),
    ];
    for (selector, expected) in rows {
        let mut world = World::canary(json!({}));
        // Merged, it would keep its labels.
        world.edit(json!({ "selector": null }));
        world.edit(json!({ "selector": selector }));
        check(&world, &expected);
    }
}

// VAL-001, VAL-002, VAL-054, CND-001, CND-025, CND-040
#[test]
fn an_invalid_specification_is_degraded_until_it_is_repaired() {
    let mut world = World::canary(json!({ "steps": [{ "setWeight": 200 }] }));
    world.settle();
    let first = "spec.strategy.steps[0].setWeight: Invalid value: 200: SetWeight needs to be between 0 and 100";
    assert_eq!(
        world.phase(),
        format!("Degraded: InvalidSpec: The Rollout \"web\" is invalid: {first}")
    );
    world.edit(json!({ "strategy": { "canary": { "steps": [{ "setWeight": -5 }] } } }));
    world.settle();
    let second = "spec.strategy.steps[0].setWeight: Invalid value: -5: SetWeight needs to be between 0 and 100";
    assert_eq!(
        world.condition("InvalidSpec"),
        format!("True InvalidSpec: The Rollout \"web\" is invalid: {second}")
    );
    assert_eq!(world.status().conditions.len(), 1);
    world.edit(json!({ "strategy": { "canary": { "steps": [{ "setWeight": 5 }] } } }));
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.condition("InvalidSpec"), "absent");
}

// VAL-040, VAL-041, VAL-042, KEY-003
#[test]
fn services_exist_select_the_pods_and_belong_to_nobody_else() {
    let mut world = World::blue_green(json!({}));
    check(&world, "");
    world.remove("Service", "preview");
    check(
        &world,
        "spec.strategy.blueGreen.previewService: Invalid value: \"preview\": service \"preview\" not found",
    );
    world.put(
        "Service",
        "preview",
        json!({ "spec": { "selector": { "app": "web", "tier": "front" } } }),
    );
    check(
        &world,
        "spec.strategy.blueGreen.previewService: Invalid value: \"preview\": \
         Service \"preview\" has unmatch label \"tier\" in rollout",
    );
    world.put("Service", "preview", json!({
        "metadata": { "annotations": { "argo-rollouts.argoproj.io/managed-by-rollouts": "other" } },
        "spec": { "selector": { "app": "web", "rollouts-pod-template-hash": "anything" } },
    }));
    check(
        &world,
        "spec.strategy.blueGreen.previewService: Invalid value: \"preview\": \
         Service \"preview\" is managed by another Rollout",
    );
    let mut world = World::routed(json!({}));
    world.remove("Service", "stable");
    check(
        &world,
        "spec.strategy.canary.stableService: Invalid value: \"stable\": service \"stable\" not found",
    );
    world.add_service("stable");
    world.remove("Service", "canary");
    check(
        &world,
        "spec.strategy.canary.canaryService: Invalid value: \"canary\": service \"canary\" not found",
    );
}

// VAL-040, VAL-054
#[test]
fn a_missing_service_is_noticed_and_its_return_too() {
    let mut world = World::blue_green(json!({}));
    world.settle();
    world.remove("Service", "active");
    world.release("web:2");
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: InvalidSpec: The Rollout \"web\" is invalid: spec.strategy.blueGreen.activeService: \
         Invalid value: \"active\": service \"active\" not found"
    );
    assert_eq!(world.sizes(), "r1 3/3");
    world.add_service("active");
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.selects("active"), "r2");
}

// VAL-043, VAL-045, VAL-046
#[test]
fn templates_exist_and_make_runs_that_end() {
    let step =
        json!({ "steps": [{ "analysis": { "templates": [{ "templateName": "checks" }] } }] });
    let mut world = World::canary(step);
    check(
        &world,
        "spec.strategy.canary.steps[0].analysis.templates: Invalid value: \"checks\": \
         AnalysisTemplate 'checks' not found",
    );
    world.add_template("checks");
    check(&world, "");
    let endless = json!({ "spec": { "metrics": [
        { "name": "errors", "interval": "10s", "provider": { "web": { "url": "http://metrics" } } },
    ] } });
    world.put("AnalysisTemplate", "checks", endless.clone());
    assert_eq!(
        valid(&world).unwrap_err(),
        "spec.strategy.canary.steps[0].analysis.templates: Invalid value: \"checks\": \
         AnalysisTemplate checks has metric errors which runs indefinitely. Invalid value for count: <nil>"
    );
    let mut world =
        World::canary(json!({ "analysis": { "templates": [{ "templateName": "checks" }] } }));
    world.put("AnalysisTemplate", "checks", endless);
    check(&world, "");
}

#[test]
fn a_router_that_may_yet_be_loaded_is_waited_for() {
    let mut world = World::routed(json!({}));
    world.settle();
    let phase = world.phase();
    let plugins = std::mem::take(&mut world.plugins);
    world.loading = true;
    world.settle();
    assert_eq!(world.phase(), phase, "that it is missing says nothing yet");
    world.plugins = plugins;
    world.loading = false;
    world.settle();
    assert_eq!(world.phase(), phase);
}

// RT-PLG-001
#[test]
fn a_router_that_nobody_provides_is_an_invalid_specification_and_recovers() {
    let mut world = World::routed(json!({}));
    let istio = PluginName {
        kind: PluginKind::TrafficRouter,
        name: "istio".to_owned(),
    };
    let info = world.plugins.remove(&istio).unwrap();
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: InvalidSpec: The Rollout \"web\" is invalid: spec.strategy.canary.trafficRouting.istio: \
         Internal error: failed to get traffic router plugin istio: no loaded plugin provides it"
    );
    world.plugins.insert(istio, info);
    world.settle();
    assert_eq!(world.phase(), "Healthy");
}

fn refusal(disposition: Disposition, field: Option<&str>) -> Refusal {
    Refusal {
        disposition,
        field: field.map(str::to_owned),
        reason: "Wrong".to_owned(),
        message: "Invalid value: \"routes\": it is wrong".to_owned(),
        again_at: None,
        notices: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
    }
}

// VAL-001, VAL-050
#[test]
fn what_a_router_finds_wrong_with_its_block_is_named_with_its_path() {
    let block = "spec.strategy.canary.trafficRouting.istio";
    let name = format!("{block}.virtualService.name");
    let expected = format!("{name}: Invalid value: \"routes\": it is wrong");
    let rows = [
        (
            Disposition::InvalidConfig,
            Some("virtualService.name"),
            expected.as_str(),
        ),
        (
            Disposition::InvalidConfig,
            Some(name.as_str()),
            expected.as_str(),
        ),
        (
            Disposition::Retry,
            Some("virtualService.name"),
            expected.as_str(),
        ),
        (Disposition::Retry, None, ""),
    ];
    for (disposition, field, expected) in rows {
        let mut world = World::routed(json!({}));
        world.refuses("istio", refusal(disposition, field));
        world.pass();
        check(&world, expected);
    }
    let mut world = World::routed(json!({}));
    world.refuses("istio", refusal(Disposition::Fail, None));
    world.pass();
    check(
        &world,
        &format!("{block}: Invalid value: \"routes\": it is wrong"),
    );
}

// A router that could not say whether its block is usable is asked again, although nothing changes.
#[test]
fn a_check_that_could_not_be_made_is_made_again() {
    let mut world = World::routed(json!({}));
    world.refuses("istio", refusal(Disposition::Retry, None));
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    world.release("web:2");
    world.settle();
    assert_eq!(world.routes(), "canary null, stable null");
    world.checks.clear();
    world.sleep();
    assert_eq!(world.routes(), "canary 0, stable 100");
    assert_eq!(world.sizes(), "r1 10/10, r2 10/10");

    let mut world = World::routed(json!({}));
    world.refuses(
        "istio",
        refusal(Disposition::Retry, Some("virtualService.name")),
    );
    world.settle();
    assert!(
        world.phase().starts_with("Degraded: InvalidSpec"),
        "{}",
        world.phase()
    );
    world.checks.clear();
    world.sleep();
    assert_eq!(world.phase(), "Healthy");
}

// ABT-001, EVT-011: an abort works although the specification is invalid.
#[test]
fn an_abort_is_heard_while_the_specification_is_invalid() {
    let mut world = World::blue_green(json!({ "autoPromotionEnabled": false }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.remove("Service", "preview");
    world.settle();
    world.abort();
    world.events.clear();
    world.settle();
    assert!(
        world.phase().starts_with("Degraded: InvalidSpec"),
        "{}",
        world.phase()
    );
    assert_eq!(
        world.condition("Progressing"),
        "False RolloutAborted: Rollout aborted update to revision 2"
    );
    assert_eq!(world.reasons(), "RolloutAborted");
    world.add_service("preview");
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2"
    );
}

// VAL-001, ABT-002: after the switch the active Service is what an abort takes back.
#[test]
fn an_abort_switches_back_while_the_specification_is_invalid() {
    let mut world = World::blue_green(json!({
        "postPromotionAnalysis": { "templates": [{ "templateName": "checks" }] },
    }));
    world.add_template("checks");
    world.settle();
    world.release("web:2");
    world.settle();
    assert_eq!(world.selects("active"), "r2");
    world.remove("AnalysisTemplate", "checks");
    world.settle();
    assert!(world.phase().starts_with("Degraded: InvalidSpec"));
    assert_eq!(world.selects("active"), "r2");
    world.pods_get_ready(false);
    world.pods_ready(1, 0);
    world.abort();
    world.settle();
    assert_eq!(world.selects("active"), "r2", "r1 could serve nobody");
    world.pods_ready(1, 1);
    world.events.clear();
    world.settle();
    assert_eq!(world.selects("active"), "r1");
    assert_eq!(world.status().blue_green.active_selector, world.hash(1));
    assert_eq!(world.reasons(), "SwitchService");
    world.pods_ready(1, 3);
    world.add_template("checks");
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2"
    );
    assert_eq!(world.selects("active"), "r1");
}

// VAL-001, REC-019: a canary keeps its share until the stable set can take it, so that is brought up.
#[test]
fn an_abort_of_what_is_paused_and_invalid_brings_the_stable_set_up() {
    let mut world = World::routed(json!({
        "dynamicStableScale": true, "steps": [{ "setWeight": 50 }, { "pause": {} }],
    }));
    world.settle();
    world.release("web:2");
    world.settle();
    assert_eq!(world.sizes(), "r1 5/5, r2 5/5");
    world.edit(json!({ "paused": true }));
    world.settle();
    world.edit(json!({ "strategy": { "canary": { "maxSurge": 0, "maxUnavailable": 0 } } }));
    world.settle();
    assert!(world.phase().starts_with("Degraded: InvalidSpec"));
    world.abort();
    world.settle();
    assert_eq!(world.sizes(), "r1 10/10, r2 5/5");
    assert_eq!(world.selects("canary"), "r1");
}

// VAL-028: a size that no set can have.
#[test]
fn a_negative_scale_is_refused() {
    for field in ["replicas", "weight"] {
        let mut world = World::routed(json!({ "steps": [{ "setCanaryScale": { (field): -1 } }] }));
        world.settle();
        assert_eq!(
            world.phase(),
            format!(
                "Degraded: InvalidSpec: The Rollout \"web\" is invalid: spec.strategy.steps[0].setCanaryScale.{field}: \
                 Invalid value: -1: must be greater than or equal to 0"
            )
        );
    }
}

// VAL-001: nor does a last pod that never comes keep the canary in traffic.
#[test]
fn an_abort_of_what_is_invalid_waits_for_most_of_a_dynamic_stable_set() {
    let mut world = World::routed(json!({
        "dynamicStableScale": true, "steps": [{ "setWeight": 50 }, { "pause": {} }],
    }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.edit(json!({ "strategy": { "canary": { "maxSurge": 0, "maxUnavailable": 0 } } }));
    world.settle();
    world.abort();
    for (available, selects) in [(7, "r2"), (8, "r1")] {
        world.pods_ready(1, available);
        world.settle();
        assert_eq!(world.selects("canary"), selects);
    }
}

// ABT-001: an abort works in every state, also when nothing can be said of the template or of the router.
#[test]
fn an_abort_is_heard_whatever_is_broken() {
    type Break = fn(&mut World);
    let rest = |world: &mut World| {
        // Who gets no answer asks again, without end.
        if world.look_fails {
            (0..20).for_each(|_| drop(world.pass()));
        } else {
            world.settle();
        }
    };
    let refused: Break = |world| {
        world.template_refused = true;
        world.release("web:3");
    };
    let unknown: Break = |world| {
        world.look_fails = true;
        world.release("web:3");
    };
    let no_plugin: Break = |world| world.plugins.clear();
    // What breaks, what is mended, where the traffic is meanwhile, whether it is a flaw of the specification.
    let table = [
        ("refused", refused, "canary 0, stable 100", true),
        ("unknown", unknown, "canary 0, stable 100", false),
        ("no plugin", no_plugin, "canary 50, stable 50", true),
    ];
    for dynamic in [false, true] {
        for (name, harm, routes, invalid) in table {
            let mut world = World::routed(json!({
                "dynamicStableScale": dynamic,
                "steps": [{ "setWeight": 50 }, { "pause": {} }, { "setWeight": 80 }],
            }));
            world.settle();
            world.release("web:2");
            world.settle();
            let generation = world.status().observed_generation;
            assert_eq!(world.routes(), "canary 50, stable 50");
            harm(&mut world);
            rest(&mut world);
            world.events.clear();
            world.abort();
            rest(&mut world);
            assert!(world.status().aborted_at.is_some(), "{name}");
            assert_eq!(
                world.condition("Progressing"),
                "False RolloutAborted: Rollout aborted update to revision 2",
                "{name}"
            );
            let aborted = world
                .events
                .iter()
                .filter(|event| event.contains("RolloutAborted"));
            assert_eq!(aborted.count(), 1, "{name}");
            assert!(
                world.phase().starts_with("Degraded"),
                "{name}: {}",
                world.phase()
            );
            assert_eq!(world.phase().contains("InvalidSpec"), invalid, "{name}");
            assert_eq!(world.selects("canary"), "r1", "{name}");
            assert_eq!(world.routes(), routes, "{name}");
            // The canary keeps its pods for as long as the router may send to it.
            let sizes = if dynamic && routes == "canary 0, stable 100" {
                "r1 10/10, r2 0/0"
            } else {
                "r1 10/10, r2 5/5"
            };
            assert_eq!(world.sizes(), sizes, "{name}");
            let observed = world.status().observed_generation;
            assert_eq!(observed == generation, name != "refused", "{name}");
            // A look that fails is repeated, and changes nothing.
            let status = world.status();
            rest(&mut world);
            assert_eq!(world.status(), status, "{name}");
            // Once it is mended, the new template is an update like any other.
            world.template_refused = false;
            world.look_fails = false;
            world.release("web:4");
            world.provide("istio");
            world.settle();
            assert_eq!(world.phase(), "Paused: CanaryPauseStep", "{name}");
            assert_eq!(world.routes(), "canary 50, stable 50", "{name}");
        }
    }
}

// ABT-004: nor does an abort undo what is promoted, while the specification is invalid.
#[test]
fn an_abort_of_what_is_promoted_changes_nothing_while_the_specification_is_invalid() {
    let mut world = World::routed(json!({ "steps": [{ "setWeight": 50 }, { "pause": {} }] }));
    world.settle();
    let before = world.status();
    world.remove("Service", "canary");
    world.settle();
    world.abort();
    world.settle();
    assert!(world.phase().contains("InvalidSpec"));
    assert!(!world.status().abort);
    world.add_service("canary");
    world.settle();
    assert_eq!(world.phase(), "Healthy");
    assert_eq!(world.status().current_step_index, before.current_step_index);
    assert_eq!(world.requeue, Requeue::OnChange);
}

// ABT-005: and it ends a full promotion, as it does while the specification is valid.
#[test]
fn an_abort_ends_a_full_promotion_while_the_specification_is_invalid() {
    let mut world = World::routed(json!({ "steps": [{ "setWeight": 50 }, { "pause": {} }] }));
    world.settle();
    world.pods_get_ready(false);
    world.release("web:2");
    world.settle();
    world.promote_full();
    world.settle();
    assert!(world.status().promote_full);
    world.remove("Service", "canary");
    world.settle();
    world.abort();
    world.settle();
    world.add_service("canary");
    world.settle();
    assert_eq!(
        world.phase(),
        "Degraded: RolloutAborted: Rollout aborted update to revision 2"
    );
}

// CAN-003: what may be there beside the sizes of an update is the surge, also while nobody knows the new set.
#[test]
fn an_abort_stays_within_the_surge_while_the_template_is_looked_at() {
    let mut world = World::canary(json!({
        "maxSurge": 1, "maxUnavailable": 1, "steps": [{ "setWeight": 50 }, { "pause": {} }],
    }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.pods_get_ready(false);
    world.abort();
    world.look_fails = true;
    world.release("web:3");
    for _ in 0..5 {
        world.pass();
        assert!(
            world.all_sizes().iter().sum::<i32>() <= 11,
            "{}",
            world.sizes()
        );
    }
}

// ABT-001: nor does it wait for sets that are not known.
#[test]
fn an_abort_is_heard_while_a_set_is_looked_for() {
    let mut world = World::routed(json!({
        "dynamicStableScale": true,
        "steps": [{ "setWeight": 50 }, { "pause": {} }],
    }));
    world.settle();
    world.release("web:2");
    world.settle();
    world.abort();
    let mut seen = world.observe();
    let current = world.hash(2);
    seen.replica_sets.retain(|set| set.hash() != current);
    let spec = validate(&seen.rollout, &seen);
    let made = decide(&spec, &seen);
    let reasons: Vec<&str> = made
        .plan
        .writes()
        .map(|(_, write)| write.reason.as_str())
        .collect();
    assert_eq!(reasons, ["scale from 5 to 10 for an abort"]);
    let settled = settle(&spec, &seen, &made, &Outcome::default());
    assert!(settled.next.aborted_at.is_some());
    assert_eq!(
        settled.next.message,
        "RolloutAborted: Rollout aborted update to revision 2"
    );
}

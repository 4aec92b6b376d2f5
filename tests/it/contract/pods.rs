//! Pods: what a template is filled in with, and who may take a pod away.

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::{Ground, entries, number, text};
use super::objects::set;

const PODS: &str = "v1/pods";
const SETS: &str = "apps/v1/replicasets";
const BUDGETS: &str = "policy/v1/poddisruptionbudgets";

pub fn pod(name: &str, annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": "shop:7"}]},
    })
}

pub fn is_ready(pod: &Value) -> bool {
    entries(pod, "/status/conditions")
        .iter()
        .any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True")
}

/// A template that says little of much.
fn rich_template() -> Value {
    json!({
        "metadata": {"labels": {"app": "a"}, "annotations": {}, "creationTimestamp": null},
        "spec": {
            "containers": [{
                "name": "main",
                "image": "example.com:5000/shop:7",
                "args": [],
                "env": [
                    {"name": "PLAIN", "value": ""},
                    {"name": "FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "ports": [{"containerPort": 80, "name": "http"}],
                "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 1}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}},
                "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 5},
                "volumeMounts": [{"name": "conf", "mountPath": "/conf", "readOnly": false}],
                "stdin": false,
            }],
            "initContainers": [{"name": "init", "image": "init"}],
            "hostNetwork": false,
            "volumes": [
                {"name": "conf", "configMap": {"name": "conf"}},
                {"name": "secret", "secret": {"secretName": "secret"}},
                {"name": "empty", "emptyDir": {}},
                {"name": "api", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ],
            "serviceAccountName": "shop",
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "a"}}}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}}}]}},
        },
    })
}

pub async fn a_template_is_filled_in(on: &Ground) -> Result<()> {
    let mut wanted = set("a", 0);
    wanted["spec"]["template"] = rich_template();
    let dry = on
        .post(&format!("{}?dryRun=All", on.path(SETS)), &wanted)
        .await?
        .success()?;
    let template = dry.at("/spec/template");
    on.eq(
        "its metadata",
        template["metadata"].clone(),
        json!({"labels": {"app": "a"}}),
    );
    let mut spec = template["spec"].clone();
    let container = spec["containers"][0].take();
    on.eq("its container", container, json!({
        "name": "main",
        "image": "example.com:5000/shop:7",
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "PLAIN"},
            {"name": "FIELD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        ],
        "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
        "livenessProbe": {"exec": {"command": ["true"]}, "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3},
        "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }));
    on.eq(
        "its first container",
        spec["initContainers"][0].take(),
        json!({
            "name": "init", "image": "init", "imagePullPolicy": "Always", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }),
    );
    on.eq("its volumes", spec["volumes"].take(), json!([
        {"name": "conf", "configMap": {"name": "conf", "defaultMode": 420}},
        {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 420}},
        {"name": "empty", "emptyDir": {}},
        {"name": "api", "downwardAPI": {"defaultMode": 420, "items": [{"path": "labels", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"}}]}},
    ]));
    on.eq("the rest", spec, json!({
        "containers": [null],
        "initContainers": [null],
        "volumes": null,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "shop",
        "serviceAccount": "shop",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "a"}}}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}}}]}},
    }));
    // What was filled in is not filled in again.
    let mut second = wanted.clone();
    second["spec"]["template"] = template.clone();
    let again = on
        .post(&format!("{}?dryRun=All", on.path(SETS)), &second)
        .await?
        .success()?;
    on.eq("once is enough", again.at("/spec/template"), template);
    Ok(())
}

pub async fn a_pod_template_kind_defaults_like_a_set(on: &Ground) -> Result<()> {
    let wrapped = json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a"}, "template": rich_template()});
    let as_template = on
        .post(
            &format!("{}?dryRun=All", on.path("v1/podtemplates")),
            &wrapped,
        )
        .await?
        .success()?;
    let mut wanted = set("a", 0);
    wanted["spec"]["template"] = rich_template();
    let as_set = on
        .post(&format!("{}?dryRun=All", on.path(SETS)), &wanted)
        .await?
        .success()?;
    on.eq(
        "to the same",
        as_template.at("/template"),
        as_set.at("/spec/template"),
    );
    wanted["apiVersion"] = json!("apps/v1");
    wanted["kind"] = json!("Deployment");
    let as_deployment = on
        .post(
            &format!("{}?dryRun=All", on.path("apps/v1/deployments")),
            &wanted,
        )
        .await?
        .success()?;
    on.eq(
        "as does a Deployment's",
        as_deployment.at("/spec/template"),
        as_set.at("/spec/template"),
    );
    let mut rest = as_deployment.at("/spec");
    rest["template"].take();
    rest["selector"].take();
    on.eq("a Deployment's own defaults", rest, json!({
        "replicas": 0, "selector": null, "template": null, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }));
    Ok(())
}

pub async fn templates_that_cannot_run_are_refused(on: &Ground) -> Result<()> {
    let change = |at: &str, value: Value| {
        let mut wanted = set("a", 0);
        if let Some(place) = wanted.pointer_mut(at) {
            *place = value;
        }
        wanted
    };
    for (what, wanted, words) in [
        (
            "no containers",
            change("/spec/template/spec/containers", json!([])),
            "spec.template.spec.containers: Required value",
        ),
        (
            "no image",
            change("/spec/template/spec/containers/0/image", json!("")),
            "spec.template.spec.containers[0].image: Required value",
        ),
        (
            "two of one name",
            change(
                "/spec/template/spec/containers",
                json!([{"name": "a", "image": "a"}, {"name": "a", "image": "b"}]),
            ),
            "spec.template.spec.containers[1].name: Duplicate value: \"a\"",
        ),
        (
            "a selector that does not match",
            change("/spec/selector/matchLabels/app", json!("b")),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
        ),
        (
            "no selector",
            change("/spec/selector", json!({})),
            "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
        ),
        (
            "less than nothing",
            change("/spec/replicas", json!(-1)),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "a port of nothing",
            change(
                "/spec/template/spec/containers/0",
                json!({"name": "a", "image": "a", "ports": [{"containerPort": 70000}]}),
            ),
            "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "a set that does not go on",
            change(
                "/spec/template/spec",
                json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}),
            ),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "a name that is none",
            change("/spec/template/spec/containers/0/name", json!("A_b")),
            "spec.template.spec.containers[0].name: Invalid value: \"A_b\": a lowercase RFC 1123 label must consist of",
        ),
        (
            "a mount of nothing",
            change(
                "/spec/template/spec/containers/0",
                json!({"name": "a", "image": "a", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}),
            ),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"x\"",
        ),
        (
            "more asked for than allowed",
            change(
                "/spec/template/spec/containers/0",
                json!({"name": "a", "image": "a", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            ),
            "spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
    ] {
        let refused = on.post(&on.path(SETS), &wanted).await?;
        on.eq(what, refused.outcome(), "422 Invalid");
        on.says(&format!("{what}: the words"), refused.message(), words);
    }
    let wrong = change(
        "/spec/template/spec/containers/0",
        json!({"name": "a", "image": "a", "resources": {"requests": {"cpu": "much"}}}),
    );
    let refused = on.post(&on.path(SETS), &wrong).await?;
    on.eq(
        "a quantity that is none",
        refused.outcome(),
        "400 BadRequest",
    );
    on.create(SETS, &set("b", 0)).await?;
    let patch = json!({"spec": {"selector": {"matchLabels": {"app": "c"}}, "template": {"metadata": {"labels": {"app": "c"}}}}});
    let refused = on
        .patch(&on.at(SETS, "b"), super::ground::MERGE, &patch)
        .await?;
    on.eq("another selector", refused.outcome(), "422 Invalid");
    on.says(
        "another selector: the words",
        refused.message(),
        "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"c\"}}: field is immutable",
    );
    Ok(())
}

pub async fn a_pod_gets_ready(on: &Ground) -> Result<()> {
    let made = on.create(PODS, &pod("a", json!({}))).await?;
    on.eq("pending", text(&made, "/status/phase"), "Pending");
    on.eq("of a class", text(&made, "/status/qosClass"), "BestEffort");
    on.eq("nowhere", text(&made, "/spec/nodeName"), "");
    on.eq(
        "with a generation",
        made["metadata"]["generation"].clone(),
        json!(1),
    );
    on.eq(
        "with a priority",
        (
            made["spec"]["priority"].clone(),
            text(&made, "/spec/preemptionPolicy"),
        ),
        (json!(0), "PreemptLowerPriority"),
    );
    on.eq(
        "with patience",
        entries(&made, "/spec/tolerations")
            .iter()
            .map(|one| text(one, "/key"))
            .collect::<Vec<_>>(),
        [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ],
    );
    let ready = on.becomes(PODS, "a", "ready", is_ready).await?;
    on.eq("running", text(&ready, "/status/phase"), "Running");
    on.holds(
        "somewhere",
        !text(&ready, "/spec/nodeName").is_empty(),
        &ready["spec"],
    );
    on.holds(
        "with an address",
        text(&ready, "/status/podIP").starts_with("10."),
        text(&ready, "/status/podIP"),
    );
    on.eq(
        "being placed is no change",
        ready["metadata"]["generation"].clone(),
        json!(1),
    );
    on.holds(
        "its container runs",
        ready["status"]["containerStatuses"][0]["state"]["running"].is_object(),
        &ready["status"],
    );
    on.eq(
        "and is ready",
        ready["status"]["containerStatuses"][0]["ready"].clone(),
        json!(true),
    );
    let mut conditions: Vec<_> = entries(&ready, "/status/conditions")
        .iter()
        .map(|one| (text(one, "/type"), text(one, "/status")))
        .filter(|(name, _)| !name.contains('/') && *name != "PodReadyToStartContainers")
        .collect();
    conditions.sort_unstable();
    on.eq(
        "its conditions",
        conditions,
        [
            ("ContainersReady", "True"),
            ("Initialized", "True"),
            ("PodScheduled", "True"),
            ("Ready", "True"),
        ],
    );
    let refused = on
        .patch(
            &on.at(PODS, "a"),
            super::ground::STRATEGIC,
            &json!({"spec": {"containers": [{"name": "main", "command": ["x"]}]}}),
        )
        .await?;
    on.eq("what it runs is fixed", refused.outcome(), "422 Invalid");
    on.says(
        "what it runs is fixed: the words",
        refused.message(),
        "spec: Forbidden: pod updates may not change fields other than",
    );
    let patched = on
        .patch(
            &on.at(PODS, "a"),
            super::ground::STRATEGIC,
            &json!({"spec": {"containers": [{"name": "main", "image": "shop:8"}]}}),
        )
        .await?;
    on.eq(
        "but for its image",
        (patched.code, patched.at("/metadata/generation")),
        (200, json!(2)),
    );
    let list = on
        .get(&format!(
            "{}?fieldSelector=status.phase%3DRunning,spec.nodeName%3D{}",
            on.path(PODS),
            text(&ready, "/spec/nodeName")
        ))
        .await?;
    on.eq("it is found by its phase and place", list.names(), ["a"]);
    Ok(())
}

pub async fn a_deleted_pod_terminates(on: &Ground) -> Result<()> {
    on.create(
        PODS,
        &pod("a", json!({"simulation.sluice.dev/gone-after": "2s"})),
    )
    .await?;
    on.becomes(PODS, "a", "ready", is_ready).await?;
    let marked = on.delete(&on.at(PODS, "a"), None).await?;
    on.eq(
        "it is answered with the pod",
        (marked.code, marked.text("/kind")),
        (200, "Pod"),
    );
    on.holds(
        "marked",
        marked.at("/metadata/deletionTimestamp").is_string(),
        &marked.body,
    );
    on.eq(
        "with its grace",
        marked.at("/metadata/deletionGracePeriodSeconds"),
        json!(30),
    );
    on.holds(
        "which is when, not since when",
        marked.text("/metadata/deletionTimestamp") > marked.text("/metadata/creationTimestamp"),
        marked.text("/metadata/deletionTimestamp"),
    );
    on.is_gone(PODS, "a").await?;
    on.create(PODS, &pod("b", json!({}))).await?;
    let gone = on
        .delete(&on.at(PODS, "b"), Some(&json!({"gracePeriodSeconds": 0})))
        .await?;
    on.eq(
        "without grace it goes at once",
        (gone.code, on.get(&on.at(PODS, "b")).await?.code),
        (200, 404),
    );
    Ok(())
}

fn eviction(name: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
}

pub async fn an_eviction_is_a_polite_deletion(on: &Ground) -> Result<()> {
    on.create(
        PODS,
        &pod("a", json!({"simulation.sluice.dev/gone-after": "1s"})),
    )
    .await?;
    on.becomes(PODS, "a", "ready", is_ready).await?;
    let path = format!("{}/eviction", on.at(PODS, "a"));
    let dry = on
        .post(&format!("{path}?dryRun=All"), &eviction("a"))
        .await?;
    on.eq("in a dry run", dry.code, 201);
    on.eq(
        "it stays",
        on.object(PODS, "a").await?["metadata"].get("deletionTimestamp"),
        None,
    );
    let evicted = on.post(&path, &eviction("a")).await?;
    on.eq(
        "it is answered with success",
        (evicted.code, evicted.text("/kind"), evicted.text("/status")),
        (201, "Status", "Success"),
    );
    on.is_gone(PODS, "a").await?;
    let missing = on.post(&path, &eviction("a")).await?;
    on.eq("of nothing", missing.outcome(), "404 NotFound");
    on.create(PODS, &pod("b", json!({}))).await?;
    let other = on
        .post(&format!("{}/eviction", on.at(PODS, "b")), &eviction("c"))
        .await?;
    on.eq("of another", other.outcome(), "400 BadRequest");
    Ok(())
}

pub async fn a_budget_says_how_many_pods_may_go(on: &Ground) -> Result<()> {
    on.create(SETS, &set("a", 3)).await?;
    on.becomes(SETS, "a", "ready", |set| {
        number(set, "/status/readyReplicas") == 3
    })
    .await?;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "a"}}}});
    let made = on.create(BUDGETS, &budget).await?;
    on.eq(
        "a generation",
        made["metadata"]["generation"].clone(),
        json!(1),
    );
    let counted = on
        .becomes(BUDGETS, "a", "counted", |budget| {
            number(budget, "/status/disruptionsAllowed") == 1
        })
        .await?;
    let count = |field: &str| number(&counted, &format!("/status/{field}"));
    on.eq(
        "counts",
        (
            count("currentHealthy"),
            count("desiredHealthy"),
            count("expectedPods"),
            count("observedGeneration"),
        ),
        (3, 2, 3, 1),
    );
    on.eq(
        "a condition",
        (
            text(&counted, "/status/conditions/0/type"),
            text(&counted, "/status/conditions/0/status"),
            text(&counted, "/status/conditions/0/reason"),
        ),
        ("DisruptionAllowed", "True", "SufficientPods"),
    );
    let pods = on.get(&on.path(PODS)).await?.names();
    let first = on
        .post(
            &format!("{}/eviction", on.at(PODS, &pods[0])),
            &eviction(&pods[0]),
        )
        .await?;
    on.eq("one may go", first.code, 201);
    let second = on
        .post(
            &format!("{}/eviction", on.at(PODS, &pods[1])),
            &eviction(&pods[1]),
        )
        .await?;
    on.eq("no more than one", second.outcome(), "429 TooManyRequests");
    on.eq(
        "no more than one: the words",
        second.message(),
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    on.eq(
        "no more than one: the cause",
        second.at("/details/causes/0/reason"),
        json!("DisruptionBudget"),
    );
    on.becomes(
        BUDGETS,
        "a",
        "counted again, with the pod that came instead",
        |budget| number(budget, "/status/disruptionsAllowed") == 1,
    )
    .await?;
    let third = on
        .post(
            &format!("{}/eviction", on.at(PODS, &pods[1])),
            &eviction(&pods[1]),
        )
        .await?;
    on.eq("the next when another is ready", third.code, 201);
    let whole = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "maxUnavailable": 1, "selector": {"matchLabels": {"app": "b"}}}});
    let refused = on.post(&on.path(BUDGETS), &whole).await?;
    on.eq("both limits at once", refused.outcome(), "422 Invalid");
    Ok(())
}

pub async fn a_budget_can_be_a_percentage(on: &Ground) -> Result<()> {
    on.create(SETS, &set("a", 3)).await?;
    on.becomes(SETS, "a", "ready", |set| {
        number(set, "/status/readyReplicas") == 3
    })
    .await?;
    for (name, spec, allowed, wanted) in [
        ("half", json!({"minAvailable": "50%"}), 1, 2),
        ("third", json!({"maxUnavailable": "34%"}), 2, 1),
        ("one", json!({"maxUnavailable": 1}), 1, 2),
        ("all", json!({"minAvailable": "100%"}), 0, 3),
    ] {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app": "a"}});
        on.create(BUDGETS, &json!({"metadata": {"name": name}, "spec": spec}))
            .await?;
        let counted = on
            .becomes(BUDGETS, name, "counted", |budget| {
                number(budget, "/status/observedGeneration") == 1
                    && number(budget, "/status/expectedPods") == 3
            })
            .await?;
        on.eq(
            name,
            (
                number(&counted, "/status/disruptionsAllowed"),
                number(&counted, "/status/desiredHealthy"),
            ),
            (allowed, wanted),
        );
    }
    Ok(())
}

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{generate, manifest, rbac, stale, write};

/// A repository with one router plugin, gone when the test ends.
struct Repository(PathBuf);

impl Repository {
    fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("sluice-codegen-{}-{name}", std::process::id()));
        let repository = Self(root);
        repository.put("plugins/sdk/Cargo.toml", "");
        repository.put(
            "plugins/router-example/manifest.json",
            &router().to_string(),
        );
        repository.put(
            "tests/compatibility/rows.md",
            "# Rows\n| EVT-001 | it is |\n",
        );
        repository.put(
            "tests/compatibility/differences.yaml",
            "{ today: nothing, differences: [], missing: [] }",
        );
        repository
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn router() -> Value {
    json!({
        "name": "ambassador",
        "displayName": "Ambassador",
        "kinds": ["traffic-router", "step"],
        "grants": {
            "reads": [
                { "group": "example.dev", "kinds": ["Mapping", "Gateway"], "namespaces": "subject" },
                { "group": "", "kinds": ["Service"], "namespaces": "subject" },
            ],
            "changes": [{ "group": "example.dev", "kinds": ["Mapping"], "verbs": ["create", "patch"], "namespaces": "subject" }],
        },
        "configSchema": {
            "type": "object", "required": ["mappings"],
            "properties": { "mappings": { "type": "array", "items": { "type": "string" }, "default": [] } },
        },
    })
}

#[test]
fn generated_files_are_current_once_written() {
    let repository = Repository::new("current");
    let root = &repository.0;
    let all: Vec<String> = generate(root)
        .unwrap()
        .into_keys()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        all,
        [
            "deploy/crds/analysisrun.yaml",
            "deploy/crds/analysistemplate.yaml",
            "deploy/crds/clusteranalysistemplate.yaml",
            "deploy/crds/experiment.yaml",
            "deploy/crds/rollout.yaml",
            "deploy/rbac/aggregate-roles.yaml",
            "deploy/rbac/clusterrole.yaml",
            "host/COMPATIBILITY.md",
            "host/api/data/config-schemas.json",
        ]
    );
    assert_eq!(stale(root).unwrap(), all);
    assert_eq!(write(root).unwrap(), all);
    assert_eq!(stale(root).unwrap(), [""; 0]);
    assert_eq!(write(root).unwrap(), [""; 0]);
}

#[test]
fn a_file_that_drifted_is_named() {
    let repository = Repository::new("drift");
    write(&repository.0).unwrap();
    let crd = repository.read("deploy/crds/rollout.yaml");
    repository.put(
        "deploy/crds/rollout.yaml",
        &crd.replace("Wanted number of pods", "Pods"),
    );
    fs::remove_file(repository.0.join("deploy/rbac/clusterrole.yaml")).unwrap();
    let drifted = ["deploy/crds/rollout.yaml", "deploy/rbac/clusterrole.yaml"];
    assert_eq!(stale(&repository.0).unwrap(), drifted);
    assert_eq!(write(&repository.0).unwrap(), drifted);
    assert_eq!(repository.read("deploy/crds/rollout.yaml"), crd);
}

#[test]
fn a_manifest_adds_its_schema_and_its_rules() {
    let repository = Repository::new("manifest");
    write(&repository.0).unwrap();
    let schemas: Value =
        serde_json::from_str(&repository.read("host/api/data/config-schemas.json")).unwrap();
    let block = json!({
        "type": "object", "required": ["mappings"],
        "properties": { "mappings": { "type": "array", "items": { "type": "string" } } },
    });
    assert_eq!(
        schemas,
        json!({ "routers": { "ambassador": block }, "providers": {} })
    );

    let crd: Value = serde_saphyr::from_str(&repository.read("deploy/crds/rollout.yaml")).unwrap();
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/strategy/properties/canary/properties/trafficRouting/properties/ambassador";
    assert_eq!(crd.pointer(path), Some(&block));

    let role: Value =
        serde_saphyr::from_str(&repository.read("deploy/rbac/clusterrole.yaml")).unwrap();
    let added: Vec<&Value> = role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["apiGroups"] == json!(["example.dev"]))
        .collect();
    assert_eq!(
        added,
        [
            &json!({ "apiGroups": ["example.dev"], "resources": ["mappings"],
                "verbs": ["create", "get", "list", "patch", "watch"] }),
            &json!({ "apiGroups": ["example.dev"], "resources": ["gateways"], "verbs": ["get", "list", "watch"] }),
        ]
    );
    // Services are covered by the rules of the host.
    let services = role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["resources"] == json!(["services"]));
    assert_eq!(services.count(), 1);
}

#[test]
fn a_broken_manifest_is_named() {
    let repository = Repository::new("broken");
    repository.put(
        "plugins/router-broken/manifest.json",
        r#"{ "name": "x", "kinds": "router" }"#,
    );
    let error = format!("{:#}", generate(&repository.0).unwrap_err());
    let path = Path::new("plugins")
        .join("router-broken")
        .join("manifest.json");
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(error.contains("expected a sequence"), "{error}");
}

#[test]
fn two_plugins_cannot_have_one_name() {
    let repository = Repository::new("twice");
    repository.put("plugins/router-other/manifest.json", &router().to_string());
    let error = generate(&repository.0).unwrap_err().to_string();
    assert_eq!(error, "two plugins are a traffic-router named ambassador");
}

// INST-003
#[test]
fn the_host_may_do_what_argo_rollouts_may_do_to_the_same_kinds() {
    let role = rbac::cluster_role(&[]);
    let check = |group: &str, resource: &str, verbs: &[&str]| {
        let allowed: BTreeSet<&str> = role["rules"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| {
                rule["apiGroups"]
                    .as_array()
                    .unwrap()
                    .contains(&group.into())
            })
            .filter(|rule| {
                rule["resources"]
                    .as_array()
                    .unwrap()
                    .contains(&resource.into())
            })
            .flat_map(|rule| rule["verbs"].as_array().unwrap())
            .filter_map(Value::as_str)
            .collect();
        let missing: Vec<_> = verbs
            .iter()
            .filter(|verb| !allowed.contains(*verb))
            .collect();
        assert!(missing.is_empty(), "{group} {resource}: {missing:?}");
    };
    let all = [
        "create", "get", "list", "watch", "update", "patch", "delete",
    ];
    let read = ["get", "list", "watch"];
    for resource in ["rollouts", "rollouts/status", "rollouts/finalizers"] {
        check(
            "argoproj.io",
            resource,
            &["get", "list", "watch", "update", "patch"],
        );
    }
    check("argoproj.io", "analysisruns", &all);
    check("argoproj.io", "experiments", &all);
    check("argoproj.io", "analysistemplates", &read);
    check("argoproj.io", "clusteranalysistemplates", &read);
    check("apps", "replicasets", &all);
    check("apps", "deployments", &["get", "list", "watch", "update"]);
    check("", "podtemplates", &["get", "list", "watch", "update"]);
    check(
        "",
        "services",
        &["get", "list", "watch", "patch", "create", "delete"],
    );
    check(
        "coordination.k8s.io",
        "leases",
        &["create", "get", "update"],
    );
    check("", "secrets", &read);
    check("", "configmaps", &read);
    check("", "pods", &["list", "watch", "update"]);
    check("", "pods/eviction", &["create"]);
    check("", "events", &["create", "update", "patch"]);
    // What only a plugin needs, only a plugin brings.
    let text = role.to_string();
    for other in ["istio", "ingresses", "jobs", "trafficsplits"] {
        assert!(!text.contains(other), "{other}");
    }
}

// INST-004
#[test]
fn users_get_access_by_aggregation() {
    let roles = rbac::aggregate_roles();
    let check = |index: usize, to: &str, resources: usize, verbs: usize| {
        let role = &roles[index];
        assert_eq!(
            role["metadata"]["name"],
            format!("argo-rollouts-aggregate-to-{to}")
        );
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
        assert_eq!(role["metadata"]["labels"][label], "true");
        assert_eq!(
            role["rules"][0]["resources"].as_array().unwrap().len(),
            resources
        );
        assert_eq!(role["rules"][0]["verbs"].as_array().unwrap().len(), verbs);
    };
    check(0, "view", 6, 3);
    check(1, "edit", 7, 8);
    check(2, "admin", 7, 8);
}

#[test]
fn kinds_become_resources_as_kubernetes_names_them() {
    let check = |kind: &str, expected: &str| {
        let plugin = manifest::Manifest {
            grants: serde_json::from_value(json!({ "reads": [{ "group": "g", "kinds": [kind] }] }))
                .unwrap(),
            ..Default::default()
        };
        let role = rbac::cluster_role(&[plugin]);
        let rule = role["rules"]
            .as_array()
            .unwrap()
            .iter()
            .find(|rule| rule["apiGroups"] == json!(["g"]))
            .unwrap();
        assert_eq!(rule["resources"], json!([expected]));
    };
    check("VirtualService", "virtualservices");
    check("Ingress", "ingresses");
    check("Gateway", "gateways");
    check("NetworkPolicy", "networkpolicies");
    check("HTTPRoute", "httproutes");
    check("Endpoints", "endpoints");
    check("TraefikService", "traefikservices");
}

// INST-002: written by hand, under names and numbers that dashboards, probes and network policies know.
#[test]
fn the_deployment_has_upstreams_name_ports_probe_and_confinement() {
    let read = |file: &str| -> Value {
        let path = super::root().unwrap().join("deploy/controller").join(file);
        serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let deployment = read("deployment.yaml");
    assert_eq!(deployment["metadata"]["name"], "argo-rollouts");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "argo-rollouts");
    assert_eq!(
        pod["securityContext"],
        json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } })
    );
    let container = &pod["containers"][0];
    assert_eq!(
        container["ports"],
        json!([
            { "name": "metrics", "containerPort": 8090 },
            { "name": "healthz", "containerPort": 8080 },
        ])
    );
    assert_eq!(
        container["livenessProbe"],
        json!({
            "httpGet": { "path": "/healthz", "port": "healthz" }, "initialDelaySeconds": 30, "periodSeconds": 20,
            "timeoutSeconds": 10, "failureThreshold": 3, "successThreshold": 1,
        })
    );
    assert_eq!(
        container["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        })
    );
    assert_eq!(
        read("serviceaccount.yaml")["metadata"]["name"],
        "argo-rollouts"
    );
    let service = read("service.yaml");
    assert_eq!(service["metadata"]["name"], "argo-rollouts-metrics");
    assert_eq!(service["spec"]["ports"][0]["port"], 8090);
    assert_eq!(
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"]
    );
}

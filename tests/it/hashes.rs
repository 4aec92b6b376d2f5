//! What upstream's controller makes of steps and templates, recorded for the engine's own test of hashes.
//!
//! `UPDATE_EXPECT=1 cargo test --workspace --test it hashes` writes the record anew, after a change of `peers/steps.yaml` or of
//! upstream's version.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_tests::control_plane::{ControlPlane, User, build_peers, in_namespace};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long upstream's controller may take for all cases together.
const PATIENCE: Duration = Duration::from_secs(180);

/// A row of `peers/steps.yaml`. A case without `steps` is not the same as one with `null`.
#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_are_those_that_upstream_computes() -> Result<()> {
    in_namespace("hashes", async |plane, namespace| {
        plane.apply_shipped().await?;
        let peers =
            tokio::task::spawn_blocking(|| build_peers(|step| eprintln!("{step}"))).await??;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cases = std::fs::read_to_string(folder.join("peers/steps.yaml"))?;
        let cases: Vec<Case> = serde_saphyr::from_str(&cases)?;
        let client = plane.client(User::Admin).await?;
        let kind = |kind: &str| {
            ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind))
        };
        let everywhere =
            Api::<DynamicObject>::all_with(client.clone(), &kind("ClusterAnalysisTemplate"));
        let templates = Api::<DynamicObject>::namespaced_with(
            client.clone(),
            namespace,
            &kind("AnalysisTemplate"),
        );
        let _another_run_made_it = everywhere
            .create(
                &PostParams::default(),
                &template("ClusterAnalysisTemplate", "always-everywhere")?,
            )
            .await;
        templates
            .create(
                &PostParams::default(),
                &template("AnalysisTemplate", "always")?,
            )
            .await?;
        let rollouts = Api::<DynamicObject>::namespaced_with(client, namespace, &kind("Rollout"));
        let mut written = BTreeMap::new();
        let mut refused = BTreeMap::new();
        for (index, case) in cases.iter().enumerate() {
            let rollout = serde_json::from_value(rollout(index, case))?;
            match rollouts.create(&PostParams::default(), &rollout).await {
                Ok(served) => drop(written.insert(index, serde_json::to_value(served)?)),
                Err(kube::Error::Api(status)) => {
                    drop(refused.insert(index, status.message.clone()))
                }
                Err(error) => return Err(error.into()),
            }
        }
        let _controller = upstream(plane, namespace, &peers.rollouts_controller)?;
        let began = Instant::now();
        let mut record = String::new();
        for (index, case) in cases.iter().enumerate() {
            let line = match refused.remove(&index) {
                Some(message) => json!({ "name": case.name, "refused": message }),
                None => loop {
                    let served = serde_json::to_value(rollouts.get(&name(index)).await?)?;
                    let written = written.get(&index).unwrap_or(&Value::Null);
                    if let Some(line) = line(&case.name, written, &served) {
                        break line;
                    }
                    if began.elapsed() > PATIENCE {
                        bail!(
                            "{}: upstream said nothing: {:#}",
                            case.name,
                            served["status"]
                        );
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                },
            };
            writeln!(record, "{line}")?;
        }
        let file = folder.join("../host/engine/src/tests/recorded.jsonl");
        expect_test::expect_file![file].assert_eq(&record);
        Ok(())
    })
    .await
}

fn name(index: usize) -> String {
    format!("case-{index}")
}

/// A Rollout without pods. Upstream reports the steps of a new one before it looks for the router, which nobody has.
fn rollout(index: usize, case: &Case) -> Value {
    let mut rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": name(index), "labels": { "region": "eu" } },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "shop" } },
            "template": {
                "metadata": { "labels": { "app": "shop" } },
                "spec": { "containers": [{ "name": "main", "image": "shop:1" }] },
            },
            "strategy": { "canary": { "trafficRouting": {
                "managedRoutes": [{ "name": "beta" }, { "name": "mirror" }],
                "plugins": { "acme/router": {} },
            } } },
        },
    });
    if let Some(steps) = case.fields.get("steps") {
        rollout["spec"]["strategy"]["canary"]["steps"] = steps.clone();
    }
    if let Some(template) = case.fields.get("template") {
        json_patch::merge(&mut rollout["spec"]["template"], template);
    }
    rollout
}

/// An analysis template that every argument of the cases fits.
fn template(kind: &str, name: &str) -> Result<DynamicObject> {
    let arguments = [
        "service", "empty", "query", "text", "stable", "latest", "region", "name", "hash", "a",
    ];
    let arguments: Vec<Value> = arguments
        .iter()
        .map(|name| json!({ "name": name, "value": "default" }))
        .collect();
    Ok(serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": {
            "args": arguments,
            "metrics": [{
                "name": "random",
                "successCondition": "result[0] < 1",
                "provider": { "prometheus": { "address": "http://metrics.invalid", "query": "vector(0)" } },
            }],
        },
    }))?)
}

/// A line of the record: the steps as the user wrote them and the API server serves them, the specification after
/// upstream's first write, which goes through its Go types, and the hashes that upstream gave it, or why it refuses it.
/// None while it has not said anything.
fn line(name: &str, written: &Value, served: &Value) -> Option<Value> {
    let status = &served["status"];
    let conditions = status["conditions"].as_array();
    let invalid = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "InvalidSpec");
    if let Some(invalid) = invalid {
        return Some(json!({ "name": name, "refused": invalid["message"] }));
    }
    status["currentPodHash"].is_string().then(|| {
        json!({
            "name": name,
            "written": written["spec"]["strategy"]["canary"]["steps"],
            "steps": served["spec"]["strategy"]["canary"]["steps"],
            "step_hash": status["currentStepHash"],
            "template": served["spec"]["template"],
            "pod_hash": status["currentPodHash"],
        })
    })
}

/// Upstream's controller, for one namespace.
fn upstream(plane: &ControlPlane, namespace: &str, program: &Path) -> Result<Child> {
    let log = plane.folder().join(format!("upstream-{namespace}.log"));
    Command::new(program)
        .arg("--kubeconfig")
        .arg(plane.kubeconfig(User::Peer))
        .args([
            "--namespaced",
            "--namespace",
            namespace,
            "--leader-elect=false",
        ])
        .args([
            "--metricsPort",
            "0",
            "--healthzPort",
            "0",
            "--loglevel",
            "warn",
        ])
        .env("POD_NAMESPACE", namespace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to start {}", program.display()))
}

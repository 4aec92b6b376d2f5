//! The main flows on the real API server, with the real controller binary.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use sluice_tests::control_plane::{ControlPlane, User, apply_files, in_namespace, workspace};
use sluice_tests::{Backend, RunningController, istio_definitions};
use tokio::time::Instant;

mod argo;
mod blue_green;
mod canary;
mod clients;
mod departures;
mod identity;
mod lease;
mod serving;

/// How long anything may take before a test gives up. No test asserts that something was quick.
const PATIENCE: Duration = Duration::from_secs(120);

/// One Rollout, as a user with kubectl sees it.
struct Watched {
    api: Api<DynamicObject>,
    name: String,
}

impl Watched {
    async fn new(plane: &ControlPlane, namespace: &str, name: &str) -> Result<Self> {
        let client = plane.client(User::Admin).await?;
        Ok(Self {
            api: Api::namespaced_with(
                client,
                namespace,
                &resource("argoproj.io", "v1alpha1", "Rollout"),
            ),
            name: name.to_owned(),
        })
    }

    async fn get(&self) -> Result<Value> {
        Ok(serde_json::to_value(self.api.get(&self.name).await?)?)
    }

    /// Waits until this holds of the Rollout.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let began = Instant::now();
        loop {
            let rollout = self.get().await?;
            if holds(&rollout) {
                return Ok(rollout);
            }
            if began.elapsed() > PATIENCE {
                bail!("waited for {what}; now: {:#}", rollout["status"]);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn phase(&self, phase: &str) -> Result<Value> {
        self.until(&format!("phase {phase}"), |rollout| {
            rollout["status"]["phase"] == phase
                && rollout["status"]["observedGeneration"]
                    == json!(rollout["metadata"]["generation"].to_string())
        })
        .await
    }

    async fn patch(&self, patch: Value) -> Result<()> {
        self.api
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    async fn patch_status(&self, status: Value) -> Result<()> {
        let patch = json!({ "status": status });
        self.api
            .patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    async fn release(&self, image: &str) -> Result<()> {
        let mut rollout = self.get().await?;
        let containers = rollout
            .pointer_mut("/spec/template/spec/containers")
            .context("no containers")?;
        containers[0]["image"] = json!(image);
        let containers = containers.clone();
        self.patch(json!({ "spec": { "template": { "spec": { "containers": containers } } } }))
            .await
    }
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The hash that a Service selects.
async fn selected(plane: &ControlPlane, namespace: &str, service: &str) -> Result<String> {
    let client = plane.client(User::Admin).await?;
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, namespace, &resource("", "v1", "Service"));
    let service = serde_json::to_value(api.get(service).await?)?;
    Ok(service
        .pointer("/spec/selector/rollouts-pod-template-hash")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned())
}

/// The two weights of the example's VirtualService.
async fn weights(plane: &ControlPlane, namespace: &str) -> Result<(f64, f64)> {
    let client = plane.client(User::Admin).await?;
    let kind = resource("networking.istio.io", "v1alpha3", "VirtualService");
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
    let service = serde_json::to_value(api.get("shop").await?)?;
    let weight = |index: usize| {
        service
            .pointer(&format!("/spec/http/0/route/{index}/weight"))
            .and_then(Value::as_f64)
            .context("the route has no weight")
    };
    Ok((weight(0)?, weight(1)?))
}

/// Reasons of the events of a Rollout, in the order in which they were written.
async fn reasons(plane: &ControlPlane, namespace: &str) -> Result<Vec<String>> {
    let client = plane.client(User::Admin).await?;
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, namespace, &resource("", "v1", "Event"));
    let mut events: Vec<(u64, String)> = api
        .list(&Default::default())
        .await?
        .items
        .into_iter()
        .filter(|event| event.data["involvedObject"]["kind"] == "Rollout")
        .map(|event| {
            let version = event
                .metadata
                .resource_version
                .as_deref()
                .unwrap_or("0")
                .parse()
                .unwrap_or(0);
            (
                version,
                event.data["reason"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    events.sort();
    Ok(events.into_iter().map(|(_, reason)| reason).collect())
}

/// Applies a directory of `examples/`, asking this backend instead of the one in the files.
async fn apply_example(
    plane: &ControlPlane,
    namespace: &str,
    example: &str,
    backend: &Backend,
) -> Result<()> {
    let source = workspace().join("examples").join(example);
    let copy = plane.folder().join(format!("{namespace}-{example}"));
    std::fs::create_dir_all(&copy)?;
    for entry in std::fs::read_dir(&source)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(&path)?
                .replace("http://prometheus.example:9090", backend.address());
            std::fs::write(copy.join(path.file_name().context("no name")?), text)?;
        }
    }
    let client = plane.client(User::Admin).await?;
    apply_files(&client, "default", &[istio_definitions()]).await?;
    apply_files(&client, namespace, &[copy]).await?;
    Ok(())
}

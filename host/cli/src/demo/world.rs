//! The demo's cluster: a simulated API server with Istio's kinds, pods that get ready, a metrics backend, and the
//! controller at work on it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_cluster::Clock;
use sluice_controller::process::{Surroundings, run as run_process};
use sluice_plugin_host::{AwsIdentity, ChildProcess, HttpPort, Limits};
use sluice_simulation::measurements::{ERROR_RATE, Measurements};
use sluice_simulation::{Simulation, Workloads, documents};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::scene::Scene;

/// Where everything of the demo lives.
pub(super) const NAMESPACE: &str = "demo";
/// Same seed, same names of pods.
const SEED: u64 = 7;
const ISTIO: &str = include_str!("../../data/istio-crds.yaml");

pub(super) struct World {
    pub simulation: Simulation,
    pub rollout: String,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), sluice_controller::process::Error>>,
}

impl World {
    /// Starts the cluster and the controller, and applies the scenario.
    pub async fn start(plugins: &Path, scenario: &Path) -> Result<Self> {
        let simulation = Simulation::builder()
            .seed(SEED)
            .start(jiff::Timestamp::now())
            .build();
        simulation.start_workloads(Workloads::default());
        for definition in sluice_api::crds().into_iter().chain(documents(ISTIO)?) {
            simulation
                .register(definition)
                .map_err(|refusal| anyhow!("failed to register a kind: {refusal}"))?;
        }
        create(
            &simulation,
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        )?;
        let rollout = apply(&simulation, scenario)?;
        let stop = CancellationToken::new();
        let surroundings = Surroundings {
            client: simulation.client_named("controller"),
            clock: {
                let simulation = simulation.clone();
                Clock::new(move || simulation.now())
            },
            http: HttpPort::new(Measurements::new(simulation.clone())),
            aws: AwsIdentity::default(),
            compiler: Arc::new(ChildProcess::of_this_program(Limits::default())?),
            interrupt_guests: true,
            sandbox: None,
            mishaps: None,
            listener: None,
            seed: SEED,
        };
        let controller = tokio::spawn(run_process(settings(plugins), surroundings, stop.clone()));
        Ok(Self {
            simulation,
            rollout,
            stop,
            controller,
        })
    }

    /// Releases another version. `error_rate` is the share of requests that its pods will answer badly.
    pub fn release(&self, image: &str, error_rate: Option<&str>) -> Result<()> {
        let patch = json!({ "spec": { "template": {
            "metadata": { "annotations": { (ERROR_RATE): error_rate } },
            "spec": { "containers": self.containers(image)? },
        } } });
        self.simulation
            .patch_merge(&rollout_kind(), NAMESPACE, &self.rollout, patch)
            .map_err(|refusal| anyhow!("failed to release {image}: {refusal}"))?;
        Ok(())
    }

    fn containers(&self, image: &str) -> Result<Value> {
        let rollout = self
            .simulation
            .get(&rollout_kind(), NAMESPACE, &self.rollout)
            .context("the Rollout is gone")?;
        let mut containers = rollout
            .pointer("/spec/template/spec/containers")
            .cloned()
            .context("the Rollout has no containers")?;
        if let Some(first) = containers.get_mut(0) {
            json_patch::merge(first, &json!({ "image": image }));
        }
        Ok(containers)
    }

    /// What there is to see now.
    pub fn scene(&self) -> Scene {
        Scene::of(&self.simulation, NAMESPACE, &self.rollout)
    }

    /// Whether the controller still works.
    pub fn check(&self) -> Result<()> {
        if self.controller.is_finished() {
            bail!("the controller has ended");
        }
        Ok(())
    }

    /// Stops the controller in an orderly way: it gives its lease back.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.controller)
            .await
            .context("the controller did not stop in ten seconds")?;
        ended
            .context("the controller panicked")?
            .map_err(Into::into)
    }
}

fn settings(plugins: &Path) -> sluice_controller::Settings {
    sluice_controller::Settings {
        plugin_dir: Some(plugins.to_owned()),
        ..sluice_controller::Settings::embedded(NAMESPACE, "demo")
    }
}

/// Applies every manifest of a directory, in the order of their names. Returns the name of the one Rollout.
fn apply(simulation: &Simulation, directory: &Path) -> Result<String> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .with_context(|| format!("failed to read {}", directory.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    let mut rollouts = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        for mut object in documents(&text).with_context(|| format!("in {}", file.display()))? {
            json_patch::merge(
                &mut object,
                &json!({ "metadata": { "namespace": NAMESPACE } }),
            );
            if object.pointer("/kind") == Some(&json!("Rollout")) {
                rollouts.extend(
                    object
                        .pointer("/metadata/name")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
            }
            create(simulation, object).with_context(|| format!("in {}", file.display()))?;
        }
    }
    match rollouts.as_slice() {
        [only] => Ok(only.clone()),
        _ => bail!(
            "{} must hold exactly one Rollout, found {}",
            directory.display(),
            rollouts.len()
        ),
    }
}

fn create(simulation: &Simulation, object: Value) -> Result<()> {
    simulation
        .create(object)
        .map_err(|refusal| anyhow!("refused: {refusal}"))?;
    Ok(())
}

pub(super) fn rollout_kind() -> GroupVersionKind {
    GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout")
}

//! The cluster against a simulated API server, in virtual time.

mod applying;
mod events;
mod leasing;
mod looking;
mod marks;
mod observing;
mod on_demand;
mod pure;
mod services;
mod watching;

use std::time::Duration;

use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_engine::hash;
use sluice_engine::keys;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plan::{Action, Edit, Plan, Planned, Role, Subresource, Write};
use sluice_simulation::Simulation;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Changed, Clock, Cluster, Gate, Key, Settings};

const ARGO: &str = "argoproj.io/v1alpha1";

/// A cluster over a simulation, with everything that it has said since.
struct World {
    simulation: Simulation,
    cluster: Cluster,
    changes: mpsc::Receiver<Changed>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A simulation with the namespaces of these tests.
fn bare_simulation() -> Simulation {
    let simulation = Simulation::new(7);
    for name in ["shop", "argo"] {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        simulation.create(namespace).expect("a namespace");
    }
    simulation
}

/// The same, serving the five kinds.
fn simulation() -> Simulation {
    let simulation = bare_simulation();
    for definition in sluice_api::crds() {
        simulation.register(definition).expect("a definition");
    }
    simulation
}

fn settings(simulation: &Simulation) -> Settings {
    let clock = simulation.clone();
    Settings {
        clock: Clock::new(move || clock.now()),
        seed: 7,
        page_size: 2,
        ..Settings::default()
    }
}

impl World {
    /// Runs a cluster over what is there.
    fn start(simulation: Simulation, settings: Settings, gate: Gate) -> Self {
        let client = kube::Client::new(simulation.service("controller"), "default");
        let cluster = Cluster::new(client, settings, gate);
        let (sender, changes) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let running = (cluster.clone(), stop.clone());
        let task = tokio::spawn(async move { running.0.run(sender, running.1).await });
        Self {
            simulation,
            cluster,
            changes,
            stop,
            task,
        }
    }

    /// The same with usual settings, synced, the first changes taken.
    async fn over(simulation: Simulation) -> Self {
        let settings = settings(&simulation);
        let mut world = Self::start(simulation, settings, Gate::open());
        world.cluster.wait_synced().await;
        world.said().await;
        world
    }

    /// Everything that was said until now and in the next second.
    async fn said(&mut self) -> Vec<Changed> {
        let mut said = Vec::new();
        while let Ok(Some(change)) =
            tokio::time::timeout(Duration::from_secs(1), self.changes.recv()).await
        {
            said.push(change);
        }
        said
    }

    fn gone_from(&self, kind: &str, name: &str) {
        let gvk = gvk(if kind == "Rollout" { ARGO } else { "apps/v1" }, kind);
        self.simulation.delete(&gvk, "shop", name).expect("deleted");
    }
}

fn gvk(api_version: &str, kind: &str) -> GroupVersionKind {
    let (group, version) = crate::kinds::split(api_version);
    GroupVersionKind::gvk(group, version, kind)
}

fn key(name: &str) -> Key {
    Key::new("shop", name)
}

fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "main", "image": image }] },
    })
}

/// A canary with two Services and one analysis.
fn rollout(name: &str) -> Value {
    json!({
        "apiVersion": ARGO,
        "kind": "Rollout",
        "metadata": { "name": name, "namespace": "shop", "annotations": { (keys::LAST_APPLIED): "{}", "team": "checkout" } },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "web" } },
            "template": template("example.com/web:1"),
            "strategy": { "canary": {
                "canaryService": "web-canary",
                "stableService": "web-stable",
                "steps": [
                    { "setWeight": 10 },
                    { "analysis": { "templates": [{ "templateName": "errors" }] } },
                ],
            } },
        },
    })
}

fn replica_set(name: &str, owner: Option<&Value>) -> Value {
    let owners = owner.map(|owner| {
        json!([{
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": true,
        }])
    });
    let labels = json!({ "app": "web", (keys::POD_TEMPLATE_HASH): name });
    let mut template = template("example.com/web:1");
    template["metadata"]["labels"] = labels.clone();
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "name": name, "namespace": "shop", "labels": labels, "ownerReferences": owners.unwrap_or(json!([])) },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": template },
    })
}

fn service(name: &str, hash: Option<&str>, manager: Option<&str>) -> Value {
    let mut selector = json!({ "app": "web" });
    if let Some(hash) = hash {
        selector[keys::POD_TEMPLATE_HASH] = hash.into();
    }
    let mut annotations = json!({});
    if let Some(manager) = manager {
        annotations[keys::MANAGED_BY] = manager.into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": "shop", "annotations": annotations },
        "spec": { "selector": selector, "ports": [{ "port": 80 }] },
    })
}

/// The subject of a pass over an object.
fn subject(object: &Value) -> Subject {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    Subject {
        key: ObjectKey::namespaced(
            &text(&object["apiVersion"]),
            &text(&object["kind"]),
            &text(&object["metadata"]["namespace"]),
            &text(&object["metadata"]["name"]),
        ),
        uid: text(&object["metadata"]["uid"]),
    }
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"]
        .as_str()
        .expect("a version")
        .to_owned()
}

fn write(target: ObjectKey, edit: Edit) -> Write {
    Write {
        target,
        edit,
        subresource: Subresource::None,
        precondition: None,
        reason: "test".to_owned(),
    }
}

/// A plan of these actions, each after the ones at these positions.
fn plan(actions: Vec<(Action, Vec<usize>)>) -> Plan {
    let actions = actions.into_iter().map(|(action, after)| Planned {
        role: Role::Subject,
        action,
        after,
    });
    Plan {
        actions: actions.collect(),
    }
}

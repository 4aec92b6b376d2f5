//! Plugins that are slow to load hold up who uses them, and nobody else (I7).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_cluster::{Clock, Cluster, Gate};
use sluice_plugin_host::{Compiler, HttpPort, Manifest, PluginHost, Unusable};
use sluice_simulation::{Simulation, Workloads};
use tokio_util::sync::CancellationToken;

use super::metrics::{definitions, rollout};
use crate::{ClusterReads, Controller, process};

/// Never has time.
#[derive(Default)]
pub(super) struct Busy(AtomicUsize);

impl Compiler for Busy {
    fn compile(&self, _: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(Unusable::for_now("does not compile within 180 s")) })
    }
}

pub(super) fn host(cluster: &Cluster, compiler: Arc<dyn Compiler>) -> PluginHost {
    let http = HttpPort::new(tower::service_fn(async |_: http::Request<Bytes>| {
        Ok::<_, std::io::Error>(http::Response::new(Bytes::new()))
    }));
    let reads = Arc::new(ClusterReads::new(cluster.clone()));
    PluginHost::new(sluice_plugin_host::Settings {
        ticker: false,
        compiler,
        ..sluice_plugin_host::Settings::new(http, reads)
    })
    .expect("a plugin host")
}

pub(super) fn surroundings() -> (Simulation, Cluster, Clock) {
    let simulation = Simulation::new(7);
    simulation.start_workloads(Workloads::default());
    for definition in definitions() {
        simulation.register(definition).expect("a definition");
    }
    let clock = {
        let simulation = simulation.clone();
        Clock::new(move || simulation.now())
    };
    let settings = sluice_cluster::Settings {
        clock: clock.clone(),
        ..sluice_cluster::Settings::default()
    };
    let client = simulation.client_named("controller");
    let cluster = Cluster::new(client, settings, Gate::open());
    (simulation, cluster, clock)
}

fn routed(name: &str) -> Value {
    let mut routed = rollout(name);
    routed["spec"]["strategy"]["canary"] = json!({
        "stableService": "stable", "canaryService": "canary",
        "trafficRouting": { "plugins": { "acme/mesh": {} } },
    });
    routed
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "selector": { "app": "mesh" }, "ports": [{ "port": 80 }] },
    })
}

fn status(simulation: &Simulation, name: &str) -> Value {
    let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout");
    let found = simulation.get(&kind, "shop", name).expect("the Rollout");
    found["status"].clone()
}

#[tokio::test(start_paused = true)]
async fn plugins_that_are_not_loaded_hold_up_only_who_uses_them() {
    let (simulation, cluster, clock) = surroundings();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    for object in [
        namespace,
        service("stable"),
        service("canary"),
        rollout("web"),
        routed("mesh"),
    ] {
        simulation.create(object).expect("created");
    }
    let plugins = host(&cluster, Arc::new(Busy::default()));
    let controller = Controller::new(cluster, plugins, clock, 4, None);
    let stop = CancellationToken::new();
    let (loaded, news) = futures::channel::mpsc::unbounded();
    let working = tokio::spawn(controller.run(news, stop.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        status(&simulation, "web"),
        Value::Null,
        "all wait for a while"
    );
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(status(&simulation, "web")["phase"], "Healthy");
    let waits = status(&simulation, "mesh");
    assert!(!waits.to_string().contains("InvalidSpec"), "{waits}");
    // Loading has ended, and nobody provides the router: now that is an error, and is found without any other change.
    loaded.unbounded_send(()).expect("listened to");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let invalid = status(&simulation, "mesh");
    assert!(invalid.to_string().contains("InvalidSpec"), "{invalid}");
    assert_eq!(status(&simulation, "web")["phase"], "Healthy");
    stop.cancel();
    working.await.expect("an orderly end");
}

#[tokio::test(start_paused = true)]
async fn loading_that_ends_early_keeps_nobody_waiting() {
    let (simulation, cluster, clock) = surroundings();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    for object in [namespace, rollout("web")] {
        simulation.create(object).expect("created");
    }
    let plugins = host(&cluster, Arc::new(Busy::default()));
    let controller = Controller::new(cluster, plugins, clock, 4, None);
    let stop = CancellationToken::new();
    let working = tokio::spawn(controller.run(stream::empty(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_ne!(status(&simulation, "web"), Value::Null);
    stop.cancel();
    working.await.expect("an orderly end");
}

/// A component that the gate takes.
fn component() -> Vec<u8> {
    let manifest = json!({
        "name": "probe", "displayName": "Probe", "version": "1.2.3", "abi": "0.1.0",
        "kinds": ["traffic-router"], "configSchema": {},
    });
    let name = b"sluice:plugin";
    let content = manifest.to_string();
    let length = 1 + name.len() + content.len();
    let mut bytes = b"\0asm\x0d\0\x01\0\0".to_vec();
    bytes.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
    bytes.push(name.len() as u8);
    bytes.extend(name);
    bytes.extend(content.as_bytes());
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_missed_its_time_is_tried_again_ever_more_rarely() {
    let (_, cluster, _) = surroundings();
    let compiler = Arc::new(Busy::default());
    let used: Arc<dyn Compiler> = Arc::<Busy>::clone(&compiler);
    let plugins = host(&cluster, used);
    let directory = tempfile::tempdir().expect("a directory");
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).expect("written");
    };
    put("garbage.wasm", b"not wasm");
    put("slow.wasm", &component());
    let (taken, mut loaded) = futures::channel::mpsc::unbounded();
    let path = directory.path().to_owned();
    let loading =
        tokio::spawn(async move { process::load(&plugins, &path, &BTreeSet::new(), &taken).await });
    let attempts = || compiler.0.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(attempts(), 1);
    assert!(loaded.try_recv().is_ok(), "loading has ended all the same");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(attempts(), 2, "30 s later");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(attempts(), 3, "60 s after that");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(attempts(), 3);
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert!((140..160).contains(&attempts()), "{}", attempts());
    loading.abort();
}

#[test]
fn flags_that_no_plugin_asks_for_are_told_from_those_that_one_does() {
    let manifest = |name: &str, setting: Value| {
        let manifest = json!({
            "name": name, "displayName": name, "version": "1.0.0", "abi": "0.1.0", "kinds": ["traffic-router"],
            "configSchema": {}, "settings": { "region": setting },
        });
        Arc::new(Manifest::parse(manifest.to_string().as_bytes()).expect("a manifest"))
    };
    let loaded = [
        manifest("mesh", json!({ "flag": "mesh-region" })),
        manifest("gate", json!({ "environment": "GATE_REGION" })),
    ];
    let given = BTreeSet::from(["mesh-region".to_owned(), "gate-region".to_owned()]);
    assert_eq!(process::idle_flags(&given, &loaded), ["gate-region"]);
    assert_eq!(
        process::idle_flags(&given, &[]),
        ["gate-region", "mesh-region"]
    );
}

//! Prints what a call of a router costs, from the start of its job to its reply.
//!
//! `cargo run -p sluice-plugin-host --example router_call -- target/guest-plugins/router-istio.wasm`
//!
//! The Rollout and the VirtualService that it is handed have the size of real ones. The first line is about loading,
//! which happens in a child process of this program, as in production.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plugin::{
    Ask, Destination, Function, JobState, PluginCall, PluginKind, PluginName, Slot, Traffic,
};
use sluice_engine::read::{RawObject, Read, ReadOutcome, Select};
use sluice_plugin_host::{
    AddressPolicy, ChildProcess, HttpPort, Limits, PluginHost, Reads, SUBCOMMAND, Settings,
    SubjectBody,
};

const CALLS: u64 = 5000;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else {
        eprintln!("which component?");
        return ExitCode::FAILURE;
    };
    if first == SUBCOMMAND {
        return sluice_plugin_host::compile_child_main(arguments);
    }
    match measure(&first.to_string_lossy()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn measure(path: &str) -> Result<(), Box<dyn Error>> {
    let mut settings = Settings::new(
        HttpPort::reqwest(AddressPolicy::default()),
        Arc::new(Mesh::new()),
    );
    settings.compiler = Arc::new(ChildProcess::of_this_program(Limits::default())?);
    let host = PluginHost::new(settings)?;
    let mut finished = host.finished();
    let empty = resident();
    let begun = Instant::now();
    let loaded = host.load(path, std::fs::read(path)?).await?;
    println!(
        "loaded {} in {:.0?}; resident {empty} KiB before, {} KiB after",
        loaded.manifest.name,
        begun.elapsed(),
        resident()
    );
    let mut call = call(&host, &loaded.manifest.name)?;
    let body = SubjectBody::new(rollout());
    let mut times = Vec::new();
    for due in 0..CALLS {
        call.due = due;
        let begun = Instant::now();
        host.start(&call, body.clone());
        finished.recv().await.ok_or("no reply")?;
        times.push(begun.elapsed());
    }
    let job = host
        .jobs(&call.subject)
        .into_iter()
        .next()
        .ok_or("no job")?;
    if let JobState::Finished { reply, .. } = job.state {
        println!("{reply:.300?}");
    }
    for (labels, counts) in host.metrics().calls {
        let mean = counts.seconds / counts.count as f64 * 1e6;
        println!(
            "{} calls of {:?} inside the sandbox, {mean:.1} µs on average",
            counts.count, labels.function
        );
    }
    times.sort();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place).copied().unwrap_or(Duration::ZERO)
    };
    println!(
        "a call of {}: min {:.1?}, median {:.1?}, p99 {:.1?} of {CALLS}; resident {} KiB",
        loaded.manifest.name,
        at(0.0),
        at(0.5),
        at(0.99),
        resident()
    );
    Ok(())
}

fn call(host: &PluginHost, name: &str) -> Result<PluginCall, Box<dyn Error>> {
    let plugin = PluginName {
        kind: PluginKind::TrafficRouter,
        name: name.to_owned(),
    };
    let digest = host
        .registry()
        .get(&plugin)
        .ok_or("not a router")?
        .digest
        .clone();
    let share = |service: &str, hash: &str, weight| Destination {
        service: Some(service.to_owned()),
        pod_hash: Some(hash.to_owned()),
        weight,
        desired_pods: 3,
        available_pods: 3,
    };
    Ok(PluginCall {
        subject: Subject {
            key: ObjectKey::namespaced("argoproj.io/v1alpha1", "Rollout", "shop", "web"),
            uid: "3d1f".to_owned(),
        },
        slot: Slot {
            plugin,
            function: Function::Reconcile,
            part: String::new(),
        },
        digest,
        config: json!({ "virtualService": { "name": "web", "routes": ["primary"] } }),
        ask: Ask::Route(Some(Traffic {
            total_weight: 100,
            stable: share("web-stable", "7c9d", 80),
            canary: share("web-canary", "5b8f", 20),
            ..Traffic::default()
        })),
        due: 0,
        secrets: Vec::new(),
    })
}

/// About 4 KiB, as Rollouts are without their template.
fn rollout() -> Value {
    let steps: Vec<Value> = (1..=20)
        .flat_map(|step| {
            [
                json!({ "setWeight": step * 5 }),
                json!({ "pause": { "duration": "10m" } }),
            ]
        })
        .collect();
    let conditions: Vec<Value> = (0..6)
        .map(|number| {
            json!({
                "type": format!("Condition{number}"), "status": "True", "reason": "NewReplicaSetAvailable",
                "lastTransitionTime": "2026-03-09T10:15:00Z", "lastUpdateTime": "2026-03-09T10:15:00Z",
                "message": "ReplicaSet \"web-7c9d\" has successfully progressed and is available to users.",
            })
        })
        .collect();
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "3d1f", "generation": 7 },
        "spec": { "replicas": 3, "strategy": { "canary": { "steps": steps } }, "template": { "spec": {} } },
        "status": { "conditions": conditions, "phase": "Progressing" },
    })
}

/// One VirtualService that is always found.
struct Mesh(Arc<RawObject>);

impl Mesh {
    fn new() -> Self {
        let destination =
            |host: &str, weight: u32| json!({ "destination": { "host": host }, "weight": weight });
        let other: Vec<Value> = (0..8)
            .map(|number| {
                json!({
                    "name": format!("other-{number}"),
                    "match": [{ "uri": { "prefix": format!("/other/{number}") } }],
                    "route": [destination("other", 100)],
                })
            })
            .collect();
        let mut http = vec![json!({
            "name": "primary",
            "route": [destination("web-stable", 90), destination("web-canary", 10)],
        })];
        http.extend(other);
        let body = json!({
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "VirtualService",
            "metadata": { "name": "web", "namespace": "shop", "resourceVersion": "1" },
            "spec": { "gateways": ["web"], "hosts": ["web.example.com"], "http": http },
        });
        Self(Arc::new(RawObject {
            key: ObjectKey::namespaced(
                "networking.istio.io/v1alpha3",
                "VirtualService",
                "shop",
                "web",
            ),
            resource_version: "1".to_owned(),
            body: body.to_string().into(),
        }))
    }

    fn find(&self, read: &Read) -> ReadOutcome {
        let named = matches!(&read.select, Select::Name(name) if *name == self.0.key.name);
        let found = named && read.kind == self.0.key.kind;
        ReadOutcome::Found(found.then(|| Arc::clone(&self.0)).into_iter().collect())
    }
}

impl Reads for Mesh {
    fn read(&self, read: Read) -> BoxFuture<'static, ReadOutcome> {
        let outcome = self.find(&read);
        Box::pin(async move { outcome })
    }

    fn peek(&self, read: &Read) -> Option<ReadOutcome> {
        Some(self.find(read))
    }

    fn secret(&self, _: &str, _: &str, _: &str) -> BoxFuture<'static, Result<String, String>> {
        Box::pin(async { Err("there are no Secrets here".to_owned()) })
    }
}

/// Resident memory of this process in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

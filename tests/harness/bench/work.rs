//! The work: many Rollouts created and left alone, some updated, then a restart with everything present.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    WatchParams,
};
use serde_json::json;
use sluice_tests::control_plane::{ControlPlane, User};
use tokio::time::Instant;

use crate::measure::{cpu_ms, quantile, resident_mib};
use crate::subject::Subject;

const NAMESPACE: &str = "default";
/// Requests under way at the same time while Rollouts are created.
const PARALLEL: usize = 16;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    empty_mib: f64,
    idle_mib: f64,
    after_mib: f64,
    create_cpu_ms: f64,
    update_cpu_ms: f64,
    update_writes: f64,
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    restart_ms: f64,
}

/// Label and value of a row.
type Row = (&'static str, fn(&Figures) -> f64);

impl Figures {
    /// The rows of the table.
    pub const ROWS: [Row; 9] = [
        ("resident, nothing there (MiB)", |figures| figures.empty_mib),
        ("resident, all Rollouts idle (MiB)", |figures| {
            figures.idle_mib
        }),
        ("resident, after the updates (MiB)", |figures| {
            figures.after_mib
        }),
        ("CPU per Rollout created (ms)", |figures| {
            figures.create_cpu_ms
        }),
        ("CPU per update (ms)", |figures| figures.update_cpu_ms),
        ("writes per update, without events", |figures| {
            figures.update_writes
        }),
        ("change to new ReplicaSet, p50 (ms)", |figures| {
            figures.latency_p50_ms
        }),
        ("change to new ReplicaSet, p99 (ms)", |figures| {
            figures.latency_p99_ms
        }),
        ("restart to first new ReplicaSet (ms)", |figures| {
            figures.restart_ms
        }),
    ];
}

pub async fn measure(
    plane: &ControlPlane,
    subject: &Subject,
    count: usize,
    updates: usize,
) -> Result<Figures> {
    plane.apply_shipped().await?;
    let client = plane.client(User::Admin).await?;
    let rollouts: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        NAMESPACE,
        &resource("argoproj.io", "v1alpha1", "Rollout"),
    );
    let sets: Api<DynamicObject> =
        Api::namespaced_with(client, NAMESPACE, &resource("apps", "v1", "ReplicaSet"));
    let mut figures = Figures::default();

    let mut process = subject.start(plane)?;
    let mut pid = process.id().context("it has ended")?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    figures.empty_mib = resident_mib(pid)?;

    let before = cpu_ms(pid)?;
    futures::stream::iter(0..count)
        .map(|index| create(&rollouts, index))
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<()>>()
        .await?;
    healthy(&rollouts, count).await?;
    figures.create_cpu_ms = (cpu_ms(pid)? - before) / count as f64;
    tokio::time::sleep(Duration::from_secs(10)).await;
    figures.idle_mib = resident_mib(pid)?;

    let writes = writes(plane, subject.user).await?;
    let before = cpu_ms(pid)?;
    let mut latencies = Vec::new();
    for index in 0..updates {
        latencies.push(update(&rollouts, &sets, index, "v2").await?);
    }
    healthy(&rollouts, count).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    figures.update_cpu_ms = (cpu_ms(pid)? - before) / updates as f64;
    figures.update_writes = (self::writes(plane, subject.user).await? - writes) / updates as f64;
    figures.latency_p50_ms = quantile(&mut latencies, 0.5);
    figures.latency_p99_ms = quantile(&mut latencies, 0.99);
    figures.after_mib = resident_mib(pid)?;

    stop(&mut process, pid).await?;
    process = subject.start(plane)?;
    pid = process.id().context("it has ended")?;
    figures.restart_ms = update(&rollouts, &sets, 0, "v3").await?;
    stop(&mut process, pid).await?;
    Ok(figures)
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// One pod, two weights, two short pauses.
async fn create(rollouts: &Api<DynamicObject>, index: usize) -> Result<()> {
    let name = name(index);
    let rollout = serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "app:v1" }] },
            },
            "strategy": { "canary": { "steps": [
                { "setWeight": 20 }, { "pause": { "duration": 1 } },
                { "setWeight": 60 }, { "pause": { "duration": 1 } },
            ] } },
        },
    }))?;
    rollouts.create(&PostParams::default(), &rollout).await?;
    Ok(())
}

fn name(index: usize) -> String {
    format!("app-{index:04}")
}

/// Changes the image and waits for the set that comes of it. Returns milliseconds.
async fn update(
    rollouts: &Api<DynamicObject>,
    sets: &Api<DynamicObject>,
    index: usize,
    version: &str,
) -> Result<f64> {
    let name = name(index);
    let selector = format!("app={name}");
    let present = sets.list(&ListParams::default().labels(&selector)).await?;
    let from = present.metadata.resource_version.unwrap_or_default();
    let mut events = sets
        .watch(&WatchParams::default().labels(&selector), &from)
        .await?
        .boxed();
    let patch = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": format!("app:{version}") }] } } } });
    let began = Instant::now();
    rollouts
        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    let added = async {
        while let Some(event) = events.try_next().await? {
            if matches!(event, kube::api::WatchEvent::Added(_)) {
                return Ok(());
            }
        }
        bail!("the watch has ended")
    };
    tokio::time::timeout(Duration::from_secs(60), added)
        .await
        .with_context(|| format!("no ReplicaSet for {name}"))??;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

async fn healthy(rollouts: &Api<DynamicObject>, count: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let all = rollouts.list(&ListParams::default()).await?;
        let done = all
            .items
            .iter()
            .filter(|rollout| {
                let generation = rollout.metadata.generation.unwrap_or(0).to_string();
                rollout.data.pointer("/status/phase") == Some(&json!("Healthy"))
                    && rollout.data.pointer("/status/observedGeneration")
                        == Some(&json!(generation))
            })
            .count();
        if done == count {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(600) {
            bail!("only {done} of {count} Rollouts are healthy");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Writes of this user so far: neither events nor the lease.
async fn writes(plane: &ControlPlane, user: User) -> Result<f64> {
    let requests = plane.requests(user).await?;
    let total: u64 = requests
        .iter()
        .filter(|((verb, resource, _), _)| {
            matches!(verb.as_str(), "create" | "update" | "patch" | "delete")
                && resource != "events"
                && resource != "leases"
        })
        .map(|(_, count)| *count)
        .sum();
    Ok(total as f64)
}

async fn stop(process: &mut tokio::process::Child, pid: u32) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("no such process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    if tokio::time::timeout(Duration::from_secs(20), process.wait())
        .await
        .is_err()
    {
        process.kill().await?;
    }
    Ok(())
}

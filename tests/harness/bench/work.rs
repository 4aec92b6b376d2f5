//! The work: many Rollouts created and left alone, some updated one after the other, all at once, and a restart with
//! everything present.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use sluice_tests::control_plane::{ControlPlane, User, apply_files};
use sluice_tests::istio_definitions;
use tokio::time::{Instant, sleep};

use crate::figures::Figures;
use crate::measure::{cpu_ms, forget_peak, peak_mib, quantile, resident_mib};
use crate::mix::{self, Mix, NAMESPACE};
use crate::requests::Requests;
use crate::subject::Subject;

/// Where both keep their lease; whoever installs them has created it.
pub const LEASE_NAMESPACE: &str = "argo-rollouts";
/// Requests under way at the same time while Rollouts are created or changed.
const PARALLEL: usize = 16;
/// After it has started, and after work, so much time passes until memory is read.
const SETTLING: Duration = Duration::from_secs(8);
/// Between two single updates.
const PAUSE: Duration = Duration::from_millis(150);
/// Until everything has to be healthy.
const PATIENCE: Duration = Duration::from_secs(900);

/// How much work.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub rollouts: usize,
    pub updates: usize,
    pub idle_only: bool,
}

/// Puts a controller through all of it.
pub async fn measure(
    plane: &ControlPlane,
    subject: &Subject,
    mix: Mix,
    size: Size,
    say: impl Fn(&str),
) -> Result<Figures> {
    plane.apply_shipped().await?;
    let client = plane.client(User::Admin).await?;
    apply_files(&client, NAMESPACE, &[istio_definitions()]).await?;
    mix::create_namespace(&client, LEASE_NAMESPACE).await?;
    let rollouts = mix::rollouts(&client);
    let sets = mix::replica_sets(&client);
    let mut requests = Requests::new(plane, subject.user)?;
    let mut figures = Figures::default();
    let count = size.rollouts;

    say("starting");
    let running = subject.start(plane)?;
    let pid = running.pid;
    sleep(SETTLING).await;
    figures.empty_mib = resident_mib(pid)?;

    say("creating");
    let before = cpu_ms(pid)?;
    futures::stream::iter(0..count)
        .map(|index| mix.create(&client, index))
        .buffer_unordered(PARALLEL)
        .try_collect::<Vec<()>>()
        .await?;
    healthy(&rollouts, count).await?;
    figures.creation_cpu_ms = (cpu_ms(pid)? - before) / count as f64;
    figures.creation_peak_mib = peak_mib(pid)?;

    say("idle");
    sleep(SETTLING).await;
    figures.idle_mib = resident_mib(pid)?;
    let before = cpu_ms(pid)?;
    sleep(SETTLING).await;
    figures.idle_cpu_ms = (cpu_ms(pid)? - before) / SETTLING.as_secs_f64();

    if !size.idle_only {
        say("updating one after the other");
        let mut latencies = Vec::new();
        for index in 0..size.updates.min(count) {
            latencies.push(update(&rollouts, &sets, index, "v2").await?);
            sleep(PAUSE).await;
        }
        healthy(&rollouts, count).await?;
        figures.latency_p50_ms = quantile(&mut latencies, 0.5);
        figures.latency_p99_ms = quantile(&mut latencies, 0.99);
        sleep(SETTLING).await;

        say("updating all at once");
        requests.next()?;
        forget_peak(pid)?;
        let (before, began) = (cpu_ms(pid)?, Instant::now());
        futures::stream::iter(0..count)
            .map(|index| release(&rollouts, index, "v3"))
            .buffer_unordered(PARALLEL)
            .try_collect::<Vec<()>>()
            .await?;
        healthy(&rollouts, count).await?;
        figures.burst_seconds = began.elapsed().as_secs_f64();
        sleep(SETTLING).await;
        figures.burst_cpu_ms = (cpu_ms(pid)? - before) / count as f64;
        figures.burst_peak_mib = peak_mib(pid)?;
        figures.after_mib = resident_mib(pid)?;
        figures.burst = requests.next()?;
        figures.burst_size = count;
    }

    say("restarting");
    running.stop().await?;
    let mut added = added_sets(&sets, 0).await?;
    release(&rollouts, 0, "v4").await?;
    let began = Instant::now();
    let running = subject.start(plane)?;
    added.next().await?;
    figures.restart_ms = began.elapsed().as_secs_f64() * 1000.0;
    figures.restart_peak_mib = peak_mib(running.pid)?;
    healthy(&rollouts, count).await?;
    sleep(SETTLING).await;
    figures.restart_mib = resident_mib(running.pid)?;
    running.stop().await?;
    Ok(figures)
}

/// Changes the image.
async fn release(rollouts: &Api<DynamicObject>, index: usize, version: &str) -> Result<()> {
    let patch = Patch::Merge(mix::release(version));
    rollouts
        .patch(&mix::name(index), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// Changes the image and waits for the set that comes of it. Returns milliseconds.
async fn update(
    rollouts: &Api<DynamicObject>,
    sets: &Api<DynamicObject>,
    index: usize,
    version: &str,
) -> Result<f64> {
    let mut added = added_sets(sets, index).await?;
    let began = Instant::now();
    release(rollouts, index, version).await?;
    added.next().await?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// The sets of a Rollout that are created from now on.
struct AddedSets {
    name: String,
    events: futures::stream::BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>,
}

async fn added_sets(sets: &Api<DynamicObject>, index: usize) -> Result<AddedSets> {
    let name = mix::name(index);
    let selector = format!("app={name}");
    let present = sets.list(&ListParams::default().labels(&selector)).await?;
    let from = present.metadata.resource_version.unwrap_or_default();
    let parameters = WatchParams::default().labels(&selector);
    let events = sets.watch(&parameters, &from).await?.boxed();
    Ok(AddedSets { name, events })
}

impl AddedSets {
    async fn next(&mut self) -> Result<()> {
        let added = async {
            while let Some(event) = self.events.try_next().await? {
                if matches!(event, WatchEvent::Added(_)) {
                    return Ok(());
                }
            }
            bail!("the watch has ended")
        };
        tokio::time::timeout(Duration::from_secs(60), added)
            .await
            .with_context(|| format!("no ReplicaSet for {}", self.name))?
    }
}

/// Waits until all Rollouts have taken up their specification and are healthy.
async fn healthy(rollouts: &Api<DynamicObject>, count: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        let all = rollouts.list(&ListParams::default()).await?;
        let done = all.items.iter().filter(|rollout| is_healthy(rollout));
        let done = done.count();
        if done == count {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("only {done} of {count} Rollouts are healthy");
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn is_healthy(rollout: &DynamicObject) -> bool {
    let generation = rollout.metadata.generation.unwrap_or(0).to_string();
    rollout.data.pointer("/status/phase") == Some(&json!("Healthy"))
        && rollout.data.pointer("/status/observedGeneration") == Some(&json!(generation))
}

//! What a plugin call costs, from the start of its job to its reply, and what a loaded plugin holds.
//!
//! The real components, entered as in production; what they read and ask for is in memory (`surroundings`). Measured in a
//! process of its own, where nothing else has used memory before.

mod surroundings;

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use sluice_engine::plugin::{JobState, PluginCall, Reply};
use sluice_plugin_host::{ChildProcess, Limits, PluginHost, Settings, SubjectBody};

use crate::figures::{Line, render};
use crate::measure::{quantile, resident_mib};
use surroundings::{Mesh, Wanted};

/// Calls of each plugin.
const CALLS: u64 = 5000;
/// Calls before the first that counts.
const WARM_UP: u64 = 200;

/// What upstream's way costs, measured once with its own packages on two cores: a call over net/rpc to a plugin process
/// with the ping before it, and the resident memory of that process.
const GO_PLUGIN_CALL_US: f64 = 238.0;
const GO_PLUGIN_MIB: f64 = 23.0;
/// Upstream keeps one process for each plugin and calls it several times in a pass; ours are aimed at these shares.
const CALL_AIM: Option<f64> = Some(0.2);
const MEMORY_AIM: Option<f64> = Some(0.02);

/// One plugin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cost {
    plugin: String,
    entries_per_call: f64,
    p50_us: f64,
    p99_us: f64,
    load_ms: f64,
    /// Loaded and called for the first time.
    held_mib: f64,
    /// After all calls.
    after_mib: f64,
}

/// Starts this program anew for it.
pub async fn in_a_process_of_its_own() -> Result<Vec<Cost>> {
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .arg("calls")
        .env("SLUICE_PLUGIN_DIR", sluice_tests::guest_plugins()?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await?;
    ensure!(output.status.success(), "measuring plugin calls failed");
    serde_json::from_slice(&output.stdout).context("failed to read the costs of plugin calls")
}

/// The lines about plugins.
pub fn table(costs: &[Cost]) -> String {
    let mut lines = Vec::new();
    for cost in costs {
        let mut add = |what: &str, decimals, theirs, ours, aim| {
            lines.push(Line {
                label: format!("{}: {what}", cost.plugin),
                decimals,
                theirs,
                ours,
                aim,
            });
        };
        add(
            "call, p50, µs",
            1,
            Some(GO_PLUGIN_CALL_US),
            cost.p50_us,
            CALL_AIM,
        );
        add("call, p99, µs", 1, None, cost.p99_us, None);
        add(
            "entries into the guest per call",
            1,
            None,
            cost.entries_per_call,
            None,
        );
        add(
            "memory, loaded and called, MiB",
            2,
            Some(GO_PLUGIN_MIB),
            cost.held_mib,
            MEMORY_AIM,
        );
        add(
            "memory, after all calls, MiB",
            2,
            Some(GO_PLUGIN_MIB),
            cost.after_mib,
            MEMORY_AIM,
        );
        add("loading, compiled, ms", 0, None, cost.load_ms, None);
    }
    render("Plugins (upstream's figures: recorded)", &lines)
}

/// Measures, and prints JSON.
#[tokio::main(flavor = "current_thread")]
pub async fn measure_and_print() -> Result<()> {
    let mut settings = Settings::new(surroundings::server(), Arc::new(Mesh::new()));
    settings.compiler = Arc::new(ChildProcess::of_this_program(Limits::default())?);
    let host = PluginHost::new(settings)?;
    let folder = sluice_tests::guest_plugins()?;
    let mut costs = Vec::new();
    for wanted in [Wanted::Router, Wanted::Provider] {
        let file = folder.join(wanted.file());
        let component =
            std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
        costs.push(cost(&host, wanted, component).await?);
    }
    println!("{}", serde_json::to_string(&costs)?);
    Ok(())
}

async fn cost(host: &PluginHost, wanted: Wanted, component: Vec<u8>) -> Result<Cost> {
    let pid = std::process::id();
    let mut finished = host.finished();
    let empty = resident_mib(pid)?;
    let begun = Instant::now();
    let loaded = host.load(wanted.file(), component).await?;
    let load_ms = begun.elapsed().as_secs_f64() * 1000.0;

    let mut call = wanted.call(&loaded.digest);
    let body = SubjectBody::new(wanted.subject());
    let mut held_mib = 0.0;
    let mut times = Vec::new();
    for due in 0..WARM_UP + CALLS {
        call.due = due;
        let begun = Instant::now();
        host.start(&call, body.clone());
        finished.recv().await.context("no reply")?;
        let took = begun.elapsed();
        if due == 0 {
            is_useful(host, &call)?;
            held_mib = resident_mib(pid)? - empty;
        }
        if due >= WARM_UP {
            times.push(micros(took));
        }
        host.settled(&call.subject, &call.slot, &call.key());
    }
    let entries: u64 = host
        .metrics()
        .calls
        .iter()
        .filter(|(labels, _)| labels.plugin == loaded.manifest.name)
        .map(|(_, counts)| counts.count)
        .sum();
    Ok(Cost {
        plugin: wanted.title().to_owned(),
        entries_per_call: entries as f64 / (WARM_UP + CALLS) as f64,
        p50_us: quantile(&mut times, 0.5),
        p99_us: quantile(&mut times, 0.99),
        load_ms,
        held_mib,
        after_mib: resident_mib(pid)? - empty,
    })
}

/// A call that fails early would be quick.
fn is_useful(host: &PluginHost, call: &PluginCall) -> Result<()> {
    let jobs = host.jobs(&call.subject);
    let job = jobs
        .iter()
        .find(|job| job.slot == call.slot)
        .context("no job")?;
    let useful = match &job.state {
        JobState::Finished { reply, .. } => match reply.as_ref() {
            Reply::Routed(routed) => !routed.effects.writes.is_empty(),
            Reply::Measured(measured) => measured.shown == surroundings::VALUE,
            _ => false,
        },
        JobState::Running => false,
    };
    ensure!(useful, "the plugin does not do its work: {:?}", job.state);
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

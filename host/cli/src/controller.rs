//! `sluice controller`: upstream's flags, turned into settings (ledger CTL rows).

mod connection;
mod plugin_flags;
mod unused;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use sluice_cluster::Clock;
use sluice_controller::process::{Surroundings, run as run_process};
use sluice_plugin_host::{AddressPolicy, AwsIdentity, ChildProcess, HttpPort, Limits, Proxies};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::connection::Connection;
use self::plugin_flags::PluginFlags;
use self::unused::Unused;
use crate::logging;

/// Where a pod finds its own namespace (CTL-007).
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

#[derive(Args)]
// As with upstream, the last of several counts.
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// Directory with plugins (`*.wasm`). They are trusted with what their manifests ask for.
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// Directory for compiled plugins, writable by this process only. Without it they are compiled at every start.
    #[arg(long, value_name = "DIR")]
    plugin_cache_dir: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
    /// Only work on objects labelled `argo-rollouts.argoproj.io/controller-instance-id` with this value, and only on
    /// unlabelled ones without it.
    #[arg(long, default_value = "", value_name = "ID")]
    instance_id: String,
    /// Only work in one namespace: that of --namespace, or else of the kubeconfig or of this pod.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    namespaced: bool,
    /// Only this controller; the only choice is `analysis`, which works on AnalysisRuns and on nothing else.
    #[arg(long, value_delimiter = ',', value_parser = ["analysis"], value_name = "NAME")]
    controllers: Vec<String>,
    /// The namespace of --namespaced. The lease is not held there, but where the controller itself is: in $POD_NAMESPACE,
    /// the service account's, or argo-rollouts.
    #[arg(long, short = 'n', value_name = "NAME")]
    namespace: Option<String>,
    /// Log level.
    #[arg(
        long,
        default_value = "info",
        value_enum,
        ignore_case = true,
        value_name = "LEVEL"
    )]
    loglevel: logging::Level,
    /// Log format.
    #[arg(long, value_enum, default_value_t = logging::Format::Text)]
    logformat: logging::Format,
    /// Port of /metrics; 0 to serve none.
    #[arg(
        long = "metricsPort",
        alias = "metricsport",
        alias = "metrics-port",
        default_value_t = 8090,
        value_name = "PORT"
    )]
    metrics_port: u16,
    /// Port of /healthz; 0 to serve none.
    #[arg(
        long = "healthzPort",
        alias = "healthz-port",
        default_value_t = 8080,
        value_name = "PORT"
    )]
    healthz_port: u16,
    /// Wait for the lease before acting, so that no two controllers act together.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    leader_elect: bool,
    /// Others wait so long after our last renewal before they take over.
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "DURATION")]
    leader_election_lease_duration: Duration,
    /// Nothing is written once the lease was not renewed for so long.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    leader_election_renew_deadline: Duration,
    /// Pause between tries for the lease.
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "DURATION")]
    leader_election_retry_period: Duration,
    /// Rollouts and AnalysisRuns worked on at the same time.
    #[arg(long, default_value_t = 10, value_name = "N")]
    rollout_threads: usize,
    /// Let requests of plugins go to the machine itself, for example to a proxy in the same pod.
    #[arg(long)]
    allow_loopback: bool,
    /// Any other setting that a plugin's manifest asks for by flag name.
    #[arg(long = "plugin-setting", value_parser = setting, value_name = "NAME=VALUE")]
    plugin_settings: Vec<(String, String)>,
    #[command(flatten)]
    plugin_flags: PluginFlags,
    #[command(flatten)]
    unused: Unused,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = sluice_api::parse_duration(text).map_err(|error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| "a duration must not be negative".to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected NAME=VALUE".to_owned())
}

/// The checks of client-go: with other times two controllers could act at once, or a leader would lose the lease by
/// itself.
fn check_election(arguments: &Arguments) -> Result<(), String> {
    let (lease, deadline, retry) = (
        arguments.leader_election_lease_duration,
        arguments.leader_election_renew_deadline,
        arguments.leader_election_retry_period,
    );
    for (flag, time) in [
        ("lease-duration", lease),
        ("renew-deadline", deadline),
        ("retry-period", retry),
    ] {
        if time.is_zero() {
            return Err(format!(
                "--leader-election-{flag} must be greater than zero"
            ));
        }
    }
    if lease <= deadline {
        return Err(format!(
            "--leader-election-lease-duration ({lease:?}) must be greater than --leader-election-renew-deadline \
             ({deadline:?})"
        ));
    }
    if deadline <= retry.saturating_mul(6) / 5 {
        return Err(format!(
            "--leader-election-renew-deadline ({deadline:?}) must be greater than 1.2 times \
             --leader-election-retry-period ({retry:?})"
        ));
    }
    Ok(())
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    if arguments.leader_elect
        && let Err(message) = check_election(&arguments)
    {
        // Ends the process as every mistake in the flags does.
        clap::Error::raw(clap::error::ErrorKind::ValueValidation, message + "\n").exit();
    }
    logging::start(arguments.loglevel, arguments.logformat);
    for flag in arguments.unused.given() {
        tracing::info!(flag, "accepted for compatibility, without effect");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let proxies = Proxies::of(|name| std::env::var(name).ok());
    let mut config = arguments.connection.config(&proxies).await?;
    let default_namespace = config.default_namespace.clone();
    // The queue tries again by itself. A client that does so behind its back hides an eviction that a
    // PodDisruptionBudget refuses, and turns a lost answer into "already exists".
    config.default_retry = false;
    // The API server is for the controller, whatever a plugin was granted. Where it is on this machine and requests to
    // this machine are allowed, its address says nothing.
    let api_server = config
        .cluster_url
        .host()
        .and_then(|host| host.parse::<IpAddr>().ok());
    let policy = AddressPolicy {
        loopback: arguments.allow_loopback,
        refused: api_server
            .filter(|address| !(arguments.allow_loopback && address.is_loopback()))
            .into_iter()
            .collect(),
    };
    let client = kube::Client::try_from(config).context("failed to set up the client")?;
    let stop = CancellationToken::new();
    let signal = {
        let stop = stop.clone();
        async move {
            let mut signals = match StopSignals::new() {
                Ok(signals) => signals,
                Err(error) => {
                    tracing::error!(%error, "cannot listen for signals");
                    return std::future::pending::<()>().await;
                }
            };
            signals.next().await;
            tracing::info!("stopping");
            stop.cancel();
            signals.next().await;
            tracing::warn!("stopped by a second signal");
            // At once, whatever is still being done (CTL-015).
            std::process::exit(1);
        }
    };
    let surroundings = Surroundings {
        client,
        clock: Clock::system(),
        http: HttpPort::reqwest(policy, proxies),
        aws: AwsIdentity::of(|name| std::env::var(name).ok()),
        compiler: Arc::new(
            ChildProcess::of_this_program(Limits::default())
                .context("failed to find this program's own file")?,
        ),
        interrupt_guests: true,
        sandbox: None,
        mishaps: None,
        listener: None,
        seed: u64::from(std::process::id()),
    };
    tokio::select! {
        biased;
        ended = run_process(settings(arguments, default_namespace), surroundings, stop) => ended.map_err(Into::into),
        () = signal => Ok(()),
    }
}

/// The namespace is the one of the configuration, for `--namespaced`.
fn settings(arguments: Arguments, default_namespace: String) -> sluice_controller::Settings {
    let address =
        |port: u16| (port != 0).then(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    // What is not text cannot be a setting.
    let mut plugin_settings: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let given = arguments.plugin_flags.0.into_iter();
    let given: BTreeMap<_, _> = given.chain(arguments.plugin_settings).collect();
    let plugin_flags = given.keys().cloned().collect();
    plugin_settings.extend(given);
    sluice_controller::Settings {
        plugin_dir: arguments.plugin_dir,
        cache_dir: arguments.plugin_cache_dir,
        only_namespace: arguments
            .namespaced
            .then(|| arguments.namespace.unwrap_or(default_namespace)),
        lease_namespace: own_namespace(),
        request_timeout: arguments.connection.request_timeout(),
        analysis_only: !arguments.controllers.is_empty(),
        instance_id: Some(arguments.instance_id).filter(|id| !id.is_empty()),
        workers: arguments.rollout_threads,
        metrics_address: address(arguments.metrics_port),
        health_address: address(arguments.healthz_port),
        leader_elect: arguments.leader_elect,
        lease_duration: arguments.leader_election_lease_duration,
        renew_deadline: arguments.leader_election_renew_deadline,
        retry_period: arguments.leader_election_retry_period,
        identity: sluice_cluster::lease::identity(&hostname(), &unique()),
        plugin_settings,
        plugin_flags,
    }
}

/// CTL-007: whatever the flags say.
fn own_namespace() -> String {
    pod_namespace()
        .or_else(|| {
            std::fs::read_to_string(NAMESPACE_FILE)
                .ok()
                .map(|text| text.trim().to_owned())
        })
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "argo-rollouts".to_owned())
}

/// $POD_NAMESPACE.
fn pod_namespace() -> Option<String> {
    std::env::var("POD_NAMESPACE")
        .ok()
        .filter(|name| !name.is_empty())
}

fn hostname() -> String {
    std::fs::read_to_string("/etc/hostname")
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_else(|| "sluice".to_owned())
}

/// A text that no other process has: leases tell processes apart by it.
fn unique() -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{now:x}-{:x}", std::process::id())
}

/// What asks a process to end. Both are listened for from the beginning, so that none is missed.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

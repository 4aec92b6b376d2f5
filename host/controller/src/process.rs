//! The whole program around a [`Controller`]: plugins, lease, metrics, health, and an orderly end.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::channel::mpsc::UnboundedSender;
use sluice_cluster::lease::{Ended, Lease, LeaseSettings, lease_name};
use sluice_cluster::{Clock, Cluster, Gate};
use sluice_plugin_host::{
    AwsIdentity, Compiler, HttpPort, LoadError, LoadedPlugin, Manifest, Mishaps, PluginHost,
    Sandbox,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::{ClusterReads, Controller, PassListener, Settings, http};

/// Before a file that failed to load is tried again; each further time waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What the process is given from outside, so that a simulation can be put in its place.
pub struct Surroundings {
    /// The way to the API server.
    pub client: kube::Client,
    /// Where the present comes from.
    pub clock: Clock,
    /// The way out for plugins' requests.
    pub http: HttpPort,
    /// Who the controller is to AWS.
    pub aws: AwsIdentity,
    /// What compiles plugins.
    pub compiler: Arc<dyn Compiler>,
    /// Whether a thread interrupts guests that compute. Not where a run must repeat exactly.
    pub interrupt_guests: bool,
    /// Where guests run; none for a sandbox of this process alone.
    pub sandbox: Option<Arc<Sandbox>>,
    /// What goes wrong with plugins, in rehearsals.
    pub mishaps: Option<Mishaps>,
    /// Who is told of every pass, in rehearsals.
    pub listener: Option<PassListener>,
    /// Seed of every jitter.
    pub seed: u64,
}

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin host cannot work here at all.
    #[error("failed to start the plugin host")]
    PluginHost(#[source] sluice_plugin_host::StartError),
    /// A port is taken or not allowed.
    #[error("failed to serve {what} on {address}")]
    Serve {
        /// `metrics` or `health`.
        what: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another process holds the lease now. Nothing was written after that.
    #[error("lost the lease")]
    LostLease,
}

/// Runs until told to stop, or until the lease is lost.
pub async fn run(
    settings: Settings,
    surroundings: Surroundings,
    stop: CancellationToken,
) -> Result<(), Error> {
    let usual = sluice_cluster::Settings::default();
    let cluster_settings = sluice_cluster::Settings {
        namespace: settings.only_namespace.clone(),
        request_timeout: settings.request_timeout.unwrap_or(usual.request_timeout),
        instance_id: settings.instance_id.clone(),
        analysis_only: settings.analysis_only,
        seed: surroundings.seed,
        clock: surroundings.clock.clone(),
        ..usual
    };
    let lease = settings.leader_elect.then(|| {
        // Without Rollouts nothing is shared out (CTL-012).
        let instance_id = settings
            .instance_id
            .as_deref()
            .filter(|_| !settings.analysis_only);
        let lease = LeaseSettings {
            namespace: settings.lease_namespace.clone(),
            name: lease_name(instance_id),
            identity: settings.identity.clone(),
            duration: settings.lease_duration,
            renew_deadline: settings.renew_deadline,
            retry_period: settings.retry_period,
        };
        Arc::new(Lease::new(
            surroundings.client.clone(),
            &cluster_settings,
            lease,
        ))
    });
    let gate = lease.as_ref().map_or_else(Gate::open, |lease| lease.gate());
    let cluster = Cluster::new(surroundings.client.clone(), cluster_settings, gate);
    let plugins = start_plugins(&settings, &surroundings, &cluster)?;
    let clock = surroundings.clock.clone();
    let controller = Controller::new(
        cluster,
        plugins.clone(),
        clock,
        settings.workers,
        surroundings.listener,
    );

    // Health and metrics answer before leadership (CTL-009), and until the very end.
    let serving = CancellationToken::new();
    let health = http::health(
        bind("health", settings.health_address).await?,
        serving.clone(),
    );
    let figures = http::metrics(
        bind("metrics", settings.metrics_address).await?,
        controller.metrics(),
        serving.clone(),
    );
    let answering = AbortOnDropHandle::new(tokio::spawn(async { tokio::join!(health, figures) }));
    // Compiling takes longer than getting the lease and reading every list, so it does not wait for them.
    let (taken, loaded) = futures::channel::mpsc::unbounded();
    let _loading = settings.plugin_dir.clone().map(|directory| {
        let plugins = plugins.clone();
        let flags = settings.plugin_flags.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            load(&plugins, &directory, &flags, &taken).await;
        }))
    });
    let work = async {
        let ended = match &lease {
            Some(lease) => lead(lease, controller, loaded, &stop).await,
            None => {
                controller.run(loaded, stop.clone()).await;
                Ok(())
            }
        };
        serving.cancel();
        ended
    };
    let ended = work.await;
    if let Err(error) = answering.await {
        tracing::error!(%error, "health and metrics ended");
    }
    ended
}

async fn bind(
    what: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, Error> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Serve {
            what,
            address,
            source,
        })?;
    tracing::info!(what, %address, "listening");
    Ok(Some(listener))
}

/// Works while the lease is ours. The lease is given back after the last pass.
async fn lead(
    lease: &Arc<Lease>,
    controller: Arc<Controller>,
    loaded: impl Stream<Item = ()>,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let working = stop.child_token();
    let release = CancellationToken::new();
    let mut leading = lease.leading();
    let work = async {
        let won = tokio::select! {
            biased;
            () = working.cancelled() => false,
            won = leading.wait_for(|leading| *leading) => won.is_ok(),
        };
        if won {
            tracing::info!("leading");
            controller.run(loaded, working.clone()).await;
        }
        release.cancel();
    };
    // A task of its own: a pass that computes for long must not keep the lease from being renewed.
    let holding = {
        let (lease, release, working) = (Arc::clone(lease), release.clone(), working.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let ended = lease.hold(release).await;
            // Lost: nothing more may be begun.
            working.cancel();
            ended
        }))
    };
    work.await;
    match holding.await {
        Ok(Ended::Stopped) => Ok(()),
        Ok(Ended::Lost) => Err(Error::LostLease),
        Err(error) => {
            tracing::error!(%error, "the holder of the lease ended");
            Err(Error::LostLease)
        }
    }
}

fn start_plugins(
    settings: &Settings,
    surroundings: &Surroundings,
    cluster: &Cluster,
) -> Result<PluginHost, Error> {
    let reads = Arc::new(ClusterReads::new(cluster.clone()));
    PluginHost::new(sluice_plugin_host::Settings {
        clock: Arc::new(PluginClock(surroundings.clock.clone())),
        aws: surroundings.aws.clone(),
        compiler: surroundings.compiler.clone(),
        cache_dir: settings.cache_dir.clone(),
        setting_values: settings.plugin_settings.clone(),
        ticker: surroundings.interrupt_guests,
        sandbox: surroundings.sandbox.clone(),
        mishaps: surroundings.mishaps.clone(),
        ..sluice_plugin_host::Settings::new(surroundings.http.clone(), reads)
    })
    .map_err(Error::PluginHost)
}

/// The cluster's clock, as guests see it.
struct PluginClock(Clock);

impl sluice_plugin_host::Clock for PluginClock {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
}

/// Loads what is in a directory, and tells when that is done. A file that cannot be loaded is reported and harms nobody
/// else (I7); unless it was refused for what it is, it is tried again, and it is told when it is there.
pub(crate) async fn load(
    plugins: &PluginHost,
    directory: &Path,
    flags: &BTreeSet<String>,
    taken: &UnboundedSender<()>,
) {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for loaded in plugins.load_directory(directory).await {
        match tell(loaded) {
            Ok(plugin) => there.push(plugin.manifest),
            Err(error) => missing.push(error),
        }
    }
    for flag in idle_flags(flags, &there) {
        tracing::info!(flag, "no plugin that was loaded asks for this flag");
    }
    // Nobody listens any more when the controller stops.
    let _ = taken.unbounded_send(());
    missing.retain(|error| error.again);
    let mut wait = FIRST_WAIT;
    while !missing.is_empty() {
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        for failed in std::mem::take(&mut missing) {
            match tell(plugins.load_file(Path::new(&failed.origin)).await) {
                Ok(_) => {
                    let _ = taken.unbounded_send(());
                }
                Err(error) if error.again => missing.push(error),
                Err(_) => {}
            }
        }
    }
}

/// Flags of plugins that none of these asks for. All flags are known, so a misspelt one is an error long before.
pub(crate) fn idle_flags<'a>(
    flags: &'a BTreeSet<String>,
    loaded: &[Arc<Manifest>],
) -> Vec<&'a String> {
    let settings = loaded.iter().flat_map(|it| it.settings.values());
    let asked: BTreeSet<&String> = settings.filter_map(|it| it.flag.as_ref()).collect();
    flags.iter().filter(|flag| !asked.contains(flag)).collect()
}

fn tell(loaded: Result<LoadedPlugin, LoadError>) -> Result<LoadedPlugin, LoadError> {
    match &loaded {
        Ok(plugin) => tracing::info!(
            file = plugin.origin,
            plugin = plugin.manifest.name,
            digest = plugin.digest,
            "plugin loaded"
        ),
        Err(error) if error.again => tracing::error!(%error, "plugin failed to load, trying again"),
        Err(error) => tracing::error!(%error, "plugin refused"),
    }
    loaded
}

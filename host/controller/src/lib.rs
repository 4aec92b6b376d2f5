//! The controller: observe, decide, execute, settle.
//!
//! [`Controller`] wires the engine to a cluster and a plugin host and works off what changes. [`process`] is the whole
//! program around it: lease, plugins, metrics, health, an orderly end. Rules live in the engine, requests in the cluster.

mod body;
mod config;
mod explain;
mod http;
mod leftovers;
mod metrics;
mod ports;
pub mod process;
mod queue;
mod reconcile;
mod unsaid;
mod work;

#[cfg(test)]
mod tests;

pub use config::Settings;
pub use metrics::Metrics;
pub use ports::ClusterReads;
pub use work::{PassListener, Turn};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluice_cluster::{Clock, Cluster, Key};
use sluice_engine::object::Subject;
use sluice_engine::plugin::Plugins;
use sluice_plugin_host::PluginHost;

use crate::leftovers::Leftovers;
use crate::queue::{Queue, Work};
use crate::unsaid::Unsaid;

/// Works on every Rollout and AnalysisRun that a cluster shows.
pub struct Controller {
    cluster: Cluster,
    plugins: PluginHost,
    clock: Clock,
    metrics: Arc<Metrics>,
    queue: Arc<Queue<Item>>,
    workers: usize,
    leftovers: Leftovers,
    unsaid: Unsaid,
    /// Whether plugins are still being loaded.
    loading: AtomicBool,
    listener: Option<PassListener>,
}

/// One object to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    Rollout(Key),
    AnalysisRun(Key),
    Service(Key),
    /// A Rollout that is gone, of which routers may have something.
    Departed(Key),
    /// What Rollouts have left while nobody watched.
    Leftovers,
}

impl Work for Item {
    const NAMES: &'static [&'static str] = &["Rollouts", "AnalysisRuns", "Services"];

    fn name(&self) -> &'static str {
        match self {
            Self::Rollout(_) | Self::Departed(_) | Self::Leftovers => "Rollouts",
            Self::AnalysisRun(_) => "AnalysisRuns",
            Self::Service(_) => "Services",
        }
    }
}

impl Controller {
    /// A controller of this cluster. `workers` objects are worked on at the same time, never one of them twice.
    pub fn new(
        cluster: Cluster,
        plugins: PluginHost,
        clock: Clock,
        workers: usize,
        listener: Option<PassListener>,
    ) -> Arc<Self> {
        let queue = Arc::new(Queue::new());
        let metrics = Metrics::new(cluster.clone(), plugins.clone(), Arc::clone(&queue));
        Arc::new(Self {
            cluster,
            plugins,
            clock,
            metrics: Arc::new(metrics),
            queue,
            workers: workers.max(1),
            leftovers: Leftovers::default(),
            unsaid: Unsaid::default(),
            loading: AtomicBool::new(true),
            listener,
        })
    }

    /// What this controller sees and does, in figures.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// What is known of plugins on behalf of this subject.
    fn plugins_of(&self, subject: &Subject) -> Plugins {
        Plugins {
            // Before the registry: what ends between the two was seen.
            loading: self.loading.load(Ordering::Acquire),
            loaded: self.plugins.registry(),
            jobs: self.plugins.jobs(subject),
            marked: BTreeSet::new(),
        }
    }
}

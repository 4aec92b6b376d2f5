//! Figures for Prometheus, under upstream's names (ledger MET rows) and a few of our own.
//!
//! What an object is now is read from the cluster's views when somebody asks; only what happened is counted as it
//! happens. Series of an object end with it.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use sluice_api as api;
use sluice_cluster::{Cluster, Key};
use sluice_engine::plan::Event;
use sluice_plugin_host::PluginHost;

use crate::Item;
use crate::queue::Queue;
use crate::reconcile::Passed;

use self::history::History;

mod analyses;
mod build;
mod experiments;
mod history;
mod operating_system;
mod plugins;
mod queues;
mod requests;
mod rollouts;

/// All figures of one process.
pub struct Metrics {
    cluster: Cluster,
    plugins: PluginHost,
    queue: Arc<Queue<Item>>,
    history: History,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    namespace: String,
    name: String,
}

impl From<&api::ObjectMeta> for Named {
    fn from(metadata: &api::ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        }
    }
}

impl From<&Key> for Named {
    fn from(key: &Key) -> Self {
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }
}

impl Metrics {
    /// Figures about what this cluster shows, these plugins do and this queue holds.
    pub(crate) fn new(cluster: Cluster, plugins: PluginHost, queue: Arc<Queue<Item>>) -> Self {
        Self {
            cluster,
            plugins,
            queue,
            history: History::default(),
        }
    }

    /// A pass has ended. One over an object that is gone makes no figure: its series would outlive it (MET-014).
    pub(crate) fn pass(&self, kind: &str, key: &Key, took: Duration, passed: &Passed) {
        if self.is_there(kind, key) {
            self.history.pass(kind, key, took, passed);
        }
    }

    /// An update has ended, and its end is written.
    pub(crate) fn ended(&self, update: &api::RolloutDurationStatus) {
        self.history.ended(update);
    }

    /// Events are about to be recorded.
    pub(crate) fn events(&self, events: &[Event]) {
        for event in events {
            let (kind, key) = (event.about.key.kind.as_str(), Key::from(&event.about.key));
            if kind == "Rollout" && (self.is_there(kind, &key) || self.history.is_gone(kind, &key))
            {
                self.history.event(key, event);
            }
        }
    }

    /// An object is gone: its series will end, and not those of another kind's object of the same name.
    pub(crate) fn gone(&self, kind: &'static str, key: &Key) {
        self.history.gone(kind, key);
    }

    /// Ends the series of what has been gone for long enough. To be called once in a while.
    pub(crate) fn sweep(&self) {
        self.history.sweep(|kind, key| self.is_there(kind, key));
        self.cluster.forget_requests();
    }

    fn is_there(&self, kind: &str, key: &Key) -> bool {
        match kind {
            "Rollout" => self.cluster.rollout(key).is_some(),
            "AnalysisRun" => self.cluster.observe_run(key).is_some(),
            "Experiment" => self.cluster.observe_experiment(key).is_some(),
            _ => false,
        }
    }

    /// Everything, in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut registry = Registry::default();
        rollouts::register(&self.cluster, &mut registry);
        analyses::register(&self.cluster, &mut registry);
        experiments::register(&self.cluster, &mut registry);
        self.history.register(&mut registry);
        requests::register(&self.cluster, &mut registry);
        queues::register(&self.queue, &mut registry);
        plugins::register(self.plugins.metrics(), &mut registry);
        build::register(&mut registry);
        operating_system::register(&mut registry);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

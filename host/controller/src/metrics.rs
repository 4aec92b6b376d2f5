//! Figures for Prometheus, under upstream's names (ledger MET rows) and a few of our own.
//!
//! What an object is now is read from the cluster's views when somebody asks; only what happened is counted as it
//! happens. Series of an object end with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sluice_cluster::{Cluster, Key};
use sluice_engine::plan::{Event, Severity, WriteErrorKind};
use sluice_plugin_host::PluginHost;

use crate::reconcile::Passed;

mod objects;

/// Upstream's buckets of `rollout_reconcile` (MET-004), in seconds.
const RECONCILE_BUCKETS: [f64; 5] = [0.01, 0.15, 0.25, 0.5, 1.0];

/// All figures of one process.
pub struct Metrics {
    cluster: Cluster,
    plugins: PluginHost,
    rollout_passes: Passes,
    run_passes: Passes,
    /// How often each type and reason was recorded, by Rollout.
    events: Mutex<BTreeMap<Key, BTreeMap<EventName, u64>>>,
}

/// Type and reason.
type EventName = (&'static str, String);

/// Duration and failures of the passes over one kind.
#[derive(Clone)]
struct Passes {
    took: Family<Named, Histogram>,
    /// It only grows. OpenMetrics wants a counter to end in `_total`, and upstream's name does not (MET-005).
    failed: Family<Named, Gauge>,
}

impl Default for Passes {
    fn default() -> Self {
        Self {
            took: Family::new_with_constructor(|| Histogram::new(RECONCILE_BUCKETS)),
            failed: Family::default(),
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EventInfo {
    namespace: String,
    name: String,
    r#type: &'static str,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestInfo {
    kind: String,
    namespace: String,
    name: String,
    verb: &'static str,
    status_code: Code,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginInfo {
    plugin: String,
    function: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindInfo {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Info {
    version: &'static str,
}

/// Upstream's labels with what Rust has in place of Go's (MET-013).
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
    arch: &'static str,
}

/// An HTTP status code as a label.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Code(u16);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        write!(encoder, "{}", self.0)
    }
}

impl Metrics {
    /// Figures about what this cluster shows and these plugins do.
    pub fn new(cluster: Cluster, plugins: PluginHost) -> Self {
        Self {
            cluster,
            plugins,
            rollout_passes: Passes::default(),
            run_passes: Passes::default(),
            events: Mutex::default(),
        }
    }

    /// A pass has ended. One over an object that is gone makes no figure: its series would outlive it (MET-014).
    pub(crate) fn pass(&self, kind: &str, key: &Key, took: Duration, passed: &Passed) {
        let Some(passes) = self.passes(kind).filter(|_| self.is_there(kind, key)) else {
            return;
        };
        let labels = named(key);
        passes
            .took
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        // A conflict is no error: somebody else wrote, and the pass runs again (REC-005a).
        if matches!(passed, Passed::Failed(error) if error.kind != WriteErrorKind::Conflict) {
            passes.failed.get_or_create(&labels).inc();
        }
    }

    /// Events are about to be recorded.
    pub(crate) fn events(&self, events: &[Event]) {
        for event in events {
            let (kind, key) = (event.about.key.kind.as_str(), Key::from(&event.about.key));
            if kind != "Rollout" || !self.is_there(kind, &key) {
                continue;
            }
            let severity = match event.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            };
            let mut recorded = self.recorded();
            let names = recorded.entry(key).or_default();
            *names.entry((severity, event.reason.clone())).or_default() += 1;
        }
    }

    /// An object is gone: its series end, and not those of another kind's object of the same name.
    pub(crate) fn forget(&self, kind: &str, key: &Key) {
        if let Some(passes) = self.passes(kind) {
            let labels = named(key);
            passes.took.remove(&labels);
            passes.failed.remove(&labels);
        }
        if kind == "Rollout" {
            self.recorded().remove(key);
        }
    }

    fn passes(&self, kind: &str) -> Option<&Passes> {
        match kind {
            "Rollout" => Some(&self.rollout_passes),
            "AnalysisRun" => Some(&self.run_passes),
            _ => None,
        }
    }

    fn is_there(&self, kind: &str, key: &Key) -> bool {
        match kind {
            "Rollout" => self.cluster.rollout(key).is_some(),
            "AnalysisRun" => self.cluster.observe_run(key).is_some(),
            _ => false,
        }
    }

    /// A poisoned lock still holds whole counts.
    fn recorded(&self) -> MutexGuard<'_, BTreeMap<Key, BTreeMap<EventName, u64>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut registry = Registry::default();
        objects::register(&self.cluster, &mut registry);
        self.history(&mut registry);
        self.process(&mut registry);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn history(&self, registry: &mut Registry) {
        let Passes { took, failed } = self.rollout_passes.clone();
        registry.register(
            "rollout_reconcile",
            "Seconds of one pass over a Rollout",
            took,
        );
        registry.register(
            "rollout_reconcile_error",
            "Failed passes over a Rollout",
            failed,
        );
        let Passes { took, failed } = self.run_passes.clone();
        registry.register(
            "analysis_run_reconcile",
            "Seconds of one pass over an AnalysisRun",
            took,
        );
        registry.register(
            "analysis_run_reconcile_error",
            "Failed passes over an AnalysisRun",
            failed,
        );
        let events = Family::<EventInfo, Counter>::default();
        for (key, names) in self.recorded().iter() {
            for ((severity, reason), count) in names {
                let Named { namespace, name } = named(key);
                let labels = EventInfo {
                    namespace,
                    name,
                    r#type: severity,
                    reason: reason.clone(),
                };
                events.get_or_create(&labels).inc_by(*count);
            }
        }
        registry.register("rollout_events", "Events of Rollouts", events);
    }

    fn process(&self, registry: &mut Registry) {
        let requests = Family::<RequestInfo, Counter>::default();
        for (labels, count) in self.cluster.requests() {
            let labels = RequestInfo {
                kind: labels.kind,
                namespace: labels.namespace,
                name: labels.name,
                verb: labels.verb,
                status_code: Code(labels.status_code),
            };
            requests.get_or_create(&labels).inc_by(count);
        }
        registry.register(
            "controller_clientset_k8s_request",
            "Requests to the API server",
            requests,
        );
        let undecodable = Family::<KindInfo, Counter>::default();
        for (kind, count) in self.cluster.undecodable() {
            undecodable.get_or_create(&KindInfo { kind }).inc_by(count);
        }
        registry.register(
            "sluice_undecodable_objects",
            "Objects or fields that could not be read",
            undecodable,
        );
        let version = env!("CARGO_PKG_VERSION");
        let info = Family::<Info, Gauge>::default();
        info.get_or_create(&Info { version }).set(1);
        registry.register(
            "argo_rollouts_controller_info",
            "Version of the controller",
            info,
        );
        let build = Family::<Build, Gauge>::default();
        let arch = std::env::consts::ARCH;
        build.get_or_create(&Build { version, arch }).set(1);
        registry.register("build_info", "What the controller was built from", build);
        self.plugin_calls(registry);
    }

    fn plugin_calls(&self, registry: &mut Registry) {
        let calls = Family::<PluginInfo, Counter>::default();
        let seconds = Family::<PluginInfo, Counter<f64, AtomicU64>>::default();
        for (labels, counts) in self.plugins.metrics().calls {
            let labels = PluginInfo {
                plugin: labels.plugin,
                function: format!("{:?}", labels.function).to_lowercase(),
                outcome: labels.outcome,
            };
            calls.get_or_create(&labels).inc_by(counts.count);
            seconds.get_or_create(&labels).inc_by(counts.seconds);
        }
        registry.register("sluice_plugin_calls", "Calls of plugins", calls);
        registry.register(
            "sluice_plugin_call_seconds",
            "Seconds spent in plugins",
            seconds,
        );
    }
}

fn named(key: &Key) -> Named {
    Named {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

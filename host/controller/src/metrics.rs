//! Figures for Prometheus, under upstream's names (ledger MET rows) and a few of our own.
//!
//! What an object is now is read from the cluster's views when somebody asks; only what happened is counted as it
//! happens. Series of an object end with it.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
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
    events: Family<EventInfo, Counter>,
}

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
            events: Family::default(),
        }
    }

    /// A pass has ended.
    pub(crate) fn pass(&self, kind: &str, key: &Key, took: Duration, passed: &Passed) {
        let passes = match kind {
            "Rollout" => &self.rollout_passes,
            "AnalysisRun" => &self.run_passes,
            _ => return,
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
        for event in events
            .iter()
            .filter(|event| event.about.key.kind == "Rollout")
        {
            let Named { namespace, name } = named(&Key::from(&event.about.key));
            let labels = EventInfo {
                namespace,
                name,
                r#type: match event.severity {
                    Severity::Normal => "Normal",
                    Severity::Warning => "Warning",
                },
                reason: event.reason.clone(),
            };
            self.events.get_or_create(&labels).inc();
        }
    }

    /// An object is gone: its series end.
    pub(crate) fn forget(&self, key: &Key) {
        let labels = named(key);
        for passes in [&self.rollout_passes, &self.run_passes] {
            passes.took.remove(&labels);
            passes.failed.remove(&labels);
        }
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
        registry.register("rollout_events", "Events of Rollouts", self.events.clone());
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

//! What has happened to objects: passes, events, and how their updates ended (MET-004 to MET-008, MET-010).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use sluice_api as api;
use sluice_cluster::Key;
use sluice_engine::plan::{Event, Severity, WriteErrorKind};
use tokio::time::Instant;

use super::Named;
use crate::reconcile::Passed;

/// Upstream's buckets of the passes over an object (MET-004), in seconds.
const PASS_BUCKETS: [f64; 5] = [0.01, 0.15, 0.25, 0.5, 1.0];

/// Upstream's buckets of the durations of updates (MET-007), in seconds.
const TOTAL_BUCKETS: [f64; 11] = [
    30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0,
];
const PROGRESSION_BUCKETS: [f64; 8] = [30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
const PAUSE_BUCKETS: [f64; 9] = [
    0.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0,
];

/// How long series stay after their object, so that its last figures are scraped (MET-014).
const KEPT: Duration = Duration::from_secs(65);

/// The kinds that passes are over, with what the names of their figures begin with. Nothing works on Experiments yet, and
/// figures without series are not shown.
const KINDS: [(&str, &str); 3] = [
    ("Rollout", "rollout"),
    ("AnalysisRun", "analysis_run"),
    ("Experiment", "experiment"),
];

/// What has happened since the start of the process.
pub(super) struct History {
    /// By kind.
    passes: BTreeMap<&'static str, Passes>,
    /// How often each type and reason was recorded, by Rollout.
    events: Mutex<BTreeMap<Key, BTreeMap<EventName, u64>>>,
    updates: Updates,
    /// Objects whose series are to end, by kind, and when they went.
    gone: Mutex<BTreeMap<Key, BTreeMap<&'static str, Instant>>>,
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
            took: Family::new_with_constructor(|| Histogram::new(PASS_BUCKETS)),
            failed: Family::default(),
        }
    }
}

/// How long updates have taken, by how they ended.
struct Updates {
    total: Family<Ending, Histogram>,
    progression: Family<Ending, Histogram>,
    manual_pause: Family<Ending, Histogram>,
}

impl Default for Updates {
    fn default() -> Self {
        Self {
            total: Family::new_with_constructor(|| Histogram::new(TOTAL_BUCKETS)),
            progression: Family::new_with_constructor(|| Histogram::new(PROGRESSION_BUCKETS)),
            manual_pause: Family::new_with_constructor(|| Histogram::new(PAUSE_BUCKETS)),
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ending {
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EventInfo {
    namespace: String,
    name: String,
    r#type: &'static str,
    reason: String,
}

impl Default for History {
    fn default() -> Self {
        Self {
            passes: KINDS
                .iter()
                .map(|(kind, _)| (*kind, Passes::default()))
                .collect(),
            events: Mutex::default(),
            updates: Updates::default(),
            gone: Mutex::default(),
        }
    }
}

impl History {
    /// A pass over an object that is there.
    pub fn pass(&self, kind: &str, key: &Key, took: Duration, passed: &Passed) {
        let Some(passes) = self.passes.get(kind) else {
            return;
        };
        let labels = Named::from(key);
        passes
            .took
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        // A conflict is no error: somebody else wrote, and the pass runs again (REC-005a).
        if matches!(passed, Passed::Failed(error, _) if error.kind != WriteErrorKind::Conflict) {
            passes.failed.get_or_create(&labels).inc();
        }
    }

    /// An event of a Rollout.
    pub fn event(&self, key: Key, event: &Event) {
        let severity = match event.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        let mut events = lock(&self.events);
        let names = events.entry(key).or_default();
        *names.entry((severity, event.reason.clone())).or_default() += 1;
    }

    /// The end of an update.
    pub fn ended(&self, update: &api::RolloutDurationStatus) {
        let (Some(began), Some(finished), Some(status)) = (
            update.rollout_started_at,
            update.finished_at,
            &update.completion_status,
        ) else {
            return;
        };
        let labels = Ending {
            status: status.to_string(),
        };
        let total = finished.0.duration_since(began.0).as_secs_f64();
        let paused = update.total_manual_pause_duration_seconds.unwrap_or(0);
        // Never large enough to lose a second.
        let paused = paused as f64;
        let observe = |family: &Family<Ending, Histogram>, seconds: f64| {
            family.get_or_create(&labels).observe(seconds);
        };
        observe(&self.updates.total, total);
        observe(&self.updates.progression, total - paused);
        observe(&self.updates.manual_pause, paused);
    }

    /// The object is gone; the event that says so still counts.
    pub fn gone(&self, kind: &'static str, key: &Key) {
        let mut gone = lock(&self.gone);
        gone.entry(key.clone())
            .or_default()
            .insert(kind, Instant::now());
    }

    /// Whether the object is gone and its series are still there.
    pub fn is_gone(&self, kind: &str, key: &Key) -> bool {
        let gone = lock(&self.gone);
        gone.get(key).is_some_and(|kinds| kinds.contains_key(kind))
    }

    /// Ends the series of objects that have been gone for a while, unless there are new ones of their names.
    pub fn sweep(&self, is_there: impl Fn(&str, &Key) -> bool) {
        let now = Instant::now();
        let mut gone = lock(&self.gone);
        gone.retain(|key, kinds| {
            kinds.retain(|kind, since| {
                let keep = now.duration_since(*since) < KEPT;
                if !keep && !is_there(kind, key) {
                    self.forget(kind, key);
                }
                keep
            });
            !kinds.is_empty()
        });
    }

    fn forget(&self, kind: &str, key: &Key) {
        if let Some(passes) = self.passes.get(kind) {
            let labels = Named::from(key);
            passes.took.remove(&labels);
            passes.failed.remove(&labels);
        }
        if kind == "Rollout" {
            lock(&self.events).remove(key);
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        for (kind, prefix) in KINDS {
            let Some(Passes { took, failed }) = self.passes.get(kind).cloned() else {
                continue;
            };
            registry.register(
                format!("{prefix}_reconcile"),
                format!("Seconds of one pass over the object, kind {kind}"),
                took,
            );
            registry.register(
                format!("{prefix}_reconcile_error"),
                format!("Failed passes over the object, kind {kind}"),
                failed,
            );
        }
        let events = Family::<EventInfo, Counter>::default();
        for (key, names) in lock(&self.events).iter() {
            for ((severity, reason), count) in names {
                let Named { namespace, name } = Named::from(key);
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
        registry.register(
            "rollout_duration_seconds",
            "Seconds from the beginning of an update to its end",
            self.updates.total.clone(),
        );
        registry.register(
            "rollout_progression_duration_seconds",
            "The same without the time that somebody was waited for",
            self.updates.progression.clone(),
        );
        registry.register(
            "rollout_manual_pause_duration_seconds",
            "Seconds that somebody was waited for in an update",
            self.updates.manual_pause.clone(),
        );
    }
}

/// A poisoned lock still holds whole counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Counts of calls, for whoever exports metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sluice_engine::plugin::Function;

/// What a series counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallLabels {
    /// The plugin's name.
    pub plugin: String,
    /// The function.
    pub function: Function,
    /// `ok`, `refused`, or the reason of a broken call.
    pub outcome: &'static str,
}

/// One series: calls into the guest, each round by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallCounts {
    /// How many.
    pub count: u64,
    /// All their time, in seconds.
    pub seconds: f64,
}

/// The counts at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// By plugin, function and outcome.
    pub calls: BTreeMap<CallLabels, CallCounts>,
    /// Log lines of guests that were over the budget, by plugin.
    pub dropped_log_lines: BTreeMap<String, u64>,
    /// The most memory that one call used, in bytes, by plugin.
    pub memory_peak: BTreeMap<String, usize>,
    /// HTTP exchanges by plugin and status, or the kind of failure.
    pub http: BTreeMap<(String, String), u64>,
}

/// Collects [`Metrics`].
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Metrics>);

impl Recorder {
    pub(crate) fn snapshot(&self) -> Metrics {
        self.lock().clone()
    }

    pub(crate) fn call(&self, labels: CallLabels, took: Duration) {
        let mut metrics = self.lock();
        let counts = metrics.calls.entry(labels).or_default();
        counts.count = counts.count.saturating_add(1);
        counts.seconds += took.as_secs_f64();
    }

    pub(crate) fn used(&self, plugin: &str, memory: usize, dropped_lines: u64) {
        let mut metrics = self.lock();
        match metrics.memory_peak.get_mut(plugin) {
            Some(peak) => *peak = (*peak).max(memory),
            None => {
                metrics.memory_peak.insert(plugin.to_owned(), memory);
            }
        }
        if dropped_lines > 0 {
            let lines = metrics
                .dropped_log_lines
                .entry(plugin.to_owned())
                .or_default();
            *lines = lines.saturating_add(dropped_lines);
        }
    }

    pub(crate) fn http(&self, plugin: &str, outcome: &str) {
        let mut metrics = self.lock();
        let count = metrics
            .http
            .entry((plugin.to_owned(), outcome.to_owned()))
            .or_default();
        *count = count.saturating_add(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Metrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! AnalysisRuns: decided by the same pattern as Rollouts.
//!
//! [`decide`] asks metric providers for the measurements that are due and emits what their replies want written;
//! [`settle`] turns replies into measurements, measurements into phases, and all of it into one status patch.
//! What a provider's block means is its plugin's business; sending requests, resolving secrets and recording events is
//! the controller's.
//!
//! A reply is a fact until it is in the status. The call that it answers stays in the plan for as long as the answer is
//! missing or not yet written, so that a lost write, a conflict or a restart loses no measurement.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sluice_api as api;

use crate::hash::CallKey;
use crate::object::{ObjectKey, Subject};
use crate::plan::{Event, Plan, Requeue, Write};
use crate::plugin::{Plugins, Slot};
use crate::report::Report;

pub mod arguments;
pub mod expression;
pub mod template;

mod assess;
mod decide;
mod fields;
mod go;
mod measure;
mod patch;
mod schedule;
mod settle;
mod ttl;
mod valid;
mod waits;

pub use decide::decide;
pub use settle::settle;
pub use valid::{ValidMetric, ValidRun, is_dry_run, validate};

/// How long a terminating run waits for a provider to cancel a measurement that is still open.
/// After that the measurement is closed as an error: a guest that hangs, or a provider that is gone, holds up no run.
pub const CANCEL_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// Time to the next measurement after an error, and where a metric has no interval (ENG-020); also the time after which
/// a provider's write that failed for a passing reason is tried again.
pub const ERROR_RETRY: SignedDuration = SignedDuration::from_secs(10);
/// How long a provider is waited for that the host cannot have answer, which says nothing of the release.
pub const HOST_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// A provider that asks to be called again sooner than this is called again after this.
pub const SHORTEST_WAIT: SignedDuration = SignedDuration::from_secs(1);

/// Everything that one pass over an AnalysisRun may know.
#[derive(Clone, Debug)]
pub struct RunObserved {
    /// The clock of this pass.
    pub now: Timestamp,
    /// The run as read.
    pub run: Arc<api::AnalysisRun>,
    /// Loaded plugins and this run's jobs.
    pub plugins: Plugins,
}

impl RunObserved {
    fn subject(&self) -> Subject {
        let metadata = &self.run.metadata;
        Subject {
            key: ObjectKey::namespaced(
                <api::AnalysisRun as api::Kind>::API_VERSION,
                <api::AnalysisRun as api::Kind>::KIND,
                &metadata.namespace,
                &metadata.name,
            ),
            uid: metadata.uid.clone(),
        }
    }
}

/// What is to be done for a run, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct RunDecision {
    /// Calls to providers, and what their replies want written.
    pub plan: Plan,
    /// What is waited for.
    pub report: Report,
    course: decide::Course,
}

/// The run as the subject of calls, events and writes.
pub fn subject_of(run: &api::AnalysisRun) -> Subject {
    Subject {
        key: ObjectKey::namespaced(
            "argoproj.io/v1alpha1",
            "AnalysisRun",
            &run.metadata.namespace,
            &run.metadata.name,
        ),
        uid: run.metadata.uid.clone(),
    }
}

/// What came of a decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSettled {
    /// The status patch: on the object itself, since the kind has no status subresource (BASE-007). None when nothing
    /// has changed.
    pub status: Option<Write>,
    /// Events on the run, to be recorded once `status` is written.
    pub events: Vec<Event>,
    /// When to look again although nothing has changed.
    pub requeue: Requeue,
    /// Replies to forget: once `status` is written, or at once where it is None. A forgotten job whose call is planned
    /// again starts anew.
    pub settled: Vec<(Slot, CallKey)>,
}

#[cfg(test)]
mod tests;

//! When a completed run is deleted (ENG-050).
//!
//! Upstream looks only when something else wakes it up; here the time is known, so that a timer can be set.

use jiff::{SignedDuration, Timestamp};
use sluice_api as api;

use super::schedule;

/// The time from which a completed run may be deleted. None where it may stay.
pub(super) fn expiry(run: &api::AnalysisRun) -> Option<Timestamp> {
    let strategy = run.spec.ttl_strategy.as_ref()?;
    let specific = match run.status.phase {
        api::AnalysisPhase::Successful => strategy.seconds_after_success,
        api::AnalysisPhase::Failed => strategy.seconds_after_failure,
        _ => None,
    };
    let seconds = specific.or(strategy.seconds_after_completion)?;
    // More than so many whole seconds must have passed.
    let wait = SignedDuration::from_secs(i64::from(seconds).saturating_add(1));
    Some(schedule::after(ended(run)?, wait))
}

/// When the run ended. A run that was refused has no `completedAt`, and upstream never deletes it; it ended when the last
/// thing happened to it.
fn ended(run: &api::AnalysisRun) -> Option<Timestamp> {
    let status = &run.status;
    if let Some(completed) = status.completed_at {
        return Some(completed.0);
    }
    let measured = status
        .metric_results
        .iter()
        .flat_map(|result| &result.measurements);
    let times = measured.filter_map(|measurement| measurement.finished_at);
    let times = times
        .chain(status.started_at)
        .chain(run.metadata.creation_timestamp);
    times.map(|time| time.0).max()
}

//! When a metric is measured next (ENG-020, ENG-021): read from the status alone, so that `decide` and the time of the
//! next pass agree.

use jiff::{SignedDuration, Timestamp};
use sluice_api as api;

use super::valid::ValidMetric;
use super::{CANCEL_WAIT, ERROR_RETRY, HOST_PATIENCE};

/// Message of a measurement that is being cancelled. Its `resumeAt` is then the time at which the wait for the provider
/// ends; upstream ignores `resumeAt` of a terminating run, and this one survives a restart.
pub(super) const TERMINATING: &str = "Metric Terminating";

/// What a metric needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing any more.
    Nothing,
    /// Nothing before this time.
    Later(Timestamp),
    /// A new measurement.
    Start,
    /// The open measurement goes on.
    Resume,
    /// The open measurement goes on at this time, or when what its provider watches changes.
    ResumeAt(Timestamp),
    /// The open measurement is to be cancelled.
    Cancel {
        /// Until when the provider may take; None where it was not asked yet.
        until: Option<Timestamp>,
    },
    /// The run ends: nothing new is begun.
    Ends,
}

/// What this metric needs, as its result stands.
pub(super) fn next(
    metric: &ValidMetric,
    status: &api::AnalysisRunStatus,
    terminating: bool,
    now: Timestamp,
) -> Next {
    let result = result(status, &metric.metric.name);
    if result.is_some_and(|result| result.phase.completed()) {
        return Next::Nothing;
    }
    let last = result.and_then(|result| result.measurements.last());
    match (result, last) {
        (_, Some(last)) if last.finished_at.is_none() => open(last, terminating, now),
        _ if terminating => Next::Ends,
        (Some(result), Some(last)) => repeat(metric, result, last, now),
        _ => first(metric, status, now),
    }
}

fn open(measurement: &api::Measurement, terminating: bool, now: Timestamp) -> Next {
    let resume_at = measurement.resume_at.map(|time| time.0);
    if terminating {
        let until = resume_at.filter(|_| measurement.message == TERMINATING);
        return Next::Cancel { until };
    }
    match resume_at {
        Some(time) if time > now => Next::ResumeAt(time),
        _ => Next::Resume,
    }
}

/// The first measurement, after the initial delay.
fn first(metric: &ValidMetric, status: &api::AnalysisRunStatus, now: Timestamp) -> Next {
    let Some(delay) = metric.initial_delay else {
        return Next::Start;
    };
    let started = status.started_at.map_or(now, |time| time.0);
    let due = after(started, delay);
    // The delay counts from a start that has been written down; a run without one has just been seen.
    if status.started_at.is_none() || due > now {
        Next::Later(due)
    } else {
        Next::Start
    }
}

/// The measurement after one that has ended. Errors do not count, so that they are retried.
fn repeat(
    metric: &ValidMetric,
    result: &api::MetricResult,
    last: &api::Measurement,
    now: Timestamp,
) -> Next {
    if metric.count.is_some_and(|count| result.count >= count) {
        return Next::Nothing;
    }
    let interval = match (&last.phase, metric.interval) {
        (api::AnalysisPhase::Error, _) | (_, None) => ERROR_RETRY,
        (_, Some(interval)) => interval,
    };
    let finished = last.finished_at.map_or(now, |time| time.0);
    let due = after(finished, interval);
    if due > now && !crate::planted::is(crate::planted::Bug::IntervalIgnored) {
        Next::Later(due)
    } else {
        Next::Start
    }
}

/// Whether a provider that the host cannot have answer is still waited for: for a minute after its measurement was due.
/// Then that counts as an error, since a release must not go on for long while nobody measures it, and so it does right
/// after an error.
pub(super) fn is_patient(
    metric: &ValidMetric,
    status: &api::AnalysisRunStatus,
    now: Timestamp,
) -> bool {
    let result = result(status, &metric.metric.name);
    let due = match result.and_then(|result| result.measurements.last()) {
        None => status
            .started_at
            .map(|time| after(time.0, metric.initial_delay.unwrap_or_default())),
        Some(last) if last.phase == api::AnalysisPhase::Error => return false,
        Some(last) => match last.finished_at {
            Some(time) => Some(after(time.0, metric.interval.unwrap_or(ERROR_RETRY))),
            None => last.resume_at.or(last.started_at).map(|time| time.0),
        },
    };
    due.is_none_or(|due| now < after(due, HOST_PATIENCE))
}

/// When the wait for a cancelled measurement ends that is begun now.
pub(super) fn cancel_by(now: Timestamp) -> Timestamp {
    after(now, CANCEL_WAIT)
}

/// A time plus a duration; the end of time where there is none.
pub(super) fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// The result of a metric.
pub(super) fn result<'a>(
    status: &'a api::AnalysisRunStatus,
    metric: &str,
) -> Option<&'a api::MetricResult> {
    status
        .metric_results
        .iter()
        .find(|result| result.name == metric)
}

/// How far the measurements of a metric are. A reply belongs to the progress that it was asked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Measurements that have ended, errors included.
    pub(super) number: u32,
    /// How many of them errored.
    pub(super) errors: u32,
    /// Whether one is open.
    pub(super) open: bool,
}

/// How far a metric is.
pub(super) fn progress(status: &api::AnalysisRunStatus, metric: &str) -> Progress {
    let result = result(status, metric);
    let (count, errors) = result.map_or((0, 0), |result| (result.count, result.error));
    let last = result.and_then(|result| result.measurements.last());
    Progress {
        number: u32::try_from(i64::from(count) + i64::from(errors)).unwrap_or_default(),
        errors: u32::try_from(errors).unwrap_or_default(),
        open: last.is_some_and(|last| last.finished_at.is_none()),
    }
}

/// Whether the run ends before its metrics do: on request, or because a metric that counts has ended badly (ENG-022).
pub(super) fn terminating(run: &api::AnalysisRun) -> bool {
    ends(run.spec.terminate, &run.status)
}

/// The same for a status that is not written yet.
pub(super) fn ends(terminate: bool, status: &api::AnalysisRunStatus) -> bool {
    use api::AnalysisPhase::{Error, Failed, Inconclusive};
    terminate
        || status
            .metric_results
            .iter()
            .any(|result| !result.dry_run && matches!(result.phase, Failed | Error | Inconclusive))
}

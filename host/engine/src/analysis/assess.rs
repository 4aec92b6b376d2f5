//! What the measurements of a run come to: phases of metrics and of the run, messages, summaries (ENG-040 to ENG-045).

use sluice_api as api;
use sluice_api::AnalysisPhase::{Error, Failed, Inconclusive, Pending, Running, Successful};

use super::schedule;
use super::valid::{ValidMetric, ValidRun};
use crate::plan::Severity;

/// What the assessment of a pass goes by besides the status.
pub(super) struct Circumstances<'a> {
    /// `spec.terminate`.
    pub(super) terminate: bool,
    /// Whether a provider is still asked to cancel; the run goes on until then.
    pub(super) cancelling: bool,
    /// Metrics whose last measurement errored only because it could not be cancelled.
    pub(super) not_cancelled: &'a [&'a str],
}

/// The verdict over a run.
pub(super) struct Verdict {
    pub(super) phase: api::AnalysisPhase,
    pub(super) message: String,
}

/// A metric that has ended, in the words of its event (EVT-023).
pub(super) struct Ended {
    pub(super) severity: Severity,
    pub(super) reason: String,
    pub(super) message: String,
}

/// Assesses every metric and the run; changes phases, messages and summaries, but not the phase of the run.
pub(super) fn assess(
    valid: &ValidRun,
    status: &mut api::AnalysisRunStatus,
    circumstances: &Circumstances<'_>,
) -> (Verdict, Vec<Ended>) {
    let terminating = schedule::ends(circumstances.terminate, status);
    let mut worst: Option<api::AnalysisPhase> = None;
    let mut message = if circumstances.terminate {
        "Run Terminated".to_owned()
    } else {
        String::new()
    };
    let mut summary = api::RunSummary::default();
    let mut dry_summary = api::RunSummary::default();
    let mut all_completed = true;
    let mut ended = Vec::new();
    for metric in &valid.metrics {
        let name = &metric.metric.name;
        let counts = if metric.dry_run {
            &mut dry_summary
        } else {
            &mut summary
        };
        counts.count += 1;
        let found = status
            .metric_results
            .iter_mut()
            .find(|result| result.name == *name);
        let Some(result) = found else {
            all_completed = false;
            continue;
        };
        let not_cancelled = circumstances.not_cancelled.contains(&name.as_str());
        let phase = metric_phase(metric, result, terminating, not_cancelled);
        if result.phase != phase {
            if phase.completed() {
                ended.push(event(name, &phase));
            }
            if let Some(last) = result.measurements.last() {
                result.message.clone_from(&last.message);
            }
            result.phase = phase.clone();
        }
        if !phase.completed() {
            all_completed = false;
            continue;
        }
        let limit = exceeded(metric, result, terminating, not_cancelled);
        tally(counts, limit.as_ref().map(|limit| &limit.phase));
        if metric.dry_run {
            worst.get_or_insert(Successful);
            if let Some(limit) = limit {
                result.message = format!("Metric assessed {phase} due to {}", limit.message);
            }
        } else if worst
            .as_ref()
            .is_none_or(|worst| rank(&phase) > rank(worst))
        {
            if let Some(limit) = limit {
                message = format!(
                    "Metric \"{name}\" assessed {phase} due to {}",
                    limit.message
                );
                if !result.message.is_empty() {
                    message.push_str(&format!(": \"Error Message: {}\"", result.message));
                }
            }
            worst = Some(phase);
        }
    }
    status.run_summary = summary;
    status.dry_run_summary = Some(dry_summary);
    let undecided = !all_completed || worst.is_none();
    let verdict = if circumstances.cancelling || (undecided && !terminating) {
        Verdict {
            phase: Running,
            message: String::new(),
        }
    } else {
        Verdict {
            phase: worst.unwrap_or(Successful),
            message: message.trim().to_owned(),
        }
    };
    (verdict, ended)
}

/// How far a metric is. The order of the rules is upstream's.
fn metric_phase(
    metric: &ValidMetric,
    result: &api::MetricResult,
    terminating: bool,
    not_cancelled: bool,
) -> api::AnalysisPhase {
    if result.phase.completed() {
        return result.phase.clone();
    }
    let Some(last) = result.measurements.last() else {
        return if terminating { Successful } else { Pending };
    };
    if !last.phase.completed() {
        return Running;
    }
    if let Some(limit) = exceeded(metric, result, terminating, not_cancelled) {
        return limit.phase;
    }
    let wanted = number(metric.metric.consecutive_success_limit.as_ref());
    if wanted > 0 && result.consecutive_success >= wanted {
        return Successful;
    }
    if metric.count.is_some_and(|count| result.count >= count) {
        let tolerates_failures = number(metric.metric.failure_limit.as_ref()) < 0;
        return match (wanted > 0, tolerates_failures) {
            (true, false) => Inconclusive,
            (true, true) => Failed,
            (false, _) => Successful,
        };
    }
    if terminating { Successful } else { Running }
}

/// A limit that a metric has exceeded.
struct Exceeded {
    phase: api::AnalysisPhase,
    message: String,
}

/// The limit that decides, if one is exceeded; of several the last of this list (ENG-040, ENG-041).
///
/// The first is ours: a metric that ends early and that no measurement says anything about has not succeeded. Upstream
/// calls it successful.
fn exceeded(
    metric: &ValidMetric,
    result: &api::MetricResult,
    terminating: bool,
    not_cancelled: bool,
) -> Option<Exceeded> {
    let mut exceeded = None;
    let errors = result.error - i32::from(not_cancelled);
    let open = result
        .measurements
        .last()
        .is_some_and(|last| last.finished_at.is_none());
    if terminating && result.count == 0 && errors > 0 && !open {
        let message = format!("all measurements errored ({errors})");
        exceeded = Some(Exceeded {
            phase: Error,
            message,
        });
    }
    let mut over = |phase, name: &str, have: i32, limit_name: &str, limit: i32| {
        if have > limit {
            let message = format!("{name} ({have}) > {limit_name} ({limit})");
            exceeded = Some(Exceeded { phase, message });
        }
    };
    let failures = number(metric.metric.failure_limit.as_ref());
    if failures >= 0 {
        over(Failed, "failed", result.failed, "failureLimit", failures);
    }
    let inconclusive = number(metric.metric.inconclusive_limit.as_ref());
    over(
        Inconclusive,
        "inconclusive",
        result.inconclusive,
        "inconclusiveLimit",
        inconclusive,
    );
    let errors = metric.metric.consecutive_error_limit();
    over(
        Error,
        "consecutiveErrors",
        result.consecutive_error,
        "consecutiveErrorLimit",
        errors,
    );
    exceeded
}

fn number(field: Option<&api::IntOrString>) -> i32 {
    field.map_or(0, api::IntOrString::int_value)
}

/// Counts a completed metric by the limit that it exceeded, as successful where there is none (ENG-044).
fn tally(summary: &mut api::RunSummary, phase: Option<&api::AnalysisPhase>) {
    let own = match phase {
        Some(Error) => &mut summary.error,
        Some(Failed) => &mut summary.failed,
        Some(Inconclusive) => &mut summary.inconclusive,
        _ => &mut summary.successful,
    };
    *own += 1;
}

/// Phases from best to worst (ENG-042).
fn rank(phase: &api::AnalysisPhase) -> u8 {
    match phase {
        Running => 1,
        Pending => 2,
        Inconclusive => 3,
        Error => 4,
        Failed => 5,
        _ => 0,
    }
}

/// The severity of an end (EVT-023, EVT-024).
pub(super) fn severity(phase: &api::AnalysisPhase) -> Severity {
    if matches!(phase, Error | Failed) {
        Severity::Warning
    } else {
        Severity::Normal
    }
}

fn event(metric: &str, phase: &api::AnalysisPhase) -> Ended {
    Ended {
        severity: severity(phase),
        reason: format!("Metric{phase}"),
        message: format!("Metric '{metric}' Completed. Result: {phase}"),
    }
}

//! What metrics wait for that no measurement shows, in the status: a start that the host cannot have answered leaves no
//! measurement behind.

use sluice_api as api;

/// How the message of a metric begins that waits. It tells such a message from one about a measurement.
const WAITS: &str = "waits for its provider: ";

/// Notes why a metric waits.
pub(super) fn note(result: &mut api::MetricResult, why: &str) {
    result.message = format!("{WAITS}{why}");
}

/// Takes note that a metric has been heard.
pub(super) fn over(result: &mut api::MetricResult) {
    if result.message.starts_with(WAITS) {
        result.message.clear();
    }
}

/// A run that ends waits no longer: metrics of which there is nothing but a wait have no result.
pub(super) fn give_up(status: &mut api::AnalysisRunStatus) {
    let nothing_else = |result: &api::MetricResult| {
        result.measurements.is_empty() && result.message.starts_with(WAITS)
    };
    status.metric_results.retain(|result| !nothing_else(result));
}

/// What the metrics of a run wait for, for the message of the run, which a Rollout shows as well; empty for nothing.
pub(super) fn told(status: &api::AnalysisRunStatus) -> String {
    let waiting = status
        .metric_results
        .iter()
        .filter(|result| !result.phase.completed() && result.message.starts_with(WAITS));
    let lines: Vec<_> = waiting
        .map(|result| format!("Metric \"{}\" {}", result.name, result.message))
        .collect();
    lines.join("; ")
}

//! Measurements are made once, counted once, and no oftener than asked for.

use serde_json::Value;
use sluice_simulation::Changed;

use super::mirror::{number, text};
use super::{Court, Finding};

/// Phases that a run does not leave.
pub(in crate::faults) const ENDED: [&str; 4] = ["Successful", "Failed", "Error", "Inconclusive"];

/// Whether a run goes on until somebody ends it.
pub(in crate::faults) fn is_endless(run: &Value) -> bool {
    let metrics = run.pointer("/spec/metrics").and_then(Value::as_array);
    let mut metrics = metrics.into_iter().flatten();
    let ends =
        ENDED.contains(&text(run, "/status/phase")) || run.pointer("/spec/terminate").is_some();
    !ends && metrics.any(|metric| metric.get("count").is_none())
}

impl Court {
    pub(super) fn judge_run(&self, change: &Changed) -> Vec<Finding> {
        let (before, after) = match (&change.before, &change.after) {
            (Some(before), Some(after)) => (before, after),
            (None, Some(created)) => return self.judge_new_run(change, created),
            (_, None) => return Vec::new(),
        };
        let mut found = Vec::new();
        let phase = text(before, "/status/phase");
        if ENDED.contains(&phase) && text(after, "/status/phase") != phase {
            found.push((
                "a verdict stands",
                format!(
                    "{} was {phase}, now {}",
                    change.name,
                    text(after, "/status/phase")
                ),
            ));
        }
        for (was, is) in metrics(before, after) {
            found.extend(judge_metric(&change.name, was, is));
        }
        found
    }

    /// Nothing is measured twice at a time.
    fn judge_new_run(&self, change: &Changed, created: &Value) -> Vec<Finding> {
        let twin = self.mirror.runs.iter().find(|(_, run)| {
            subject(run) == subject(created)
                && !ENDED.contains(&text(run, "/status/phase"))
                && run.pointer("/spec/terminate").is_none()
        });
        let text = |(name, _): (&String, _)| format!("{} is made beside {name}", change.name);
        twin.map(|twin| ("one run at a time", text(twin)))
            .into_iter()
            .collect()
    }
}

/// What is measured, and where: a step of a revision, or all of it.
fn subject(run: &Value) -> [&str; 3] {
    ["rollout-type", "step-index", "rollouts-pod-template-hash"]
        .map(|label| text(run, &format!("/metadata/labels/{label}")))
}

fn metrics<'a>(
    before: &'a Value,
    after: &'a Value,
) -> impl Iterator<Item = (Option<&'a Value>, &'a Value)> {
    let of = |run: &'a Value| {
        run.pointer("/status/metricResults")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    of(after).iter().map(move |metric| {
        let name = metric.get("name");
        let was = of(before).iter().find(|other| other.get("name") == name);
        (was, metric)
    })
}

fn measurements(metric: &Value) -> &[Value] {
    metric
        .get("measurements")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
}

fn judge_metric(run: &str, was: Option<&Value>, is: &Value) -> Option<Finding> {
    let count = |name: &str| number(is, &format!("/{name}")).unwrap_or(0);
    let counted = count("successful") + count("failed") + count("inconclusive") + count("error");
    let ended = measurements(is)
        .iter()
        .filter(|measurement| measurement.get("finishedAt").is_some())
        .count();
    let ended = i64::try_from(ended).unwrap_or(0);
    // Only the newest ten are kept.
    if counted != ended && ended < 10 {
        return Some((
            "measurements are counted once",
            format!("{run}: {ended} measurements have ended, {counted} are counted"),
        ));
    }
    let before = was.map_or(0, |was| measurements(was).len());
    if measurements(is).len() > before + 1 {
        return Some((
            "measurements are counted once",
            format!(
                "{run}: {before} measurements, then {}",
                measurements(is).len()
            ),
        ));
    }
    let starts: Vec<jiff::Timestamp> = measurements(is)
        .iter()
        .filter_map(|measurement| text(measurement, "/startedAt").parse().ok())
        .collect();
    let close = starts
        .iter()
        .zip(starts.iter().skip(1))
        // The interval is three seconds; what is written has whole ones.
        .find(|(one, next)| next.duration_since(**one).as_secs() < 2);
    close.map(|(one, next)| {
        (
            "measurements are due",
            format!("{run}: measured at {one} and again at {next}"),
        )
    })
}

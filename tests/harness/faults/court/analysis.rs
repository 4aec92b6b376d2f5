//! Measurements are made once, counted once, and no oftener than asked for.

use serde_json::Value;
use sluice_simulation::Changed;

use super::mirror::{number, text};
use super::{Court, Finding};

impl Court {
    pub(super) fn judge_run(&self, change: &Changed) -> Vec<Finding> {
        let (Some(before), Some(after)) = (&change.before, &change.after) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let phase = text(before, "/status/phase");
        let ended = ["Successful", "Failed", "Error", "Inconclusive"].contains(&phase);
        if ended && text(after, "/status/phase") != phase {
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

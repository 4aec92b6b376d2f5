//! Conditions say what is, and since when; the clock of an update runs forward.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::mirror::{number, text};
use super::{Court, Finding};

/// Types that are taken away and come back within a pass, or have the times of something else.
const PASSING: &[&str] = &["InvalidSpec", "Progressing", "ReplicaFailure"];

impl Court {
    /// Each condition is there once, keeps its times, and agrees with the status that it stands in.
    pub(super) fn judge_conditions(&self, before: &Value, after: &Value) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut accuse = |text: String| found.push(("conditions say what is", text));
        let mut types = BTreeSet::new();
        for condition in conditions(after) {
            let type_ = text(condition, "/type");
            if !types.insert(type_) {
                accuse(format!("{type_} is there twice"));
            }
            if let Some(earlier) = find(before, type_) {
                let same = text(condition, "/status") == text(earlier, "/status");
                let (was, is) = (
                    text(earlier, "/lastTransitionTime"),
                    text(condition, "/lastTransitionTime"),
                );
                if same && was != is && !PASSING.contains(&type_) {
                    accuse(format!("{type_} changes its transition from {was} to {is}"));
                }
                let updated = |condition: &Value| time(condition, "/lastUpdateTime");
                if updated(condition) < updated(earlier) && !PASSING.contains(&type_) {
                    accuse(format!("{type_} has an older update than before"));
                }
            }
        }
        // Of a specification that cannot be worked on nothing else is said.
        if find(after, "InvalidSpec").is_some() {
            return found;
        }
        let says = |type_: &str| find(after, type_).map(|found| text(found, "/status") == "True");
        let stable = text(after, "/status/stableRS");
        let completed = !stable.is_empty() && stable == text(after, "/status/currentPodHash");
        if says("Completed").is_some_and(|said| said != completed) {
            accuse(format!("Completed is {}", !completed));
        }
        let paused = after.pointer("/spec/paused") == Some(&json!(true))
            || after
                .pointer("/status/pauseConditions")
                .and_then(Value::as_array)
                .is_some_and(|pauses| !pauses.is_empty());
        let aborted = after.pointer("/status/abort") == Some(&json!(true));
        if says("Paused").is_some_and(|said| said != paused) && !aborted {
            accuse(format!("Paused is {}", !paused));
        }
        found
    }

    /// An update ends once, after it has begun, and nobody paused it for longer than it took.
    pub(super) fn judge_duration(
        &self,
        at: Timestamp,
        before: &Value,
        after: &Value,
    ) -> Option<Finding> {
        let duration = after.pointer("/status/duration")?;
        let began = time(duration, "/rolloutStartedAt");
        let end = time(duration, "/finishedAt");
        let law = "the clock of an update";
        let earlier = before.pointer("/status/duration").unwrap_or(&Value::Null);
        let ended = time(earlier, "/finishedAt");
        // One that ends in the second in which it began may be followed by another one.
        if time(earlier, "/rolloutStartedAt") == began && ended > began && ended != end {
            return Some((law, format!("an end that changes: {earlier}, {duration}")));
        }
        if time(earlier, "/rolloutStartedAt") > began {
            return Some((law, format!("it goes back: {earlier}, {duration}")));
        }
        if began.is_some_and(|began| began > at) {
            return Some((law, "it begins later".to_owned()));
        }
        // How it will end may be known before.
        if end.is_some() && text(duration, "/completionStatus").is_empty() {
            return Some((law, format!("an end without a reason: {duration}")));
        }
        let seconds = end.unwrap_or(at).duration_since(began?).as_secs();
        let paused = number(duration, "/totalManualPauseDurationSeconds").unwrap_or(0);
        (seconds < 0 || paused > seconds + 1).then(|| {
            let text = format!("{seconds} s, of which {paused} s were pauses");
            (law, text)
        })
    }
}

fn conditions(rollout: &Value) -> impl Iterator<Item = &Value> {
    let conditions = rollout.pointer("/status/conditions");
    conditions.and_then(Value::as_array).into_iter().flatten()
}

fn find<'a>(rollout: &'a Value, type_: &str) -> Option<&'a Value> {
    conditions(rollout).find(|condition| text(condition, "/type") == type_)
}

fn time(value: &Value, path: &str) -> Option<Timestamp> {
    text(value, path).parse().ok()
}

//! The status says what is, never what is wished: weights, steps, promotions; and an abort is taken up whatever hangs.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_simulation::Changed;

use super::mirror::{number, steps_of, text};
use super::{Court, Finding, Window};
use crate::faults::history::What;
use crate::faults::scene::{NAME, Strategy};

/// Where the update is, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    entered: Option<Timestamp>,
    /// When its pause began, as the controller says.
    paused: Option<Timestamp>,
    /// When the status last said that the update goes on, begins anew or waits.
    moved: Option<Timestamp>,
}

impl Progress {
    /// Hears of a change of the Rollout. Who sends an update past a step by hand makes nothing of it late or on time, as
    /// with Argo Rollouts, unless the step was an analysis, which may take as long as it likes.
    pub fn note(&mut self, at: Timestamp, change: &Changed, ours: bool) {
        let (Some(before), Some(after)) = (&change.before, &change.after) else {
            return;
        };
        let moves = [
            "/status/currentStepIndex",
            "/status/currentPodHash",
            "/status/stableRS",
            "/status/pauseConditions",
            "/status/abort",
        ];
        // What is empty or false is as good as absent.
        let told = |rollout: &Value, path: &str| {
            let told = rollout.pointer(path).filter(|value| {
                **value != json!(false) && value.as_array().is_none_or(|items| !items.is_empty())
            });
            told.cloned().unwrap_or_default()
        };
        let counts = ours
            || before
                .pointer("/status/canary/currentStepAnalysisRunStatus")
                .is_some();
        let differs = |path: &&str| told(before, path) != told(after, path);
        if counts && moves.iter().any(differs) {
            self.moved = Some(at);
        }
    }
}

impl Court {
    pub(super) fn judge_status(&mut self, window: Window, change: &Changed) -> Vec<Finding> {
        let (Some(before), Some(after)) = (&change.before, &change.after) else {
            return Vec::new();
        };
        if change.name != NAME || before.get("status") == after.get("status") {
            return Vec::new();
        }
        let mut found = self.judge_weight(window, before, after);
        found.extend(self.judge_abort(window, before, after));
        found.extend(judge_inheritance(before, after));
        found.extend(self.judge_reason(window, before, after));
        found.extend(self.judge_step(window, before, after));
        found.extend(self.judge_promotion(window, before, after));
        found.extend(self.judge_counts(window, after));
        found.extend(self.judge_conditions(before, after));
        found.extend(self.judge_duration(window.at, before, after));
        if number(before, "/status/currentStepIndex") != number(after, "/status/currentStepIndex") {
            self.steps.entered = Some(window.at);
            self.steps.paused = None;
        }
        let said = text(after, "/status/pauseConditions/0/startTime");
        self.steps.paused = said.parse().ok().or(self.steps.paused);
        found
    }

    /// Nobody but a user takes an abort back before it was taken up.
    fn judge_abort(&self, window: Window, before: &Value, after: &Value) -> Option<Finding> {
        let asks = |rollout: &Value| rollout.pointer("/status/abort") == Some(&json!(true));
        let waits = asks(before) && before.pointer("/status/abortedAt").is_none();
        let other = self.acted(window.from, |what| {
            matches!(
                what,
                What::Release { .. }
                    | What::Steps(_)
                    | What::PromoteFull
                    | What::Retry
                    | What::DeleteSet(_)
            )
        });
        let current = text(before, "/status/currentPodHash");
        let stable = [before, after].map(|rollout| text(rollout, "/status/stableRS"));
        let over = stable
            .iter()
            .any(|stable| stable.is_empty() || *stable == current);
        (waits && !asks(after) && !over && !other).then(|| {
            let text = "the abort that somebody asked for is gone".to_owned();
            ("an abort is heard", text)
        })
    }

    /// A controller aborts because of an analysis, or because nothing has moved until the deadline.
    fn judge_reason(&self, window: Window, before: &Value, after: &Value) -> Option<Finding> {
        let asks = |rollout: &Value| rollout.pointer("/status/abort") == Some(&json!(true));
        let judged = self.mirror.runs.values().any(|run| {
            matches!(
                text(run, "/status/phase"),
                "Failed" | "Error" | "Inconclusive"
            )
        });
        // A run that failed may be deleted since.
        let deleted = self.acted(self.start, |what| *what == What::DeleteRun);
        if asks(before) || !asks(after) || judged || deleted {
            return None;
        }
        let law = "an abort has a reason";
        if before.pointer("/spec/progressDeadlineAbort") != Some(&json!(true)) {
            return Some((law, "nobody has asked for it".to_owned()));
        }
        let deadline = number(before, "/spec/progressDeadlineSeconds").unwrap_or(600);
        let since = self.steps.moved.unwrap_or(self.start);
        let spent = window.at.duration_since(since);
        // Statuses have whole seconds.
        let early = spent + SignedDuration::from_secs(1) < SignedDuration::from_secs(deadline);
        early.then(|| {
            let text = format!(
                "{} s after it moved, with a deadline of {deadline} s",
                spent.as_secs()
            );
            (law, text)
        })
    }

    fn judge_weight(&self, window: Window, before: &Value, after: &Value) -> Vec<Finding> {
        let path = "/status/canary/weights/canary/weight";
        let (was, is) = (number(before, path), number(after, path));
        let Some(weight) = is.filter(|_| was != is) else {
            return Vec::new();
        };
        let mirror = &self.mirror;
        let seen = mirror
            .weights
            .during(window)
            .any(|seen| *seen == Some(weight));
        if seen || self.traffic_in_doubt(window) {
            return Vec::new();
        }
        vec![(
            "status from a wish",
            format!(
                "the status says weight {weight}, the routes say {:?}",
                mirror.traffic.weight
            ),
        )]
    }

    fn judge_step(&self, window: Window, before: &Value, after: &Value) -> Vec<Finding> {
        let index = |status: &Value| number(status, "/status/currentStepIndex").unwrap_or(0);
        let (was, is) = (index(before), index(after));
        let same = |path: &str| before.pointer(path) == after.pointer(path);
        let steps = steps_of(before);
        let count = i64::try_from(steps.len()).unwrap_or(0);
        let begins = !same("/status/currentPodHash") || !same("/status/currentStepHash");
        if begins && is != 0 && is != count && number(after, "/status/currentStepIndex").is_some() {
            return vec![("a revision begins anew", format!("it begins at step {is}"))];
        }
        if is == was || is == 0 || begins {
            return Vec::new();
        }
        // Somebody skips, or the update is over for another reason than its steps.
        let entered = self.steps.entered.unwrap_or(self.start);
        let since = entered.min(window.from);
        let promoted = self.acted(since, |what| {
            matches!(
                what,
                What::Promote | What::PromoteFull | What::SkipAll | What::SkipOne
            )
        });
        let stable = text(after, "/status/stableRS") == text(after, "/status/currentPodHash");
        if promoted
            || (is == count && stable)
            || (is == count && text(before, "/status/stableRS").is_empty())
        {
            return Vec::new();
        }
        if is != was + 1 {
            if is == count && before.pointer("/spec/rollbackWindow").is_some() {
                return Vec::new();
            }
            return vec![("steps in order", format!("from step {was} to {is}"))];
        }
        let step = usize::try_from(was).ok().and_then(|was| steps.get(was));
        let Some(step) = step else { return Vec::new() };
        // Without pods there is nothing that could take a share, and the steps go by.
        let passed = usize::try_from(was).ok().and_then(|was| steps.get(..=was));
        let has_pods =
            self.mirror.least_replicas(window) > 0 && !passed.is_some_and(asks_for_no_pods);
        if let Some(weight) = number(step, "/setWeight")
            && self.strategy == Strategy::Routed
            && has_pods
            && !self.traffic_in_doubt(window)
            && !self
                .mirror
                .weights
                .during(window)
                .any(|seen| *seen == Some(weight))
        {
            let text = format!(
                "step {was} ends at weight {weight}, the routes say {:?}",
                self.mirror.traffic.weight
            );
            return vec![("status from a wish", text)];
        }
        if number(step, "/setWeight").is_some_and(|weight| weight > 0)
            && self.strategy == Strategy::Routed
            && has_pods
            && !self.traffic_in_doubt(window)
        {
            let hash = text(after, "/status/currentPodHash");
            let canary = self.mirror.selected.get("canary");
            if !canary.is_some_and(|canary| canary.during(window).any(|found| found == hash)) {
                let text = format!("step {was} ends, and its share goes to {canary:?}, not {hash}");
                return vec![("a step's share goes to its pods", text)];
            }
        }
        if let Some(pause) = step.get("pause") {
            let seconds = match pause.get("duration") {
                None => None,
                Some(Value::Number(seconds)) => seconds.as_i64(),
                Some(text) => text
                    .as_str()
                    .and_then(|text| text.trim_end_matches('s').parse().ok()),
            };
            // It counts from when the controller says that it began. Its end may come before that of the step.
            let began = self.steps.paused.unwrap_or(entered);
            let spent = window.at.duration_since(began);
            // Statuses have whole seconds.
            let over = seconds.is_some_and(|seconds| {
                spent + SignedDuration::from_secs(1) >= SignedDuration::from_secs(seconds)
            });
            if !over {
                let text = format!("step {was}, {pause}, ends after {} s", spent.as_secs());
                return vec![("a pause is kept", text)];
            }
        }
        if step.get("analysis").is_some() {
            let name = text(before, "/status/canary/currentStepAnalysisRunStatus/name");
            let phase = self
                .mirror
                .runs
                .get(name)
                .map(|run| text(run, "/status/phase"));
            if phase != Some("Successful") {
                let text = format!("step {was} ends while run '{name}' is {phase:?}");
                return vec![("analysis decides", text)];
            }
        }
        Vec::new()
    }

    fn judge_promotion(&self, window: Window, before: &Value, after: &Value) -> Vec<Finding> {
        let hash = |status: &Value| text(status, "/status/stableRS").to_owned();
        let (was, is) = (hash(before), hash(after));
        if was.is_empty() || was == is {
            return Vec::new();
        }
        let mirror = &self.mirror;
        // The stable set may be gone; then whatever comes is the first.
        let initial = mirror.by_hash(&was).is_none() || self.traffic_in_doubt(window);
        if let Some(found) = self.judge_verdict(window, &is).filter(|_| !initial) {
            return vec![found];
        }
        if self.strategy == Strategy::BlueGreen {
            let selected = mirror.selected.get("active");
            let switched =
                selected.is_some_and(|selected| selected.during(window).any(|hash| *hash == is));
            if !switched && !self.traffic_in_doubt(window) {
                return vec![(
                    "promotion follows the switch",
                    format!("{is} is stable, and not active"),
                )];
            }
            return Vec::new();
        }
        let wanted = mirror.enough(mirror.least_replicas(window));
        let available = mirror
            .by_hash(&is)
            .map_or(0, |set| set.most_available(window));
        if available < wanted && !initial {
            let text = format!("{is} is stable with {available} of {wanted} available pods");
            return vec![("promotion needs pods", text)];
        }
        let full = before.pointer("/status/promoteFull") == Some(&json!(true))
            || self.acted(window.from, |what| *what == What::PromoteFull)
            || before.pointer("/spec/rollbackWindow").is_some();
        let weighed = mirror
            .weights
            .during(window)
            .any(|weight| *weight == Some(100));
        if self.strategy == Strategy::Routed && wanted > 0 && !full && !weighed && !initial {
            return vec![(
                "promotion follows the weight",
                format!("{is} is stable, and has no full weight"),
            )];
        }
        Vec::new()
    }

    /// The counts are those of some moment.
    fn judge_counts(&self, window: Window, after: &Value) -> Vec<Finding> {
        // Of a specification that cannot be worked on nothing is counted.
        let conditions = after
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let invalid = conditions.is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.get("type") == Some(&json!("InvalidSpec")))
        });
        if self.strategy == Strategy::BlueGreen || self.traffic_in_doubt(window) || invalid {
            return Vec::new();
        }
        let said = number(after, "/status/availableReplicas").unwrap_or(0);
        let (mut least, mut most) = (0, 0);
        for set in self.mirror.sets.values().filter(|set| set.ours) {
            let pods = || set.pods.during(window).map(|pods| pods.available);
            least += pods().min().unwrap_or(0);
            most += pods().max().unwrap_or(0);
        }
        if (least..=most).contains(&said) {
            return Vec::new();
        }
        vec![(
            "status from a wish",
            format!("the status says {said} available pods; {least} to {most} were"),
        )]
    }
}

/// Whether the last of these steps that says how many pods the canary has says none.
pub(in crate::faults) fn asks_for_no_pods(steps: &[Value]) -> bool {
    let scale = steps
        .iter()
        .rev()
        .find_map(|step| step.get("setCanaryScale"));
    let size = scale.and_then(|scale| scale.get("replicas").or_else(|| scale.get("weight")));
    size == Some(&json!(0))
}

/// The next revision does not inherit an abort.
fn judge_inheritance(before: &Value, after: &Value) -> Option<Finding> {
    let aborted = |rollout: &Value| rollout.pointer("/status/abort") == Some(&json!(true));
    let taken_up = after.pointer("/status/abortedAt").is_some();
    let hash = |rollout| text(rollout, "/status/currentPodHash");
    let (was, is) = (hash(before), hash(after));
    let inherited = aborted(before) && aborted(after) && taken_up;
    (inherited && !was.is_empty() && was != is).then(|| {
        let text = format!("the abort of {was} has become one of {is}");
        ("an abort is of its revision", text)
    })
}

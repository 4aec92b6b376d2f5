//! What an update may have by now: the share of its steps, the active Service after analysis and a word of somebody.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_simulation::Changed;

use super::mirror::{Traffic, number, steps_of, text};
use super::{Court, Finding, Window};
use crate::faults::history::What;
use crate::faults::scene::Strategy;

/// The largest share that the Rollout allows its current revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::faults) struct Allowed {
    hash: String,
    share: i64,
    /// What a revision has that the status does not name yet.
    first: i64,
}

impl Allowed {
    pub fn of(rollout: &Value) -> Self {
        let hash = text(rollout, "/status/currentPodHash").to_owned();
        let steps = steps_of(rollout);
        let hurried = rollout.pointer("/status/promoteFull") == Some(&json!(true))
            || text(rollout, "/status/stableRS") == hash;
        // A revision within it needs no steps.
        let window = rollout.pointer("/spec/rollbackWindow").is_some();
        let index = number(rollout, "/status/currentStepIndex").unwrap_or(0);
        Self {
            share: if hurried || window {
                100
            } else {
                share_at(steps, index)
            },
            first: if window { 100 } else { share_at(steps, 0) },
            hash,
        }
    }

    /// Whether this is the present revision's.
    pub(super) fn is_of(&self, hash: &str) -> bool {
        self.hash == hash
    }

    fn to(&self, hash: &str) -> i64 {
        if self.hash == hash {
            self.share
        } else {
            self.first
        }
    }
}

/// The share of the last `setWeight` up to this step; all of it after the last one.
pub(in crate::faults) fn share_at(steps: &[Value], index: i64) -> i64 {
    let index = usize::try_from(index).unwrap_or(0);
    let Some(upto) = steps.get(..=index) else {
        return 100;
    };
    upto.iter()
        .rev()
        .find_map(|step| number(step, "/setWeight"))
        .unwrap_or(0)
}

impl Court {
    /// A revision that is not stable gets no more than its steps allow, however it comes by it.
    pub(super) fn judge_step_share(
        &self,
        window: Window,
        change: &Changed,
        after: &Traffic,
    ) -> Vec<Finding> {
        let mirror = &self.mirror;
        if self.strategy != Strategy::Routed || self.traffic_by_hand() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (name, set) in mirror.living() {
            let (was, is) = (mirror.traffic.share(&set.hash), after.share(&set.hash));
            let stable = |hash: &String| hash.is_empty() || *hash == set.hash;
            if is <= was || mirror.stable.during(window).any(stable) {
                continue;
            }
            let allowed = mirror.allowed.during(window);
            let allowed = allowed.map(|allowed| allowed.to(&set.hash)).max();
            if allowed.is_some_and(|allowed| is > allowed) {
                let text = format!(
                    "{} {} gives {name} {is} % of the traffic, and its steps allow {allowed:?}",
                    change.plural, change.name
                );
                found.push(("no share past the steps", text));
            }
        }
        found
    }

    /// The active Service goes to a new revision after its analysis, and once somebody or the clock has agreed.
    pub(super) fn judge_switch(&self, window: Window, after: &Traffic) -> Option<Finding> {
        let mirror = &self.mirror;
        let before = mirror.traffic.selected.get("active");
        // The first that any user sees takes nobody's place.
        let first = before.is_none_or(String::is_empty);
        let to = after.selected.get("active")?;
        let set = mirror.by_hash(to)?;
        let known = |hash: &String| hash.is_empty() || hash == to;
        let goes = self.strategy == Strategy::BlueGreen && before != Some(to);
        // One whose end is announced is a rollback, which waits for nothing.
        if !goes
            || first
            || mirror.stable.during(window).any(known)
            || (set.deadline.is_some() && !self.has_failed_since_live(to, window))
            || self.traffic_by_hand()
            || self.is_hurried(window)
        {
            return None;
        }
        let analysed = mirror.strategy("prePromotionAnalysis").is_none()
            || self.newest_run("PrePromotion", to) == Some("Successful");
        if !analysed {
            let run = self.newest_run("PrePromotion", to);
            return Some((
                "analysis decides",
                format!("{to} is active, and its run before promotion is {run:?}"),
            ));
        }
        let since = mirror.allowed.since(|allowed| allowed.hash == *to)?;
        let seconds = mirror.strategy("autoPromotionSeconds");
        let seconds = seconds.and_then(Value::as_i64).unwrap_or(0);
        let manual = mirror.strategy("autoPromotionEnabled") == Some(&json!(false));
        // It counts from the pass that wrote this, not from its last write.
        let spent = window.at.duration_since(since) + window.at.duration_since(window.from);
        // Statuses have whole seconds.
        let waited = spent + SignedDuration::from_secs(1) >= SignedDuration::from_secs(seconds);
        let agreed = self.acted(since, |what| matches!(what, What::Promote));
        (!agreed && (manual || !waited)).then(|| {
            let spent = spent.as_secs();
            let text = format!("{to} is active after {spent} s, and nobody has agreed");
            ("a pause is kept", text)
        })
    }

    /// What is promoted has passed the analysis that goes on beside its steps, or comes after its switch.
    pub(super) fn judge_verdict(&self, window: Window, hash: &str) -> Option<Finding> {
        if self.is_hurried(window) {
            return None;
        }
        // What failed while the last pass was under way, the next one hears of; and other steps begin the update anew.
        let counts = |ended: &Timestamp| *ended < window.from;
        let background = self
            .newest("Background", hash)
            .filter(|run| self.mirror.ended.get(*run).is_none_or(counts))
            .filter(|run| !self.is_from_before(run))
            .and_then(|run| self.phase(run));
        let after = self.newest_run("PostPromotion", hash);
        // A rollback to one whose end was announced when it came.
        let current = self.mirror.allowed.since(|allowed| allowed.hash == hash);
        let fast = self
            .mirror
            .by_hash(hash)
            .is_none_or(|set| set.deadline.is_some() || set.announced >= current);
        let wanted = self.mirror.strategy("postPromotionAnalysis").is_some() && !fast;
        let failed = matches!(background, Some("Failed" | "Error"));
        (failed || (wanted && after != Some("Successful"))).then(|| {
            let text = format!(
                "{hash} is stable, its background run {background:?}, the one after the switch {after:?}"
            );
            ("analysis decides", text)
        })
    }

    /// Whether this run was over when the status took up the present steps, or was stopped; one that still ran goes on.
    fn is_from_before(&self, run: &str) -> bool {
        let steps = &self.mirror.steps;
        let anew = steps.since(|hash| Some(hash) == steps.last());
        // A pass that sees it end begins before the status says so.
        let over = anew.and_then(|anew| anew.checked_add(super::PASS).ok());
        let ended = self.mirror.ended.get(run);
        let stopped = self.mirror.runs.get(run).is_some_and(|run| {
            run.pointer("/metadata/annotations/sluice.dev~1stopped")
                .is_some()
        });
        stopped || ended.zip(over).is_some_and(|(ended, over)| *ended < over)
    }

    /// Whether its analysis has failed, and no user has seen it since.
    fn has_failed_since_live(&self, hash: &str, window: Window) -> bool {
        let active = self.mirror.selected.get("active");
        let lives = |from: Timestamp| {
            let since = Window { from, ..window };
            active.is_some_and(|active| active.during(since).any(|found| found == hash))
        };
        ["PrePromotion", "PostPromotion"].into_iter().any(|type_| {
            let run = self.newest(type_, hash);
            let ended = run.and_then(|run| self.mirror.ended.get(run)).copied();
            let failed = matches!(
                run.and_then(|run| self.phase(run)),
                Some("Failed" | "Error")
            );
            // One that ends after the switch sees the set active for a moment more.
            let over = ended.and_then(|ended| ended.checked_add(super::PASS).ok());
            failed && over.is_some_and(|over| over < window.from && !lives(over))
        })
    }

    /// Somebody wants it at once, or it is within the rollback window; or what was measured is not there any more.
    fn is_hurried(&self, window: Window) -> bool {
        let rollout = self.mirror.rollout.as_deref();
        rollout.is_none_or(|rollout| {
            rollout.pointer("/status/promoteFull") == Some(&json!(true))
                || rollout.pointer("/spec/rollbackWindow").is_some()
        }) || self.acted(window.from, |what| *what == What::PromoteFull)
            || self.acted(self.start, |what| *what == What::DeleteRun)
    }

    /// The phase of the newest run of this type for a revision.
    fn newest_run(&self, type_: &str, hash: &str) -> Option<&str> {
        self.newest(type_, hash).and_then(|run| self.phase(run))
    }

    fn phase(&self, run: &str) -> Option<&str> {
        let run = self.mirror.runs.get(run)?;
        Some(text(run, "/status/phase"))
    }

    /// The newest run of this type for a revision.
    fn newest(&self, type_: &str, hash: &str) -> Option<&str> {
        let label =
            |run: &Value, name: &str| text(run, &format!("/metadata/labels/{name}")).to_owned();
        let of = |run: &Value| {
            label(run, "rollout-type") == type_ && label(run, "rollouts-pod-template-hash") == hash
        };
        let created = |run: &Value| -> Option<Timestamp> {
            text(run, "/metadata/creationTimestamp").parse().ok()
        };
        let runs = self.mirror.runs.values().filter(|run| of(run));
        // Times have whole seconds; the name of a later one is longer or greater.
        let newest = runs.max_by_key(|run| {
            let name = text(run, "/metadata/name");
            (created(run), name.len(), name)
        });
        newest.map(|run| text(run, "/metadata/name"))
    }

    /// Whether somebody has ever changed what carries traffic by hand: nobody knows then what a revision had before.
    fn traffic_by_hand(&self) -> bool {
        self.traffic_in_doubt(Window {
            from: self.start,
            at: self.start,
        })
    }
}

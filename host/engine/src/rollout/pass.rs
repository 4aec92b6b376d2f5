//! The facts of one pass, worked out once: which set is which, and the status with which the pass works.
//!
//! `decide` and `settle` both start here, so that they never disagree about what is going on. What somebody asked for
//! (promote, abort, retry) and what analysis found is taken into the status first: before anything that can fail.

use jiff::{SignedDuration, Timestamp};
use sluice_api as api;

use super::claims::Claims;
use super::runs;
use super::sets::{self, NewSet, Sets};
use super::steps::Step;
use super::valid::{Strategy, ValidRollout};
use crate::hash;
use crate::observed::{Looked, Observed, ReplicaSet};
use crate::plan::Query;
use crate::planted::{self, Bug};

/// The facts of one pass.
pub(crate) struct Pass<'a> {
    pub valid: &'a ValidRollout,
    pub raw: &'a api::Rollout,
    pub seen: &'a Observed,
    pub sets: Sets<'a>,
    /// Hash of the current template.
    pub hash: String,
    /// The revision of the current template.
    pub revision: i64,
    /// The status with which this pass works: as read, after a reset, a promotion in full or an abort.
    pub status: api::RolloutStatus,
    /// The template or the steps differ from what the status knows (REC-020).
    pub changed: bool,
    /// The message of the event SkipSteps, where a reset skips them (REC-022).
    pub skipped: Option<&'static str>,
    /// Somebody took back an abort (ABT-003): analysis starts afresh.
    pub retried: bool,
    /// Why analysis aborts the update in this pass, in upstream's words; None where it was aborted before or is not.
    pub abort: Option<String>,
    /// An analysis is inconclusive and somebody has to look (RAN-005).
    pub inconclusive: bool,
    /// Nothing can be said of the current template, and an abort takes back the update to the one before.
    pub held: Option<Held>,
}

/// Why the current template is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The API server was asked and does not answer.
    Unknown,
    /// The API server refuses it, with this message.
    Refused(String),
}

impl<'a> Pass<'a> {
    /// Works out the facts. None while it is not known which sets there are, and which is the one of the current template.
    ///
    /// An abort does not wait for that: it is about the update that the status names, whatever the template says now.
    pub fn new(valid: &'a ValidRollout, seen: &'a Observed) -> Option<Self> {
        let raw = valid.rollout.as_ref();
        if !Claims::of(seen).are_settled() {
            return None;
        }
        let mut sets = Sets::of(seen, valid.template.as_value());
        let held = hold(&mut sets, seen);
        let hash = sets.new.hash()?.to_owned();
        let revision = match (&held, sets.new.found()) {
            (Some(_), Some(set)) => runs::revision_of(set),
            (_, _) => sets::current_revision(&sets),
        };
        let mut pass = Self {
            valid,
            raw,
            seen,
            hash,
            revision,
            status: raw.status.clone(),
            changed: false,
            skipped: None,
            retried: raw.status.aborted_at.is_some() && !raw.status.abort,
            abort: None,
            inconclusive: false,
            held,
            sets,
        };
        pass.forget_other_strategy();
        pass.changed = pass.held.is_none() && pass.is_changed();
        if pass.changed {
            pass.reset();
        } else if pass.held.is_none() {
            pass.status.current_step_hash = pass.step_hash();
        }
        pass.status.current_pod_hash = pass.hash.clone();
        if let NewSet::Missing { collisions, .. } = &pass.sets.new {
            pass.status.collision_count = *collisions;
        }
        if pass.retried {
            // What failed before is not judged again (RAN-004).
            pass.status.blue_green.pre_promotion_analysis_run_status = None;
            pass.status.blue_green.post_promotion_analysis_run_status = None;
        }
        pass.take_requests();
        pass.take_verdicts();
        pass.take_abort();
        // What is not taken back waits for the template.
        (pass.held.is_none() || pass.aborted()).then_some(pass)
    }

    /// The clock of this pass.
    pub fn now(&self) -> Timestamp {
        self.seen.now
    }

    /// The clock as statuses show it.
    pub fn time(&self) -> api::Time {
        api::Time(self.seen.now).truncated()
    }

    /// Pods that the Rollout wants.
    pub fn replicas(&self) -> i32 {
        self.raw.spec.replicas()
    }

    /// A Rollout of no pods: there is no traffic to split, and nothing that waits for its pods can wait.
    pub fn serves_nobody(&self) -> bool {
        self.replicas() == 0
    }

    /// The set of the current template.
    pub fn new_set(&self) -> Option<&'a ReplicaSet> {
        self.sets.new.found()
    }

    /// Available pods of the current template.
    pub fn new_available(&self) -> i32 {
        self.new_set().map_or(0, |set| set.available)
    }

    /// The steps; none for blue-green.
    pub fn steps(&self) -> &'a [Step] {
        match &self.valid.strategy {
            Strategy::Canary(canary) => &canary.steps,
            Strategy::BlueGreen(_) => &[],
        }
    }

    /// Position in the steps, never beyond their end.
    pub fn step_index(&self) -> usize {
        let index = usize::try_from(self.status.current_step_index.unwrap_or(0)).unwrap_or(0);
        index.min(self.steps().len())
    }

    /// The current step; none past the last one.
    pub fn step(&self) -> Option<&'a Step> {
        self.steps().get(self.step_index())
    }

    /// Whether the current template is the promoted one.
    pub fn fully_promoted(&self) -> bool {
        !self.status.stable_rs.is_empty() && self.status.stable_rs == self.hash
    }

    /// Nothing has been promoted yet.
    pub fn is_initial(&self) -> bool {
        self.status.stable_rs.is_empty() || self.sets.stable.is_none()
    }

    /// Whether the update is aborted, by somebody or by this pass.
    pub fn aborted(&self) -> bool {
        self.status.abort
    }

    /// Whether the active Service of blue-green selects one of the sets.
    pub fn has_active_set(&self) -> bool {
        match &self.valid.strategy {
            Strategy::Canary(_) => false,
            Strategy::BlueGreen(blue_green) => {
                let hash = self.selected_hash(&blue_green.active_service);
                self.sets.by_hash(hash).is_some()
            }
        }
    }

    /// The hash that a Service selects; empty where it selects every revision or does not exist.
    pub fn selected_hash(&self, service: &str) -> &'a str {
        self.seen
            .services
            .get(service)
            .and_then(Option::as_ref)
            .and_then(|service| service.selected_hash())
            .unwrap_or_default()
    }

    /// For a strategy with an active Service, the set that this status says is active: it serves users and therefore
    /// counts in the status (ST-009, ST-010, ST-024, ST-025).
    pub fn active_by_status(&self, status: &api::RolloutStatus) -> Option<Option<&'a ReplicaSet>> {
        match &self.valid.strategy {
            Strategy::Canary(_) => None,
            Strategy::BlueGreen(_) => Some(self.sets.by_hash(&status.blue_green.active_selector)),
        }
    }

    /// Whether the strategy has nothing left to do (CND-022).
    pub fn strategy_complete(&self, status: &api::RolloutStatus) -> bool {
        let current = &status.current_pod_hash;
        match &self.valid.strategy {
            Strategy::Canary(canary) => {
                let index = usize::try_from(status.current_step_index.unwrap_or(0)).unwrap_or(0);
                index >= canary.steps.len()
                    && !current.is_empty()
                    && status.stable_rs == *current
                    && status.replicas == self.replicas()
            }
            Strategy::BlueGreen(blue_green) => {
                status.blue_green.active_selector == *current
                    && (blue_green.preview_service.is_none()
                        || status.blue_green.preview_selector == *current)
            }
        }
    }

    /// Why scaling and switching stand still (REC-019).
    pub fn halted(&self) -> Option<&'static str> {
        if self.raw.spec.paused {
            Some("user paused")
        } else if self.has_pause(&api::PauseReason::InconclusiveAnalysis) {
            Some("inconclusive analysis")
        } else {
            None
        }
    }

    /// Whether the status has this pause.
    pub fn has_pause(&self, reason: &api::PauseReason) -> bool {
        self.pause(reason).is_some()
    }

    /// The pause of this reason.
    pub fn pause(&self, reason: &api::PauseReason) -> Option<&api::PauseCondition> {
        self.status
            .pause_conditions
            .iter()
            .find(|pause| &pause.reason == reason)
    }

    /// The hash of the steps; empty for blue-green.
    pub fn step_hash(&self) -> String {
        match &self.raw.spec.strategy.canary {
            // Upstream tells a list without steps from no list (HASH-007). What is said here is the same, so an update that it
            // has begun under either hash is carried on.
            Some(canary) if canary.steps.is_empty() => {
                let no_steps = hash::steps(&canary.steps);
                if self.raw.status.current_step_hash == no_steps {
                    no_steps
                } else {
                    hash::steps(&serde_json::Value::Null)
                }
            }
            Some(canary) => hash::steps(&canary.steps),
            None => String::new(),
        }
    }

    /// A rollback that needs no steps, pauses or analysis (ROL-001, ROL-002).
    pub fn is_fast_rollback(&self) -> bool {
        let (Some(new), Some(stable)) = (self.new_set(), self.sets.stable) else {
            return false;
        };
        let to_stable = new.metadata.uid == stable.metadata.uid;
        if to_stable {
            return true;
        }
        if !sets::is_older(new, stable) {
            return false;
        }
        // An abort announces the end of its set, too, and who retries wants what the update has to pass. Nor is it a way
        // back to what has been live where the status of the abort was lost, or another revision was tried meanwhile.
        let within_delay = matches!(self.valid.strategy, Strategy::BlueGreen(_))
            && !self.retried
            && !new.metadata.annotations.contains_key(crate::keys::ABORTED)
            && matches!(sets::scale_down_deadline(new), Some(Ok(deadline)) if deadline > self.now());
        within_delay || self.is_within_window()
    }

    /// The announced end of the new set is what makes this rollback fast, so it stays until the switch is made.
    pub fn switches_back(&self) -> bool {
        match &self.valid.strategy {
            Strategy::Canary(_) => false,
            Strategy::BlueGreen(blue_green) => {
                self.selected_hash(&blue_green.active_service) != self.hash
                    && self.is_fast_rollback()
            }
        }
    }

    /// The new set is older than the stable one by fewer revisions than `rollbackWindow` (ROL-002).
    pub fn is_within_window(&self) -> bool {
        let (Some(new), Some(stable), Some(window)) = (
            self.new_set(),
            self.sets.stable,
            &self.raw.spec.rollback_window,
        ) else {
            return false;
        };
        if !sets::is_older(new, stable) {
            return false;
        }
        let between = self
            .sets
            .all
            .iter()
            .filter(|set| sets::is_older(set, stable) && sets::is_older(new, set))
            .count();
        i32::try_from(between).unwrap_or(i32::MAX) < window.revisions
    }

    /// The template or the steps differ from what the status knows (REC-020).
    fn is_changed(&self) -> bool {
        let known = &self.raw.status.current_pod_hash;
        if !known.is_empty() && *known != self.hash {
            return true;
        }
        match self.valid.strategy {
            Strategy::Canary(_) => self.raw.status.current_step_hash != self.step_hash(),
            Strategy::BlueGreen(_) => false,
        }
    }

    /// What the status says of a strategy that is not the one of the specification. Shares stay until routers have let go.
    fn forget_other_strategy(&mut self) {
        let status = &mut self.status;
        match &self.valid.strategy {
            Strategy::Canary(_) => status.blue_green = api::BlueGreenStatus::default(),
            Strategy::BlueGreen(_) => {
                status.current_step_index = None;
                status.canary = api::CanaryStatus {
                    weights: status.canary.weights.take(),
                    ..api::CanaryStatus::default()
                };
            }
        }
    }

    /// The update begins anew (REC-021, REC-022).
    fn reset(&mut self) {
        let count = self.steps().len();
        let status = &mut self.status;
        status.pause_conditions.clear();
        status.controller_pause = false;
        if !planted::is(Bug::AbortInherited) {
            status.abort = false;
            status.aborted_at = None;
        }
        status.restarted_at = self.raw.spec.restart_at.map(api::Time::truncated);
        status.promote_full = false;
        status.blue_green.pre_promotion_analysis_run_status = None;
        status.blue_green.post_promotion_analysis_run_status = None;
        status.blue_green.scale_up_preview_check_point = false;
        status.canary.current_step_analysis_run_status = None;
        status.canary.current_background_analysis_run_status = None;
        status.canary.step_plugin_statuses.clear();
        if !planted::is(Bug::StepsNotReset) || self.raw.status.current_step_index.is_none() {
            status.current_step_index = (count > 0).then_some(0);
        }
        if planted::is(Bug::StableFollowsTemplate) && !status.stable_rs.is_empty() {
            status.stable_rs.clone_from(&self.hash);
        }
        self.status.current_step_hash = self.step_hash();
        self.retried = false;
        self.doubt_share();
        if count == 0 {
            return;
        }
        self.skipped = match self.new_set() {
            Some(new) if new.hash() == self.raw.status.stable_rs => {
                Some("Rollback to stable ReplicaSets")
            }
            Some(new) if new.replicas > 0 && self.is_within_window() => {
                Some("Rollback to active ReplicaSets within RollbackWindow")
            }
            Some(_) | None => None,
        };
        if self.skipped.is_some() {
            self.status.current_step_index = i32::try_from(count).ok();
        }
    }

    /// The update that ends here may have got its first share in a pass whose status nobody has written. Until routers say
    /// what is in force, that share is not known to be gone. Nor is it where no share was recorded since a promotion.
    fn doubt_share(&mut self) {
        let known = &self.raw.status;
        let before = &known.current_pod_hash;
        let ends_here = !before.is_empty() && *before != self.hash;
        if let Some(weights) = &mut self.status.canary.weights
            && ends_here
            && weights.canary.weight == 0
            && weights.verified != Some(false)
            && (*before != known.stable_rs || weights.stable.pod_template_hash != known.stable_rs)
        {
            weights.canary.pod_template_hash.clone_from(before);
            weights.verified = Some(false);
        }
    }

    /// What somebody asked for by writing into the status: promote in full, and aborts that mean nothing any more.
    fn take_requests(&mut self) {
        if self.status.promote_full && self.fully_promoted() {
            self.status.promote_full = false;
        }
        // Of two requests the later one counts: an abort that was there before has its time in the status. Upstream drops
        // both, and nothing ends a full promotion of pods that never get ready.
        let later = self.status.abort && self.status.aborted_at.is_none();
        if self.status.promote_full && later {
            self.status.promote_full = false;
        } else if self.status.promote_full {
            self.status.abort = false;
        }
        let hastened = self.status.promote_full || self.is_within_window();
        if hastened && !self.status.abort {
            self.status.pause_conditions.clear();
            self.status.controller_pause = false;
            let count = self.steps().len();
            if count > 0 {
                self.status.current_step_index = i32::try_from(count).ok();
            }
        }
        if self.status.abort && self.fully_promoted() && !self.is_rolling_back_dynamically() {
            self.status.abort = false;
        }
        let waits = || {
            let jobs = &self.seen.plugins.jobs;
            jobs.iter()
                .any(|job| matches!(job.state, crate::plugin::JobState::Running))
        };
        if planted::is(Bug::AbortWaitsForGuests) && self.status.aborted_at.is_none() && waits() {
            self.status.abort = false;
        }
    }

    /// What analysis says. The progress deadline is for the end of the pass: what it applies may be progress.
    fn take_verdicts(&mut self) {
        if self.status.abort {
            return;
        }
        match runs::verdict(self) {
            runs::Verdict::None => {}
            runs::Verdict::Inconclusive => self.inconclusive = true,
            runs::Verdict::Abort(message) => {
                self.abort = Some(message);
                self.status.abort = true;
                self.status.promote_full = false;
            }
        }
    }

    /// What an abort, or its absence, does to the status (ABT-001).
    fn take_abort(&mut self) {
        if !self.status.abort {
            self.status.aborted_at = None;
            return;
        }
        if self.status.aborted_at.is_none() {
            self.status.aborted_at = Some(self.time());
        }
        self.status.pause_conditions.clear();
        self.status.controller_pause = false;
        let count = self.steps().len();
        if count > 0 {
            let index = if self.fully_promoted() { count } else { 0 };
            self.status.current_step_index = i32::try_from(index).ok();
        }
    }

    /// The template is the stable one again, but the router still sends a share to the set in between, which stable
    /// pods are too few to take over at once (TRR-002 a).
    pub fn is_rolling_back_dynamically(&self) -> bool {
        let Some(canary) = &self.raw.spec.strategy.canary else {
            return false;
        };
        canary.dynamic_stable_scale
            && self.fully_promoted()
            && self.status.canary.weights.as_ref().is_some_and(|weights| {
                weights.canary.weight > 0 && weights.canary.pod_template_hash != self.hash
            })
            && self.new_available() < self.replicas()
    }

    /// This time plus so many seconds.
    pub fn after(&self, from: Timestamp, duration: SignedDuration) -> Timestamp {
        from.checked_add(duration).unwrap_or(Timestamp::MAX)
    }
}

/// While an abort is asked for, the set that the status names stands in for one about which nobody answers.
fn hold(sets: &mut Sets<'_>, seen: &Observed) -> Option<Held> {
    let failed = |query: &Query| matches!(seen.looked.get(query), Some(Looked::Failed(_)));
    let held = match &sets.new {
        NewSet::Unknown(queries) if queries.iter().any(failed) => Held::Unknown,
        NewSet::Refused(message) => Held::Refused(message.clone()),
        NewSet::Unknown(_) | NewSet::Found { .. } | NewSet::Missing { .. } => return None,
    };
    let status = &seen.rollout.status;
    if !status.abort || status.current_pod_hash.is_empty() {
        return None;
    }
    let set = sets.by_hash(&status.current_pod_hash)?;
    sets.new = NewSet::Found { set, source: None };
    Some(held)
}

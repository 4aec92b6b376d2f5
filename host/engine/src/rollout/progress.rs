//! Is an update getting anywhere? Counts of pods, the progress deadline, and what does not count against it.

use jiff::{SignedDuration, Timestamp};
use sluice_api as api;

use super::pass::Pass;
use super::{conditions, counts, runs, sets};
use crate::plugin::{Function, JobState, Slot};

/// How long the answer of a router is waited for before an update is late. A guest that hangs is ended sooner.
const ROUTER_ANSWERS: SignedDuration = SignedDuration::from_secs(10);

/// The pod counts of a status (ST-007 to ST-010, ST-024).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub replicas: i32,
    pub updated: i32,
    pub ready: i32,
    pub available: i32,
    pub hpa: i32,
}

/// Counts the pods as the status shows them: with an active Service those that it selects by this status.
pub(crate) fn tally(pass: &Pass<'_>, status: &api::RolloutStatus) -> Tally {
    let all = pass.sets.all;
    let sum =
        |of: fn(&crate::observed::ReplicaSet) -> i32| counts::sum(all.iter().map(|set| of(set)));
    let mut tally = Tally {
        replicas: sum(|set| set.status_replicas),
        updated: pass.new_set().map_or(0, |set| set.status_replicas),
        ready: sum(|set| set.ready),
        available: sum(|set| set.available),
        hpa: sum(|set| set.status_replicas),
    };
    if let Some(active) = pass.active_by_status(status).flatten() {
        tally.ready = active.ready;
        tally.available = active.available;
        tally.hpa = active.status_replicas;
    }
    tally
}

/// Whether the counts moved in the right direction since the status was written (CND-021).
pub(crate) fn counts_progressed(old: &api::RolloutStatus, new: &Tally) -> bool {
    let old_others = old.replicas.saturating_sub(old.updated_replicas);
    let new_others = new.replicas.saturating_sub(new.updated);
    new.updated != old.updated_replicas
        || new_others < old_others
        || new.ready > old.ready_replicas
        || new.available > old.available_replicas
}

/// Whether the deadline has passed (CND-023).
pub(crate) fn timed_out(pass: &Pass<'_>, status: &api::RolloutStatus) -> bool {
    let Some(condition) = conditions::find(status, &api::RolloutConditionType::Progressing) else {
        return false;
    };
    match condition.reason.as_str() {
        conditions::ROLLOUT_ABORTED | conditions::ROLLOUT_PAUSED => false,
        conditions::TIMED_OUT => true,
        _ => deadline(pass, condition) < pass.now(),
    }
}

/// When the update is late if nothing moves. Not for want of an answer that is on its way: after an outage of the
/// controller routers are asked anew, and upstream asks them in the pass that judges.
fn deadline(pass: &Pass<'_>, condition: &api::RolloutCondition) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::from(pass.raw.spec.progress_deadline_seconds()));
    let moved = condition.last_update_time.0;
    let since = left_since(pass).map_or(moved, |left| left.max(moved));
    let late = pass.after(since, seconds);
    router_answers(pass).map_or(late, |until| late.max(until))
}

/// Until when a router may still answer that has been asked, or is asked by this pass for the first time; None where all
/// have answered. While the configuration of one is not known to be usable, none is asked for shares.
fn router_answers(pass: &Pass<'_>) -> Option<Timestamp> {
    if pass.is_initial() {
        return None;
    }
    let unchecked = &pass.valid.unchecked;
    let function = if unchecked.is_empty() {
        Function::Reconcile
    } else {
        Function::Check
    };
    let asked = pass.valid.routers.iter().filter_map(|router| {
        let plugins = &pass.seen.plugins;
        if plugins.find(router.name.kind, &router.name.name).is_none() {
            // One that is not there once all are loaded is never asked.
            return plugins.loading.then_some(pass.now());
        }
        if !unchecked.is_empty() && !unchecked.contains(&router.name.name) {
            return None;
        }
        let slot = Slot {
            plugin: router.name.clone(),
            function,
            part: String::new(),
        };
        match plugins.job(&slot) {
            None => Some(pass.now()),
            Some(job) if job.state == JobState::Running => Some(job.started),
            Some(_) => None,
        }
    });
    let until = pass.after(asked.max()?, ROUTER_ANSWERS);
    (until > pass.now()).then_some(until)
}

/// Somebody has ended a step that takes its time: the step is another one, and the status still names its run. How long
/// it took says nothing of the next one.
pub(crate) fn left_analysis(pass: &Pass<'_>) -> bool {
    let status = &pass.raw.status;
    let index = status.current_step_index.unwrap_or(0);
    let step = usize::try_from(index)
        .ok()
        .and_then(|index| pass.steps().get(index));
    status.canary.current_step_analysis_run_status.is_some()
        && step.is_none_or(|step| step.analysis.is_none())
}

/// When the analysis of the step has succeeded, if there is more in its step: what is left is waited for from then on.
fn left_since(pass: &Pass<'_>) -> Option<Timestamp> {
    let step = pass.step()?;
    let more = step.scale.is_some() || step.weight.is_some() || step.routes().next().is_some();
    let ended = runs::step_success(pass)?.status.completed_at?;
    more.then_some(ended.0)
}

/// Whether waiting is in order: at a step that takes its time, while paused, or while an old set awaits its end.
pub(crate) fn may_wait(pass: &Pass<'_>) -> bool {
    let at_indefinite_step = pass.step().is_some_and(|step| {
        step.pause.is_some() || (step.analysis.is_some() && left_since(pass).is_none())
    });
    let paused = conditions::is_true(&pass.raw.status, &api::RolloutConditionType::Paused);
    at_indefinite_step
        || paused
        || pass
            .sets
            .others()
            .filter(|set| set.replicas > 0 || set.status_replicas > 0)
            .any(|set| sets::scale_down_deadline(set).is_some())
}

/// The message of an abort because of `progressDeadlineAbort` (REC-025); None where there is no reason for one.
///
/// `status` is what the pass has come to: whatever it has moved is progress, as it is for upstream.
pub(crate) fn deadline_abort(pass: &Pass<'_>, status: &api::RolloutStatus) -> Option<String> {
    let due = pass.raw.spec.progress_deadline_abort
        && !pass.changed
        && !status.abort
        && !conditions::is_completed(status)
        && status.pause_conditions.is_empty()
        && !conditions::made_progress(pass, status)
        && !may_wait(pass)
        && timed_out(pass, &pass.raw.status);
    due.then(|| timed_out_message(pass))
}

/// `ReplicaSet "<rs>" has timed out progressing.` (CND-013)
pub(crate) fn timed_out_message(pass: &Pass<'_>) -> String {
    match pass.new_set() {
        Some(set) => format!(
            "ReplicaSet \"{}\" has timed out progressing.",
            set.metadata.name
        ),
        None => format!(
            "Rollout \"{}\" has timed out progressing.",
            pass.raw.metadata.name
        ),
    }
}

/// When to look whether the update is late (REC-024); None where it cannot be.
pub(crate) fn next_check(pass: &Pass<'_>, status: &api::RolloutStatus) -> Option<Timestamp> {
    let condition = conditions::find(status, &api::RolloutConditionType::Progressing)?;
    let settled = matches!(
        condition.reason.as_str(),
        conditions::TIMED_OUT
            | conditions::NEW_SET_AVAILABLE
            | conditions::ROLLOUT_PAUSED
            | conditions::ROLLOUT_ABORTED
    );
    let paused = !status.pause_conditions.is_empty() || pass.raw.spec.paused;
    if settled || paused || status.abort || pass.halted().is_some() || may_wait(pass) {
        return None;
    }
    // One second more, so that the deadline has passed when the pass runs; times on the wire have whole seconds.
    Some(pass.after(deadline(pass, condition), SignedDuration::from_secs(1)))
}

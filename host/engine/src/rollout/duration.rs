//! How long an update has taken, and how much of that somebody was waited for (ledger DUR rows).

use sluice_api as api;
use sluice_api::CompletionStatus;

use super::conditions;
use super::pass::Pass;
use super::sets;

/// What a pass makes of `status.duration`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Next {
    /// The next `status.duration`.
    pub duration: Option<api::RolloutDurationStatus>,
    /// The update that has ended in this pass. When another one begins in its place, the status no longer shows it.
    pub ended: Option<api::RolloutDurationStatus>,
}

/// The next `status.duration`. `status` has its pauses, abort and stable set already; `promotion` is how this pass has
/// promoted the new set, if it has.
pub(crate) fn next(
    pass: &Pass<'_>,
    status: &api::RolloutStatus,
    promotion: Option<CompletionStatus>,
) -> Next {
    let now = pass.time();
    let old = pass.raw.status.duration.as_ref();
    let mut duration = old.cloned();
    let mut ended = None;
    let promoted = conditions::is_completed(status);
    let reached = pass.new_available() >= pass.replicas();
    let completed = promoted && reached;
    let retried = !status.abort
        && conditions::find(&pass.raw.status, &api::RolloutConditionType::Progressing)
            .is_some_and(|condition| condition.reason == conditions::ROLLOUT_ABORTED);
    let mut was_paused = old.is_some_and(|duration| duration.manual_pause_started_at.is_some());

    if let Some(running) = duration
        .as_mut()
        .filter(|duration| duration.rollout_started_at.is_some() && duration.finished_at.is_none())
    {
        if pass.changed {
            match rollback(pass) {
                Some(kind) => running.completion_status = Some(kind),
                None => complete(running, now, CompletionStatus::Superseded),
            }
        }
        if running.finished_at.is_none() && running.completion_status.is_none() {
            running.completion_status = promotion;
        }
        if running.finished_at.is_none() {
            let known = running.completion_status.clone();
            if completed {
                complete(running, now, known.unwrap_or(CompletionStatus::Promoted));
            } else if status.abort {
                complete(running, now, known.unwrap_or(CompletionStatus::Aborted));
            }
        }
        ended = Some(&*running)
            .filter(|running| running.finished_at.is_some())
            .cloned();
    }
    let over = duration
        .as_ref()
        .is_none_or(|duration| duration.finished_at.is_some());
    if over && !completed {
        // A blue-green Rollout that was never looked at has not changed, yet its first update begins.
        let begins = pass.changed || pass.raw.status.current_pod_hash.is_empty();
        if begins || retried {
            was_paused = false;
            duration = Some(api::RolloutDurationStatus {
                rollout_started_at: Some(now),
                ..api::RolloutDurationStatus::default()
            });
        }
    }
    let Some(running) = duration
        .as_mut()
        .filter(|duration| duration.finished_at.is_none())
    else {
        return Next { duration, ended };
    };
    let paused = waits_for_somebody(pass, status);
    if was_paused && !paused {
        end_pause(running, now);
    } else if !was_paused && paused && running.manual_pause_started_at.is_none() {
        running.manual_pause_started_at = Some(now);
    }
    Next { duration, ended }
}

fn complete(duration: &mut api::RolloutDurationStatus, now: api::Time, status: CompletionStatus) {
    end_pause(duration, now);
    duration.finished_at = Some(now);
    duration.completion_status = Some(status);
}

fn end_pause(duration: &mut api::RolloutDurationStatus, now: api::Time) {
    if let Some(began) = duration.manual_pause_started_at.take() {
        let seconds = now.0.duration_since(began.0).as_secs();
        let total = duration.total_manual_pause_duration_seconds.unwrap_or(0);
        duration.total_manual_pause_duration_seconds = Some(total.saturating_add(seconds));
    }
}

/// The change takes an earlier revision back (ROL-001).
fn rollback(pass: &Pass<'_>) -> Option<CompletionStatus> {
    let (new, stable) = (pass.new_set()?, pass.sets.stable?);
    let back = new.metadata.uid == stable.metadata.uid || sets::is_older(new, stable);
    back.then(|| {
        if pass.is_fast_rollback() {
            CompletionStatus::FastRolledBack
        } else {
            CompletionStatus::RolledBack
        }
    })
}

/// Whether the Rollout stands still until somebody acts (DUR-004).
fn waits_for_somebody(pass: &Pass<'_>, status: &api::RolloutStatus) -> bool {
    pass.raw.spec.paused
        || status
            .pause_conditions
            .iter()
            .any(|pause| match pause.reason {
                api::PauseReason::InconclusiveAnalysis
                | api::PauseReason::InconclusiveExperiment => true,
                // The pause of the step that this pass leads to.
                api::PauseReason::CanaryPauseStep => {
                    let index = status.current_step_index.unwrap_or(0);
                    let index = usize::try_from(index).unwrap_or(usize::MAX);
                    let pause = pass.steps().get(index).and_then(|step| step.pause);
                    pause.is_some_and(|pause| pause.duration.is_none())
                }
                api::PauseReason::BlueGreenPause => !pass.raw.spec.auto_promotion_enabled(),
                api::PauseReason::Unset | api::PauseReason::Unknown(_) => false,
            })
}

//! Conditions of a Rollout: how they are set, and which ones a pass arrives at (ledger CND rows).

use sluice_api as api;
use sluice_api::{ConditionStatus, RolloutConditionType};

use super::pass::Pass;
use super::{progress, sets};
use crate::observed::ReplicaSet;
use crate::planted::{self, Bug};

/// Reasons of `Progressing` that rules refer to.
pub(crate) const ROLLOUT_ABORTED: &str = "RolloutAborted";
pub(crate) const ROLLOUT_PAUSED: &str = "RolloutPaused";
pub(crate) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
/// Of a set that could not be created.
pub(crate) const CREATE_ERROR: &str = "ReplicaSetCreateError";
pub(crate) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";

/// What is said of a set that could not be created.
pub(crate) fn uncreated(name: &str, error: &str) -> String {
    format!("Failed to create new replica set \"{name}\": {error}")
}

/// The condition of this type.
pub(crate) fn find<'a>(
    status: &'a api::RolloutStatus,
    type_: &RolloutConditionType,
) -> Option<&'a api::RolloutCondition> {
    status
        .conditions
        .iter()
        .find(|condition| &condition.type_ == type_)
}

/// Whether the condition is there and true.
pub(crate) fn is_true(status: &api::RolloutStatus, type_: &RolloutConditionType) -> bool {
    find(status, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Whether the last word on the update is that it failed.
pub(crate) fn is_over(status: &api::RolloutStatus) -> bool {
    status.abort
        || find(status, &RolloutConditionType::Progressing)
            .is_some_and(|condition| condition.reason == TIMED_OUT)
}

/// Sets a condition. Equal status and reason leave everything as it is; otherwise it moves to the end of the list, and
/// keeps its transition time if the status is the same. Returns whether it changed.
pub(crate) fn set(
    status: &mut api::RolloutStatus,
    now: api::Time,
    type_: RolloutConditionType,
    value: ConditionStatus,
    reason: &str,
    message: &str,
) -> bool {
    let mut transition = now;
    if let Some(present) = find(status, &type_) {
        if present.status == value && present.reason == reason {
            return false;
        }
        if present.status == value {
            transition = present.last_transition_time;
        }
    }
    remove(status, &type_);
    status.conditions.push(api::RolloutCondition {
        type_,
        status: value,
        last_update_time: now,
        last_transition_time: transition,
        reason: reason.to_owned(),
        message: message.to_owned(),
    });
    true
}

/// The same, but what reads the same is new all the same: only the time of its transition stays.
pub(crate) fn renew(
    status: &mut api::RolloutStatus,
    now: api::Time,
    type_: RolloutConditionType,
    value: ConditionStatus,
    reason: &str,
    message: &str,
) {
    let kept = find(status, &type_)
        .filter(|condition| condition.status == value)
        .map(|condition| condition.last_transition_time);
    remove(status, &type_);
    set(status, now, type_, value, reason, message);
    if let (Some(time), Some(condition)) = (kept, status.conditions.last_mut()) {
        condition.last_transition_time = time;
    }
}

/// Removes a condition.
pub(crate) fn remove(status: &mut api::RolloutStatus, type_: &RolloutConditionType) {
    status
        .conditions
        .retain(|condition| &condition.type_ != type_);
}

/// What the conditions of a pass brought about beyond themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transitions {
    /// `RolloutAborted` was set, with this message.
    pub aborted: Option<String>,
    /// `Completed` became false.
    pub not_completed: bool,
}

/// Takes over what changed outside: pauses, resumes and retries (CND-024). Before anything else.
pub(crate) fn acknowledge(pass: &Pass<'_>, status: &mut api::RolloutStatus) {
    let now = pass.time();
    let paused = !status.pause_conditions.is_empty() || pass.raw.spec.paused;
    let progressing =
        find(status, &RolloutConditionType::Progressing).map(|condition| condition.reason.clone());
    let was_paused = progressing.as_deref() == Some(ROLLOUT_PAUSED);
    let was_aborted = progressing.as_deref() == Some(ROLLOUT_ABORTED);
    let completed = is_completed(status);
    if paused != was_paused && !was_aborted && !completed && !status.abort {
        let (reason, message) = if paused {
            (ROLLOUT_PAUSED, "Rollout is paused")
        } else {
            ("RolloutResumed", "Rollout is resumed")
        };
        set(
            status,
            now,
            RolloutConditionType::Progressing,
            ConditionStatus::Unknown,
            reason,
            message,
        );
    }
    if !status.abort && was_aborted {
        set(
            status,
            now,
            RolloutConditionType::Progressing,
            ConditionStatus::Unknown,
            "RolloutRetry",
            "Retrying Rollout after abort",
        );
    }
    acknowledge_pause(pass.raw, status, now);
}

/// Takes over whether the Rollout is paused. An abort leaves it as it was.
pub(crate) fn acknowledge_pause(
    raw: &api::Rollout,
    status: &mut api::RolloutStatus,
    now: api::Time,
) {
    let paused = !status.pause_conditions.is_empty() || raw.spec.paused;
    let paused_true = is_true(status, &RolloutConditionType::Paused);
    if paused != paused_true && !status.abort {
        let value = if paused {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        set(
            status,
            now,
            RolloutConditionType::Paused,
            value,
            ROLLOUT_PAUSED,
            "Rollout is paused",
        );
    }
}

/// Works out every other condition, in upstream's order (CND-020). `abort`: why this pass aborts the update.
pub(crate) fn evaluate(
    pass: &Pass<'_>,
    status: &mut api::RolloutStatus,
    abort: Option<&str>,
    resumed: bool,
) -> Transitions {
    let mut transitions = Transitions::default();
    let now = pass.time();
    let old = &pass.raw.status;
    let paused = !status.pause_conditions.is_empty() || pass.raw.spec.paused;
    let healthy = is_healthy(pass, status);

    let mut became_unhealthy = false;
    if !paused && healthy {
        set(
            status,
            now,
            RolloutConditionType::Healthy,
            ConditionStatus::True,
            "RolloutHealthy",
            "Rollout is healthy",
        );
    } else if find(old, &RolloutConditionType::Healthy).is_some() {
        became_unhealthy = set(
            status,
            now,
            RolloutConditionType::Healthy,
            ConditionStatus::False,
            "RolloutHealthy",
            "Rollout is not healthy",
        );
    }

    if status.abort {
        let mut message = format!("Rollout aborted update to revision {}", pass.revision);
        if let Some(abort) = abort {
            message = format!("{message}: {abort}");
        }
        let changed = set(
            status,
            now,
            RolloutConditionType::Progressing,
            ConditionStatus::False,
            ROLLOUT_ABORTED,
            &message,
        );
        transitions.aborted = changed.then_some(message);
    } else {
        progressing(pass, status, healthy, became_unhealthy, resumed);
    }
    availability(pass, status);
    replica_failure(pass, status);
    transitions.not_completed = completion(status, now);
    transitions
}

/// `Progressing` of an update that is not aborted (CND-006 to CND-008, CND-013).
fn progressing(
    pass: &Pass<'_>,
    status: &mut api::RolloutStatus,
    healthy: bool,
    became_unhealthy: bool,
    resumed: bool,
) {
    let now = pass.time();
    if healthy {
        let name = pass.new_set().map_or("", |set| set.metadata.name.as_str());
        set(
            status,
            now,
            RolloutConditionType::Progressing,
            ConditionStatus::True,
            NEW_SET_AVAILABLE,
            &format!("ReplicaSet \"{name}\" has successfully progressed."),
        );
        return;
    }
    // Whatever else moves: an update without its set gets nowhere.
    let reason = find(status, &RolloutConditionType::Progressing)
        .map_or("", |condition| condition.reason.as_str());
    let stuck = pass.new_set().is_none()
        && (reason == CREATE_ERROR || (reason == TIMED_OUT && !pass.changed));
    // Pods that were lost while somebody held a promoted Rollout have their time from now on.
    let paused = !status.pause_conditions.is_empty() || pass.raw.spec.paused;
    let held =
        is_completed(&pass.raw.status) && is_true(&pass.raw.status, &RolloutConditionType::Paused);
    let lost_pods = is_completed(status) && (became_unhealthy || (held && !paused));
    if !stuck && (made_progress(pass, status) || became_unhealthy || lost_pods) {
        let (reason, message) = if lost_pods {
            (
                "ReplicaSetNotAvailable",
                "Rollout does not have minimum availability".to_owned(),
            )
        } else {
            let message = match pass.new_set() {
                Some(set) => format!("ReplicaSet \"{}\" is progressing.", set.metadata.name),
                None => format!("Rollout \"{}\" is progressing.", pass.raw.metadata.name),
            };
            ("ReplicaSetUpdated", message)
        };
        // Every sign of progress starts the deadline anew, so the condition is replaced even if it reads the same. A
        // pause that this very pass found is not hidden by it; that of a completed update is not said here.
        if paused && !is_completed(status) {
            return;
        }
        renew(
            status,
            now,
            RolloutConditionType::Progressing,
            ConditionStatus::True,
            reason,
            &message,
        );
        return;
    }
    if !resumed && !progress::may_wait(pass) && progress::timed_out(pass, status) {
        set(
            status,
            now,
            RolloutConditionType::Progressing,
            ConditionStatus::False,
            TIMED_OUT,
            &progress::timed_out_message(pass),
        );
    }
}

/// Whether anything moved since the status was written (CND-021).
pub(crate) fn made_progress(pass: &Pass<'_>, status: &api::RolloutStatus) -> bool {
    let old = &pass.raw.status;
    // The set of another revision may be there already, with as many pods as the one before had.
    pass.changed
        || progress::counts_progressed(old, &progress::tally(pass, status))
        || status.blue_green.active_selector != old.blue_green.active_selector
        || status.blue_green.preview_selector != old.blue_green.preview_selector
        || status.stable_rs != old.stable_rs
        || status.current_step_index != old.current_step_index
        || status.current_step_hash != old.current_step_hash
        || progress::left_analysis(pass)
}

/// The update is over and its pods serve (CND-022).
pub(crate) fn is_healthy(pass: &Pass<'_>, status: &api::RolloutStatus) -> bool {
    let replicas = pass.replicas();
    let generation = pass.raw.metadata.generation.to_string();
    status.updated_replicas == replicas
        && status.available_replicas == replicas
        && pass.raw.status.observed_generation == generation
        && pass.strategy_complete(status)
}

/// The promoted set is the current one (CND-016).
pub(crate) fn is_completed(status: &api::RolloutStatus) -> bool {
    !status.stable_rs.is_empty() && status.stable_rs == status.current_pod_hash
}

/// `Available` (CND-002, CND-003).
fn availability(pass: &Pass<'_>, status: &mut api::RolloutStatus) {
    let replicas = pass.replicas();
    let available = match pass.active_by_status(status) {
        Some(active) => active.is_some_and(|set| sets::is_saturated(set, replicas)),
        None => pass.sets.available() >= replicas,
    };
    let (value, message) = if available {
        (ConditionStatus::True, "Rollout has minimum availability")
    } else {
        (
            ConditionStatus::False,
            "Rollout does not have minimum availability",
        )
    };
    set(
        status,
        pass.time(),
        RolloutConditionType::Available,
        value,
        "AvailableReason",
        message,
    );
}

/// `ReplicaFailure`, copied from a set: the new one first (CND-019).
fn replica_failure(pass: &Pass<'_>, status: &mut api::RolloutStatus) {
    let failing = |set: &&ReplicaSet| set.failure.is_some();
    let set = pass
        .new_set()
        .filter(failing)
        .or_else(|| pass.sets.all.iter().map(AsRef::as_ref).find(failing));
    let Some(failure) = set.and_then(|set| set.failure.as_ref()) else {
        remove(status, &RolloutConditionType::ReplicaFailure);
        return;
    };
    // Upstream takes the time of the set's condition for both of its own.
    self::set(
        status,
        failure.last_transition_time.unwrap_or(pass.time()),
        RolloutConditionType::ReplicaFailure,
        ConditionStatus::from(failure.status.as_str()),
        &failure.reason,
        &failure.message,
    );
}

/// `Completed` (CND-016). Returns whether it became false.
fn completion(status: &mut api::RolloutStatus, now: api::Time) -> bool {
    let completed = is_completed(status);
    if planted::is(Bug::CompletionUnsaid)
        && find(status, &RolloutConditionType::Completed).is_some()
    {
        return false;
    }
    let value = if completed {
        ConditionStatus::True
    } else {
        ConditionStatus::False
    };
    let changed = set(
        status,
        now,
        RolloutConditionType::Completed,
        value,
        "RolloutCompleted",
        "RolloutCompleted",
    );
    changed && !completed
}

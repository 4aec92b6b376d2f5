//! The status of a Rollout that cannot be worked on: why, and what an abort takes back all the same.

use sluice_api as api;

use super::{Settled, events, finish, written_version};
use crate::hash;
use crate::observed::Observed;
use crate::plan::{Action, Done, Event, Outcome, Requeue, WriteErrorKind};
use crate::rollout::planner::Meaning;
use crate::rollout::sets::{self, NewSet, Sets};
use crate::rollout::valid::{FieldErrors, ValidRollout};
use crate::rollout::{Decision, abort_counts, conditions};

/// Nothing can be said of this specification yet, so it does not count as observed either: a client must not take the
/// health of the one before for its own (CND-052). One that the API server refuses is invalid; where it does not answer, the
/// new set cannot be created, and why is said (CND-014). An abort is heard.
pub(super) fn unsettled(
    seen: &Observed,
    valid: &ValidRollout,
    made: &Decision,
    got: &Outcome,
) -> Settled {
    let mut status = seen.rollout.status.clone();
    let mut of_writes = unclaimed(seen, made, got);
    let mut events = of_writes.clone();
    if abort_counts(&seen.rollout) {
        let told = taken_back(&mut status, seen, made, got);
        of_writes.extend_from_slice(&told);
        events.extend(told);
        events.extend(record_abort(&mut status, seen));
    }
    let new = Sets::of(seen, valid.template.as_value()).new;
    let observed = matches!(new, NewSet::Refused(_));
    let uncreated = uncreated(seen, valid, made, got);
    if let NewSet::Refused(message) = &new {
        set_refused(&mut status, seen, message);
        events.splice(..0, events::added(&seen.rollout));
    } else if let Some(event) = uncreated {
        if !abort_counts(&seen.rollout) {
            set_uncreated(&mut status, seen, &event.message);
        }
        events.push(event);
    } else if !seen.rollout.status.abort {
        return Settled {
            next: Box::new(status),
            status: None,
            events,
            of_writes,
            requeue: Requeue::OnChange,
            reported: Vec::new(),
            released: Vec::new(),
            ended: None,
        };
    }
    let settled = finish(
        seen,
        status,
        observed,
        events,
        Requeue::OnChange,
        written_version(seen, got),
        Vec::new(),
    );
    Settled {
        of_writes,
        ..settled
    }
}

/// The status of a Rollout that cannot be worked on: the condition, and an abort that somebody asked for (VAL-001, 002).
pub(super) fn settle_invalid(
    errors: &FieldErrors,
    seen: &Observed,
    made: &Decision,
    got: &Outcome,
) -> Settled {
    let raw = &seen.rollout;
    let mut status = raw.status.clone();
    let mut events = Vec::from_iter(events::added(raw));
    let mut of_writes = Vec::new();
    if abort_counts(raw) {
        of_writes = taken_back(&mut status, seen, made, got);
        events.extend_from_slice(&of_writes);
        events.extend(record_abort(&mut status, seen));
    } else {
        // Of what is promoted nothing is taken back (ABT-004).
        status.abort = false;
    }
    set_invalid(&mut status, seen, errors.message(&raw.metadata.name));
    let (notices, reported) = events::notices(seen, true);
    of_writes.extend_from_slice(&notices);
    events.extend(notices);
    let settled = finish(
        seen,
        status,
        true,
        events,
        made.course.again,
        written_version(seen, got),
        reported,
    );
    Settled {
        of_writes,
        ..settled
    }
}

/// What an abort has taken back. Returns its events.
fn taken_back(
    status: &mut api::RolloutStatus,
    seen: &Observed,
    made: &Decision,
    got: &Outcome,
) -> Vec<Event> {
    let blue_green = seen.rollout.spec.strategy.blue_green.as_ref();
    let mut told = Vec::new();
    for (index, meaning) in &made.course.meanings {
        if !got.succeeded(*index) {
            continue;
        }
        if let Meaning::Switched { service, to, .. } = meaning
            && blue_green.is_some_and(|blue_green| blue_green.active_service == *service)
        {
            status.blue_green.active_selector.clone_from(to);
        }
        if let Some((reason, message)) = events::told(meaning) {
            told.push(events::normal(&seen.rollout, reason, message));
        }
    }
    told
}

/// An abort of a Rollout that cannot be worked on. Returns the event, if it is news.
fn record_abort(status: &mut api::RolloutStatus, seen: &Observed) -> Option<Event> {
    let raw = &seen.rollout;
    let now = api::Time(seen.now).truncated();
    if status.aborted_at.is_none() {
        status.aborted_at = Some(now);
        // The later request counts.
        status.promote_full = false;
    }
    status.pause_conditions.clear();
    status.controller_pause = false;
    if status.current_step_index.is_some() {
        status.current_step_index = Some(0);
    }
    let revision = sets::revision(&raw.metadata.annotations);
    let message = format!("Rollout aborted update to revision {revision}");
    let changed = conditions::set(
        status,
        now,
        api::RolloutConditionType::Progressing,
        api::ConditionStatus::False,
        conditions::ROLLOUT_ABORTED,
        &message,
    );
    changed.then(|| events::warning(raw, conditions::ROLLOUT_ABORTED, message))
}

/// Sets that could not be taken back, for which everything else waits.
fn unclaimed(seen: &Observed, made: &Decision, got: &Outcome) -> Vec<Event> {
    let claims = made.plan.writes().filter(|(index, _)| {
        let meaning = made.course.meanings.get(index);
        meaning == Some(&Meaning::Claimed)
    });
    let failed = claims.filter_map(|(index, write)| match got.done.get(index) {
        // What is another one by now, or gone, the next pass looks at anew.
        Some(Done::Failed(error)) => (!matches!(
            error.kind,
            WriteErrorKind::Conflict | WriteErrorKind::NotFound | WriteErrorKind::NotLeading
        ))
        .then_some((write, &error.message)),
        Some(Done::Applied { .. } | Done::Asked | Done::Skipped) | None => None,
    });
    let told = failed.map(|(write, error)| {
        let name = &write.target.name;
        let message = format!("Failed to take back replica set \"{name}\": {error}");
        events::warning(&seen.rollout, CLAIM_ERROR, message)
    });
    told.collect()
}

/// A set of ours that has lost its owner or its label, and keeps it so.
const CLAIM_ERROR: &str = "ReplicaSetAdoptError";

/// The set of a new template is not tried, since the API server was asked in vain what it makes of it, or what the set is
/// that might be of it. Each attempt is told, like a creation that failed.
pub(super) fn uncreated(
    seen: &Observed,
    valid: &ValidRollout,
    made: &Decision,
    got: &Outcome,
) -> Option<Event> {
    let raw = &seen.rollout;
    let hash = hash::pod_template(valid.template.as_value(), raw.status.collision_count);
    // Of a specification that was looked at before, and of a set that is there under its own name, it is known.
    let known = raw.status.observed_generation == raw.metadata.generation.to_string()
        || seen.replica_sets.iter().any(|set| set.hash() == hash);
    if known {
        return None;
    }
    let NewSet::Unknown(open) = Sets::of(seen, valid.template.as_value()).new else {
        return None;
    };
    let mut looks = made.plan.actions.iter().zip(&got.done);
    let error = looks.find_map(|(planned, done)| match (&planned.action, done) {
        (Action::Look(query), Done::Failed(error)) if open.contains(query) => Some(&error.message),
        _ => None,
    })?;
    let message = conditions::uncreated(&sets::name(raw, &hash), error);
    Some(events::warning(raw, conditions::CREATE_ERROR, message))
}

fn set_uncreated(status: &mut api::RolloutStatus, seen: &Observed, message: &str) {
    let now = api::Time(seen.now).truncated();
    conditions::acknowledge_pause(&seen.rollout, status, now);
    conditions::set(
        status,
        now,
        api::RolloutConditionType::Progressing,
        api::ConditionStatus::False,
        conditions::CREATE_ERROR,
        message,
    );
}

/// The API server refuses the template.
pub(super) fn set_refused(status: &mut api::RolloutStatus, seen: &Observed, message: &str) {
    let name = &seen.rollout.metadata.name;
    let message = format!("The Rollout \"{name}\" is invalid: {message}");
    set_invalid(status, seen, message);
}

/// Sets the condition InvalidSpec. A new message replaces the old one although reason and status are the same.
fn set_invalid(status: &mut api::RolloutStatus, seen: &Observed, message: String) {
    let type_ = api::RolloutConditionType::InvalidSpec;
    if conditions::find(status, &type_).is_some_and(|condition| condition.message != message) {
        conditions::remove(status, &type_);
    }
    conditions::set(
        status,
        api::Time(seen.now).truncated(),
        type_,
        api::ConditionStatus::True,
        "InvalidSpec",
        &message,
    );
}

//! The status of a Rollout that cannot be worked on: why, and what an abort takes back all the same.

use sluice_api as api;

use super::{Settled, events, finish, written_version};
use crate::hash;
use crate::observed::{Looked, Observed};
use crate::plan::{Event, Outcome, Requeue};
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
    let (mut events, mut of_writes) = (Vec::new(), Vec::new());
    if abort_counts(&seen.rollout) {
        of_writes = taken_back(&mut status, seen, made, got);
        events.clone_from(&of_writes);
        events.extend(record_abort(&mut status, seen));
    }
    let new = Sets::of(seen, valid.template.as_value()).new;
    let observed = matches!(new, NewSet::Refused(_));
    let unanswered = unanswered(seen, &new).filter(|_| !seen.rollout.status.abort);
    if let NewSet::Refused(message) = &new {
        set_refused(&mut status, seen, message);
        events.splice(..0, events::added(&seen.rollout));
    } else if let Some(error) = unanswered {
        events.push(set_uncreated(&mut status, seen, valid, error));
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

/// Why nobody can say whether the set of a new specification exists. Of one that was looked at before it is known.
fn unanswered<'a>(seen: &'a Observed, new: &NewSet<'_>) -> Option<&'a str> {
    let (NewSet::Unknown(queries), true) = (new, is_news(&seen.rollout)) else {
        return None;
    };
    queries
        .iter()
        .find_map(|query| match seen.looked.get(query) {
            Some(Looked::Failed(error)) => Some(error.as_str()),
            Some(Looked::Object(_) | Looked::Pods(_) | Looked::Template(_)) | None => None,
        })
}

/// Whether the status is of an earlier specification.
fn is_news(rollout: &api::Rollout) -> bool {
    rollout.status.observed_generation != rollout.metadata.generation.to_string()
}

/// What a template would need was asked in vain, and its set is not tried. Each attempt is told, like one that failed.
fn set_uncreated(
    status: &mut api::RolloutStatus,
    seen: &Observed,
    valid: &ValidRollout,
    error: &str,
) -> Event {
    let hash = hash::pod_template(valid.template.as_value(), status.collision_count);
    let name = sets::name(&seen.rollout, &hash);
    let message = conditions::uncreated(&name, error);
    let now = api::Time(seen.now).truncated();
    conditions::acknowledge_pause(&seen.rollout, status, now);
    conditions::set(
        status,
        now,
        api::RolloutConditionType::Progressing,
        api::ConditionStatus::False,
        conditions::CREATE_ERROR,
        &message,
    );
    events::warning(&seen.rollout, conditions::CREATE_ERROR, message)
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

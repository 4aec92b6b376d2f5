//! From the outcome of a pass to the next status, the events, and the time of the next look.
//!
//! Counts what was applied, never what was wished. When the status write meets a conflict only this runs again, with the
//! outcome kept and the Rollout as it is now.

mod advance;
mod events;
mod invalid;
mod pauses;
mod routes;
mod runs;
mod sets;

use sluice_api as api;

use super::goal::Goal;
use super::pass::{Held, Pass};
use super::planner::Meaning;
use super::valid::{FieldErrors, ValidRollout, subject};
use super::{Decision, conditions, duration, goal, phase, progress};
use crate::hash::CallKey;
use crate::observed::Observed;
use crate::plan::{Done, Edit, Event, Outcome, Requeue, Severity, Subresource, Write};
use crate::planted::{self, Bug};
use crate::plugin::Slot;

/// What remains to be done after a plan has been carried out.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The next status.
    pub next: Box<api::RolloutStatus>,
    /// The write that brings it about; None when nothing differs.
    pub status: Option<Write>,
    /// Events, in order. To be recorded once the status is written.
    pub events: Vec<Event>,
    /// Those of them that are true whatever becomes of the status, of writes and of plugins: to be recorded if it cannot be
    /// written.
    pub of_writes: Vec<Event>,
    /// When to look again although nothing changes.
    pub requeue: Requeue,
    /// Replies that have been reported now.
    pub reported: Vec<(Slot, CallKey)>,
    /// Routers that the specification names no more, and that have let go.
    pub released: Vec<String>,
    /// The update that has ended in this pass, for figures (MET-007). To be counted once the status is written.
    pub ended: Option<api::RolloutDurationStatus>,
}

/// Settles a pass.
pub fn settle(
    spec: &Result<ValidRollout, FieldErrors>,
    seen: &Observed,
    made: &Decision,
    got: &Outcome,
) -> Settled {
    match spec {
        Err(errors) => invalid::settle_invalid(errors, seen, made, got),
        Ok(valid) => match Pass::new(valid, seen) {
            Some(pass) => Settling::new(&pass, made, got).settle(),
            None => invalid::unsettled(seen, valid, made, got),
        },
    }
}

/// The resourceVersion of the Rollout after the writes of this pass.
fn written_version(seen: &Observed, got: &Outcome) -> Option<String> {
    let uid = &seen.rollout.metadata.uid;
    got.done.iter().rev().find_map(|done| match done {
        Done::Applied { object } if &object.uid == uid => Some(object.resource_version.clone()),
        Done::Applied { .. } | Done::Asked | Done::Failed(_) | Done::Skipped => None,
    })
}

fn finish(
    seen: &Observed,
    mut status: api::RolloutStatus,
    observed: bool,
    events: Vec<Event>,
    requeue: Requeue,
    version: Option<String>,
    reported: Vec<(Slot, CallKey)>,
) -> Settled {
    let raw = &seen.rollout;
    if observed && (!planted::is(Bug::GenerationForgotten) || status.observed_generation.is_empty())
    {
        status.observed_generation = raw.metadata.generation.to_string();
    }
    status.workload_observed_generation = String::new();
    (status.phase, status.message) = phase(&raw.spec, &status);
    let mut patch = crate::status_patch::diff(&raw.status, &status);
    if planted::is(Bug::StatusEveryPass) {
        patch.get_or_insert_with(|| serde_json::json!({ "status": { "phase": status.phase } }));
    }
    Settled {
        status: patch.map(|patch| Write {
            target: subject(raw).key,
            edit: Edit::MergePatch(patch),
            subresource: Subresource::Status,
            precondition: Some(version.unwrap_or_else(|| raw.metadata.resource_version.clone())),
            reason: "status".to_owned(),
        }),
        next: Box::new(status),
        events,
        of_writes: Vec::new(),
        requeue,
        reported,
        released: Vec::new(),
        ended: None,
    }
}

struct Settling<'a, 'b> {
    pass: &'b Pass<'a>,
    made: &'b Decision,
    got: &'b Outcome,
    goal: Goal,
    status: api::RolloutStatus,
    events: Vec<Event>,
    /// Events of runs: they come before what follows from them.
    judged: Vec<Event>,
    requeue: Requeue,
    /// Why the progress deadline ends the update.
    late: Option<String>,
}

impl<'a, 'b> Settling<'a, 'b> {
    fn new(pass: &'b Pass<'a>, made: &'b Decision, got: &'b Outcome) -> Self {
        Self {
            pass,
            made,
            got,
            goal: goal(pass),
            status: pass.status.clone(),
            events: Vec::new(),
            judged: Vec::new(),
            requeue: made.course.again,
            late: None,
        }
    }

    fn settle(mut self) -> Settled {
        match &self.pass.held {
            None => conditions::remove(&mut self.status, &api::RolloutConditionType::InvalidSpec),
            // That it was aborted stays what is said of the update.
            Some(Held::Unknown) => {
                let (pass, got) = (self.pass, self.got);
                let uncreated = invalid::uncreated(pass.seen, pass.valid, self.made, got);
                self.events.extend(uncreated);
            }
            Some(Held::Refused(message)) => {
                invalid::set_refused(&mut self.status, self.pass.seen, message)
            }
        }
        self.selectors();
        self.count();
        self.creations();
        self.weights();
        self.failed_routes();
        let late = self.late_routers();
        self.events.extend(late);
        self.runs();
        self.restarts();
        let resumed = self.pauses();
        self.step();
        let fast = self.status.promote_full;
        let promoted = self.promotion();
        self.resume();
        self.deadline();
        conditions::acknowledge(self.pass, &mut self.status);
        let abort = self.late.as_ref().or(self.pass.abort.as_ref());
        let abort = abort.map(String::as_str);
        let transitions = conditions::evaluate(self.pass, &mut self.status, abort, resumed);
        // How it is recorded, once it is what promotes (DUR-002).
        let completion = promoted.as_ref().map(|_| match fast {
            true => api::CompletionStatus::FastPromoted,
            false => api::CompletionStatus::Promoted,
        });
        let duration::Next { duration, ended } =
            duration::next(self.pass, &self.status, completion);
        self.status.duration = duration;
        self.announce(&transitions, promoted.as_deref());
        let (mut of_writes, changed) = self.of_writes();
        of_writes.extend(changed);
        of_writes.extend(self.late_routers());
        let applied = self.applied_all_routes();
        let (notices, reported) = events::notices(self.pass.seen, applied);
        of_writes.extend_from_slice(&notices);
        self.events.extend(notices);
        if let Some(time) = progress::next_check(self.pass, &self.status) {
            self.requeue = self.requeue.or_at(time);
        }
        let settled = finish(
            self.pass.seen,
            self.status,
            self.pass.held != Some(Held::Unknown),
            self.events,
            self.requeue,
            written_version(self.pass.seen, self.got),
            reported,
        );
        Settled {
            of_writes,
            ended,
            released: self.made.course.leaving.released.clone(),
            ..settled
        }
    }

    /// What succeeded, with its meaning.
    fn done(&self) -> impl Iterator<Item = &'b Meaning> {
        let got = self.got;
        self.made
            .course
            .meanings
            .iter()
            .filter(move |(index, _)| got.succeeded(**index))
            .map(|(_, meaning)| meaning)
    }

    fn event(&mut self, severity: Severity, reason: &str, message: String) {
        self.events.push(Event {
            about: subject(self.pass.raw),
            severity,
            reason: reason.to_owned(),
            message,
        });
    }
}

//! From the outcome of a pass to the next status, the events, and the time of the next look.
//!
//! Counts what was applied, never what was wished. When the status write meets a conflict only this runs again, with the
//! outcome kept and the Rollout as it is now.

use sluice_api as api;

use super::conditions::{self, Transitions};
use super::goal::{Goal, Pause, RunKind, StepEnd};
use super::order::{self, Move, Need};
use super::pass::{Held, Pass};
use super::planner::Meaning;
use super::restart::{self, Restart};
use super::traffic::{self, Answered};
use super::valid::{FieldErrors, ValidRollout, subject};
use super::{Decision, duration, goal, phase, progress, runs, sets, steps};
use crate::hash::CallKey;
use crate::observed::Observed;
use crate::plan::{
    Done, Edit, Event, Outcome, Requeue, Severity, Subresource, Write, WriteErrorKind,
};
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
    /// When to look again although nothing changes.
    pub requeue: Requeue,
    /// Replies that have been reported now.
    pub reported: Vec<(Slot, CallKey)>,
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
        Err(errors) => settle_invalid(errors, seen, made, got),
        Ok(valid) => match Pass::new(valid, seen) {
            Some(pass) => Settling::new(&pass, made, got).settle(),
            None => unsettled(seen, valid, made, got),
        },
    }
}

/// Nothing can be said of this specification yet, so it does not count as observed either: a client must not take the
/// health of the one before for its own (CND-052). One that the API server refuses is invalid. An abort is heard.
fn unsettled(seen: &Observed, valid: &ValidRollout, made: &Decision, got: &Outcome) -> Settled {
    let mut status = seen.rollout.status.clone();
    let mut events = Vec::new();
    if super::abort_counts(&seen.rollout) {
        events = record_abort(&mut status, seen, made, got);
    }
    let refused = match super::sets::Sets::of(seen, valid.template.as_value()).new {
        super::NewSet::Refused(message) => Some(message),
        super::NewSet::Unknown(_) | super::NewSet::Found { .. } | super::NewSet::Missing { .. } => {
            None
        }
    };
    let observed = refused.is_some();
    if let Some(message) = refused {
        set_refused(&mut status, seen, &message);
    } else if !seen.rollout.status.abort {
        return Settled {
            next: Box::new(status),
            status: None,
            events,
            requeue: Requeue::OnChange,
            reported: Vec::new(),
            ended: None,
        };
    }
    finish(
        seen,
        status,
        observed,
        events,
        Requeue::OnChange,
        written_version(seen, got),
        Vec::new(),
    )
}

/// The status of a Rollout that cannot be worked on: the condition, and an abort that somebody asked for (VAL-001, 002).
fn settle_invalid(
    errors: &FieldErrors,
    seen: &Observed,
    made: &Decision,
    got: &Outcome,
) -> Settled {
    let raw = &seen.rollout;
    let mut status = raw.status.clone();
    let mut events = Vec::new();
    if status.abort {
        events = record_abort(&mut status, seen, made, got);
    }
    set_invalid(&mut status, seen, errors.message(&raw.metadata.name));
    let (notices, reported) = notices(seen, true);
    events.extend(notices);
    finish(
        seen,
        status,
        true,
        events,
        made.course.again,
        written_version(seen, got),
        reported,
    )
}

/// An abort of a Rollout that cannot be worked on. Returns the events.
fn record_abort(
    status: &mut api::RolloutStatus,
    seen: &Observed,
    made: &Decision,
    got: &Outcome,
) -> Vec<Event> {
    let raw = &seen.rollout;
    let now = api::Time(seen.now).truncated();
    let mut events = Vec::new();
    if status.aborted_at.is_none() {
        status.aborted_at = Some(now);
    }
    status.pause_conditions.clear();
    status.controller_pause = false;
    if status.current_step_index.is_some() {
        status.current_step_index = Some(0);
    }
    for (index, meaning) in &made.course.meanings {
        if let Meaning::Switched { service, from, to } = meaning
            && got.succeeded(*index)
        {
            events.push(Event {
                about: subject(raw),
                severity: Severity::Normal,
                reason: "SwitchService".to_owned(),
                message: format!(
                    "Switched selector for service '{service}' from '{from}' to '{to}'"
                ),
            });
        }
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
    if changed {
        events.push(Event {
            about: subject(raw),
            severity: Severity::Warning,
            reason: conditions::ROLLOUT_ABORTED.to_owned(),
            message,
        });
    }
    events
}

/// The API server refuses the template.
fn set_refused(status: &mut api::RolloutStatus, seen: &Observed, message: &str) {
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

/// Events of plugins that no pass has reported yet. Held back as long as changes of theirs are not applied.
fn notices(seen: &Observed, applied: bool) -> (Vec<Event>, Vec<(Slot, CallKey)>) {
    let mut events = Vec::new();
    let mut reported = Vec::new();
    if !applied {
        return (events, reported);
    }
    for (slot, key, notices) in traffic::unreported(seen) {
        for notice in notices {
            events.push(Event {
                about: subject(&seen.rollout),
                severity: notice.severity,
                reason: notice.reason,
                message: notice.message,
            });
        }
        reported.push((slot, key));
    }
    (events, reported)
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
        requeue,
        reported,
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
        }
    }

    fn settle(mut self) -> Settled {
        match &self.pass.held {
            None => conditions::remove(&mut self.status, &api::RolloutConditionType::InvalidSpec),
            Some(Held::Unknown) => {}
            Some(Held::Refused(message)) => set_refused(&mut self.status, self.pass.seen, message),
        }
        self.count();
        self.creations();
        self.selectors();
        self.weights();
        self.failed_routes();
        self.runs();
        self.restarts();
        let resumed = self.pauses();
        self.step();
        let fast = self.status.promote_full;
        let promoted = self.promotion();
        self.resume();
        conditions::acknowledge(self.pass, &mut self.status);
        let transitions = conditions::evaluate(self.pass, &mut self.status, resumed);
        // How it is recorded, once it is what promotes (DUR-002).
        let completion = promoted.as_ref().map(|_| match fast {
            true => api::CompletionStatus::FastPromoted,
            false => api::CompletionStatus::Promoted,
        });
        let duration::Next { duration, ended } =
            duration::next(self.pass, &self.status, completion);
        self.status.duration = duration;
        self.announce(&transitions, promoted.as_deref());
        let applied = self.applied_all_routes();
        let (notices, reported) = notices(self.pass.seen, applied);
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
        Settled { ended, ..settled }
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

    fn count(&mut self) {
        let tally = progress::tally(self.pass);
        self.status.replicas = tally.replicas;
        self.status.updated_replicas = tally.updated;
        self.status.ready_replicas = tally.ready;
        self.status.available_replicas = tally.available;
        self.status.hpa_replicas = tally.hpa;
        let spec = &self.pass.raw.spec;
        self.status.selector = match self.pass.counted_set() {
            Some(active) => {
                let mut selector = spec.selector.clone().unwrap_or_default();
                selector.match_labels.insert(
                    crate::keys::POD_TEMPLATE_HASH.to_owned(),
                    active.hash().to_owned(),
                );
                crate::selector::format(Some(&selector))
            }
            None => crate::selector::format(spec.selector.as_ref()),
        };
    }

    /// A set of the new revision that could not be created (CND-014), or was (CND-004).
    fn creations(&mut self) {
        let pass = self.pass;
        let failed = self
            .made
            .course
            .meanings
            .iter()
            .find_map(|(index, meaning)| {
                let Meaning::Created { name, .. } = meaning else {
                    return None;
                };
                match self.got.done.get(*index) {
                    Some(Done::Failed(error)) => Some((name.clone(), error.clone())),
                    Some(Done::Applied { .. } | Done::Asked | Done::Skipped) | None => None,
                }
            });
        if let Some((name, error)) = failed {
            match error.kind {
                // An update that is late or aborted stays so, whatever else does not work.
                WriteErrorKind::Invalid if conditions::is_over(&self.status) => {}
                WriteErrorKind::Invalid => {
                    let message = format!(
                        "Failed to create new replica set \"{name}\": {}",
                        error.message
                    );
                    let changed = conditions::set(
                        &mut self.status,
                        pass.time(),
                        api::RolloutConditionType::Progressing,
                        api::ConditionStatus::False,
                        "ReplicaSetCreateError",
                        &message,
                    );
                    if changed {
                        self.event(Severity::Warning, "ReplicaSetCreateError", message);
                    }
                }
                // An object of this name: ours, whose creation was not answered, or another one. The next pass looks,
                // because the status has the hash now (HASH-009).
                WriteErrorKind::AlreadyExists
                | WriteErrorKind::Conflict
                | WriteErrorKind::NotFound
                | WriteErrorKind::Refused
                | WriteErrorKind::Unavailable
                | WriteErrorKind::NotLeading => {}
            }
            return;
        }
        let created: Vec<String> = self
            .done()
            .filter_map(|meaning| match meaning {
                Meaning::Created { name, .. } => Some(name.clone()),
                _ => None,
            })
            .collect();
        for name in created {
            conditions::remove(&mut self.status, &api::RolloutConditionType::Progressing);
            conditions::set(
                &mut self.status,
                pass.time(),
                api::RolloutConditionType::Progressing,
                api::ConditionStatus::True,
                "NewReplicaSetCreated",
                &format!("Created new replica set \"{name}\""),
            );
        }
        if let Some(set) = pass.new_set()
            && conditions::find(&self.status, &api::RolloutConditionType::Progressing).is_none()
        {
            conditions::set(
                &mut self.status,
                pass.time(),
                api::RolloutConditionType::Progressing,
                api::ConditionStatus::True,
                "FoundNewReplicaSet",
                &format!("Found new replica set \"{}\"", set.metadata.name),
            );
        }
    }

    /// The hashes that the Services select now, this pass's switches included (ST-021).
    fn selectors(&mut self) {
        let super::Strategy::BlueGreen(blue_green) = &self.pass.valid.strategy else {
            return;
        };
        let mut active = self
            .pass
            .selected_hash(&blue_green.active_service)
            .to_owned();
        let mut preview = blue_green
            .preview_service
            .as_ref()
            .map(|service| self.pass.selected_hash(service).to_owned())
            .unwrap_or_default();
        for meaning in self.done() {
            if let Meaning::Switched { service, to, .. } = meaning {
                if *service == blue_green.active_service {
                    active.clone_from(to);
                } else if blue_green.preview_service.as_ref() == Some(service) {
                    preview.clone_from(to);
                }
            }
        }
        self.status.blue_green.active_selector = active;
        self.status.blue_green.preview_selector = preview;
    }

    /// Whether all changes of this router were applied.
    fn applied(&self, router: usize) -> bool {
        self.made
            .course
            .meanings
            .iter()
            .filter(|(_, meaning)| **meaning == Meaning::Routed(router))
            .all(|(index, _)| self.got.succeeded(*index))
    }

    fn applied_all_routes(&self) -> bool {
        let count = self
            .made
            .course
            .routing
            .as_ref()
            .map_or(0, |routing| routing.routers.len());
        (0..count).all(|router| self.applied(router))
    }

    /// A change of a router that the API server did not take (EVT-015). A conflict is no failure: the pass runs again.
    fn failed_routes(&mut self) {
        let failed: Vec<String> = self
            .made
            .course
            .meanings
            .iter()
            .filter(|(_, meaning)| matches!(meaning, Meaning::Routed(_)))
            .filter_map(|(index, _)| match self.got.done.get(*index) {
                Some(Done::Failed(error))
                    if !matches!(
                        error.kind,
                        WriteErrorKind::Conflict | WriteErrorKind::NotLeading
                    ) =>
                {
                    Some(error.message.clone())
                }
                _ => None,
            })
            .collect();
        for message in failed {
            self.event(Severity::Warning, "TrafficRoutingError", message);
        }
    }

    /// The split as far as it is known to be in force (ST-018).
    fn weights(&mut self) {
        let Some(routing) = &self.made.course.routing else {
            return;
        };
        if routing.released() {
            self.status.canary.weights = None;
        }
        if routing.wanted.is_none() || self.pass.valid.routers.is_empty() {
            return;
        }
        for answered in &routing.routers {
            if let Answered::Plan {
                status: Some(fragment),
                ..
            } = answered
            {
                merge_fragment(&mut self.status, fragment);
            }
        }
        let Some(mut weights) = routing.settled(|router| self.applied(router)) else {
            return;
        };
        let old = self.status.canary.weights.as_ref();
        let same = old.is_some_and(|old| {
            old.canary == weights.canary
                && old.stable == weights.stable
                && old.additional == weights.additional
        });
        if same {
            if weights.verified.is_none() {
                weights.verified = None;
            }
            self.status.canary.weights = Some(weights);
            return;
        }
        let message = match old {
            None => Some(format!(
                "Traffic weight updated to {}",
                weights.canary.weight
            )),
            Some(old) if old.canary.weight != weights.canary.weight => Some(format!(
                "Traffic weight updated from {} to {}",
                old.canary.weight, weights.canary.weight
            )),
            Some(_) => None,
        };
        self.status.canary.weights = Some(weights);
        if let Some(message) = message {
            self.event(Severity::Normal, "TrafficWeightUpdated", message);
        }
    }

    /// What the status says of the current runs (ST-015, ST-016, ST-023), and their transitions (EVT-019).
    fn runs(&mut self) {
        let started: Vec<(RunKind, String)> = self
            .done()
            .filter_map(|meaning| match meaning {
                Meaning::Started { kind, name } => Some((*kind, name.clone())),
                _ => None,
            })
            .collect();
        let pass = self.pass;
        // What made this pass abort is said before it is forgotten.
        if pass.abort.is_some() {
            for kind in runs::judged(pass) {
                let forgotten = matches!(kind, RunKind::Step(_) | RunKind::Background);
                if forgotten && let Some(run) = runs::current(pass, kind) {
                    let old = kind.slot(&pass.raw.status).cloned();
                    self.run_event(kind, old.as_ref(), run);
                }
            }
        }
        for kind in runs::kinds(pass) {
            let wanted = self.goal.runs.iter().any(|run| run.kind == kind);
            let old = kind.slot(&pass.raw.status).cloned();
            let next = if let Some((_, name)) = started.iter().find(|(started, _)| *started == kind)
            {
                Some(api::RolloutAnalysisRunStatus {
                    name: name.clone(),
                    ..api::RolloutAnalysisRunStatus::default()
                })
            } else {
                match runs::current(pass, kind) {
                    Some(run)
                        if wanted || !matches!(kind, RunKind::Step(_) | RunKind::Background) =>
                    {
                        self.run_event(kind, old.as_ref(), run);
                        Some(api::RolloutAnalysisRunStatus {
                            name: run.metadata.name.clone(),
                            status: run.status.phase.clone(),
                            message: run.status.message.clone(),
                        })
                    }
                    Some(_) | None => None,
                }
            };
            *kind.slot_mut(&mut self.status) = next;
        }
    }

    fn run_event(
        &mut self,
        kind: RunKind,
        old: Option<&api::RolloutAnalysisRunStatus>,
        run: &api::AnalysisRun,
    ) {
        let phase = &run.status.phase;
        let changed = old.is_none_or(|old| old.name == run.metadata.name && old.status != *phase);
        if phase.is_empty() || !changed {
            return;
        }
        let previous = old.map_or_else(
            || "NoPreviousStatus".to_owned(),
            |old| old.status.to_string(),
        );
        let severity = match phase {
            api::AnalysisPhase::Failed | api::AnalysisPhase::Error => Severity::Warning,
            _ => Severity::Normal,
        };
        self.judged.push(Event {
            about: subject(self.pass.raw),
            severity,
            reason: format!("AnalysisRun{phase}"),
            message: format!(
                "{} Analysis Run '{}' Status New: '{phase}' Previous: '{previous}'",
                kind.label(),
                run.metadata.name
            ),
        });
    }

    /// Pauses that begin or end (PAU-001, BGR-005). Returns whether somebody or the clock resumed the update.
    fn pauses(&mut self) -> bool {
        let pass = self.pass;
        if pass.aborted() {
            return false;
        }
        if pass.inconclusive && !pass.has_pause(&api::PauseReason::InconclusiveAnalysis) {
            self.add_pause(api::PauseReason::InconclusiveAnalysis);
        }
        let had = !pass.status.pause_conditions.is_empty();
        match &self.goal.pause {
            Pause::AsIs => {}
            Pause::None => self.status.pause_conditions.retain(|pause| {
                !matches!(
                    pause.reason,
                    api::PauseReason::CanaryPauseStep | api::PauseReason::BlueGreenPause
                )
            }),
            Pause::Wanted { reason, duration } => match pass.pause(reason) {
                Some(pause) => {
                    if let Some(duration) = duration {
                        match super::canary::remaining(pause, *duration, pass.now()) {
                            Some(end) => self.requeue = self.requeue.or_at(end),
                            None => self
                                .status
                                .pause_conditions
                                .retain(|pause| &pause.reason != reason),
                        }
                    }
                }
                None if duration.is_none() && planted::is(Bug::IndefinitePauseEnds) => {
                    self.status.controller_pause = true;
                }
                // Gone although we paused: somebody resumed.
                None if pass.status.controller_pause => {}
                None => self.add_pause(reason.clone()),
            },
        }
        let resumed = had && self.status.pause_conditions.is_empty();
        self.check_point();
        resumed
    }

    /// A resume that was acted upon is forgotten, or the next pause would end by it (PAU-002). One that waits for pods or
    /// for a write that failed is remembered.
    fn resume(&mut self) {
        if !self.status.pause_conditions.is_empty() || !self.status.controller_pause {
            return;
        }
        let measured_again = runs::resumed(self.pass)
            && self
                .done()
                .any(|meaning| matches!(meaning, Meaning::Started { .. }));
        if measured_again || self.goal.pause == Pause::None {
            self.status.controller_pause = false;
        }
    }

    fn add_pause(&mut self, reason: api::PauseReason) {
        self.status.pause_conditions.push(api::PauseCondition {
            reason,
            start_time: self.pass.time(),
        });
        self.status.controller_pause = true;
    }

    /// Whether the pause that this pass is about is over.
    fn pause_over(&self) -> bool {
        match &self.goal.pause {
            Pause::Wanted { reason, .. } => {
                self.pass.status.controller_pause
                    && !self
                        .status
                        .pause_conditions
                        .iter()
                        .any(|pause| &pause.reason == reason)
            }
            Pause::None => true,
            Pause::AsIs => false,
        }
    }

    /// The preview was large enough, analysed and agreed to: from now on it may grow (BGR-014).
    fn check_point(&mut self) {
        let Some(spec) = &self.pass.raw.spec.strategy.blue_green else {
            return;
        };
        let Some(preview) = spec.preview_replica_count else {
            return;
        };
        if self.pass.fully_promoted() || self.status.blue_green.scale_up_preview_check_point {
            return;
        }
        let available = self.pass.new_available() == preview;
        if available && self.pause_over() && runs::pre_promotion_done(self.pass, spec) {
            self.status.blue_green.scale_up_preview_check_point = true;
        }
    }

    /// One step ends per pass (PAU-003). A pause that comes next begins at once.
    fn step(&mut self) {
        let pass = self.pass;
        let over = match self.goal.step {
            StepEnd::Not => false,
            StepEnd::Now => true,
            StepEnd::WithPause => self.pause_over(),
            StepEnd::WithWeight(weight) => self.may(Move::EndStep, Some(weight), None),
        };
        let index = pass.step_index();
        let spec = pass
            .raw
            .spec
            .strategy
            .canary
            .as_ref()
            .and_then(|canary| canary.steps.get(index));
        let (true, Some(spec)) = (over, spec) else {
            return;
        };
        let next = index.saturating_add(if planted::is(Bug::StepSkipped) { 2 } else { 1 });
        self.status.current_step_index = i32::try_from(next).ok();
        self.status.canary.current_step_analysis_run_status = None;
        self.status
            .pause_conditions
            .retain(|pause| pause.reason != api::PauseReason::CanaryPauseStep);
        if self.status.pause_conditions.is_empty() {
            self.status.controller_pause = false;
        }
        let count = pass.steps().len();
        self.event(
            Severity::Normal,
            "RolloutStepCompleted",
            format!(
                "Rollout step {next}/{count} completed ({})",
                steps::display(spec)
            ),
        );
        if let Some(steps::Step::Pause(duration)) = pass.steps().get(next) {
            self.add_pause(api::PauseReason::CanaryPauseStep);
            if let Some(duration) = duration {
                self.requeue = self.requeue.or_at(pass.after(pass.now(), *duration));
            }
        }
    }

    /// A restart that is done, and one that a disruption budget holds up (RST-002).
    fn restarts(&mut self) {
        if let Restart::Done(time) = restart::restart(self.pass) {
            self.status.restarted_at = Some(time);
        }
        let refused = self.got.done.iter().any(
            |done| matches!(done, Done::Failed(error) if error.kind == WriteErrorKind::Refused),
        );
        if refused {
            let again = self.pass.after(self.pass.now(), restart::REFUSED_AGAIN);
            self.requeue = self.requeue.or_at(again);
        }
    }

    /// Whether everything that this move needs is known: this share of the canary, this Service on the new set.
    fn may(&self, of: Move, weight: Option<i32>, active: Option<&str>) -> bool {
        let unmet = order::blocked(of, |need| {
            let met = match need {
                Need::WeightConfirmed => weight.is_none_or(|weight| self.weight_is(weight)),
                Need::ActiveSelects => {
                    let selected = &self.status.blue_green.active_selector;
                    active.is_none() || *selected == self.status.current_pod_hash
                }
                Need::TargetReady
                | Need::ShareFits
                | Need::ShareReturned
                | Need::StableComplete
                | Need::NoTraffic
                | Need::Unreferenced
                | Need::EvictionsShown
                | Need::Spare
                | Need::SpareBesides
                | Need::AnotherServes => true,
            };
            met.then_some(()).ok_or_else(String::new)
        });
        unmet.is_none()
    }

    /// Whether routers are known to send this share to the canary (without a router there is nothing to know).
    fn weight_is(&self, weight: i32) -> bool {
        if self.pass.valid.routers.is_empty() {
            return true;
        }
        self.status.canary.weights.as_ref().is_some_and(|weights| {
            weights.canary.weight == weight
                && weights.canary.pod_template_hash == self.pass.hash
                && weights.verified != Some(false)
        })
    }

    /// Marks the new set stable (PAU-004, BGR-007). Returns the reason.
    fn promotion(&mut self) -> Option<String> {
        let promotion = self.goal.promotion.clone()?;
        let active = promotion.active_service.as_deref();
        if !self.may(Move::Promote, promotion.weight, active) {
            return None;
        }
        if self.pass.new_set().is_none()
            && !self
                .done()
                .any(|meaning| matches!(meaning, Meaning::Created { .. }))
        {
            return None;
        }
        self.status.pause_conditions.clear();
        self.status.controller_pause = false;
        self.status.abort = false;
        self.status.aborted_at = None;
        self.status.promote_full = false;
        self.status.blue_green.scale_up_preview_check_point = false;
        let count = self.pass.steps().len();
        self.status.current_step_index = (count > 0).then(|| i32::try_from(count).ok()).flatten();
        self.status.canary.current_step_analysis_run_status = None;
        self.status.canary.current_background_analysis_run_status = None;
        self.status
            .stable_rs
            .clone_from(&self.status.current_pod_hash);
        Some(promotion.reason)
    }

    /// Events in the order that clients know (EVT-060, EVT-061).
    fn announce(&mut self, transitions: &Transitions, promoted: Option<&str>) {
        let pass = self.pass;
        let mut first = Vec::new();
        std::mem::swap(&mut first, &mut self.events);
        let done: Vec<Meaning> = self.done().cloned().collect();
        // Upstream says this whenever its cache meets the object, so again after every restart; once is what it means.
        if pass.raw.status.observed_generation.is_empty() {
            let metadata = &pass.raw.metadata;
            self.event(
                Severity::Normal,
                "RolloutAddedToInformer",
                format!(
                    "Rollout resource added to informer: {}/{}",
                    metadata.namespace, metadata.name
                ),
            );
        }
        for meaning in &done {
            if let Meaning::Revised(revision) = meaning {
                self.event(
                    Severity::Normal,
                    "RolloutUpdated",
                    format!("Rollout updated to revision {revision}"),
                );
            }
        }
        for meaning in &done {
            if let Meaning::Created { name, .. } = meaning {
                self.event(
                    Severity::Normal,
                    "NewReplicaSetCreated",
                    format!("Created ReplicaSet {name} (revision {})", pass.revision),
                );
            }
        }
        // Upstream marks the first revision of a canary stable in its second status write only, and says so in between;
        // clients know the sequence (EVT-060). That of blue-green has one write (EVT-061).
        let first_canary = promoted.is_some()
            && pass.raw.status.stable_rs.is_empty()
            && conditions::find(&pass.raw.status, &api::RolloutConditionType::Completed).is_none()
            && matches!(pass.valid.strategy, super::Strategy::Canary(_));
        if transitions.not_completed || first_canary {
            self.event(
                Severity::Normal,
                "RolloutNotCompleted",
                format!(
                    "Rollout not completed, started update to revision {} ({})",
                    pass.revision, pass.hash
                ),
            );
        }
        self.events.append(&mut self.judged);
        if let Some(message) = pass.skipped {
            self.event(Severity::Normal, "SkipSteps", message.to_owned());
        }
        for meaning in &done {
            match meaning {
                Meaning::Created { name, replicas } if *replicas > 0 => {
                    self.scaled(name, pass.revision, 0, *replicas)
                }
                Meaning::Scaled {
                    name,
                    revision,
                    from,
                    to,
                } => self.scaled(name, *revision, *from, *to),
                Meaning::Switched { service, from, to } if from != to => self.event(
                    Severity::Normal,
                    "SwitchService",
                    format!("Switched selector for service '{service}' from '{from}' to '{to}'"),
                ),
                _ => {}
            }
        }
        if let Some(message) = &transitions.aborted {
            if let Some(abort) = pass.abort.as_ref().filter(|abort| abort.deadline) {
                self.event(Severity::Warning, "RolloutAborted", abort.message.clone());
            }
            self.event(Severity::Warning, "RolloutAborted", message.clone());
        }
        self.events.append(&mut first);
        if let Some(reason) = promoted {
            self.event(
                Severity::Normal,
                "RolloutCompleted",
                format!(
                    "Rollout completed update to revision {} ({}): {reason}",
                    pass.revision, pass.hash
                ),
            );
        }
        let was_paused = !pass.raw.status.pause_conditions.is_empty();
        let is_paused = self
            .status
            .pause_conditions
            .first()
            .map(|pause| pause.reason.clone());
        let resumed_by_user =
            !was_paused && pass.raw.status.controller_pause && !self.status.controller_pause;
        match is_paused {
            Some(reason) if !was_paused => {
                self.event(
                    Severity::Normal,
                    "RolloutPaused",
                    format!("Rollout is paused ({reason})"),
                );
            }
            None if (was_paused || resumed_by_user) && !self.status.abort && promoted.is_none() => {
                self.event(
                    Severity::Normal,
                    "RolloutResumed",
                    "Rollout is resumed".to_owned(),
                );
            }
            Some(_) | None => {}
        }
    }

    fn scaled(&mut self, name: &str, revision: i64, from: i32, to: i32) {
        let direction = if to > from { "up" } else { "down" };
        self.event(
            Severity::Normal,
            "ScalingReplicaSet",
            format!(
                "Scaled {direction} ReplicaSet {name} (revision {revision}) from {from} to {to}"
            ),
        );
    }
}

/// Takes over the keys that a router's manifest declares for the status; the plugin host has dropped all others.
fn merge_fragment(status: &mut api::RolloutStatus, fragment: &serde_json::Value) {
    let Ok(mut whole) = serde_json::to_value(&*status) else {
        return;
    };
    if let (Some(whole), Some(fragment)) = (whole.as_object_mut(), fragment.as_object()) {
        for (key, value) in fragment {
            whole.insert(key.clone(), value.clone());
        }
    }
    if let Ok(merged) = serde_json::from_value(whole) {
        *status = merged;
    }
}

//! What came of a pass: replies become measurements, measurements phases, and all of it one status patch.

use jiff::Timestamp;
use serde_json::json;
use sluice_api as api;

use super::assess::{self, Circumstances};
use super::decide::{Answered, Considered, Course, Task, Unavailable};
use super::measure::{self, Judge};
use super::schedule::{self, Next};
use super::valid::{ValidMetric, ValidRun};
use super::{ERROR_RETRY, RunDecision, RunObserved, RunSettled, patch, waits};
use crate::hash::CallKey;
use crate::plan::{
    Done, Edit, Event, Outcome, Plan, Requeue, Severity, Subresource, Write, WriteError,
    WriteErrorKind,
};
use crate::plugin::{MeasureLifecycle, Notice, Reply, Slot};

/// Settles a pass. It can be repeated with a newer run and the same outcome: nothing is lost by a conflict.
#[must_use]
pub fn settle(seen: &RunObserved, made: &RunDecision, got: &Outcome) -> RunSettled {
    match &made.course {
        // Between the decision and a repeated settlement somebody else may have ended the run.
        Course::Refuse(_) | Course::Measure(..) if seen.run.status.phase.completed() => {
            RunSettled::default()
        }
        Course::Rest => RunSettled::default(),
        Course::Expire(at) => expired(seen, *at, got),
        Course::Refuse(message) => refused(seen, message),
        Course::Measure(valid, tasks) => Settling::of(seen, &made.plan, got).finish(valid, tasks),
    }
}

fn expired(seen: &RunObserved, at: Timestamp, got: &Outcome) -> RunSettled {
    let requeue = match got.done.first() {
        None => Requeue::At(at),
        Some(
            Done::Failed(WriteError {
                kind: WriteErrorKind::NotFound,
                ..
            })
            | Done::Applied { .. },
        ) => Requeue::OnChange,
        Some(_) => Requeue::At(schedule::after(seen.now, ERROR_RETRY)),
    };
    RunSettled {
        requeue,
        ..RunSettled::default()
    }
}

/// A run that cannot be carried out: an error without `startedAt` and `completedAt`, as upstream writes it (ENG-004).
fn refused(seen: &RunObserved, message: &str) -> RunSettled {
    let mut status = seen.run.status.clone();
    status.phase = api::AnalysisPhase::Error;
    message.clone_into(&mut status.message);
    RunSettled {
        events: vec![completion(seen, &status.phase)],
        status: write(seen, &status),
        ..RunSettled::default()
    }
}

/// EVT-024
fn completion(seen: &RunObserved, phase: &api::AnalysisPhase) -> Event {
    let message = format!("Analysis Completed. Result: {phase}");
    event(
        seen,
        assess::severity(phase),
        format!("AnalysisRun{phase}"),
        message,
    )
}

fn event(seen: &RunObserved, severity: Severity, reason: String, message: String) -> Event {
    Event {
        about: seen.subject(),
        severity,
        reason,
        message,
    }
}

fn write(seen: &RunObserved, status: &api::AnalysisRunStatus) -> Option<Write> {
    let before = serde_json::to_value(&seen.run.status).ok()?;
    let after = serde_json::to_value(status).ok()?;
    let change = patch::merge_patch(&before, &after)?;
    Some(Write {
        target: seen.subject().key,
        edit: Edit::MergePatch(json!({ "status": change })),
        subresource: Subresource::None,
        precondition: Some(seen.run.metadata.resource_version.clone()),
        reason: "status of the run".to_owned(),
    })
}

/// What became of the task of a metric.
enum Fate {
    /// Its time is read from the new status.
    Settled,
    /// Its provider is at work, or watches.
    Awaited,
    /// To be tried again then.
    Held(Timestamp),
}

/// A pass that is being settled.
struct Settling<'a> {
    seen: &'a RunObserved,
    plan: &'a Plan,
    got: &'a Outcome,
    status: api::AnalysisRunStatus,
    events: Vec<Event>,
    settled: Vec<(Slot, CallKey)>,
    cancelling: bool,
    not_cancelled: Vec<&'a str>,
}

impl<'a> Settling<'a> {
    fn of(seen: &'a RunObserved, plan: &'a Plan, got: &'a Outcome) -> Self {
        Self {
            seen,
            plan,
            got,
            status: seen.run.status.clone(),
            events: Vec::new(),
            settled: Vec::new(),
            cancelling: false,
            not_cancelled: Vec::new(),
        }
    }

    fn finish(mut self, valid: &'a ValidRun, tasks: &'a [Considered]) -> RunSettled {
        let tasks = valid.metrics.iter().zip(tasks);
        let fates: Vec<Fate> = tasks
            .map(|(metric, task)| self.considered(valid, metric, task))
            .collect();
        self.assess(valid);
        for result in &mut self.status.metric_results {
            let metric = valid
                .metrics
                .iter()
                .find(|metric| metric.metric.name == result.name);
            if let Some(metric) = metric {
                measure::trim(result, metric.retention);
            }
        }
        RunSettled {
            requeue: self.requeue(valid, &fates),
            status: write(self.seen, &self.status),
            events: self.events,
            settled: self.settled,
        }
    }

    fn considered(
        &mut self,
        valid: &'a ValidRun,
        metric: &'a ValidMetric,
        considered: &'a Considered,
    ) -> Fate {
        if considered.progress == schedule::progress(&self.seen.run.status, &metric.metric.name) {
            return self.task(valid, metric, &considered.task);
        }
        // This pass is settled again over a newer run that has the measurement already: the write that was thought to
        // have failed took effect.
        if let Task::Answered(answered) = &considered.task {
            self.settled
                .push((answered.slot.clone(), answered.key.clone()));
        }
        Fate::Settled
    }

    fn task(&mut self, valid: &'a ValidRun, metric: &'a ValidMetric, task: &'a Task) -> Fate {
        let judge = Judge {
            metric: &metric.metric,
            values: &valid.values,
            now: self.seen.now,
        };
        let open = self.open(metric).cloned();
        match task {
            Task::Idle => Fate::Settled,
            // A wait that the status tells of is not over before the answer.
            Task::Asked => Fate::Awaited,
            Task::Unavailable(unavailable) => self.unavailable(&judge, metric, unavailable),
            Task::Cancelling(until) => self.cancelling(metric, open.as_ref(), *until),
            Task::GaveUp => {
                self.record(metric, judge.given_up(open.as_ref()), true);
                Fate::Settled
            }
            Task::Unserved(lifecycle, message) => {
                let cancelled = *lifecycle == MeasureLifecycle::Cancel;
                self.record(metric, judge.failed(open.as_ref(), message), cancelled);
                Fate::Settled
            }
            Task::Answered(answered) => self.answered(&judge, metric, answered, open.as_ref()),
        }
    }

    /// No measurement comes of it, but the status says what is waited for. Once it is time the reply is forgotten, so
    /// that the same call is made anew.
    fn unavailable(
        &mut self,
        judge: &Judge<'_>,
        metric: &'a ValidMetric,
        unavailable: &Unavailable,
    ) -> Fate {
        let why = judge.values.redact(&unavailable.why);
        self.update(metric, |result| waits::note(result, &why));
        if unavailable.again > self.seen.now {
            return Fate::Held(unavailable.again);
        }
        self.settled
            .push((unavailable.slot.clone(), unavailable.key.clone()));
        Fate::Held(self.seen.now)
    }

    fn open(&self, metric: &ValidMetric) -> Option<&api::Measurement> {
        let result = schedule::result(&self.status, &metric.metric.name)?;
        result
            .measurements
            .last()
            .filter(|last| last.finished_at.is_none())
    }

    /// The run goes on for as long as a provider is asked to cancel. The first pass notes in the status how long that is.
    fn cancelling(
        &mut self,
        metric: &'a ValidMetric,
        open: Option<&api::Measurement>,
        until: Option<Timestamp>,
    ) -> Fate {
        self.cancelling = true;
        if let (Some(open), None) = (open, until) {
            self.record(metric, measure::terminating(open, self.seen.now), false);
        }
        Fate::Settled
    }

    fn answered(
        &mut self,
        judge: &Judge<'_>,
        metric: &'a ValidMetric,
        answered: &'a Answered,
        open: Option<&api::Measurement>,
    ) -> Fate {
        self.heard(metric);
        let cancel = answered.lifecycle == MeasureLifecycle::Cancel;
        let ends = !matches!(*answered.reply, Reply::Waiting(_));
        let measurement = match self.applied(&answered.writes) {
            // What a measurement cleans up after itself does not undo it; the owner reference sees to the rest.
            _ if ends && !cancel => judge.measurement(answered, open),
            Applied::All => judge.measurement(answered, open),
            Applied::Wrong(message) => judge.failed(open, &message),
            Applied::NotYet => return self.held(metric, answered, open),
        };
        let waits = measurement.finished_at.is_none();
        if waits && answered.lifecycle == MeasureLifecycle::Resume {
            return self.waits(metric, answered, measurement, open);
        }
        let errored = measurement.phase == api::AnalysisPhase::Error;
        self.notices(&answered.reply);
        self.settled
            .push((answered.slot.clone(), answered.key.clone()));
        self.record(metric, measurement, cancel && errored);
        let noted = match &*answered.reply {
            Reply::Measured(measured) => Some(&measured.metric_metadata),
            Reply::Refused(refusal) => Some(&refusal.metadata),
            _ => None,
        };
        if let Some(noted) = noted {
            let noted = judge.redact_all(noted);
            self.update(metric, |result| result.metadata.extend(noted));
        }
        Fate::Settled
    }

    /// A measurement that went on and still waits. Its reply is kept, and with it what the provider watches, until it
    /// is time to ask again or something of it was carried out.
    fn waits(
        &mut self,
        metric: &'a ValidMetric,
        answered: &Answered,
        measurement: api::Measurement,
        open: Option<&api::Measurement>,
    ) -> Fate {
        let due = measurement
            .resume_at
            .is_some_and(|time| time.0 <= self.seen.now);
        let carried_out =
            matches!(&*answered.reply, Reply::Waiting(waiting) if measure::has_effects(waiting));
        if due || carried_out {
            self.notices(&answered.reply);
            self.settled
                .push((answered.slot.clone(), answered.key.clone()));
        }
        let resume_at = measurement.resume_at;
        if open != Some(&measurement) {
            self.record(metric, measurement, false);
        }
        match resume_at {
            Some(_) => Fate::Settled,
            None => Fate::Awaited,
        }
    }

    /// A reply whose writes failed for a passing reason is carried out again.
    fn held(
        &mut self,
        metric: &'a ValidMetric,
        answered: &Answered,
        open: Option<&api::Measurement>,
    ) -> Fate {
        let retry = schedule::after(self.seen.now, ERROR_RETRY);
        if answered.lifecycle != MeasureLifecycle::Cancel {
            return Fate::Held(retry);
        }
        let next = schedule::next(metric, &self.seen.run.status, true, self.seen.now);
        let until = match next {
            Next::Cancel { until } => until,
            _ => None,
        };
        if until.is_some_and(|until| until <= self.seen.now) {
            let message =
                "what the provider wanted changed for the cancellation could not be written";
            let measurement = api::Measurement {
                phase: api::AnalysisPhase::Error,
                message: message.to_owned(),
                finished_at: Some(api::Time(self.seen.now).truncated()),
                resume_at: None,
                ..open.cloned().unwrap_or_default()
            };
            self.record(metric, measurement, true);
            return Fate::Settled;
        }
        self.cancelling(metric, open, until);
        Fate::Settled
    }

    fn applied(&self, writes: &[usize]) -> Applied {
        for index in writes {
            let edit = self
                .plan
                .writes()
                .find(|(at, _)| at == index)
                .map(|(_, write)| &write.edit);
            match self.got.done.get(*index) {
                Some(Done::Applied { .. } | Done::Asked) => {}
                Some(Done::Failed(error)) => match failure(error, edit) {
                    Applied::All => {}
                    other => return other,
                },
                Some(Done::Skipped) | None => return Applied::NotYet,
            }
        }
        Applied::All
    }

    fn notices(&mut self, reply: &Reply) {
        let notices: &[Notice] = match reply {
            Reply::Measured(measured) => &measured.effects.notices,
            Reply::Waiting(waiting) => &waiting.effects.notices,
            Reply::Refused(refusal) => &refusal.notices,
            _ => &[],
        };
        for notice in notices {
            let (reason, message) = (notice.reason.clone(), notice.message.clone());
            self.events
                .push(event(self.seen, notice.severity, reason, message));
        }
    }

    fn record(
        &mut self,
        metric: &'a ValidMetric,
        measurement: api::Measurement,
        not_cancelled: bool,
    ) {
        if not_cancelled {
            self.not_cancelled.push(&metric.metric.name);
        }
        self.update(metric, |result| {
            waits::over(result);
            measure::record(result, measurement);
        });
    }

    /// The provider has answered, whatever comes of it.
    fn heard(&mut self, metric: &ValidMetric) {
        let results = &mut self.status.metric_results;
        let result = results
            .iter_mut()
            .find(|result| result.name == metric.metric.name);
        result.into_iter().for_each(waits::over);
    }

    /// Changes the result of a metric, which is made at its first measurement (ENG-033) or when it has to wait for one.
    fn update(&mut self, metric: &ValidMetric, change: impl FnOnce(&mut api::MetricResult)) {
        let name = &metric.metric.name;
        let results = &mut self.status.metric_results;
        if let Some(result) = results.iter_mut().find(|result| result.name == *name) {
            return change(result);
        }
        let mut result = api::MetricResult {
            name: name.clone(),
            phase: api::AnalysisPhase::Running,
            dry_run: metric.dry_run,
            ..api::MetricResult::default()
        };
        change(&mut result);
        results.push(result);
    }

    /// ENG-005
    fn assess(&mut self, valid: &ValidRun) {
        let now = api::Time(self.seen.now).truncated();
        self.status.started_at.get_or_insert(now);
        if schedule::terminating(&self.seen.run) {
            waits::give_up(&mut self.status);
        }
        let circumstances = Circumstances {
            terminate: self.seen.run.spec.terminate,
            cancelling: self.cancelling,
            not_cancelled: &self.not_cancelled,
        };
        let (verdict, ended) = assess::assess(valid, &mut self.status, &circumstances);
        for ended in ended {
            self.events.push(event(
                self.seen,
                ended.severity,
                ended.reason,
                ended.message,
            ));
        }
        self.status.message = if verdict.phase.completed() {
            self.events.push(completion(self.seen, &verdict.phase));
            self.status.completed_at.get_or_insert(now);
            verdict.message
        } else {
            waits::told(&self.status)
        };
        self.status.phase = verdict.phase;
    }

    fn requeue(&self, valid: &ValidRun, fates: &[Fate]) -> Requeue {
        if self.status.phase.completed() {
            return Requeue::OnChange;
        }
        let now = self.seen.now;
        let ends = schedule::ends(self.seen.run.spec.terminate, &self.status);
        if ends && !self.cancelling {
            // A metric that ended badly in this pass ends the others in the next.
            return Requeue::At(now);
        }
        let metrics = valid.metrics.iter().zip(fates);
        metrics.fold(Requeue::OnChange, |requeue, (metric, fate)| match fate {
            Fate::Held(at) => requeue.or_at(*at),
            Fate::Awaited => requeue,
            Fate::Settled => match schedule::next(metric, &self.status, ends, now) {
                Next::Nothing | Next::Ends => requeue,
                Next::Later(at) | Next::ResumeAt(at) | Next::Cancel { until: Some(at) } => {
                    requeue.or_at(at)
                }
                // Due already, but not in the plan of this pass.
                Next::Start | Next::Resume | Next::Cancel { until: None } => requeue.or_at(now),
            },
        })
    }
}

/// What became of the writes of a reply.
enum Applied {
    All,
    /// Not for a reason that may pass.
    NotYet,
    /// Refused for good; why.
    Wrong(String),
}

fn failure(error: &WriteError, edit: Option<&Edit>) -> Applied {
    match (error.kind, edit) {
        // A create that was repeated because nobody knew whether it had taken effect, and a delete of what is gone.
        (WriteErrorKind::AlreadyExists, Some(Edit::Create(_)))
        | (WriteErrorKind::NotFound, Some(Edit::Delete(_))) => Applied::All,
        (WriteErrorKind::AlreadyExists | WriteErrorKind::NotFound | WriteErrorKind::Invalid, _) => {
            Applied::Wrong(error.message.clone())
        }
        (
            WriteErrorKind::Conflict
            | WriteErrorKind::Refused
            | WriteErrorKind::Unavailable
            | WriteErrorKind::NotLeading,
            _,
        ) => Applied::NotYet,
    }
}

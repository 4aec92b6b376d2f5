//! What is to be done for a run: which measurements to ask for, what their replies want written, whether it has expired.
//! What the replies mean for the status is left to `settle`.

use std::sync::Arc;

use jiff::Timestamp;
use sluice_api as api;

use super::schedule::{self, Next, Progress};
use super::ttl;
use super::valid::{self, ValidMetric, ValidRun};
use super::{ERROR_RETRY, RunDecision, RunObserved};
use crate::hash::CallKey;
use crate::plan::{Action, Edit, Plan, Planned, Propagation, Role, Subresource, Write};
use crate::plugin::{
    Ask, Function, Job, JobState, MeasureLifecycle, MeasurementFacts, OpenMeasurement,
    PastMeasurement, PluginCall, PluginInfo, PluginKind, PluginName, Reply, Slot, UNAVAILABLE,
};
use crate::report::Report;

/// Which way a pass goes; `settle` goes on from here.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Course {
    /// Nothing is to be done, ever.
    Rest,
    /// Completed; to be deleted at this time.
    Expire(Timestamp),
    /// The specification cannot be carried out; the message for the status.
    Refuse(String),
    /// Under way.
    Measure(ValidRun, Vec<Considered>),
}

/// A metric as this pass found it, in the order of the run's metrics.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Considered {
    pub(super) progress: Progress,
    pub(super) task: Task,
}

/// What this pass knows about a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// Nothing is due, and no answer is there.
    Idle,
    /// Asked, not answered.
    Asked,
    /// The provider was asked to cancel the open measurement, and may take until then.
    Cancelling(Option<Timestamp>),
    /// The provider did not cancel in time.
    GaveUp,
    /// Nobody can be asked; why.
    Unserved(MeasureLifecycle, String),
    /// Asked, and the host could not have it answered.
    Unavailable(Unavailable),
    /// Answered.
    Answered(Answered),
}

/// A reply that is not in the status yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) lifecycle: MeasureLifecycle,
    pub(super) slot: Slot,
    pub(super) key: CallKey,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    pub(super) reply: Arc<Reply>,
    /// Positions in the plan of what the reply wants written.
    pub(super) writes: Vec<usize>,
}

/// A reply that says nothing but why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unavailable {
    pub(super) slot: Slot,
    pub(super) key: CallKey,
    pub(super) why: String,
    /// When the provider is asked again.
    pub(super) again: Timestamp,
}

/// Decides what is to be done for a run. Total: a run that is wrong is a course, too.
#[must_use]
pub fn decide(seen: &RunObserved) -> RunDecision {
    let run = &seen.run;
    let mut report = Report::default();
    let rest = |plan, report, course| RunDecision {
        plan,
        report,
        course,
    };
    if run.metadata.deletion_timestamp.is_some() {
        return rest(Plan::default(), report, Course::Rest);
    }
    if run.status.phase.completed() {
        let Some(at) = ttl::expiry(run) else {
            return rest(Plan::default(), report, Course::Rest);
        };
        let plan = if at <= seen.now {
            expire(seen)
        } else {
            Plan::default()
        };
        report.wait_until("run", "the end of its time to live", at);
        return rest(plan, report, Course::Expire(at));
    }
    match valid::validate(run) {
        Err(message) => {
            report.note(&message);
            rest(Plan::default(), report, Course::Refuse(message))
        }
        Ok(valid) => measure(seen, valid, report),
    }
}

fn expire(seen: &RunObserved) -> Plan {
    let write = Write {
        target: seen.subject().key,
        edit: Edit::Delete(Propagation::Background),
        subresource: Subresource::None,
        precondition: Some(seen.run.metadata.resource_version.clone()),
        reason: "the time to live of the run is over".to_owned(),
    };
    Plan {
        actions: vec![Planned {
            role: Role::Retire,
            action: Action::Write(write),
            after: Vec::new(),
        }],
    }
}

fn measure(seen: &RunObserved, valid: ValidRun, mut report: Report) -> RunDecision {
    let terminating = schedule::terminating(&seen.run);
    let mut calls = Vec::new();
    let mut tasks = Vec::with_capacity(valid.metrics.len());
    for metric in &valid.metrics {
        let next = schedule::next(metric, &seen.run.status, terminating, seen.now);
        let step = step(seen, metric, next, &mut report);
        if let Task::Unavailable(unavailable) = &step.task {
            let why = valid.values.redact(&unavailable.why);
            let what = format!("its provider: {why}");
            report.wait_until(&metric.metric.name, what, unavailable.again);
        }
        calls.extend(step.call);
        tasks.push(Considered {
            progress: schedule::progress(&seen.run.status, &metric.metric.name),
            task: step.task,
        });
    }
    let mut actions: Vec<Planned> = calls
        .into_iter()
        .map(|call| Planned {
            role: Role::Ask,
            action: Action::Call(Box::new(call)),
            after: Vec::new(),
        })
        .collect();
    for role in [Role::StartRun, Role::Retire] {
        for task in &mut tasks {
            if let Task::Answered(answered) = &mut task.task
                && effects_role(&answered.reply) == role
            {
                carry_out(answered, role, seen.now, &mut actions);
            }
        }
    }
    RunDecision {
        plan: Plan { actions },
        report,
        course: Course::Measure(valid, tasks),
    }
}

/// Plans what a reply wants written. Its writes are applied in its order; the first that fails stops the rest.
fn carry_out(answered: &mut Answered, role: Role, now: Timestamp, actions: &mut Vec<Planned>) {
    let repeated = schedule::after(answered.finished, ERROR_RETRY) <= now;
    let mut before = Vec::new();
    for write in effects(&answered.reply) {
        let position = actions.len();
        answered.writes.push(position);
        actions.push(Planned {
            role,
            action: Action::Write(write.clone()),
            after: before.clone(),
        });
        if stops(&write.edit, repeated) {
            before.push(position);
        }
    }
}

/// Whether those behind a write wait for it. Not where it may fail because it is done already, which would stop them
/// for ever: a deletion of what is gone, and a create that is tried again since one behind it failed.
fn stops(edit: &Edit, repeated: bool) -> bool {
    match edit {
        Edit::MergePatch(_) | Edit::JsonPatch(_) => true,
        Edit::Create(_) => !repeated,
        Edit::Delete(_) => false,
    }
}

/// What a measurement creates comes before what one that has ended cleans up.
fn effects_role(reply: &Reply) -> Role {
    match reply {
        Reply::Waiting(_) => Role::StartRun,
        _ => Role::Retire,
    }
}

fn effects(reply: &Reply) -> &[Write] {
    match reply {
        Reply::Waiting(waiting) => &waiting.effects.writes,
        Reply::Measured(measured) => &measured.effects.writes,
        _ => &[],
    }
}

/// The call that a metric has in the plan, and what is known.
struct Step {
    call: Option<PluginCall>,
    task: Task,
}

impl Step {
    fn idle() -> Self {
        Self {
            call: None,
            task: Task::Idle,
        }
    }
}

fn step(seen: &RunObserved, metric: &ValidMetric, next: Next, report: &mut Report) -> Step {
    let name = &metric.metric.name;
    let lifecycle = match next {
        Next::Nothing => return Step::idle(),
        Next::Later(at) => {
            report.wait_until(name, "its next measurement", at);
            return Step::idle();
        }
        Next::Start | Next::Ends => MeasureLifecycle::Start,
        Next::Resume | Next::ResumeAt(_) => MeasureLifecycle::Resume,
        Next::Cancel { .. } => MeasureLifecycle::Cancel,
    };
    let Some(plugin) = seen
        .plugins
        .find(PluginKind::MetricProvider, &metric.provider)
    else {
        if matches!(next, Next::Ends | Next::ResumeAt(_)) {
            return Step::idle();
        }
        if seen.plugins.loading
            && let Some(task) = awaited(seen, next)
        {
            report.wait(name, "its provider to be loaded");
            return Step { call: None, task };
        }
        report.note(format!("metric {name}: {}", unserved(metric)));
        return Step {
            call: None,
            task: Task::Unserved(lifecycle, unserved(metric)),
        };
    };
    let call = call(seen, metric, plugin, lifecycle);
    let key = call.key();
    let job = seen.plugins.job(&call.slot);
    let answer = job.filter(|job| job.key == key);
    let patient = schedule::is_patient(metric, &seen.run.status, seen.now);
    match next {
        Next::Start => started(call, key, answer, patient, report),
        // Whoever has answered already is heard, as metrics that upstream measures at the same time are.
        Next::Ends => match started(call, key, answer, patient, report) {
            Step {
                task: task @ Task::Answered(_),
                ..
            } => Step { call: None, task },
            _ => Step::idle(),
        },
        Next::Resume => resumed(call, key, answer, patient, report),
        Next::ResumeAt(at) => match answer {
            // The provider goes on watching for as long as its call is in the plan.
            Some(_) => resumed(call, key, answer, patient, report),
            None => {
                report.wait_until(name, "its provider", at);
                Step::idle()
            }
        },
        Next::Cancel { until } => cancelled(seen, call, key, until, job, report),
        Next::Nothing | Next::Later(_) => Step::idle(),
    }
}

/// What is known of a measurement whose provider may yet be loaded. None when that has been waited for long enough.
fn awaited(seen: &RunObserved, next: Next) -> Option<Task> {
    match next {
        Next::Cancel { until: Some(until) } if until <= seen.now => None,
        Next::Cancel { until } => Some(Task::Cancelling(until)),
        _ => Some(Task::Asked),
    }
}

/// A new measurement. Whatever came of it is taken, however old: a second start is a second request or a second job.
fn started(
    call: PluginCall,
    key: CallKey,
    answer: Option<&Job>,
    patient: bool,
    report: &mut Report,
) -> Step {
    match answer.and_then(reply) {
        Some((job, finished, reply)) => match unavailable(reply).filter(|_| patient) {
            Some(why) => waits(call, key, job, finished, reply, why, report),
            None => answered(call, key, job, finished, reply, MeasureLifecycle::Start),
        },
        None => asked(call, report),
    }
}

/// An open measurement. An end is taken however old it is; one that says "wait" about objects that have changed since
/// is asked again.
fn resumed(
    call: PluginCall,
    key: CallKey,
    answer: Option<&Job>,
    patient: bool,
    report: &mut Report,
) -> Step {
    match answer.and_then(reply) {
        Some((_, _, reply))
            if matches!(**reply, Reply::Waiting(_)) && !answer.is_some_and(is_fresh) =>
        {
            asked(call, report)
        }
        Some((job, finished, reply)) => match unavailable(reply).filter(|_| patient) {
            Some(why) => waits(call, key, job, finished, reply, why, report),
            None => answered(call, key, job, finished, reply, MeasureLifecycle::Resume),
        },
        None => asked(call, report),
    }
}

/// Why the host could not have the provider answer. That is no measurement, for a while: enough of them would abort a
/// release of which nothing bad is known. A cancellation does not look at it, since it ends with whatever comes of it.
fn unavailable(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Broken { reason, message } if reason == UNAVAILABLE => Some(message),
        _ => None,
    }
}

/// A provider that could not be had is asked again later, or as soon as something that was read has changed.
fn waits(
    call: PluginCall,
    key: CallKey,
    job: &Job,
    finished: Timestamp,
    reply: &Reply,
    why: &str,
    report: &mut Report,
) -> Step {
    if !is_fresh(job) {
        return asked(call, report);
    }
    let again = reply.again_at(finished).unwrap_or(finished);
    let task = Task::Unavailable(Unavailable {
        slot: call.slot.clone(),
        key,
        why: why.to_owned(),
        again,
    });
    Step {
        call: Some(call),
        task,
    }
}

fn cancelled(
    seen: &RunObserved,
    call: PluginCall,
    key: CallKey,
    until: Option<Timestamp>,
    job: Option<&Job>,
    report: &mut Report,
) -> Step {
    let answer = job.filter(|job| job.key == key);
    if let Some((job, finished, reply)) = answer.and_then(reply) {
        return answered(call, key, job, finished, reply, MeasureLifecycle::Cancel);
    }
    match until {
        Some(until) if until <= seen.now => {
            return Step {
                call: None,
                task: Task::GaveUp,
            };
        }
        Some(until) => report.wait_until(&call.slot.part, "its provider to cancel", until),
        None => report.wait(&call.slot.part, "its provider to cancel"),
    }
    // A job that hangs over an earlier call would hold the slot: for one pass the plan has no call for it, which ends it.
    let blocked = until.is_none()
        && job.is_some_and(|job| job.key != key && matches!(job.state, JobState::Running));
    Step {
        call: (!blocked).then_some(call),
        task: Task::Cancelling(until),
    }
}

fn asked(call: PluginCall, report: &mut Report) -> Step {
    report.wait(&call.slot.part, "its provider's answer");
    Step {
        call: Some(call),
        task: Task::Asked,
    }
}

fn answered(
    call: PluginCall,
    key: CallKey,
    job: &Job,
    finished: Timestamp,
    reply: &Arc<Reply>,
    lifecycle: MeasureLifecycle,
) -> Step {
    let task = Task::Answered(Answered {
        lifecycle,
        slot: call.slot.clone(),
        key,
        started: job.started,
        finished,
        reply: Arc::clone(reply),
        writes: Vec::new(),
    });
    // A stale answer that is used anyway is not asked for again.
    Step {
        call: is_fresh(job).then_some(call),
        task,
    }
}

fn reply(job: &Job) -> Option<(&Job, Timestamp, &Arc<Reply>)> {
    match &job.state {
        JobState::Running => None,
        JobState::Finished { at, reply, .. } => Some((job, *at, reply)),
    }
}

fn is_fresh(job: &Job) -> bool {
    matches!(job.state, JobState::Finished { fresh: true, .. })
}

/// What a measurement says whose provider nobody is. Upstream's first words, since people search for them.
fn unserved(metric: &ValidMetric) -> String {
    format!(
        "failed to create plugin: unable to find plugin ({})",
        metric.provider
    )
}

fn call(
    seen: &RunObserved,
    metric: &ValidMetric,
    plugin: &PluginInfo,
    lifecycle: MeasureLifecycle,
) -> PluginCall {
    let result = schedule::result(&seen.run.status, &metric.metric.name);
    let progress = schedule::progress(&seen.run.status, &metric.metric.name);
    let measurements = result.map_or(&[][..], |result| &result.measurements);
    let open = measurements
        .last()
        .filter(|last| last.finished_at.is_none());
    let facts = MeasurementFacts {
        metric: serde_json::to_value(&metric.metric).unwrap_or_default(),
        number: progress.number,
        errors_so_far: progress.errors,
        previous: measurements
            .iter()
            .rev()
            .find(|measurement| measurement.finished_at.is_some())
            .map(past),
        open: open.map(|open| OpenMeasurement {
            started_at: open.started_at.unwrap_or_default().0,
            metadata: open.metadata.clone(),
        }),
    };
    PluginCall {
        subject: seen.subject(),
        slot: Slot {
            plugin: PluginName {
                kind: PluginKind::MetricProvider,
                name: metric.provider.clone(),
            },
            function: Function::Measure,
            part: metric.metric.name.clone(),
        },
        digest: plugin.digest.clone(),
        config: metric.config.clone(),
        ask: Ask::Measure {
            lifecycle,
            facts: Box::new(facts),
        },
        due: u64::from(progress.number),
        secrets: metric.secrets.clone(),
    }
}

fn past(measurement: &api::Measurement) -> PastMeasurement {
    PastMeasurement {
        shown: measurement.value.clone(),
        phase: measurement.phase.as_str().to_owned(),
        started_at: measurement.started_at.unwrap_or_default().0,
        finished_at: measurement.finished_at.map(|time| time.0),
        metadata: measurement.metadata.clone(),
    }
}

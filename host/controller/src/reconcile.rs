//! One pass over one object: observe, decide, execute, settle.
//!
//! The four are the whole of it. What is observed comes from the cluster's views and the plugin host's jobs, what is
//! decided comes from the engine, and what is written leaves through the cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sluice_api as api;
use sluice_cluster::Key;
use sluice_engine::analysis::{self, RunObserved};
use sluice_engine::hash::CallKey;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::observed::Observed;
use sluice_engine::plan::{
    Done, Edit, Event, Outcome, Plan, Requeue, Write, WriteError, WriteErrorKind,
};
use sluice_engine::planted::{self, Bug};
use sluice_engine::plugin::{Answer, JobState, PluginCall, Plugins, Slot};
use sluice_engine::rollout::{self, Settled};
use sluice_plugin_host::SubjectBody;

use crate::{Controller, body, explain};

/// How often `settle` runs again for a status write that met a conflict before the whole pass does.
const STATUS_ATTEMPTS: usize = 5;

/// What a pass came to.
#[derive(Debug, PartialEq)]
pub(crate) enum Passed {
    /// Done; look again then.
    Look(Requeue),
    /// Something was written: there may be more to do, or nothing, at once.
    Again,
    /// A fact was fetched, which the next pass has at once. Only that one shows whether what failed before still does.
    Fetched,
    /// Try again, later with every failure, and at this time at the latest, which the pass has not seen come: what has
    /// failed puts off no deadline.
    Failed(WriteError, Requeue),
}

impl Controller {
    /// One pass over a Rollout.
    pub(crate) async fn pass_rollout(&self, key: &Key) -> Passed {
        let Some(mut seen) = self.observe_rollout(key) else {
            return Passed::Look(Requeue::OnChange);
        };
        let subject = rollout::subject_of(&seen.rollout);
        self.say_late(&subject, key, &seen.rollout);
        let mut spec = rollout::validate(&seen.rollout, &seen);
        let made = rollout::decide(&spec, &seen);
        debug_assert!(
            made == rollout::decide(&spec, &seen),
            "the same facts lead to the same decision (I3)"
        );
        explain::tell(&subject, &made.plan, &made.report);
        self.follow_calls(&subject, &made.plan, &seen.plugins, |call| {
            body::of_rollout(&seen.rollout, call)
        });
        if planted::is(Bug::StatusFirst) {
            let settled = rollout::settle(&spec, &seen, &made, &Outcome::default());
            let _ = self.write_status(&subject, settled.status.as_ref()).await;
        }
        let got = self.cluster.execute(&subject, &made.plan).await;
        self.tell_plugins(&subject, &made.plan, &got, &seen.plugins);
        let mut unwritten = None;
        for _ in 0..STATUS_ATTEMPTS {
            let settled = rollout::settle(&spec, &seen, &made, &got);
            match self.write_status(&subject, settled.status.as_ref()).await {
                Ok(written) => {
                    let requeue = settled.requeue;
                    if written {
                        self.unsaid.forget(key);
                    }
                    self.say(&subject, key, settled, written);
                    return outcome(&made.plan, &got, written, requeue, seen.now);
                }
                // Somebody else wrote: the outcome stands, only the status is worked out again.
                Err(error)
                    if error.kind == WriteErrorKind::Conflict
                        && planted::is(Bug::ConflictForgotten) =>
                {
                    return Passed::Look(settled.requeue);
                }
                Err(error) if error.kind == WriteErrorKind::Conflict => {
                    let requeue = settled.requeue.after(seen.now);
                    unwritten = Some((settled, Passed::Failed(error, requeue)));
                    let Some(newer) = self.refresh_rollout(key, &seen).await else {
                        break;
                    };
                    seen = newer;
                    self.say_late(&subject, key, &seen.rollout);
                    spec = rollout::validate(&seen.rollout, &seen);
                }
                Err(error) => {
                    // What was done is done; the next pass finds nothing of it to do.
                    self.publish(&subject, settled.of_writes.clone(), &settled.reported);
                    let requeue = settled.requeue;
                    if error.kind == WriteErrorKind::Unavailable {
                        self.unsaid.keep(key, &subject.uid, settled);
                    }
                    return Passed::Failed(error, requeue.after(seen.now));
                }
            }
        }
        let Some((settled, failed)) = unwritten else {
            return Passed::Again;
        };
        self.publish(&subject, settled.of_writes, &settled.reported);
        failed
    }

    /// One pass over an AnalysisRun.
    pub(crate) async fn pass_run(&self, key: &Key) -> Passed {
        let Some(run) = self.cluster.observe_run(key) else {
            return Passed::Look(Requeue::OnChange);
        };
        if run.metadata.deletion_timestamp.is_some() {
            return Passed::Look(Requeue::OnChange);
        }
        let subject = analysis::subject_of(&run);
        let mut seen = RunObserved {
            now: self.clock.now(),
            plugins: self.plugins_of(&subject),
            run,
        };
        let made = analysis::decide(&seen);
        // As text: a provider may measure NaN, which equals nothing.
        debug_assert_eq!(
            format!("{made:?}"),
            format!("{:?}", analysis::decide(&seen)),
            "the same facts lead to the same decision (I3)"
        );
        explain::tell(&subject, &made.plan, &made.report);
        self.follow_calls(&subject, &made.plan, &seen.plugins, |_| {
            body::run(&seen.run)
        });
        let got = self.cluster.execute(&subject, &made.plan).await;
        self.tell_plugins(&subject, &made.plan, &got, &seen.plugins);
        let mut unwritten = Passed::Again;
        for _ in 0..STATUS_ATTEMPTS {
            let settled = analysis::settle(&seen, &made, &got);
            match self.write_status(&subject, settled.status.as_ref()).await {
                Ok(written) => {
                    self.publish(&subject, settled.events, &[]);
                    for (slot, key) in &settled.settled {
                        self.plugins.settled(&subject, slot, key);
                    }
                    return outcome(&made.plan, &got, written, settled.requeue, seen.now);
                }
                Err(error) if error.kind == WriteErrorKind::Conflict => {
                    unwritten = Passed::Failed(error, settled.requeue.after(seen.now));
                    // One of the same name is another run, which begins with what it has itself.
                    let newer = self.cluster.refresh_run(key).await;
                    let uid = &seen.run.metadata.uid;
                    let Some(newer) = newer.filter(|newer| newer.metadata.uid == *uid) else {
                        break;
                    };
                    seen.run = newer;
                }
                Err(error) => return Passed::Failed(error, settled.requeue.after(seen.now)),
            }
        }
        unwritten
    }

    /// A Service that no Rollout seems to claim any more loses what a Rollout put into it (SVC-005).
    pub(crate) async fn pass_service(&self, key: &Key) -> Passed {
        match self.cluster.release_service(key).await {
            Some(Done::Failed(error)) => Passed::Failed(error, Requeue::OnChange),
            Some(Done::Applied { .. } | Done::Asked | Done::Skipped) | None => {
                Passed::Look(Requeue::OnChange)
            }
        }
    }

    /// The facts of a pass; None when there is nothing to do.
    fn observe_rollout(&self, key: &Key) -> Option<Observed> {
        let mut seen = self.cluster.observe_rollout(key, self.clock.now())?;
        if seen.rollout.metadata.deletion_timestamp.is_some() {
            return None;
        }
        seen.plugins = self.plugins_of(&rollout::subject_of(&seen.rollout));
        seen.plugins.marked = self.leftovers.marked(key);
        Some(seen)
    }

    /// The Rollout as the API server has it now, with everything else as this pass has seen it.
    async fn refresh_rollout(&self, key: &Key, seen: &Observed) -> Option<Observed> {
        let rollout = self.cluster.refresh_rollout(key).await?;
        (rollout.metadata.uid == seen.rollout.metadata.uid).then(|| Observed {
            rollout,
            ..seen.clone()
        })
    }

    /// Writes a status, if there is something to write. Returns whether there was.
    async fn write_status(
        &self,
        subject: &Subject,
        write: Option<&Write>,
    ) -> Result<bool, WriteError> {
        let Some(write) = write else {
            return Ok(false);
        };
        match self.cluster.write(subject, write).await {
            Done::Applied { .. } | Done::Asked => Ok(true),
            // The object is gone; so is its status.
            Done::Failed(error) if error.kind == WriteErrorKind::NotFound => Ok(false),
            Done::Failed(error) => Err(error),
            Done::Skipped => Ok(false),
        }
    }

    /// Hands the plan's calls to the plugin host. Jobs whose calls have left the plan are cancelled.
    pub(crate) fn follow_calls(
        &self,
        subject: &Subject,
        plan: &Plan,
        known: &Plugins,
        body: impl Fn(&PluginCall) -> SubjectBody,
    ) {
        let calls: Vec<_> = plan.calls().collect();
        self.plugins.retain(subject, &calls);
        for call in calls {
            // What is at work or answered needs no body; most passes start nothing.
            if matches!(known.answer(call), Answer::Running | Answer::Fresh(..)) {
                continue;
            }
            self.plugins.start(call, body(call));
        }
    }

    /// A guest learns in its next call which of its changes failed, and which were not tried for that. Which guest: the one
    /// whose reply holds the change.
    pub(crate) fn tell_plugins(
        &self,
        subject: &Subject,
        plan: &Plan,
        got: &Outcome,
        known: &Plugins,
    ) {
        for (slot, failed) in failed_changes(plan, got, known) {
            self.plugins.failed_changes(subject, slot, failed);
        }
    }

    /// Says what a status means that is in force.
    fn say(&self, subject: &Subject, key: &Key, settled: Settled, written: bool) {
        if let Some(ended) = settled.ended.filter(|_| written) {
            self.metrics.ended(&ended);
        }
        self.publish(subject, settled.events, &settled.reported);
        self.leftovers.released(key, &settled.released);
    }

    /// The same of one whose write was not answered, and that was written.
    fn say_late(&self, subject: &Subject, key: &Key, rollout: &api::Rollout) {
        if let Some(settled) = self.unsaid.take(key, rollout) {
            self.say(subject, key, settled, true);
        }
    }

    pub(crate) fn publish(
        &self,
        subject: &Subject,
        events: Vec<Event>,
        reported: &[(Slot, CallKey)],
    ) {
        for (slot, key) in reported {
            self.plugins.reported(subject, slot, key);
        }
        if !events.is_empty() {
            self.metrics.events(&events);
            self.cluster.record(events);
        }
    }
}

/// The changes of each guest that were not made and why: the first that failed, and what was not tried behind it.
pub(crate) fn failed_changes<'a>(
    plan: &Plan,
    got: &Outcome,
    known: &'a Plugins,
) -> BTreeMap<&'a Slot, Vec<(ObjectKey, String)>> {
    let mut failed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, write) in plan.writes() {
        let author = known.jobs.iter().find(|job| match &job.state {
            JobState::Finished { reply, .. } => reply.writes().contains(write),
            JobState::Running => false,
        });
        let Some(slot) = author.map(|job| &job.slot) else {
            continue;
        };
        let why = match got.done.get(index) {
            Some(Done::Failed(error)) if error.kind != WriteErrorKind::NotLeading => &error.message,
            Some(Done::Skipped) if failed.contains_key(slot) => {
                "not tried: a change before it failed"
            }
            Some(Done::Applied { .. } | Done::Asked | Done::Failed(_) | Done::Skipped) | None => {
                continue;
            }
        };
        let change = (write.target.clone(), why.to_owned());
        failed.entry(slot).or_default().push(change);
    }
    failed
}

/// What to do after a pass that saw the world at `now`.
pub(crate) fn outcome(
    plan: &Plan,
    got: &Outcome,
    wrote_status: bool,
    requeue: Requeue,
    now: Timestamp,
) -> Passed {
    if let Some((_, error)) = got.first_error() {
        return Passed::Failed(error.clone(), requeue.after(now));
    }
    let looked = plan
        .actions
        .iter()
        .any(|planned| matches!(planned.action, sluice_engine::plan::Action::Look(_)));
    let wrote = got.done.iter().zip(&plan.actions).any(|(done, planned)| {
        matches!(done, Done::Applied { .. }) && !is_deletion(&planned.action)
    });
    if wrote || wrote_status {
        Passed::Again
    } else if looked {
        Passed::Fetched
    } else {
        Passed::Look(requeue)
    }
}

fn is_deletion(action: &sluice_engine::plan::Action) -> bool {
    matches!(
        action,
        sluice_engine::plan::Action::Write(Write {
            edit: Edit::Delete(_),
            ..
        })
    )
}

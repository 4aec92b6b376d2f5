//! The jobs of all subjects: at most one at a time in a slot, the last answer beside it, and what is remembered.
//!
//! A table without tasks or clocks of its own; `host` starts and ends what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sluice_engine::hash::CallKey;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plugin::{Job, JobState, PluginCall, Reply, Slot};
use tokio::task::AbortHandle;

use crate::body::SubjectBody;
use crate::pass::{Memory, Outcome};
use crate::question::{Question, Seen};
use crate::watchers::Watchers;

/// All jobs.
#[derive(Default)]
pub(crate) struct Table {
    subjects: BTreeMap<Subject, BTreeMap<Slot, Entry>>,
    watchers: Watchers,
    last_id: u64,
}

#[derive(Default)]
struct Entry {
    running: Option<Running>,
    finished: Option<Finished>,
    memory: Memory,
}

struct Running {
    /// Tells this run from an earlier one of the same call that was cancelled.
    id: u64,
    key: CallKey,
    due: u64,
    started: Timestamp,
    successor: Option<(PluginCall, SubjectBody)>,
    task: Option<AbortHandle>,
}

struct Finished {
    key: CallKey,
    due: u64,
    started: Timestamp,
    at: Timestamp,
    reply: Arc<Reply>,
    reported: bool,
    seen: BTreeMap<Question, Seen>,
}

/// A job that is to be started now.
pub(crate) struct Launch {
    pub id: u64,
    pub call: PluginCall,
    pub body: SubjectBody,
    pub memory: Memory,
}

/// Whether an answer is unchanged.
pub(crate) trait Unchanged: Fn(&Question, &Seen) -> bool {}
impl<F: Fn(&Question, &Seen) -> bool> Unchanged for F {}

impl Table {
    /// Takes a call: None where it is at work, queued, or answered on unchanged facts.
    pub(crate) fn take(
        &mut self,
        call: &PluginCall,
        body: SubjectBody,
        now: Timestamp,
        unchanged: impl Unchanged,
    ) -> Option<Launch> {
        let key = call.key();
        let entry = self.entry(&call.subject, &call.slot);
        if let Some(running) = &mut entry.running {
            running.successor = (running.key != key).then(|| (call.clone(), body));
            return None;
        }
        if entry
            .finished
            .as_ref()
            .is_some_and(|finished| finished.key == key && fresh(finished, &unchanged))
        {
            return None;
        }
        Some(self.launch(call.clone(), body, now))
    }

    fn entry(&mut self, subject: &Subject, slot: &Slot) -> &mut Entry {
        let slots = self.subjects.entry(subject.clone()).or_default();
        slots.entry(slot.clone()).or_default()
    }

    fn launch(&mut self, call: PluginCall, body: SubjectBody, now: Timestamp) -> Launch {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        let entry = self.entry(&call.subject, &call.slot);
        entry.running = Some(Running {
            id,
            key: call.key(),
            due: call.due,
            started: now,
            successor: None,
            task: None,
        });
        Launch {
            id,
            memory: entry.memory.clone(),
            call,
            body,
        }
    }

    /// The task that works on a job, so that it can be cancelled.
    pub(crate) fn works(&mut self, subject: &Subject, slot: &Slot, id: u64, task: AbortHandle) {
        if let Some(running) = self.running(subject, slot, id) {
            running.task = Some(task);
        }
    }

    fn running(&mut self, subject: &Subject, slot: &Slot, id: u64) -> Option<&mut Running> {
        let entry = self.subjects.get_mut(subject)?.get_mut(slot)?;
        entry.running.as_mut().filter(|running| running.id == id)
    }

    /// Takes the outcome of a job. None where it was cancelled meanwhile; otherwise its successor, if one waits.
    pub(crate) fn finish(
        &mut self,
        subject: &Subject,
        slot: &Slot,
        id: u64,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<Option<Launch>> {
        self.running(subject, slot, id)?;
        let entry = self.entry(subject, slot);
        let running = entry.running.take()?;
        entry.finished = Some(Finished {
            key: running.key,
            due: running.due,
            started: running.started,
            at: now,
            reply: Arc::new(outcome.reply),
            reported: false,
            seen: outcome.seen,
        });
        if let Some(memory) = outcome.memory {
            entry.memory = memory;
        }
        let next = running
            .successor
            .map(|(call, body)| self.launch(call, body, now));
        self.watch(subject);
        Some(next)
    }

    /// Ends the jobs of a subject whose slots are not among these; their tasks are returned to be stopped.
    pub(crate) fn retain(&mut self, subject: &Subject, calls: &[&PluginCall]) -> Vec<AbortHandle> {
        let Some(slots) = self.subjects.get_mut(subject) else {
            return Vec::new();
        };
        slots
            .iter_mut()
            .filter(|(slot, _)| !calls.iter().any(|call| call.slot == **slot))
            .filter_map(|(_, entry)| entry.running.take()?.task)
            .collect()
    }

    /// The jobs of a subject.
    pub(crate) fn jobs(&self, subject: &Subject, unchanged: impl Unchanged) -> Vec<Job> {
        let slots = self.subjects.get(subject).into_iter().flatten();
        slots
            .filter_map(|(slot, entry)| entry.job(slot, &unchanged))
            .collect()
    }

    fn finished(&mut self, subject: &Subject, slot: &Slot, key: &CallKey) -> Option<&mut Entry> {
        let entry = self.subjects.get_mut(subject)?.get_mut(slot)?;
        (entry.finished.as_ref()?.key == *key).then_some(entry)
    }

    /// Forgets an answer that is in the status now.
    pub(crate) fn settled(&mut self, subject: &Subject, slot: &Slot, key: &CallKey) {
        let Some(entry) = self.finished(subject, slot, key) else {
            return;
        };
        let ended = entry.finished.take();
        if ended.is_some_and(|ended| matches!(*ended.reply, Reply::Measured(_))) {
            // The next measurement begins anew.
            entry.memory = Memory::default();
        }
        self.watch(subject);
    }

    /// Notes that a pass has told of an answer.
    pub(crate) fn reported(&mut self, subject: &Subject, slot: &Slot, key: &CallKey) {
        if let Some(finished) = self
            .finished(subject, slot, key)
            .and_then(|entry| entry.finished.as_mut())
        {
            finished.reported = true;
        }
    }

    /// Keeps what the plugin is told in its next call.
    pub(crate) fn failed_changes(
        &mut self,
        subject: &Subject,
        slot: &Slot,
        failed: Vec<(ObjectKey, String)>,
    ) {
        let entry = self
            .subjects
            .get_mut(subject)
            .and_then(|slots| slots.get_mut(slot));
        if let Some(entry) = entry {
            entry.memory.failed_changes = failed;
        }
    }

    /// Forgets a subject; its tasks are returned to be stopped.
    pub(crate) fn forget(&mut self, subject: &Subject) -> Vec<AbortHandle> {
        let slots = self.subjects.remove(subject).unwrap_or_default();
        self.watchers.set(subject, std::iter::empty());
        slots
            .into_values()
            .filter_map(|entry| entry.running?.task)
            .collect()
    }

    /// Forgets everything; the tasks are returned to be stopped.
    pub(crate) fn clear(&mut self) -> Vec<AbortHandle> {
        let subjects = std::mem::take(self).subjects;
        let entries = subjects.into_values().flat_map(BTreeMap::into_values);
        entries.filter_map(|entry| entry.running?.task).collect()
    }

    /// Who has read this object, or waits for it.
    pub(crate) fn affected_by(&self, object: &ObjectKey) -> Vec<Subject> {
        self.watchers.of(object).into_iter().collect()
    }

    /// Version and kind of all that answers depend on.
    pub(crate) fn kinds(&self) -> BTreeSet<(String, String)> {
        let entries = self.subjects.values().flat_map(BTreeMap::values);
        entries
            .flat_map(Entry::questions)
            .map(|question| {
                (
                    question.read.api_version.clone(),
                    question.read.kind.clone(),
                )
            })
            .collect()
    }

    fn watch(&mut self, subject: &Subject) {
        let entries = self
            .subjects
            .get(subject)
            .into_iter()
            .flat_map(BTreeMap::values);
        self.watchers
            .set(subject, entries.flat_map(Entry::questions));
    }
}

impl Entry {
    /// What the last answer depends on, and what the next one will begin with.
    fn questions(&self) -> impl Iterator<Item = &Question> {
        let seen = self
            .finished
            .iter()
            .flat_map(|finished| finished.seen.keys());
        self.memory.questions.values().chain(seen)
    }

    fn job(&self, slot: &Slot, unchanged: &impl Unchanged) -> Option<Job> {
        if let Some(running) = &self.running {
            return Some(Job {
                slot: slot.clone(),
                key: running.key.clone(),
                due: running.due,
                started: running.started,
                reported: false,
                state: JobState::Running,
            });
        }
        let finished = self.finished.as_ref()?;
        Some(Job {
            slot: slot.clone(),
            key: finished.key.clone(),
            due: finished.due,
            started: finished.started,
            reported: finished.reported,
            state: JobState::Finished {
                at: finished.at,
                reply: Arc::clone(&finished.reply),
                fresh: fresh(finished, unchanged),
            },
        })
    }
}

fn fresh(finished: &Finished, unchanged: &impl Unchanged) -> bool {
    finished
        .seen
        .iter()
        .all(|(question, seen)| unchanged(question, seen))
}

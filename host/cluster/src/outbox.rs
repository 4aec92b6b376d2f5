//! What has changed, in order of first appearance, each thing once until it is taken: a burst of a hundred events on the
//! sets of one Rollout is one change, and whoever puts changes in never waits.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_engine::object::ObjectKey;
use tokio::sync::Notify;

use crate::Key;

/// Something that a decision may depend on has changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// Look at this Rollout: it changed, or something that it owns or names.
    Rollout(Key),
    /// Look at this AnalysisRun.
    AnalysisRun(Key),
    /// Look at this Experiment.
    Experiment(Key),
    /// Look at this Service with `Cluster::release_service`: no Rollout seems to claim it any more (SVC-005).
    Service(Key),
    /// An object of a kind that was read on demand; a plugin may watch it.
    Object(ObjectKey),
    /// An object that was a subject is gone.
    Deleted {
        /// Which of the three.
        kind: SubjectKind,
        /// Its name.
        key: Key,
        /// Its `metadata.uid`.
        uid: String,
    },
}

/// The kinds that decisions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKind {
    /// Rollout
    Rollout,
    /// AnalysisRun
    AnalysisRun,
    /// Experiment
    Experiment,
}

impl SubjectKind {
    /// The subject kind of this name.
    pub(crate) fn from_name(kind: &str) -> Option<Self> {
        match kind {
            "Rollout" => Some(Self::Rollout),
            "AnalysisRun" => Some(Self::AnalysisRun),
            "Experiment" => Some(Self::Experiment),
            _ => None,
        }
    }

    /// The change that asks to look at the subject.
    pub(crate) fn changed(self, key: Key) -> Changed {
        match self {
            Self::Rollout => Changed::Rollout(key),
            Self::AnalysisRun => Changed::AnalysisRun(key),
            Self::Experiment => Changed::Experiment(key),
        }
    }
}

/// The changes that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Changed>,
    waiting: BTreeSet<Changed>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a change unless it is waiting already.
    pub(crate) fn put(&self, change: Changed) {
        let mut inner = self.lock();
        if inner.waiting.insert(change.clone()) {
            inner.queue.push_back(change);
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// Adds changes.
    pub(crate) fn extend(&self, changes: impl IntoIterator<Item = Changed>) {
        for change in changes {
            self.put(change);
        }
    }

    /// Takes the oldest change, waiting for one. Cancel-safe.
    pub(crate) async fn take(&self) -> Changed {
        loop {
            {
                let mut inner = self.lock();
                if let Some(change) = inner.queue.pop_front() {
                    inner.waiting.remove(&change);
                    return change;
                }
            }
            // A permit is kept when the box is filled between the look above and this line.
            self.filled.notified().await;
        }
    }
}

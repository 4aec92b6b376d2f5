//! What is to be said of statuses whose writes were not answered.
//!
//! If one took effect all the same, no later pass finds anything new, so its events and figures would be lost. They are kept
//! until the Rollout shows which one it was, or another one is written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_api as api;
use sluice_cluster::Key;
use sluice_engine::rollout::Settled;

/// Of one Rollout no more are kept than attempts that a view which lags behind may see. The last ones.
const ATTEMPTS: usize = 8;

/// By Rollout, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Unsaid(Mutex<BTreeMap<Key, VecDeque<Unanswered>>>);

#[derive(Debug)]
struct Unanswered {
    uid: String,
    settled: Settled,
}

impl Unsaid {
    /// The status may have been written. What has been said of it already is left out.
    pub(crate) fn keep(&self, key: &Key, uid: &str, mut settled: Settled) {
        let said = std::mem::take(&mut settled.of_writes);
        settled.events.retain(|event| !said.contains(event));
        settled.reported.clear();
        let mut unsaid = self.lock();
        let attempts = unsaid.entry(key.clone()).or_default();
        if attempts.len() == ATTEMPTS {
            attempts.pop_front();
        }
        attempts.push_back(Unanswered {
            uid: uid.to_owned(),
            settled,
        });
    }

    /// What is to be said now, if this Rollout shows that one of them was written. The others were not.
    pub(crate) fn take(&self, key: &Key, rollout: &api::Rollout) -> Option<Settled> {
        let mut unsaid = self.lock();
        let attempts = unsaid.get_mut(key)?;
        let written = attempts.iter().position(|unanswered| {
            unanswered.uid == rollout.metadata.uid && *unanswered.settled.next == rollout.status
        })?;
        let unanswered = attempts.remove(written);
        unsaid.remove(key);
        unanswered.map(|unanswered| unanswered.settled)
    }

    /// Another one was written, or there is nobody to say it of.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, VecDeque<Unanswered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

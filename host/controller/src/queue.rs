//! An ordered work queue: each item once, at its time, never twice at once; failures wait longer and longer.
//!
//! Items that are due at the same time come out in the order in which they went in, so that a story is the same in every
//! process. Nothing here knows what the work is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_engine::planted::{self, Bug};
use tokio::sync::Notify;
use tokio::time::Instant;

/// First wait after a failure, and the longest (REC-001).
const BACKOFF_BASE: Duration = Duration::from_millis(1);
const BACKOFF_CAP: Duration = Duration::from_secs(10);

/// A queue of work.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// By time, then by order of arrival.
    due: BTreeMap<(Instant, u64), T>,
    /// Where each waiting item stands in `due`.
    waiting: BTreeMap<T, (Instant, u64)>,
    /// Items that somebody works on.
    busy: BTreeSet<T>,
    /// Items that were added while somebody worked on them.
    again: BTreeMap<T, Instant>,
    failures: BTreeMap<T, u32>,
    arrivals: u64,
}

impl<T: Ord + Clone> Queue<T> {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                due: BTreeMap::new(),
                waiting: BTreeMap::new(),
                busy: BTreeSet::new(),
                again: BTreeMap::new(),
                failures: BTreeMap::new(),
                arrivals: 0,
            }),
            wake: Notify::new(),
        }
    }

    /// Adds an item for now.
    pub fn add(&self, item: T) {
        self.add_at(item, Instant::now());
    }

    /// Adds an item for this time. An item that waits already keeps the earlier time.
    pub fn add_at(&self, item: T, time: Instant) {
        self.lock().insert(item, time);
        self.wake.notify_one();
    }

    /// Takes the next item, waiting for one if need be. It is busy until `done`.
    pub async fn next(&self) -> T {
        loop {
            let wait = {
                let mut state = self.lock();
                match state.due.first_key_value().map(|(key, _)| *key) {
                    Some((time, arrival)) if time <= Instant::now() => {
                        if let Some(item) = state.due.remove(&(time, arrival)) {
                            state.waiting.remove(&item);
                            state.busy.insert(item.clone());
                            return item;
                        }
                        None
                    }
                    Some((time, _)) => Some(time),
                    None => None,
                }
            };
            match wait {
                Some(time) => {
                    tokio::select! {
                        biased;
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(time) => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// The work on an item succeeded; look again at this time, if one is given.
    pub fn done(&self, item: &T, again: Option<Instant>) {
        self.lock().failures.remove(item);
        self.finish(item, again);
    }

    /// The work on an item goes on at once, and how it ends is not known yet: failures so far are remembered.
    pub fn again(&self, item: &T) {
        self.finish(item, Some(Instant::now()));
    }

    /// The work on an item failed: it is tried again, later with every failure.
    pub fn failed(&self, item: &T) {
        let delay = {
            let mut state = self.lock();
            let count = state.failures.entry(item.clone()).or_insert(0);
            *count = count.saturating_add(1);
            backoff(*count)
        };
        self.finish(item, Some(Instant::now() + delay));
    }

    fn finish(&self, item: &T, again: Option<Instant>) {
        let mut state = self.lock();
        state.busy.remove(item);
        let added = state.again.remove(item);
        let time = match (added, again) {
            (Some(added), Some(again)) => Some(added.min(again)),
            (Some(time), None) | (None, Some(time)) => Some(time),
            (None, None) => None,
        };
        if let Some(time) = time {
            state.insert(item.clone(), time);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Items that wait or are worked on.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let state = self.lock();
        state.waiting.len().saturating_add(state.busy.len())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here can leave the state half-written, so a poisoned lock is as good as another.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Ord + Clone> State<T> {
    fn insert(&mut self, item: T, time: Instant) {
        if self.busy.contains(&item) {
            if planted::is(Bug::ChangeDuringPassLost) {
                return;
            }
            let at = self.again.entry(item).or_insert(time);
            *at = (*at).min(time);
            return;
        }
        if let Some(present) = self.waiting.get(&item) {
            if present.0 <= time {
                return;
            }
            self.due.remove(present);
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        let place = (time, self.arrivals);
        self.waiting.insert(item.clone(), place);
        self.due.insert(place, item);
    }
}

/// 1 ms, doubled with every failure, at most 10 s (REC-001).
fn backoff(failures: u32) -> Duration {
    let factor = 1_u32
        .checked_shl(failures.saturating_sub(1))
        .unwrap_or(u32::MAX);
    BACKOFF_BASE
        .checked_mul(factor)
        .unwrap_or(BACKOFF_CAP)
        .min(BACKOFF_CAP)
}

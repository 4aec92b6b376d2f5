//! An ordered work queue: each item once, at its time, never twice at once; failures wait longer and longer.
//!
//! Items that are due at the same time come out in the order in which they went in, so that a story is the same in every
//! process. Nothing here knows what the work is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_engine::planted::{self, Bug};
use tokio::sync::Notify;
use tokio::time::Instant;

mod figures;

pub(crate) use figures::{Figures, QueueName, Reading, Work};

/// First wait after a failure, and the longest (REC-001).
const BACKOFF_BASE: Duration = Duration::from_millis(1);
const BACKOFF_CAP: Duration = Duration::from_secs(10);

/// A queue of work.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
    figures: Figures,
}

#[derive(Debug)]
struct State<T> {
    /// By time, then by order of arrival.
    due: BTreeMap<(Instant, u64), T>,
    /// Where each waiting item stands in `due`.
    waiting: BTreeMap<T, (Instant, u64)>,
    /// Items that somebody works on, and since when.
    busy: BTreeMap<T, Instant>,
    /// Items that were added while somebody worked on them.
    again: BTreeMap<T, Instant>,
    failures: BTreeMap<T, u32>,
    arrivals: u64,
}

impl<T: Work> Queue<T> {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                due: BTreeMap::new(),
                waiting: BTreeMap::new(),
                busy: BTreeMap::new(),
                again: BTreeMap::new(),
                failures: BTreeMap::new(),
                arrivals: 0,
            }),
            wake: Notify::new(),
            figures: Figures::new(T::NAMES),
        }
    }

    /// What has happened so far.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// How the queue is now, by name of work.
    pub fn read(&self) -> BTreeMap<&'static str, Reading> {
        let now = Instant::now();
        let mut readings: BTreeMap<_, _> = T::NAMES
            .iter()
            .map(|name| (*name, Reading::default()))
            .collect();
        let state = self.lock();
        for ((time, _), item) in &state.due {
            if *time > now {
                break;
            }
            readings.entry(item.name()).or_default().depth += 1;
        }
        for (item, since) in &state.busy {
            let worked = now.duration_since(*since);
            let reading = readings.entry(item.name()).or_default();
            reading.unfinished += worked;
            reading.longest = reading.longest.max(worked);
        }
        readings
    }

    /// Adds an item for now.
    pub fn add(&self, item: T) {
        self.add_at(item, Instant::now());
    }

    /// Adds an item for this time. An item that waits already keeps the earlier time.
    pub fn add_at(&self, item: T, time: Instant) {
        let name = item.name();
        if self.lock().insert(item, time) {
            self.figures.added(name);
        }
        self.wake.notify_one();
    }

    /// Takes the next item, waiting for one if need be. It is busy until `done`.
    pub async fn next(&self) -> T {
        loop {
            let wait = {
                let mut state = self.lock();
                match state.due.first_key_value().map(|(key, _)| *key) {
                    Some((time, arrival)) => {
                        let now = Instant::now();
                        if time > now {
                            Some(time)
                        } else if let Some(item) = state.due.remove(&(time, arrival)) {
                            state.waiting.remove(&item);
                            state.busy.insert(item.clone(), now);
                            let waited = now.duration_since(time);
                            self.figures.taken(item.name(), waited);
                            return item;
                        } else {
                            None
                        }
                    }
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
        self.finish(item, Instant::now(), again);
    }

    /// The work on an item goes on at once, and how it ends is not known yet: failures so far are remembered.
    pub fn again(&self, item: &T) {
        let now = Instant::now();
        self.finish(item, now, Some(now));
    }

    /// The work on an item failed: it is tried again, later with every failure and not before `pause` is over, and at the
    /// time `latest` whatever happens, which is at once if it has come during the work.
    pub fn failed(&self, item: &T, pause: Duration, latest: Option<Instant>) {
        let delay = {
            let mut state = self.lock();
            let count = state.failures.entry(item.clone()).or_insert(0);
            *count = count.saturating_add(1);
            backoff(*count)
        };
        let now = Instant::now();
        let again = now + delay.max(pause.min(BACKOFF_CAP));
        let again = latest.map_or(again, |latest| again.min(latest));
        self.finish(item, now, Some(again));
    }

    fn finish(&self, item: &T, now: Instant, again: Option<Instant>) {
        let mut state = self.lock();
        if let Some(since) = state.busy.remove(item) {
            self.figures
                .finished(item.name(), now.duration_since(since));
        }
        let added = state.again.remove(item);
        // As client-go counts: what is put off is a retry, and what comes back at once is added. Who was added meanwhile
        // has been counted then.
        match again {
            Some(time) if time > now => self.figures.retried(item.name()),
            Some(_) if added.is_none() => self.figures.added(item.name()),
            Some(_) | None => {}
        }
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

impl<T: Work> State<T> {
    /// Returns whether the item did not wait before.
    fn insert(&mut self, item: T, time: Instant) -> bool {
        if self.busy.contains_key(&item) {
            if planted::is(Bug::ChangeDuringPassLost) {
                return false;
            }
            let is_new = !self.again.contains_key(&item);
            let at = self.again.entry(item).or_insert(time);
            *at = (*at).min(time);
            return is_new;
        }
        let present = self.waiting.get(&item).copied();
        if let Some(present) = present {
            if present.0 <= time {
                return false;
            }
            self.due.remove(&present);
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        let place = (time, self.arrivals);
        self.waiting.insert(item.clone(), place);
        self.due.insert(place, item);
        present.is_none()
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

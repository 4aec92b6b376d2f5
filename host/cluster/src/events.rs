//! Kubernetes events (core/v1), aggregated as client-go does it: the same event again raises a count, many similar ones
//! become one, and an object that produces too many is cut off. Written in order, away from the pass that caused them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sluice_api as api;
use sluice_engine::object::Subject;
use sluice_engine::plan::{Event, Severity, WriteErrorKind};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::apply::{Send, Writer};
use crate::backoff::{Backoff, seed_for};
use crate::cluster::lock;
use crate::kinds::Served;
use crate::{Clock, Settings};

/// `source.component` of every event.
const COMPONENT: &str = "rollouts-controller";
/// Events that may wait. More than this are dropped, newest first: they must never hold up a decision.
const WAITING: usize = 4096;
/// An event that was seen within this time is the same one again; similar events within it are combined.
const INTERVAL: SignedDuration = SignedDuration::from_secs(600);
/// So many different messages of one reason stand for themselves.
const DIFFERENT: usize = 10;
/// An object may produce so many events at once. client-go allows 25, which two quick updates of a canary of six steps use
/// up: the abort of the third would leave no trace.
const BURST: f64 = 100.0;
/// One more each time so many seconds have passed.
const REFILL_SECONDS: f64 = 300.0;
/// Tries of a write that the server could not take.
const TRIES: u32 = 3;
/// At the end, so long for what is still waiting.
const LAST_CALL: Duration = Duration::from_secs(5);

/// Takes events and writes them.
pub(crate) struct Recorder {
    clock: Clock,
    seed: u64,
    waiting: Mutex<VecDeque<(Timestamp, Event)>>,
    filled: Notify,
}

impl Recorder {
    /// Nothing is waiting.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            clock: settings.clock.clone(),
            seed: seed_for(settings.seed, "events"),
            waiting: Mutex::default(),
            filled: Notify::new(),
        }
    }

    /// Queues events, with the present as their time.
    pub(crate) fn push(&self, events: Vec<Event>) {
        let now = self.clock.now();
        let mut waiting = lock(&self.waiting);
        for event in events {
            if waiting.len() >= WAITING {
                tracing::warn!(object = %event.about.key, reason = event.reason, "too many events are waiting, dropped one");
                continue;
            }
            waiting.push_back((now, event));
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Writes events until told to stop, and then what is still waiting, for a few seconds at most.
    pub(crate) async fn run(&self, writer: &Writer, stop: CancellationToken) {
        let mut correlator = Correlator::default();
        let mut backoff =
            Backoff::between(self.seed, Duration::from_secs(1), Duration::from_secs(10));
        loop {
            let next = lock(&self.waiting).pop_front();
            let Some((at, event)) = next else {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = self.filled.notified() => continue,
                }
            };
            // The write that is under way is finished even when told to stop.
            let write = self.write(writer, &mut correlator, &mut backoff, at, &event);
            let late = async {
                stop.cancelled().await;
                tokio::time::sleep(LAST_CALL).await;
            };
            tokio::select! {
                biased;
                () = write => {}
                () = late => {
                    let dropped = lock(&self.waiting).len();
                    tracing::warn!(dropped, "some events could not be written before the end");
                    return;
                }
            }
        }
    }

    async fn write(
        &self,
        writer: &Writer,
        correlator: &mut Correlator,
        backoff: &mut Backoff,
        at: Timestamp,
        event: &Event,
    ) {
        let Some(mut seen) = correlator.see(event, at) else {
            tracing::debug!(object = %event.about.key, reason = event.reason, "too many events of this object, dropped one");
            return;
        };
        for attempt in 1..=TRIES {
            let error = match send(writer, &seen).await {
                Ok(()) => return,
                Err(error) => error,
            };
            match error.kind {
                // The server has forgotten the event that was to be counted up.
                WriteErrorKind::NotFound if seen.count > 1 && !seen.renew => seen.renew = true,
                // An answer was lost, and the first try took effect.
                WriteErrorKind::AlreadyExists => return,
                WriteErrorKind::Unavailable if attempt < TRIES => {
                    tokio::time::sleep(backoff.after_failure()).await
                }
                _ => {
                    tracing::warn!(object = %event.about.key, reason = event.reason, error = error.message, "event not written");
                    return;
                }
            }
        }
    }
}

async fn send(writer: &Writer, seen: &Seen) -> Result<(), sluice_engine::plan::WriteError> {
    let served = Served::new("v1", "Event", "events", true);
    let (method, name, content_type, body) = if seen.count == 1 || seen.renew {
        (Method::POST, None, "application/json", seen.body())
    } else {
        let patch = json!({ "count": seen.count, "lastTimestamp": time(seen.last), "message": seen.message });
        (
            Method::PATCH,
            Some(seen.name.as_str()),
            "application/merge-patch+json",
            patch,
        )
    };
    let send = Send {
        served: &served,
        method,
        namespace: Some(seen.namespace()),
        name,
        subresource: None,
        content_type,
        body: &body,
        dry_run: false,
    };
    writer.send(send).await.map(drop)
}

fn time(at: Timestamp) -> Value {
    api::Time(at).to_string().into()
}

/// An event as it is to be written: created when `count` is 1, counted up otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) about: Subject,
    pub(crate) severity: Severity,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// `metadata.name`
    pub(crate) name: String,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u32,
    /// Create it again although it was there before.
    pub(crate) renew: bool,
}

impl Seen {
    fn namespace(&self) -> &str {
        // Events about cluster-scoped objects live here.
        self.about.key.namespace.as_deref().unwrap_or("default")
    }

    fn body(&self) -> Value {
        let about = &self.about;
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": self.name, "namespace": self.namespace() },
            "involvedObject": {
                "apiVersion": about.key.api_version,
                "kind": about.key.kind,
                "namespace": about.key.namespace,
                "name": about.key.name,
                "uid": about.uid,
            },
            "type": match self.severity {
                Severity::Normal => "Normal",
                Severity::Warning => "Warning",
            },
            "reason": self.reason,
            "message": self.message,
            "source": { "component": COMPONENT },
            "reportingComponent": COMPONENT,
            "reportingInstance": "",
            "firstTimestamp": time(self.first),
            "lastTimestamp": time(self.last),
            "count": self.count,
        })
    }
}

/// client-go's `EventCorrelator`: similar events are combined, equal ones counted, and each object has a budget.
///
/// As there, each of the three remembers so many entries and no more; what an event was is remembered as a digest, not as
/// its texts.
#[derive(Debug, Default)]
pub(crate) struct Correlator {
    /// By object, type and reason.
    similar: BTreeMap<Digest, Messages>,
    /// By object, type, reason, and message unless they are combined.
    counted: BTreeMap<Digest, Counted>,
    /// By object.
    budgets: BTreeMap<Digest, Budget>,
    last_nanosecond: i128,
    tidied: Option<Timestamp>,
}

/// Entries that are remembered: client-go's `maxLruCacheEntries`.
const REMEMBERED: usize = 4096;

/// Half of a SHA-256: what differs has different ones.
type Digest = [u8; 16];

fn digest(parts: &[&str]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    let mut digest = Digest::default();
    for (to, from) in digest.iter_mut().zip(hasher.finalize()) {
        *to = from;
    }
    digest
}

/// The object, as the parts of a digest.
fn parts(about: &Subject) -> [&str; 5] {
    let key = &about.key;
    [
        &key.api_version,
        &key.kind,
        key.namespace.as_deref().unwrap_or_default(),
        &key.name,
        &about.uid,
    ]
}

#[derive(Debug)]
struct Messages {
    different: BTreeSet<Digest>,
    last: Timestamp,
}

#[derive(Debug)]
struct Counted {
    name: String,
    first: Timestamp,
    last: Timestamp,
    count: u32,
}

#[derive(Debug)]
struct Budget {
    left: f64,
    at: Timestamp,
}

/// How many are dropped when there is no room for another: a burst of thousands must not look at all of them each time.
const DROPPED: usize = REMEMBERED / 8;

/// Drops the entries that were used longest ago when there is no room for another.
fn make_room<T>(entries: &mut BTreeMap<Digest, T>, used: fn(&T) -> Timestamp) {
    if entries.len() < REMEMBERED {
        return;
    }
    let mut oldest: Vec<(Timestamp, Digest)> = entries
        .iter()
        .map(|(digest, entry)| (used(entry), *digest))
        .collect();
    oldest.select_nth_unstable(DROPPED);
    oldest.truncate(DROPPED);
    for (_, digest) in &oldest {
        entries.remove(digest);
    }
}

impl Correlator {
    /// What to write for one more event. None when its object has produced too many.
    pub(crate) fn see(&mut self, event: &Event, now: Timestamp) -> Option<Seen> {
        self.tidy(now);
        let severity = match event.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        let [version, kind, namespace, name, uid] = parts(&event.about);
        let similar = [version, kind, namespace, name, uid, severity, &event.reason];
        let combined = self.is_combined(digest(&similar), &event.message, now);
        let message = if combined {
            format!("(combined from similar events): {}", event.message)
        } else {
            event.message.clone()
        };
        let message_of_its_own = (!combined).then_some(event.message.as_str());
        let key: Vec<&str> = similar.into_iter().chain(message_of_its_own).collect();
        let key = digest(&key);
        let fresh = self
            .counted
            .get(&key)
            .is_none_or(|counted| now.duration_since(counted.last) > INTERVAL);
        if fresh {
            let name = self.name(&event.about, now);
            let counted = Counted {
                name,
                first: now,
                last: now,
                count: 0,
            };
            make_room(&mut self.counted, |counted| counted.last);
            self.counted.insert(key, counted);
        }
        let counted = self.counted.get_mut(&key)?;
        counted.count = counted.count.saturating_add(1);
        counted.last = now;
        let seen = Seen {
            about: event.about.clone(),
            severity: event.severity,
            reason: event.reason.clone(),
            message,
            name: counted.name.clone(),
            first: counted.first,
            last: now,
            count: counted.count,
            renew: false,
        };
        if self.spend(&event.about, now) {
            return Some(seen);
        }
        if seen.count == 1 {
            // It was never created, so there is nothing to count up later.
            self.counted.remove(&key);
        }
        None
    }

    fn is_combined(&mut self, similar: Digest, message: &str, now: Timestamp) -> bool {
        if !self.similar.contains_key(&similar) {
            make_room(&mut self.similar, |messages| messages.last);
        }
        let messages = self.similar.entry(similar).or_insert_with(|| Messages {
            different: BTreeSet::new(),
            last: now,
        });
        if now.duration_since(messages.last) > INTERVAL {
            messages.different.clear();
        }
        messages.last = now;
        messages.different.insert(digest(&[message]));
        if messages.different.len() < DIFFERENT {
            return false;
        }
        messages.different.pop_first();
        true
    }

    fn spend(&mut self, about: &Subject, now: Timestamp) -> bool {
        let about = digest(&parts(about));
        if !self.budgets.contains_key(&about) {
            make_room(&mut self.budgets, |budget| budget.at);
        }
        let budget = self.budgets.entry(about).or_insert(Budget {
            left: BURST,
            at: now,
        });
        let earned = now.duration_since(budget.at).as_secs_f64() / REFILL_SECONDS;
        budget.left = (budget.left + earned.max(0.0)).min(BURST);
        budget.at = now;
        if budget.left < 1.0 {
            return false;
        }
        budget.left -= 1.0;
        true
    }

    /// `NAME.HEX`, the time in nanoseconds, as client-go names events. Virtual time may stand still, names may not repeat.
    fn name(&mut self, about: &Subject, now: Timestamp) -> String {
        self.last_nanosecond = now.as_nanosecond().max(self.last_nanosecond + 1);
        format!("{}.{:x}", about.key.name, self.last_nanosecond)
    }

    /// Forgets what can no longer matter, once in a while.
    fn tidy(&mut self, now: Timestamp) {
        if self
            .tidied
            .is_some_and(|last| now.duration_since(last) <= INTERVAL)
        {
            return;
        }
        self.tidied = Some(now);
        self.similar
            .retain(|_, messages| now.duration_since(messages.last) <= INTERVAL);
        self.counted
            .retain(|_, counted| now.duration_since(counted.last) <= INTERVAL);
        self.budgets.retain(|_, budget| {
            budget.left + now.duration_since(budget.at).as_secs_f64() / REFILL_SECONDS < BURST
        });
    }
}

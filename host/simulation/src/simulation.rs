//! The handle that tests, the demo and rehearsals hold.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::core::GroupVersionKind;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::api::{Api, State, outcome_of};
use crate::client::{self, ApiService};
use crate::clock::Clock;
use crate::faults::{Match, Rule, RuleId, Rules, Verb};
use crate::json;
use crate::kinds::Kind;
use crate::log::{Log, LoggedRequest};
use crate::patch::Patch;
use crate::refusal::{self, Refusal};
use crate::seed::Seeded;
use crate::server::delete::DeleteOptions;
use crate::server::{ListOptions, Part, Server, WriteOptions};
use crate::snapshot::Snapshot;
use crate::store::Key;
use crate::watch::{Scope, Signal, Watcher};

/// The client name under which the direct handles appear in the log.
const DIRECT: &str = "test";
/// How long [`Simulation::settle`] waits for quiet before it gives up.
const SETTLE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A Kubernetes API in memory; cheap to clone, all clones are the same cluster.
#[derive(Clone, Debug)]
pub struct Simulation {
    pub(crate) api: Api,
    seed: u64,
}

/// How long requests and watch events take, drawn evenly from each range by the seed, in whole milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// From a request being made to its taking effect.
    pub request: RangeInclusive<Duration>,
    /// From its taking effect to the answer: an event may be faster.
    pub answer: RangeInclusive<Duration>,
    /// From a write to the events that it causes; drawn once per watch.
    pub event: RangeInclusive<Duration>,
}

impl Latency {
    /// No time at all.
    pub const NONE: Self = Self {
        request: Duration::ZERO..=Duration::ZERO,
        answer: Duration::ZERO..=Duration::ZERO,
        event: Duration::ZERO..=Duration::ZERO,
    };
}

impl Latency {
    /// As measured on the real API server of the tests, on a busy machine of two cores, in whole milliseconds.
    ///
    /// A write was answered after 2.1 ms (median; 90 of 100 within 9.6 ms); its event came 0.07 ms after the answer
    /// (0.4 ms), and before it in 18 of 100 writes. `latencies::a_write_and_its_event_are_close` in `tests/it/contract`
    /// prints these figures anew.
    #[must_use]
    pub fn measured() -> Self {
        let millis = |low, high| Duration::from_millis(low)..=Duration::from_millis(high);
        Self {
            request: millis(1, 2),
            answer: millis(0, 1),
            event: millis(0, 2),
        }
    }
}

impl Default for Latency {
    /// One to three milliseconds for requests and for events, which come after the answer:
    /// the median of what was measured, but kinder than [`Latency::measured`].
    fn default() -> Self {
        let range = Duration::from_millis(1)..=Duration::from_millis(3);
        Self {
            request: range.clone(),
            answer: Duration::ZERO..=Duration::ZERO,
            event: range,
        }
    }
}

/// Chooses what differs between simulations.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    start: Timestamp,
    latency: Latency,
    history: usize,
    log: usize,
    snapshot: Option<Snapshot>,
}

impl Default for Builder {
    /// Seed 1, the year 2030, default latencies, 1000 remembered changes per kind and a million logged requests.
    fn default() -> Self {
        Self {
            seed: 1,
            // 2030-01-01T00:00:00Z
            start: Timestamp::from_second(1_893_456_000).unwrap_or(Timestamp::UNIX_EPOCH),
            latency: Latency::default(),
            history: 1000,
            log: 1_000_000,
            snapshot: None,
        }
    }
}

impl Builder {
    /// Where all chance comes from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What the clock reads when the simulation is built.
    #[must_use]
    pub fn start(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// How long requests and events take.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// How many changes of each kind a watch can resume over; older versions are gone (410).
    #[must_use]
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes;
        self
    }

    /// How many requests the log keeps.
    #[must_use]
    pub fn log(mut self, requests: usize) -> Self {
        self.log = requests;
        self
    }

    /// Begins with the objects and kinds that another simulation had, in place of an empty cluster's.
    #[must_use]
    pub fn snapshot(mut self, snapshot: Snapshot) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// The simulation, its clock running from now.
    pub fn build(self) -> Simulation {
        let clock = Clock::starting_at(self.start);
        let server = match &self.snapshot {
            Some(snapshot) => Server::of(snapshot, clock, self.seed, self.history),
            None => Server::new(clock, self.seed, self.history),
        };
        Simulation {
            api: Api::new(State {
                server,
                rules: Rules::new(self.seed),
                log: Log::keeping(self.log),
                latency: self.latency,
                latency_dice: Seeded::fork(self.seed, "latency"),
                witness: None,
            }),
            seed: self.seed,
        }
    }
}

/// Nothing settled: somebody kept writing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("objects were still being written after {waited:?}; the last requests were:\n{last}")]
pub struct NeverQuiet {
    /// How long was waited, in virtual time.
    pub waited: Duration,
    /// The newest lines of the request log.
    pub last: String,
}

impl Simulation {
    /// A simulation with default choices and this seed.
    pub fn new(seed: u64) -> Self {
        Self::builder().seed(seed).build()
    }

    /// Chooses what differs from the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client named `client`.
    pub fn client(&self) -> kube::Client {
        self.client_named("client")
    }

    /// A client by whose name faults and the log tell it apart, with the retries that kube's default client makes.
    /// Its default namespace is `default`.
    ///
    /// Must be called inside a tokio runtime, as every `kube::Client` must.
    pub fn client_named(&self, name: &str) -> kube::Client {
        client::client(self.service(name), Seeded::fork(self.seed, name))
    }

    /// The API as one client's tower service, without retries.
    pub fn service(&self, client: &str) -> ApiService {
        ApiService::new(self.api.clone(), client.to_owned())
    }

    /// What the simulation's clock reads.
    pub fn now(&self) -> Timestamp {
        self.api.lock().server.clock.now()
    }

    /// The seed that it was built from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Serves a kind of one's own from a CustomResourceDefinition; the same as creating or replacing that object.
    ///
    /// # Errors
    /// A definition that the API would refuse.
    pub fn register(&self, definition: Value) -> Result<Value, Refusal> {
        match self.create(definition.clone()) {
            Err(refusal) if refusal.is_already_exists() => self.update(definition),
            other => other,
        }
    }

    /// Creates an object, at once and without latency; its `apiVersion`, `kind` and namespace say where.
    ///
    /// # Errors
    /// What the API refuses, and 404 for a kind that is not served.
    pub fn create(&self, object: Value) -> Result<Value, Refusal> {
        let (kind, version, key) = self.locate(&object)?;
        self.direct(Verb::Create, &kind, &key, |server| {
            server.create(
                &kind,
                &version,
                Some(&key.0),
                object,
                WriteOptions::default(),
            )
        })
    }

    /// Replaces an object; without a resourceVersion in it, whatever there is.
    ///
    /// # Errors
    /// What the API refuses, and 404 for a kind that is not served.
    pub fn update(&self, mut object: Value) -> Result<Value, Refusal> {
        let (kind, version, key) = self.locate(&object)?;
        self.direct(Verb::Update, &kind, &key, |server| {
            let old = server.get(&kind, &key)?;
            let metadata = json::child(&mut object, "metadata");
            if json::text(metadata, "/resourceVersion").is_empty() {
                json::restore(
                    metadata,
                    old.get("metadata").unwrap_or(&Value::Null),
                    "resourceVersion",
                );
            }
            server.update(
                &kind,
                &version,
                &key,
                Part::Main,
                object,
                WriteOptions::default(),
            )
        })
    }

    /// One object.
    pub fn get(&self, gvk: &GroupVersionKind, namespace: &str, name: &str) -> Option<Value> {
        let state = self.api.lock();
        let kind = state.server.kinds.by_gvk(gvk)?;
        let object = state
            .server
            .get(&kind, &key_of(&kind, namespace, name))
            .ok()?;
        Some(object.as_ref().clone())
    }

    /// Objects in order of namespace and name; of all namespaces, if none is given.
    pub fn list(&self, gvk: &GroupVersionKind, namespace: Option<&str>) -> Vec<Value> {
        let state = self.api.lock();
        let Some(kind) = state.server.kinds.by_gvk(gvk) else {
            return Vec::new();
        };
        let options = ListOptions {
            scope: Scope {
                namespace: namespace.filter(|_| kind.namespaced).map(str::to_owned),
                ..Scope::default()
            },
            ..ListOptions::default()
        };
        match state.server.list(&kind, &options) {
            Ok(page) => page
                .items
                .iter()
                .map(|object| object.as_ref().clone())
                .collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Applies a JSON merge patch to an object.
    ///
    /// # Errors
    /// What the API refuses, and 404 for a kind that is not served.
    pub fn patch_merge(
        &self,
        gvk: &GroupVersionKind,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<Value, Refusal> {
        self.patch_part(gvk, namespace, name, Part::Main, patch)
    }

    /// Applies a JSON merge patch to an object's status subresource.
    ///
    /// # Errors
    /// What the API refuses, and 404 for a kind that is not served.
    pub fn patch_status(
        &self,
        gvk: &GroupVersionKind,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<Value, Refusal> {
        self.patch_part(gvk, namespace, name, Part::Status, patch)
    }

    fn patch_part(
        &self,
        gvk: &GroupVersionKind,
        namespace: &str,
        name: &str,
        part: Part,
        patch: Value,
    ) -> Result<Value, Refusal> {
        let kind = self.kind(gvk)?;
        let key = key_of(&kind, namespace, name);
        self.direct(Verb::Patch, &kind, &key, |server| {
            let patch = Patch::Merge(patch);
            server.patch(
                &kind,
                &gvk.version,
                &key,
                part,
                &patch,
                WriteOptions::default(),
            )
        })
    }

    /// Deletes an object, its dependents in the background.
    ///
    /// # Errors
    /// 404 if there is no such object or kind.
    pub fn delete(
        &self,
        gvk: &GroupVersionKind,
        namespace: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        let kind = self.kind(gvk)?;
        let key = key_of(&kind, namespace, name);
        let options = DeleteOptions {
            propagation: Some(crate::server::delete::Propagation::Background),
            ..DeleteOptions::default()
        };
        self.direct(Verb::Delete, &kind, &key, |server| {
            server.delete(&kind, &key, &options)?;
            Ok(Arc::new(Value::Null))
        })?;
        Ok(())
    }

    /// The newest resourceVersion of all.
    pub fn checkpoint(&self) -> u64 {
        self.api.lock().server.version()
    }

    /// Lets time pass until nothing was written for `idle`; Leases and Events do not count.
    ///
    /// # Errors
    /// Something was still being written after a day.
    pub async fn settle(&self, idle: Duration) -> Result<(), NeverQuiet> {
        self.settle_within(idle, SETTLE_LIMIT).await
    }

    /// [`Simulation::settle`] with another limit.
    ///
    /// # Errors
    /// Something was still being written after `limit`.
    pub async fn settle_within(&self, idle: Duration, limit: Duration) -> Result<(), NeverQuiet> {
        let started = Instant::now();
        // Quiet counts from now on: what was asked for just before has not had its effects yet.
        let mut since = started;
        loop {
            since = since.max(self.api.lock().server.last_change);
            let quiet = since + idle;
            if Instant::now() >= quiet {
                return Ok(());
            }
            if started.elapsed() >= limit {
                let log = self.request_log();
                let last: Vec<String> = log
                    .iter()
                    .rev()
                    .take(10)
                    .rev()
                    .map(ToString::to_string)
                    .collect();
                return Err(NeverQuiet {
                    waited: limit,
                    last: last.join("\n"),
                });
            }
            sleep_until(quiet).await;
        }
    }

    /// What goes wrong, and how to make it go wrong.
    pub fn faults(&self) -> Faults {
        Faults {
            api: self.api.clone(),
        }
    }

    /// Cuts a client off, as if its process had died: its requests hang without effect, its watches fall silent.
    pub fn cut(&self, client: &str) {
        self.api.cut(client);
    }

    /// Lets a client that was cut off make requests again; what hung before still hangs.
    pub fn restore(&self, client: &str) {
        self.api.lock().rules.cut.remove(client);
    }

    /// Every request so far, in the order in which they took effect.
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        self.api.lock().log.entries()
    }

    /// Starts the request log afresh.
    pub fn clear_request_log(&self) {
        self.api.lock().log.clear();
    }

    fn kind(&self, gvk: &GroupVersionKind) -> Result<Arc<Kind>, Refusal> {
        self.api.lock().server.kinds.by_gvk(gvk).ok_or_else(|| {
            refusal::plain(
                404,
                "NotFound",
                format!(
                    "no matches for kind {:?} in version {:?}",
                    gvk.kind,
                    gvk.api_version()
                ),
            )
        })
    }

    fn locate(&self, object: &Value) -> Result<(Arc<Kind>, String, Key), Refusal> {
        let api_version = json::text(object, "/apiVersion");
        let (group, version) = crate::kinds::split_api_version(api_version);
        let kind = self.kind(&GroupVersionKind::gvk(
            group,
            version,
            json::text(object, "/kind"),
        ))?;
        let namespace = match json::text(object, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let key = key_of(&kind, namespace, json::text(object, "/metadata/name"));
        Ok((kind, version.to_owned(), key))
    }

    /// Does a request of the test itself, without latency or faults, and logs it.
    fn direct(
        &self,
        verb: Verb,
        kind: &Kind,
        key: &Key,
        work: impl FnOnce(&mut Server) -> Result<Arc<Value>, Refusal>,
    ) -> Result<Value, Refusal> {
        let mut state = self.api.lock();
        let result = work(&mut state.server);
        let outcome = match &result {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => outcome_of(refusal),
        };
        state.note(DIRECT, verb.as_str(), &path_of(kind, key), outcome);
        result.map(|object| object.as_ref().clone())
    }
}

/// A readable path to an object, for the log of those who use no paths.
pub(crate) fn path_of(kind: &Kind, key: &Key) -> String {
    if key.0.is_empty() {
        format!("{}/{}", kind.resource(), key.1)
    } else {
        format!("{}/{}/{}", kind.resource(), key.0, key.1)
    }
}

fn key_of(kind: &Kind, namespace: &str, name: &str) -> Key {
    let namespace = if kind.namespaced { namespace } else { "" };
    (namespace.to_owned(), name.to_owned())
}

/// Makes things go wrong.
#[derive(Clone, Debug)]
pub struct Faults {
    api: Api,
}

impl Faults {
    /// Puts a rule into force, after those that are.
    pub fn add(&self, rule: Rule) -> RuleId {
        self.api.lock().rules.add(rule)
    }

    /// Takes a rule out of force.
    pub fn remove(&self, id: RuleId) {
        self.api.lock().rules.remove(id);
    }

    /// Takes every rule out of force.
    pub fn clear(&self) {
        self.api.lock().rules.clear();
    }

    /// How often a rule has struck.
    pub fn struck(&self, id: RuleId) -> u32 {
        self.api.lock().rules.struck(id)
    }

    /// Ends live watches cleanly; returns how many.
    pub fn close_watches(&self, which: &Match) -> usize {
        self.signal(which, || Signal::Close)
    }

    /// Breaks the connections of live watches; returns how many.
    pub fn break_watches(&self, which: &Match) -> usize {
        self.signal(which, || Signal::Reset)
    }

    /// Lets live watches fall silent without ending; returns how many.
    pub fn stall_watches(&self, which: &Match) -> usize {
        self.signal(which, || Signal::Stall)
    }

    /// Ends live watches with an ERROR event of code 410; returns how many.
    pub fn expire_watches(&self, which: &Match) -> usize {
        self.signal(which, || {
            Signal::Refuse(refusal::expired("too old resource version"))
        })
    }

    /// How many live watches there are.
    pub fn live_watches(&self, which: &Match) -> usize {
        let mut state = self.api.lock();
        state
            .server
            .store
            .all_watchers()
            .map(|(resource, watchers)| {
                watchers.count(|watcher| picks(which, &resource.1, watcher))
            })
            .sum()
    }

    /// Forgets the history of a kind, so that no watch of it can resume from before now.
    pub fn forget_history(&self, gvk: &GroupVersionKind) {
        let mut state = self.api.lock();
        if let Some(kind) = state.server.kinds.by_gvk(gvk) {
            state.server.store.forget_history(&kind.key());
        }
    }

    fn signal(&self, which: &Match, signal: impl Fn() -> Signal) -> usize {
        let mut state = self.api.lock();
        state
            .server
            .store
            .all_watchers()
            .map(|(resource, watchers)| {
                watchers.signal(|watcher| picks(which, &resource.1, watcher), &signal)
            })
            .sum()
    }
}

fn picks(which: &Match, plural: &str, watcher: &Watcher) -> bool {
    which.covers_watch(&watcher.client, plural, watcher.scope.namespace.as_deref())
}

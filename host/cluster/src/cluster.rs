//! The state that all parts of this crate share, and the tasks that keep it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use serde_json::Value;
use sluice_api as api;
use sluice_engine::object::ObjectKey;
use sluice_engine::observed::{ReplicaSet, Service};
use sluice_engine::plan::Event;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::apply::Writer;
use crate::discovery::Discovery;
use crate::dynamic::Dynamic;
use crate::events::Recorder;
use crate::feed;
use crate::item::Item;
use crate::lease::Gate;
use crate::looks::Looks;
use crate::marks::Departures;
use crate::outbox::{Changed, Outbox};
use crate::references::References;
use crate::requests::instrument;
use crate::store::{Change, Origin, Store, View};
use crate::triggers::{Need, StoreSink, Watched, source};
use crate::{Key, Settings};

/// What is known of the cluster, and the way to change it. Clones share everything.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) shared: Arc<Shared>,
}

/// What the clones share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) writer: Writer,
    pub(crate) discovery: Discovery,
    pub(crate) rollouts: Store<api::Rollout>,
    pub(crate) analysis_runs: Store<api::AnalysisRun>,
    pub(crate) experiments: Store<api::Experiment>,
    pub(crate) analysis_templates: Store<api::AnalysisTemplate>,
    pub(crate) cluster_analysis_templates: Store<api::ClusterAnalysisTemplate>,
    pub(crate) replica_sets: Store<ReplicaSet>,
    pub(crate) services: Store<Service>,
    pub(crate) outbox: Outbox,
    pub(crate) looks: Looks,
    pub(crate) departures: Departures,
    pub(crate) dynamic: Dynamic,
    /// Ends everything that was started on demand.
    pub(crate) stop: CancellationToken,
    recorder: Recorder,
    references: Mutex<References>,
    undecodable: Mutex<BTreeMap<String, u64>>,
    /// Kinds whose first list is not there yet.
    awaited: Mutex<BTreeSet<&'static str>>,
    synced: watch::Sender<bool>,
}

impl Cluster {
    /// Nothing is asked before [`Cluster::run`]. Writes pass while the gate is open. Must be called within a runtime.
    ///
    /// The client should come without retries of its own (`default_retry: false` in its configuration): they would turn
    /// the refusal of an eviction into half a minute of silence, and a lost answer into an object that already exists.
    pub fn new(client: Client, settings: Settings, gate: Gate) -> Self {
        let client = instrument(client, &settings);
        let awaited = awaited(&settings);
        let shared = Shared {
            writer: Writer::new(client.clone(), &settings, gate),
            discovery: Discovery::new(client.clone()),
            rollouts: Store::default(),
            analysis_runs: Store::default(),
            experiments: Store::default(),
            analysis_templates: Store::default(),
            cluster_analysis_templates: Store::default(),
            replica_sets: Store::default(),
            services: Store::default(),
            outbox: Outbox::default(),
            looks: Looks::default(),
            departures: Departures::default(),
            dynamic: Dynamic::default(),
            stop: CancellationToken::new(),
            recorder: Recorder::new(&settings),
            references: Mutex::default(),
            undecodable: Mutex::default(),
            awaited: Mutex::new(awaited),
            synced: watch::Sender::new(false),
            client,
            settings,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Runs every watch and hands out changes until told to stop; then writes the events that are still waiting.
    /// A full channel delays nothing but the changes themselves: they are merged while they wait.
    pub async fn run(&self, changed: mpsc::Sender<Changed>, stop: CancellationToken) {
        let shared = &self.shared;
        let mut tasks = JoinSet::new();
        if !shared.settings.analysis_only {
            self.watch::<api::Rollout>(&mut tasks);
            self.watch::<ReplicaSet>(&mut tasks);
            self.watch::<Service>(&mut tasks);
            self.watch::<api::AnalysisTemplate>(&mut tasks);
            if shared.settings.namespace.is_none() {
                self.watch::<api::ClusterAnalysisTemplate>(&mut tasks);
            }
            self.watch::<api::Experiment>(&mut tasks);
        }
        self.watch::<api::AnalysisRun>(&mut tasks);
        let recorder = tokio::spawn(Arc::clone(shared).record_events(shared.stop.child_token()));
        loop {
            let change = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                change = shared.outbox.take() => change,
            };
            if let Changed::Deleted { kind, key, uid } = &change {
                shared.looks.forget(*kind, key, uid);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                sent = changed.send(change) => if sent.is_err() { break },
            }
        }
        shared.stop.cancel();
        if let Err(error) = recorder.await {
            tracing::error!(%error, "the recorder of events ended");
        }
        while tasks.join_next().await.is_some() {}
    }

    fn watch<T: Watched>(&self, tasks: &mut JoinSet<()>) {
        let shared = &self.shared;
        let sink = StoreSink::<T>::new(Arc::clone(shared));
        let source = source::<T>(&shared.settings);
        tasks.spawn(feed::follow(
            shared.client.clone(),
            source,
            sink,
            shared.stop.child_token(),
        ));
    }

    /// Whether every list that decisions need has been read once: before that nothing should be decided. A kind that is not
    /// served counts as read.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.shared.synced.subscribe()
    }

    /// Returns when every such list has been read once.
    pub async fn wait_synced(&self) {
        // The sender lives as long as self.
        let _ = self
            .shared
            .synced
            .subscribe()
            .wait_for(|synced| *synced)
            .await;
    }

    /// All Rollouts, ordered by namespace and name.
    pub fn rollouts(&self) -> Vec<Arc<api::Rollout>> {
        self.shared.rollouts.all()
    }

    /// All AnalysisRuns, ordered by namespace and name.
    pub fn analysis_runs(&self) -> Vec<Arc<api::AnalysisRun>> {
        self.shared.analysis_runs.all()
    }

    /// All Experiments, ordered by namespace and name.
    pub fn experiments(&self) -> Vec<Arc<api::Experiment>> {
        self.shared.experiments.all()
    }

    /// All AnalysisTemplates, ordered by namespace and name.
    pub fn analysis_templates(&self) -> Vec<Arc<api::AnalysisTemplate>> {
        self.shared.analysis_templates.all()
    }

    /// All ClusterAnalysisTemplates, ordered by name.
    pub fn cluster_analysis_templates(&self) -> Vec<Arc<api::ClusterAnalysisTemplate>> {
        self.shared.cluster_analysis_templates.all()
    }

    /// How often an object or one of its fields could not be read, by kind.
    pub fn undecodable(&self) -> BTreeMap<String, u64> {
        lock(&self.shared.undecodable).clone()
    }

    /// Queues events; they are written in this order, away from the pass that caused them. Failures are only logged.
    pub fn record(&self, events: Vec<Event>) {
        self.shared.recorder.push(events);
    }
}

impl Shared {
    /// The references of all Rollouts.
    pub(crate) fn references(&self) -> MutexGuard<'_, References> {
        lock(&self.references)
    }

    /// Whether every first list is there.
    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// The first list of a kind is there, or it is known that there will be none.
    pub(crate) fn kind_synced(&self, kind: &'static str) {
        let mut awaited = lock(&self.awaited);
        awaited.remove(kind);
        if awaited.is_empty() {
            drop(awaited);
            let first = self
                .synced
                .send_if_modified(|synced| !std::mem::replace(synced, true));
            if first {
                self.announce_abandoned_services();
            }
        }
    }

    /// Decodes and keeps an object, if it is newer than what is there, and says what that changes.
    pub(crate) fn keep<T: Watched>(&self, item: Item, origin: Origin) {
        let store = T::store(self);
        let key = item.key();
        if store.is_superseded(&key, item.uid(), item.version(), origin) {
            return;
        }
        let before = store.get(&key);
        match T::decode(item.body, before.as_deref()) {
            Ok(read) => {
                for problem in &read.problems {
                    tracing::warn!(kind = T::KIND, object = %key, problem, "left out a field that cannot be read");
                }
                self.count_undecodable(T::KIND, read.problems.len());
                // What the watch does not select would never be seen to go.
                if read.view.selected(&self.settings) {
                    self.announce(store.put(read.view, origin));
                } else {
                    let metadata = read.view.metadata();
                    let version = Some(metadata.resource_version.as_str());
                    self.announce(store.remove(&key, &metadata.uid, version));
                }
            }
            Err(error) => {
                tracing::warn!(kind = T::KIND, object = %key, error, "skipped an object that cannot be read");
                self.count_undecodable(T::KIND, 1);
                store.seen(key);
            }
        }
    }

    /// Says what a change asks to look at.
    pub(crate) fn announce<T: Watched>(&self, change: Option<Change<T>>) {
        if let Some(change) = change {
            self.outbox.extend(T::triggers(self, &change));
        }
    }

    /// An object of a kind that is watched on demand has changed.
    pub(crate) fn announce_object(&self, object: &ObjectKey) {
        self.outbox.extend(self.looks.wanting(object));
        self.outbox.put(Changed::Object(object.clone()));
    }

    /// Counts objects or fields of a kind that could not be read.
    pub(crate) fn count_undecodable(&self, kind: &str, count: usize) {
        if count > 0 {
            let mut counts = lock(&self.undecodable);
            *counts.entry(kind.to_owned()).or_default() += u64::try_from(count).unwrap_or(u64::MAX);
        }
    }

    /// The answer to an own write is a fact at once: no pass acts on what it has overwritten itself.
    pub(crate) fn absorb(&self, target: &ObjectKey, body: Value) {
        if self.dynamic.absorb(target, &body) {
            self.announce_object(target);
        }
        let item = Item::from(body);
        match (target.api_version.as_str(), target.kind.as_str()) {
            ("apps/v1", ReplicaSet::KIND) => self.keep::<ReplicaSet>(item, Origin::Own),
            ("v1", Service::KIND) => self.keep::<Service>(item, Origin::Own),
            (ARGO, <api::Rollout as Watched>::KIND) => self.keep::<api::Rollout>(item, Origin::Own),
            (ARGO, <api::AnalysisRun as Watched>::KIND) => {
                self.keep::<api::AnalysisRun>(item, Origin::Own)
            }
            (ARGO, <api::Experiment as Watched>::KIND) => {
                self.keep::<api::Experiment>(item, Origin::Own)
            }
            _ => {}
        }
    }

    /// The same for an object that an own write has deleted.
    pub(crate) fn absorb_deletion(&self, target: &ObjectKey, uid: &str) {
        if self.dynamic.absorb_deletion(target, uid) {
            self.announce_object(target);
        }
        let key = Key::from(target);
        match (target.api_version.as_str(), target.kind.as_str()) {
            ("apps/v1", ReplicaSet::KIND) => self.drop_own::<ReplicaSet>(&key, uid),
            ("v1", Service::KIND) => self.drop_own::<Service>(&key, uid),
            (ARGO, <api::AnalysisRun as Watched>::KIND) => {
                self.drop_own::<api::AnalysisRun>(&key, uid)
            }
            (ARGO, <api::Experiment as Watched>::KIND) => {
                self.drop_own::<api::Experiment>(&key, uid)
            }
            _ => {}
        }
    }

    /// The UID of an object that is kept, to delete it and no namesake.
    pub(crate) fn known_uid(&self, target: &ObjectKey) -> Option<String> {
        let key = Key::from(target);
        match (target.api_version.as_str(), target.kind.as_str()) {
            ("apps/v1", ReplicaSet::KIND) => uid(&self.replica_sets, &key),
            ("v1", Service::KIND) => uid(&self.services, &key),
            (ARGO, <api::AnalysisRun as Watched>::KIND) => uid(&self.analysis_runs, &key),
            (ARGO, <api::Experiment as Watched>::KIND) => uid(&self.experiments, &key),
            _ => self.dynamic.uid(target),
        }
    }

    fn drop_own<T: Watched>(&self, key: &Key, uid: &str) {
        self.announce(T::store(self).remove(key, uid, None));
    }

    async fn record_events(self: Arc<Self>, stop: CancellationToken) {
        self.recorder.run(&self.writer, stop).await;
    }
}

/// `apiVersion` of the five kinds.
const ARGO: &str = <api::Rollout as api::Kind>::API_VERSION;

fn uid<T: View>(store: &Store<T>, key: &Key) -> Option<String> {
    store.get(key).map(|object| object.metadata().uid.clone())
}

/// The kinds whose first lists decisions wait for.
fn awaited(settings: &Settings) -> BTreeSet<&'static str> {
    fn of<T: Watched>() -> (&'static str, Need) {
        (T::KIND, T::NEED)
    }
    let mut kinds = vec![of::<api::AnalysisRun>()];
    if !settings.analysis_only {
        kinds.extend([
            of::<api::Rollout>(),
            of::<api::Experiment>(),
            of::<api::AnalysisTemplate>(),
            of::<ReplicaSet>(),
            of::<Service>(),
        ]);
        if settings.namespace.is_none() {
            kinds.push(of::<api::ClusterAnalysisTemplate>());
        }
    }
    let needed = kinds.into_iter().filter(|(_, need)| *need != Need::Never);
    needed.map(|(kind, _)| kind).collect()
}

/// A poisoned lock still holds consistent data: every change under these locks is complete or not begun.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

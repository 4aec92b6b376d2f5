//! The watched kinds: how each is watched, where it is kept, and what a change of it asks to look at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_api as api;
use sluice_engine::keys;
use sluice_engine::observed::{ReplicaSet, Service};
use tokio::time::Instant;

use crate::backoff::seed_for;
use crate::cluster::Shared;
use crate::feed::{Sink, Source, Trouble};
use crate::item::Item;
use crate::kinds::{self, Served};
use crate::outbox::{Changed, SubjectKind};
use crate::references::{self, Reference};
use crate::store::{Change, Origin, Store, View};
use crate::views::Decode;
use crate::{Key, Settings, selector};

/// A kind that is watched from the start.
pub(crate) trait Watched: Decode {
    /// `kind` of an object.
    const KIND: &'static str;
    /// How long decisions wait for its first list.
    const NEED: Need;

    /// Where it is served.
    fn served() -> Served;
    /// The label selector of its watch. Our own kinds are shared out among controllers (CTL-010).
    fn labels(settings: &Settings) -> Option<String> {
        Some(settings.instance_selector())
    }
    /// Whether that selector takes this object.
    fn selected(&self, settings: &Settings) -> bool {
        settings.selects(&self.metadata().labels)
    }
    /// Where it is kept.
    fn store(shared: &Shared) -> &Store<Self>;
    /// What to look at after a change.
    fn triggers(shared: &Shared, change: &Change<Self>) -> Vec<Changed>;
    /// Its first list is there, after it had counted as read without one.
    fn listed_late(_: &Shared) {}
}

/// How much decisions need the first list of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// They would be wrong without it: nothing is decided until it could be had.
    Always,
    /// Nothing is decided until it could be had or is refused. A run that has failed must not go unheard.
    UnlessRefused,
    /// What needs it says so by itself: it is waited for, but not longer than [`PATIENCE`].
    Briefly,
    /// This version does nothing with it.
    Never,
}

/// How long the failing list of a kind that is needed [`Need::Briefly`] may hold up the start.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the watch of this kind asks the API server for.
pub(crate) fn source<T: Watched>(settings: &Settings) -> Source {
    Source {
        served: T::served(),
        namespace: settings.namespace.clone(),
        labels: T::labels(settings),
        page_size: settings.page_size,
        seed: seed_for(settings.seed, T::KIND),
    }
}

impl Watched for api::Rollout {
    const KIND: &'static str = "Rollout";
    const NEED: Need = Need::Always;

    fn served() -> Served {
        kinds::of::<Self>()
    }

    fn store(shared: &Shared) -> &Store<Self> {
        &shared.rollouts
    }

    fn triggers(shared: &Shared, change: &Change<Self>) -> Vec<Changed> {
        let mut changes = subject_triggers(SubjectKind::Rollout, change);
        if let (Some(gone), [Changed::Deleted { .. }, ..]) = (&change.before, changes.as_slice()) {
            shared.departures.keep(gone);
        }
        let Some(key) = change_key(change) else {
            return changes;
        };
        // Two versions may be announced at once and in the wrong order; under the lock, only the newest counts.
        let mut held = shared.references();
        let now = shared.rollouts.get(&key);
        let references = now.as_deref().map(references::of_rollout);
        let dropped = held.replace(&key, references.unwrap_or_default());
        drop(held);
        // A Service that lost its Rollout may still carry our selector (SVC-005).
        changes.extend(dropped.into_iter().filter_map(|reference| {
            match reference {
                Reference::Service(service) => shared
                    .services
                    .get(&service)
                    .filter(|service| is_ours(service))
                    .map(|_| Changed::Service(service)),
                Reference::Template(_) | Reference::ClusterTemplate(_) => None,
            }
        }));
        changes
    }

    fn listed_late(shared: &Shared) {
        shared.announce_abandoned_services();
    }
}

impl Watched for api::AnalysisRun {
    const KIND: &'static str = "AnalysisRun";
    const NEED: Need = Need::UnlessRefused;

    fn served() -> Served {
        kinds::of::<Self>()
    }

    fn store(shared: &Shared) -> &Store<Self> {
        &shared.analysis_runs
    }

    fn triggers(_: &Shared, change: &Change<Self>) -> Vec<Changed> {
        let mut changes = subject_triggers(SubjectKind::AnalysisRun, change);
        // Every measurement changes the run; its owner cares only about the verdict.
        let phase = |run: &Option<Arc<Self>>| run.as_ref().map(|run| run.status.phase.clone());
        if phase(&change.before) != phase(&change.after) {
            changes.extend(owner_triggers(change));
        }
        changes
    }
}

impl Watched for api::Experiment {
    const KIND: &'static str = "Experiment";
    const NEED: Need = Need::Never;

    fn served() -> Served {
        kinds::of::<Self>()
    }

    fn store(shared: &Shared) -> &Store<Self> {
        &shared.experiments
    }

    fn triggers(_: &Shared, change: &Change<Self>) -> Vec<Changed> {
        // The Rollout reads the weights of the templates too, so every change concerns it.
        let mut changes = subject_triggers(SubjectKind::Experiment, change);
        changes.extend(owner_triggers(change));
        changes
    }
}

impl Watched for api::AnalysisTemplate {
    const KIND: &'static str = "AnalysisTemplate";
    const NEED: Need = Need::Briefly;

    fn served() -> Served {
        kinds::of::<Self>()
    }

    fn store(shared: &Shared) -> &Store<Self> {
        &shared.analysis_templates
    }

    fn triggers(shared: &Shared, change: &Change<Self>) -> Vec<Changed> {
        change_key(change).map_or_else(Vec::new, |key| {
            template_triggers(shared, Reference::Template(key))
        })
    }
}

impl Watched for api::ClusterAnalysisTemplate {
    const KIND: &'static str = "ClusterAnalysisTemplate";
    const NEED: Need = Need::Briefly;

    fn served() -> Served {
        kinds::of::<Self>()
    }

    fn store(shared: &Shared) -> &Store<Self> {
        &shared.cluster_analysis_templates
    }

    fn triggers(shared: &Shared, change: &Change<Self>) -> Vec<Changed> {
        change_key(change).map_or_else(Vec::new, |key| {
            template_triggers(shared, Reference::ClusterTemplate(key.name))
        })
    }
}

impl Watched for ReplicaSet {
    const KIND: &'static str = "ReplicaSet";
    const NEED: Need = Need::Always;

    fn served() -> Served {
        Served::new("apps/v1", "ReplicaSet", "replicasets", true)
    }

    fn labels(_: &Settings) -> Option<String> {
        Some(keys::POD_TEMPLATE_HASH.to_owned())
    }

    fn selected(&self, _: &Settings) -> bool {
        self.metadata.labels.contains_key(keys::POD_TEMPLATE_HASH)
    }

    fn store(shared: &Shared) -> &Store<Self> {
        &shared.replica_sets
    }

    fn triggers(shared: &Shared, change: &Change<Self>) -> Vec<Changed> {
        let mut changes = owner_triggers(change);
        if let Some(set) = change
            .after
            .as_deref()
            .filter(|set| set.metadata.controller().is_none())
        {
            // Whoever selects an orphan may adopt it.
            let rollouts = shared.rollouts.in_namespace(&set.metadata.namespace);
            let selecting = rollouts.iter().filter(|rollout| {
                let wanted = rollout
                    .spec
                    .selector
                    .as_ref()
                    .filter(|wanted| !wanted.is_empty());
                wanted.is_some_and(|wanted| selector::matches(wanted, &set.metadata.labels))
            });
            changes.extend(selecting.map(|rollout| Changed::Rollout(Key::of(&rollout.metadata))));
        }
        changes
    }
}

impl Watched for Service {
    const KIND: &'static str = "Service";
    const NEED: Need = Need::Always;

    fn served() -> Served {
        Served::new("v1", "Service", "services", true)
    }

    fn labels(_: &Settings) -> Option<String> {
        None
    }

    fn selected(&self, _: &Settings) -> bool {
        true
    }

    fn store(shared: &Shared) -> &Store<Self> {
        &shared.services
    }

    fn triggers(shared: &Shared, change: &Change<Self>) -> Vec<Changed> {
        let Some(key) = change_key(change) else {
            return Vec::new();
        };
        let mut rollouts = shared
            .references()
            .holders(&Reference::Service(key.clone()));
        let claimed = !rollouts.is_empty();
        for service in [&change.before, &change.after].into_iter().flatten() {
            let manager = service.metadata.annotations.get(keys::MANAGED_BY);
            let manager = manager.map(|name| Key::new(&key.namespace, name));
            rollouts.extend(manager.filter(|manager| shared.rollouts.get(manager).is_some()));
        }
        let mut changes: Vec<Changed> = rollouts.into_iter().map(Changed::Rollout).collect();
        // Which Rollouts exist is only known once their list is complete; until then nothing looks abandoned.
        if !claimed && shared.knows_rollouts() && change.after.as_deref().is_some_and(is_ours) {
            changes.push(Changed::Service(key));
        }
        changes
    }
}

/// Whether a Service carries what a Rollout puts there. A Service that has a controller, such as an Experiment, is that
/// one's business.
pub(crate) fn is_ours(service: &Service) -> bool {
    service.selected_hash().is_some() && service.metadata.controller().is_none()
}

fn change_key<T: View>(change: &Change<T>) -> Option<Key> {
    change
        .after
        .as_ref()
        .or(change.before.as_ref())
        .map(|object| Key::of(object.metadata()))
}

/// A subject itself: look at it; and a predecessor of the same name but another UID is gone.
fn subject_triggers<T: View>(kind: SubjectKind, change: &Change<T>) -> Vec<Changed> {
    let mut changes = Vec::new();
    let after = change.after.as_ref().map(|after| after.metadata());
    if let Some(before) = change.before.as_ref().map(|before| before.metadata())
        && after.is_none_or(|after| after.uid != before.uid)
    {
        changes.push(Changed::Deleted {
            kind,
            key: Key::of(before),
            uid: before.uid.clone(),
        });
    }
    changes.extend(after.map(|after| kind.changed(Key::of(after))));
    changes
}

/// The subjects that control the object, or did before.
fn owner_triggers<T: View>(change: &Change<T>) -> Vec<Changed> {
    let objects = [&change.before, &change.after].into_iter().flatten();
    let owners: BTreeSet<Changed> = objects
        .filter_map(|object| {
            let metadata = object.metadata();
            let owner = metadata.controller()?;
            let argo = kinds::split(&owner.api_version).0 == api::GROUP;
            let kind = SubjectKind::from_name(&owner.kind).filter(|_| argo)?;
            Some(kind.changed(Key::new(&metadata.namespace, &owner.name)))
        })
        .collect();
    owners.into_iter().collect()
}

/// The Rollouts and Experiments that name a template, directly or through other templates: one that waited for it can go
/// on.
fn template_triggers(shared: &Shared, changed: Reference) -> Vec<Changed> {
    // Before that, everything is looked at anyway.
    if !shared.is_synced() {
        return Vec::new();
    }
    let mut reached = BTreeSet::from([changed]);
    loop {
        let before = reached.len();
        for template in shared.analysis_templates.all() {
            let key = Key::of(&template.metadata);
            let names = references::nested(&template.spec);
            if names
                .iter()
                .any(|name| reached.contains(&name.in_namespace(&key.namespace)))
            {
                reached.insert(Reference::Template(key));
            }
        }
        for template in shared.cluster_analysis_templates.all() {
            let names = references::nested(&template.spec);
            // A cluster-scoped template can only name its like.
            if names
                .iter()
                .any(|name| reached.contains(&Reference::ClusterTemplate(name.name.clone())))
            {
                reached.insert(Reference::ClusterTemplate(template.metadata.name.clone()));
            }
        }
        if reached.len() == before {
            break;
        }
    }
    let references = shared.references();
    let rollouts: BTreeSet<Key> = reached
        .iter()
        .flat_map(|reference| references.holders(reference))
        .collect();
    drop(references);
    let experiments = shared.experiments.all().into_iter().filter(|experiment| {
        let names = references::experiment_templates(&experiment.spec);
        let namespace = &experiment.metadata.namespace;
        names
            .iter()
            .any(|name| reached.contains(&name.in_namespace(namespace)))
    });
    let experiments =
        experiments.map(|experiment| Changed::Experiment(Key::of(&experiment.metadata)));
    rollouts
        .into_iter()
        .map(Changed::Rollout)
        .chain(experiments)
        .collect()
}

/// Keeps what a watch delivers, and says what it changes.
pub(crate) struct StoreSink<T> {
    shared: Arc<Shared>,
    synced: bool,
    began: Instant,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: Watched> StoreSink<T> {
    /// A sink into the store of this kind.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            synced: false,
            began: Instant::now(),
            kind: std::marker::PhantomData,
        }
    }

    fn now_synced(&mut self) {
        if !self.synced {
            self.synced = true;
            self.shared.kind_synced(T::KIND);
        }
    }
}

impl<T: Watched> Sink for StoreSink<T> {
    fn begin(&mut self) {
        T::store(&self.shared).begin_list();
    }

    fn put(&mut self, item: Item, listed: bool) {
        let origin = if listed { Origin::List } else { Origin::Watch };
        self.shared.keep::<T>(item, origin);
    }

    fn delete(&mut self, item: Item) {
        let store = T::store(&self.shared);
        let change = store.remove(&item.key(), item.uid(), Some(item.version()));
        self.shared.announce(change);
    }

    fn complete(&mut self) -> Vec<Key> {
        let store = T::store(&self.shared);
        let late = self.synced && !store.was_listed();
        let unseen = store.finish_list();
        self.now_synced();
        if late {
            T::listed_late(&self.shared);
        }
        unseen
    }

    fn missing(&mut self, key: &Key, certain: bool) {
        let change = T::store(&self.shared).missing(key, certain);
        self.shared.announce(change);
    }

    fn trouble(&mut self, trouble: Trouble) {
        let counts_as_read = match trouble {
            // What was known stays: an API server that is starting up answers 404 for kinds that it will serve. Whoever
            // cannot do without the list asks whether there was one.
            Trouble::NotServed(_) => true,
            Trouble::Forbidden(_) => T::NEED != Need::Always,
            Trouble::Unavailable(_) => T::NEED == Need::Briefly && self.began.elapsed() >= PATIENCE,
        };
        if counts_as_read {
            self.now_synced();
        }
    }
}

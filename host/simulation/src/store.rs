//! Where objects are kept: ordered collections, one resourceVersion for all of them, and a history per collection.
//!
//! The store knows nothing of kinds, defaults or rules; [`crate::server`] does.
//! From the history come watches that resume, pages of one list that agree with each other, and stale reads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::json;
use crate::kinds::Resource;
use crate::watch::Watchers;

/// Namespace (empty for cluster-wide kinds) and name.
pub(crate) type Key = (String, String);

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The resourceVersion that the write made.
    pub version: u64,
    /// Which object.
    pub key: Key,
    /// The object before, if there was one.
    pub before: Option<Arc<Value>>,
    /// The object after, if there is one.
    pub after: Option<Arc<Value>>,
}

impl Change {
    /// The object as it is after the write, or as it was when it was deleted (at the version of the deletion).
    pub(crate) fn object(&self) -> Option<Arc<Value>> {
        self.after.clone().or_else(|| {
            self.before
                .as_deref()
                .map(|before| Arc::new(with_version(before.clone(), self.version)))
        })
    }
}

/// All collections.
#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    collections: BTreeMap<Resource, Collection>,
    history_limit: usize,
    /// No watch can resume from before this version.
    beginning: u64,
    journals: Vec<UnboundedSender<(Resource, Change)>>,
}

/// The objects of one kind.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// The newest version that the history no longer has.
    forgotten: u64,
    /// Who is watching.
    pub watchers: Watchers,
}

impl Store {
    /// An empty store that remembers so many changes per collection.
    pub(crate) fn new(history_limit: usize) -> Self {
        Self {
            version: 1,
            collections: BTreeMap::new(),
            history_limit,
            beginning: 0,
            journals: Vec::new(),
        }
    }

    /// The same objects, which nobody watches and of whose past nothing is known.
    pub(crate) fn present(&self, history_limit: usize) -> Self {
        let objects = |(resource, collection): (&Resource, &Collection)| {
            let collection = Collection {
                objects: collection.objects.clone(),
                ..Collection::default()
            };
            (resource.clone(), collection)
        };
        Self {
            version: self.version,
            collections: self.collections.iter().map(objects).collect(),
            history_limit,
            beginning: self.version,
            journals: Vec::new(),
        }
    }

    /// The newest resourceVersion.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// An object by name.
    pub(crate) fn get(&self, resource: &Resource, key: &Key) -> Option<Arc<Value>> {
        self.collections.get(resource)?.objects.get(key).cloned()
    }

    /// The objects of a collection now, ordered by namespace and name; of one namespace only, if one is given.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &Resource,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> + use<'a> {
        let first = (namespace.unwrap_or_default().to_owned(), String::new());
        self.collections
            .get(resource)
            .into_iter()
            .flat_map(move |collection| collection.objects.range(first.clone()..))
            .take_while(move |((in_namespace, _), _)| {
                namespace.is_none_or(|wanted| wanted == in_namespace)
            })
    }

    /// The collection as it was at a version; nothing if that is longer ago than the history reaches.
    pub(crate) fn list_at(
        &self,
        resource: &Resource,
        version: u64,
    ) -> Option<BTreeMap<Key, Arc<Value>>> {
        let Some(collection) = self.collections.get(resource) else {
            return Some(BTreeMap::new());
        };
        if version < collection.forgotten {
            return None;
        }
        let mut objects = collection.objects.clone();
        for change in collection
            .history
            .iter()
            .rev()
            .take_while(|change| change.version > version)
        {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Some(objects)
    }

    /// Every change of a collection after a version; nothing if that is longer ago than the history reaches.
    pub(crate) fn changes_since(
        &self,
        resource: &Resource,
        version: u64,
    ) -> Result<Vec<Change>, TooOld> {
        let collection = self.collections.get(resource);
        let forgotten = collection.map_or(0, |collection| collection.forgotten);
        let oldest = forgotten.max(self.beginning);
        if version < oldest {
            return Err(TooOld { oldest });
        }
        let Some(collection) = collection else {
            return Ok(Vec::new());
        };
        Ok(collection
            .history
            .iter()
            .filter(|change| change.version > version)
            .cloned()
            .collect())
    }

    /// The version of the change before the last `count` changes of a collection: what a stale cache would have.
    pub(crate) fn version_before(&self, resource: &Resource, count: usize) -> u64 {
        self.collections
            .get(resource)
            .and_then(|collection| collection.history.iter().rev().nth(count.saturating_sub(1)))
            .map_or(self.version, |change| change.version.saturating_sub(1))
    }

    /// Lets no watch resume from before now.
    pub(crate) fn forget_the_past(&mut self) {
        self.beginning = self.version;
    }

    /// Forgets the history of a collection, so that no watch can resume from before now.
    pub(crate) fn forget_history(&mut self, resource: &Resource) {
        let version = self.version;
        let collection = self.collections.entry(resource.clone()).or_default();
        collection.history.clear();
        collection.forgotten = version;
    }

    /// Writes an object and returns it with its new resourceVersion.
    pub(crate) fn put(&mut self, resource: &Resource, key: Key, object: Value) -> Arc<Value> {
        self.version += 1;
        let object = Arc::new(with_version(object, self.version));
        let collection = self.collections.entry(resource.clone()).or_default();
        let before = collection.objects.insert(key.clone(), Arc::clone(&object));
        let change = Change {
            version: self.version,
            key,
            before,
            after: Some(Arc::clone(&object)),
        };
        self.record(resource, change);
        object
    }

    /// Removes an object and returns its last state.
    pub(crate) fn remove(&mut self, resource: &Resource, key: &Key) -> Option<Arc<Value>> {
        let before = self.collections.get_mut(resource)?.objects.remove(key)?;
        self.version += 1;
        let change = Change {
            version: self.version,
            key: key.clone(),
            before: Some(before),
            after: None,
        };
        let last = change.object();
        self.record(resource, change);
        last
    }

    /// The watchers of a collection.
    pub(crate) fn watchers(&mut self, resource: &Resource) -> &mut Watchers {
        &mut self
            .collections
            .entry(resource.clone())
            .or_default()
            .watchers
    }

    /// The watchers of every collection.
    pub(crate) fn all_watchers(&mut self) -> impl Iterator<Item = (&Resource, &mut Watchers)> {
        self.collections
            .iter_mut()
            .map(|(resource, collection)| (resource, &mut collection.watchers))
    }

    /// Every change from now on, of every collection, in order.
    pub(crate) fn journal(&mut self) -> UnboundedReceiver<(Resource, Change)> {
        let (sender, receiver) = unbounded_channel();
        self.journals.push(sender);
        receiver
    }

    fn record(&mut self, resource: &Resource, change: Change) {
        let Some(collection) = self.collections.get_mut(resource) else {
            return;
        };
        collection.watchers.tell(&change);
        self.journals
            .retain(|journal| journal.send((resource.clone(), change.clone())).is_ok());
        collection.history.push_back(change);
        while collection.history.len() > self.history_limit {
            if let Some(oldest) = collection.history.pop_front() {
                collection.forgotten = oldest.version;
            }
        }
    }
}

/// A version is longer ago than the history reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    /// The oldest version that can still be asked for.
    pub oldest: u64,
}

/// The object's own resourceVersion, as a number.
pub(crate) fn version_of(object: &Value) -> u64 {
    json::text(object, "/metadata/resourceVersion")
        .parse()
        .unwrap_or_default()
}

/// The object with another resourceVersion.
fn with_version(mut object: Value, version: u64) -> Value {
    json::set(
        json::child(&mut object, "metadata"),
        "resourceVersion",
        version.to_string(),
    );
    object
}

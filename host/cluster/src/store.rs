//! Trimmed objects of one kind, ordered by namespace and name, never older than what this process has written.
//!
//! Watch events and answers to own writes arrive in any order. An object is replaced only by a newer version of itself
//! (resourceVersions of one kind are ordered integers), and what is known to be gone comes back only in a newer version.
//! A list is not trusted to show everything: what it does not show has to be looked at before it counts as gone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_api::ObjectMeta;
use sluice_engine::planted::{self, Bug};

use crate::Key;

/// A trimmed object.
pub(crate) trait View: Send + Sync + 'static {
    /// Name, UID, version.
    fn metadata(&self) -> &ObjectMeta;

    /// What it is indexed under, if its kind is indexed: the UID of its controller, empty where it has none.
    fn owner(&self) -> Option<&str> {
        None
    }
}

/// The UID of the controller, for [`View::owner`].
pub(crate) fn controller_uid(metadata: &ObjectMeta) -> &str {
    metadata.controller().map_or("", |owner| owner.uid.as_str())
}

/// An object before and after; one of the two may be missing, and both are there when it was replaced.
#[derive(Debug)]
pub(crate) struct Change<T> {
    /// As it was.
    pub(crate) before: Option<Arc<T>>,
    /// As it is.
    pub(crate) after: Option<Arc<T>>,
}

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An item of the list in progress.
    List,
    /// A watch event.
    Watch,
    /// The answer to an own write.
    Own,
}

/// Deleted objects that are remembered. They only have to outlive answers and events that are under way.
const REMEMBERED: usize = 4096;

/// Objects of one kind.
#[derive(Debug)]
pub(crate) struct Store<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    objects: BTreeMap<Key, Arc<T>>,
    by_owner: BTreeMap<String, BTreeSet<Key>>,
    /// Deleted objects by UID: the version of the deletion, or None when nothing can come after it.
    gone: BTreeMap<String, Option<String>>,
    gone_in_order: VecDeque<String>,
    /// What the list in progress has shown so far.
    listed: Option<BTreeSet<Key>>,
    /// Whether a list was ever complete.
    was_listed: bool,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                objects: BTreeMap::new(),
                by_owner: BTreeMap::new(),
                gone: BTreeMap::new(),
                gone_in_order: VecDeque::new(),
                listed: None,
                was_listed: false,
            }),
        }
    }
}

impl<T: View> Store<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object of this name.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.lock().objects.get(key).cloned()
    }

    /// All objects, in order.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.lock().objects.values().cloned().collect()
    }

    /// The objects of a namespace, in order.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let first = Key::new(namespace, "");
        let inner = self.lock();
        inner
            .objects
            .range(first..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// The objects of a namespace whose names begin like this, in order.
    pub(crate) fn with_prefix(&self, namespace: &str, prefix: &str) -> Vec<Arc<T>> {
        let first = Key::new(namespace, prefix);
        let inner = self.lock();
        inner
            .objects
            .range(first..)
            .take_while(|(key, _)| key.namespace == namespace && key.name.starts_with(prefix))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// The objects whose controller has this UID (empty: that have none), in order. Only for indexed kinds.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Arc<T>> {
        let inner = self.lock();
        let keys = inner.by_owner.get(uid).into_iter().flatten();
        keys.filter_map(|key| inner.objects.get(key).cloned())
            .collect()
    }

    /// Whether [`Store::put`] would not keep an object of this identity, so that it need not be decoded: answers to own
    /// writes come back as watch events, and every list shows what is known. It counts as listed.
    pub(crate) fn is_superseded(
        &self,
        key: &Key,
        uid: &str,
        version: &str,
        origin: Origin,
    ) -> bool {
        let mut inner = self.lock();
        let superseded = match inner.gone.get(uid) {
            Some(None) => true,
            Some(Some(gone)) if !is_newer(version, gone) => true,
            Some(Some(_)) | None => inner.objects.get(key).is_some_and(|known| {
                let known = known.metadata();
                known.uid == uid && !is_newer(version, &known.resource_version)
            }),
        };
        if let (true, Origin::List, Some(listed)) = (superseded, origin, &mut inner.listed) {
            listed.insert(key.clone());
        }
        superseded
    }

    /// Keeps the object if it is newer than what is there. None when it is not.
    pub(crate) fn put(&self, object: T, origin: Origin) -> Option<Change<T>> {
        let mut inner = self.lock();
        let key = Key::of(object.metadata());
        if let (Origin::List, Some(listed)) = (origin, &mut inner.listed) {
            listed.insert(key.clone());
        }
        let new = object.metadata();
        match inner.gone.get(&new.uid) {
            Some(None) => return None,
            // It left the selection of the watch, and may be back.
            Some(Some(version)) if !is_newer(&new.resource_version, version) => return None,
            Some(Some(_)) | None => {}
        }
        let before = inner.objects.get(&key).cloned();
        if let Some(before) = &before {
            let old = before.metadata();
            if !is_newer(&new.resource_version, &old.resource_version) {
                return None;
            }
            inner.unindex(&key, before);
            if old.uid != new.uid {
                inner.remember_gone(&old.uid, None);
            }
        }
        let after = Arc::new(object);
        if let Some(owner) = after.owner() {
            inner
                .by_owner
                .entry(owner.to_owned())
                .or_default()
                .insert(key.clone());
        }
        inner.objects.insert(key, Arc::clone(&after));
        Some(Change {
            before,
            after: Some(after),
        })
    }

    /// An object is listed but cannot be read: what is known of it stays.
    pub(crate) fn seen(&self, key: Key) {
        if let Some(listed) = &mut self.lock().listed {
            listed.insert(key);
        }
    }

    /// Removes an object that was deleted in this version (None: nothing of this UID can come any more), or that a watch
    /// does not select any more. A namesake with another UID stays.
    pub(crate) fn remove(&self, key: &Key, uid: &str, version: Option<&str>) -> Option<Change<T>> {
        let mut inner = self.lock();
        inner.remember_gone(uid, version);
        let object = inner
            .objects
            .get(key)
            .filter(|object| object.metadata().uid == uid)?;
        // An own write may have brought it back meanwhile.
        if version.is_some_and(|version| is_newer(&object.metadata().resource_version, version)) {
            return None;
        }
        if version.is_some() && planted::is(Bug::DeletionMissed) {
            return None;
        }
        let before = inner.objects.remove(key)?;
        inner.unindex(key, &before);
        Some(Change {
            before: Some(before),
            after: None,
        })
    }

    /// Removes an object that no list shows. If that it is gone is not `certain`, the list may have been older than the
    /// object: whoever tells of it later is believed.
    pub(crate) fn missing(&self, key: &Key, certain: bool) -> Option<Change<T>> {
        let mut inner = self.lock();
        let before = inner.objects.remove(key)?;
        inner.unindex(key, &before);
        if certain {
            inner.remember_gone(&before.metadata().uid, None);
        }
        Some(Change {
            before: Some(before),
            after: None,
        })
    }

    /// A list begins.
    pub(crate) fn begin_list(&self) {
        self.lock().listed = Some(BTreeSet::new());
    }

    /// The list is complete. Returned is what is kept although the list did not show it: deleted meanwhile, or written
    /// since the list was made.
    pub(crate) fn finish_list(&self) -> Vec<Key> {
        let mut inner = self.lock();
        let Some(listed) = inner.listed.take() else {
            return Vec::new();
        };
        inner.was_listed = true;
        let kept = inner.objects.keys();
        kept.filter(|key| !listed.contains(*key)).cloned().collect()
    }

    /// Whether a list was ever complete: what is kept is then all there is, as far as the watch has told since.
    pub(crate) fn was_listed(&self) -> bool {
        self.lock().was_listed
    }
}

impl<T: View> Inner<T> {
    fn unindex(&mut self, key: &Key, object: &T) {
        let Some(owner) = object.owner() else { return };
        if let Some(keys) = self.by_owner.get_mut(owner) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }

    fn remember_gone(&mut self, uid: &str, version: Option<&str>) {
        if uid.is_empty() {
            return;
        }
        let version = version.map(str::to_owned);
        if self.gone.insert(uid.to_owned(), version).is_some() {
            return;
        }
        self.gone_in_order.push_back(uid.to_owned());
        if self.gone_in_order.len() > REMEMBERED
            && let Some(oldest) = self.gone_in_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }
}

/// Whether a resourceVersion is newer than another one. Versions that are no numbers cannot be ordered; then any
/// different one counts as newer.
pub(crate) fn is_newer(new: &str, old: &str) -> bool {
    match (new.parse::<u64>(), old.parse::<u64>()) {
        (Ok(new), Ok(old)) => new > old,
        _ => new != old,
    }
}

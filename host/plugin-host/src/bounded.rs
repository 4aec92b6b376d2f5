//! A map that keeps so many entries and no more: the one that was not used for the longest time makes room.

use std::collections::BTreeMap;

/// A map with room for so many entries.
///
/// To make room it looks at all of them, so it is for hundreds of entries and not for millions.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    most: usize,
    /// Grows with each use, so that an earlier one can be told from a later one.
    uses: u64,
    entries: BTreeMap<K, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    /// The number of its last use.
    used: u64,
    value: V,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    /// With room for so many entries.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            uses: 0,
            entries: BTreeMap::new(),
        }
    }

    /// What is kept under this key; to ask for it is a use.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.uses = self.uses.saturating_add(1);
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        Some(&mut entry.value)
    }

    /// Keeps a value, in place of what was kept under its key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.make_room();
        }
        self.uses = self.uses.saturating_add(1);
        let used = self.uses;
        self.entries.insert(key, Entry { used, value });
    }

    /// Forgets what is kept under this key, and hands it over.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// All that is kept, by key.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|entry| &entry.value)
    }

    fn make_room(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}

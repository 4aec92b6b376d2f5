//! Objects that say that a Rollout manages them, and Rollouts that are gone: what routers may have to let go of.
//!
//! Nothing is followed for that. Objects of a kind are listed when somebody asks, a page at a time, and only whose they are
//! is kept; a Rollout that goes away is kept as it was last until it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sluice_api as api;
use sluice_engine::keys;
use sluice_engine::rollout;

use crate::Key;
use crate::cluster::{Cluster, lock};
use crate::feed::Trouble;
use crate::kinds::{self, Served, escape};

/// Rollouts that are gone and that had routers, by name and UID.
#[derive(Debug, Default)]
pub(crate) struct Departures(Mutex<BTreeMap<(Key, String), Arc<api::Rollout>>>);

impl Departures {
    /// Keeps a Rollout that is gone, if routers may have something of it.
    pub(crate) fn keep(&self, gone: &Arc<api::Rollout>) {
        if rollout::record(gone).is_empty() {
            return;
        }
        let metadata = &gone.metadata;
        let name = (Key::of(metadata), metadata.uid.clone());
        lock(&self.0).insert(name, Arc::clone(gone));
    }
}

impl Cluster {
    /// A Rollout that is gone, as it was last; once, and only if routers may have something of it.
    pub fn take_departed(&self, key: &Key, uid: &str) -> Option<Arc<api::Rollout>> {
        let name = (key.clone(), uid.to_owned());
        lock(&self.shared.departures.0).remove(&name)
    }

    /// Whether there is a Rollout of this name, be it another controller's. Asked of the API server.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn has_rollout(&self, key: &Key) -> Result<bool, String> {
        let served = kinds::of::<api::Rollout>();
        // What cannot be the name of an object is none.
        let Ok(path) = served.path(Some(&key.namespace), Some(&key.name)) else {
            return Ok(false);
        };
        let found = self.in_time(self.get_object(path, &key.name)).await;
        found
            .map(|found| found.is_some())
            .map_err(Trouble::into_message)
    }

    /// The Rollouts that objects of this kind, in any version, say they are managed by. A kind that is not served or that
    /// may not be listed has none, as far as anybody here can do something about it.
    ///
    /// # Errors
    /// When the API server does not say; a later attempt may succeed.
    pub async fn marked(&self, group: &str, kind: &str) -> Result<BTreeSet<Key>, String> {
        if self.shared.settings.analysis_only {
            return Ok(BTreeSet::new());
        }
        let found = async {
            let served = self.shared.discovery.find_in_group(group, kind);
            self.list_marked(&self.in_time(served).await?).await
        };
        match found.await {
            Ok(marked) => Ok(marked),
            Err(Trouble::Unavailable(why)) => Err(why),
            Err(trouble) => {
                let why = trouble.into_message();
                tracing::debug!(group, kind, why, "not searched for what Rollouts have left");
                Ok(BTreeSet::new())
            }
        }
    }

    async fn list_marked(&self, served: &Served) -> Result<BTreeSet<Key>, Trouble> {
        // Rollouts are in namespaces, and so is whatever is marked as theirs.
        if !served.namespaced {
            return Ok(BTreeSet::new());
        }
        let settings = &self.shared.settings;
        let path = served
            .path(settings.namespace.as_deref(), None)
            .map_err(Trouble::NotServed)?;
        let mut marked = BTreeSet::new();
        let mut next = String::new();
        loop {
            let mut page = format!("{path}?limit={}", settings.page_size);
            if !next.is_empty() {
                page.push_str("&continue=");
                page.push_str(&escape(&next));
            }
            let list = self.in_time(self.get(page)).await;
            let list = list.map_err(|trouble| {
                let found_in = &served.resource.api_version;
                self.shared.discovery.misplaced(found_in, trouble)
            })?;
            let items = list.get("items").and_then(Value::as_array);
            marked.extend(items.into_iter().flatten().filter_map(manager));
            match list.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                Some(_) | None => return Ok(marked),
            }
        }
    }

    async fn in_time<T>(
        &self,
        asking: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let limit = self.shared.settings.request_timeout;
        let late = |_| {
            let milliseconds = limit.as_millis();
            Trouble::Unavailable(format!(
                "no answer from the API server within {milliseconds} ms"
            ))
        };
        tokio::time::timeout(limit, asking).await.map_err(late)?
    }
}

/// The Rollout that an object says it is managed by.
fn manager(object: &Value) -> Option<Key> {
    let metadata = object.get("metadata")?;
    let namespace = metadata.get("namespace")?.as_str()?;
    let name = metadata
        .get("annotations")?
        .get(keys::MANAGED_BY)?
        .as_str()?;
    (!name.is_empty()).then(|| Key::new(namespace, name))
}

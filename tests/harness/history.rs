//! Everything that happened to the objects of a namespace, in the order in which it happened.
//!
//! Resource versions of one API server are numbers of one sequence, over all kinds. So the versions that watches show
//! are a complete history: between two of them nothing was different.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::control_plane::{ControlPlane, User};

/// What is watched.
const KINDS: &[(&str, &str, &str)] = &[
    ("argoproj.io", "v1alpha1", "Rollout"),
    ("argoproj.io", "v1alpha1", "AnalysisRun"),
    ("apps", "v1", "ReplicaSet"),
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("coordination.k8s.io", "v1", "Lease"),
    ("networking.istio.io", "v1alpha3", "VirtualService"),
    ("networking.istio.io", "v1alpha3", "DestinationRule"),
];

/// One version of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its place in the sequence.
    pub version: u64,
    /// When the watch brought it, which is not before it happened.
    pub seen: Timestamp,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The object, or what it was last when it is gone.
    pub object: Value,
    /// Whether this is its end.
    pub gone: bool,
}

/// By version, kind and name.
type Changes = BTreeMap<(u64, String, String), Change>;

/// The history of a namespace, from when the watches began. They end with it.
#[derive(Debug)]
pub struct History {
    changes: Arc<Mutex<Changes>>,
    leases: Api<DynamicObject>,
    watches: Vec<JoinHandle<()>>,
}

impl History {
    /// Begins to watch. The kinds must be served.
    pub async fn of(plane: &ControlPlane, namespace: &str) -> Result<Self> {
        let client = plane.client(User::Admin).await?;
        let changes = Arc::new(Mutex::new(BTreeMap::new()));
        let api = |(group, version, kind): (&str, &str, &str)| {
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind)
        };
        let watches = KINDS
            .iter()
            .map(|kind| {
                let (watched, changes, kind) = (api(*kind), changes.clone(), kind.2);
                tokio::spawn(async move {
                    let mut events = watcher::watcher(watched, watcher::Config::default()).boxed();
                    while let Some(event) = events.next().await {
                        let (object, gone) = match event {
                            Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
                            Ok(Event::Delete(object)) => (object, true),
                            Ok(Event::Init | Event::InitDone) | Err(_) => continue,
                        };
                        if let Some(change) = change(kind, object, gone) {
                            let key = (change.version, change.kind.clone(), change.name.clone());
                            lock(&changes).insert(key, change);
                        }
                    }
                })
            })
            .collect();
        Ok(Self {
            changes,
            leases: api(("coordination.k8s.io", "v1", "Lease")),
            watches,
        })
    }

    /// The version that the API server is at: whatever happens later has a higher one.
    pub async fn now(&self) -> Result<u64> {
        let list = self.leases.list(&ListParams::default()).await?;
        list.metadata
            .resource_version
            .as_deref()
            .and_then(|version| version.parse().ok())
            .context("a list has no version")
    }

    /// All versions of the objects of a kind, of those whose names fit, oldest first.
    pub fn changes(&self, kind: &str, fits: impl Fn(&str) -> bool) -> Vec<Change> {
        lock(&self.changes)
            .values()
            .filter(|change| change.kind == kind && fits(&change.name))
            .cloned()
            .collect()
    }

    /// The objects of a kind as they were at a version, those of them that were there.
    pub fn objects_at(
        &self,
        version: u64,
        kind: &str,
        fits: impl Fn(&str) -> bool,
    ) -> BTreeMap<String, Value> {
        let mut objects = BTreeMap::new();
        for change in self.changes(kind, fits) {
            if change.version > version {
                break;
            }
            if change.gone {
                objects.remove(&change.name);
            } else {
                objects.insert(change.name, change.object);
            }
        }
        objects
    }

    /// Who held a lease, one after the other, and from which version on.
    pub fn holders(&self, lease: &str) -> Vec<(u64, String)> {
        let mut holders: Vec<(u64, String)> = Vec::new();
        for change in self.changes("Lease", |name| name == lease) {
            let holder = change
                .object
                .pointer("/spec/holderIdentity")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if holders.last().is_none_or(|(_, last)| last != holder) {
                holders.push((change.version, holder.to_owned()));
            }
        }
        holders.retain(|(_, holder)| !holder.is_empty());
        holders.dedup_by(|later, earlier| later.1 == earlier.1);
        holders
    }
}

impl Drop for History {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
    }
}

fn change(kind: &str, object: DynamicObject, gone: bool) -> Option<Change> {
    Some(Change {
        version: object.metadata.resource_version.as_deref()?.parse().ok()?,
        seen: Timestamp::now(),
        kind: kind.to_owned(),
        name: object.metadata.name.clone()?,
        object: serde_json::to_value(object).ok()?,
        gone,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

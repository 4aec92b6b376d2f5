//! Which ReplicaSet is which: the one of the current template, the stable one, and the others.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_api as api;

use super::{counts, identity};
use crate::keys;
use crate::object::ObjectKey;
use crate::observed::{Observed, ReplicaSet};
use crate::plan::Query;

/// The ReplicaSets of a Rollout, told apart.
#[derive(Clone, Debug)]
pub(crate) struct Sets<'a> {
    /// All that the Rollout controls, oldest first.
    pub all: &'a [Arc<ReplicaSet>],
    /// The one whose template is the Rollout's.
    pub new: NewSet<'a>,
    /// The one that was promoted last.
    pub stable: Option<&'a ReplicaSet>,
}

/// The set of the current template, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) enum NewSet<'a> {
    /// Whether one exists is not known: the API server has to be asked first.
    Unknown(Vec<Query>),
    /// The API server could not be asked, or refuses the template.
    Refused(String),
    /// It exists. `relabel` when its source annotation is to be brought up to date.
    Found {
        /// The set.
        set: &'a ReplicaSet,
        /// The annotation to write, if it differs.
        source: Option<String>,
    },
    /// It has to be created, under this hash.
    Missing {
        /// `hash::pod_template`.
        hash: String,
        /// `hash::template_source`.
        source: String,
        /// How many names turned out to be taken so far (HASH-009).
        collisions: Option<i32>,
    },
}

impl<'a> NewSet<'a> {
    /// The set, if it exists.
    pub fn found(&self) -> Option<&'a ReplicaSet> {
        match self {
            Self::Found { set, .. } => Some(set),
            Self::Unknown(_) | Self::Refused(_) | Self::Missing { .. } => None,
        }
    }

    /// The hash by which the current template is known; None while that is not known.
    pub fn hash(&self) -> Option<&str> {
        match self {
            Self::Found { set, .. } => Some(set.hash()),
            Self::Missing { hash, .. } => Some(hash),
            Self::Unknown(_) | Self::Refused(_) => None,
        }
    }
}

impl<'a> Sets<'a> {
    /// Tells the sets apart. `template` is the Rollout's.
    pub fn of(seen: &'a Observed, template: &Value) -> Self {
        let stable_hash = &seen.rollout.status.stable_rs;
        Self {
            all: &seen.replica_sets,
            new: identity::find(seen, template),
            stable: (!stable_hash.is_empty())
                .then(|| {
                    seen.replica_sets
                        .iter()
                        .find(|set| set.hash() == stable_hash)
                })
                .flatten()
                .map(Arc::as_ref),
        }
    }

    /// The sets that are neither new nor stable, oldest first.
    pub fn others(&self) -> impl Iterator<Item = &'a ReplicaSet> + '_ {
        self.all
            .iter()
            .map(Arc::as_ref)
            .filter(|set| !self.is(self.new.found(), set) && !self.is(self.stable, set))
    }

    fn is(&self, known: Option<&ReplicaSet>, set: &ReplicaSet) -> bool {
        known.is_some_and(|known| known.metadata.uid == set.metadata.uid)
    }

    /// The stable set, where it is not the new one.
    pub fn distinct_stable(&self) -> Option<&'a ReplicaSet> {
        self.stable
            .filter(|stable| !self.is(self.new.found(), stable))
    }

    /// The set with this hash.
    pub fn by_hash(&self, hash: &str) -> Option<&'a ReplicaSet> {
        (!hash.is_empty())
            .then(|| self.all.iter().find(|set| set.hash() == hash))
            .flatten()
            .map(Arc::as_ref)
    }

    /// Pods available in all sets together.
    pub fn available(&self) -> i32 {
        counts::sum(self.all.iter().map(|set| set.available))
    }
}

/// The revision in an object's annotations; 0 where there is none.
pub(crate) fn revision(annotations: &BTreeMap<String, String>) -> i64 {
    annotations
        .get(keys::REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Whether a set is older than another one: made before it, or within one second and with an earlier first revision, since
/// API servers write whole seconds only. Of two such sets of which one has lost its revisions neither is older, or an update
/// would be taken for a way back.
pub(crate) fn is_older(set: &ReplicaSet, other: &ReplicaSet) -> bool {
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp;
    match created(set).cmp(&created(other)) {
        Ordering::Less => true,
        Ordering::Equal => first_revision(set)
            .zip(first_revision(other))
            .is_some_and(|(first, other)| first < other),
        Ordering::Greater => false,
    }
}

fn first_revision(set: &ReplicaSet) -> Option<i64> {
    let annotations = &set.metadata.annotations;
    let history = annotations.get(keys::REVISION_HISTORY);
    history
        .map_or("", String::as_str)
        .split(',')
        .filter_map(|text| text.trim().parse().ok())
        .chain([revision(annotations)])
        .filter(|revision| *revision > 0)
        .min()
}

/// The revision that the current template has or gets: above that of every older set (REC-015).
pub(crate) fn current_revision(sets: &Sets<'_>) -> i64 {
    let own = sets.new.found().map(|set| set.metadata.uid.as_str());
    let older = sets
        .all
        .iter()
        .filter(|set| Some(set.metadata.uid.as_str()) != own)
        .map(|set| revision(&set.metadata.annotations))
        .max()
        .unwrap_or(0);
    let present = sets
        .new
        .found()
        .map_or(0, |set| revision(&set.metadata.annotations));
    present.max(older.saturating_add(1))
}

/// When a set is to go to zero, if it was announced (KEY-002).
pub(crate) fn scale_down_deadline(set: &ReplicaSet) -> Option<Result<jiff::Timestamp, String>> {
    let text = set.metadata.annotations.get(keys::SCALE_DOWN_DEADLINE)?;
    (!text.is_empty()).then(|| text.parse().map_err(|_| text.clone()))
}

/// The number of pods that the Rollout wanted when the set was scaled last (KEY-007).
pub(crate) fn desired_replicas(set: &ReplicaSet) -> Option<i32> {
    set.metadata
        .annotations
        .get(keys::DESIRED_REPLICAS)
        .and_then(|text| text.parse().ok())
}

/// Whether a set has all the pods of the Rollout, available (BGR-006).
pub(crate) fn is_saturated(set: &ReplicaSet, replicas: i32) -> bool {
    // What an empty set says is of the time when it had pods, or nothing.
    let is_desired = replicas == 0 || desired_replicas(set) == Some(replicas);
    set.replicas == replicas && set.available == replicas && is_desired
}

/// The ReplicaSet of a new revision (HASH-008, KEY-019).
pub(crate) fn body(
    rollout: &api::Rollout,
    template: &Value,
    hash: &str,
    source: &str,
    revision: i64,
    replicas: i32,
) -> Value {
    let mut template = template.clone();
    insert_label(&mut template, keys::POD_TEMPLATE_HASH, hash);
    let labels = template
        .pointer("/metadata/labels")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut annotations = copied_annotations(rollout);
    annotations.insert(keys::REVISION.to_owned(), revision.to_string());
    annotations.insert(
        keys::DESIRED_REPLICAS.to_owned(),
        rollout.spec.replicas().to_string(),
    );
    annotations.insert(keys::TEMPLATE_SOURCE.to_owned(), source.to_owned());
    let mut selector = rollout.spec.selector.clone().unwrap_or_default();
    selector
        .match_labels
        .insert(keys::POD_TEMPLATE_HASH.to_owned(), hash.to_owned());
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name(rollout, hash),
            "namespace": rollout.metadata.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner(rollout)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": rollout.spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}

/// `<rollout>-<hash>`
pub(crate) fn name(rollout: &api::Rollout, hash: &str) -> String {
    format!("{}-{hash}", rollout.metadata.name)
}

/// The set of this name.
pub(crate) fn key(rollout: &api::Rollout, name: &str) -> ObjectKey {
    ObjectKey::namespaced("apps/v1", "ReplicaSet", &rollout.metadata.namespace, name)
}

/// The owner reference of what a Rollout creates.
pub(crate) fn owner(rollout: &api::Rollout) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "name": rollout.metadata.name,
        "uid": rollout.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The Rollout's annotations that its sets carry too.
pub(crate) fn copied_annotations(rollout: &api::Rollout) -> BTreeMap<String, String> {
    rollout
        .metadata
        .annotations
        .iter()
        .filter(|(name, _)| !keys::NOT_COPIED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn insert_label(template: &mut Value, name: &str, value: &str) {
    let Some(fields) = template.as_object_mut() else {
        return;
    };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(name.to_owned(), json!(value));
    }
}

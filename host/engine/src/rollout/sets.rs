//! Which ReplicaSet is which: the one of the current template, the stable one, and the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_api as api;

use crate::observed::{Looked, Observed, ReplicaSet};
use crate::plan::Query;
use crate::{hash, keys};

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
    /// Whether one exists is not known: the API server has to default the template first.
    Unknown(Query),
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
            new: find_new(seen, template),
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
        self.all.iter().map(|set| set.available).sum()
    }
}

/// Finds the set of the current template (REC-011).
///
/// First by the annotation that says which source a set was made from. Only where none has it and other sets exist is
/// the template compared as the API server defaults it: sets of Argo Rollouts, and a template that `undo` wrote back.
fn find_new<'a>(seen: &'a Observed, template: &Value) -> NewSet<'a> {
    let source = hash::template_source(template);
    let alive = || {
        seen.replica_sets
            .iter()
            .map(Arc::as_ref)
            .filter(|set| set.metadata.deletion_timestamp.is_none())
    };
    if let Some(set) =
        alive().find(|set| set.metadata.annotations.get(keys::TEMPLATE_SOURCE) == Some(&source))
    {
        return NewSet::Found { set, source: None };
    }
    if alive().next().is_none() {
        return missing(seen, template, source);
    }
    let query = Query::DefaultedTemplate {
        namespace: seen.rollout.metadata.namespace.clone(),
        source: source.clone(),
        labels: selector_labels(&seen.rollout, template),
    };
    match seen.looked.get(&query) {
        Some(Looked::Template(Ok(identity))) => match alive().find(|set| &set.template == identity)
        {
            Some(set) => NewSet::Found {
                set,
                source: Some(source),
            },
            None => missing(seen, template, source),
        },
        Some(Looked::Template(Err(message))) => NewSet::Refused(message.clone()),
        Some(Looked::Failed(_) | Looked::Pods(_) | Looked::Object(_)) | None => {
            NewSet::Unknown(query)
        }
    }
}

fn missing<'a>(seen: &Observed, template: &Value, source: String) -> NewSet<'a> {
    // A set of another template may carry the hash already, without the status counting the collision yet.
    let mut collisions = seen.rollout.status.collision_count;
    let mut hash = hash::pod_template(template, collisions);
    while seen.replica_sets.iter().any(|set| set.hash() == hash) {
        collisions = Some(collisions.unwrap_or(0).saturating_add(1));
        hash = hash::pod_template(template, collisions);
    }
    NewSet::Missing { hash, source }
}

/// The labels that a tried ReplicaSet selects by: the Rollout's own selector where it is a plain one, else the template's.
fn selector_labels(rollout: &api::Rollout, template: &Value) -> BTreeMap<String, String> {
    let plain = rollout
        .spec
        .selector
        .as_ref()
        .map(|selector| selector.match_labels.clone())
        .filter(|labels| !labels.is_empty());
    plain.unwrap_or_else(|| labels_of(template))
}

fn labels_of(template: &Value) -> BTreeMap<String, String> {
    template
        .pointer("/metadata/labels")
        .and_then(Value::as_object)
        .map(|labels| {
            labels
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect()
        })
        .unwrap_or_default()
}

/// The revision in an object's annotations; 0 where there is none.
pub(crate) fn revision(annotations: &BTreeMap<String, String>) -> i64 {
    annotations
        .get(keys::REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
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
    set.replicas == replicas && set.available == replicas && desired_replicas(set) == Some(replicas)
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

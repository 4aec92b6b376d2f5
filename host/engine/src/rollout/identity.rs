//! Which set is the one of the current template (REC-011), and which name a new one gets (HASH-009).
//!
//! What is already known decides first: the annotation with the source that a set was made from, then a template that is
//! written exactly as a set has it, as `undo` does. Only then is the API server asked to default the template in a dry
//! run, so that sets of Argo Rollouts are found whatever their hash.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sluice_api as api;

use super::sets::{self, NewSet};
use super::{claims, conditions};
use crate::observed::{Defaulted, Looked, Observed, ReplicaSet};
use crate::plan::Query;
use crate::{hash, keys, template as templates};

/// Finds the set of the current template.
pub(crate) fn find<'a>(seen: &'a Observed, template: &Value) -> NewSet<'a> {
    let search = Search {
        seen,
        template,
        source: hash::template_source(template),
        alive: seen
            .replica_sets
            .iter()
            .map(Arc::as_ref)
            .filter(|set| set.metadata.deletion_timestamp.is_none())
            .collect(),
    };
    search.find()
}

struct Search<'a, 'b> {
    seen: &'a Observed,
    template: &'b Value,
    source: String,
    /// Sets that nobody deletes, oldest first.
    alive: Vec<&'a ReplicaSet>,
}

impl<'a> Search<'a, '_> {
    fn find(&self) -> NewSet<'a> {
        let annotated = |set: &ReplicaSet| {
            set.metadata.annotations.get(keys::TEMPLATE_SOURCE) == Some(&self.source)
        };
        if let Some(set) = self.pick(annotated) {
            return NewSet::Found { set, source: None };
        }
        if self.alive.is_empty() && !self.is_in_doubt() {
            return self.missing();
        }
        if let Some(written) = templates::identity_as_written(self.template)
            && let Some(set) = self.pick(|set| set.template == written)
        {
            return self.found(set);
        }
        let query = Query::DefaultedTemplate {
            namespace: self.seen.rollout.metadata.namespace.clone(),
            source: self.source.clone(),
            labels: selector_labels(&self.seen.rollout, self.template),
        };
        match self.seen.looked.get(&query) {
            Some(Looked::Template(Defaulted::Identity(identity))) => {
                match self.pick(|set| &set.template == identity) {
                    Some(set) => self.found(set),
                    None => self.alike(self.taken_over()),
                }
            }
            Some(Looked::Template(Defaulted::Invalid(message))) => NewSet::Refused(message.clone()),
            Some(Looked::Template(Defaulted::Denied(_))) => self.alike(self.named_by_another()),
            // Without a set there is nothing to confuse it with, and only a try can tell.
            Some(Looked::Failed(_)) if self.alive.is_empty() => self.missing(),
            Some(Looked::Failed(_) | Looked::Pods(_) | Looked::Object(_)) | None => {
                NewSet::Unknown(vec![query])
            }
        }
    }

    /// Whether the API server may find fault with the template: the first set is tried at once, and what the dry run says
    /// counts only if that has failed (VAL-007).
    fn is_in_doubt(&self) -> bool {
        let status = &self.seen.rollout.status;
        let failed = conditions::find(status, &api::RolloutConditionType::Progressing)
            .is_some_and(|condition| condition.reason == conditions::CREATE_ERROR);
        failed || conditions::find(status, &api::RolloutConditionType::InvalidSpec).is_some()
    }

    /// Of several sets the one that the status names, so that the choice never flips; otherwise the oldest.
    fn pick(&self, fits: impl Fn(&ReplicaSet) -> bool) -> Option<&'a ReplicaSet> {
        let named = &self.seen.rollout.status.current_pod_hash;
        let fitting = || self.alive.iter().copied().filter(|set| fits(set));
        fitting()
            .find(|set| set.hash() == named)
            .or_else(|| fitting().next())
    }

    fn found(&self, set: &'a ReplicaSet) -> NewSet<'a> {
        NewSet::Found {
            set,
            source: Some(self.source.clone()),
        }
    }

    /// The set that Argo Rollouts says it has found for this very generation.
    ///
    /// Its template may differ from what the API server makes of the Rollout's today: a webhook changed it that is gone,
    /// or came later. Argo Rollouts has found it by its own hash; taking over must not replace its pods.
    fn taken_over(&self) -> Option<&'a ReplicaSet> {
        let rollout = &self.seen.rollout;
        let status = &rollout.status;
        let observed = rollout.spec.template.is_some()
            && status.observed_generation == rollout.metadata.generation.to_string()
            && conditions::find(status, &api::RolloutConditionType::InvalidSpec).is_none();
        self.named_by_another().filter(|_| observed)
    }

    /// The current set of the status, if the annotation does not say what it was made from: another controller has found it.
    /// Of any other set either the annotation tells that the user wrote something else since, or nothing tells what is the
    /// API server's in its template and what the user has taken out.
    fn named_by_another(&self) -> Option<&'a ReplicaSet> {
        let named = &self.seen.rollout.status.current_pod_hash;
        self.alive.iter().copied().find(|set| {
            !named.is_empty()
                && set.hash() == named
                && !set.metadata.annotations.contains_key(keys::TEMPLATE_SOURCE)
        })
    }

    /// This set, if it has everything which the template sets; nothing more can be compared.
    fn alike(&self, candidate: Option<&'a ReplicaSet>) -> NewSet<'a> {
        let Some(set) = candidate else {
            return self.missing();
        };
        let query = Query::Uncached(sets::key(&self.seen.rollout, &set.metadata.name));
        let Some(Looked::Object(body)) = self.seen.looked.get(&query) else {
            return NewSet::Unknown(vec![query]);
        };
        let live = body
            .as_deref()
            .and_then(|body| body.pointer("/spec/template"));
        if live.is_some_and(|live| templates::covers(self.template, live)) {
            self.found(set)
        } else {
            self.missing()
        }
    }

    /// The set has to be created. A name that something else has leads to the next one.
    fn missing(&self) -> NewSet<'a> {
        let mut collisions = self.seen.rollout.status.collision_count;
        let mut hash = hash::pod_template(self.template, collisions);
        while self.is_taken(&hash) {
            collisions = Some(collisions.unwrap_or(0).saturating_add(1));
            hash = hash::pod_template(self.template, collisions);
        }
        NewSet::Missing {
            hash,
            source: self.source.clone(),
            collisions,
        }
    }

    /// Whether a set of another template has this hash, or something that is not ours has the name that goes with it.
    fn is_taken(&self, hash: &str) -> bool {
        self.seen.replica_sets.iter().any(|set| set.hash() == hash)
            || claims::is_foreign(self.seen, hash)
    }
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

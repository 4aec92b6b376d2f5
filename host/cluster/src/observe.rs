//! Facts for one pass, gathered from the views and from the looks of earlier passes; nothing is fetched. The objects of the
//! views are shared; names, and the answers to looks, are copied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sluice_api as api;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::observed::{Observed, ReplicaSet};
use sluice_engine::plan::Query;
use sluice_engine::plugin::Plugins;

use crate::cluster::Cluster;
use crate::references::{self, TemplateName};
use crate::store::View;
use crate::{Key, selector};

/// The analysis templates that can be reached from some names; None where a template does not exist.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    /// AnalysisTemplates of the namespace, by name.
    pub namespaced: BTreeMap<String, Option<Arc<api::AnalysisTemplate>>>,
    /// ClusterAnalysisTemplates, by name.
    pub cluster: BTreeMap<String, Option<Arc<api::ClusterAnalysisTemplate>>>,
}

impl Cluster {
    /// Everything that a pass over the Rollout may know, except for its plugins, which the caller fills in.
    /// None when there is no such Rollout.
    pub fn observe_rollout(&self, key: &Key, now: Timestamp) -> Option<Observed> {
        let shared = &self.shared;
        let rollout = shared.rollouts.get(key)?;
        let uid = &rollout.metadata.uid;
        let services = references::services(&rollout.spec).into_iter().map(|name| {
            let service = shared.services.get(&Key::new(&key.namespace, &name));
            (name, service)
        });
        let services = services.collect();
        let templates = self.templates(&key.namespace, references::templates(&rollout.spec));
        let subject = subject_of(&*rollout);
        Some(Observed {
            now,
            replica_sets: by_age(shared.replica_sets.owned_by(uid)),
            orphans: self.orphans(&rollout),
            services,
            analysis_templates: templates.namespaced,
            cluster_analysis_templates: templates.cluster,
            analysis_runs: by_age(shared.analysis_runs.owned_by(uid)),
            foreign_runs: self.foreign_runs(&rollout, &subject),
            experiments: by_age(shared.experiments.owned_by(uid)),
            plugins: Plugins::default(),
            looked: self.looked(&subject),
            rollout,
        })
    }

    /// An AnalysisRun.
    pub fn observe_run(&self, key: &Key) -> Option<Arc<api::AnalysisRun>> {
        self.shared.analysis_runs.get(key)
    }

    /// An Experiment.
    pub fn observe_experiment(&self, key: &Key) -> Option<Arc<api::Experiment>> {
        self.shared.experiments.get(key)
    }

    /// A Rollout.
    pub fn rollout(&self, key: &Key) -> Option<Arc<api::Rollout>> {
        self.shared.rollouts.get(key)
    }

    /// The ReplicaSets that the object with this UID controls, by age.
    pub fn replica_sets_of(&self, uid: &str) -> Vec<Arc<ReplicaSet>> {
        by_age(self.shared.replica_sets.owned_by(uid))
    }

    /// Answers to the looks of earlier passes over a subject.
    pub fn looked_at(&self, subject: &Subject) -> BTreeMap<Query, sluice_engine::observed::Looked> {
        self.looked(subject)
    }

    /// Names that a run of the Rollout could have, of runs that it does not control: those that are watched, and those that
    /// were in the way of a creation.
    fn foreign_runs(&self, rollout: &api::Rollout, subject: &Subject) -> BTreeSet<String> {
        let metadata = &rollout.metadata;
        let runs = &self.shared.analysis_runs;
        let alike = runs.with_prefix(&metadata.namespace, &format!("{}-", metadata.name));
        let foreign = alike.iter().filter(|run| {
            let owner = run.metadata.controller();
            owner.is_none_or(|owner| owner.uid != metadata.uid)
        });
        let mut names: BTreeSet<String> = foreign.map(|run| run.metadata.name.clone()).collect();
        names.extend(self.shared.looks.in_the_way(subject));
        names
    }

    /// Sets without a controller that the Rollout selects. An empty selector selects nothing here: to adopt every set of
    /// a namespace cannot be meant.
    fn orphans(&self, rollout: &api::Rollout) -> Vec<Arc<ReplicaSet>> {
        let Some(wanted) = rollout
            .spec
            .selector
            .as_ref()
            .filter(|wanted| !wanted.is_empty())
        else {
            return Vec::new();
        };
        let mut orphans = self.shared.replica_sets.owned_by("");
        orphans.retain(|set| {
            set.metadata.namespace == rollout.metadata.namespace
                && selector::matches(wanted, &set.metadata.labels)
        });
        by_age(orphans)
    }

    fn templates(&self, namespace: &str, names: BTreeSet<TemplateName>) -> Templates {
        let mut found = Templates::default();
        let mut open: Vec<TemplateName> = names.into_iter().collect();
        // Templates may name each other in a circle; each is looked up once.
        while let Some(name) = open.pop() {
            let nested = if name.cluster {
                if found.cluster.contains_key(&name.name) {
                    continue;
                }
                let template = self
                    .shared
                    .cluster_analysis_templates
                    .get(&Key::new("", &name.name));
                let nested = template
                    .as_ref()
                    .map(|template| references::nested(&template.spec));
                found.cluster.insert(name.name, template);
                nested
            } else {
                if found.namespaced.contains_key(&name.name) {
                    continue;
                }
                let template = self
                    .shared
                    .analysis_templates
                    .get(&Key::new(namespace, &name.name));
                let nested = template
                    .as_ref()
                    .map(|template| references::nested(&template.spec));
                found.namespaced.insert(name.name, template);
                nested
            };
            open.extend(nested.unwrap_or_default());
        }
        found
    }
}

/// An object of the five kinds as the subject of a pass.
fn subject_of<K: api::Kind>(object: &K) -> Subject {
    let metadata = object.metadata();
    Subject {
        key: ObjectKey::namespaced(K::API_VERSION, K::KIND, &metadata.namespace, &metadata.name),
        uid: metadata.uid.clone(),
    }
}

/// Ordered by creation time, then name.
fn by_age<T: View>(mut objects: Vec<Arc<T>>) -> Vec<Arc<T>> {
    objects.sort_by(|a, b| {
        let (a, b) = (a.metadata(), b.metadata());
        (a.creation_timestamp, &a.name).cmp(&(b.creation_timestamp, &b.name))
    });
    objects
}

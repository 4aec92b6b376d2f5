//! Facts: what the API server shows, trimmed to what decisions read. All shared, none cloned per pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_api as api;

use crate::plan::Query;
use crate::plugin::Plugins;

/// Everything that one pass over a Rollout may know.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The clock of this pass.
    pub now: Timestamp,
    /// The Rollout as read.
    pub rollout: Arc<api::Rollout>,
    /// ReplicaSets that the Rollout controls, ordered by creation time, then name.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// ReplicaSets that match the selector but have no controller: to be adopted.
    pub orphans: Vec<Arc<ReplicaSet>>,
    /// Every Service that the specification names; None where it does not exist.
    pub services: BTreeMap<String, Option<Arc<Service>>>,
    /// Every AnalysisTemplate (namespaced) that can be reached from the specification; None where it does not exist.
    pub analysis_templates: BTreeMap<String, Option<Arc<api::AnalysisTemplate>>>,
    /// The same for ClusterAnalysisTemplates.
    pub cluster_analysis_templates: BTreeMap<String, Option<Arc<api::ClusterAnalysisTemplate>>>,
    /// AnalysisRuns that the Rollout controls, ordered by creation time, then name.
    pub analysis_runs: Vec<Arc<api::AnalysisRun>>,
    /// Names of other AnalysisRuns of the namespace that a run of this Rollout could have, and therefore cannot.
    pub foreign_runs: BTreeSet<String>,
    /// Experiments that the Rollout controls, ordered by creation time, then name.
    pub experiments: Vec<Arc<api::Experiment>>,
    /// Loaded plugins and this Rollout's jobs.
    pub plugins: Plugins,
    /// Answers to earlier looks.
    pub looked: BTreeMap<Query, Looked>,
}

/// The answer to a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// Pods, ordered by name.
    Pods(Vec<Arc<Pod>>),
    /// What the API server makes of a template.
    Template(Defaulted),
    /// An object, trimmed of managedFields; None where it does not exist.
    Object(Option<Arc<Value>>),
    /// It could not be fetched; tried again in the next pass.
    Failed(String),
}

/// What the API server makes of a template in a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defaulted {
    /// `template::identity` of the defaulted template.
    Identity(String),
    /// The API server says that the template is wrong, and why.
    Invalid(String),
    /// Something else stands in the way, so nothing is known of the template: a webhook, a quota, a missing right.
    Denied(String),
}

/// A ReplicaSet: 3 KiB instead of the typed model's 50.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSet {
    /// Name, UID, labels, annotations, owners.
    pub metadata: api::ObjectMeta,
    /// `spec.replicas`; the API server always sets it.
    pub replicas: i32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// `template::identity` of `spec.template`, without what Argo Rollouts and Sluice put into it.
    pub template: String,
    /// `status.replicas`.
    pub status_replicas: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// The condition `ReplicaFailure`, if it is there.
    pub failure: Option<ReplicaFailure>,
}

/// The condition `ReplicaFailure` of a ReplicaSet (CND-019).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaFailure {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase.
    pub reason: String,
    /// The message.
    pub message: String,
    /// When the status changed.
    pub last_transition_time: Option<api::Time>,
}

impl ReplicaSet {
    /// The label `rollouts-pod-template-hash`; empty where it is missing.
    pub fn hash(&self) -> &str {
        self.metadata
            .labels
            .get(crate::keys::POD_TEMPLATE_HASH)
            .map_or("", String::as_str)
    }
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Name, UID, annotations.
    pub metadata: api::ObjectMeta,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
}

impl Service {
    /// The hash in the selector; None where the Service selects every revision.
    pub fn selected_hash(&self) -> Option<&str> {
        self.selector
            .get(crate::keys::POD_TEMPLATE_HASH)
            .map(String::as_str)
    }
}

/// A pod, as a restart reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Name, UID, creation time.
    pub metadata: api::ObjectMeta,
    /// Condition `Ready`.
    pub ready: bool,
    /// Since when it is ready.
    pub ready_since: Option<api::Time>,
}

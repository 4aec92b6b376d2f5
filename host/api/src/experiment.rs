//! An Experiment: ReplicaSets that run for a while next to each other, with analyses over them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AnalysisPhase, AnalysisRunMetadata, Argument, ConditionStatus, DryRun, DurationString,
    LabelSelector, MeasurementRetention, ObjectMeta, PodTemplate, TemplateService, Time,
    is_default, kind::kind, text::text_enum,
};

/// ReplicaSets that run for a while, with analyses over them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Experiment {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What to run.
    pub spec: ExperimentSpec,
    /// What is.
    pub status: ExperimentStatus,
}

kind!(Experiment {
    PLURAL = "experiments",
    SINGULAR = "experiment",
    SHORT_NAME = "exp",
} [metadata, spec, status]);

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["templates"]))]
pub struct ExperimentSpec {
    /// The ReplicaSets.
    pub templates: Vec<TemplateSpec>,
    /// How long, from when all of them are available. Absent: until it is terminated or its analyses end.
    #[serde(skip_serializing_if = "is_default")]
    pub duration: DurationString,
    /// Seconds without progress after which a ReplicaSet counts as failed. Defaults to 600.
    #[serde(skip_serializing_if = "is_default")]
    pub progress_deadline_seconds: Option<i32>,
    /// Stop now.
    #[serde(skip_serializing_if = "is_default")]
    pub terminate: bool,
    /// The analyses.
    #[serde(skip_serializing_if = "is_default")]
    pub analyses: Vec<ExperimentAnalysisTemplateRef>,
    /// Seconds to keep the ReplicaSets afterwards. Defaults to 30.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_down_delay_seconds: Option<i32>,
    /// Metrics that are measured without consequences.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(skip_serializing_if = "is_default")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Labels and annotations of the AnalysisRuns.
    pub analysis_run_metadata: AnalysisRunMetadata,
}

/// A ReplicaSet of an Experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "selector", "template"]))]
pub struct TemplateSpec {
    /// Name, unique within the Experiment.
    pub name: String,
    /// Number of pods. Defaults to 1.
    #[serde(skip_serializing_if = "is_default")]
    pub replicas: Option<i32>,
    /// Seconds that a pod must be ready before it counts as available. Defaults to 0.
    #[serde(skip_serializing_if = "is_default")]
    pub min_ready_seconds: i32,
    /// Selects the pods; must match the labels of the template.
    pub selector: Option<LabelSelector>,
    /// The pods to run.
    pub template: Option<PodTemplate>,
    /// Create a Service for it.
    #[serde(skip_serializing_if = "is_default")]
    pub service: Option<TemplateService>,
}

/// An analysis of an Experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "templateName"]))]
pub struct ExperimentAnalysisTemplateRef {
    /// Name, unique within the Experiment.
    pub name: String,
    /// The template.
    pub template_name: String,
    /// Whether it is a ClusterAnalysisTemplate.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_scope: Option<bool>,
    /// Arguments for the template.
    #[serde(skip_serializing_if = "is_default")]
    pub args: Vec<Argument>,
    /// Whether the Experiment lasts until this analysis ends.
    #[serde(skip_serializing_if = "is_default")]
    pub required_for_completion: bool,
}

/// What an Experiment has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ExperimentStatus {
    /// How far it is.
    #[serde(skip_serializing_if = "is_default")]
    pub phase: AnalysisPhase,
    /// Why.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// The ReplicaSets.
    #[serde(skip_serializing_if = "is_default")]
    pub template_statuses: Vec<TemplateStatus>,
    /// When all ReplicaSets were available; its duration counts from then.
    #[serde(skip_serializing_if = "is_default")]
    pub available_at: Option<Time>,
    /// Conditions.
    #[serde(skip_serializing_if = "is_default")]
    pub conditions: Vec<ExperimentCondition>,
    /// The analyses.
    #[serde(skip_serializing_if = "is_default")]
    pub analysis_runs: Vec<ExperimentAnalysisRunStatus>,
}

/// What a ReplicaSet of an Experiment has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = [
    "name", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"
]))]
pub struct TemplateStatus {
    /// Name of the template.
    pub name: String,
    /// Pods.
    pub replicas: i32,
    /// Pods of the wanted version.
    pub updated_replicas: i32,
    /// Ready pods.
    pub ready_replicas: i32,
    /// Pods that have been ready long enough.
    pub available_replicas: i32,
    /// How often the ReplicaSet's name was taken by another template.
    #[serde(skip_serializing_if = "is_default")]
    pub collision_count: Option<i32>,
    /// How far it is.
    #[serde(skip_serializing_if = "is_default")]
    pub status: TemplateStatusCode,
    /// Why.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// When `status` changed last.
    #[serde(skip_serializing_if = "is_default")]
    pub last_transition_time: Option<Time>,
    /// Its Service.
    #[serde(skip_serializing_if = "is_default")]
    pub service_name: String,
    /// Pod template hash of its pods.
    #[serde(skip_serializing_if = "is_default")]
    pub pod_template_hash: String,
}

/// An analysis of an Experiment, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "analysisRun", "phase"]))]
pub struct ExperimentAnalysisRunStatus {
    /// Name within the Experiment.
    pub name: String,
    /// Name of the AnalysisRun.
    pub analysis_run: String,
    /// Its phase.
    pub phase: AnalysisPhase,
    /// Its message.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
}

/// A condition of an Experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = [
    "type", "status", "lastUpdateTime", "lastTransitionTime", "reason", "message"
]))]
pub struct ExperimentCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub type_: ExperimentConditionType,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// When it was written last.
    pub last_update_time: Time,
    /// When its status changed last.
    pub last_transition_time: Time,
    /// Why, for machines.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

text_enum! {
    /// How far a ReplicaSet of an Experiment is.
    TemplateStatusCode {
        Progressing = "Progressing",
        Running = "Running",
        Successful = "Successful",
        Failed = "Failed",
        Error = "Error",
    }
}

impl TemplateStatusCode {
    /// Whether it has ended.
    #[must_use]
    pub fn completed(&self) -> bool {
        matches!(self, Self::Successful | Self::Failed | Self::Error)
    }
}

text_enum! {
    /// What a condition of an Experiment is about.
    ExperimentConditionType {
        InvalidSpec = "InvalidSpec",
        Completed = "Completed",
        Progressing = "Progressing",
        Running = "Running",
        ReplicaFailure = "ReplicaFailure",
    }
}

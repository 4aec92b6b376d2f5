//! What a Rollout has come to. Written as Go writes it: `canary` and `blueGreen` are there even when empty.
//! Fields that a newer controller may have added are left alone by whoever computes the difference, not here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AnalysisPhase, DurationString, Time, is_default, text::text_enum};

/// What a Rollout has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The update is aborted: set by the user or by the controller, cleared by a retry or a new specification.
    #[serde(skip_serializing_if = "is_default")]
    pub abort: bool,
    /// Why the Rollout is paused. The user clears them to go on.
    #[serde(skip_serializing_if = "is_default")]
    pub pause_conditions: Vec<PauseCondition>,
    /// The controller has paused. Still true once the user has cleared the conditions: that is how it is noticed.
    #[serde(skip_serializing_if = "is_default")]
    pub controller_pause: bool,
    /// When the update was aborted first.
    #[serde(skip_serializing_if = "is_default")]
    pub aborted_at: Option<Time>,
    /// Pod template hash of the wanted version.
    #[serde(skip_serializing_if = "is_default")]
    pub current_pod_hash: String,
    /// Hash of the steps; empty for blue-green.
    #[serde(skip_serializing_if = "is_default")]
    pub current_step_hash: String,
    /// Pods of all ReplicaSets.
    #[serde(skip_serializing_if = "is_default")]
    pub replicas: i32,
    /// Pods of the wanted version.
    #[serde(skip_serializing_if = "is_default")]
    pub updated_replicas: i32,
    /// Ready pods.
    #[serde(skip_serializing_if = "is_default")]
    pub ready_replicas: i32,
    /// Pods that have been ready long enough.
    #[serde(skip_serializing_if = "is_default")]
    pub available_replicas: i32,
    /// The step being carried out; the number of steps when all are done; absent without steps.
    #[serde(skip_serializing_if = "is_default")]
    pub current_step_index: Option<i32>,
    /// How often a ReplicaSet's name was taken by another template.
    #[serde(skip_serializing_if = "is_default")]
    pub collision_count: Option<i32>,
    /// `metadata.generation` that this status is about, as decimal text.
    #[serde(skip_serializing_if = "is_default")]
    pub observed_generation: String,
    /// Conditions.
    #[serde(skip_serializing_if = "is_default")]
    pub conditions: Vec<RolloutCondition>,
    /// What only a canary has.
    pub canary: CanaryStatus,
    /// What only a blue-green Rollout has.
    pub blue_green: BlueGreenStatus,
    /// Pods that a HorizontalPodAutoscaler counts.
    #[serde(rename = "HPAReplicas", skip_serializing_if = "is_default")]
    pub hpa_replicas: i32,
    /// Selector of those pods, as text.
    #[serde(skip_serializing_if = "is_default")]
    pub selector: String,
    /// Pod template hash of the promoted version.
    #[serde(rename = "stableRS", skip_serializing_if = "is_default")]
    pub stable_rs: String,
    /// `spec.restartAt` of the last restart that ended.
    #[serde(skip_serializing_if = "is_default")]
    pub restarted_at: Option<Time>,
    /// The user wants the rest of the steps skipped.
    #[serde(skip_serializing_if = "is_default")]
    pub promote_full: bool,
    /// The whole in one word.
    #[serde(skip_serializing_if = "is_default")]
    pub phase: RolloutPhase,
    /// Why it is in that phase.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// Generation of the referenced workload that this status is about.
    #[serde(skip_serializing_if = "is_default")]
    pub workload_observed_generation: String,
    /// What an AWS load balancer router keeps here.
    #[serde(skip_serializing_if = "is_default")]
    pub alb: Option<ALBStatus>,
    /// The same for several Ingresses.
    #[serde(skip_serializing_if = "is_default")]
    pub albs: Vec<ALBStatus>,
    /// How long the update takes.
    #[serde(skip_serializing_if = "is_default")]
    pub duration: Option<RolloutDurationStatus>,
}

/// A reason to be paused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["reason", "startTime"]))]
pub struct PauseCondition {
    /// The reason.
    pub reason: PauseReason,
    /// Since when.
    pub start_time: Time,
}

/// What only a canary has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryStatus {
    /// The analysis of the current step.
    #[serde(skip_serializing_if = "is_default")]
    pub current_step_analysis_run_status: Option<RolloutAnalysisRunStatus>,
    /// The analysis of the whole update.
    #[serde(skip_serializing_if = "is_default")]
    pub current_background_analysis_run_status: Option<RolloutAnalysisRunStatus>,
    /// Name of the Experiment of the current step, until it ended well or badly.
    #[serde(skip_serializing_if = "is_default")]
    pub current_experiment: String,
    /// How traffic is split; absent without traffic routing.
    #[serde(skip_serializing_if = "is_default")]
    pub weights: Option<TrafficWeights>,
    /// Which of the two ping-pong Services is stable.
    #[serde(skip_serializing_if = "is_default")]
    pub stable_ping_pong: PingPongType,
    /// What the step plugins said.
    #[serde(skip_serializing_if = "is_default")]
    pub step_plugin_statuses: Vec<StepPluginStatus>,
}

/// What only a blue-green Rollout has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct BlueGreenStatus {
    /// Pod template hash that the preview Service selects.
    #[serde(skip_serializing_if = "is_default")]
    pub preview_selector: String,
    /// Pod template hash that the active Service selects.
    #[serde(skip_serializing_if = "is_default")]
    pub active_selector: String,
    /// The new ReplicaSet may grow beyond its preview size.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_up_preview_check_point: bool,
    /// The analysis before the switch.
    #[serde(skip_serializing_if = "is_default")]
    pub pre_promotion_analysis_run_status: Option<RolloutAnalysisRunStatus>,
    /// The analysis after the switch.
    #[serde(skip_serializing_if = "is_default")]
    pub post_promotion_analysis_run_status: Option<RolloutAnalysisRunStatus>,
}

/// How traffic is split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["canary", "stable"]))]
pub struct TrafficWeights {
    /// The canary's share.
    pub canary: WeightDestination,
    /// The stable version's share.
    pub stable: WeightDestination,
    /// Shares of an Experiment's ReplicaSets.
    #[serde(skip_serializing_if = "is_default")]
    pub additional: Vec<WeightDestination>,
    /// Whether the router has confirmed the split; absent when it cannot know.
    #[serde(skip_serializing_if = "is_default")]
    pub verified: Option<bool>,
}

/// A share of the traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["weight"]))]
pub struct WeightDestination {
    /// The share.
    pub weight: i32,
    /// Service that gets it.
    #[serde(skip_serializing_if = "is_default")]
    pub service_name: String,
    /// Pod template hash of the pods that get it.
    #[serde(skip_serializing_if = "is_default")]
    pub pod_template_hash: String,
}

/// An AnalysisRun of the Rollout, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "status"]))]
pub struct RolloutAnalysisRunStatus {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub status: AnalysisPhase,
    /// Its message.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
}

/// What a step plugin said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["index", "name", "operation"]))]
pub struct StepPluginStatus {
    /// Index of the step.
    pub index: i32,
    /// Name of the plugin.
    pub name: String,
    /// What it was asked to do.
    pub operation: StepPluginOperation,
    /// How far it is.
    #[serde(skip_serializing_if = "is_default")]
    pub phase: StepPluginPhase,
    /// Why.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// When it was called first.
    #[serde(skip_serializing_if = "is_default")]
    pub started_at: Option<Time>,
    /// When it was called last.
    #[serde(skip_serializing_if = "is_default")]
    pub updated_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "is_default")]
    pub finished_at: Option<Time>,
    /// How long to wait before the next call.
    #[serde(skip_serializing_if = "is_default")]
    pub backoff: DurationString,
    /// How often it was called.
    #[serde(skip_serializing_if = "is_default")]
    pub executions: i32,
    /// The administrator has switched it off.
    #[serde(skip_serializing_if = "is_default")]
    pub disabled: bool,
    /// What it wants to read in its next call.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "crate::pod_template::any_object")]
    pub status: Option<Value>,
}

/// What an AWS load balancer router keeps in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ALBStatus {
    /// The load balancer.
    pub load_balancer: AwsResourceRef,
    /// Target group of the canary.
    pub canary_target_group: AwsResourceRef,
    /// Target group of the stable version.
    pub stable_target_group: AwsResourceRef,
    /// The Ingress that all of it comes from.
    #[serde(skip_serializing_if = "is_default")]
    pub ingress: String,
}

/// A resource in AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
// Statuses from before `fullName` existed must still be accepted.
#[schemars(extend("required" = ["name", "arn"]))]
pub struct AwsResourceRef {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// The name with its path.
    pub full_name: String,
}

/// How long an update takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutDurationStatus {
    /// When it began.
    #[serde(skip_serializing_if = "is_default")]
    pub rollout_started_at: Option<Time>,
    /// When the user's pause began, while it lasts.
    #[serde(skip_serializing_if = "is_default")]
    pub manual_pause_started_at: Option<Time>,
    /// Seconds of the user's pauses that are over.
    #[serde(skip_serializing_if = "is_default")]
    pub total_manual_pause_duration_seconds: Option<i64>,
    /// When it ended.
    #[serde(skip_serializing_if = "is_default")]
    pub finished_at: Option<Time>,
    /// How it ended.
    #[serde(skip_serializing_if = "is_default")]
    pub completion_status: Option<CompletionStatus>,
}

/// A condition of a Rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = [
    "type", "status", "lastUpdateTime", "lastTransitionTime", "reason", "message"
]))]
pub struct RolloutCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub type_: RolloutConditionType,
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
    /// Why a Rollout is paused.
    PauseReason {
        InconclusiveAnalysis = "InconclusiveAnalysisRun",
        InconclusiveExperiment = "InconclusiveExperiment",
        CanaryPauseStep = "CanaryPauseStep",
        BlueGreenPause = "BlueGreenPause",
    }
}

text_enum! {
    /// A Rollout in one word.
    RolloutPhase {
        Healthy = "Healthy",
        Degraded = "Degraded",
        Progressing = "Progressing",
        Paused = "Paused",
    }
}

text_enum! {
    /// One of the two ping-pong Services.
    PingPongType {
        Ping = "ping",
        Pong = "pong",
    }
}

text_enum! {
    /// What a step plugin was asked to do.
    StepPluginOperation {
        Run = "Run",
        Terminate = "Terminate",
        Abort = "Abort",
    }
}

text_enum! {
    /// How far a step plugin is.
    StepPluginPhase {
        Running = "Running",
        Successful = "Successful",
        Failed = "Failed",
        Error = "Error",
    }
}

text_enum! {
    /// How an update ended.
    CompletionStatus {
        Promoted = "Promoted",
        FastPromoted = "FastPromoted",
        Aborted = "Aborted",
        Superseded = "Superseded",
        RolledBack = "RolledBack",
        FastRolledBack = "FastRolledBack",
    }
}

text_enum! {
    /// What a condition of a Rollout is about.
    RolloutConditionType {
        InvalidSpec = "InvalidSpec",
        Available = "Available",
        Progressing = "Progressing",
        ReplicaFailure = "ReplicaFailure",
        Paused = "Paused",
        Completed = "Completed",
        Healthy = "Healthy",
    }
}

text_enum! {
    /// Status of a condition.
    ConditionStatus or Other {
        True = "True",
        False = "False",
        Unknown = "Unknown",
    }
}

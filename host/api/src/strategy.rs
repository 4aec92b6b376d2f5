//! The two strategies of a Rollout and the blocks that they share. Canary steps and traffic routing are next door.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    CanaryStep, IntOrString, PodTemplateMetadata, RolloutAnalysis, RolloutAnalysisBackground,
    RolloutTrafficRouting, is_default, text::text_enum,
};

/// Replaces all pods at once, by switching a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["activeService"]))]
pub struct BlueGreenStrategy {
    /// Service that is switched to the promoted ReplicaSet.
    pub active_service: String,
    /// Service that is switched to the new ReplicaSet at once.
    #[serde(skip_serializing_if = "is_default")]
    pub preview_service: String,
    /// Size of the new ReplicaSet before promotion.
    #[serde(skip_serializing_if = "is_default")]
    pub preview_replica_count: Option<i32>,
    /// Promote without asking. Defaults to true.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_promotion_enabled: Option<bool>,
    /// Promote this many seconds after the new ReplicaSet is available.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_promotion_seconds: i32,
    /// Pods that may be missing during a restart. Defaults to 25%.
    #[serde(skip_serializing_if = "is_default")]
    pub max_unavailable: Option<IntOrString>,
    /// Seconds to keep the old ReplicaSet after the switch. Defaults to 30.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_down_delay_seconds: Option<i32>,
    /// Old ReplicaSets that may be kept up meanwhile.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_down_delay_revision_limit: Option<i32>,
    /// Analysis that must succeed before the switch.
    #[serde(skip_serializing_if = "is_default")]
    pub pre_promotion_analysis: Option<RolloutAnalysis>,
    /// Keep old and new pods apart.
    #[serde(skip_serializing_if = "is_default")]
    pub anti_affinity: Option<AntiAffinity>,
    /// Analysis after the switch, before the new ReplicaSet counts as stable.
    #[serde(skip_serializing_if = "is_default")]
    pub post_promotion_analysis: Option<RolloutAnalysis>,
    /// Labels and annotations of the pods while they are in preview.
    #[serde(skip_serializing_if = "is_default")]
    pub preview_metadata: Option<PodTemplateMetadata>,
    /// Labels and annotations of the pods while they are active.
    #[serde(skip_serializing_if = "is_default")]
    pub active_metadata: Option<PodTemplateMetadata>,
    /// Seconds to keep the new ReplicaSet after an abort; 0 keeps it. Defaults to 30.
    #[serde(skip_serializing_if = "is_default")]
    pub abort_scale_down_delay_seconds: Option<i32>,
}

/// Replaces pods step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryStrategy {
    /// Service that selects the canary pods.
    #[serde(skip_serializing_if = "is_default")]
    pub canary_service: String,
    /// Service that selects the stable pods.
    #[serde(skip_serializing_if = "is_default")]
    pub stable_service: String,
    /// The steps, in order. None: a rolling update.
    #[serde(skip_serializing_if = "is_default")]
    pub steps: Vec<CanaryStep>,
    /// Split traffic exactly by router instead of approximately by pod counts.
    #[serde(skip_serializing_if = "is_default")]
    pub traffic_routing: Option<RolloutTrafficRouting>,
    /// Pods that may be missing during the update. Defaults to 25%.
    #[serde(skip_serializing_if = "is_default")]
    pub max_unavailable: Option<IntOrString>,
    /// Pods that may exist beyond the wanted number. Defaults to 25%.
    #[serde(skip_serializing_if = "is_default")]
    pub max_surge: Option<IntOrString>,
    /// Analysis during the whole update.
    #[serde(skip_serializing_if = "is_default")]
    pub analysis: Option<RolloutAnalysisBackground>,
    /// Keep old and new pods apart.
    #[serde(skip_serializing_if = "is_default")]
    pub anti_affinity: Option<AntiAffinity>,
    /// Labels and annotations of the pods while they are canaries.
    #[serde(skip_serializing_if = "is_default")]
    pub canary_metadata: Option<PodTemplateMetadata>,
    /// Labels and annotations of the pods while they are stable.
    #[serde(skip_serializing_if = "is_default")]
    pub stable_metadata: Option<PodTemplateMetadata>,
    /// Seconds to keep the old ReplicaSet after promotion; with traffic routing only. Defaults to 30.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_down_delay_seconds: Option<i32>,
    /// Old ReplicaSets that may be kept up meanwhile.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_down_delay_revision_limit: Option<i32>,
    /// Seconds to keep the canary after an abort; 0 keeps it; with traffic routing only. Defaults to 30.
    #[serde(skip_serializing_if = "is_default")]
    pub abort_scale_down_delay_seconds: Option<i32>,
    /// Scale the stable ReplicaSet down while weight moves to the canary; with traffic routing only.
    #[serde(skip_serializing_if = "is_default")]
    pub dynamic_stable_scale: bool,
    /// Two Services that swap their roles on each promotion.
    #[serde(skip_serializing_if = "is_default")]
    pub ping_pong: Option<PingPongSpec>,
    /// Least number of pods of a ReplicaSet that has any; with traffic routing only.
    #[serde(skip_serializing_if = "is_default")]
    pub min_pods_per_replica_set: Option<i32>,
    /// Share of the canary that must be available for a step to complete. Defaults to all of it.
    #[serde(skip_serializing_if = "is_default")]
    pub replica_progress_threshold: Option<ReplicaProgressThreshold>,
}

/// Keeps the pods of the new and the old version on different nodes: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AntiAffinity {
    /// If possible.
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_during_scheduling_ignored_during_execution:
        Option<PreferredDuringSchedulingIgnoredDuringExecution>,
    /// Always.
    #[serde(skip_serializing_if = "is_default")]
    pub required_during_scheduling_ignored_during_execution:
        Option<RequiredDuringSchedulingIgnoredDuringExecution>,
}

/// Anti-affinity that the scheduler may give up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["weight"]))]
pub struct PreferredDuringSchedulingIgnoredDuringExecution {
    /// From 1 to 100.
    pub weight: i32,
}

/// Anti-affinity that the scheduler keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RequiredDuringSchedulingIgnoredDuringExecution {}

/// Two Services that take turns as canary and stable, so that neither is re-pointed while it carries traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["pingService", "pongService"]))]
pub struct PingPongSpec {
    /// One.
    pub ping_service: String,
    /// The other.
    pub pong_service: String,
}

/// How much of the canary must be available for a step to complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["type", "value"]))]
pub struct ReplicaProgressThreshold {
    /// What `value` counts: `Percent` or `Pods`.
    #[serde(rename = "type")]
    pub type_: ProgressType,
    /// The amount.
    pub value: i32,
}

text_enum! {
    /// What a progress threshold counts. Argo Rollouts takes every type but `Percent` for pods.
    ProgressType {
        Percent = "Percent",
        Pods = "Pods",
    }
}

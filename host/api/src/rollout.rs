//! The Rollout: what the user asks for, apart from the strategy. Its status is next door.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BlueGreenStrategy, CanaryStrategy, IntOrString, LabelSelector, ObjectMeta, PodTemplate,
    RolloutStatus, Time, is_default, kind::kind,
};

/// Runs pods like a Deployment, and replaces them by the strategy that the user chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What the user asks for.
    pub spec: RolloutSpec,
    /// What is.
    pub status: RolloutStatus,
}

kind!(Rollout {
    PLURAL = "rollouts",
    SINGULAR = "rollout",
    SHORT_NAME = "ro",
    STATUS_SUBRESOURCE = true,
} [metadata, spec, status]);

/// What the user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Wanted number of pods. Defaults to 1.
    #[serde(skip_serializing_if = "is_default")]
    pub replicas: Option<i32>,
    /// Selects the pods; must match the labels of the template. Cannot be changed.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("x-kubernetes-validations" = [
        { "rule": "self == oldSelf", "message": ".spec.selector is immutable" }
    ]))]
    pub selector: Option<LabelSelector>,
    /// The pods to run. Absent when `workloadRef` names a workload that has it.
    #[serde(skip_serializing_if = "is_default")]
    pub template: Option<PodTemplate>,
    /// A workload whose pod template is used instead of `template`.
    #[serde(skip_serializing_if = "is_default")]
    pub workload_ref: Option<ObjectRef>,
    /// Seconds that a new pod must be ready without a crash before it counts as available. Defaults to 0.
    #[serde(skip_serializing_if = "is_default")]
    pub min_ready_seconds: i32,
    /// Within these recent revisions a rollback skips analysis and steps.
    #[serde(skip_serializing_if = "is_default")]
    pub rollback_window: Option<RollbackWindowSpec>,
    /// How old pods are replaced by new ones.
    pub strategy: RolloutStrategy,
    /// Old ReplicaSets to keep. Defaults to 10.
    #[serde(skip_serializing_if = "is_default")]
    pub revision_history_limit: Option<i32>,
    /// The user's pause: no scaling, no switching of Services.
    #[serde(skip_serializing_if = "is_default")]
    pub paused: bool,
    /// Seconds without progress after which the Rollout counts as failed. Defaults to 600.
    #[serde(skip_serializing_if = "is_default")]
    pub progress_deadline_seconds: Option<i32>,
    /// Abort the update when that deadline passes.
    #[serde(skip_serializing_if = "is_default")]
    pub progress_deadline_abort: bool,
    /// Restart every pod that was created before this time.
    #[serde(skip_serializing_if = "is_default")]
    pub restart_at: Option<Time>,
    /// How many finished AnalysisRuns and Experiments to keep.
    #[serde(skip_serializing_if = "is_default")]
    pub analysis: Option<AnalysisRunStrategy>,
}

/// A workload of another kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectRef {
    /// API group and version.
    #[serde(skip_serializing_if = "is_default")]
    pub api_version: String,
    /// Kind: a Deployment, a ReplicaSet or a PodTemplate.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: String,
    /// Name, in the same namespace.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Whether the workload is scaled down: `never` (the default), `onsuccess` or `progressively`.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_down: String,
}

/// How far back a rollback may be fast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RollbackWindowSpec {
    /// Number of revisions.
    #[serde(skip_serializing_if = "is_default")]
    pub revisions: i32,
}

/// How old pods are replaced: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutStrategy {
    /// All at once, by switching a Service.
    #[serde(skip_serializing_if = "is_default")]
    pub blue_green: Option<BlueGreenStrategy>,
    /// Step by step.
    #[serde(skip_serializing_if = "is_default")]
    pub canary: Option<CanaryStrategy>,
}

/// How many finished AnalysisRuns and Experiments to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AnalysisRunStrategy {
    /// Successful ones. Defaults to 5.
    #[serde(skip_serializing_if = "is_default")]
    pub successful_run_history_limit: Option<i32>,
    /// Failed, errored and inconclusive ones. Defaults to 5.
    #[serde(skip_serializing_if = "is_default")]
    pub unsuccessful_run_history_limit: Option<i32>,
}

impl RolloutStrategy {
    /// `maxUnavailable` of whichever strategy is set, blue-green first, as Argo Rollouts looks.
    pub(crate) fn max_unavailable(&self) -> Option<&IntOrString> {
        let blue_green = self
            .blue_green
            .as_ref()
            .and_then(|s| s.max_unavailable.as_ref());
        blue_green.or_else(|| {
            self.canary
                .as_ref()
                .and_then(|s| s.max_unavailable.as_ref())
        })
    }
}

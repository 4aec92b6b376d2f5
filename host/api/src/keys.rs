//! Labels and annotations of the contract (ledger KEY rows). Argo CD, the `kubectl` plugin and a controller that takes
//! over read them.

/// Label on ReplicaSets, pods, AnalysisRuns and Experiments, in the selectors of Services and in router subsets: the
/// pod template hash (KEY-001).
pub const POD_TEMPLATE_HASH: &str = "rollouts-pod-template-hash";
/// Annotation on a ReplicaSet: when it may be scaled down, RFC 3339 in UTC (KEY-002).
pub const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";
/// Annotation on Services and router objects: name of the Rollout that manages them (KEY-003).
pub const MANAGED_BY: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Label that shares objects out among controllers (KEY-004).
pub const INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";
/// Annotation on Rollouts, ReplicaSets, AnalysisRuns and Experiments: the revision, in decimal (KEY-005).
pub const REVISION: &str = "rollout.argoproj.io/revision";
/// Annotation on a ReplicaSet: its earlier revisions, separated by commas (KEY-006).
pub const REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
/// Annotation on a ReplicaSet: `spec.replicas` of the Rollout when the set was scaled last (KEY-007).
pub const DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
/// Annotation on a Rollout: generation of the workload that it refers to (KEY-008).
pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
/// Annotation on a ReplicaSet: the metadata that was injected into its pods, as JSON (KEY-009).
pub const EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
/// Annotation: which notifications were sent; never copied (KEY-011).
pub const NOTIFIED: &str = "notified.notifications.argoproj.io";
/// Annotation on an Experiment's ReplicaSet: name of the Experiment (KEY-013).
pub const EXPERIMENT_NAME: &str = "experiment.argoproj.io/name";
/// Annotation on an Experiment's ReplicaSet: name of the template (KEY-013).
pub const EXPERIMENT_TEMPLATE_NAME: &str = "experiment.argoproj.io/template-name";
/// Label on an AnalysisRun: `Step`, `Background`, `PrePromotion` or `PostPromotion` (KEY-014).
pub const ROLLOUT_TYPE: &str = "rollout-type";
/// Label on the AnalysisRun of a step: index of the step, in decimal (KEY-014).
pub const STEP_INDEX: &str = "step-index";
/// Annotation on a Job: name of the AnalysisRun that it measures for (KEY-015).
pub const JOB_ANALYSIS_RUN_NAME: &str = "analysisrun.argoproj.io/name";
/// Annotation on a Job: namespace of that AnalysisRun (KEY-015).
pub const JOB_ANALYSIS_RUN_NAMESPACE: &str = "analysisrun.argoproj.io/namespace";
/// Annotation on a Job: name of the metric (KEY-015).
pub const JOB_METRIC_NAME: &str = "analysisrun.argoproj.io/metric-name";
/// Label on a Job and its pods: UID of the AnalysisRun (KEY-015).
pub const JOB_ANALYSIS_RUN_UID: &str = "analysisrun.argoproj.io/uid";
/// Written by `kubectl apply`; never copied from a Rollout to its ReplicaSets (KEY-019).
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

//! Labels and annotations of the contract. Argo CD, the `kubectl` plugin and a controller that takes over read them.

/// Label on ReplicaSets, pods, AnalysisRuns and Experiments, in the selectors of Services and in router subsets: the
/// pod template hash.
pub const POD_TEMPLATE_HASH: &str = "rollouts-pod-template-hash";
/// Annotation on a ReplicaSet: when it may be scaled down, RFC 3339 in UTC.
pub const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";
/// Annotation on Services and router objects: name of the Rollout that manages them.
pub const MANAGED_BY_ROLLOUTS: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Label that shares objects out among controllers.
pub const CONTROLLER_INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";
/// Annotation on Rollouts, ReplicaSets, AnalysisRuns and Experiments: the revision, in decimal.
pub const REVISION: &str = "rollout.argoproj.io/revision";
/// Annotation on a ReplicaSet: its earlier revisions, separated by commas.
pub const REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
/// Annotation on a ReplicaSet: `spec.replicas` of the Rollout when the set was scaled last.
pub const DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
/// Annotation on a Rollout: generation of the workload that it refers to.
pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
/// Annotation on a ReplicaSet: the metadata that was injected into its pods, as JSON.
pub const EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
/// Annotation: which notifications were sent.
pub const NOTIFIED: &str = "notified.notifications.argoproj.io";
/// Annotation on an Experiment's ReplicaSet: name of the Experiment.
pub const EXPERIMENT_NAME: &str = "experiment.argoproj.io/name";
/// Annotation on an Experiment's ReplicaSet: name of the template.
pub const EXPERIMENT_TEMPLATE_NAME: &str = "experiment.argoproj.io/template-name";
/// Label on an AnalysisRun: why it runs; one of the four `ROLLOUT_TYPE_…` values.
pub const ROLLOUT_TYPE: &str = "rollout-type";
/// [`ROLLOUT_TYPE`] of the analysis of a step.
pub const ROLLOUT_TYPE_STEP: &str = "Step";
/// [`ROLLOUT_TYPE`] of the analysis of a whole update.
pub const ROLLOUT_TYPE_BACKGROUND: &str = "Background";
/// [`ROLLOUT_TYPE`] of the analysis before a blue-green switch.
pub const ROLLOUT_TYPE_PRE_PROMOTION: &str = "PrePromotion";
/// [`ROLLOUT_TYPE`] of the analysis after a blue-green switch.
pub const ROLLOUT_TYPE_POST_PROMOTION: &str = "PostPromotion";
/// Label on the AnalysisRun of a step: index of the step, in decimal.
pub const STEP_INDEX: &str = "step-index";
/// Annotation on a Job: name of the AnalysisRun that it measures for.
pub const JOB_ANALYSIS_RUN_NAME: &str = "analysisrun.argoproj.io/name";
/// Annotation on a Job: namespace of that AnalysisRun.
pub const JOB_ANALYSIS_RUN_NAMESPACE: &str = "analysisrun.argoproj.io/namespace";
/// Annotation on a Job: name of the metric.
pub const JOB_METRIC_NAME: &str = "analysisrun.argoproj.io/metric-name";
/// Label on a Job and its pods: UID of the AnalysisRun.
pub const JOB_ANALYSIS_RUN_UID: &str = "analysisrun.argoproj.io/uid";
/// Written by `kubectl apply`; never copied from a Rollout to its ReplicaSets.
pub const LAST_APPLIED_CONFIGURATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

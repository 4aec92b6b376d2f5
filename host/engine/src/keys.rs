//! Labels and annotations of Argo Rollouts (ledger KEY rows), and the few of our own.

/// Label on sets, pods, runs and experiments; key in Service selectors (KEY-001).
pub const POD_TEMPLATE_HASH: &str = "rollouts-pod-template-hash";
/// Annotation on a set: when it goes to zero, RFC 3339 (KEY-002).
pub const SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";
/// Annotation on Services and router objects: the Rollout that manages them (KEY-003).
pub const MANAGED_BY: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Label that shards objects among controllers (KEY-004).
pub const INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";
/// Annotation with the revision (KEY-005).
pub const REVISION: &str = "rollout.argoproj.io/revision";
/// Annotation on a set: earlier revisions, separated by commas (KEY-006).
pub const REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
/// Annotation on a set: `spec.replicas` of the Rollout when it was last scaled (KEY-007).
pub const DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
/// Annotation on a Rollout: generation of the referenced workload (KEY-008).
pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
/// Annotation on a set: metadata that was put into its template (KEY-009).
pub const EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
/// State of Argo's notifications; never copied (KEY-011).
pub const NOTIFIED: &str = "notified.notifications.argoproj.io";
/// What `kubectl apply` remembers; never copied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Label on an AnalysisRun: `Step`, `Background`, `PrePromotion` or `PostPromotion` (KEY-014).
pub const ROLLOUT_TYPE: &str = "rollout-type";
/// Label on a step's AnalysisRun: the index of the step (KEY-014).
pub const STEP_INDEX: &str = "step-index";
/// Ours, on a set: hash of the template as the user wrote it, so that a later pass needs no comparison.
pub const TEMPLATE_SOURCE: &str = "sluice.dev/template-source";

/// Annotations of the Rollout that are not copied to its sets (KEY-019).
pub const NOT_COPIED: [&str; 5] = [
    LAST_APPLIED,
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    NOTIFIED,
];

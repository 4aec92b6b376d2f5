//! The five kinds of Argo Rollouts in `argoproj.io/v1alpha1`: types, schema, defaults; no behaviour.
//!
//! Field names, field order and what an empty value looks like on the wire follow Argo Rollouts' Go types exactly: the
//! step hash is computed over the JSON of `steps`, and a Rollout left half-way by one controller is carried on by the
//! other. Rust names are the JSON names in snake case (`type` is `type_`). Where Go tells "absent" from "zero" (a
//! pointer) the field is an `Option`; where Go omits a zero value the field is plain and a zero value is not written.
//!
//! Decode objects from a cluster with [`decode`]: it never gives up on an object because one field is malformed.

mod analysis;
mod analysis_run;
mod canary_step;
mod crd;
mod decode;
mod defaults;
mod duration;
mod experiment;
mod int_or_string;
pub mod keys;
mod kind;
mod metadata;
mod pod_template;
mod rollout;
mod rollout_status;
mod strategy;
mod structural;
mod text;
mod time;
mod traffic_routing;
pub mod upstream;

pub use analysis::{
    AnalysisRunMetadata, AnalysisTemplate, AnalysisTemplateRef, AnalysisTemplateSpec, Argument,
    ClusterAnalysisTemplate, DryRun, FieldRef, MeasurementRetention, Metric, MetricProvider,
    SecretKeyRef, ValueFrom,
};
pub use analysis_run::{
    AnalysisPhase, AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, Measurement, MetricResult,
    RunSummary, TTLStrategy,
};
pub use canary_step::{
    AnalysisRunArgument, ArgumentValueFrom, CanaryStep, HeaderRoutingMatch, PluginStep,
    ReplicaSetSpecRef, RolloutAnalysis, RolloutAnalysisBackground, RolloutExperimentStep,
    RolloutExperimentStepAnalysisTemplateRef, RolloutExperimentTemplate, RolloutPause, RouteMatch,
    SetCanaryScale, SetHeaderRoute, SetMirrorRoute, StringMatch, TemplateService,
    ValueFromPodTemplateHash,
};
pub use crd::{ConfigSchemas, crds, crds_with};
pub use decode::{DecodeError, Decoded, Problem, decode};
pub use defaults::*;
pub use duration::{DurationError, DurationString, format_duration, parse_duration};
pub use experiment::{
    Experiment, ExperimentAnalysisRunStatus, ExperimentAnalysisTemplateRef, ExperimentCondition,
    ExperimentConditionType, ExperimentSpec, ExperimentStatus, TemplateSpec, TemplateStatus,
    TemplateStatusCode,
};
pub use int_or_string::IntOrString;
pub use kind::{GROUP, Kind, Scope, VERSION};
pub use metadata::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference, PodTemplateMetadata,
};
pub use pod_template::PodTemplate;
pub use rollout::{
    AnalysisRunStrategy, ObjectRef, RollbackWindowSpec, Rollout, RolloutSpec, RolloutStrategy,
};
pub use rollout_status::{
    ALBStatus, AwsResourceRef, BlueGreenStatus, CanaryStatus, CompletionStatus, ConditionStatus,
    PauseCondition, PauseReason, PingPongType, RolloutAnalysisRunStatus, RolloutCondition,
    RolloutConditionType, RolloutDurationStatus, RolloutPhase, RolloutStatus, StepPluginOperation,
    StepPluginPhase, StepPluginStatus, TrafficWeights, WeightDestination,
};
pub use strategy::{
    AntiAffinity, BlueGreenStrategy, CanaryStrategy, PingPongSpec,
    PreferredDuringSchedulingIgnoredDuringExecution, ProgressType, ReplicaProgressThreshold,
    RequiredDuringSchedulingIgnoredDuringExecution,
};
pub use structural::structural;
pub use time::Time;
pub use traffic_routing::{MangedRoutes, RolloutTrafficRouting};

/// Whether a field is left out of JSON, as Go's `omitempty` does for pointers, scalars, lists and maps.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;

//! One step of a canary and everything that can be written in it.
//!
//! The order of the fields here is part of the contract: the step hash is computed over their JSON in this order, with
//! exactly these fields left out when empty. Tests hold both.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AnalysisRunMetadata, AnalysisTemplateRef, DryRun, DurationString, FieldRef, IntOrString,
    LabelSelector, MeasurementRetention, PodTemplateMetadata, is_default, text::text_enum,
};

/// One step: one of these is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryStep {
    /// Share of the traffic that the canary gets, from 0 to `maxTrafficWeight` (100 by default).
    #[serde(skip_serializing_if = "is_default")]
    pub set_weight: Option<i32>,
    /// Wait for a time, or for the user.
    #[serde(skip_serializing_if = "is_default")]
    pub pause: Option<RolloutPause>,
    /// Run an Experiment and wait for its end.
    #[serde(skip_serializing_if = "is_default")]
    pub experiment: Option<RolloutExperimentStep>,
    /// Run an analysis and wait for its end.
    #[serde(skip_serializing_if = "is_default")]
    pub analysis: Option<RolloutAnalysis>,
    /// Size of the canary apart from its weight; with traffic routing only.
    #[serde(skip_serializing_if = "is_default")]
    pub set_canary_scale: Option<SetCanaryScale>,
    /// Send requests with certain headers to the canary.
    #[serde(skip_serializing_if = "is_default")]
    pub set_header_route: Option<SetHeaderRoute>,
    /// Copy certain requests to the canary.
    #[serde(skip_serializing_if = "is_default")]
    pub set_mirror_route: Option<SetMirrorRoute>,
    /// Run a step plugin.
    #[serde(skip_serializing_if = "is_default")]
    pub plugin: Option<PluginStep>,
}

/// Wait for a time, or for the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutPause {
    /// Seconds as a number, or a duration such as `1h30m`. Absent: until the user promotes.
    #[serde(skip_serializing_if = "is_default")]
    pub duration: Option<IntOrString>,
}

/// An Experiment as a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["templates"]))]
pub struct RolloutExperimentStep {
    /// The ReplicaSets to run.
    pub templates: Vec<RolloutExperimentTemplate>,
    /// How long; absent: until its analyses end.
    #[serde(skip_serializing_if = "is_default")]
    pub duration: DurationString,
    /// Analyses to run meanwhile.
    #[serde(skip_serializing_if = "is_default")]
    pub analyses: Vec<RolloutExperimentStepAnalysisTemplateRef>,
    /// Metrics that are measured without consequences.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: Vec<DryRun>,
    /// Labels and annotations of the AnalysisRuns.
    pub analysis_run_metadata: AnalysisRunMetadata,
    /// Seconds to keep the ReplicaSets afterwards. Defaults to 30.
    #[serde(skip_serializing_if = "is_default")]
    pub scale_down_delay_seconds: Option<i32>,
}

/// An analysis of an Experiment step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "templateName"]))]
pub struct RolloutExperimentStepAnalysisTemplateRef {
    /// Name within the Experiment.
    pub name: String,
    /// The template.
    pub template_name: String,
    /// Whether it is a ClusterAnalysisTemplate.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_scope: Option<bool>,
    /// Arguments for the template.
    #[serde(skip_serializing_if = "is_default")]
    pub args: Vec<AnalysisRunArgument>,
    /// Whether the Experiment lasts until this analysis ends.
    #[serde(skip_serializing_if = "is_default")]
    pub required_for_completion: bool,
}

/// A ReplicaSet of an Experiment step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "specRef"]))]
pub struct RolloutExperimentTemplate {
    /// Name within the Experiment.
    pub name: String,
    /// Whose pod template it runs: `canary` or `stable`.
    pub spec_ref: ReplicaSetSpecRef,
    /// Number of pods. Defaults to 1.
    #[serde(skip_serializing_if = "is_default")]
    pub replicas: Option<i32>,
    /// Labels and annotations to add to the pods.
    pub metadata: PodTemplateMetadata,
    /// Selector instead of the Rollout's.
    #[serde(skip_serializing_if = "is_default")]
    pub selector: Option<LabelSelector>,
    /// Share of the traffic that it gets; with traffic routing only.
    #[serde(skip_serializing_if = "is_default")]
    pub weight: Option<i32>,
    /// Create a Service for it.
    #[serde(skip_serializing_if = "is_default")]
    pub service: Option<TemplateService>,
}

/// The Service of an Experiment's ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TemplateService {
    /// Its name; the ReplicaSet's by default.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
}

/// An analysis: templates and their arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutAnalysis {
    /// The templates; their metrics are put together.
    #[serde(skip_serializing_if = "is_default")]
    pub templates: Vec<AnalysisTemplateRef>,
    /// Arguments for the templates.
    #[serde(skip_serializing_if = "is_default")]
    pub args: Vec<AnalysisRunArgument>,
    /// Metrics that are measured without consequences.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(skip_serializing_if = "is_default")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Labels and annotations of the AnalysisRun.
    #[serde(skip_serializing_if = "is_default")]
    pub analysis_run_metadata: Option<AnalysisRunMetadata>,
}

/// An analysis that runs during the whole update.
// Its first five fields are those of `RolloutAnalysis`, which Go inlines. Spelled out, because serde's `flatten` loses
// the path of a malformed field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutAnalysisBackground {
    /// The templates; their metrics are put together.
    #[serde(skip_serializing_if = "is_default")]
    pub templates: Vec<AnalysisTemplateRef>,
    /// Arguments for the templates.
    #[serde(skip_serializing_if = "is_default")]
    pub args: Vec<AnalysisRunArgument>,
    /// Metrics that are measured without consequences.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(skip_serializing_if = "is_default")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Labels and annotations of the AnalysisRun.
    #[serde(skip_serializing_if = "is_default")]
    pub analysis_run_metadata: Option<AnalysisRunMetadata>,
    /// Index of the step at which it starts. Defaults to 0.
    #[serde(skip_serializing_if = "is_default")]
    pub starting_step: Option<i32>,
}

impl RolloutAnalysisBackground {
    /// The analysis without its starting step.
    #[must_use]
    pub fn analysis(&self) -> RolloutAnalysis {
        RolloutAnalysis {
            templates: self.templates.clone(),
            args: self.args.clone(),
            dry_run: self.dry_run.clone(),
            measurement_retention: self.measurement_retention.clone(),
            analysis_run_metadata: self.analysis_run_metadata.clone(),
        }
    }
}

/// An argument that a Rollout gives to an analysis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct AnalysisRunArgument {
    /// Name in the template.
    pub name: String,
    /// A fixed value.
    #[serde(skip_serializing_if = "is_default")]
    pub value: String,
    /// A value looked up when the run is made.
    #[serde(skip_serializing_if = "is_default")]
    pub value_from: Option<ArgumentValueFrom>,
}

/// Where the value of an argument comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ArgumentValueFrom {
    /// The pod template hash of one of the two ReplicaSets: `Stable` or `Latest`.
    #[serde(skip_serializing_if = "is_default")]
    pub pod_template_hash_value: Option<ValueFromPodTemplateHash>,
    /// A field of the Rollout.
    #[serde(skip_serializing_if = "is_default")]
    pub field_ref: Option<FieldRef>,
}

/// Size of the canary apart from its weight. `replicas` wins over `weight`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SetCanaryScale {
    /// Share of the Rollout's pods.
    #[serde(skip_serializing_if = "is_default")]
    pub weight: Option<i32>,
    /// Number of pods.
    #[serde(skip_serializing_if = "is_default")]
    pub replicas: Option<i32>,
    /// Back to following the weight.
    #[serde(skip_serializing_if = "is_default")]
    pub match_traffic_weight: bool,
}

/// Requests with certain headers go to the canary. No `match` removes the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SetHeaderRoute {
    /// Name of the route; listed in `trafficRouting.managedRoutes`.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Headers that must match.
    #[serde(rename = "match", skip_serializing_if = "is_default")]
    pub match_: Vec<HeaderRoutingMatch>,
}

/// A header and what its value must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["headerName", "headerValue"]))]
pub struct HeaderRoutingMatch {
    /// Name of the header.
    pub header_name: String,
    /// What its value must be.
    // Not left out when absent: Go writes `null` here.
    pub header_value: Option<StringMatch>,
}

/// Certain requests are copied to the canary. No `match` removes the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct SetMirrorRoute {
    /// Name of the route; listed in `trafficRouting.managedRoutes`.
    pub name: String,
    /// Requests that match any of these are copied.
    #[serde(rename = "match", skip_serializing_if = "is_default")]
    pub match_: Vec<RouteMatch>,
    /// Share of the matching requests. All by default.
    #[serde(skip_serializing_if = "is_default")]
    pub percentage: Option<i32>,
}

/// A request: everything listed must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteMatch {
    /// HTTP method.
    #[serde(skip_serializing_if = "is_default")]
    pub method: Option<StringMatch>,
    /// Path.
    #[serde(skip_serializing_if = "is_default")]
    pub path: Option<StringMatch>,
    /// Headers by name.
    #[serde(skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, StringMatch>,
}

/// What a text must be: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct StringMatch {
    /// Exactly this.
    #[serde(skip_serializing_if = "is_default")]
    pub exact: String,
    /// Something that starts with this.
    #[serde(skip_serializing_if = "is_default")]
    pub prefix: String,
    /// Something that this regular expression matches.
    #[serde(skip_serializing_if = "is_default")]
    pub regex: String,
}

/// A step that a plugin carries out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct PluginStep {
    /// Name of the plugin.
    pub name: String,
    /// What the plugin is told; its meaning is the plugin's.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "crate::pod_template::any_object")]
    pub config: Option<Value>,
}

text_enum! {
    /// Whose pod template an Experiment runs.
    ReplicaSetSpecRef {
        Canary = "canary",
        Stable = "stable",
    }
}

text_enum! {
    /// Whose pod template hash an argument gets.
    ValueFromPodTemplateHash {
        Stable = "Stable",
        Latest = "Latest",
    }
}

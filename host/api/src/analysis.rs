//! Metrics, and the templates that hold them. Runs are next door; what a provider's block means is its plugin's business.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    DurationString, IntOrString, ObjectMeta, is_default,
    kind::{Scope, kind},
};

/// Metrics to measure, for the Rollouts and Experiments of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AnalysisTemplate {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// The metrics.
    pub spec: AnalysisTemplateSpec,
}

kind!(AnalysisTemplate {
    PLURAL = "analysistemplates",
    SINGULAR = "analysistemplate",
    SHORT_NAME = "at",
} [metadata, spec]);

/// Metrics to measure, for every namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClusterAnalysisTemplate {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// The metrics.
    pub spec: AnalysisTemplateSpec,
}

kind!(ClusterAnalysisTemplate {
    PLURAL = "clusteranalysistemplates",
    SINGULAR = "clusteranalysistemplate",
    SHORT_NAME = "cat",
    SCOPE = Scope::Cluster,
} [metadata, spec]);

/// Metrics and the arguments that they take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AnalysisTemplateSpec {
    /// The metrics; may be empty when `templates` names others.
    #[serde(skip_serializing_if = "is_default")]
    pub metrics: Vec<Metric>,
    /// Arguments that the metrics use.
    #[serde(skip_serializing_if = "is_default")]
    pub args: Vec<Argument>,
    /// Metrics that are measured without consequences.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(skip_serializing_if = "is_default")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Templates whose metrics are added to these.
    #[serde(skip_serializing_if = "is_default")]
    pub templates: Vec<AnalysisTemplateRef>,
}

/// Something to measure, and what the values mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "provider"]))]
pub struct Metric {
    /// Name, unique within the run.
    pub name: String,
    /// Time between measurements. Required when `count` is more than 1.
    #[serde(skip_serializing_if = "is_default")]
    pub interval: DurationString,
    /// Time from the start of the run to the first measurement.
    #[serde(skip_serializing_if = "is_default")]
    pub initial_delay: DurationString,
    /// Number of measurements. Absent: once without an interval, for ever with one.
    #[serde(skip_serializing_if = "is_default")]
    pub count: Option<IntOrString>,
    /// Expression that is true for a good measurement.
    #[serde(skip_serializing_if = "is_default")]
    pub success_condition: String,
    /// Expression that is true for a bad measurement.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_condition: String,
    /// Bad measurements that are tolerated; -1 tolerates all. Defaults to 0.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_limit: Option<IntOrString>,
    /// Inconclusive measurements that are tolerated. Defaults to 0.
    #[serde(skip_serializing_if = "is_default")]
    pub inconclusive_limit: Option<IntOrString>,
    /// Errors in a row that are tolerated. Defaults to 4.
    #[serde(skip_serializing_if = "is_default")]
    pub consecutive_error_limit: Option<IntOrString>,
    /// Who measures: exactly one provider.
    pub provider: MetricProvider,
    /// Good measurements in a row that are enough. Defaults to 0, which asks for none.
    #[serde(skip_serializing_if = "is_default")]
    pub consecutive_success_limit: Option<IntOrString>,
}

/// Blocks by provider name, as written; valid with exactly one. The entry `plugin` is a map from plugin name to block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricProvider(pub BTreeMap<String, Value>);

impl MetricProvider {
    /// The provider's name and block, when there is exactly one. A `null` block is no block.
    #[must_use]
    pub fn only(&self) -> Option<(&str, &Value)> {
        let mut blocks = self.0.iter().filter(|(_, block)| !block.is_null());
        match (blocks.next(), blocks.next()) {
            (Some((name, block)), None) => Some((name, block)),
            _ => None,
        }
    }
}

impl<const N: usize> From<[(&str, Value); N]> for MetricProvider {
    fn from(blocks: [(&str, Value); N]) -> Self {
        Self(
            blocks
                .into_iter()
                .map(|(name, block)| (name.to_owned(), block))
                .collect(),
        )
    }
}

/// An argument of a template or a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct Argument {
    /// Its name, used as `{{args.name}}`.
    pub name: String,
    /// Its value. Absent in a template: must be supplied. The empty text is a value.
    #[serde(skip_serializing_if = "is_default")]
    pub value: Option<String>,
    /// Where its value comes from.
    #[serde(skip_serializing_if = "is_default")]
    pub value_from: Option<ValueFrom>,
}

/// Where the value of an argument comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueFrom {
    /// A key of a Secret.
    #[serde(skip_serializing_if = "is_default")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A field of the Rollout.
    #[serde(skip_serializing_if = "is_default")]
    pub field_ref: Option<FieldRef>,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "key"]))]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// The key.
    pub key: String,
}

/// A field of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["fieldPath"]))]
pub struct FieldRef {
    /// Path of the field, such as `metadata.labels['env']`.
    pub field_path: String,
}

/// Metrics that are measured without consequences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["metricName"]))]
pub struct DryRun {
    /// Regular expression over metric names; not anchored.
    pub metric_name: String,
}

/// How many measurements to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["metricName", "limit"]))]
pub struct MeasurementRetention {
    /// Regular expression over metric names; not anchored.
    pub metric_name: String,
    /// The number; more than 0.
    pub limit: i32,
}

/// A template by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
// No field is required: Argo Rollouts' schema does not ask for one either.
pub struct AnalysisTemplateRef {
    /// Its name.
    pub template_name: String,
    /// Whether it is a ClusterAnalysisTemplate.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_scope: Option<bool>,
}

/// Labels and annotations of an AnalysisRun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct AnalysisRunMetadata {
    /// Labels to add.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
}

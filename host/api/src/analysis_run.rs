//! An analysis that runs or ran, and what it measured.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Argument, DryRun, MeasurementRetention, Metric, ObjectMeta, Time, is_default, kind::kind,
    text::text_enum,
};

/// An analysis that runs or ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AnalysisRun {
    /// Name, labels and the rest.
    pub metadata: ObjectMeta,
    /// What to measure.
    pub spec: AnalysisRunSpec,
    /// What was measured.
    pub status: AnalysisRunStatus,
}

kind!(AnalysisRun {
    PLURAL = "analysisruns",
    SINGULAR = "analysisrun",
    SHORT_NAME = "ar",
} [metadata, spec, status]);

/// What to measure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["metrics"]))]
pub struct AnalysisRunSpec {
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// Arguments that the metrics use.
    #[serde(skip_serializing_if = "is_default")]
    pub args: Vec<Argument>,
    /// Stop now; the worst metric so far decides.
    #[serde(skip_serializing_if = "is_default")]
    pub terminate: bool,
    /// Metrics that are measured without consequences.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: Vec<DryRun>,
    /// How many measurements to keep.
    #[serde(skip_serializing_if = "is_default")]
    pub measurement_retention: Vec<MeasurementRetention>,
    /// Delete the run some time after its end.
    #[serde(skip_serializing_if = "is_default")]
    pub ttl_strategy: Option<TTLStrategy>,
}

/// When to delete a run after its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TTLStrategy {
    /// Seconds after any end.
    #[serde(skip_serializing_if = "is_default")]
    pub seconds_after_completion: Option<i32>,
    /// Seconds after a bad end.
    #[serde(skip_serializing_if = "is_default")]
    pub seconds_after_failure: Option<i32>,
    /// Seconds after a good end.
    #[serde(skip_serializing_if = "is_default")]
    pub seconds_after_success: Option<i32>,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["phase"]))]
pub struct AnalysisRunStatus {
    /// How far the run is.
    pub phase: AnalysisPhase,
    /// Why.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// The metrics.
    #[serde(skip_serializing_if = "is_default")]
    pub metric_results: Vec<MetricResult>,
    /// When the run began.
    #[serde(skip_serializing_if = "is_default")]
    pub started_at: Option<Time>,
    /// Metrics by outcome.
    pub run_summary: RunSummary,
    /// Metrics without consequences by outcome; absent when there are none.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run_summary: Option<RunSummary>,
    /// When the run ended.
    #[serde(skip_serializing_if = "is_default")]
    pub completed_at: Option<Time>,
}

/// Metrics by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RunSummary {
    /// All.
    #[serde(skip_serializing_if = "is_default")]
    pub count: i32,
    /// Successful ones.
    #[serde(skip_serializing_if = "is_default")]
    pub successful: i32,
    /// Failed ones.
    #[serde(skip_serializing_if = "is_default")]
    pub failed: i32,
    /// Inconclusive ones.
    #[serde(skip_serializing_if = "is_default")]
    pub inconclusive: i32,
    /// Errored ones.
    #[serde(skip_serializing_if = "is_default")]
    pub error: i32,
}

/// What became of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "phase"]))]
pub struct MetricResult {
    /// Name of the metric.
    pub name: String,
    /// How far it is.
    pub phase: AnalysisPhase,
    /// The newest measurements, oldest first.
    #[serde(skip_serializing_if = "is_default")]
    pub measurements: Vec<Measurement>,
    /// Why it is in that phase.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// Measurements without errors.
    #[serde(skip_serializing_if = "is_default")]
    pub count: i32,
    /// Good ones.
    #[serde(skip_serializing_if = "is_default")]
    pub successful: i32,
    /// Bad ones.
    #[serde(skip_serializing_if = "is_default")]
    pub failed: i32,
    /// Inconclusive ones.
    #[serde(skip_serializing_if = "is_default")]
    pub inconclusive: i32,
    /// Errors.
    #[serde(skip_serializing_if = "is_default")]
    pub error: i32,
    /// Errors in a row, up to now.
    #[serde(skip_serializing_if = "is_default")]
    pub consecutive_error: i32,
    /// Without consequences.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: bool,
    /// What the provider wants shown.
    #[serde(skip_serializing_if = "is_default")]
    pub metadata: BTreeMap<String, String>,
    /// Good measurements in a row, up to now.
    #[serde(skip_serializing_if = "is_default")]
    pub consecutive_success: i32,
}

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["phase"]))]
pub struct Measurement {
    /// How it came out.
    pub phase: AnalysisPhase,
    /// Why.
    #[serde(skip_serializing_if = "is_default")]
    pub message: String,
    /// When it began.
    #[serde(skip_serializing_if = "is_default")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "is_default")]
    pub finished_at: Option<Time>,
    /// The value, as text.
    #[serde(skip_serializing_if = "is_default")]
    pub value: String,
    /// What the provider keeps about it.
    #[serde(skip_serializing_if = "is_default")]
    pub metadata: BTreeMap<String, String>,
    /// When to ask the provider again.
    #[serde(skip_serializing_if = "is_default")]
    pub resume_at: Option<Time>,
}

text_enum! {
    /// How far an analysis, a metric, a measurement or an Experiment is.
    AnalysisPhase {
        Pending = "Pending",
        Running = "Running",
        Successful = "Successful",
        Failed = "Failed",
        Error = "Error",
        Inconclusive = "Inconclusive",
    }
}

impl AnalysisPhase {
    /// Whether it has ended.
    #[must_use]
    pub fn completed(&self) -> bool {
        matches!(
            self,
            Self::Successful | Self::Failed | Self::Error | Self::Inconclusive
        )
    }
}

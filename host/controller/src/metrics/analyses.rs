//! What AnalysisRuns and their templates are now (MET-008, MET-009).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sluice_api as api;
use sluice_api::AnalysisPhase;
use sluice_cluster::Cluster;
use sluice_engine::analysis;

use super::Named;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PhaseInfo {
    namespace: String,
    name: String,
    phase: String,
}

impl PhaseInfo {
    pub fn new(metadata: &api::ObjectMeta, phase: &str) -> Self {
        let Named { namespace, name } = Named::from(metadata);
        Self {
            namespace,
            name,
            phase: phase.to_owned(),
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MetricType {
    namespace: String,
    name: String,
    metric: String,
    r#type: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MetricPhase {
    namespace: String,
    name: String,
    metric: String,
    r#type: String,
    dry_run: &'static str,
    phase: &'static str,
}

/// Each of these phases, and whether it is this one: upstream shows all of them, with 1 or 0. What has no phase yet is
/// pending.
pub(super) fn one_of(
    phases: &'static [AnalysisPhase],
    phase: &AnalysisPhase,
) -> impl Iterator<Item = (&'static str, i64)> {
    let phase = match phase {
        AnalysisPhase::Unset => AnalysisPhase::Pending,
        other => other.clone(),
    };
    phases
        .iter()
        .map(move |one| (one.as_str(), i64::from(*one == phase)))
}

pub(super) fn register(cluster: &Cluster, registry: &mut Registry) {
    runs(cluster, registry);
    templates(cluster, registry);
}

fn runs(cluster: &Cluster, registry: &mut Registry) {
    let info = Family::<PhaseInfo, Gauge>::default();
    let run_phases = Family::<PhaseInfo, Gauge>::default();
    let types = Family::<MetricType, Gauge>::default();
    let phases = Family::<MetricPhase, Gauge>::default();
    for run in cluster.analysis_runs() {
        let labels = |phase: &str| PhaseInfo::new(&run.metadata, phase);
        let phase = &run.status.phase;
        info.get_or_create(&labels(phase.as_str())).set(1);
        for (name, holds) in one_of(AnalysisPhase::ALL, phase) {
            run_phases.get_or_create(&labels(name)).set(holds);
        }
        for labels in metric_types(&run.metadata, &run.spec.metrics) {
            types.get_or_create(&labels).set(1);
            let mut results = run.status.metric_results.iter();
            let result = results.find(|result| result.name == labels.metric);
            let phase = result.map_or(AnalysisPhase::Unset, |result| result.phase.clone());
            let is_dry = match result {
                Some(result) => result.dry_run,
                None => analysis::is_dry_run(&run.spec, &labels.metric),
            };
            for (name, holds) in one_of(AnalysisPhase::ALL, &phase) {
                let labels = MetricPhase {
                    namespace: labels.namespace.clone(),
                    name: labels.name.clone(),
                    metric: labels.metric.clone(),
                    r#type: labels.r#type.clone(),
                    dry_run: if is_dry { "true" } else { "false" },
                    phase: name,
                };
                phases.get_or_create(&labels).set(holds);
            }
        }
    }
    registry.register("analysis_run_info", "Information about analysis run", info);
    registry.register(
        "analysis_run_phase",
        "Information on the state of the Analysis Run (DEPRECATED - use analysis_run_info)",
        run_phases,
    );
    registry.register(
        "analysis_run_metric_type",
        "Information on the type of a specific metric in the Analysis Runs",
        types,
    );
    registry.register(
        "analysis_run_metric_phase",
        "Information on the duration of a specific metric in the Analysis Run",
        phases,
    );
}

fn templates(cluster: &Cluster, registry: &mut Registry) {
    let info = Family::<Named, Gauge>::default();
    let types = Family::<MetricType, Gauge>::default();
    let add = |metadata: &api::ObjectMeta, spec: &api::AnalysisTemplateSpec| {
        info.get_or_create(&Named::from(metadata)).set(1);
        for labels in metric_types(metadata, &spec.metrics) {
            types.get_or_create(&labels).set(1);
        }
    };
    for template in cluster.analysis_templates() {
        add(&template.metadata, &template.spec);
    }
    for template in cluster.cluster_analysis_templates() {
        add(&template.metadata, &template.spec);
    }
    registry.register(
        "analysis_template_info",
        "Information about analysis templates",
        info,
    );
    registry.register(
        "analysis_template_metric_info",
        "Information on metrics in analysis templates",
        types,
    );
}

/// The metrics of an object with what upstream calls their providers.
fn metric_types(metadata: &api::ObjectMeta, metrics: &[api::Metric]) -> Vec<MetricType> {
    let types = metrics.iter().map(|metric| MetricType {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        metric: metric.name.clone(),
        r#type: metric
            .provider
            .only()
            .and_then(|(name, _)| api::upstream::provider(name))
            .map(|provider| provider.type_.clone())
            .unwrap_or_default(),
    });
    types.collect()
}

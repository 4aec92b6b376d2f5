//! What objects are now, read from the cluster's views when somebody asks (MET-001, MET-002, MET-008, MET-009).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sluice_api as api;
use sluice_cluster::Cluster;

use super::Named;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RolloutInfo {
    namespace: String,
    name: String,
    strategy: &'static str,
    traffic_router: String,
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RunInfo {
    namespace: String,
    name: String,
    phase: String,
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
    phase: String,
}

pub(super) fn register(cluster: &Cluster, registry: &mut Registry) {
    rollouts(cluster, registry);
    runs(cluster, registry);
    templates(cluster, registry);
}

fn rollouts(cluster: &Cluster, registry: &mut Registry) {
    let info = Family::<RolloutInfo, Gauge>::default();
    let desired = Family::<Named, Gauge>::default();
    let available = Family::<Named, Gauge>::default();
    let unavailable = Family::<Named, Gauge>::default();
    let updated = Family::<Named, Gauge>::default();
    for rollout in cluster.rollouts() {
        let named = Named {
            namespace: rollout.metadata.namespace.clone(),
            name: rollout.metadata.name.clone(),
        };
        info.get_or_create(&rollout_info(&rollout)).set(1);
        let wanted = i64::from(rollout.spec.replicas());
        let serving = i64::from(rollout.status.available_replicas);
        desired.get_or_create(&named).set(wanted);
        available.get_or_create(&named).set(serving);
        unavailable
            .get_or_create(&named)
            .set(i64::from(rollout.status.replicas).saturating_sub(serving));
        updated
            .get_or_create(&named)
            .set(i64::from(rollout.status.updated_replicas));
    }
    registry.register("rollout_info", "Information about rollout", info);
    registry.register("rollout_info_replicas_desired", "Desired replicas", desired);
    registry.register(
        "rollout_info_replicas_available",
        "Available replicas",
        available,
    );
    registry.register(
        "rollout_info_replicas_unavailable",
        "Unavailable replicas",
        unavailable,
    );
    registry.register("rollout_info_replicas_updated", "Updated replicas", updated);
}

fn runs(cluster: &Cluster, registry: &mut Registry) {
    let info = Family::<RunInfo, Gauge>::default();
    let types = Family::<MetricType, Gauge>::default();
    let phases = Family::<MetricPhase, Gauge>::default();
    for run in cluster.analysis_runs() {
        let labels = RunInfo {
            namespace: run.metadata.namespace.clone(),
            name: run.metadata.name.clone(),
            phase: run.status.phase.to_string(),
        };
        info.get_or_create(&labels).set(1);
        for labels in metric_types(&run.metadata, &run.spec.metrics) {
            types.get_or_create(&labels).set(1);
            let result = run
                .status
                .metric_results
                .iter()
                .find(|result| result.name == labels.metric);
            let Some(result) = result else { continue };
            let labels = MetricPhase {
                namespace: labels.namespace,
                name: labels.name,
                metric: labels.metric,
                r#type: labels.r#type,
                dry_run: if result.dry_run { "true" } else { "false" },
                phase: result.phase.to_string(),
            };
            phases.get_or_create(&labels).set(1);
        }
    }
    registry.register("analysis_run_info", "Information about analysis run", info);
    registry.register(
        "analysis_run_metric_type",
        "Information about the type of a specific metric in the Analysis Runs",
        types,
    );
    registry.register(
        "analysis_run_metric_phase",
        "Information about the duration of a specific metric in the Analysis Run",
        phases,
    );
}

fn templates(cluster: &Cluster, registry: &mut Registry) {
    let info = Family::<Named, Gauge>::default();
    let types = Family::<MetricType, Gauge>::default();
    let add = |metadata: &api::ObjectMeta, spec: &api::AnalysisTemplateSpec| {
        let named = Named {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        };
        info.get_or_create(&named).set(1);
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

/// Strategy, router and phase of a Rollout (MET-001).
fn rollout_info(rollout: &api::Rollout) -> RolloutInfo {
    let strategy = &rollout.spec.strategy;
    let routing = strategy
        .canary
        .as_ref()
        .and_then(|canary| canary.traffic_routing.as_ref());
    let router = routing
        .into_iter()
        .flat_map(|routing| routing.routers.keys())
        .filter_map(|name| api::upstream::router(name))
        .max_by_key(|router| router.info_rank)
        .and_then(|router| router.info_label.clone());
    RolloutInfo {
        namespace: rollout.metadata.namespace.clone(),
        name: rollout.metadata.name.clone(),
        strategy: match (&strategy.canary, &strategy.blue_green) {
            (Some(_), _) => "canary",
            (None, Some(_)) => "blueGreen",
            (None, None) => "none",
        },
        traffic_router: router.unwrap_or_default(),
        phase: info_phase(&rollout.status),
    }
}

/// The phases of upstream's metric, which are not those of the status.
fn info_phase(status: &api::RolloutStatus) -> &'static str {
    let progressing = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == api::RolloutConditionType::Progressing)
        .map_or("", |condition| condition.reason.as_str());
    let invalid = status
        .conditions
        .iter()
        .any(|condition| condition.type_ == api::RolloutConditionType::InvalidSpec);
    match (invalid, progressing, &status.phase) {
        (true, _, _) => "InvalidSpec",
        (_, "RolloutAborted", _) => "Abort",
        (_, "ProgressDeadlineExceeded", _) => "Timeout",
        (_, "ReplicaSetCreateError", _) => "Error",
        (_, _, api::RolloutPhase::Paused) => "Paused",
        (_, _, api::RolloutPhase::Healthy) => "Completed",
        (_, _, _) => "Progressing",
    }
}

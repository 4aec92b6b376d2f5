//! What Rollouts are now (MET-001 to MET-003).

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
struct RolloutPhase {
    namespace: String,
    name: String,
    strategy: &'static str,
    phase: &'static str,
}

/// The phases of the deprecated figure; upstream never added `InvalidSpec`.
const PHASES: [&str; 6] = [
    "Completed",
    "Progressing",
    "Paused",
    "Timeout",
    "Error",
    "Abort",
];

pub(super) fn register(cluster: &Cluster, registry: &mut Registry) {
    let info = Family::<RolloutInfo, Gauge>::default();
    let phases = Family::<RolloutPhase, Gauge>::default();
    let desired = Family::<Named, Gauge>::default();
    let available = Family::<Named, Gauge>::default();
    let unavailable = Family::<Named, Gauge>::default();
    let updated = Family::<Named, Gauge>::default();
    for rollout in cluster.rollouts() {
        let named = Named::from(&rollout.metadata);
        let shown = rollout_info(&rollout);
        for phase in PHASES {
            let labels = RolloutPhase {
                namespace: named.namespace.clone(),
                name: named.name.clone(),
                strategy: shown.strategy,
                phase,
            };
            let holds = i64::from(phase == shown.phase);
            phases.get_or_create(&labels).set(holds);
        }
        info.get_or_create(&shown).set(1);
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
    registry.register(
        "rollout_phase",
        "Information on the state of the rollout (DEPRECATED - use rollout_info)",
        phases,
    );
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
    let (strategy, router) = match (&strategy.blue_green, &strategy.canary) {
        (Some(_), _) => ("blueGreen", None),
        (None, Some(_)) => ("canary", router),
        (None, None) => ("none", None),
    };
    let Named { namespace, name } = Named::from(&rollout.metadata);
    RolloutInfo {
        namespace,
        name,
        strategy,
        traffic_router: router.unwrap_or_default(),
        phase: info_phase(&rollout.status),
    }
}

/// The phases of upstream's metric, which are not those of the status: they follow the conditions alone.
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
    match (invalid, progressing) {
        (true, _) => "InvalidSpec",
        (_, "NewReplicaSetAvailable") => "Completed",
        (_, "RolloutPaused") => "Paused",
        (_, "ReplicaSetCreateError") => "Error",
        (_, "ProgressDeadlineExceeded") => "Timeout",
        (_, "RolloutAborted") => "Abort",
        (_, _) => "Progressing",
    }
}

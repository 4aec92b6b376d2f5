//! What Experiments are now (MET-010).

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sluice_api::AnalysisPhase;
use sluice_cluster::Cluster;

use super::analyses::{PhaseInfo, one_of};

/// The phases of the deprecated figure; upstream left `Failed` out.
static PHASES: [AnalysisPhase; 5] = [
    AnalysisPhase::Pending,
    AnalysisPhase::Error,
    AnalysisPhase::Successful,
    AnalysisPhase::Running,
    AnalysisPhase::Inconclusive,
];

pub(super) fn register(cluster: &Cluster, registry: &mut Registry) {
    let info = Family::<PhaseInfo, Gauge>::default();
    let phases = Family::<PhaseInfo, Gauge>::default();
    for experiment in cluster.experiments() {
        let labels = |phase: &str| PhaseInfo::new(&experiment.metadata, phase);
        let phase = &experiment.status.phase;
        info.get_or_create(&labels(phase.as_str())).set(1);
        for (name, holds) in one_of(&PHASES, phase) {
            phases.get_or_create(&labels(name)).set(holds);
        }
    }
    registry.register("experiment_info", "Information about Experiment", info);
    registry.register(
        "experiment_phase",
        "Information on the state of the experiment (DEPRECATED - use experiment_info)",
        phases,
    );
}

//! What there is to see at one moment, read from the cluster as any client would.

use kube::core::GroupVersionKind;
use serde_json::Value;
use sluice_api as api;
use sluice_simulation::Simulation;

/// One moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scene {
    pub phase: String,
    pub message: String,
    /// Steps done, and how many there are.
    pub step: (usize, usize),
    /// The current step in words; empty at the end.
    pub doing: String,
    /// The share of the canary, of 100, as the router's object says; None without one.
    pub weight: Option<i64>,
    pub sets: Vec<Set>,
    /// Metric, latest value, verdict so far.
    pub measurements: Vec<Measurement>,
    /// Events by the time of their arrival.
    pub events: Vec<Event>,
    pub stable: String,
    pub current: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    pub name: String,
    pub revision: i64,
    pub image: String,
    pub role: &'static str,
    pub wanted: i64,
    pub ready: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measurement {
    pub metric: String,
    pub values: Vec<String>,
    pub phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub warning: bool,
    pub reason: String,
    pub message: String,
    version: u64,
}

impl Scene {
    pub fn of(simulation: &Simulation, namespace: &str, name: &str) -> Self {
        let rollout = simulation.get(&super::world::rollout_kind(), namespace, name);
        let Some(rollout) = rollout.and_then(|value| api::decode::<api::Rollout>(value).ok())
        else {
            return Self::default();
        };
        let rollout = rollout.object;
        let steps = rollout
            .spec
            .strategy
            .canary
            .as_ref()
            .map(|canary| canary.steps.as_slice())
            .unwrap_or_default();
        let done = usize::try_from(rollout.status.current_step_index.unwrap_or(0)).unwrap_or(0);
        Self {
            phase: rollout.status.phase.to_string(),
            message: rollout.status.message.clone(),
            step: (done.min(steps.len()), steps.len()),
            doing: steps
                .get(done)
                .map(sluice_engine::rollout::step_display)
                .unwrap_or_default(),
            weight: weight(simulation, namespace),
            sets: sets(simulation, namespace, &rollout),
            measurements: measurements(simulation, namespace, &rollout),
            events: events(simulation, namespace),
            stable: rollout.status.stable_rs.clone(),
            current: rollout.status.current_pod_hash.clone(),
        }
    }
}

/// The weight of the second destination of the first route of the only VirtualService.
fn weight(simulation: &Simulation, namespace: &str) -> Option<i64> {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "VirtualService");
    simulation
        .list(&kind, Some(namespace))
        .first()?
        .pointer("/spec/http/0/route/1/weight")
        .and_then(|weight| {
            weight
                .as_i64()
                .or_else(|| weight.as_f64().map(|weight| weight as i64))
        })
}

fn sets(simulation: &Simulation, namespace: &str, rollout: &api::Rollout) -> Vec<Set> {
    let number = |set: &Value, path: &str| set.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let text = |set: &Value, path: &str| {
        set.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut sets: Vec<Set> = simulation
        .list(
            &GroupVersionKind::gvk("apps", "v1", "ReplicaSet"),
            Some(namespace),
        )
        .iter()
        .map(|set| {
            let hash = text(set, "/metadata/labels/rollouts-pod-template-hash");
            Set {
                name: text(set, "/metadata/name"),
                revision: text(set, "/metadata/annotations/rollout.argoproj.io~1revision")
                    .parse()
                    .unwrap_or(0),
                image: text(set, "/spec/template/spec/containers/0/image"),
                role: if hash == rollout.status.stable_rs {
                    "stable"
                } else if hash == rollout.status.current_pod_hash {
                    "canary"
                } else {
                    ""
                },
                wanted: number(set, "/spec/replicas"),
                ready: number(set, "/status/readyReplicas"),
            }
        })
        .collect();
    sets.sort_by_key(|set| set.revision);
    sets
}

fn measurements(
    simulation: &Simulation,
    namespace: &str,
    rollout: &api::Rollout,
) -> Vec<Measurement> {
    let canary = &rollout.status.canary;
    let current = [
        canary.current_background_analysis_run_status.as_ref(),
        canary.current_step_analysis_run_status.as_ref(),
    ];
    let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "AnalysisRun");
    current
        .into_iter()
        .flatten()
        .filter_map(|known| {
            let run = simulation.get(&kind, namespace, &known.name)?;
            Some(api::decode::<api::AnalysisRun>(run).ok()?.object)
        })
        .flat_map(|run| run.status.metric_results)
        .map(|result| Measurement {
            metric: result.name,
            values: result
                .measurements
                .into_iter()
                .map(|measurement| measurement.value)
                .collect(),
            phase: result.phase.to_string(),
        })
        .collect()
}

fn events(simulation: &Simulation, namespace: &str) -> Vec<Event> {
    let text = |event: &Value, path: &str| {
        event
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut events: Vec<Event> = simulation
        .list(&GroupVersionKind::gvk("", "v1", "Event"), Some(namespace))
        .iter()
        .map(|event| Event {
            warning: text(event, "/type") == "Warning",
            reason: text(event, "/reason"),
            message: text(event, "/message"),
            version: text(event, "/metadata/resourceVersion")
                .parse()
                .unwrap_or(0),
        })
        .collect();
    events.sort_by_key(|event| event.version);
    events
}

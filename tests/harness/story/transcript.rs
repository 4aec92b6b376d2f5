//! What a story looks like while it runs: a line whenever something visible changes, and every event.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kube::core::GroupVersionKind;
use serde_json::Value;
use sluice_api as api;
use sluice_simulation::Simulation;

/// One moment of a Rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    pub phase: String,
    pub message: String,
    pub step: i64,
    pub steps: usize,
    pub weight: Option<i64>,
    /// Revision, ready and wanted pods of each set that has any.
    pub sets: Vec<(i64, i64, i64)>,
    /// Service and the revision that it selects.
    pub services: Vec<(String, String)>,
    /// Subset of a DestinationRule and the revision that it selects.
    pub subsets: Vec<(String, String)>,
    pub stable: i64,
    pub current: i64,
}

impl Moment {
    /// Reads the moment as any client would.
    pub fn of(simulation: &Simulation, namespace: &str, name: &str) -> Self {
        let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout");
        let rollout = simulation
            .get(&kind, namespace, name)
            .and_then(|value| api::decode::<api::Rollout>(value).ok());
        let Some(rollout) = rollout.map(|decoded| decoded.object) else {
            return Self::default();
        };
        let mut sets = Vec::new();
        let mut revisions = BTreeMap::new();
        for set in simulation.list(
            &GroupVersionKind::gvk("apps", "v1", "ReplicaSet"),
            Some(namespace),
        ) {
            // Another Rollout may be at work beside this one.
            let owner = text(&set, "/metadata/ownerReferences/0/uid");
            if !owner.is_empty() && owner != rollout.metadata.uid {
                continue;
            }
            let revision = text(&set, "/metadata/annotations/rollout.argoproj.io~1revision")
                .parse()
                .unwrap_or(0);
            revisions.insert(
                text(&set, "/metadata/labels/rollouts-pod-template-hash").to_owned(),
                revision,
            );
            let (ready, wanted) = (
                number(&set, "/status/readyReplicas"),
                number(&set, "/spec/replicas"),
            );
            if ready > 0 || wanted > 0 {
                sets.push((revision, ready, wanted));
            }
        }
        sets.sort_unstable();
        let revision = |hash: &str| revisions.get(hash).copied().unwrap_or(0);
        let selected = |hash: &str| match hash {
            "" => "all".to_owned(),
            hash => format!("r{}", revision(hash)),
        };
        let services = simulation
            .list(&GroupVersionKind::gvk("", "v1", "Service"), Some(namespace))
            .iter()
            .map(|service| {
                let hash = text(service, "/spec/selector/rollouts-pod-template-hash");
                (text(service, "/metadata/name").to_owned(), selected(hash))
            })
            .collect();
        let subsets = simulation
            .list(&destination_rule(), Some(namespace))
            .iter()
            .filter_map(|rule| rule.pointer("/spec/subsets")?.as_array())
            .flatten()
            .map(|subset| {
                let hash = text(subset, "/labels/rollouts-pod-template-hash");
                (text(subset, "/name").to_owned(), selected(hash))
            })
            .collect();
        Self {
            phase: rollout.status.phase.to_string(),
            message: rollout.status.message.clone(),
            step: i64::from(rollout.status.current_step_index.unwrap_or(0)),
            steps: rollout
                .spec
                .strategy
                .canary
                .map_or(0, |canary| canary.steps.len()),
            weight: weight(simulation, namespace),
            sets,
            services,
            subsets,
            stable: revision(&rollout.status.stable_rs),
            current: revision(&rollout.status.current_pod_hash),
        }
    }

    /// The moment in one line.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:<11}",
            if self.phase.is_empty() {
                "-"
            } else {
                &self.phase
            }
        );
        if self.steps > 0 {
            let _ = write!(line, " step {}/{}", self.step, self.steps);
        }
        if let Some(weight) = self.weight {
            let _ = write!(line, " weight {weight:>3}");
        }
        for (revision, ready, wanted) in &self.sets {
            let role = match *revision {
                revision if revision == self.stable && revision == self.current => "=",
                revision if revision == self.stable => "s",
                revision if revision == self.current => "c",
                _ => "-",
            };
            let _ = write!(line, "  r{revision}{role} {ready}/{wanted}");
        }
        for (service, revision) in &self.services {
            let _ = write!(line, "  {service}>{revision}");
        }
        for (subset, revision) in &self.subsets {
            let _ = write!(line, "  {subset}@{revision}");
        }
        if !self.message.is_empty() {
            let _ = write!(line, "  | {}", self.message);
        }
        line
    }
}

pub fn virtual_service() -> GroupVersionKind {
    GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "VirtualService")
}

pub fn destination_rule() -> GroupVersionKind {
    GroupVersionKind::gvk("networking.istio.io", "v1alpha3", "DestinationRule")
}

/// The canary's share in the only VirtualService: the second destination of its first route.
fn weight(simulation: &Simulation, namespace: &str) -> Option<i64> {
    let services = simulation.list(&virtual_service(), Some(namespace));
    let weight = services
        .first()?
        .pointer("/spec/http/0/route/1/weight")?
        .clone();
    // A whole number may be written as a float (RT-ISTIO-006).
    serde_json::from_value::<f64>(weight)
        .ok()
        .map(|weight| weight as i64)
}

/// An event as a transcript shows it; with the number that orders events.
pub fn events(simulation: &Simulation, namespace: &str) -> Vec<(u64, i64, String, String)> {
    let mut events: Vec<_> = simulation
        .list(&GroupVersionKind::gvk("", "v1", "Event"), Some(namespace))
        .iter()
        .filter(|event| text(event, "/source/component") == "rollouts-controller")
        .map(|event| {
            let kind = text(event, "/involvedObject/kind");
            let severity = if text(event, "/type") == "Warning" {
                "!"
            } else {
                " "
            };
            let about = if kind == "Rollout" {
                String::new()
            } else {
                format!("{kind} ")
            };
            (
                text(event, "/metadata/resourceVersion")
                    .parse()
                    .unwrap_or(0),
                number(event, "/count"),
                text(event, "/reason").to_owned(),
                format!(
                    "{severity} {about}{}: {}",
                    text(event, "/reason"),
                    text(event, "/message")
                ),
            )
        })
        .collect();
    events.sort();
    events
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn number(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

//! One Rollout and what belongs to it, at one version of the history.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sluice_tests::History;

/// What somebody with kubectl would have seen at that version.
pub(super) struct Sight {
    pub rollout: Value,
    pub sets: Vec<Value>,
    pub pods: Vec<Value>,
    /// The VirtualService's weight of the canary.
    pub weight: Option<i64>,
    /// What the Services and the subsets of a DestinationRule select, by name.
    pub selectors: BTreeMap<String, String>,
    /// AnalysisRuns by name, with their phase.
    pub runs: BTreeMap<String, String>,
}

impl Sight {
    pub fn of(history: &History, version: u64, name: &str) -> Self {
        let mine = |other: &str| belongs(name, other);
        let at = |kind: &str| history.objects_at(version, kind, mine);
        Self {
            rollout: at("Rollout").remove(name).unwrap_or_default(),
            sets: at("ReplicaSet").into_values().collect(),
            pods: at("Pod").into_values().collect(),
            weight: at("VirtualService").values().next().and_then(weight),
            selectors: at("Service")
                .into_iter()
                .map(|(name, service)| (name, selected(&service)))
                .chain(at("DestinationRule").values().flat_map(subsets))
                .collect(),
            runs: at("AnalysisRun")
                .into_iter()
                .map(|(name, run)| (name, text(&run["status"]["phase"])))
                .collect(),
        }
    }

    pub fn status(&self, field: &str) -> &Value {
        &self.rollout["status"][field]
    }

    pub fn phase(&self) -> String {
        text(self.status("phase"))
    }

    pub fn step(&self) -> Option<i64> {
        self.status("currentStepIndex").as_i64()
    }

    /// Whether the status is about the specification as it is.
    pub fn observed(&self) -> bool {
        let generation = &self.rollout["metadata"]["generation"];
        generation.is_i64() && *self.status("observedGeneration") == json!(generation.to_string())
    }

    pub fn hash(&self) -> String {
        text(self.status("currentPodHash"))
    }

    pub fn stable(&self) -> String {
        text(self.status("stableRS"))
    }

    /// UIDs of the pods of a set that are not on their way out.
    pub fn pods_of(&self, hash: &str) -> BTreeSet<String> {
        self.pods
            .iter()
            .filter(|pod| hash_of(pod) == hash && pod["metadata"]["deletionTimestamp"].is_null())
            .map(uid)
            .collect()
    }

    /// Pods of the current template, all and those that are ready.
    pub fn new_pods(&self) -> (usize, usize) {
        let all = self.pods_of(&self.hash());
        let ready = self
            .pods
            .iter()
            .filter(|pod| all.contains(&uid(pod)) && is_ready(pod))
            .count();
        (all.len(), ready)
    }

    /// When old sets are to go, as announced on them.
    pub fn deadlines(&self) -> Vec<String> {
        self.sets
            .iter()
            .filter(|set| set["spec"]["replicas"] != 0)
            .map(|set| text(&set["metadata"]["annotations"]["scale-down-deadline"]))
            .filter(|deadline| !deadline.is_empty())
            .collect()
    }

    /// When the pauses began that are in force.
    pub fn pauses(&self) -> Vec<String> {
        self.status("pauseConditions")
            .as_array()
            .into_iter()
            .flatten()
            .map(|pause| text(&pause["startTime"]))
            .collect()
    }
}

/// Whether an object belongs to a Rollout of this test, by its name: no name begins with another.
pub(super) fn belongs(rollout: &str, name: &str) -> bool {
    name.strip_prefix(rollout)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn uid(object: &Value) -> String {
    text(&object["metadata"]["uid"])
}

pub(super) fn hash_of(object: &Value) -> String {
    text(&object["metadata"]["labels"]["rollouts-pod-template-hash"])
}

/// The canary's weight in the route that is split; routes of steps stand before it.
pub(super) fn weight(routes: &Value) -> Option<i64> {
    let mut http = routes["spec"]["http"].as_array()?.iter();
    let main = http.find(|route| route["name"] == "primary")?;
    main.pointer("/route/1/weight")?.as_i64()
}

pub(super) fn selected(service: &Value) -> String {
    text(&service["spec"]["selector"]["rollouts-pod-template-hash"])
}

/// The hash of each subset.
fn subsets(rule: &Value) -> Vec<(String, String)> {
    let subsets = rule["spec"]["subsets"].as_array().into_iter().flatten();
    let selected = |subset: &Value| {
        let hash = text(&subset["labels"]["rollouts-pod-template-hash"]);
        (format!("subset {}", text(&subset["name"])), hash)
    };
    subsets.map(selected).collect()
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

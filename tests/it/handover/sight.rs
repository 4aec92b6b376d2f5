//! One Rollout and what belongs to it, at one version of the history.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sluice_tests::History;

/// The kinds of what selects pods.
pub(super) const SELECTING: [&str; 2] = ["Service", "DestinationRule"];

/// The VirtualService's route that is split.
pub(super) const SPLIT: &str = "primary";

/// What somebody with kubectl would have seen at that version.
pub(super) struct Sight {
    pub rollout: Value,
    pub sets: Vec<Value>,
    pub pods: Vec<Value>,
    pub traffic: Traffic,
    /// AnalysisRuns by name, with their phase.
    pub runs: BTreeMap<String, String>,
}

/// What decides where requests go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traffic {
    /// The VirtualService's weight of the canary.
    pub weight: Option<i64>,
    /// Where the VirtualService's split route leads, in its order: first the stable version's share.
    pub targets: Vec<Target>,
    /// The VirtualService's routes that steps have set, in their order.
    pub routes: Vec<Route>,
    /// What the Services and the subsets of a DestinationRule select, by name.
    pub selectors: BTreeMap<String, String>,
}

/// A host, and the subset of it or nothing.
pub(super) type Target = [String; 2];

/// What a route that a step has set does, without what makes no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub name: String,
    pub matches: Value,
    pub targets: Vec<Target>,
}

impl Sight {
    pub fn of(history: &History, version: u64, name: &str) -> Self {
        let mine = |other: &str| belongs(name, other);
        let at = |kind: &str| history.objects_at(version, kind, mine);
        let routes = at("VirtualService").into_values().next();
        let routes = routes.unwrap_or_default();
        Self {
            rollout: at("Rollout").remove(name).unwrap_or_default(),
            sets: at("ReplicaSet").into_values().collect(),
            pods: at("Pod").into_values().collect(),
            traffic: Traffic {
                weight: weight(&routes),
                targets: split_targets(&routes),
                routes: step_routes(&routes),
                selectors: SELECTING
                    .into_iter()
                    .flat_map(at)
                    .flat_map(|(name, object)| selected(&name, &object))
                    .collect(),
            },
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

    pub fn is_past_steps(&self) -> bool {
        let steps = self.rollout["spec"]["strategy"]["canary"]["steps"].as_array();
        let step = self.step().and_then(|step| usize::try_from(step).ok());
        step.is_some_and(|step| step >= steps.map_or(0, Vec::len))
    }

    /// Whether the status is about the specification as it is.
    pub fn observed(&self) -> bool {
        let generation = &self.rollout["metadata"]["generation"];
        generation.is_i64() && *self.status("observedGeneration") == json!(generation.to_string())
    }

    /// Whether the current version is stable and healthy.
    pub fn is_complete(&self) -> bool {
        self.observed() && self.phase() == "Healthy" && self.stable() == self.hash()
    }

    pub fn hash(&self) -> String {
        text(self.status("currentPodHash"))
    }

    pub fn stable(&self) -> String {
        text(self.status("stableRS"))
    }

    /// Pods that are not on their way out.
    pub fn staying(&self) -> impl Iterator<Item = &Value> {
        self.pods
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
    }

    /// UIDs of those of a set.
    pub fn pods_of(&self, hash: &str) -> BTreeSet<String> {
        self.staying()
            .filter(|pod| hash_of(pod) == hash)
            .map(uid)
            .collect()
    }

    /// The Services and subsets that the strategy names: what all traffic goes through.
    pub fn ways(&self) -> BTreeSet<String> {
        let strategy = &self.rollout["spec"]["strategy"];
        let (canary, blue_green) = (&strategy["canary"], &strategy["blueGreen"]);
        let rule = &canary["trafficRouting"]["istio"]["destinationRule"];
        let services = [
            &canary["stableService"],
            &canary["canaryService"],
            &blue_green["activeService"],
            &blue_green["previewService"],
        ];
        let services = services.into_iter().filter_map(Value::as_str);
        let subsets = [&rule["stableSubsetName"], &rule["canarySubsetName"]];
        let subsets = subsets.into_iter().filter_map(Value::as_str);
        services
            .map(str::to_owned)
            .chain(subsets.map(subset_called))
            .collect()
    }

    /// What keeps traffic from the current version, which gets all of it in the end.
    pub fn astray(&self) -> Vec<String> {
        let (hash, mut astray) = (self.hash(), Vec::new());
        for way in self.ways() {
            let selected = self.traffic.selectors.get(&way);
            if selected != Some(&hash) {
                astray.push(format!("{way} selects {selected:?}, not {hash:?}"));
            }
        }
        if !self.traffic.routes.is_empty() {
            astray.push(format!("routes are left: {:?}", self.traffic.routes));
        }
        let canary = &self.rollout["spec"]["strategy"]["canary"];
        let routed = canary["trafficRouting"].is_object();
        if routed && self.traffic.weight != Some(0) {
            astray.push(format!(
                "the canary's weight is {:?}, not 0",
                self.traffic.weight
            ));
        }
        let others = self.staying().filter(|pod| hash_of(pod) != hash);
        let others: Vec<String> = others.map(name_of).collect();
        // Without a router, traffic goes to whatever pods there are.
        if canary.is_object() && !routed && !others.is_empty() {
            astray.push(format!("pods of other versions serve: {others:?}"));
        }
        astray
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

pub(super) fn name_of(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

pub(super) fn uid(object: &Value) -> String {
    text(&object["metadata"]["uid"])
}

pub(super) fn hash_of(object: &Value) -> String {
    hash_in(&object["metadata"]["labels"])
}

fn hash_in(labels: &Value) -> String {
    text(&labels["rollouts-pod-template-hash"])
}

/// The canary's weight in the route that is split; routes of steps stand before it.
pub(super) fn weight(routes: &Value) -> Option<i64> {
    split(routes)?.pointer("/route/1/weight")?.as_i64()
}

/// Where the route that is split leads.
pub(super) fn split_targets(routes: &Value) -> Vec<Target> {
    split(routes).map(targets).unwrap_or_default()
}

fn split(routes: &Value) -> Option<&Value> {
    let mut http = routes["spec"]["http"].as_array()?.iter();
    http.find(|route| route["name"] == SPLIT)
}

fn targets(route: &Value) -> Vec<Target> {
    let shares = route["route"].as_array().into_iter().flatten();
    shares
        .map(|share| ["host", "subset"].map(|field| text(&share["destination"][field])))
        .collect()
}

fn step_routes(routes: &Value) -> Vec<Route> {
    let http = routes["spec"]["http"].as_array().into_iter().flatten();
    http.filter(|route| route["name"] != SPLIT)
        .map(|route| Route {
            name: text(&route["name"]),
            matches: route["match"].clone(),
            targets: targets(route),
        })
        .collect()
}

/// The hash that a Service selects, or each subset of a DestinationRule, with the name.
pub(super) fn selected(name: &str, object: &Value) -> Vec<(String, String)> {
    let Some(subsets) = object["spec"]["subsets"].as_array() else {
        return vec![(name.to_owned(), hash_in(&object["spec"]["selector"]))];
    };
    let selected = |subset: &Value| {
        let name = subset_called(&text(&subset["name"]));
        (name, hash_in(&subset["labels"]))
    };
    subsets.iter().map(selected).collect()
}

/// How a subset is told from a Service.
fn subset_called(name: &str) -> String {
    format!("subset {name}")
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

//! The truth as the API server has it, with its past: numbers of pods, selectors, weights, wishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sluice_simulation::Changed;

use super::Window;
use super::allowed::Allowed;
use super::analysis::ENDED;
use crate::faults::scene::{NAME, is_main};

/// Values with the times from which they held.
#[derive(Clone, Debug)]
pub(in crate::faults) struct Series<T>(Vec<(Timestamp, T)>);

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Series<T> {
    fn note(&mut self, at: Timestamp, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((at, value));
        }
    }

    /// Every value that held at some moment of the window.
    pub(super) fn during(&self, window: Window) -> impl Iterator<Item = &T> {
        let begin = self
            .0
            .partition_point(|(at, _)| *at <= window.from)
            .saturating_sub(1);
        self.0
            .get(begin..)
            .into_iter()
            .flatten()
            .map(|(_, value)| value)
    }

    /// Since when the present value is one of these.
    pub(super) fn since(&self, which: impl Fn(&T) -> bool) -> Option<Timestamp> {
        let held = self.0.iter().rev().take_while(|(_, value)| which(value));
        held.last().map(|(at, _)| *at)
    }

    /// The present value.
    pub(in crate::faults) fn last(&self) -> Option<&T> {
        self.0.last().map(|(_, value)| value)
    }
}

/// Pods of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::faults) struct Pods {
    pub wanted: i64,
    pub ready: i64,
    pub available: i64,
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default)]
pub(in crate::faults) struct Set {
    pub uid: String,
    pub hash: String,
    pub source: String,
    pub revision: i64,
    pub deadline: Option<Timestamp>,
    /// When its end was last announced.
    pub announced: Option<Timestamp>,
    pub pods: Series<Pods>,
    pub gone: bool,
    pub going: bool,
    /// Created for the Rollout, and not by hand.
    pub ours: bool,
}

impl Set {
    pub fn now(&self) -> Pods {
        self.pods.last().copied().unwrap_or_default()
    }

    /// Whether it came to be in this time.
    pub(super) fn begins(&self, window: Window) -> bool {
        let first = self.pods.0.first();
        first.is_some_and(|(created, _)| *created > window.from)
    }

    /// The most pods that were available at one moment of the window.
    pub(super) fn most_available(&self, window: Window) -> i64 {
        let pods = self.pods.during(window);
        pods.map(|pods| pods.available).max().unwrap_or(0)
    }

    /// The fewest.
    pub(super) fn least_available(&self, window: Window) -> i64 {
        let pods = self.pods.during(window);
        pods.map(|pods| pods.available).min().unwrap_or(0)
    }

    /// The smallest size that the set had at one moment of the window.
    pub(super) fn least_wanted(&self, window: Window) -> i64 {
        let pods = self.pods.during(window);
        pods.map(|pods| pods.wanted).min().unwrap_or(0)
    }

    pub(super) fn least_ready(&self, window: Window) -> i64 {
        let pods = self.pods.during(window);
        pods.map(|pods| pods.ready).min().unwrap_or(0)
    }

    pub(super) fn most_ready(&self, window: Window) -> i64 {
        let pods = self.pods.during(window);
        pods.map(|pods| pods.ready).max().unwrap_or(0)
    }
}

/// Who gets which share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::faults) struct Traffic {
    /// The canary's share in the router's object.
    pub weight: Option<i64>,
    /// The hash that each Service or subset selects; empty where it selects every revision.
    pub selected: BTreeMap<String, String>,
}

impl Traffic {
    /// The share of the set with this hash, of a hundred.
    pub fn share(&self, hash: &str) -> i64 {
        let selects = |service: &str| {
            self.selected
                .get(service)
                .is_some_and(|found| found == hash)
        };
        if selects("active") {
            return 100;
        }
        let Some(weight) = self.weight else { return 0 };
        let stable = if selects("stable") { 100 - weight } else { 0 };
        let canary = if selects("canary") { weight } else { 0 };
        stable + canary
    }

    /// As it is after a change of a Service, of subsets or of the routes.
    pub(super) fn after(&self, change: &Changed) -> Self {
        let mut traffic = self.clone();
        let after = change.after.as_deref();
        match change.plural.as_str() {
            "virtualservices" => traffic.weight = after.and_then(weight),
            "destinationrules" => {
                let subsets = after.and_then(|rule| rule.pointer("/spec/subsets")?.as_array());
                traffic.selected = subsets
                    .into_iter()
                    .flatten()
                    .map(|subset| {
                        let hash = text(subset, "/labels/rollouts-pod-template-hash");
                        (text(subset, "/name").to_owned(), hash.to_owned())
                    })
                    .collect();
            }
            // The host of subsets belongs to every revision.
            _ if change.name == NAME => {}
            _ => match after {
                Some(service) => {
                    let hash = text(service, "/spec/selector/rollouts-pod-template-hash");
                    traffic
                        .selected
                        .insert(change.name.clone(), hash.to_owned());
                }
                None => {
                    traffic.selected.remove(&change.name);
                }
            },
        }
        traffic
    }
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(in crate::faults) struct Mirror {
    pub sets: BTreeMap<String, Set>,
    pub traffic: Traffic,
    /// The canary's share in the router's object.
    pub weights: Series<Option<i64>>,
    /// What each Service or subset selects.
    pub selected: BTreeMap<String, Series<String>>,
    pub rollout: Option<Arc<Value>>,
    pub replicas: Series<i64>,
    pub aborted: Series<bool>,
    pub stable: Series<String>,
    pub allowed: Series<Allowed>,
    /// Whether the canary's size may be set apart from its weight.
    apart: Series<bool>,
    /// By the status: `currentStepHash`.
    pub steps: Series<String>,
    pub runs: BTreeMap<String, Arc<Value>>,
    /// When each run was first seen to have ended.
    pub ended: BTreeMap<String, Timestamp>,
}

impl Mirror {
    /// Takes a change over.
    pub(super) fn apply(&mut self, at: Timestamp, change: &Changed) {
        match change.plural.as_str() {
            "replicasets" => self.apply_set(at, change),
            "services" | "virtualservices" | "destinationrules" => {
                let before = std::mem::take(&mut self.traffic);
                self.traffic = before.after(change);
                self.weights.note(at, self.traffic.weight);
                for name in before.selected.keys().chain(self.traffic.selected.keys()) {
                    let hash = self.traffic.selected.get(name).cloned();
                    self.selected
                        .entry(name.clone())
                        .or_default()
                        .note(at, hash.unwrap_or_default());
                }
            }
            "rollouts" if change.name == NAME => {
                self.rollout.clone_from(&change.after);
                if let Some(rollout) = &change.after {
                    self.replicas
                        .note(at, number(rollout, "/spec/replicas").unwrap_or(1));
                    let abort = rollout.pointer("/status/abort") == Some(&Value::Bool(true));
                    self.aborted.note(at, abort);
                    self.allowed.note(at, Allowed::of(rollout));
                    self.apart.note(at, may_differ(rollout));
                    self.steps
                        .note(at, text(rollout, "/status/currentStepHash").to_owned());
                    self.stable
                        .note(at, text(rollout, "/status/stableRS").to_owned());
                }
            }
            "analysisruns" => {
                let phase = change
                    .after
                    .as_deref()
                    .map_or("", |run| text(run, "/status/phase"));
                if ENDED.contains(&phase) {
                    self.ended.entry(change.name.clone()).or_insert(at);
                }
                match &change.after {
                    Some(run) => self.runs.insert(change.name.clone(), Arc::clone(run)),
                    None => self.runs.remove(&change.name),
                };
            }
            _ => {}
        }
    }

    fn apply_set(&mut self, at: Timestamp, change: &Changed) {
        let Some(object) = &change.after else {
            if let Some(set) = self.sets.get_mut(&change.name) {
                set.gone = true;
                set.pods.note(at, Pods::default());
            }
            return;
        };
        let uid = text(object, "/metadata/uid");
        let known = self.sets.entry(change.name.clone()).or_default();
        if known.uid != uid {
            *known = Set {
                uid: uid.to_owned(),
                ..Set::default()
            };
        }
        known.hash = text(object, "/metadata/labels/rollouts-pod-template-hash").to_owned();
        known.source = annotation(object, "sluice.dev~1template-source").to_owned();
        known.revision = annotation(object, "rollout.argoproj.io~1revision")
            .parse()
            .unwrap_or(0);
        if known.deadline.is_some() {
            known.announced = Some(at);
        }
        known.deadline = annotation(object, "scale-down-deadline").parse().ok();
        known.gone = false;
        known.going = object.pointer("/metadata/deletionTimestamp").is_some();
        known.ours = text(object, "/metadata/ownerReferences/0/name") == NAME;
        known.pods.note(
            at,
            Pods {
                wanted: number(object, "/spec/replicas").unwrap_or(0),
                ready: number(object, "/status/readyReplicas").unwrap_or(0),
                available: number(object, "/status/availableReplicas").unwrap_or(0),
            },
        );
    }

    /// The Rollout's sets that are there.
    pub fn living(&self) -> impl Iterator<Item = (&String, &Set)> {
        self.sets.iter().filter(|(_, set)| set.ours && !set.gone)
    }

    /// The set with this hash.
    pub fn by_hash(&self, hash: &str) -> Option<&Set> {
        self.living()
            .map(|(_, set)| set)
            .find(|set| !hash.is_empty() && set.hash == hash)
    }

    /// A share of a set that has had no ready pod for so long.
    pub fn dead_share(&self, at: Timestamp, long: SignedDuration) -> Option<(&String, i64)> {
        let from = at.checked_sub(long).unwrap_or(at);
        let dead = |set: &Set| set.most_ready(Window { from, at }) == 0;
        self.living()
            .filter(|(_, set)| dead(set))
            .map(|(name, set)| (name, self.traffic.share(&set.hash)))
            .find(|(_, share)| *share > 0)
    }

    /// The fewest pods that the Rollout asked for at one moment of the window.
    pub(super) fn least_replicas(&self, window: Window) -> i64 {
        self.replicas.during(window).min().copied().unwrap_or(0)
    }

    /// The most pods that the Rollout asked for at one moment of the window.
    pub(super) fn most_replicas(&self, window: Window) -> i64 {
        self.replicas.during(window).max().copied().unwrap_or(0)
    }

    /// A field of the strategy.
    pub fn strategy(&self, field: &str) -> Option<&Value> {
        let strategy = self.rollout.as_ref()?.pointer("/spec/strategy")?;
        let inner = strategy
            .get("canary")
            .or_else(|| strategy.get("blueGreen"))?;
        inner.get(field)
    }

    /// How many available pods do for so many (CA-015).
    pub(super) fn enough(&self, wanted: i64) -> i64 {
        let threshold = self.strategy("replicaProgressThreshold");
        let value = threshold.and_then(|threshold| number(threshold, "/value"));
        match (threshold, value) {
            (Some(threshold), Some(value)) if text(threshold, "/type") == "Percent" => {
                (wanted * value + 99) / 100
            }
            (_, Some(value)) => value.min(wanted),
            (_, None) => wanted,
        }
    }

    /// Of so many pods, those that `maxUnavailable` does not let go.
    pub(super) fn must_be_available(&self, replicas: i64) -> i64 {
        let unavailable = match self.strategy("maxUnavailable") {
            Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
            _ => replicas * 25 / 100,
        };
        // A surge that is not given is a part of the pods, rounded up.
        let surge = self.strategy("maxSurge").is_none_or(|surge| *surge != 0);
        let unavailable = if unavailable == 0 && !surge {
            1
        } else {
            unavailable
        };
        replicas - unavailable
    }

    /// Whether the canary's size may have been set apart from its weight at some moment of the window.
    pub(super) fn sizes_apart(&self, window: Window) -> bool {
        self.apart.during(window).any(|apart| *apart)
    }
}

/// Whether the last scale that a step has set is one of its own (CAN-021). Which steps count is not known while the status is
/// about another specification.
fn may_differ(rollout: &Value) -> bool {
    let steps = steps_of(rollout);
    let own = |scale: &Value| scale.get("matchTrafficWeight") != Some(&Value::Bool(true));
    let mut scales = steps.iter().filter_map(|step| step.get("setCanaryScale"));
    let index = number(rollout, "/status/currentStepIndex").filter(|_| is_observed(rollout));
    let Some(index) = index.and_then(|index| usize::try_from(index).ok()) else {
        return scales.any(own);
    };
    let upto = steps.get(..=index).unwrap_or_default().iter().rev();
    upto.filter_map(|step| step.get("setCanaryScale"))
        .next()
        .is_some_and(own)
}

/// The steps of a canary; none where there are none.
pub(in crate::faults) fn steps_of(rollout: &Value) -> &[Value] {
    let steps = rollout.pointer("/spec/strategy/canary/steps");
    steps
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
}

/// Whether the status is about the specification as it is.
pub(super) fn is_observed(rollout: &Value) -> bool {
    let generation = number(rollout, "/metadata/generation").unwrap_or(0);
    text(rollout, "/status/observedGeneration") == generation.to_string()
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    text(object, &format!("/metadata/annotations/{name}"))
}

pub(super) fn weight(routes: &Value) -> Option<i64> {
    let http = routes.pointer("/spec/http")?.as_array()?;
    let weight = http
        .iter()
        .find(|route| is_main(route))?
        .pointer("/route/1/weight")?;
    // A whole number may be written as a float (RT-ISTIO-006).
    weight.as_f64().map(|weight| weight as i64)
}

pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(super) fn number(value: &Value, path: &str) -> Option<i64> {
    value.pointer(path).and_then(Value::as_i64)
}

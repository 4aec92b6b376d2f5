//! What is there at the beginning of a history: a Rollout with its Services, routes and templates, and its controllers.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_simulation::Latency;

use super::dice::Dice;
use super::history::Fate;

/// The namespace of everything.
pub(super) const NAMESPACE: &str = "shop";
/// The Rollout, and what belongs to it.
pub(super) const NAME: &str = "shop";

/// What is there at the beginning.
#[derive(Clone, Debug)]
pub struct Scene {
    /// How updates are made.
    pub strategy: Strategy,
    /// Whether the router splits by the subsets of a DestinationRule, and not by Services.
    pub subsets: bool,
    /// Everything but the Rollout.
    pub objects: Vec<Value>,
    /// The Rollout.
    pub rollout: Value,
    /// Controllers that run at the same time and hold a lease; none without leader election.
    pub leased: Option<u32>,
    /// Whether a second Rollout beside it can never work.
    pub neighbour: bool,
    /// How far events and answers are apart, and which of them comes first.
    pub network: Network,
}

/// How long the API server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// An event comes after the answer to its write.
    Kind,
    /// As measured: now and then an event is faster than the answer.
    Measured,
    /// An event may come long before the answer, or long after it.
    Apart,
}

impl Network {
    pub(super) fn latency(self) -> Latency {
        let upto = |millis| Duration::ZERO..=Duration::from_millis(millis);
        match self {
            Self::Kind => Latency::default(),
            Self::Measured => Latency::measured(),
            Self::Apart => Latency {
                request: upto(5),
                answer: upto(30),
                event: upto(60),
            },
        }
    }
}

/// How updates are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// By the number of pods.
    Basic,
    /// By a router.
    Routed,
    /// All at once.
    BlueGreen,
}

impl Scene {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let strategy = match dice.weighted(&[50, 20, 30]) {
            0 => Strategy::Routed,
            1 => Strategy::Basic,
            _ => Strategy::BlueGreen,
        };
        let subsets = strategy == Strategy::Routed && dice.chance(30);
        let mut objects = vec![template("success-rate", Some(3)), template("watch", None)];
        let spec = match strategy {
            Strategy::Routed if subsets => {
                objects.extend([service(NAME), destinations(), routes(true)]);
                json!({ "canary": routed(dice, true) })
            }
            Strategy::Routed => {
                objects.extend([service("stable"), service("canary"), routes(false)]);
                json!({ "canary": routed(dice, false) })
            }
            Strategy::Basic => json!({ "canary": basic(dice) }),
            Strategy::BlueGreen => {
                objects.push(service("active"));
                let spec = blue_green(dice);
                if spec.get("previewService").is_some() {
                    objects.push(service("preview"));
                }
                json!({ "blueGreen": spec })
            }
        };
        let mut rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": { "name": NAME, "namespace": NAMESPACE },
            "spec": {
                "replicas": dice.between(1, 6),
                "progressDeadlineSeconds": match dice.between(30, 60) {
                    // Shorter than many an analysis, which is in order.
                    seconds @ 30..36 => seconds - 22,
                    seconds => seconds,
                },
                "revisionHistoryLimit": dice.between(1, 4),
                "selector": { "matchLabels": { "app": NAME } },
                "template": pod_template(1, Fate::Good(1)),
                "strategy": spec,
            },
        });
        if let Some(spec) = rollout.get_mut("spec").and_then(Value::as_object_mut) {
            if dice.chance(15) {
                spec.insert("progressDeadlineAbort".to_owned(), json!(true));
            }
            if dice.chance(15) {
                spec.insert("minReadySeconds".to_owned(), json!(2));
            }
            if dice.chance(10) {
                spec.insert("rollbackWindow".to_owned(), json!({ "revisions": 2 }));
            }
        }
        let leased = match dice.weighted(&[60, 15, 25]) {
            0 => None,
            1 => Some(1),
            _ => Some(2),
        };
        Self {
            strategy,
            subsets,
            objects,
            rollout,
            leased,
            neighbour: dice.chance(10),
            network: dice
                .pick(&[Network::Kind, Network::Measured, Network::Apart])
                .unwrap_or(Network::Kind),
        }
    }
}

/// Steps of a canary.
pub(super) fn steps(dice: &mut Dice, routed: bool) -> Value {
    let count = dice.between(0, 5);
    let mut steps = Vec::new();
    let mut weight = 0;
    for _ in 0..count {
        if routed && dice.chance(10) {
            steps.push(json!({ "setHeaderRoute": header_route() }));
        }
        if routed && dice.chance(6) {
            let shop = json!([{ "path": { "prefix": "/shop" } }]);
            let mirror = json!({ "name": "mirror", "percentage": 50, "match": shop });
            steps.push(json!({ "setMirrorRoute": mirror }));
        }
        let mut step = match dice.weighted(&[50, 25, 15, 12, 8]) {
            0 => {
                weight = if dice.chance(85) {
                    dice.between(weight, 100)
                } else {
                    dice.between(0, 100)
                };
                json!({ "setWeight": weight })
            }
            1 => json!({ "pause": { "duration": format!("{}s", dice.between(1, 12)) } }),
            2 => json!({ "pause": {} }),
            3 => json!({ "analysis": analysis() }),
            _ if routed => json!({ "setCanaryScale": canary_scale(dice) }),
            _ => json!({ "pause": { "duration": 3 } }),
        };
        // A step may have more than one thing.
        if let Some(step) = step.as_object_mut().filter(|_| routed) {
            if dice.chance(6) {
                step.insert("setCanaryScale".to_owned(), canary_scale(dice));
            }
            if dice.chance(4) {
                step.insert("setHeaderRoute".to_owned(), header_route());
            }
        }
        steps.push(step);
    }
    steps.into()
}

fn header_route() -> Value {
    let to_canary = json!([{ "headerName": "x-beta", "headerValue": { "exact": "yes" } }]);
    json!({ "name": "beta", "match": to_canary })
}

fn canary_scale(dice: &mut Dice) -> Value {
    match dice.between(0, 2) {
        0 => json!({ "replicas": dice.between(0, 3) }),
        1 => json!({ "weight": dice.between(0, 100) }),
        _ => json!({ "matchTrafficWeight": true }),
    }
}

fn basic(dice: &mut Dice) -> Value {
    let mut spec = json!({
        "maxSurge": dice.pick(&[json!(1), json!("25%"), json!(2)]),
        "maxUnavailable": dice.between(0, 1),
        "steps": steps(dice, false),
    });
    with_threshold(&mut spec, dice);
    with_background(&mut spec, dice);
    spec
}

fn routed(dice: &mut Dice, subsets: bool) -> Value {
    let managed = json!([{ "name": "beta" }, { "name": "mirror" }]);
    let mut spec = if subsets {
        json!({ "trafficRouting": { "managedRoutes": managed, "istio": {
            "virtualService": { "name": NAME },
            "destinationRule": {
                "name": NAME,
                "canarySubsetName": "canary",
                "stableSubsetName": "stable",
            },
        } } })
    } else {
        json!({
            "stableService": "stable",
            "canaryService": "canary",
            "trafficRouting": {
                "managedRoutes": managed,
                "istio": { "virtualService": { "name": NAME } },
            },
        })
    };
    if let Some(fields) = spec.as_object_mut() {
        fields.insert("steps".to_owned(), steps(dice, true));
        if dice.chance(30) {
            fields.insert("dynamicStableScale".to_owned(), json!(true));
        } else if dice.chance(60) {
            fields.insert(
                "scaleDownDelaySeconds".to_owned(),
                json!(dice.between(3, 20)),
            );
        }
        if dice.chance(50) {
            let seconds = dice.pick(&[0, 4, 15]);
            fields.insert("abortScaleDownDelaySeconds".to_owned(), json!(seconds));
        }
        if dice.chance(10) {
            fields.insert("minPodsPerReplicaSet".to_owned(), json!(2));
        }
    }
    with_revision_limit(&mut spec, dice);
    with_threshold(&mut spec, dice);
    with_background(&mut spec, dice);
    spec
}

/// So many old sets keep their pods for a while at most.
fn with_revision_limit(spec: &mut Value, dice: &mut Dice) {
    if let Some(fields) = spec.as_object_mut().filter(|_| dice.chance(12)) {
        // Never more than the smallest `revisionHistoryLimit` that is drawn.
        let limit = json!(dice.between(0, 1));
        fields.insert("scaleDownDelayRevisionLimit".to_owned(), limit);
    }
}

/// A step goes on without all of its pods.
fn with_threshold(spec: &mut Value, dice: &mut Dice) {
    if let Some(fields) = spec.as_object_mut().filter(|_| dice.chance(12)) {
        let threshold = if dice.chance(50) {
            json!({ "type": "Percent", "value": dice.between(30, 100) })
        } else {
            json!({ "type": "Pod", "value": dice.between(1, 4) })
        };
        fields.insert("replicaProgressThreshold".to_owned(), threshold);
    }
}

fn with_background(spec: &mut Value, dice: &mut Dice) {
    if let Some(fields) = spec.as_object_mut().filter(|_| dice.chance(25)) {
        let mut background = analysis();
        if let Some(background) = background.as_object_mut() {
            // One that goes on until somebody ends it.
            if dice.chance(40) {
                let watch = json!([{ "templateName": "watch" }]);
                background.insert("templates".to_owned(), watch);
            }
            background.insert("startingStep".to_owned(), json!(dice.between(0, 2)));
        }
        fields.insert("analysis".to_owned(), background);
    }
}

fn blue_green(dice: &mut Dice) -> Value {
    let mut spec = json!({ "activeService": "active" });
    if let Some(fields) = spec.as_object_mut() {
        if dice.chance(70) {
            fields.insert("previewService".to_owned(), json!("preview"));
        }
        match dice.between(0, 2) {
            0 => fields.insert("autoPromotionEnabled".to_owned(), json!(false)),
            1 => fields.insert("autoPromotionSeconds".to_owned(), json!(dice.between(2, 8))),
            _ => None,
        };
        if dice.chance(60) {
            fields.insert(
                "scaleDownDelaySeconds".to_owned(),
                json!(dice.between(3, 20)),
            );
        }
        if dice.chance(30) {
            fields.insert("previewReplicaCount".to_owned(), json!(1));
        }
        if dice.chance(25) {
            fields.insert("prePromotionAnalysis".to_owned(), analysis());
        }
        if dice.chance(25) {
            fields.insert("postPromotionAnalysis".to_owned(), analysis());
        }
        if dice.chance(30) {
            let seconds = dice.pick(&[0, 4, 15]);
            fields.insert("abortScaleDownDelaySeconds".to_owned(), json!(seconds));
        }
    }
    with_revision_limit(&mut spec, dice);
    spec
}

fn analysis() -> Value {
    json!({
        "templates": [{ "templateName": "success-rate" }],
        "args": [{ "name": "revision", "valueFrom": { "podTemplateHashValue": "Latest" } }],
    })
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "selector": { "app": NAME }, "ports": [{ "port": 80 }] },
    })
}

/// The routes as a user would write them.
fn routes(subsets: bool) -> Value {
    let to = |name: &str| {
        if subsets {
            json!({ "host": NAME, "subset": name })
        } else {
            json!({ "host": name })
        }
    };
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": { "name": NAME, "namespace": NAMESPACE },
        "spec": { "hosts": ["shop.example"], "http": [{ "name": "primary", "route": [
            { "destination": to("stable"), "weight": 100 },
            { "destination": to("canary"), "weight": 0 },
        ] }] },
    })
}

/// Whether this is the route whose weights are split, and not one that belongs to a step.
pub(super) fn is_main(route: &Value) -> bool {
    route.get("name") == Some(&json!("primary"))
}

/// The subsets of one host that the routes split between.
fn destinations() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "DestinationRule",
        "metadata": { "name": NAME, "namespace": NAMESPACE },
        "spec": { "host": NAME, "subsets": [
            { "name": "stable", "labels": { "app": NAME } },
            { "name": "canary", "labels": { "app": NAME } },
        ] },
    })
}

/// A template that measures so often; without a number until it is told to end.
fn template(name: &str, count: Option<u32>) -> Value {
    let mut template = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "args": [{ "name": "revision" }],
            "metrics": [{
                "name": "success-rate",
                "interval": "3s",
                "failureLimit": 1,
                "successCondition": "len(result) == 0 || result[0] >= 0.95",
                "provider": { "prometheus": {
                    "address": "http://prometheus.example:9090",
                    "query": "good{pod_template_hash=\"{{args.revision}}\"}",
                } },
            }],
        },
    });
    let metric = template.pointer_mut("/spec/metrics/0");
    if let (Some(count), Some(metric)) = (count, metric.and_then(Value::as_object_mut)) {
        metric.insert("count".to_owned(), json!(count));
    }
    template
}

/// The template of a version.
pub(super) fn pod_template(version: u32, fate: Fate) -> Value {
    let annotations = match fate {
        Fate::Good(seconds) => {
            json!({ "simulation.sluice.dev/ready-after": format!("{seconds}s") })
        }
        Fate::Erring => json!({ "simulation.sluice.dev/error-rate": "0.5" }),
        Fate::Unready => json!({ "simulation.sluice.dev/never-ready": "true" }),
        Fate::Crashing => json!({ "simulation.sluice.dev/crash-after": "4s" }),
    };
    json!({
        "metadata": { "labels": { "app": NAME }, "annotations": annotations },
        "spec": { "containers": [{ "name": "app", "image": format!("shop:v{version}") }] },
    })
}

/// A Rollout that can never work: what it asks for, nobody provides.
pub(super) fn neighbour() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "neighbour", "namespace": NAMESPACE },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "neighbour" } },
            "template": {
                "metadata": { "labels": { "app": "neighbour" } },
                "spec": { "containers": [{ "name": "app", "image": "neighbour:v1" }] },
            },
            "strategy": { "canary": {
                "stableService": "stable",
                "canaryService": "not-there",
                "trafficRouting": { "plugins": { "example.com/nobody": {} } },
            } },
        },
    })
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.rollout.get("spec").cloned().unwrap_or_default();
        let field = |name: &str| spec.get(name).cloned().unwrap_or_default();
        write!(
            f,
            "replicas {}, deadline {} s",
            field("replicas"),
            field("progressDeadlineSeconds")
        )?;
        for name in ["progressDeadlineAbort", "minReadySeconds", "rollbackWindow"] {
            if let Some(value) = spec.get(name) {
                write!(f, ", {name} {value}")?;
            }
        }
        match self.leased {
            None => f.write_str(", one controller")?,
            Some(count) => write!(f, ", {count} controller(s) with a lease")?,
        }
        if self.neighbour {
            f.write_str(", a broken neighbour")?;
        }
        match self.network {
            Network::Kind => {}
            Network::Measured => f.write_str(", events as fast as answers")?,
            Network::Apart => f.write_str(", events long before or after answers")?,
        }
        write!(f, "\n{}", field("strategy"))
    }
}

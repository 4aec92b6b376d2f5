//! A Rollout and everything around it: what the API server, the kubelets, a router, the plugin host and the controller
//! do between passes, as pure code. Every pass is checked against the invariants that hold in all stories.

mod api_server;
mod cluster;
mod harm;
mod objects;
mod passes;
mod people;
mod plugins;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::observed::Looked;
use crate::plan::{Query, Requeue, Role, WriteErrorKind};
use crate::plugin::{Job, PluginCall, PluginInfo, PluginName, Refusal, Slot};
use crate::rollout::Settled;

pub(super) use api_server::default_template;
use harm::named_services;
pub(super) use objects::merge;
pub(super) use plugins::away;

/// The clock of every story starts here: between two seconds, because the wire has whole ones.
pub(super) const START: &str = "2024-05-06T07:08:09.700Z";
const NAMESPACE: &str = "shop";

/// How the router of a story behaves.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Router {
    /// Answers with what differs, and cannot verify.
    Works,
    /// Answers with what differs, and sees at once that it is in effect.
    Verifies,
    /// Answers with what differs; the data path lags for ever.
    Lags,
    /// Answers with what differs, and says that it cannot while a subset that gets traffic is to select pods that are not
    /// all there.
    Awaits,
    /// Says that it cannot do it now.
    Fails,
    /// The same, with an event of its own.
    Tells,
    /// Traps.
    Traps,
    /// Never answers.
    Hangs,
}

/// Writes that do not succeed.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// The role of the action; None for the status.
    pub role: Option<Role>,
    /// What the API server answers.
    pub kind: WriteErrorKind,
    /// How often.
    pub times: usize,
}

/// What happens to the write of this number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Disturbance {
    pub at: usize,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum How {
    /// The controller dies before it.
    Crash,
    /// It fails.
    Fail,
    /// It takes effect, and the answer is lost.
    Lose,
}

/// What one pass came to.
pub(super) struct Passed {
    pub settled: Settled,
    /// One line for each thing that happened.
    pub lines: Vec<String>,
    pub quiet: bool,
    /// It asked for pods, which the next pass has.
    pub listed: bool,
}

/// A pod, as far as a restart cares.
#[derive(Clone, Debug)]
pub(super) struct LivePod {
    pub name: String,
    pub created: Timestamp,
}

/// What the numbers of a set do not show yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hidden {
    /// Available pods that are gone.
    pub gone: i32,
    /// For so many passes more.
    pub passes: usize,
}

#[derive(Clone)]
struct Kept {
    call: PluginCall,
    job: Job,
    /// The version of the router's object that the answer was made from.
    read: Option<String>,
    /// The guest is working on it, for the first time or again.
    at_work: bool,
}

/// A cluster with one Rollout in it.
#[derive(Clone)]
pub(super) struct World {
    pub now: Timestamp,
    /// By kind and name, as the API server holds them.
    pub objects: BTreeMap<(String, String), Value>,
    pub plugins: BTreeMap<PluginName, PluginInfo>,
    pub loading: bool,
    /// Routers of which marks were found.
    pub marked: BTreeSet<String>,
    pub router: Router,
    /// What routers say to `check`, by name; the others find their configuration usable.
    pub checks: BTreeMap<String, Refusal>,
    pub faults: Vec<Fault>,
    /// Pods become ready at once.
    ready: bool,
    /// Decides and settles twice in every pass, to see whether both are the same.
    pub twice: bool,
    /// What happens to one write of the story.
    pub disturbance: Option<Disturbance>,
    /// Writes so far, the status included.
    pub writes: usize,
    /// What somebody does between the writes of the next pass and its status.
    pub meanwhile: Option<fn(&mut World)>,
    /// What has been done so far, for failures.
    pub story: String,
    /// Readable events in order.
    pub events: Vec<String>,
    /// How updates have ended so far, and their seconds: all of them and those of manual pauses.
    pub ended: Vec<(String, i64, i64)>,
    pub requeue: Requeue,
    /// Whether the DefaultedTemplate query fails.
    pub look_fails: bool,
    /// A webhook refuses every dry run.
    pub dry_run_denied: bool,
    /// Whether no object can be read past the views.
    pub reads_fail: bool,
    /// The API server says that the template is wrong.
    pub template_refused: bool,
    looked: BTreeMap<Query, Looked>,
    /// Evictions that a disruption budget still allows; None: any number.
    pub budget: Option<usize>,
    /// The numbers of the sets show pods that are gone so many passes later.
    pub numbers_lag: usize,
    /// Available pods of a set that are gone and that its numbers do not show yet.
    pub hidden: BTreeMap<String, Hidden>,
    /// The pods of each set, ready ones first.
    pub pods: BTreeMap<String, Vec<LivePod>>,
    jobs: BTreeMap<Slot, Kept>,
    versions: u64,
    /// Hashes in order of appearance, for texts that read well.
    hashes: Vec<String>,
    /// A capacity that the steps fix by themselves excuses weight above it.
    scale_is_explicit: bool,
    created: i64,
}

impl World {
    /// A Rollout with this specification; template and selector are filled in, Services that it names exist.
    pub fn new(spec: Value) -> Self {
        let mut rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": { "name": "web", "namespace": NAMESPACE, "uid": "uid-web", "generation": 1, "resourceVersion": "1" },
            "spec": {
                "replicas": 10,
                "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "main", "image": "web:1" }] },
                },
            },
        });
        merge(&mut rollout["spec"], &spec);
        let explicit = spec.to_string().contains("setCanaryScale");
        let start: Timestamp = START.parse().unwrap();
        let mut world = Self {
            now: start,
            objects: BTreeMap::new(),
            plugins: BTreeMap::new(),
            loading: false,
            marked: BTreeSet::new(),
            router: Router::Works,
            checks: BTreeMap::new(),
            faults: Vec::new(),
            ready: true,
            twice: true,
            disturbance: None,
            writes: 0,
            meanwhile: None,
            story: String::new(),
            events: Vec::new(),
            ended: Vec::new(),
            requeue: Requeue::OnChange,
            look_fails: false,
            dry_run_denied: false,
            reads_fail: false,
            template_refused: false,
            looked: BTreeMap::new(),
            budget: None,
            numbers_lag: 0,
            hidden: BTreeMap::new(),
            pods: BTreeMap::new(),
            jobs: BTreeMap::new(),
            versions: 100,
            hashes: Vec::new(),
            scale_is_explicit: explicit,
            created: 0,
        };
        world
            .objects
            .insert(("Rollout".to_owned(), "web".to_owned()), rollout);
        for name in ["istio", "acme/router"] {
            world.provide(name);
        }
        for name in named_services(world.spec()) {
            world.add_service(&name);
        }
        let strategy = world.spec()["strategy"].clone();
        if !strategy["canary"]["trafficRouting"].is_null() {
            world.put("VirtualService", "routes", json!({ "spec": {} }));
        }
        world
    }

    /// A canary of ten pods.
    pub fn canary(canary: Value) -> Self {
        Self::new(json!({ "strategy": { "canary": canary } }))
    }

    /// A canary of ten pods with a router that splits by Service.
    pub fn routed(canary: Value) -> Self {
        let mut block = json!({
            "canaryService": "canary", "stableService": "stable",
            "trafficRouting": { "istio": { "virtualService": { "name": "routes" } } },
        });
        merge(&mut block, &canary);
        Self::canary(block)
    }

    /// The same with a router that splits by subset: it knows the hashes itself.
    pub fn subsets(canary: Value) -> Self {
        let mut block = json!({
            "trafficRouting": { "istio": {
                "virtualService": { "name": "routes" },
                "destinationRule": { "name": "subsets", "canarySubsetName": "canary", "stableSubsetName": "stable" },
            } },
        });
        merge(&mut block, &canary);
        Self::canary(block)
    }

    /// A blue-green Rollout of three pods.
    pub fn blue_green(blue_green: Value) -> Self {
        let mut block = json!({ "activeService": "active", "previewService": "preview" });
        merge(&mut block, &blue_green);
        Self::new(json!({ "replicas": 3, "strategy": { "blueGreen": block } }))
    }
}

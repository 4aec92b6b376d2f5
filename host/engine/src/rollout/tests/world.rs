//! A Rollout and everything around it: what the API server, the kubelets, a router, the plugin host and the controller
//! do between passes, as pure code. Every pass is checked against the invariants that hold in all stories.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sluice_api as api;

use crate::hash;
use crate::keys;
use crate::object::ObjectKey;
use crate::observed::{Defaulted, Looked, Observed, ReplicaSet, Service};
use crate::plan::{
    Action, Done, Edit, Outcome, Plan, Query, Requeue, Role, Severity, Subresource, Write,
    WriteError, WriteErrorKind, Written,
};
use crate::plugin::{
    Ask, Disposition, Effects, Job, JobState, PluginCall, PluginInfo, PluginKind, PluginName,
    Plugins, Refusal, Reply, Routed, Slot, Traffic, Verification,
};
use crate::rollout::{Settled, decide, settle, validate};
use crate::template;

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
    /// Says that it cannot do it now.
    Fails,
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
    /// What the router says to `check`; None: usable.
    pub check: Option<Refusal>,
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
            check: None,
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

    // === what is there

    /// A router plugin of this name is loaded.
    pub fn provide(&mut self, name: &str) {
        self.plugins.insert(
            PluginName {
                kind: PluginKind::TrafficRouter,
                name: name.to_owned(),
            },
            PluginInfo {
                digest: format!("sha256:{name}"),
                capabilities: ["header-routes", "mirror-routes", "max-weight"]
                    .map(str::to_owned)
                    .into(),
                ..PluginInfo::default()
            },
        );
    }

    /// A router plugin of this name that knows nothing but weights.
    pub fn provide_plain(&mut self, name: &str) {
        self.provide(name);
        for info in self.plugins.values_mut() {
            info.capabilities.clear();
        }
    }

    pub fn add_service(&mut self, name: &str) {
        self.put(
            "Service",
            name,
            json!({ "spec": { "selector": { "app": "web" } } }),
        );
    }

    /// An AnalysisTemplate with one metric that is measured once.
    pub fn add_template(&mut self, name: &str) {
        let body = json!({ "spec": { "metrics": [
            { "name": "errors", "successCondition": "result < 1", "provider": { "web": { "url": "http://metrics" } } },
        ] } });
        self.put("AnalysisTemplate", name, body);
    }

    pub fn put(&mut self, kind: &str, name: &str, body: Value) {
        let mut object =
            json!({ "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE } });
        merge(&mut object, &body);
        object["metadata"]["uid"] = json!(format!("uid-{kind}-{name}"));
        let key = (kind.to_owned(), name.to_owned());
        self.objects.insert(key.clone(), object);
        self.touch(&key);
    }

    /// Somebody writes the whole object.
    pub fn replace(&mut self, kind: &str, name: &str, body: Value) {
        let key = (kind.to_owned(), name.to_owned());
        self.objects.insert(key.clone(), body);
        self.touch(&key);
    }

    pub fn remove(&mut self, kind: &str, name: &str) {
        self.objects
            .remove(&(kind.to_owned(), name.to_owned()))
            .unwrap();
    }

    pub fn touch(&mut self, key: &(String, String)) {
        self.versions += 1;
        let version = self.versions.to_string();
        if let Some(object) = self.objects.get_mut(key) {
            object["metadata"]["resourceVersion"] = json!(version);
        }
    }

    pub fn object(&self, kind: &str, name: &str) -> &Value {
        self.objects
            .get(&(kind.to_owned(), name.to_owned()))
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    pub fn exists(&self, kind: &str, name: &str) -> bool {
        self.objects
            .contains_key(&(kind.to_owned(), name.to_owned()))
    }

    fn spec(&self) -> &Value {
        &self.object("Rollout", "web")["spec"]
    }

    pub fn rollout(&self) -> api::Rollout {
        serde_json::from_value(self.object("Rollout", "web").clone()).unwrap()
    }

    pub fn status(&self) -> api::RolloutStatus {
        self.rollout().status
    }

    /// `<phase>: <message>`
    pub fn phase(&self) -> String {
        let status = self.status();
        match status.message.as_str() {
            "" => status.phase.to_string(),
            message => self.readable(&format!("{}: {message}", status.phase)),
        }
    }

    /// The condition's `<status> <reason>: <message>`.
    pub fn condition(&self, type_: &str) -> String {
        let status = self.status();
        let found = status
            .conditions
            .iter()
            .find(|condition| condition.type_.as_str() == type_);
        found.map_or_else(
            || "absent".to_owned(),
            |condition| {
                self.readable(&format!(
                    "{} {}: {}",
                    condition.status, condition.reason, condition.message
                ))
            },
        )
    }

    /// The hash of the n-th revision that was created.
    pub fn hash(&self, revision: usize) -> String {
        self.hashes[revision - 1].clone()
    }

    fn set_name(&self, revision: usize) -> String {
        format!("web-{}", self.hash(revision))
    }

    /// `<size>/<available>` of every set, oldest first.
    pub fn sizes(&self) -> String {
        let sets: Vec<String> = (1..=self.hashes.len())
            .filter_map(|revision| {
                let key = ("ReplicaSet".to_owned(), self.set_name(revision));
                let set = self.objects.get(&key)?;
                let (size, available) = (
                    int(&set["spec"]["replicas"]),
                    int(&set["status"]["availableReplicas"]),
                );
                Some(format!("r{revision} {available}/{size}"))
            })
            .collect();
        sets.join(", ")
    }

    /// `spec.replicas` of every set.
    pub fn all_sizes(&self) -> Vec<i32> {
        self.sets()
            .map(|set| int(&set["spec"]["replicas"]))
            .collect()
    }

    /// The number of the set that is the current template's.
    pub fn last_revision(&self) -> usize {
        let current = self.status().current_pod_hash;
        let known = self
            .hashes
            .iter()
            .position(|hash| *hash == current && self.exists("ReplicaSet", &format!("web-{hash}")));
        known.map_or(1, |index| index + 1)
    }

    /// The revision that a Service selects.
    pub fn selects(&self, service: &str) -> String {
        let selected =
            &self.object("Service", service)["spec"]["selector"][keys::POD_TEMPLATE_HASH];
        self.readable(selected.as_str().unwrap_or("all"))
    }

    /// Canary and stable weight that the router's object has.
    pub fn routes(&self) -> String {
        let spec = &self.object("VirtualService", "routes")["spec"];
        format!(
            "canary {}, stable {}",
            spec["canary"]["weight"], spec["stable"]["weight"]
        )
    }

    /// Header and mirror routes that the router's object has.
    pub fn managed_routes(&self) -> Value {
        let spec = &self.object("VirtualService", "routes")["spec"];
        json!([spec["headers"], spec["mirrors"]])
    }

    /// AnalysisRuns: `<name> <phase>[ terminated]`.
    pub fn runs(&self) -> Vec<String> {
        let runs = self
            .objects
            .iter()
            .filter(|((kind, _), _)| kind == "AnalysisRun");
        let texts = runs.map(|((_, name), run)| {
            let phase = run["status"]["phase"].as_str().unwrap_or("new");
            let terminated = if run["spec"]["terminate"] == json!(true) {
                " terminated"
            } else {
                ""
            };
            self.readable(&format!("{name} {phase}{terminated}"))
        });
        let mut texts: Vec<String> = texts.collect();
        texts.sort();
        texts
    }

    /// Event reasons so far; they are forgotten with this.
    pub fn reasons(&mut self) -> String {
        let events = std::mem::take(&mut self.events);
        let reasons: Vec<&str> = events
            .iter()
            .map(|event| event.split([' ', ':']).nth(1).unwrap())
            .collect();
        reasons.join(" ")
    }

    /// A text with hashes and times as people speak of them.
    pub fn readable(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, hash) in self.hashes.iter().enumerate() {
            text = text.replace(hash, &format!("r{}", index + 1));
        }
        text
    }

    fn relative(&self, time: Timestamp) -> String {
        let start: Timestamp = START.parse().unwrap();
        let millis = time.duration_since(start).as_millis();
        format!(
            "{}.{:01}s",
            millis.div_euclid(1000),
            millis.rem_euclid(1000) / 100
        )
    }

    // === what people do

    /// A change of the specification by a merge patch.
    pub fn edit(&mut self, spec: Value) {
        self.patch("Rollout", "web", &json!({ "spec": spec }), false);
    }

    /// A new image, a second later: creation times have whole seconds.
    pub fn release(&mut self, image: &str) {
        self.advance(1);
        self.edit(json!({ "template": { "spec": { "containers": [{ "name": "main", "image": image }] } } }));
    }

    fn edit_status(&mut self, status: Value) {
        self.patch("Rollout", "web", &json!({ "status": status }), true);
    }

    /// `kubectl argo rollouts promote` (CLI-005).
    pub fn promote(&mut self) {
        let status = self.status();
        if !status.pause_conditions.is_empty() {
            self.edit_status(json!({ "pauseConditions": null }));
        } else if let Some(index) = status.current_step_index {
            self.edit_status(json!({ "pauseConditions": null, "currentStepIndex": index + 1 }));
        }
        if self.spec()["paused"] == json!(true) {
            self.edit(json!({ "paused": false }));
        }
    }

    /// `kubectl argo rollouts promote` at a step whose analysis is inconclusive (CLI-005).
    pub fn promote_past_inconclusive(&mut self) {
        let index = self.status().current_step_index.unwrap();
        self.edit_status(json!({ "pauseConditions": null, "controllerPause": false, "currentStepIndex": index + 1 }));
    }

    /// `kubectl argo rollouts promote --full` (CLI-006).
    pub fn promote_full(&mut self) {
        self.edit_status(json!({ "promoteFull": true }));
    }

    /// `kubectl argo rollouts promote --skip-current-step` (CLI-007).
    pub fn skip_step(&mut self) {
        let index = self.status().current_step_index.unwrap();
        self.edit_status(json!({ "currentStepIndex": index + 1 }));
    }

    /// `kubectl argo rollouts abort` (CLI-001).
    pub fn abort(&mut self) {
        self.edit_status(json!({ "abort": true }));
    }

    /// `kubectl argo rollouts retry` (CLI-002).
    pub fn retry(&mut self) {
        self.edit_status(json!({ "abort": false }));
    }

    // === what the cluster does

    /// From now on pods become ready at once, or do not become ready.
    pub fn pods_get_ready(&mut self, ready: bool) {
        self.ready = ready;
        self.replica_set_controller();
    }

    pub fn advance(&mut self, seconds: i64) {
        self.now = self
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
    }

    /// So many pods of a revision are ready and available.
    pub fn pods_ready(&mut self, revision: usize, count: i32) {
        let key = ("ReplicaSet".to_owned(), self.set_name(revision));
        let set = self.objects.get_mut(&key).unwrap();
        let count = count.min(int(&set["spec"]["replicas"]));
        set["status"]["readyReplicas"] = json!(count);
        set["status"]["availableReplicas"] = json!(count);
        self.hidden.remove(&key.1);
        self.touch(&key);
    }

    /// The end of an AnalysisRun whose readable name ends like this.
    pub fn analysis(&mut self, end: &str, phase: &str, message: &str) {
        let names: Vec<String> = self
            .objects
            .keys()
            .filter(|(kind, name)| kind == "AnalysisRun" && self.readable(name).ends_with(end))
            .map(|(_, name)| name.clone())
            .collect();
        let [name] = names.as_slice() else {
            panic!("{} runs end with {end}", names.len());
        };
        self.patch(
            "AnalysisRun",
            name,
            &json!({ "status": { "phase": phase, "message": message } }),
            false,
        );
    }

    /// The same for every run that has not ended.
    pub fn every_run(&mut self, phase: &str) {
        let open = |run: &Value| !matches!(run["status"]["phase"].as_str(), Some(phase) if phase != "Running");
        let names: Vec<String> = self
            .objects
            .iter()
            .filter(|((kind, _), run)| kind == "AnalysisRun" && open(run))
            .map(|((_, name), _)| name.clone())
            .collect();
        for name in names {
            self.patch(
                "AnalysisRun",
                &name,
                &json!({ "status": { "phase": phase } }),
                false,
            );
        }
    }

    /// ReplicaSets get as many pods as they are to have; ready ones are removed last.
    fn replica_set_controller(&mut self) {
        let names: Vec<(String, String)> = self
            .objects
            .keys()
            .filter(|(kind, _)| kind == "ReplicaSet")
            .cloned()
            .collect();
        for key in names {
            if self.hidden.contains_key(&key.1) {
                continue;
            }
            let ready = self.ready;
            let set = self.objects.get_mut(&key).unwrap();
            let before = set["status"].clone();
            let size = int(&set["spec"]["replicas"]);
            let available = if ready {
                size
            } else {
                int(&before["availableReplicas"]).min(size)
            };
            set["status"] = json!({
                "replicas": size, "readyReplicas": available, "availableReplicas": available,
                "observedGeneration": set["metadata"]["generation"],
            });
            if let Some(conditions) = before.get("conditions") {
                set["status"]["conditions"] = conditions.clone();
            }
            if set["status"] != before {
                self.touch(&key);
            }
        }
        self.keep_pods();
    }

    /// A merge patch by somebody. Returns whether it changed anything.
    pub fn patch(&mut self, kind: &str, name: &str, patch: &Value, status: bool) -> bool {
        let key = (kind.to_owned(), name.to_owned());
        let object = self
            .objects
            .get_mut(&key)
            .unwrap_or_else(|| panic!("no {kind} {name}"));
        let mut patch = patch.clone();
        if let Some(fields) = patch.as_object_mut() {
            if status {
                fields.retain(|field, _| field == "status");
            } else if kind == "Rollout" {
                // The status has its own endpoint; this one ignores it.
                fields.remove("status");
            }
        }
        let before = object.clone();
        merge(object, &patch);
        if *object == before {
            return false;
        }
        if object["spec"] != before["spec"] {
            object["metadata"]["generation"] =
                json!(before["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        self.touch(&key);
        true
    }

    // === one pass

    pub fn observe(&self) -> Observed {
        let all = |kind: &'static str| {
            let mut found: Vec<&Value> = self
                .objects
                .iter()
                .filter(move |((of, _), _)| of == kind)
                .map(|(_, body)| body)
                .collect();
            found.sort_by_key(|body| {
                let metadata = &body["metadata"];
                (
                    metadata["creationTimestamp"].as_str().map(str::to_owned),
                    metadata["name"].as_str().map(str::to_owned),
                )
            });
            found
        };
        let decoded = |kind| -> Vec<Value> { all(kind).into_iter().cloned().collect() };
        let rollout = self.rollout();
        let services: BTreeMap<String, Option<Arc<Service>>> = named_services(self.spec())
            .into_iter()
            .map(|name| {
                let found = self.objects.get(&("Service".to_owned(), name.clone()));
                let found = found.map(|body| Arc::new(service(body)));
                (name, found)
            })
            .collect();
        let templates = decoded("AnalysisTemplate")
            .into_iter()
            .map(|body| {
                let template: api::AnalysisTemplate = serde_json::from_value(body).unwrap();
                (template.metadata.name.clone(), Some(Arc::new(template)))
            })
            .collect();
        let (analysis_runs, foreign_runs): (Vec<api::AnalysisRun>, Vec<_>) = decoded("AnalysisRun")
            .into_iter()
            .map(|body| serde_json::from_value(body).unwrap())
            .partition(|run: &api::AnalysisRun| {
                let owner = run.metadata.controller();
                owner.is_some_and(|owner| owner.uid == rollout.metadata.uid)
            });
        Observed {
            now: self.now,
            rollout: Arc::new(rollout),
            replica_sets: self.labelled_sets(true),
            orphans: self.labelled_sets(false),
            services,
            analysis_templates: templates,
            cluster_analysis_templates: BTreeMap::new(),
            analysis_runs: analysis_runs.into_iter().map(Arc::new).collect(),
            foreign_runs: foreign_runs
                .into_iter()
                .map(|run| run.metadata.name)
                .collect(),
            experiments: Vec::new(),
            plugins: Plugins {
                loaded: Arc::new(self.plugins.clone()),
                loading: self.loading,
                jobs: self.jobs.values().map(|kept| self.job(kept)).collect(),
                marked: self.marked.clone(),
            },
            looked: self.looked.clone(),
        }
    }

    /// Sets that carry a hash label: those that the Rollout controls, or those that nobody does.
    fn labelled_sets(&self, controlled: bool) -> Vec<Arc<ReplicaSet>> {
        let mut sets: Vec<ReplicaSet> = self.sets().map(replica_set).collect();
        sets.retain(|set| {
            let owner = set.metadata.controller().map(|owner| owner.uid.as_str());
            set.metadata.labels.contains_key(keys::POD_TEMPLATE_HASH)
                && set
                    .metadata
                    .labels
                    .get("app")
                    .is_some_and(|app| app == "web")
                && owner == controlled.then_some("uid-web")
        });
        sets.sort_by(|a, b| {
            let age =
                |set: &ReplicaSet| (set.metadata.creation_timestamp, set.metadata.name.clone());
            age(a).cmp(&age(b))
        });
        sets.into_iter().map(Arc::new).collect()
    }

    /// Validate, decide, carry out, settle, write the status.
    pub fn pass(&mut self) -> Passed {
        let mut seen = self.observe();
        // A list of pods lives one pass.
        self.looked
            .retain(|query, _| !matches!(query, Query::Pods { .. }));
        let spec = validate(&seen.rollout, &seen);
        let made = decide(&spec, &seen);
        if self.twice {
            let again = decide(&spec, &seen);
            assert_eq!(made.plan, again.plan, "the same facts, another plan (I3)");
            assert_eq!(
                made.report, again.report,
                "the same facts, another report (I3)"
            );
        }
        check_weights(&made.plan);

        let asked = self.follow_calls(&made.plan);
        // What was read past the views is a fact of one pass, unless nothing was found.
        self.looked.retain(|query, looked| {
            !matches!(query, Query::Uncached(_)) || matches!(looked, Looked::Object(None))
        });
        let mut lines = Vec::new();
        let got = self.carry_out(&made.plan, &mut lines);
        let looks = || {
            made.plan
                .actions
                .iter()
                .filter_map(|planned| match &planned.action {
                    Action::Look(query) => Some(matches!(query, Query::Pods { .. })),
                    Action::Write(_) | Action::Call(_) => None,
                })
        };
        let (looked, listed) = (looks().any(|pods| !pods), looks().any(|pods| pods));
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile(self);
        }
        let mut settled = settle(&spec, &seen, &made, &got);
        if self.twice {
            let twice = settle(&spec, &seen, &made, &got);
            assert_eq!(
                settled.status, twice.status,
                "the same outcome, another status (I3)"
            );
            assert_eq!(
                settled.events, twice.events,
                "the same outcome, other events (I3)"
            );
        }
        let mut written = true;
        let mut conflicts = 0;
        while let Some(write) = &settled.status {
            match self.write(write, None) {
                Ok(_) => break,
                Err(error) if error.kind == WriteErrorKind::Conflict && conflicts < 5 => {
                    conflicts += 1;
                    seen.rollout = Arc::new(self.rollout());
                    let spec = validate(&seen.rollout, &seen);
                    settled = settle(&spec, &seen, &made, &got);
                }
                Err(error) => {
                    lines.push(format!("status failed: {:?}", error.kind));
                    written = false;
                    break;
                }
            }
        }
        if written {
            self.publish(&settled, &mut lines);
        }
        let status = self.status();
        if written && settled.status.is_some() {
            assert_eq!(
                serde_json::to_value(&status).unwrap(),
                serde_json::to_value(&*settled.next).unwrap(),
                "the patch does not lead to the status that was meant"
            );
        }
        for wait in &made.report.waits {
            let until = wait.until.map_or_else(String::new, |time| {
                format!(" until {}", self.relative(time))
            });
            lines.push(self.readable(&format!("wait {}: {}{until}", wait.what, wait.for_what)));
        }
        self.requeue = settled.requeue;
        if let Requeue::At(time) = settled.requeue {
            lines.push(format!("again at {}", self.relative(time)));
        }
        // An eviction that is refused is tried again later, and nothing comes of it now.
        let forbidden = self.budget == Some(0);
        let refused = |index: usize| {
            made.plan.actions[index].role == Role::Restart
                && matches!(&got.done[index], Done::Failed(error)
                    if forbidden || matches!(error.kind, WriteErrorKind::Refused | WriteErrorKind::Invalid))
        };
        let quiet = made.plan.writes().all(|(index, _)| refused(index))
            && settled.status.is_none()
            && settled.events.is_empty()
            && self.hidden.is_empty()
            && !asked
            && !looked;
        let versions = self.versions;
        self.replica_set_controller();
        self.numbers_arrive();
        let quiet = quiet && self.versions == versions;
        let answered = self.router_answers();
        Passed {
            settled,
            lines,
            quiet: quiet && !answered,
            listed,
        }
    }

    /// Passes until nothing is planned, and one more: it must plan nothing and write nothing (I9).
    /// Returns what happened, without the waits of passes in between.
    pub fn settle(&mut self) -> String {
        let mut story = String::new();
        for _ in 0..200 {
            let passed = self.pass();
            let crash = Some(How::Crash);
            if self.disturbance.map(|disturbance| disturbance.how) == crash && self.disturbed() {
                self.restart();
                continue;
            }
            for line in passed
                .lines
                .iter()
                .filter(|line| passed.quiet || !is_wait(line))
            {
                writeln!(story, "{line}").unwrap();
            }
            if passed.quiet && !passed.listed {
                // A list that was older than the numbers of its set is made again.
                let listed_again = Requeue::At(self.now + SignedDuration::from_secs(1));
                let restarts = self.status().restarted_at != self.rollout().spec.restart_at;
                if self.numbers_lag > 0 && restarts && self.requeue == listed_again {
                    continue;
                }
                if let Requeue::At(time) = self.requeue {
                    assert!(
                        time > self.now,
                        "converged, but asks to be called again at once"
                    );
                }
                let mut again = self.pass();
                if again.listed {
                    again = self.pass();
                }
                assert!(
                    again.quiet,
                    "{}: a further pass does something (I9):\n{}",
                    self.story,
                    again.lines.join("\n")
                );
                writeln!(story, "{} | {}", self.phase(), self.sizes()).unwrap();
                return story;
            }
        }
        let last = self.pass();
        panic!(
            "{}: 200 passes without rest:\n{story}\nthen {:#?}\n{:#?}",
            self.story, last.lines, last.settled.status
        );
    }

    /// Whether the disturbance has come to pass.
    pub fn disturbed(&self) -> bool {
        self.disturbance
            .is_some_and(|disturbance| self.writes >= disturbance.at)
    }

    /// Sleeps until the pass asked to be called again, and settles. Nothing else wakes the controller.
    pub fn sleep(&mut self) -> String {
        let Requeue::At(time) = self.requeue else {
            panic!("nobody will ever wake this Rollout: {}", self.phase());
        };
        assert!(time > self.now, "asks for a time that has passed");
        self.now = time;
        self.settle()
    }

    /// The controller is gone and another one starts: only what the API server holds is left.
    pub fn restart(&mut self) {
        self.jobs.clear();
        self.looked.clear();
        self.requeue = Requeue::OnChange;
        if self
            .disturbance
            .is_some_and(|disturbance| disturbance.how == How::Crash)
        {
            self.disturbance = None;
        }
    }

    fn publish(&mut self, settled: &Settled, lines: &mut Vec<String>) {
        self.marked
            .retain(|router| !settled.released.contains(router));
        for (slot, key) in &settled.reported {
            if let Some(kept) = self.jobs.get_mut(slot).filter(|kept| kept.job.key == *key) {
                kept.job.reported = true;
            }
        }
        if let Some(ended) = &settled.ended {
            let (began, end) = (
                ended.rollout_started_at.unwrap(),
                ended.finished_at.unwrap(),
            );
            self.ended.push((
                ended.completion_status.as_ref().unwrap().to_string(),
                end.0.duration_since(began.0).as_secs(),
                ended.total_manual_pause_duration_seconds.unwrap_or(0),
            ));
        }
        for event in &settled.events {
            let severity = match event.severity {
                Severity::Normal => "event",
                Severity::Warning => "warning",
            };
            let text = self.readable(&format!("{severity} {}: {}", event.reason, event.message));
            lines.push(text.clone());
            self.events.push(text);
        }
    }

    fn carry_out(&mut self, plan: &Plan, lines: &mut Vec<String>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut done_in_pass: BTreeMap<ObjectKey, String> = BTreeMap::new();
        for planned in &plan.actions {
            let ready = planned.after.iter().all(|index| {
                assert!(
                    *index < outcome.done.len(),
                    "an action waits for a later one"
                );
                outcome.succeeded(*index)
            });
            let done = match &planned.action {
                Action::Write(_) if !ready => Done::Skipped,
                Action::Call(_) => Done::Asked,
                Action::Look(query) => match self.look(query) {
                    Looked::Failed(message) => {
                        Done::Failed(error(WriteErrorKind::Unavailable, &message))
                    }
                    _ => Done::Asked,
                },
                Action::Write(write) => {
                    let mut write = write.clone();
                    if let (Some(_), Some(newer)) =
                        (&write.precondition, done_in_pass.get(&write.target))
                    {
                        write.precondition = Some(newer.clone());
                    }
                    let before = self.harm();
                    let ready_pods = self.available();
                    let evicts = write.subresource == Subresource::Eviction;
                    match self.write(&write, Some(planned.role)) {
                        Ok(object) => {
                            self.kill_pods(&write);
                            if evicts {
                                self.assert_evictable(&before, ready_pods);
                            } else {
                                self.assert_harmless(&before, ready_pods, &write);
                            }
                            done_in_pass
                                .insert(write.target.clone(), object.resource_version.clone());
                            Done::Applied { object }
                        }
                        Err(error) => Done::Failed(error),
                    }
                }
            };
            if let Action::Write(write) = &planned.action {
                let result = match &done {
                    Done::Applied { .. } | Done::Asked => "write",
                    Done::Failed(_) => "failed",
                    Done::Skipped => "skipped",
                };
                let target = format!("{} {}", write.target.kind, write.target.name);
                lines.push(self.readable(&format!("{result} {target}: {}", write.reason)));
            }
            outcome.done.push(done);
        }
        outcome
    }

    fn write(&mut self, write: &Write, role: Option<Role>) -> Result<Written, WriteError> {
        let result = self.write_disturbed(write, role);
        let has_no_effect = |error: &WriteError| {
            matches!(
                error.kind,
                WriteErrorKind::Invalid | WriteErrorKind::NotLeading
            )
        };
        if !result.as_ref().is_err_and(has_no_effect) {
            self.looked.remove(&Query::Uncached(write.target.clone()));
        }
        result
    }

    fn write_disturbed(
        &mut self,
        write: &Write,
        role: Option<Role>,
    ) -> Result<Written, WriteError> {
        self.writes += 1;
        match self.disturbance {
            Some(Disturbance {
                at,
                how: How::Crash,
            }) if self.writes >= at => {
                return Err(error(WriteErrorKind::NotLeading, "crashed"));
            }
            Some(Disturbance { at, how: How::Fail }) if self.writes == at => {
                return Err(error(WriteErrorKind::Unavailable, "no answer"));
            }
            Some(Disturbance { at, how: How::Lose }) if self.writes == at => {
                let _ = self.write_undisturbed(write, role);
                return Err(error(WriteErrorKind::Unavailable, "no answer"));
            }
            Some(_) | None => {}
        }
        self.write_undisturbed(write, role)
    }

    fn write_undisturbed(
        &mut self,
        write: &Write,
        role: Option<Role>,
    ) -> Result<Written, WriteError> {
        if let Some(fault) = self
            .faults
            .iter_mut()
            .find(|fault| fault.role == role && fault.times > 0)
        {
            fault.times -= 1;
            return Err(error(fault.kind, "on purpose"));
        }
        if write.subresource == Subresource::Eviction {
            return self.evict(&write.target.name);
        }
        let key = (write.target.kind.clone(), write.target.name.clone());
        if let (Some(version), Some(object)) = (&write.precondition, self.objects.get(&key))
            && object["metadata"]["resourceVersion"] != json!(version)
        {
            return Err(error(
                WriteErrorKind::Conflict,
                "the object has been modified",
            ));
        }
        match &write.edit {
            Edit::Create(body) => {
                if self.objects.contains_key(&key) {
                    return Err(error(WriteErrorKind::AlreadyExists, "already exists"));
                }
                self.create(&key, body);
            }
            Edit::MergePatch(patch) => {
                if !self.objects.contains_key(&key) {
                    return Err(error(WriteErrorKind::NotFound, "not found"));
                }
                let changed = self.patch(
                    &key.0,
                    &key.1,
                    patch,
                    write.subresource == Subresource::Status,
                );
                assert!(changed, "a write that changes nothing: {write:?}");
            }
            Edit::Delete(_) => {
                if self.objects.remove(&key).is_none() {
                    return Err(error(WriteErrorKind::NotFound, "not found"));
                }
                return Ok(Written::default());
            }
            Edit::JsonPatch(_) => panic!("no part of a Rollout writes JSON patches"),
        }
        let metadata = &self.objects[&key]["metadata"];
        Ok(Written {
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            resource_version: metadata["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            ..Written::default()
        })
    }

    fn create(&mut self, key: &(String, String), body: &Value) {
        self.created += 1;
        let mut object = body.clone();
        let created = api::Time(self.now).truncated();
        object["metadata"]["uid"] = json!(format!("uid-{}-{}", key.1, self.created));
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = json!(created.to_string());
        if key.0 == "ReplicaSet" {
            let hash = object["metadata"]["labels"][keys::POD_TEMPLATE_HASH]
                .as_str()
                .unwrap()
                .to_owned();
            if !self.hashes.contains(&hash) {
                self.hashes.push(hash);
            }
            let defaulted = default_template(&object["spec"]["template"]);
            object["spec"]["template"] = defaulted;
        }
        self.objects.insert(key.clone(), object);
        self.touch(key);
    }

    fn look(&mut self, query: &Query) -> Looked {
        let answer = match query {
            Query::DefaultedTemplate { source, .. } => {
                let template = self.spec()["template"].clone();
                assert_eq!(
                    *source,
                    hash::template_source(&template),
                    "asked for another template"
                );
                self.looked
                    .retain(|other, _| !matches!(other, Query::DefaultedTemplate { .. }));
                if self.look_fails {
                    Looked::Failed("the API server is away".to_owned())
                } else if self.template_refused {
                    let message = "spec.template.spec.containers[0].image: Required value";
                    Looked::Template(Defaulted::Invalid(message.to_owned()))
                } else if self.dry_run_denied {
                    let message = "admission webhook \"policy\" does not support dry run";
                    Looked::Template(Defaulted::Denied(message.to_owned()))
                } else {
                    let identity = template::identity(&default_template(&template), None);
                    Looked::Template(Defaulted::Identity(identity))
                }
            }
            Query::Uncached(object) => {
                let key = (object.kind.clone(), object.name.clone());
                Looked::Object(self.objects.get(&key).cloned().map(Arc::new))
            }
            Query::Pods { replica_set, .. } => self.list_pods(replica_set),
            Query::Object(_) => panic!("nobody asks for {query:?} yet"),
        };
        self.looked.insert(query.clone(), answer.clone());
        answer
    }

    // === the plugin host and the router

    /// Starts, keeps and cancels jobs as the plan says. Returns whether something new was asked.
    fn follow_calls(&mut self, plan: &Plan) -> bool {
        let wanted: BTreeSet<Slot> = plan.calls().map(|call| call.slot.clone()).collect();
        self.jobs.retain(|slot, _| wanted.contains(slot));
        let mut asked = false;
        for call in plan.calls() {
            let known = self.jobs.get(&call.slot);
            let keep = known.is_some_and(|kept| {
                let stale = matches!(
                    self.job(kept).state,
                    JobState::Finished { fresh: false, .. }
                );
                kept.job.key == call.key() && (kept.at_work || !stale)
            });
            if keep {
                continue;
            }
            asked = true;
            let stale = known
                .filter(|kept| kept.job.key == call.key())
                .map(|kept| kept.job.state.clone());
            let job = Job {
                slot: call.slot.clone(),
                key: call.key(),
                due: call.due,
                started: self.now,
                reported: false,
                // The old answer stands until there is a new one.
                state: stale.unwrap_or(JobState::Running),
            };
            let kept = Kept {
                call: call.clone(),
                job,
                read: None,
                at_work: true,
            };
            self.jobs.insert(call.slot.clone(), kept);
        }
        asked
    }

    /// A job with its freshness now.
    fn job(&self, kept: &Kept) -> Job {
        let mut job = kept.job.clone();
        if let JobState::Finished { fresh, .. } = &mut job.state {
            *fresh = kept.read == self.routes_version();
        }
        job
    }

    fn routes_version(&self) -> Option<String> {
        let routes = self
            .objects
            .get(&("VirtualService".to_owned(), "routes".to_owned()))?;
        routes["metadata"]["resourceVersion"]
            .as_str()
            .map(str::to_owned)
    }

    /// Every job at work gets its answer, unless the router hangs. Returns whether there was one.
    fn router_answers(&mut self) -> bool {
        let mut answered = false;
        let slots: Vec<Slot> = self.jobs.keys().cloned().collect();
        for slot in slots {
            let kept = &self.jobs[&slot];
            if !kept.at_work {
                continue;
            }
            let Some(reply) = self.reply(&kept.call) else {
                continue;
            };
            let read = self.routes_version();
            let now = self.now;
            let kept = self.jobs.get_mut(&slot).unwrap();
            kept.read = read;
            kept.at_work = false;
            answered = true;
            kept.job.reported = false;
            kept.job.state = JobState::Finished {
                at: now,
                reply: Arc::new(reply),
                fresh: true,
            };
        }
        answered
    }

    fn reply(&self, call: &PluginCall) -> Option<Reply> {
        match (&call.ask, &self.router) {
            (_, Router::Hangs) => None,
            (Ask::Check, _) => Some(self.check.clone().map_or(Reply::Usable, Reply::Refused)),
            (Ask::Route(_), Router::Fails) => Some(Reply::Refused(Refusal {
                disposition: Disposition::Retry,
                field: None,
                reason: "Refused".to_owned(),
                message: "the mesh is away".to_owned(),
                again_at: None,
                metadata: BTreeMap::new(),
                notices: Vec::new(),
            })),
            (Ask::Route(_), Router::Traps) => Some(Reply::Broken {
                reason: "Trapped".to_owned(),
                message: "unreachable".to_owned(),
            }),
            (Ask::Route(Some(traffic)), router) => {
                Some(Reply::Routed(self.route(call, traffic, router)))
            }
            (Ask::Route(None), _) => Some(Reply::Routed(self.let_go(call))),
            other => panic!("nobody asks {other:?}"),
        }
    }

    /// Takes the hashes off the router's object, if they are its own, and the weights back where the block names it.
    fn let_go(&self, call: &PluginCall) -> Routed {
        let ours = call.slot.plugin.name == "istio";
        let routes = self.object("VirtualService", "routes");
        let mut wanted = json!({ "canary": { "hash": null }, "stable": { "hash": null } });
        if !call.config.is_null() {
            let weights = json!({ "canary": { "weight": 0 }, "stable": { "weight": 100 } });
            merge(&mut wanted, &weights);
        }
        let mut patched = routes["spec"].clone();
        merge(&mut patched, &wanted);
        let held = ours && patched != routes["spec"];
        let write = held.then(|| Write {
            target: ObjectKey::namespaced(
                "networking.istio.io/v1",
                "VirtualService",
                NAMESPACE,
                "routes",
            ),
            edit: Edit::MergePatch(json!({ "spec": wanted })),
            subresource: Subresource::None,
            precondition: self.routes_version(),
            reason: if call.config.is_null() {
                "take the hashes off".to_owned()
            } else {
                "let go".to_owned()
            },
        });
        Routed {
            effects: Effects {
                writes: write.into_iter().collect(),
                ..Effects::default()
            },
            verification: Verification::NotSupported,
            status: None,
        }
    }

    fn route(&self, call: &PluginCall, traffic: &Traffic, router: &Router) -> Routed {
        assert_eq!(
            traffic.stable.weight + traffic.canary.weight,
            traffic.total_weight,
            "weights do not add up"
        );
        let by_subset = call.config.get("destinationRule").is_some();
        let destination = |of: &crate::plugin::Destination| {
            let hash = if by_subset { of.pod_hash.clone() } else { None };
            json!({ "weight": of.weight, "service": of.service, "hash": hash })
        };
        let some = |routes: &[Value]| (!routes.is_empty()).then(|| routes.to_vec());
        let wanted = json!({
            "canary": destination(&traffic.canary), "stable": destination(&traffic.stable),
            "headers": some(&traffic.header_routes), "mirrors": some(&traffic.mirror_routes),
        });
        // Each router has its own place.
        let wanted = match call.slot.plugin.name.as_str() {
            "istio" => wanted,
            other => json!({ other: wanted }),
        };
        let routes = self.object("VirtualService", "routes");
        let mut patched = routes["spec"].clone();
        merge(&mut patched, &wanted);
        let mut writes = Vec::new();
        if patched != routes["spec"] {
            writes.push(Write {
                target: ObjectKey::namespaced(
                    "networking.istio.io/v1",
                    "VirtualService",
                    NAMESPACE,
                    "routes",
                ),
                edit: Edit::MergePatch(json!({ "spec": wanted })),
                subresource: Subresource::None,
                precondition: self.routes_version(),
                reason: format!(
                    "canary {}, stable {}",
                    traffic.canary.weight, traffic.stable.weight
                ),
            });
        }
        let verification = match router {
            Router::Verifies => Verification::InEffect,
            Router::Lags => Verification::Pending("the data path lags".to_owned()),
            _ => Verification::NotSupported,
        };
        Routed {
            effects: Effects {
                writes,
                ..Effects::default()
            },
            verification,
            status: None,
        }
    }

    // === what no write of ours may do (I8)

    pub fn sets(&self) -> impl Iterator<Item = &Value> {
        let first = ("ReplicaSet".to_owned(), String::new());
        self.objects
            .range(first..)
            .take_while(|((kind, _), _)| kind == "ReplicaSet")
            .map(|(_, set)| set)
    }

    pub fn available(&self) -> i32 {
        self.sets().map(|set| self.available_of(set)).sum()
    }

    /// Available pods of a set, whatever its numbers show.
    pub fn available_of(&self, set: &Value) -> i32 {
        let name = set["metadata"]["name"].as_str().unwrap();
        let hidden = self.hidden.get(name).map_or(0, |hidden| hidden.gone);
        int(&set["status"]["availableReplicas"]) - hidden
    }

    /// Fewer pods are gone at once, unready ones first.
    fn kill_pods(&mut self, write: &Write) {
        if write.target.kind != "ReplicaSet" {
            return;
        }
        let Some(set) = self
            .objects
            .get(&("ReplicaSet".to_owned(), write.target.name.clone()))
        else {
            return;
        };
        let size = int(&set["spec"]["replicas"]);
        let gone = self.available_of(set) - size;
        if gone > 0 {
            self.lose(&write.target.name, gone);
        }
    }

    /// So many available pods of a set are gone, which its numbers show now or later.
    pub fn lose(&mut self, set: &str, gone: i32) {
        if self.numbers_lag > 0 {
            let hidden = self.hidden.entry(set.to_owned()).or_insert(Hidden {
                gone: 0,
                passes: self.numbers_lag,
            });
            hidden.gone += gone;
            return;
        }
        let key = ("ReplicaSet".to_owned(), set.to_owned());
        if let Some(set) = self.objects.get_mut(&key) {
            let left = int(&set["status"]["availableReplicas"]) - gone;
            set["status"]["availableReplicas"] = json!(left);
            set["status"]["readyReplicas"] = json!(left);
        }
    }

    /// A pass later: numbers that were late show what is gone.
    fn numbers_arrive(&mut self) {
        let lag = std::mem::take(&mut self.numbers_lag);
        for (set, mut hidden) in std::mem::take(&mut self.hidden) {
            hidden.passes -= 1;
            if hidden.passes == 0 {
                self.lose(&set, hidden.gone);
                self.touch(&("ReplicaSet".to_owned(), set));
            } else {
                self.hidden.insert(set, hidden);
            }
        }
        self.numbers_lag = lag;
    }

    /// Destinations that get traffic and have no available pod, and weight beyond what pods can serve.
    pub fn harm(&self) -> BTreeSet<String> {
        let mut harm = BTreeSet::new();
        let spec = self.spec();
        let replicas = spec["replicas"]
            .as_i64()
            .map_or(1, |_| int(&spec["replicas"]));
        if replicas == 0 {
            return harm;
        }
        let available = |hash: &str| -> i32 {
            let sets = self
                .sets()
                .filter(|set| set["metadata"]["labels"][keys::POD_TEMPLATE_HASH] == hash);
            sets.map(|set| self.available_of(set)).sum()
        };
        let selected = |name: &str| {
            let service = self.objects.get(&("Service".to_owned(), name.to_owned()))?;
            service["spec"]["selector"][keys::POD_TEMPLATE_HASH].as_str()
        };
        // With dynamicStableScale the stable set may end where it gets no traffic (CAN-023).
        let routes = self
            .objects
            .get(&("VirtualService".to_owned(), "routes".to_owned()));
        let unused = spec["strategy"]["canary"]["dynamicStableScale"] == json!(true)
            && routes.is_some_and(|routes| routes["spec"]["stable"]["weight"] == json!(0));
        // Without a router pods are the split, and sets go whatever selects them, as upstream has it (CAN-007).
        let canary = &spec["strategy"]["canary"];
        let unrouted = !canary.is_null() && canary["trafficRouting"].is_null();
        for name in named_services(spec) {
            if let Some(hash) = selected(&name)
                && name != "preview"
                && !(unused && name == "stable")
                && !unrouted
                && available(hash) == 0
            {
                harm.insert(format!(
                    "Service {name} selects {hash}, which has no available pod"
                ));
            }
        }
        let Some(routes) = routes else {
            return harm;
        };
        // A router that has not let go in time is waited for no longer.
        let annotations = &self.object("Rollout", "web")["metadata"]["annotations"];
        let record = annotations[keys::ROUTERS].as_str();
        let given_up = record.is_some_and(|record| record.contains(r#""late":true"#));
        for part in ["canary", "stable"] {
            let route = &routes["spec"][part];
            let weight = int(&route["weight"]);
            let by_service = route["service"].as_str().and_then(selected);
            let by_service = by_service.filter(|_| !unrouted);
            let by_hash = route["hash"].as_str().filter(|_| !given_up);
            let Some(hash) = by_hash.or(by_service) else {
                continue;
            };
            let available = available(hash);
            if weight > 0 && available == 0 {
                harm.insert(format!(
                    "the {part} route sends traffic to {hash}, which has no available pod"
                ));
            }
            let fits = weight * replicas / 100 <= available;
            if weight > 0 && !fits && !self.scale_is_explicit {
                harm.insert(format!(
                    "the {part} route sends {hash} more than its pods can serve"
                ));
            }
        }
        harm
    }

    fn assert_harmless(&self, before: &BTreeSet<String>, available: i32, write: &Write) {
        let rollout = self.object("Rollout", "web");
        let (spec, status) = (&rollout["spec"], &rollout["status"]);
        let after = self.harm();
        let mut new: Vec<&String> = after.difference(before).collect();
        // An abort goes back to the stable set whatever its pods do.
        if status["abort"] == json!(true) || !status["abortedAt"].is_null() {
            let stable = status["stableRS"].as_str().unwrap_or_default();
            new.retain(|harm| !harm.contains(stable));
        }
        assert!(
            new.is_empty(),
            "{}: {} ({}) does harm (I8): {new:?}",
            self.story,
            write.target,
            write.reason
        );
        let canary = &spec["strategy"]["canary"];
        if canary.is_null() || !canary["trafficRouting"].is_null() {
            return;
        }
        let rollout = self.rollout();
        let replicas = rollout.spec.replicas();
        let (surge, unavailable) = crate::rollout::counts::surge_and_unavailable(
            &rollout.spec.max_surge(),
            &rollout.spec.max_unavailable(),
            replicas,
        );
        let now = self.available();
        assert!(
            now >= available.min(replicas - unavailable),
            "{}: {} ({}) leaves {now} available pods (I8)",
            self.story,
            write.target,
            write.reason
        );
        let words = write
            .reason
            .split(' ')
            .filter_map(|word| word.parse::<i32>().ok());
        let grew = write.reason.contains("scale from")
            && matches!(words.collect::<Vec<_>>()[..], [from, to] if to > from);
        let wanted: i32 = self.sets().map(|set| int(&set["spec"]["replicas"])).sum();
        assert!(
            !grew || wanted <= replicas + surge,
            "{}: {} makes {wanted} pods (I8)",
            self.story,
            write.target
        );
    }
}

fn error(kind: WriteErrorKind, message: &str) -> WriteError {
    WriteError {
        kind,
        message: message.to_owned(),
    }
}

/// The weights of every call add up to the whole.
fn check_weights(plan: &Plan) {
    for call in plan.calls() {
        if let Ask::Route(Some(traffic)) = &call.ask {
            assert_eq!(
                traffic.canary.weight + traffic.stable.weight,
                traffic.total_weight
            );
        }
    }
}

fn is_wait(line: &str) -> bool {
    line.starts_with("wait ") || line.starts_with("again ")
}

pub(super) fn int(value: &Value) -> i32 {
    value
        .as_i64()
        .map_or(0, |number| i32::try_from(number).unwrap())
}

/// A pod template as an API server completes it.
pub(super) fn default_template(template: &Value) -> Value {
    let mut template = template.clone();
    let spec = template["spec"].as_object_mut().unwrap();
    for (name, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        spec.entry(name).or_insert(value);
    }
    for container in spec["containers"].as_array_mut().unwrap() {
        let container = container.as_object_mut().unwrap();
        for (name, value) in [
            ("imagePullPolicy", json!("IfNotPresent")),
            ("resources", json!({})),
            ("terminationMessagePath", json!("/dev/termination-log")),
        ] {
            container.entry(name).or_insert(value);
        }
    }
    template["metadata"]["creationTimestamp"] = Value::Null;
    template
}

/// Every Service that a specification names.
fn named_services(spec: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for block in ["canary", "blueGreen"] {
        for field in [
            "activeService",
            "previewService",
            "stableService",
            "canaryService",
        ] {
            names.extend(spec["strategy"][block][field].as_str().map(str::to_owned));
        }
    }
    names
}

/// As the cluster crate trims it.
fn replica_set(body: &Value) -> ReplicaSet {
    let metadata: api::ObjectMeta = serde_json::from_value(body["metadata"].clone()).unwrap();
    let ephemeral = metadata.annotations.get(keys::EPHEMERAL_METADATA).cloned();
    let failure = body["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "ReplicaFailure");
    ReplicaSet {
        replicas: int(&body["spec"]["replicas"]),
        min_ready_seconds: int(&body["spec"]["minReadySeconds"]),
        template: template::identity(&body["spec"]["template"], ephemeral.as_deref()),
        status_replicas: int(&body["status"]["replicas"]),
        ready: int(&body["status"]["readyReplicas"]),
        available: int(&body["status"]["availableReplicas"]),
        observed_generation: body["status"]["observedGeneration"].as_i64().unwrap_or(0),
        failure: failure.map(|failure| serde_json::from_value(failure.clone()).unwrap()),
        metadata,
    }
}

fn service(body: &Value) -> Service {
    Service {
        metadata: serde_json::from_value(body["metadata"].clone()).unwrap(),
        selector: serde_json::from_value(body["spec"]["selector"].clone()).unwrap(),
    }
}

/// RFC 7386.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let fields = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

//! What is there, and how it reads.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sluice_api as api;

use super::{NAMESPACE, START, World};
use crate::keys;
use crate::plugin::{PluginInfo, PluginKind, PluginName};

impl World {
    /// A router plugin of this name is loaded.
    pub fn provide(&mut self, name: &str) {
        self.plugins.insert(
            PluginName {
                kind: PluginKind::TrafficRouter,
                name: name.to_owned(),
            },
            PluginInfo {
                digest: format!("sha256:{name}"),
                capabilities: ["header-routes", "mirror-routes", "max-weight", "pod-counts"]
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

    pub(super) fn spec(&self) -> &Value {
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

    pub fn set_name(&self, revision: usize) -> String {
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

    pub(super) fn relative(&self, time: Timestamp) -> String {
        let start: Timestamp = START.parse().unwrap();
        let millis = time.duration_since(start).as_millis();
        format!(
            "{}.{:01}s",
            millis.div_euclid(1000),
            millis.rem_euclid(1000) / 100
        )
    }
}

pub(super) fn int(value: &Value) -> i32 {
    value
        .as_i64()
        .map_or(0, |number| i32::try_from(number).unwrap())
}

/// RFC 7386.
pub(in crate::rollout::tests) fn merge(target: &mut Value, patch: &Value) {
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

//! What the cluster does by itself: ReplicaSets, their pods, the clock.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::objects::{int, merge};
use super::{Hidden, World};
use crate::plan::Write;

impl World {
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
        let ended = (phase != "Running").then(|| sluice_api::Time(self.now).truncated());
        for name in names {
            self.patch(
                "AnalysisRun",
                &name,
                &json!({ "status": { "phase": phase, "completedAt": ended } }),
                false,
            );
        }
    }

    /// ReplicaSets get as many pods as they are to have; ready ones are removed last.
    pub(super) fn replica_set_controller(&mut self) {
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
            let number = |field: &str| {
                if ready {
                    size
                } else {
                    int(&before[field]).min(size)
                }
            };
            set["status"] = json!({
                "replicas": size,
                "readyReplicas": number("readyReplicas"),
                "availableReplicas": number("availableReplicas"),
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

    /// Fewer pods are gone at once, unready ones first.
    pub(super) fn kill_pods(&mut self, write: &Write) {
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
    pub(super) fn numbers_arrive(&mut self) {
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
}

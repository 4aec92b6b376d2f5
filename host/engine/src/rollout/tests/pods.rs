//! Pods of the story world, for restarts: who is there since when, and what an eviction does.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_api as api;

use super::world::{LivePod, World};
use crate::observed::{Looked, Pod};
use crate::plan::{WriteError, WriteErrorKind, Written};

impl World {
    /// Every set has as many pods as it is to have: new ones are young, and the last ones go first.
    pub(super) fn keep_pods(&mut self) {
        let mut kept = std::mem::take(&mut self.pods);
        let mut next = kept
            .values()
            .flatten()
            .filter_map(|pod| pod.name.rsplit('-').next()?.parse::<usize>().ok())
            .max()
            .unwrap_or(0);
        for ((kind, name), set) in &self.objects {
            if kind != "ReplicaSet" {
                continue;
            }
            let wanted = set["spec"]["replicas"].as_u64().unwrap_or(0) as usize;
            let mut pods = kept.remove(name).unwrap_or_default();
            pods.truncate(wanted);
            while pods.len() < wanted {
                next += 1;
                pods.push(LivePod {
                    name: format!("{name}-{next}"),
                    created: self.now,
                });
            }
            self.pods.insert(name.clone(), pods);
        }
    }

    /// What a list of the pods of a set says.
    pub(super) fn list_pods(&self, set: &str) -> Looked {
        let status = &self.object("ReplicaSet", set)["status"];
        let ready = status["availableReplicas"].as_u64().unwrap_or(0) as usize;
        let pods = self.pods.get(set).into_iter().flatten();
        let pods = pods.enumerate().map(|(index, pod)| {
            let created = api::Time(pod.created).truncated();
            Arc::new(Pod {
                metadata: serde_json::from_value(json!({
                    "name": pod.name, "namespace": "shop", "creationTimestamp": created.to_string(),
                }))
                .unwrap(),
                ready: index < ready,
                ready_since: None,
            })
        });
        Looked::Pods(pods.collect())
    }

    /// The pod is gone at once; its set makes another one after the pass.
    pub(super) fn evict(&mut self, name: &str) -> Result<Written, WriteError> {
        if self.budget == Some(0) {
            return Err(WriteError {
                kind: WriteErrorKind::Refused,
                message: "Cannot evict pod as it would violate the pod's disruption budget."
                    .to_owned(),
            });
        }
        if let Some(budget) = &mut self.budget {
            *budget -= 1;
        }
        let (set, index) = self
            .pods
            .iter()
            .find_map(|(set, pods)| {
                let index = pods.iter().position(|pod| pod.name == name)?;
                Some((set.clone(), index))
            })
            .unwrap_or_else(|| panic!("no pod {name}"));
        self.pods.get_mut(&set).unwrap().remove(index);
        let key = ("ReplicaSet".to_owned(), set);
        let status = &mut self.objects.get_mut(&key).unwrap()["status"];
        let available = status["availableReplicas"].as_u64().unwrap_or(0);
        if (index as u64) < available {
            status["availableReplicas"] = json!(available - 1);
            status["readyReplicas"] = json!(available - 1);
        }
        self.touch(&key);
        Ok(Written::default())
    }

    /// An eviction leaves as many pods as may be expected (RST-002).
    pub(super) fn assert_evictable(&self, before: i32) {
        let rollout = self.rollout();
        let unavailable = crate::rollout::counts::share_of(
            &rollout.spec.max_unavailable(),
            rollout.spec.replicas(),
            false,
        );
        let floor = rollout.spec.replicas() - unavailable.max(1);
        let left = self.available();
        assert!(
            left >= floor.min(before),
            "an eviction leaves {left} of {floor} pods (I8)"
        );
    }

    /// Seconds since the story began of every pod of a revision, youngest first.
    pub(super) fn ages(&self, revision: usize) -> Vec<i64> {
        let name = format!("web-{}", self.hash(revision));
        let pods = self.pods.get(&name).into_iter().flatten();
        let mut ages: Vec<i64> = pods
            .map(|pod| self.now.duration_since(pod.created).as_secs())
            .collect();
        ages.sort_unstable();
        ages
    }

    /// `kubectl argo rollouts restart` (CLI-008).
    pub(super) fn ask_for_restart(&mut self, at: Value) {
        self.edit(json!({ "restartAt": at }));
    }
}

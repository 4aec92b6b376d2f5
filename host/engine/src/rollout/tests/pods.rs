//! Pods of the story world, for restarts: who is there since when, and what an eviction does.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_api as api;

use super::world::{LivePod, World};
use crate::keys;
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
            // Whoever makes the others has not seen yet that some are gone.
            if self.hidden.contains_key(name) {
                let pods = kept.remove(name).unwrap_or_default();
                self.pods.insert(name.clone(), pods);
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
        let ready = self.available_of(self.object("ReplicaSet", set));
        let ready = usize::try_from(ready).unwrap();
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
            return Err(WriteError::new(
                WriteErrorKind::Refused,
                "Cannot evict pod as it would violate the pod's disruption budget.",
            ));
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
        let available = self.available_of(self.object("ReplicaSet", &set));
        if index < usize::try_from(available).unwrap() {
            self.lose(&set, 1);
        }
        self.touch(&("ReplicaSet".to_owned(), set));
        Ok(Written::default())
    }

    /// An eviction leaves as many pods as may be expected (RST-002), and every set that carries traffic one of several.
    pub(super) fn assert_evictable(&self, harm: &BTreeSet<String>, before: i32) {
        let after = self.harm();
        let mut harm: Vec<&String> = after.difference(harm).collect();
        harm.retain(|harm| harm.ends_with("no available pod"));
        for set in self.sets().filter(|set| set["spec"]["replicas"] == 1) {
            let hash = set["metadata"]["labels"][keys::POD_TEMPLATE_HASH].as_str();
            harm.retain(|harm| !harm.contains(hash.unwrap()));
        }
        assert!(
            harm.is_empty(),
            "{}: an eviction does harm (I8): {harm:?}",
            self.story
        );
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
            "{}: an eviction leaves {left} of {floor} pods (I8)",
            self.story
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

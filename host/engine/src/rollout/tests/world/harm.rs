//! What no write of ours may do (I8).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::World;
use super::objects::int;
use crate::keys;
use crate::plan::Write;
use crate::rollout::counts;

/// Pods that may be unavailable are missing.
const STRAINED: &str = "is sent more than its pods can serve while some may be unavailable";

impl World {
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

    /// The hash of the newest revision.
    fn newest(&self) -> Option<&str> {
        let revision = |set: &&Value| {
            let annotation = set["metadata"]["annotations"][keys::REVISION].as_str();
            annotation.and_then(|text| text.parse::<i64>().ok())
        };
        let set = self.sets().max_by_key(revision)?;
        set["metadata"]["labels"][keys::POD_TEMPLATE_HASH].as_str()
    }

    /// Whether the template is again that of a stable set which is older than the one with the share.
    fn goes_back(&self) -> bool {
        let rollout = self.object("Rollout", "web");
        let status = &rollout["status"];
        let created = |hash: Option<&str>| {
            let set = self
                .sets()
                .find(|set| set["metadata"]["labels"][keys::POD_TEMPLATE_HASH].as_str() == hash);
            set.and_then(|set| set["metadata"]["creationTimestamp"].as_str())
        };
        let stable = status["stableRS"].as_str();
        let carrier = status["canary"]["weights"]["canary"]["podTemplateHash"].as_str();
        stable == self.newest() && created(stable) < created(carrier)
    }

    fn surge_and_unavailable(&self) -> (i32, i32) {
        let spec = self.rollout().spec;
        counts::surge_and_unavailable(&spec.max_surge(), &spec.max_unavailable(), spec.replicas())
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
        // Nor does it matter where a canary without a share ends that the steps leave without pods.
        let emptied = self.scale_is_explicit
            && routes.is_some_and(|routes| int(&routes["spec"]["canary"]["weight"]) == 0);
        // Without a router pods are the split, and sets go whatever selects them, as upstream has it (CAN-007).
        let canary = &spec["strategy"]["canary"];
        let unrouted = !canary.is_null() && canary["trafficRouting"].is_null();
        for name in named_services(spec) {
            if let Some(hash) = selected(&name)
                && name != "preview"
                && !(unused && name == "stable")
                && !(emptied && name == "canary")
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
        let mut shares: BTreeMap<&str, i32> = BTreeMap::new();
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
            *shares.entry(hash).or_default() += weight;
        }
        // Somebody is content with fewer pods.
        let content = !spec["strategy"]["canary"]["replicaProgressThreshold"].is_null();
        if self.scale_is_explicit || content {
            return harm;
        }
        let dynamic = spec["strategy"]["canary"]["dynamicStableScale"] == json!(true);
        let stable = self.object("Rollout", "web")["status"]["stableRS"].as_str();
        // Both routes may lead to one set.
        for (hash, share) in shares {
            // A quarter; or more where the set keeps its size.
            let missing = match (stable == Some(hash), dynamic) {
                (true, false) => self.surge_and_unavailable().1.max(replicas / 4).max(1),
                (true, true) => replicas / 4,
                (false, _) => 0,
            };
            let (needed, available) = (share * replicas / 100, available(hash));
            if needed.min(replicas - missing) > available {
                harm.insert(format!("{hash} is sent more than its pods can serve"));
            } else if needed > available {
                harm.insert(format!("{hash} {STRAINED}"));
            }
        }
        harm
    }

    pub(super) fn assert_harmless(&self, before: &BTreeSet<String>, available: i32, write: &Write) {
        let rollout = self.object("Rollout", "web");
        let (spec, status) = (&rollout["spec"], &rollout["status"]);
        let after = self.harm();
        let mut new: Vec<&String> = after.difference(before).collect();
        let dynamic = spec["strategy"]["canary"]["dynamicStableScale"] == json!(true);
        let carrier = status["canary"]["weights"]["canary"]["podTemplateHash"].as_str();
        let left_over = carrier.is_some_and(|hash| !hash.is_empty() && Some(hash) != self.newest());
        let unserved = before
            .iter()
            .any(|harm| harm.starts_with("the canary route") && harm.contains("no available pod"));
        // Routers may strain a stable set that was scaled down only with what is left over, or what nobody serves.
        if !dynamic || left_over || unserved || write.target.kind == "Service" {
            new.retain(|harm| !harm.ends_with(STRAINED));
        }
        // An abort goes back to a stable set that serves at all, and so do a user and a share that nobody serves.
        let aborted = status["abort"] == json!(true) || !status["abortedAt"].is_null();
        let taken = !dynamic && (aborted || unserved || self.goes_back());
        // A Service leaves a set that has no pods, or not enough, for one that has some.
        let left = write.target.kind == "Service"
            && before.iter().any(|harm| {
                harm.starts_with(&format!("Service {} selects", write.target.name))
                    || harm.ends_with("more than its pods can serve")
            });
        let stable = status["stableRS"].as_str().filter(|_| taken || left);
        let service = self
            .objects
            .get(&("Service".to_owned(), write.target.name.clone()));
        let selected = service
            .filter(|_| left)
            .and_then(|service| service["spec"]["selector"][keys::POD_TEMPLATE_HASH].as_str());
        for hash in stable.into_iter().chain(selected) {
            new.retain(|harm| !(harm.starts_with(hash) && harm.contains("more than its pods")));
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
        let (surge, unavailable) = self.surge_and_unavailable();
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

/// Every Service that a specification names.
pub(super) fn named_services(spec: &Value) -> Vec<String> {
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

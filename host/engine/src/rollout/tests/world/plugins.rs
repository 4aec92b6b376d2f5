//! The plugin host, and the router in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::objects::merge;
use super::{Kept, NAMESPACE, Router, World};
use crate::object::ObjectKey;
use crate::plan::{Edit, Plan, Severity, Subresource, Write};
use crate::plugin::{
    Ask, Disposition, Effects, Job, JobState, Notice, PluginCall, Refusal, Reply, Routed, Slot,
    Traffic, Verification,
};

/// What a router says that does not reach what it works on.
pub fn away(disposition: Disposition) -> Refusal {
    Refusal {
        disposition,
        field: None,
        reason: "Away".to_owned(),
        message: "the mesh is away".to_owned(),
        again_at: None,
        notices: Vec::new(),
        metadata: BTreeMap::new(),
    }
}

impl World {
    /// Starts, keeps and cancels jobs as the plan says. Returns whether something new was asked.
    pub(super) fn follow_calls(&mut self, plan: &Plan) -> bool {
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

    /// From now on the router says this to `check`.
    pub fn refuses(&mut self, router: &str, refusal: Refusal) {
        self.checks.insert(router.to_owned(), refusal);
    }

    /// A job with its freshness now.
    pub(super) fn job(&self, kept: &Kept) -> Job {
        let mut job = kept.job.clone();
        if let JobState::Finished { fresh, .. } = &mut job.state {
            *fresh = kept.read == self.routes_version();
        }
        job
    }

    pub(super) fn routes_version(&self) -> Option<String> {
        let routes = self
            .objects
            .get(&("VirtualService".to_owned(), "routes".to_owned()))?;
        routes["metadata"]["resourceVersion"]
            .as_str()
            .map(str::to_owned)
    }

    /// Every job at work gets its answer, unless the router hangs. Returns whether there was one.
    pub(super) fn router_answers(&mut self) -> bool {
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

    pub(super) fn reply(&self, call: &PluginCall) -> Option<Reply> {
        match (&call.ask, &self.router) {
            (_, Router::Hangs) => None,
            (Ask::Check, _) => {
                let refusal = self.checks.get(&call.slot.plugin.name);
                Some(refusal.cloned().map_or(Reply::Usable, Reply::Refused))
            }
            (Ask::Route(_), Router::Fails) => Some(Reply::Refused(away(Disposition::Retry))),
            (Ask::Route(_), Router::Tells) => {
                let told = Notice {
                    severity: Severity::Normal,
                    reason: "MeshAway".to_owned(),
                    message: "the mesh is on holiday".to_owned(),
                };
                Some(Reply::Refused(Refusal {
                    notices: vec![told],
                    ..away(Disposition::Retry)
                }))
            }
            (Ask::Route(_), Router::Traps) => Some(Reply::Broken {
                reason: "Trapped".to_owned(),
                message: "unreachable".to_owned(),
            }),
            (Ask::Route(Some(traffic)), Router::Awaits) if self.misses_pods(traffic) => {
                Some(Reply::Refused(away(Disposition::Retry)))
            }
            (Ask::Route(Some(traffic)), router) => {
                Some(Reply::Routed(self.route(call, traffic, router)))
            }
            (Ask::Route(None), _) => Some(Reply::Routed(self.let_go(call))),
            other => panic!("nobody asks {other:?}"),
        }
    }

    /// A subset that gets traffic is to select other pods, and not all of them are there.
    fn misses_pods(&self, traffic: &Traffic) -> bool {
        let routes = self.object("VirtualService", "routes");
        [("canary", &traffic.canary), ("stable", &traffic.stable)]
            .into_iter()
            .filter(|(_, set)| set.weight > 0 && set.available_pods < set.desired_pods)
            .filter(|(subset, _)| *subset == "stable" || !traffic.returning_to_stable)
            .any(|(subset, set)| routes["spec"][subset]["hash"].as_str() != set.pod_hash.as_deref())
    }

    /// Takes the hashes off the router's object, if they are its own, and the weights back where the block names it.
    pub(super) fn let_go(&self, call: &PluginCall) -> Routed {
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

    pub(super) fn route(&self, call: &PluginCall, traffic: &Traffic, router: &Router) -> Routed {
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
}

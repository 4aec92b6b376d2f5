//! What the events of a history do.

use std::time::Duration;

use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_simulation::{Fault, Match, Refusal, Rule, Verb};
use tokio::time::Instant;

use super::draw;
use super::history::{Role, Target, Trouble, WatchTrouble, What};
use super::scene::{NAME, NAMESPACE, is_main};
use super::world::{World, rollout_kind};

/// What comes back by itself.
#[derive(Clone, Debug)]
pub(super) enum Repair {
    /// An object that somebody has deleted.
    Recreate(Box<Value>),
    /// A pod's annotation.
    Heal(String),
}

/// How long a client that gave up on an answer has waited for it.
const GIVES_UP: Duration = Duration::from_secs(12);
/// When the time of a watch is over: one that is half open is noticed then.
const WATCHED: Duration = Duration::from_secs(310);

impl World<'_> {
    pub(super) async fn perform(&mut self, what: &What) {
        let now = self.simulation.now();
        self.court.note_act(now, what);
        // What a user writes may be refused, as it may be anywhere: then it has not happened.
        let refused = match what {
            What::Release { version, fate } => self.patch(draw::release_patch(*version, *fate)),
            What::Steps(steps) => {
                self.patch(json!({ "spec": { "strategy": { "canary": { "steps": steps } } } }))
            }
            What::Scale(count) => self.patch(json!({ "spec": { "replicas": count } })),
            What::Promote => {
                self.promote();
                Ok(())
            }
            What::PromoteFull => self.patch_status(json!({ "promoteFull": true })),
            What::SkipAll => self.skip(None),
            What::SkipOne => self.skip(Some(1)),
            What::Abort => self.patch_status(json!({ "abort": true })),
            What::Retry => self.patch_status(json!({ "abort": false })),
            What::RestartPods => self.patch(json!({ "spec": { "restartAt": now.to_string() } })),
            What::Hold(paused) => self.patch(json!({ "spec": { "paused": paused } })),
            What::KillPod(which) => self.with_pod(*which, |world, name| {
                world.simulation.delete(&kind_of("Pod"), NAMESPACE, name)
            }),
            What::SickPod(which, time) => {
                let back = Instant::now() + *time;
                self.with_pod(*which, |world, name| {
                    let sick = json!({ "simulation.sluice.dev/never-ready": "true" });
                    let patch = json!({ "metadata": { "annotations": sick } });
                    let done =
                        world
                            .simulation
                            .patch_merge(&kind_of("Pod"), NAMESPACE, name, patch);
                    world.repairs.push((back, Repair::Heal(name.to_owned())));
                    done.map(drop)
                })
            }
            What::Metrics(mood) => {
                self.backend.set(*mood);
                Ok(())
            }
            What::DeleteSet(role) => self.with_set(*role, |world, name| {
                world
                    .simulation
                    .delete(&kind_of("ReplicaSet"), NAMESPACE, name)
            }),
            What::ResizeSet(role, to) => self.with_set(*role, |world, name| {
                let patch = json!({ "spec": { "replicas": to } });
                let set = kind_of("ReplicaSet");
                world
                    .simulation
                    .patch_merge(&set, NAMESPACE, name, patch)
                    .map(drop)
            }),
            What::Unannotate(role) => self.with_set(*role, |world, name| {
                let patch = json!({ "metadata": { "annotations": null } });
                let set = kind_of("ReplicaSet");
                world
                    .simulation
                    .patch_merge(&set, NAMESPACE, name, patch)
                    .map(drop)
            }),
            What::Repoint(role) if self.history.scene.subsets => self.relabel(*role),
            What::Repoint(role) => {
                let patch =
                    json!({ "spec": { "selector": { "rollouts-pod-template-hash": null } } });
                let service = self.service(*role);
                self.simulation
                    .patch_merge(&kind_of("Service"), NAMESPACE, service, patch)
                    .map(drop)
            }
            What::LoseService(time) if self.history.scene.subsets => {
                self.lose("DestinationRule", NAME, *time)
            }
            What::LoseService(time) => {
                let name = self.service(Role::New);
                self.lose("Service", name, *time)
            }
            What::LoseRoutes(time) => self.lose("VirtualService", NAME, *time),
            What::EditWeight(weight) => self.edit_weight(*weight),
            What::DeleteRun => self.delete_run(),
            fault => {
                self.go_wrong(fault).await;
                Ok(())
            }
        };
        if let Err(refusal) = refused {
            self.tell(&format!("  refused: {refusal}"));
        }
    }

    async fn go_wrong(&mut self, what: &What) {
        let now = Instant::now();
        match what {
            What::Requests(trouble, target, time, percent) => {
                let rule = Rule::new(matching(*trouble, *target), fault(*trouble));
                let percent = u16::try_from(*percent).unwrap_or(100);
                let rule = rule.chance(percent.saturating_mul(10));
                let id = self.simulation.faults().add(rule);
                self.rules.push((now + *time, id));
                let after = match trouble {
                    // A watch that is opened meanwhile stays slow.
                    Trouble::Slow(_) => WATCHED,
                    // Each write of the pass that is under way is given up on, one after the other.
                    Trouble::AnswerLost => GIVES_UP * 6,
                    _ => GIVES_UP * 2,
                };
                let (now, time) = (self.simulation.now(), *time + after);
                match trouble {
                    Trouble::StaleLists => self.court.sent_back(now, time),
                    _ => self.court.disturbed(now, time),
                }
            }
            What::Watches(trouble, plural) => {
                let faults = self.simulation.faults();
                let which = Match::any().resource(*plural);
                match trouble {
                    WatchTrouble::Closed => faults.close_watches(&which),
                    WatchTrouble::Broken => faults.break_watches(&which),
                    WatchTrouble::HalfOpen => faults.stall_watches(&which),
                    WatchTrouble::Expired => faults.expire_watches(&which),
                    WatchTrouble::Forgotten => {
                        faults.forget_history(&kind_of(kind_name(plural)));
                        faults.break_watches(&which)
                    }
                    WatchTrouble::Refused => {
                        let again = which.clone().verbs([Verb::Watch]);
                        faults.add(Rule::new(again, Fault::Gone).once());
                        faults.break_watches(&which)
                    }
                    WatchTrouble::Outdated => {
                        let lists = which.clone().verbs([Verb::List]);
                        faults.add(Rule::new(lists, Fault::StaleList { changes: 3 }).once());
                        // What is forgotten could not be listed either.
                        faults.expire_watches(&which)
                    }
                };
                let blind = match trouble {
                    WatchTrouble::HalfOpen => WATCHED,
                    // Until the watch is back, after waits that grow.
                    _ => Duration::from_secs(40),
                };
                match trouble {
                    WatchTrouble::Outdated => self.court.sent_back(self.simulation.now(), blind),
                    _ => self.court.disturbed(self.simulation.now(), blind),
                }
            }
            What::Plugin(name, how, time) => self.misbehaving.until(name, *how, now + *time),
            What::Crash(when) => {
                let leader = self.leader();
                self.court
                    .disturbed(self.simulation.now(), Duration::from_secs(30));
                if let Some(place) = self.places.get_mut(leader) {
                    place.kill_at(&self.given, *when).await;
                }
            }
            What::Replace => {
                let leader = self.leader();
                // It ends its passes first; then its successor begins.
                self.court
                    .disturbed(self.simulation.now(), Duration::from_secs(30));
                if let Some(place) = self.places.get_mut(leader) {
                    // It finishes what it has begun, while time passes.
                    place.stop().await;
                }
            }
            What::LeaseUnreachable(time) => {
                let which = Match::any().resource("leases");
                // Half of the time only the leader is cut off, and the other one takes over while it still works.
                let which = match time.as_millis() % 2 {
                    0 => which.client(self.court.lease_holder()),
                    _ => which,
                };
                let rule = Rule::new(which, Fault::Status(500));
                let id = self.simulation.faults().add(rule);
                self.rules.push((now + *time, id));
                self.court
                    .disturbed(self.simulation.now(), *time + Duration::from_secs(30));
            }
            What::LeaseStolen => {
                let lease = GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease");
                let time = self.simulation.now().to_string();
                let patch = json!({ "spec": {
                    "holderIdentity": "somebody-else",
                    "acquireTime": time,
                    "renewTime": time,
                } });
                let name = sluice_cluster::lease::lease_name(None);
                let taken = self.simulation.patch_merge(&lease, NAMESPACE, &name, patch);
                if let Err(refusal) = taken {
                    self.tell(&format!("  refused: {refusal}"));
                }
                self.court
                    .disturbed(self.simulation.now(), Duration::from_secs(60));
            }
            _ => {}
        }
    }

    /// Where the controller is that leads, or works without a lease.
    fn leader(&self) -> usize {
        let holder = self.court.lease_holder();
        self.places
            .iter()
            .position(|place| place.is_running() && place.name == holder)
            .unwrap_or(0)
    }

    pub(super) fn mend(&mut self, repair: Repair) {
        let done = match repair {
            Repair::Recreate(object) => {
                // What was there before is not what controllers left.
                let again = What::LoseRoutes(Duration::ZERO);
                self.court.note_act(self.simulation.now(), &again);
                self.simulation.create(*object).map(drop)
            }
            Repair::Heal(pod) => {
                let well = json!({ "simulation.sluice.dev/never-ready": null });
                let patch = json!({ "metadata": { "annotations": well } });
                self.simulation
                    .patch_merge(&kind_of("Pod"), NAMESPACE, &pod, patch)
                    .map(drop)
            }
        };
        if let Err(refusal) = done {
            // The pod may be gone, and somebody may have made the object anew.
            tracing::debug!(%refusal, "nothing to mend");
        }
    }

    /// As `kubectl argo rollouts promote` writes it (CLI-005).
    pub(super) fn promote(&mut self) {
        let Some(rollout) = self.rollout() else {
            return;
        };
        let paused = rollout
            .pointer("/status/pauseConditions")
            .and_then(Value::as_array)
            .is_some_and(|pauses| !pauses.is_empty());
        if rollout.pointer("/spec/paused") == Some(&json!(true)) {
            let _ = self.patch(json!({ "spec": { "paused": false } }));
        }
        let now = self.simulation.now();
        self.court.note_act(now, &What::Promote);
        let status = if paused {
            json!({ "pauseConditions": null })
        } else {
            let Some(index) = rollout
                .pointer("/status/currentStepIndex")
                .and_then(Value::as_i64)
            else {
                return;
            };
            let steps = rollout
                .pointer("/spec/strategy/canary/steps")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let next = usize::try_from(index)
                .unwrap_or(0)
                .saturating_add(1)
                .min(steps);
            json!({ "pauseConditions": null, "currentStepIndex": next })
        };
        let _ = self.patch_status(status);
    }

    /// As `kubectl argo rollouts promote --skip-current-step` writes it, or, without a count, `--skip-all-steps` (CLI-007).
    fn skip(&mut self, count: Option<usize>) -> Result<(), Refusal> {
        let Some(rollout) = self.rollout() else {
            return Ok(());
        };
        let steps = rollout.pointer("/spec/strategy/canary/steps");
        let steps = steps.and_then(Value::as_array).map_or(0, Vec::len);
        if steps == 0 {
            return Ok(());
        }
        let index = rollout.pointer("/status/currentStepIndex");
        let index = index.and_then(Value::as_u64).unwrap_or(0);
        let index = usize::try_from(index).unwrap_or(steps);
        let next = count.map_or(steps, |count| index.saturating_add(count).min(steps));
        self.patch_status(json!({ "currentStepIndex": next }))
    }

    /// A subset loses its hash.
    fn relabel(&mut self, role: Role) -> Result<(), Refusal> {
        let kind = kind_of("DestinationRule");
        let Some(rule) = self.simulation.get(&kind, NAMESPACE, NAME) else {
            return Ok(());
        };
        let index = usize::from(role == Role::New);
        let mut subsets = rule.pointer("/spec/subsets").cloned().unwrap_or_default();
        if let Some(labels) = subsets.pointer_mut(&format!("/{index}/labels")) {
            *labels = json!({ "app": NAME });
        }
        let patch = json!({ "spec": { "subsets": subsets } });
        self.simulation
            .patch_merge(&kind, NAMESPACE, NAME, patch)
            .map(drop)
    }

    fn edit_weight(&mut self, weight: i32) -> Result<(), Refusal> {
        let kind = kind_of("VirtualService");
        let Some(routes) = self.simulation.get(&kind, NAMESPACE, NAME) else {
            return Ok(());
        };
        let mut http = routes.pointer("/spec/http").cloned().unwrap_or_default();
        let main = http
            .as_array_mut()
            .and_then(|http| http.iter_mut().find(|route| is_main(route)));
        if let Some(main) = main {
            for (index, share) in [100 - weight, weight].into_iter().enumerate() {
                if let Some(weight) = main.pointer_mut(&format!("/route/{index}/weight")) {
                    *weight = share.into();
                }
            }
        }
        let patch = json!({ "spec": { "http": http } });
        self.simulation
            .patch_merge(&kind, NAMESPACE, NAME, patch)
            .map(drop)
    }

    fn delete_run(&mut self) -> Result<(), Refusal> {
        let kind = kind_of("AnalysisRun");
        let newest = self
            .simulation
            .list(&kind, Some(NAMESPACE))
            .into_iter()
            .max_by_key(|run| name_of(run, "/metadata/creationTimestamp"));
        match newest {
            Some(run) => self
                .simulation
                .delete(&kind, NAMESPACE, &name_of(&run, "/metadata/name")),
            None => Ok(()),
        }
    }

    fn lose(&mut self, kind: &str, name: &str, time: Duration) -> Result<(), Refusal> {
        let gvk = kind_of(kind);
        let original = self
            .history
            .scene
            .objects
            .iter()
            .find(|object| {
                object.get("kind") == Some(&json!(kind))
                    && name_of(object, "/metadata/name") == name
            })
            .cloned();
        let deleted = self.simulation.delete(&gvk, NAMESPACE, name);
        if let (Ok(()), Some(object)) = (&deleted, original) {
            let back = Instant::now() + time;
            self.repairs
                .push((back, Repair::Recreate(Box::new(object))));
        }
        deleted
    }

    fn service(&self, role: Role) -> &'static str {
        let names: Vec<&'static str> = ["canary", "preview", "active", "stable"]
            .into_iter()
            .filter(|name| {
                self.history
                    .scene
                    .objects
                    .iter()
                    .any(|object| name_of(object, "/metadata/name") == *name)
            })
            .collect();
        let chosen = if role == Role::New {
            names.first()
        } else {
            names.last()
        };
        chosen.copied().unwrap_or("none")
    }

    fn with_pod(
        &mut self,
        which: u32,
        act: impl FnOnce(&mut Self, &str) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let pods = self.simulation.list(&kind_of("Pod"), Some(NAMESPACE));
        let Some(index) = usize::try_from(which).ok().filter(|_| !pods.is_empty()) else {
            return Ok(());
        };
        match pods.get(index % pods.len()) {
            Some(pod) => act(self, &name_of(pod, "/metadata/name")),
            None => Ok(()),
        }
    }

    fn with_set(
        &mut self,
        role: Role,
        act: impl FnOnce(&mut Self, &str) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let hash = |path: &str| {
            self.rollout()
                .map(|rollout| name_of(&rollout, path))
                .unwrap_or_default()
        };
        let wanted = match role {
            Role::New => hash("/status/currentPodHash"),
            Role::Stable => hash("/status/stableRS"),
            Role::Old => String::new(),
        };
        let sets = self
            .simulation
            .list(&kind_of("ReplicaSet"), Some(NAMESPACE));
        let found = if role == Role::Old {
            sets.iter()
                .min_by_key(|set| name_of(set, "/metadata/creationTimestamp"))
        } else {
            sets.iter()
                .find(|set| name_of(set, "/metadata/labels/rollouts-pod-template-hash") == wanted)
        };
        match found {
            Some(set) => act(self, &name_of(set, "/metadata/name")),
            None => Ok(()),
        }
    }

    fn patch(&mut self, patch: Value) -> Result<(), Refusal> {
        self.simulation
            .patch_merge(&rollout_kind(), NAMESPACE, NAME, patch)
            .map(drop)
    }

    fn patch_status(&mut self, status: Value) -> Result<(), Refusal> {
        let patch = json!({ "status": status });
        self.simulation
            .patch_status(&rollout_kind(), NAMESPACE, NAME, patch)
            .map(drop)
    }
}

fn matching(trouble: Trouble, target: Target) -> Match {
    match (trouble, target) {
        (Trouble::StaleLists, _) => Match::any().verbs([Verb::List]),
        (_, Target::Everything) => Match::any(),
        (_, Target::Writes) => Match::any().writes(),
        (_, Target::WritesOf(plural)) => Match::any().writes().resource(plural),
    }
}

fn fault(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Conflict => Fault::Conflict,
        Trouble::Refused500 => Fault::Status(500),
        Trouble::Overloaded => Fault::Status(429),
        Trouble::Lost => Fault::Disconnect,
        Trouble::AnswerLost => Fault::TimeoutAfterEffect(GIVES_UP),
        Trouble::ToldFailure => Fault::StatusAfterEffect(504),
        Trouble::Slow(time) => Fault::Latency(time),
        Trouble::StaleLists => Fault::StaleList { changes: 3 },
    }
}

/// The kinds of histories by name.
pub(super) fn kind_of(name: &str) -> GroupVersionKind {
    match name {
        "Rollout" | "AnalysisRun" => GroupVersionKind::gvk("argoproj.io", "v1alpha1", name),
        "ReplicaSet" => GroupVersionKind::gvk("apps", "v1", name),
        "VirtualService" | "DestinationRule" => {
            GroupVersionKind::gvk("networking.istio.io", "v1alpha3", name)
        }
        _ => GroupVersionKind::gvk("", "v1", name),
    }
}

fn kind_name(plural: &str) -> &'static str {
    match plural {
        "rollouts" => "Rollout",
        "replicasets" => "ReplicaSet",
        "analysisruns" => "AnalysisRun",
        "virtualservices" => "VirtualService",
        "destinationrules" => "DestinationRule",
        _ => "Service",
    }
}

fn name_of(object: &Value, path: &str) -> String {
    object
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

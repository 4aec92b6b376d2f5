//! Routers: what is asked of them, what they answered, and whether the split is known to be in force.

use serde_json::Value;
use sluice_api as api;

use super::goal::Weights;
use super::pass::Pass;
use super::planner::{Meaning, Planner};
use super::valid::{Router, subject};
use crate::hash::CallKey;
use crate::object::Subject;
use crate::observed::ReplicaSet;
use crate::plan::{Requeue, Role, Write};
use crate::planted::{self, Bug};
use crate::plugin::{
    Answer, Ask, Destination, Disposition, Function, JobState, PluginCall, PluginInfo, PluginKind,
    PluginName, Plugins, Reply, Slot, Traffic, Verification,
};
use crate::report::Report;

/// What every router of the Rollout has said about the wanted split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Routing {
    /// What was asked of them.
    pub wanted: api::TrafficWeights,
    /// Routes by header that were asked for.
    pub header_routes: Vec<Value>,
    /// Mirrored routes that were asked for.
    pub mirror_routes: Vec<Value>,
    /// One for each router.
    pub routers: Vec<Answered>,
    /// When to ask again although nothing changes.
    pub again: Requeue,
}

/// What one router has said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answered {
    /// Nothing yet, or nothing that still holds.
    NotYet,
    /// It cannot; the message is for an event.
    Failed(String),
    /// It has an answer.
    Plan {
        /// It has changes, which are in the plan.
        changes: bool,
        /// Whether the split is in effect.
        verification: Verification,
        /// Fragment of the status.
        status: Option<Value>,
    },
}

impl Routing {
    /// Every router answered without changes: what is wanted is in force, as far as it can be known.
    pub fn in_force(&self) -> Result<(), String> {
        for answered in &self.routers {
            match answered {
                Answered::NotYet => return Err("a router has not answered yet".to_owned()),
                Answered::Failed(message) => return Err(format!("a router failed: {message}")),
                Answered::Plan { changes: true, .. } => {
                    return Err("a router's changes are not applied yet".to_owned());
                }
                Answered::Plan {
                    verification: Verification::Pending(why),
                    ..
                } => return Err(format!("the weight is not verified: {why}")),
                Answered::Plan { .. } => {}
            }
        }
        Ok(())
    }

    /// What the status may say after this pass: the wanted split once every router's changes are applied. `applied`
    /// says so of a router by its position.
    pub fn settled(&self, applied: impl Fn(usize) -> bool) -> Option<api::TrafficWeights> {
        let mut weights = self.wanted.clone();
        let mut verified: Option<bool> = None;
        for (index, answered) in self.routers.iter().enumerate() {
            let Answered::Plan {
                changes,
                verification,
                ..
            } = answered
            else {
                return None;
            };
            if *changes && !applied(index) && !planted::is(Bug::WeightFromWish) {
                return None;
            }
            match verification {
                // With changes just applied nobody can have verified them yet.
                Verification::InEffect if *changes => verified = Some(false),
                Verification::InEffect => verified = Some(verified.unwrap_or(true)),
                Verification::Pending(_) => verified = Some(false),
                Verification::NotSupported => {}
            }
        }
        weights.verified = verified;
        Some(weights)
    }
}

/// Asks every router for the wanted split and plans the changes that they answered with.
pub(crate) fn plan(
    pass: &Pass<'_>,
    weights: &Weights,
    planner: &mut Planner,
    report: &mut Report,
) -> Routing {
    if let Some(why) = &weights.held {
        report.wait("the traffic weight", why.clone());
    }
    let routers = pass.valid.routers.iter();
    let calls = routers.map(|router| call(pass, router, weights)).collect();
    ask(pass, weights, calls, planner, report)
}

fn ask(
    pass: &Pass<'_>,
    weights: &Weights,
    calls: Vec<Option<(PluginCall, Option<jiff::Timestamp>)>>,
    planner: &mut Planner,
    report: &mut Report,
) -> Routing {
    let mut routing = Routing {
        wanted: wanted(weights),
        header_routes: weights.header_routes.clone(),
        mirror_routes: weights.mirror_routes.clone(),
        routers: Vec::new(),
        again: Requeue::OnChange,
    };
    for (index, call) in calls.into_iter().enumerate() {
        let Some((call, again)) = call else {
            routing.routers.push(Answered::NotYet);
            continue;
        };
        let name = call.slot.plugin.name.clone();
        if let Some(time) = again {
            routing.again = routing.again.or_at(time);
        }
        let (answered, writes) = answered(&pass.seen.plugins, &call, false);
        for write in writes {
            planner.write(Role::Route, write, Meaning::Routed(index));
        }
        match &answered {
            Answered::NotYet => report.wait(format!("router {name}"), "its answer"),
            Answered::Failed(message) => report.wait(format!("router {name}"), message.clone()),
            Answered::Plan {
                verification: Verification::Pending(why),
                ..
            } => report.wait(format!("router {name}"), why.clone()),
            Answered::Plan { .. } => {}
        }
        routing.routers.push(answered);
        planner.call(call);
    }
    routing
}

/// What a router has said to a call, and the changes that it wants. `releasing`: it was asked to let go.
pub(super) fn answered(
    plugins: &Plugins,
    call: &PluginCall,
    releasing: bool,
) -> (Answered, Vec<Write>) {
    let answered = match plugins.answer(call) {
        Answer::Fresh(Reply::Routed(routed), _) => {
            let writes = routed.effects.writes.clone();
            let answered = Answered::Plan {
                changes: !writes.is_empty(),
                verification: routed.verification.clone(),
                status: routed.status.clone(),
            };
            return (answered, writes);
        }
        // One that cannot do without its configuration would be waited for in vain.
        Answer::Fresh(Reply::Refused(refusal), _)
            if releasing && refusal.disposition != Disposition::Retry =>
        {
            Answered::Plan {
                changes: false,
                verification: Verification::NotSupported,
                status: None,
            }
        }
        Answer::Fresh(Reply::Refused(refusal), _) => Answered::Failed(refusal.message.clone()),
        Answer::Fresh(Reply::Broken { reason, message }, _) => {
            let name = &call.slot.plugin.name;
            Answered::Failed(format!("{name}: {reason}: {message}"))
        }
        Answer::None | Answer::Running | Answer::Stale(_) | Answer::Fresh(..) => Answered::NotYet,
    };
    (answered, Vec::new())
}

/// The call that asks a router to let go of a Rollout, and when it is due again; None where nobody provides it.
pub(super) fn release_call(
    plugins: &Plugins,
    subject: &Subject,
    now: jiff::Timestamp,
    name: &str,
    config: Value,
) -> Option<(PluginCall, Option<jiff::Timestamp>)> {
    let name = PluginName {
        kind: PluginKind::TrafficRouter,
        name: name.to_owned(),
    };
    let digest = plugins.loaded.get(&name)?.digest.clone();
    let slot = Slot {
        plugin: name,
        function: Function::Reconcile,
        part: String::new(),
    };
    let (due, again) = plugins.due(&slot, now);
    let call = PluginCall {
        subject: subject.clone(),
        slot,
        digest,
        config,
        ask: Ask::Route(None),
        due,
        secrets: Vec::new(),
    };
    Some((call, again))
}

/// The call for one router; None where nobody provides it.
fn call(
    pass: &Pass<'_>,
    router: &Router,
    weights: &Weights,
) -> Option<(PluginCall, Option<jiff::Timestamp>)> {
    let info = pass
        .seen
        .plugins
        .find(router.name.kind, &router.name.name)?;
    let slot = Slot {
        plugin: router.name.clone(),
        function: Function::Reconcile,
        part: String::new(),
    };
    let (due, again) = pass.seen.plugins.due(&slot, pass.now());
    let call = PluginCall {
        subject: subject(pass.raw),
        slot,
        digest: info.digest.clone(),
        config: router.config.clone(),
        ask: Ask::Route(Some(traffic(pass, weights, info))),
        due,
        secrets: Vec::new(),
    };
    Some((call, again))
}

/// Capabilities of routers, as manifests declare them. What a router does not know it is not told.
mod capability {
    /// How many pods each share has. Without it, nobody is called again whenever a pod comes or goes.
    pub const POD_COUNTS: &str = "pod-counts";
    pub const HEADER_ROUTES: &str = "header-routes";
    pub const MIRROR_ROUTES: &str = "mirror-routes";
    /// A total other than 100.
    pub const MAX_WEIGHT: &str = "max-weight";
}

/// Whether a router can split into so many parts.
pub(crate) fn knows_total(info: &PluginInfo, total: i32) -> bool {
    total == 100 || info.capabilities.contains(capability::MAX_WEIGHT)
}

fn traffic(pass: &Pass<'_>, weights: &Weights, info: &PluginInfo) -> Traffic {
    let can = |capability: &str| info.capabilities.contains(capability);
    let counts = can(capability::POD_COUNTS);
    let routes = |capability: &str, routes: &[Value]| {
        if can(capability) {
            routes.to_vec()
        } else {
            Vec::new()
        }
    };
    let destination = |service: &Option<String>, hash: &str, weight: i32, enough: Option<i32>| {
        let set = pass.sets.by_hash(hash).filter(|_| counts);
        let pods = |number: i32| u32::try_from(number).unwrap_or(0);
        // A set that is not there yet, or has not been asked for any pod, serves no request: that of a first revision, while
        // it is paused.
        let served = counts && !hash.is_empty() && weight > 0 && pass.replicas() > 0;
        let least = i32::from(served);
        Destination {
            service: service.clone(),
            pod_hash: (!hash.is_empty()).then(|| hash.to_owned()),
            weight: pods(weight),
            desired_pods: pods(set.map_or(least, |set| awaited(set, enough).max(least))),
            available_pods: set.map_or(0, |set| pods(set.available)),
        }
    };
    let managed = pass
        .raw
        .spec
        .strategy
        .canary
        .as_ref()
        .and_then(|canary| canary.traffic_routing.as_ref())
        .map(|routing| {
            routing
                .managed_routes
                .iter()
                .map(|route| route.name.clone())
                .collect()
        })
        .unwrap_or_default();
    Traffic {
        total_weight: u32::try_from(weights.max).unwrap_or(100),
        stable: destination(
            &weights.stable_service,
            &weights.stable_hash,
            weights.max.saturating_sub(weights.canary),
            weights.stable_pods,
        ),
        canary: destination(
            &weights.canary_service,
            &weights.canary_hash,
            weights.canary,
            weights.canary_pods,
        ),
        additional: Vec::new(),
        header_routes: routes(capability::HEADER_ROUTES, &weights.header_routes),
        mirror_routes: routes(capability::MIRROR_ROUTES, &weights.mirror_routes),
        managed_routes: managed,
        returning_to_stable: pass.aborted() || pass.is_rolling_back_dynamically(),
    }
}

/// Pods of a set that a share waits for. Where none is missing nothing is waited for, and what would be enough changes no call.
fn awaited(set: &ReplicaSet, enough: Option<i32>) -> i32 {
    let missing = set.available < set.replicas;
    let enough = enough.filter(|_| missing);
    enough.map_or(set.replicas, |enough| set.replicas.min(enough))
}

/// The split as the status records it (ST-018).
fn wanted(weights: &Weights) -> api::TrafficWeights {
    let destination = |weight: i32, service: &Option<String>, hash: &str| api::WeightDestination {
        weight,
        service_name: service.clone().unwrap_or_default(),
        pod_template_hash: hash.to_owned(),
    };
    api::TrafficWeights {
        canary: destination(
            weights.canary,
            &weights.canary_service,
            &weights.canary_hash,
        ),
        stable: destination(
            weights.max.saturating_sub(weights.canary),
            &weights.stable_service,
            &weights.stable_hash,
        ),
        additional: Vec::new(),
        verified: None,
    }
}

/// Replies that no pass has reported yet, with what is to be said about them: notices of plugins, and failures.
pub(crate) fn unreported(
    seen: &crate::observed::Observed,
) -> Vec<(Slot, CallKey, Vec<crate::plugin::Notice>)> {
    use crate::plan::Severity;
    use crate::plugin::Notice;
    let mut found = Vec::new();
    let kept = kept(seen);
    for job in seen.plugins.jobs.iter().filter(|job| !job.reported) {
        let JobState::Finished { reply, .. } = &job.state else {
            continue;
        };
        let warning = |reason: &str, message: String| Notice {
            severity: Severity::Warning,
            reason: reason.to_owned(),
            message,
        };
        let notices = match reply.as_ref() {
            Reply::Routed(routed) => routed.effects.notices.clone(),
            Reply::Refused(refusal) => {
                let mut notices = refusal.notices.clone();
                for notice in &mut notices {
                    notice.message.push_str(&kept);
                }
                if notices.is_empty() && refusal.disposition != Disposition::InvalidConfig {
                    let message = format!("{}{kept}", refusal.message);
                    notices.push(warning(TRAFFIC_ROUTING_ERROR, message));
                }
                notices
            }
            Reply::Broken { reason, message } => vec![warning(
                TRAFFIC_ROUTING_ERROR,
                format!(
                    "plugin {} failed: {reason}: {message}{kept}",
                    job.slot.plugin.name
                ),
            )],
            Reply::Usable
            | Reply::Measured(_)
            | Reply::Waiting(_)
            | Reply::Stepped(_)
            | Reply::Verified { .. } => Vec::new(),
        };
        found.push((job.slot.clone(), job.key.clone(), notices));
    }
    found
}

/// What an abort keeps for as long as a router fails: nobody who looks at an aborted Rollout expects its canary in traffic.
pub(in crate::rollout) fn kept(seen: &crate::observed::Observed) -> String {
    let status = &seen.rollout.status;
    let weights = status.canary.weights.as_ref().filter(|_| status.abort);
    match weights.map_or(0, |weights| weights.canary.weight) {
        0 => String::new(),
        weight => format!("; weight {weight} is unconfirmed, and the pods that it goes to stay"),
    }
}

/// Upstream's reason for a router that failed (EVT-015).
pub(in crate::rollout) const TRAFFIC_ROUTING_ERROR: &str = "TrafficRoutingError";

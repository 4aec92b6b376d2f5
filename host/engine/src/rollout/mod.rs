//! Rollouts: `validate`, `decide`, `settle`.

mod affinity;
mod blue_green;
mod canary;
mod claims;
mod conditions;
mod counts;
mod departed;
mod duration;
mod goal;
mod identity;
mod leave;
mod order;
mod pass;
mod phase;
mod planner;
mod progress;
mod record;
mod restart;
mod runs;
mod scale;
mod services;
mod sets;
mod settle;
mod start;
mod steps;
mod traffic;
mod valid;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::json;
use sluice_api as api;

pub use departed::{Departed, Parted, decide_departed, settle_departed};
pub use phase::phase;
pub use record::{Record, Recorded, named_routers, record};
pub use settle::{Settled, settle};
pub use steps::{Step, display as step_display};
pub use valid::{FieldError, FieldErrors, Problem, Router, Strategy, ValidRollout, validate};

use claims::Claims;
use goal::Goal;
use pass::Pass;
use planner::{Meaning, Planner};
use sets::NewSet;

use crate::observed::{Observed, ReplicaSet};
use crate::plan::{Edit, Plan, Requeue, Role, Subresource, Write};
use crate::report::Report;

/// What a pass wants done, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The actions.
    pub plan: Plan,
    /// The reasons.
    pub report: Report,
    /// What `settle` needs to know to count the outcome.
    course: Course,
}

/// What the actions of a plan mean once they have succeeded.
#[derive(Clone, Debug, Default, PartialEq)]
struct Course {
    meanings: BTreeMap<usize, Meaning>,
    routing: Option<traffic::Routing>,
    leaving: leave::Leaving,
    again: Requeue,
}

/// Decides what is to be done. Total: every specification and every state has an answer.
pub fn decide(spec: &Result<ValidRollout, FieldErrors>, seen: &Observed) -> Decision {
    let mut planner = Planner::default();
    let mut report = Report::default();
    let mut course = Course::default();
    let mut aborted = false;
    match spec {
        Err(errors) => course.again = decide_invalid(errors, seen, &mut planner, &mut report),
        Ok(valid) => {
            let again = check_routers(valid, seen, &mut planner, &mut report);
            match Pass::new(valid, seen) {
                None => {
                    look(valid, seen, &mut planner, &mut report);
                    if abort_counts(&seen.rollout) {
                        restore_stable(seen, &mut planner);
                    }
                }
                Some(pass) => {
                    aborted = pass.aborted();
                    if pass.held.is_some() {
                        look(valid, seen, &mut planner, &mut report);
                    }
                    course = decide_valid(&pass, &mut planner, &mut report);
                }
            }
            course.again = course.again.earliest(again);
        }
    }
    let (plan, meanings) = planner.finish(aborted);
    course.meanings = meanings;
    Decision {
        plan,
        report,
        course,
    }
}

/// One pass over a usable Rollout: the strategy says what it wants, then each part plans its own.
fn decide_valid(pass: &Pass<'_>, planner: &mut Planner, report: &mut Report) -> Course {
    let goal = goal(pass);
    let leaving = leave::plan(pass, planner, report);
    subject(pass, &leaving, planner);
    start::plan(pass, &goal, planner, report);
    let routing = match &goal.weights {
        // A router whose configuration is not known to be usable is not asked to change anything.
        Some(weights) if pass.valid.unchecked.is_empty() && pass.sets.stable.is_some() => {
            Some(traffic::plan(pass, weights, planner, report))
        }
        Some(_) | None => None,
    };
    services::plan(pass, &goal, planner, report);
    let again = scale::plan(pass, &goal, routing.as_ref(), &leaving, planner, report);
    let again = again.earliest(leaving.again);
    let again = again.earliest(restart::plan(pass, &goal, planner, report));
    let again = routing
        .as_ref()
        .map_or(again, |routing| again.earliest(routing.again));
    Course {
        meanings: BTreeMap::new(),
        routing,
        leaving,
        again,
    }
}

fn goal(pass: &Pass<'_>) -> Goal {
    match &pass.valid.strategy {
        Strategy::Canary(canary) => canary::goal(pass, canary),
        Strategy::BlueGreen(blue_green) => blue_green::goal(pass, blue_green),
    }
}

/// The checks of all routers stay in the plan, so that an object that appears or changes is noticed. Returns when to
/// look again although nothing changes.
fn check_routers(
    valid: &ValidRollout,
    seen: &Observed,
    planner: &mut Planner,
    report: &mut Report,
) -> Requeue {
    for name in &valid.unchecked {
        report.wait(format!("router {name}"), "its check of the configuration");
    }
    call_checks(&valid.rollout, &valid.routers, seen, planner)
}

fn call_checks(
    raw: &api::Rollout,
    routers: &[Router],
    seen: &Observed,
    planner: &mut Planner,
) -> Requeue {
    let mut requeue = Requeue::OnChange;
    for router in routers {
        if let Some((call, again)) = valid::check_call(raw, router, seen) {
            planner.call(call);
            requeue = again.map_or(requeue, |time| requeue.or_at(time));
        }
    }
    requeue
}

/// A specification that cannot be worked on: only what could make it usable again is asked for, and an abort still
/// brings the stable set up.
fn decide_invalid(
    errors: &FieldErrors,
    seen: &Observed,
    planner: &mut Planner,
    report: &mut Report,
) -> Requeue {
    report.wait("everything", errors.first.to_string());
    let again = call_checks(&seen.rollout, &errors.routers, seen, planner);
    let raw = &seen.rollout;
    if abort_counts(raw) {
        restore_stable(seen, planner);
        give_back(seen, planner);
    }
    again
}

/// Whether an abort has something to take back, as far as the status knows.
fn abort_counts(raw: &api::Rollout) -> bool {
    raw.status.abort && raw.status.stable_rs != raw.status.current_pod_hash
}

/// The set that the status calls stable.
fn stable_by_status(seen: &Observed) -> Option<&ReplicaSet> {
    let hash = &seen.rollout.status.stable_rs;
    seen.replica_sets
        .iter()
        .find(|set| !hash.is_empty() && set.hash() == hash)
        .map(AsRef::as_ref)
}

/// An abort brings the stable set up, whatever else is not known, and whoever has stopped the update.
fn restore_stable(seen: &Observed, planner: &mut Planner) {
    let raw = &seen.rollout;
    let Some(stable) = stable_by_status(seen) else {
        return;
    };
    let to = raw.spec.replicas().min(room(seen, stable));
    if stable.replicas < to {
        planner.write(
            Role::ScaleUp,
            Write {
                target: crate::object::ObjectKey::namespaced(
                    "apps/v1",
                    "ReplicaSet",
                    &raw.metadata.namespace,
                    &stable.metadata.name,
                ),
                edit: Edit::MergePatch(json!({
                    "metadata": { "annotations": { (crate::keys::DESIRED_REPLICAS): to.to_string() } },
                    "spec": { "replicas": to },
                })),
                subresource: Subresource::None,
                precondition: Some(stable.metadata.resource_version.clone()),
                reason: format!("scale from {} to {to} for an abort", stable.replicas),
            },
            Meaning::Scaled {
                name: stable.metadata.name.clone(),
                revision: runs::revision_of(stable),
                from: stable.replicas,
                to,
            },
        );
    }
}

/// How many pods a set may have beside the others. Only without a router the surge says so.
fn room(seen: &Observed, set: &ReplicaSet) -> i32 {
    let spec = &seen.rollout.spec;
    let Some(canary) = &spec.strategy.canary else {
        return i32::MAX;
    };
    if canary.traffic_routing.is_some() {
        return i32::MAX;
    }
    let (surge, _) =
        counts::surge_and_unavailable(&spec.max_surge(), &spec.max_unavailable(), spec.replicas());
    let others = seen.replica_sets.iter();
    let others = others.filter(|other| other.metadata.uid != set.metadata.uid);
    let others = counts::sum(others.map(|other| other.replicas));
    counts::room(spec.replicas(), surge, others).max(set.replicas)
}

/// An abort points the Service through which the update gets its traffic at the stable set: that of the canary, which is how
/// traffic gets away from it without a router, or the active one. A stable set that was scaled down has most of its pods first.
fn give_back(seen: &Observed, planner: &mut Planner) {
    let raw = &seen.rollout;
    let strategy = &raw.spec.strategy;
    let (service, enough) = match (&strategy.canary, &strategy.blue_green) {
        (Some(canary), _) if canary.dynamic_stable_scale => (
            &canary.canary_service,
            counts::most(raw.spec.replicas()).max(1),
        ),
        (Some(canary), _) => (&canary.canary_service, 1),
        (None, Some(blue_green)) => (&blue_green.active_service, 1),
        (None, None) => return,
    };
    let Some(stable) = stable_by_status(seen) else {
        return;
    };
    if stable.available < enough {
        return;
    }
    // Only a Service that selects the set of the update: any other is not ours to judge while the specification is invalid.
    let service = seen.services.get(service).and_then(Option::as_ref);
    let current = &raw.status.current_pod_hash;
    if let Some(service) = service.filter(|service| {
        !current.is_empty()
            && current != stable.hash()
            && service.selected_hash() == Some(current.as_str())
            && service.metadata.annotations.get(crate::keys::MANAGED_BY) == Some(&raw.metadata.name)
    }) {
        services::point(raw, service, stable.hash(), planner);
    }
}

/// The API server has to be asked before anybody can say which set is which.
fn look(valid: &ValidRollout, seen: &Observed, planner: &mut Planner, report: &mut Report) {
    let claims = Claims::of(seen);
    if !claims.are_settled() {
        claims.plan(planner, report);
        return;
    }
    match sets::Sets::of(seen, valid.template.as_value()).new {
        NewSet::Unknown(queries) => {
            report.wait(
                "the new ReplicaSet",
                "what the API server says of the template",
            );
            for query in queries {
                planner.look(query);
            }
        }
        NewSet::Refused(message) => report.wait("the new ReplicaSet", message),
        NewSet::Found { .. } | NewSet::Missing { .. } => {}
    }
}

/// What the Rollout itself is to carry: a number of replicas for autoscalers (RO-001), its revision (REC-015), and its
/// routers.
fn subject(pass: &Pass<'_>, leaving: &leave::Leaving, planner: &mut Planner) {
    let raw = pass.raw;
    let mut patch = serde_json::Map::new();
    let mut annotations = serde_json::Map::new();
    if leaving.is_news {
        let text = record::text(&leaving.record);
        annotations.insert(crate::keys::ROUTERS.to_owned(), json!(text));
    }
    // The revision of a template that is not known is not known either.
    let known = pass.held.is_none();
    if known && raw.spec.replicas.is_none() {
        patch.insert(
            "spec".to_owned(),
            json!({ "replicas": raw.spec.replicas() }),
        );
    }
    let revised = known && sets::revision(&raw.metadata.annotations) != pass.revision;
    if revised {
        annotations.insert(
            crate::keys::REVISION.to_owned(),
            json!(pass.revision.to_string()),
        );
    }
    if !annotations.is_empty() {
        patch.insert("metadata".to_owned(), json!({ "annotations": annotations }));
    }
    if patch.is_empty() {
        return;
    }
    planner.write(
        Role::Subject,
        Write {
            target: valid::subject(raw).key,
            edit: Edit::MergePatch(patch.into()),
            subresource: Subresource::None,
            precondition: Some(raw.metadata.resource_version.clone()),
            reason: if revised {
                format!("revision {}", pass.revision)
            } else {
                "routers".to_owned()
            },
        },
        if revised {
            Meaning::Revised(pass.revision)
        } else {
            Meaning::Other
        },
    );
}

/// The call for which `subject` would be the subject.
pub fn subject_of(rollout: &api::Rollout) -> crate::object::Subject {
    valid::subject(rollout)
}

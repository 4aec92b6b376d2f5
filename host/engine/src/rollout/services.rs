//! Selectors of Services: who selects which set, and when that may change.

use serde_json::json;
use sluice_api as api;

use super::goal::{Goal, Readiness, Selector};
use super::order::{self, Move, Need};
use super::pass::Pass;
use super::planner::{Meaning, Planner};
use super::sets;
use crate::keys;
use crate::observed::Service;
use crate::plan::{Edit, Role, Subresource, Write};
use crate::planted::{self, Bug};
use crate::report::Report;

/// Plans the switches that are in order now (SVC-001, SVC-002).
pub(crate) fn plan(pass: &Pass<'_>, goal: &Goal, planner: &mut Planner, report: &mut Report) {
    if let Some(why) = goal.switches_halted {
        report.note(format!("Services are left as they are: {why}"));
        return;
    }
    for selector in &goal.selectors {
        let Some(service) = pass
            .seen
            .services
            .get(&selector.service)
            .and_then(Option::as_ref)
        else {
            continue;
        };
        let managed = service.metadata.annotations.contains_key(keys::MANAGED_BY);
        let selected = service.selected_hash();
        if selected == Some(selector.hash.as_str()) && managed {
            continue;
        }
        // A Service that selects the right set already only lacks the annotation.
        if selected != Some(selector.hash.as_str()) {
            let blocked = order::blocked(Move::PointService, |need| {
                holds(pass, selector, managed, need)
            });
            if let Some(why) = blocked {
                report.wait(format!("Service {}", selector.service), why);
                continue;
            }
        }
        point(pass.raw, service, &selector.hash, planner);
    }
}

/// Plans that a Service selects the set with this hash.
pub(crate) fn point(rollout: &api::Rollout, service: &Service, hash: &str, planner: &mut Planner) {
    planner.write(
        Role::Select,
        switch(rollout, service, hash),
        Meaning::Switched {
            service: service.metadata.name.clone(),
            from: service.selected_hash().unwrap_or_default().to_owned(),
            to: hash.to_owned(),
        },
    );
}

fn holds(pass: &Pass<'_>, selector: &Selector, managed: bool, need: Need) -> Result<(), String> {
    let Some(set) = pass.sets.by_hash(&selector.hash) else {
        // A set that this pass creates has no pods; only a preview may select it.
        return match (need, selector.readiness) {
            (
                Need::TargetReady,
                Readiness::Serving | Readiness::Available | Readiness::Saturated,
            ) => Err(format!("ReplicaSet {} does not exist yet", selector.hash)),
            (_, _) => Ok(()),
        };
    };
    // Pods of an older set must not stay for the sake of a Service that serves nobody.
    let serves_nobody = pass.serves_nobody();
    match need {
        Need::ShareFits if serves_nobody => Ok(()),
        Need::TargetReady => match selector.readiness {
            Readiness::None => Ok(()),
            Readiness::Serving | Readiness::Available if serves_nobody => Ok(()),
            Readiness::Serving if set.available >= 1 => Ok(()),
            Readiness::Available if managed && set.available >= 1 => Ok(()),
            Readiness::Available
                if !managed && set.replicas > 0 && set.available >= set.replicas =>
            {
                Ok(())
            }
            Readiness::Saturated if sets::is_saturated(set, pass.replicas()) => Ok(()),
            Readiness::Saturated if planted::is(Bug::SwitchUnsaturated) => Ok(()),
            Readiness::Serving | Readiness::Available | Readiness::Saturated => Err(format!(
                "ReplicaSet {} has {} of {} available pods",
                set.metadata.name, set.available, set.replicas
            )),
        },
        Need::ShareReturned if selector.shared && !serves_nobody => {
            Err("traffic leaves the previous canary first".to_owned())
        }
        Need::ShareFits if set.available < selector.enough => Err(format!(
            "ReplicaSet {} has {} of the {} available pods that its share of the traffic needs",
            set.metadata.name, set.available, selector.enough
        )),
        Need::ShareFits
        | Need::ShareReturned
        | Need::WeightConfirmed
        | Need::StableComplete
        | Need::NoTraffic
        | Need::Unreferenced
        | Need::EvictionsShown
        | Need::Spare
        | Need::SpareBesides
        | Need::AnotherServes
        | Need::ActiveSelects => Ok(()),
    }
}

fn switch(rollout: &api::Rollout, service: &Service, hash: &str) -> Write {
    Write {
        target: crate::object::ObjectKey::namespaced(
            "v1",
            "Service",
            &service.metadata.namespace,
            &service.metadata.name,
        ),
        edit: Edit::MergePatch(json!({
            "metadata": { "annotations": { (keys::MANAGED_BY): rollout.metadata.name } },
            "spec": { "selector": { (keys::POD_TEMPLATE_HASH): hash } },
        })),
        subresource: Subresource::None,
        precondition: Some(service.metadata.resource_version.clone()),
        reason: format!("select revision {hash}"),
    }
}

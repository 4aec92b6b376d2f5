//! The order of actions within a pass.

use serde_json::json;

use crate::object::ObjectKey;
use crate::plan::{Action, Edit, Query, Role, Subresource, Write};
use crate::rollout::order::prerequisites;
use crate::rollout::planner::{Meaning, Planner};

fn write(name: &str) -> Write {
    Write {
        target: ObjectKey::namespaced("v1", "Thing", "shop", name),
        edit: Edit::MergePatch(json!({})),
        subresource: Subresource::None,
        precondition: None,
        reason: name.to_owned(),
    }
}

/// Every role, last first, so that nothing is in order by chance.
fn planner() -> Planner {
    let mut planner = Planner::default();
    let roles = [
        Role::Retire,
        Role::ScaleDown,
        Role::Restart,
        Role::Select,
        Role::Route,
        Role::StopRun,
        Role::StartRun,
        Role::ScaleUp,
        Role::Annotate,
        Role::Subject,
        Role::CreateSet,
    ];
    for role in roles {
        let meaning = if role == Role::Route {
            Meaning::Routed(0)
        } else {
            Meaning::Other
        };
        planner.write(role, write(&format!("{role:?}")), meaning);
    }
    planner.look(Query::Object(ObjectKey::namespaced(
        "v1", "Thing", "shop", "x",
    )));
    planner
}

fn needed(plan: &crate::plan::Plan, role: Role) -> Vec<Role> {
    let planned = plan
        .actions
        .iter()
        .find(|planned| planned.role == role)
        .unwrap();
    planned
        .after
        .iter()
        .map(|index| plan.actions[*index].role)
        .collect()
}

// CAN-009, TRR-007, SVC-001: capacity before weight, Services before weight, weight before fewer pods.
#[test]
fn every_action_comes_after_what_it_needs() {
    let (plan, _) = planner().finish(false);
    for (index, planned) in plan.actions.iter().enumerate() {
        for needs in &planned.after {
            assert!(
                *needs < index,
                "{:?} comes before what it needs",
                planned.role
            );
        }
    }
    for rule in prerequisites() {
        assert!(
            needed(&plan, rule.of).contains(&rule.needs),
            "{:?} does not wait for {:?}: {}",
            rule.of,
            rule.needs,
            rule.prevents
        );
    }
    assert!(matches!(
        plan.actions.first().unwrap().action,
        Action::Look(_)
    ));
    assert_eq!(needed(&plan, Role::ScaleUp), []);
    assert_eq!(needed(&plan, Role::Route), [Role::Select]);
    assert_eq!(needed(&plan, Role::Select), [Role::CreateSet]);
    assert_eq!(
        needed(&plan, Role::ScaleDown),
        [Role::CreateSet, Role::ScaleUp, Role::Select, Role::Route]
    );
}

// TRR-002: an abort takes traffic back whatever else fails.
#[test]
fn an_abort_routes_without_waiting() {
    let (plan, _) = planner().finish(true);
    assert_eq!(needed(&plan, Role::Route), []);
    assert_eq!(needed(&plan, Role::Select), []);
    assert!(needed(&plan, Role::ScaleDown).contains(&Role::Route));
}

/// Of the outages, the one that a gate prevents as well: here the table alone.
pub(super) fn fewer_pods_come_after_the_router() {
    let (plan, _) = planner().finish(true);
    assert!(needed(&plan, Role::ScaleDown).contains(&Role::Route));
}

#[test]
fn changes_of_one_router_come_in_its_order_and_stop_at_the_first_failure() {
    let mut planner = Planner::default();
    for (name, router) in [("first", 0), ("other", 1), ("second", 0)] {
        planner.write(Role::Route, write(name), Meaning::Routed(router));
    }
    let (plan, meanings) = planner.finish(false);
    let after: Vec<(&str, Vec<usize>)> = plan
        .writes()
        .map(|(index, write)| (write.reason.as_str(), plan.actions[index].after.clone()))
        .collect();
    assert_eq!(
        after,
        [("first", vec![]), ("other", vec![]), ("second", vec![0])]
    );
    assert_eq!(meanings[&1], Meaning::Routed(1));
}

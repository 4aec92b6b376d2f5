//! Why a pass did what it did, and what it waits for: lines of the log at level debug.

use sluice_engine::object::Subject;
use sluice_engine::plan::{Action, Plan};
use sluice_engine::report::Report;

/// Says what a pass is about to do and why nothing else.
pub(crate) fn tell(subject: &Subject, plan: &Plan, report: &Report) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for line in lines(plan, report) {
        tracing::debug!(object = %subject.key, "{line}");
    }
}

/// Writes with their reasons, in their order; then what is waited for; then what else is worth knowing.
fn lines(plan: &Plan, report: &Report) -> impl Iterator<Item = String> {
    let writes = plan.actions.iter().filter_map(|planned| {
        let Action::Write(write) = &planned.action else {
            return None;
        };
        Some(format!(
            "{:?} {}: {}",
            planned.role, write.target, write.reason
        ))
    });
    let waits = report.waits.iter().map(|wait| {
        let until = wait
            .until
            .map(|time| format!(", until {time} at the latest"));
        format!(
            "{} waits for {}{}",
            wait.what,
            wait.for_what,
            until.unwrap_or_default()
        )
    });
    writes.chain(waits).chain(report.notes.iter().cloned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sluice_engine::object::ObjectKey;
    use sluice_engine::plan::{Edit, Planned, Role, Subresource, Write};

    use super::*;

    #[test]
    fn writes_come_with_their_reasons_and_then_what_is_waited_for() {
        let write = Write {
            target: ObjectKey::namespaced("v1", "Service", "shop", "canary"),
            edit: Edit::MergePatch(json!({})),
            subresource: Subresource::None,
            precondition: None,
            reason: "selects revision 2".to_owned(),
        };
        let plan = Plan {
            actions: vec![Planned {
                role: Role::Select,
                action: Action::Write(write),
                after: Vec::new(),
            }],
        };
        let mut report = Report::default();
        report.wait("the traffic weight", "pods");
        report.wait_until(
            "ReplicaSet web-1",
            "its scale-down deadline",
            "2026-01-01T00:00:30Z".parse().unwrap(),
        );
        report.note("old ReplicaSets are left as they are: user paused");
        let lines: Vec<String> = lines(&plan, &report).collect();
        assert_eq!(
            lines,
            [
                "Select Service shop/canary: selects revision 2",
                "the traffic weight waits for pods",
                "ReplicaSet web-1 waits for its scale-down deadline, until 2026-01-01T00:00:30Z at the latest",
                "old ReplicaSets are left as they are: user paused",
            ]
        );
    }
}

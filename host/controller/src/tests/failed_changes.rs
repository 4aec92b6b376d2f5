//! What guests are told of changes that were not made.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use sluice_engine::hash::CallKey;
use sluice_engine::object::ObjectKey;
use sluice_engine::plan::{
    Action, Done, Edit, Outcome, Plan, Planned, Role, Subresource, Write, WriteError,
    WriteErrorKind, Written,
};
use sluice_engine::plugin::{
    Effects, Function, Job, JobState, PluginKind, PluginName, Plugins, Reply, Routed, Slot,
    Verification,
};

use crate::reconcile::failed_changes;

fn write(name: &str) -> Write {
    Write {
        target: ObjectKey::namespaced("v1", "ConfigMap", "shop", name),
        edit: Edit::MergePatch(json!({})),
        subresource: Subresource::None,
        precondition: None,
        reason: "asked for".to_owned(),
    }
}

fn answered(router: &str, writes: &[&str]) -> Job {
    let reply = Reply::Routed(Routed {
        effects: Effects {
            writes: writes.iter().map(|name| write(name)).collect(),
            ..Effects::default()
        },
        verification: Verification::NotSupported,
        status: None,
    });
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    Job {
        slot: Slot {
            plugin: PluginName {
                kind: PluginKind::TrafficRouter,
                name: router.to_owned(),
            },
            function: Function::Reconcile,
            part: String::new(),
        },
        key: CallKey(router.to_owned()),
        due: 0,
        started: now,
        reported: true,
        state: JobState::Finished {
            at: now,
            reply: Arc::new(reply),
            fresh: true,
        },
    }
}

#[test]
fn a_guest_is_told_what_failed_and_what_was_not_tried_behind_it() {
    let refused = |kind| Done::Failed(WriteError::new(kind, "quota"));
    let applied = || Done::Applied {
        object: Written::default(),
    };
    let known = Plugins {
        jobs: vec![
            answered("mesh", &["a", "b", "c"]),
            answered("gate", &["d", "e"]),
            answered("edge", &["f"]),
        ],
        ..Plugins::default()
    };
    let done = [
        ("ours", refused(WriteErrorKind::Invalid)),
        ("a", applied()),
        ("b", refused(WriteErrorKind::Refused)),
        ("c", Done::Skipped),
        // Nothing of this guest has failed: it will be asked for again.
        ("d", Done::Skipped),
        ("e", Done::Skipped),
        // Whoever does not lead has tried nothing.
        ("f", refused(WriteErrorKind::NotLeading)),
    ];
    let planned = |name: &str| Planned {
        role: Role::Route,
        action: Action::Write(write(name)),
        after: Vec::new(),
    };
    let plan = Plan {
        actions: done.iter().map(|(name, _)| planned(name)).collect(),
    };
    let got = Outcome {
        done: done.into_iter().map(|(_, done)| done).collect(),
    };
    let failed: BTreeMap<_, Vec<_>> = failed_changes(&plan, &got, &known)
        .into_iter()
        .map(|(slot, failed)| {
            let line = |(key, why): (ObjectKey, String)| format!("{}: {why}", key.name);
            (
                slot.plugin.name.as_str(),
                failed.into_iter().map(line).collect(),
            )
        })
        .collect();
    let mesh = ["b: quota", "c: not tried: a change before it failed"];
    assert_eq!(
        failed,
        BTreeMap::from([("mesh", mesh.map(str::to_owned).to_vec())])
    );
}

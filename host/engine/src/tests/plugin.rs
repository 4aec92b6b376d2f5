//! Calls, jobs, and when a call is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::object::{ObjectKey, Subject};
use crate::plugin::{
    Answer, Ask, Disposition, Effects, Function, Job, JobState, PluginCall, PluginKind, PluginName,
    Plugins, Refusal, Reply, Routed, Slot, Verification,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn slot() -> Slot {
    Slot {
        plugin: PluginName {
            kind: PluginKind::TrafficRouter,
            name: "istio".to_owned(),
        },
        function: Function::Reconcile,
        part: String::new(),
    }
}

fn call(due: u64) -> PluginCall {
    PluginCall {
        subject: Subject {
            key: ObjectKey::namespaced("argoproj.io/v1alpha1", "Rollout", "shop", "web"),
            uid: "1".to_owned(),
        },
        slot: slot(),
        digest: "sha256:1".to_owned(),
        config: json!({ "virtualService": { "name": "routes" } }),
        ask: Ask::Route(None),
        due,
        secrets: Vec::new(),
    }
}

fn plugins(call: &PluginCall, state: JobState) -> Plugins {
    Plugins {
        loaded: Arc::new(BTreeMap::new()),
        loading: false,
        jobs: vec![Job {
            slot: call.slot.clone(),
            key: call.key(),
            due: call.due,
            started: at(100),
            reported: false,
            state,
        }],
        marked: BTreeSet::new(),
    }
}

fn finished(reply: Reply, fresh: bool) -> JobState {
    JobState::Finished {
        at: at(100),
        reply: Arc::new(reply),
        fresh,
    }
}

fn routed(verification: Verification, again: Option<i64>) -> Reply {
    Reply::Routed(Routed {
        effects: Effects {
            again_at: again.map(at),
            ..Effects::default()
        },
        verification,
        status: None,
    })
}

fn refused(disposition: Disposition, again: Option<i64>) -> Reply {
    Reply::Refused(Refusal {
        disposition,
        field: None,
        reason: "Wrong".to_owned(),
        message: "it is wrong".to_owned(),
        again_at: again.map(at),
        notices: Vec::new(),
        metadata: BTreeMap::new(),
    })
}

#[test]
fn calls_are_the_same_exactly_when_everything_that_is_asked_is() {
    let key = call(0).key();
    assert_eq!(call(0).key(), key);
    let changes: [fn(&mut PluginCall); 7] = [
        |call| call.due = 1,
        |call| call.digest = "sha256:2".to_owned(),
        |call| call.subject.uid = "2".to_owned(),
        |call| call.config = json!({}),
        |call| call.ask = Ask::Check,
        |call| call.slot.part = "x".to_owned(),
        |call| call.slot.function = Function::Check,
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut other = call(0);
        change(&mut other);
        assert_ne!(other.key(), key, "change {index}");
    }
}

#[test]
fn a_reply_answers_only_the_call_that_it_was_made_for() {
    let call = call(0);
    let mut other = call.clone();
    other.config = json!({});
    let answer =
        |state: JobState, call: &PluginCall| match plugins(&self::call(0), state).answer(call) {
            Answer::None => "none",
            Answer::Running => "running",
            Answer::Fresh(..) => "fresh",
            Answer::Stale(_) => "stale",
        };
    assert_eq!(answer(JobState::Running, &call), "running");
    assert_eq!(answer(JobState::Running, &other), "none");
    assert_eq!(answer(finished(Reply::Usable, true), &call), "fresh");
    assert_eq!(answer(finished(Reply::Usable, false), &call), "stale");
    assert_eq!(answer(finished(Reply::Usable, true), &other), "none");
    assert!(matches!(Plugins::default().answer(&call), Answer::None));
}

// TRR-009, TRR-010
#[test]
fn a_call_is_made_again_when_its_reply_says_so_and_no_sooner() {
    let broken = || Reply::Broken {
        reason: "Trapped".to_owned(),
        message: "unreachable".to_owned(),
    };
    let pending = Verification::Pending("not yet".to_owned());
    // The reply was given at 100: when it is asked for again.
    let rows = [
        (Reply::Usable, None),
        (routed(Verification::NotSupported, None), None),
        (routed(Verification::InEffect, None), None),
        (routed(Verification::InEffect, Some(160)), Some(160)),
        (routed(pending.clone(), None), Some(110)),
        (routed(pending, Some(103)), Some(103)),
        (refused(Disposition::Retry, None), Some(110)),
        (refused(Disposition::Retry, Some(400)), Some(400)),
        (refused(Disposition::Fail, Some(400)), None),
        (refused(Disposition::InvalidConfig, None), None),
        (broken(), Some(110)),
    ];
    for (reply, expected) in rows {
        let case = format!("{reply:?}");
        let plugins = plugins(&call(7), finished(reply, true));
        assert_eq!(
            plugins.due(&slot(), at(100)),
            (7, expected.map(at)),
            "{case}"
        );
        if let Some(time) = expected {
            assert_eq!(
                plugins.due(&slot(), at(time - 1)),
                (7, Some(at(time))),
                "{case}"
            );
            assert_eq!(plugins.due(&slot(), at(time)), (8, None), "{case}");
        }
    }
    assert_eq!(
        plugins(&call(7), JobState::Running).due(&slot(), at(900)),
        (7, None)
    );
    assert_eq!(Plugins::default().due(&slot(), at(900)), (0, None));
}

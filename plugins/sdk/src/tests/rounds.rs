use serde_json::json;

use crate::step::{Outcome, Phase, Reply, Step};
use crate::testing::{Given, yaml};
use crate::{Change, Context, Effects, Needs, PluginError, Read, ReadOutcome, Reader};

/// Counts up a ConfigMap, and says in its status which of its last changes failed.
struct Counter;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Empty {}

impl Step for Counter {
    type Config = Empty;

    fn run(context: &Context, _: &Empty) -> Result<Reply, PluginError> {
        let mut reader = Reader::new(context);
        let Some(outcome) = reader.ask(Read::named("counter", "v1", "ConfigMap", "counter")) else {
            return Ok(Reply::More(reader.needs().unwrap()));
        };
        let ReadOutcome::Found(objects) = outcome else {
            return Err(PluginError::retry("NotServed", format!("{outcome:?}")));
        };
        let mut changes = Vec::new();
        for object in objects {
            let mut after = object.value()?;
            after["data"]["count"] = json!(format!(
                "{}1",
                after["data"]["count"].as_str().unwrap_or_default()
            ));
            let change = Change::patching(object, &after, "count")?;
            // The same change twice: the second is computed from a version that is gone by then.
            changes.extend(change.clone().into_iter().chain(change));
        }
        let status = Some(json!(context.failed_changes.len()).to_string());
        let effects = Effects {
            changes,
            watch: reader.into_watch(),
            ..Effects::none()
        };
        Ok(Reply::Done(Outcome {
            status,
            effects,
            ..Outcome::of(Phase::Running)
        }))
    }
}

const COUNTER: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: counter, namespace: default}
data: {count: '0'}
";

fn given() -> Given {
    Given::subject(json!({"kind": "Rollout", "metadata": {"name": "r", "namespace": "default"}}))
        .objects(COUNTER)
}

#[test]
fn needs_are_answered_and_changes_applied_until_one_fails() {
    let mut given = given();
    let pass = given
        .execute::<Counter>(crate::step::Lifecycle::Run)
        .unwrap();
    assert_eq!((pass.rounds, pass.answer.status.as_deref()), (2, Some("0")));
    assert_eq!(
        given.cluster.get("ConfigMap", "default", "counter"),
        yaml(&COUNTER.replace("'0'", "'01'"))
    );
    assert_eq!(given.failed_changes().len(), 1);

    let pass = given
        .execute::<Counter>(crate::step::Lifecycle::Run)
        .unwrap();
    assert_eq!(
        pass.answer.status.as_deref(),
        Some("1"),
        "the plugin learns of the failure"
    );
}

#[test]
fn a_kind_that_is_not_served_is_not_an_absent_object() {
    let mut given = given();
    given.cluster.remove("ConfigMap", "default", "counter");
    assert!(
        given
            .execute::<Counter>(crate::step::Lifecycle::Run)
            .unwrap()
            .answer
            .effects
            .changes
            .is_empty()
    );
    given.cluster.stop_serving("ConfigMap");
    assert_eq!(
        given
            .execute::<Counter>(crate::step::Lifecycle::Run)
            .unwrap_err()
            .reason,
        "NotServed"
    );
}

/// Never satisfied.
struct Greedy;

impl Step for Greedy {
    type Config = Empty;

    fn run(context: &Context, _: &Empty) -> Result<Reply, PluginError> {
        Ok(Reply::More(Needs::reads(vec![Read::named(
            context.round.to_string(),
            "v1",
            "ConfigMap",
            "counter",
        )])))
    }
}

#[test]
#[should_panic(expected = "no answer after 8 rounds")]
fn needs_that_do_not_converge_fail_the_test() {
    let _ = given().execute::<Greedy>(crate::step::Lifecycle::Run);
}

#[test]
#[should_panic(expected = "asked again")]
fn asking_again_for_what_is_answered_fails_the_test() {
    struct Forgetful;
    impl Step for Forgetful {
        type Config = Empty;

        fn run(_: &Context, _: &Empty) -> Result<Reply, PluginError> {
            Ok(Reply::More(Needs::reads(vec![Read::named(
                "same",
                "v1",
                "ConfigMap",
                "counter",
            )])))
        }
    }
    let _ = given().execute::<Forgetful>(crate::step::Lifecycle::Run);
}

//! Runs from their first pass to their end.

use serde_json::{Value, json};

use super::world::{World, at, broken, measured, nothing, number, texts, unavailable, waiting};
use crate::object::ObjectKey;
use crate::plan::{
    Done, Edit, Outcome, Propagation, Requeue, Severity, Subresource, Write, WriteErrorKind,
};
use crate::plugin::{
    Ask, Disposition, Effects, MeasureLifecycle, Measured, MeasuredValue, MeasurementFacts, Notice,
    Refusal, Reply,
};

fn web(extra: Value) -> Value {
    let mut metric = json!({
        "name": "latency", "successCondition": "result < 100", "provider": {"web": {"url": "http://x"}},
    });
    metric
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    json!({ "metrics": [metric] })
}

fn facts(world: &World, metric: &str) -> MeasurementFacts {
    match &world.call(metric).ask {
        Ask::Measure { facts, .. } => (**facts).clone(),
        other => panic!("{other:?}"),
    }
}

fn create_job() -> Write {
    Write {
        target: ObjectKey::namespaced("batch/v1", "Job", "shop", "smoke.1"),
        edit: Edit::Create(json!({})),
        subresource: Subresource::None,
        precondition: None,
        reason: "the job of the metric".to_owned(),
    }
}

// ENG-005, ENG-006, ENG-030, ENG-042, EVT-023, EVT-024, ST-050, ST-051, ST-052, ST-053
#[test]
fn a_single_good_measurement_ends_the_run_successfully() {
    let mut world = World::new(web(json!({})));
    let (made, settled) = world.pass();
    assert_eq!(made.plan.calls().count(), 1);
    assert_eq!(
        settled.requeue,
        Requeue::OnChange,
        "the provider's answer wakes the run"
    );
    assert_eq!(world.phase(), "Running");
    assert_eq!(
        world.run.status.started_at.unwrap().to_string(),
        "2024-05-06T07:08:09Z"
    );
    assert_eq!(world.run.status.run_summary.count, 1);
    world.settle();
    assert_eq!(world.patches, 1);

    world.wait(2);
    world.answer("latency", number(42.0));
    world.wait(1);
    world.settle();
    assert_eq!(world.phase(), "Successful");
    assert_eq!(
        world.run.status.completed_at.unwrap().to_string(),
        "2024-05-06T07:08:12Z"
    );
    assert_eq!(
        serde_json::to_value(&world.run.status.metric_results).unwrap(),
        json!([{
            "name": "latency", "phase": "Successful", "count": 1, "successful": 1, "consecutiveSuccess": 1,
            "measurements": [{
                "phase": "Successful", "value": "42",
                "startedAt": "2024-05-06T07:08:09Z", "finishedAt": "2024-05-06T07:08:11Z",
            }],
        }])
    );
    assert_eq!(
        serde_json::to_value(&world.run.status).unwrap()["dryRunSummary"],
        json!({}),
        "always written, zeros left out"
    );
    assert_eq!(
        world.events,
        [
            "Normal MetricSuccessful: Metric 'latency' Completed. Result: Successful",
            "Normal AnalysisRunSuccessful: Analysis Completed. Result: Successful",
        ]
    );
    assert_eq!(world.patches, 2, "one for the start, one for the end");
    // ENG-002
    let (made, settled) = world.pass();
    assert!(made.plan.actions.is_empty() && settled.status.is_none());
}

// ENG-041, ENG-043, ENG-045
#[test]
fn a_failed_metric_fails_the_run_with_upstreams_words() {
    let mut world = World::new(web(
        json!({ "interval": "5s", "count": 3, "failureLimit": 1 }),
    ));
    world.measure("latency", number(200.0));
    assert_eq!(
        (world.phase(), world.result("latency").phase.as_str()),
        ("Running", "Running")
    );
    world.wait(5);
    let measured = Measured {
        message: Some("slow".to_owned()),
        ..nothing()
    };
    world.measure("latency", measured_number(300.0, measured));
    assert_eq!(world.phase(), "Failed");
    assert_eq!(
        world.run.status.message,
        "Metric \"latency\" assessed Failed due to failed (2) > failureLimit (1): \"Error Message: slow\""
    );
    assert_eq!(world.result("latency").message, "slow");
    assert_eq!(world.run.status.run_summary.failed, 1);
    assert_eq!(
        world.events.last().unwrap(),
        "Warning AnalysisRunFailed: Analysis Completed. Result: Failed"
    );
}

fn measured_number(value: f64, rest: Measured) -> Reply {
    measured(Measured {
        value: Some(MeasuredValue::Number(value)),
        shown: value.to_string(),
        ..rest
    })
}

// ENG-020, ENG-021
#[test]
fn measurements_are_taken_at_their_interval_and_errors_after_ten_seconds() {
    let mut world = World::new(web(json!({ "interval": "1m", "count": 2 })));
    world.measure("latency", broken());
    assert_eq!(world.last("latency").phase.as_str(), "Error");
    assert_eq!(
        world.last("latency").message,
        "Trapped: index out of bounds in plan.rs"
    );
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:08:19Z")));
    assert!(!world.is_asked("latency"));

    world.wait(10);
    world.settle();
    assert_eq!(
        facts(&world, "latency").number,
        1,
        "the second measurement is not the first"
    );
    assert_eq!(facts(&world, "latency").errors_so_far, 1);
    assert_eq!(facts(&world, "latency").previous.unwrap().phase, "Error");
    assert_eq!(world.call("latency").due, 1);
    world.answer("latency", number(1.0));
    world.settle();
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:09:19Z")));
    world.wait(59);
    world.settle();
    assert!(!world.is_asked("latency"));
    world.wait(1);
    world.measure("latency", number(1.0));
    let result = world.result("latency");
    assert_eq!(
        (result.count, result.error, result.consecutive_error),
        (2, 1, 0)
    );
    assert_eq!(world.phase(), "Successful");
}

// AT-008, ENG-020, ENG-021
#[test]
fn the_initial_delay_counts_from_the_start_that_is_written() {
    let mut world = World::new(web(json!({ "initialDelay": "30s" })));
    world.settle();
    assert!(!world.is_asked("latency"));
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:08:39Z")));
    world.wait(30);
    world.settle();
    assert!(world.is_asked("latency"));
}

// AT-009
#[test]
fn a_metric_without_count_is_measured_for_ever() {
    let mut world = World::new(web(json!({ "interval": "10s" })));
    for _ in 0..25 {
        world.measure("latency", number(1.0));
        world.wait(10);
    }
    assert_eq!(world.phase(), "Running");
    assert_eq!(world.result("latency").count, 25);
    // ENG-046, AT-004
    assert_eq!(world.result("latency").measurements.len(), 10);
}

// ENG-046, AT-004
#[test]
fn the_retention_rule_decides_how_many_measurements_are_kept() {
    let mut spec = web(json!({ "interval": "10s" }));
    spec["measurementRetention"] = json!([{ "metricName": "lat.*", "limit": 3 }]);
    let mut world = World::new(spec);
    for value in 0..5 {
        world.measure("latency", number(f64::from(value)));
        world.wait(10);
    }
    let values: Vec<_> = world
        .result("latency")
        .measurements
        .iter()
        .map(|m| m.value.as_str())
        .collect();
    assert_eq!(values, ["2", "3", "4"]);
}

// ENG-020: a provider that waits for an object
#[test]
fn a_waiting_measurement_stays_open_and_goes_on_when_what_it_watches_changes() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
    );
    world.settle();
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Start);
    let effects = Effects {
        writes: vec![create_job()],
        ..Effects::default()
    };
    world.answer("smoke", waiting(&[("job-name", "smoke.1")], effects));
    world.settle();
    assert_eq!(world.written, ["Job shop/smoke.1 (the job of the metric)"]);
    assert_eq!(world.last("smoke").phase.as_str(), "Running");
    assert_eq!(
        world.last("smoke").metadata,
        texts(&[("job-name", "smoke.1")])
    );
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Resume);
    assert_eq!(
        facts(&world, "smoke").open.unwrap().metadata,
        texts(&[("job-name", "smoke.1")])
    );

    let patches = world.patches;
    world.answer(
        "smoke",
        waiting(&[("job-name", "smoke.1")], Effects::default()),
    );
    world.settle();
    assert_eq!(world.patches, patches, "nothing new to write");
    assert!(
        world.is_asked("smoke"),
        "its call stays in the plan, so that it goes on watching"
    );
    assert_eq!(world.requeue, Requeue::OnChange);

    world.change("smoke");
    world.settle();
    world.repeat("smoke");
    world.wait(40);
    let done = Measured {
        phase: Some("Successful".to_owned()),
        metadata: texts(&[("code", "0")]),
        ..nothing()
    };
    world.answer("smoke", measured(done));
    world.settle();
    assert_eq!(world.phase(), "Successful");
    let last = world.last("smoke");
    assert_eq!(
        last.metadata,
        texts(&[("code", "0"), ("job-name", "smoke.1")])
    );
    assert_eq!(last.started_at.unwrap().to_string(), "2024-05-06T07:08:09Z");
    assert_eq!(
        last.finished_at.unwrap().to_string(),
        "2024-05-06T07:08:49Z"
    );
}

// ENG-020, ENG-021: a provider that says when
#[test]
fn a_waiting_measurement_is_resumed_at_its_time() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "judge", "provider": { "plugin": { "acme/judge": {} } } }] }),
    );
    world.settle();
    let later = |time: &str| Effects {
        again_at: Some(at(time)),
        ..Effects::default()
    };
    world.answer(
        "judge",
        waiting(&[("id", "7")], later("2024-05-06T07:09:00Z")),
    );
    world.settle();
    assert_eq!(
        world.last("judge").resume_at.unwrap().to_string(),
        "2024-05-06T07:09:00Z"
    );
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:09:00Z")));
    assert!(!world.is_asked("judge"));

    world.wait(51);
    world.settle();
    assert_eq!(world.lifecycle("judge"), MeasureLifecycle::Resume);
    world.answer(
        "judge",
        waiting(&[("id", "7")], later("2024-05-06T07:10:00Z")),
    );
    world.settle();
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:10:00Z")));
    assert!(
        world.is_asked("judge"),
        "kept, in case that it watches something as well"
    );
    world.wait(60);
    world.settle();
    world.answer("judge", number(3.0));
    world.settle();
    assert_eq!(world.phase(), "Successful");
}

#[test]
fn a_provider_that_always_wants_to_be_called_at_once_is_called_once_a_second() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "judge", "provider": { "plugin": { "acme/judge": {} } } }] }),
    );
    let at_once = Effects {
        again_at: Some(at("2024-05-06T07:08:09Z")),
        ..Effects::default()
    };
    for _ in 0..3 {
        world.settle();
        world.answer("judge", waiting(&[], at_once.clone()));
        world.settle();
        assert!(matches!(world.requeue, Requeue::At(time) if time > world.now));
        world.wait(1);
    }
}

// AR-002, ENG-022, ENG-032
#[test]
fn a_terminated_run_cancels_open_measurements_and_ends() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
    );
    world.measure(
        "smoke",
        waiting(&[("job-name", "smoke.1")], Effects::default()),
    );
    world.run.spec.terminate = true;
    world.settle();
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Cancel);
    assert_eq!(world.phase(), "Running");
    world.wait(1);
    world.answer("smoke", measured(nothing()));
    world.settle();
    assert_eq!(world.phase(), "Successful");
    assert_eq!(world.run.status.message, "Run Terminated");
    assert_eq!(world.last("smoke").message, "Metric Terminated");
    assert_eq!(
        world.last("smoke").metadata,
        texts(&[("job-name", "smoke.1")])
    );
    assert_eq!(world.last("smoke").resume_at, None);
    assert!(world.jobs.is_empty());
}

// ENG-022: design 11, a guest that hangs
#[test]
fn a_provider_that_does_not_cancel_holds_the_run_up_for_ten_seconds() {
    for hung in [false, true] {
        let mut world = World::new(
            json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
        );
        world.measure("smoke", waiting(&[], Effects::default()));
        if !hung {
            // The resumed call hangs otherwise, and would block the slot.
            world.answer("smoke", waiting(&[], Effects::default()));
            world.settle();
        }
        world.run.spec.terminate = true;
        world.settle();
        assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Cancel);
        assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:08:19Z")));
        world.wait(9);
        world.settle();
        assert_eq!(world.phase(), "Running");
        world.wait(1);
        world.settle();
        assert_eq!(world.last("smoke").phase.as_str(), "Error");
        assert_eq!(
            world.last("smoke").message,
            "the provider did not cancel the measurement within 10 s"
        );
        assert_eq!(
            world.phase(),
            "Successful",
            "that it could not be cancelled says nothing about the release"
        );
    }
}

#[test]
fn a_provider_that_may_yet_be_loaded_is_waited_for() {
    let mut world = World::new(web(json!({})));
    let plugins = std::mem::take(&mut world.plugins);
    world.loading = true;
    world.settle();
    world.wait(600);
    world.settle();
    assert!(!world.run.status.phase.completed());
    assert!(
        world.jobs.is_empty(),
        "there is nobody to ask, and no error"
    );
    world.loading = false;
    world.plugins = plugins;
    world.settle();
    assert_eq!(world.jobs.len(), 1, "asked when it is there");
}

#[test]
fn a_provider_that_is_not_loaded_in_time_does_not_keep_a_run_from_ending() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
    );
    world.measure("smoke", waiting(&[], Effects::default()));
    world.plugins.clear();
    world.loading = true;
    world.run.spec.terminate = true;
    world.settle();
    assert!(!world.run.status.phase.completed(), "it may yet cancel");
    assert_ne!(
        world.requeue,
        crate::plan::Requeue::OnChange,
        "it is looked at again in time"
    );
    world.wait(600);
    world.settle();
    assert_eq!(world.phase(), "Successful");
}

#[test]
fn a_terminated_run_ends_without_its_plugin() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
    );
    world.measure("smoke", waiting(&[], Effects::default()));
    world.plugins.clear();
    world.run.spec.terminate = true;
    world.settle();
    assert_eq!(world.phase(), "Successful");
    assert_eq!(
        world.last("smoke").message,
        "failed to create plugin: unable to find plugin (job)"
    );
}

#[test]
fn a_terminated_run_that_measured_nothing_is_successful() {
    let mut world = World::new(web(json!({ "interval": "10s" })));
    world.settle();
    world.run.spec.terminate = true;
    world.settle();
    assert_eq!(
        (world.phase(), world.run.status.message.as_str()),
        ("Successful", "Run Terminated")
    );
    assert!(world.run.status.metric_results.is_empty() && world.jobs.is_empty());
}

// design 6
#[test]
fn measurements_that_all_errored_never_end_successfully() {
    let mut world = World::new(web(
        json!({ "interval": "10s", "consecutiveErrorLimit": 100 }),
    ));
    for _ in 0..3 {
        world.measure("latency", broken());
        world.wait(10);
    }
    world.run.spec.terminate = true;
    world.settle();
    assert_eq!(world.phase(), "Error");
    assert_eq!(
        world.run.status.message,
        "Metric \"latency\" assessed Error due to all measurements errored (3): \
         \"Error Message: Trapped: index out of bounds in plan.rs\""
    );
    assert_eq!(world.run.status.run_summary.error, 1);
}

// ENG-022: a sibling that failed
#[test]
fn a_failed_metric_ends_its_siblings() {
    let mut spec = web(json!({}));
    let metrics = spec["metrics"].as_array_mut().unwrap();
    metrics
        .push(json!({ "name": "background", "interval": "10s", "provider": { "prometheus": {} } }));
    metrics.push(json!({ "name": "smoke", "provider": { "job": { "spec": {} } } }));
    let mut world = World::new(spec);
    world.settle();
    world.answer("background", number(1.0));
    world.answer("smoke", waiting(&[], Effects::default()));
    world.settle();
    world.answer("latency", number(500.0));
    world.pass();
    assert_eq!(world.result("latency").phase.as_str(), "Failed");
    assert_eq!(world.phase(), "Running");
    assert!(matches!(world.requeue, Requeue::At(time) if time == world.now));
    world.settle();
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Cancel);
    world.answer("smoke", measured(nothing()));
    world.settle();
    assert_eq!(world.phase(), "Failed");
    assert_eq!(world.result("background").phase.as_str(), "Successful");
    assert_eq!(
        world.run.status.message,
        "Metric \"latency\" assessed Failed due to failed (1) > failureLimit (0)"
    );
    assert_eq!(
        (
            world.run.status.run_summary.failed,
            world.run.status.run_summary.successful
        ),
        (1, 2)
    );
}

#[test]
fn who_has_answered_already_is_heard_when_the_run_ends() {
    let mut spec = web(json!({}));
    let other = json!({ "name": "other", "interval": "10s", "provider": { "prometheus": {} } });
    spec["metrics"].as_array_mut().unwrap().push(other);
    let mut world = World::new(spec);
    world.settle();
    world.answer("other", number(7.0));
    world.run.spec.terminate = true;
    world.settle();
    assert_eq!(world.last("other").value, "7");
    assert_eq!(world.phase(), "Successful");
}

// ENG-042, ENG-043, ENG-044, AT-003
#[test]
fn a_dry_run_metric_has_no_consequences() {
    let mut spec = web(json!({ "interval": "10s", "count": 2 }));
    spec["dryRun"] = json!([{ "metricName": ".*" }]);
    let mut world = World::new(spec);
    world.measure("latency", number(500.0));
    assert_eq!(world.result("latency").phase.as_str(), "Failed");
    assert!(world.result("latency").dry_run);
    assert_eq!(
        world.result("latency").message,
        "Metric assessed Failed due to failed (1) > failureLimit (0)"
    );
    assert_eq!(world.phase(), "Successful");
    assert_eq!(world.run.status.message, "");
    let dry = world.run.status.dry_run_summary.as_ref().unwrap();
    assert_eq!(
        (dry.count, dry.failed, world.run.status.run_summary.count),
        (1, 1, 0)
    );
}

// ENG-031
#[test]
fn a_missing_provider_is_an_error_that_counts() {
    let mut world =
        World::new(json!({ "metrics": [{ "name": "m", "provider": { "kayenta": {} } }] }));
    world.settle();
    assert_eq!(
        world.last("m").message,
        "failed to create plugin: unable to find plugin (kayenta)"
    );
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:08:19Z")));
    for _ in 0..4 {
        world.wait(10);
        world.settle();
    }
    assert_eq!(world.phase(), "Error");
    assert_eq!(
        world.run.status.message,
        "Metric \"m\" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): \
         \"Error Message: failed to create plugin: unable to find plugin (kayenta)\""
    );
}

// Five errors in a row would abort the release.
#[test]
fn a_fault_of_the_host_is_waited_for_and_counts_for_nothing() {
    let mut world = World::new(web(json!({})));
    world.settle();
    let mut patches = 0;
    for round in 0..6 {
        world.answer("latency", unavailable("the plugin rests until noon"));
        let (made, _) = world.pass();
        let wait = &made.report.waits[0];
        assert_eq!(
            (wait.what.as_str(), wait.for_what.as_str()),
            ("latency", "its provider: the plugin rests until noon")
        );
        world.settle();
        assert_eq!(
            world.requeue,
            Requeue::At(world.now + jiff::SignedDuration::from_secs(10)),
            "round {round}"
        );
        assert_eq!(
            (world.phase(), world.run.status.message.as_str()),
            (
                "Running",
                "Metric \"latency\" waits for its provider: the plugin rests until noon"
            )
        );
        let result = world.result("latency");
        assert_eq!((result.error, result.consecutive_error), (0, 0));
        assert!(result.measurements.is_empty() && !result.phase.completed());
        // The call is made anew, and what is waited for is not written again and again.
        let seen = std::mem::replace(&mut patches, world.patches);
        assert!(round == 0 || world.patches == seen, "round {round}");
        world.wait(10);
        world.settle();
        assert_eq!(world.lifecycle("latency"), MeasureLifecycle::Start);
    }
    world.answer("latency", number(1.0));
    world.settle();
    assert_eq!(world.phase(), "Successful");
    assert_eq!(world.result("latency").message, "");
    assert_eq!(world.run.status.message, "");
}

// A release must not go on for long while nobody measures it.
#[test]
fn a_fault_of_the_host_that_lasts_counts_as_any_error() {
    let mut world = World::new(web(json!({ "interval": "30s", "count": 9 })));
    world.measure("latency", number(1.0));
    let began = world.now;
    world.wait(30);
    for _ in 0..20 {
        world.settle();
        if world.phase() != "Running" {
            break;
        }
        world.answer("latency", unavailable("the plugin rests until noon"));
        world.settle();
        world.wait(10);
    }
    assert_eq!(world.phase(), "Error");
    let result = world.result("latency");
    assert_eq!((result.successful, result.error), (1, 5));
    // Due after 30 s, and excused for a minute; the last answer of that minute is the first of five that count.
    assert_eq!(world.now.duration_since(began).as_secs(), 30 + 50 + 50);
}

#[test]
fn an_open_measurement_that_nobody_can_resume_stays_open() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
    );
    let kept = waiting(&[("job-name", "smoke.1")], Effects::default());
    world.measure("smoke", kept.clone());
    let open = world.last("smoke").clone();
    world.answer("smoke", unavailable("the plugin has been replaced"));
    world.settle();
    assert_eq!(world.last("smoke"), &open);
    assert_eq!(
        world.run.status.message,
        "Metric \"smoke\" waits for its provider: the plugin has been replaced"
    );
    world.wait(10);
    world.settle();
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Resume);
    world.answer("smoke", kept);
    world.settle();
    assert_eq!(world.last("smoke"), &open);
    assert_eq!(world.run.status.message, "", "it has been heard");
}

#[test]
fn a_wait_for_the_host_does_not_outlive_its_run() {
    let mut world = World::new(web(json!({})));
    world.settle();
    world.answer("latency", unavailable("the plugin rests until noon"));
    world.settle();
    world.run.spec.terminate = true;
    world.settle();
    assert_eq!(
        (world.phase(), world.run.status.message.as_str()),
        ("Successful", "Run Terminated")
    );
    assert!(world.run.status.metric_results.is_empty());
    assert_eq!(
        world.events,
        ["Normal AnalysisRunSuccessful: Analysis Completed. Result: Successful"],
        "nothing was measured, so no metric has ended"
    );
}

// ENG-031, ARG-003
#[test]
fn secrets_are_placeholders_that_no_message_shows() {
    let mut spec = web(json!({}));
    spec["metrics"][0]["provider"]["web"]["headers"] =
        json!([{ "key": "Auth", "value": "{{args.token}}" }]);
    spec["args"] = json!([{ "name": "token", "valueFrom": { "secretKeyRef": { "name": "s3", "key": "k9" } } }]);
    let mut world = World::new(spec);
    world.settle();
    let call = world.call("latency").clone();
    let [secret] = call.secrets.as_slice() else {
        panic!("{:?}", call.secrets)
    };
    assert_eq!(
        (
            secret.namespace.as_str(),
            secret.secret.as_str(),
            secret.key.as_str()
        ),
        ("shop", "s3", "k9")
    );
    assert_eq!(
        call.config["headers"][0]["value"],
        secret.placeholder.as_str()
    );
    let leak = format!("401 for {}", secret.placeholder);
    world.answer("latency", unavailable(&leak));
    let (made, _) = world.pass();
    assert_eq!(made.report.waits[0].for_what, "its provider: 401 for *****");
    assert_eq!(
        world.run.status.message,
        "Metric \"latency\" waits for its provider: 401 for *****"
    );
    world.wait(10);
    world.settle();
    world.answer(
        "latency",
        Reply::Refused(Refusal {
            disposition: Disposition::Retry,
            field: Some("url".to_owned()),
            reason: "Unauthorized".to_owned(),
            message: leak.clone(),
            again_at: None,
            notices: Vec::new(),
            metadata: texts(&[("q", &leak)]),
        }),
    );
    world.settle();
    assert_eq!(world.last("latency").message, "url: 401 for *****");
    world.wait(10);
    world.measure(
        "latency",
        measured(Measured {
            shown: leak.clone(),
            metadata: texts(&[("m", &leak)]),
            metric_metadata: texts(&[("q", &leak)]),
            ..nothing()
        }),
    );
    assert!(
        !serde_json::to_string(&world.run.status)
            .unwrap()
            .contains(&secret.placeholder)
    );
}

// ENG-033
#[test]
fn metadata_and_notices_of_a_measurement_are_kept_and_told() {
    let mut world = World::new(web(json!({ "successCondition": "" })));
    let notice = Notice {
        severity: Severity::Warning,
        reason: "Sparse".to_owned(),
        message: "3 samples".to_owned(),
    };
    let effects = Effects {
        notices: vec![notice],
        ..Effects::default()
    };
    let metric_metadata = texts(&[("ResolvedPrometheusQuery", "up{}")]);
    world.measure(
        "latency",
        measured(Measured {
            metric_metadata,
            effects,
            ..nothing()
        }),
    );
    assert_eq!(
        world.result("latency").metadata,
        texts(&[("ResolvedPrometheusQuery", "up{}")])
    );
    assert_eq!(world.events.first().unwrap(), "Warning Sparse: 3 samples");
    assert_eq!(world.phase(), "Successful");
}

// ENG-004
#[test]
fn a_wrong_specification_is_an_error_without_start_and_completion() {
    let mut world = World::new(web(json!({ "count": 2 })));
    world.settle();
    assert_eq!(world.phase(), "Error");
    assert_eq!(
        world.run.status.message,
        "Analysis spec invalid: metrics[0]: interval must be specified when count > 1"
    );
    assert_eq!(
        (world.run.status.started_at, world.run.status.completed_at),
        (None, None)
    );
    assert_eq!(
        world.events,
        ["Warning AnalysisRunError: Analysis Completed. Result: Error"]
    );
}

// ENG-050, AR-003
#[test]
fn a_completed_run_is_deleted_when_its_time_has_come() {
    let check = |value: Option<f64>, strategy: Value, expected: Option<i64>| {
        let mut spec = web(if value.is_some() {
            json!({})
        } else {
            json!({ "count": 2 })
        });
        spec["ttlStrategy"] = strategy.clone();
        let mut world = World::new(spec);
        world.settle();
        if let Some(value) = value {
            world.answer("latency", number(value));
            world.settle();
        }
        world.settle();
        let Some(seconds) = expected else {
            assert_eq!(world.requeue, Requeue::OnChange, "{strategy}");
            world.wait(1_000_000);
            world.pass();
            assert!(!world.deleted, "{strategy}");
            return;
        };
        world.wait(seconds - 1);
        world.pass();
        assert!(!world.deleted, "{strategy}");
        assert_eq!(
            world.requeue,
            Requeue::At(
                world
                    .now
                    .checked_add(jiff::SignedDuration::from_secs(1))
                    .unwrap()
            )
        );
        world.wait(1);
        world.pass();
        assert!(world.deleted, "{strategy}");
    };
    let (good, bad, invalid) = (Some(1.0), Some(500.0), None);
    check(good, json!({}), None);
    check(good, json!({ "secondsAfterCompletion": 60 }), Some(61));
    check(
        good,
        json!({ "secondsAfterCompletion": 60, "secondsAfterSuccess": 5 }),
        Some(6),
    );
    check(good, json!({ "secondsAfterFailure": 5 }), None);
    check(
        bad,
        json!({ "secondsAfterFailure": 5, "secondsAfterSuccess": 9 }),
        Some(6),
    );
    check(
        bad,
        json!({ "secondsAfterCompletion": 7, "secondsAfterSuccess": 9 }),
        Some(8),
    );
    // A run that was refused has no completion time; its creation counts, one second before the story starts.
    check(
        invalid,
        json!({ "secondsAfterCompletion": 7, "secondsAfterFailure": 2 }),
        Some(7),
    );
}

#[test]
fn a_run_that_could_not_be_deleted_is_tried_again() {
    let mut spec = web(json!({}));
    spec["ttlStrategy"] = json!({ "secondsAfterCompletion": 0 });
    let mut world = World::new(spec);
    world.measure("latency", number(1.0));
    world.wait(1);
    world.refuse = vec![WriteErrorKind::Unavailable];
    world.pass();
    assert_eq!(
        (world.deleted, world.requeue),
        (false, Requeue::At(at("2024-05-06T07:08:20Z")))
    );
    let seen = world.seen();
    let made = crate::analysis::decide(&seen);
    let (_, write) = made.plan.writes().next().unwrap();
    assert_eq!(write.edit, Edit::Delete(Propagation::Background));
    assert_eq!(write.precondition.as_deref(), Some("3"));
}

#[test]
fn a_run_that_is_being_deleted_is_left_alone() {
    let mut world = World::new(web(json!({})));
    world.run.metadata.deletion_timestamp = Some(sluice_api::Time(world.now));
    let (made, settled) = world.pass();
    assert!(made.plan.actions.is_empty());
    assert_eq!(settled, crate::analysis::RunSettled::default());
}

#[test]
fn a_write_of_a_provider_that_fails_decides_over_its_measurement() {
    let check = |kind: WriteErrorKind, expected: &str| {
        let mut world = World::new(
            json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
        );
        world.settle();
        let effects = Effects {
            writes: vec![create_job()],
            ..Effects::default()
        };
        world.answer("smoke", waiting(&[], effects));
        world.refuse = vec![kind];
        world.pass();
        let found = world
            .run
            .status
            .metric_results
            .first()
            .and_then(|result| result.measurements.first());
        let found = found.map_or("retry".to_owned(), |found| {
            format!("{} {}", found.phase, found.message)
        });
        assert_eq!(found.trim(), expected, "{kind:?}");
        if expected == "retry" {
            assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:08:19Z")));
            world.settle();
            assert_eq!(world.last("smoke").phase.as_str(), "Running");
            assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Resume);
        }
    };
    check(WriteErrorKind::AlreadyExists, "Running");
    check(WriteErrorKind::Invalid, "Error no: Invalid");
    check(WriteErrorKind::Unavailable, "retry");
    check(WriteErrorKind::Conflict, "retry");
    check(WriteErrorKind::NotLeading, "retry");
}

fn create_settings() -> Write {
    Write {
        target: ObjectKey::namespaced("v1", "ConfigMap", "shop", "smoke.1"),
        reason: "the settings of the job".to_owned(),
        ..create_job()
    }
}

// wit: the first that fails stops the rest
#[test]
fn changes_of_a_provider_are_made_in_its_order() {
    let check = |kind: WriteErrorKind, phase: &str| {
        let mut world = World::new(
            json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
        );
        world.settle();
        let effects = Effects {
            writes: vec![create_settings(), create_job()],
            ..Effects::default()
        };
        world.answer("smoke", waiting(&[], effects));
        world.refuse = vec![kind];
        let (made, _) = world.pass();
        let positions: Vec<_> = made.plan.writes().map(|(position, _)| position).collect();
        let [settings, job] = positions[..] else {
            panic!("{positions:?}")
        };
        let after = |position: usize| made.plan.actions[position].after.clone();
        assert_eq!((after(settings), after(job)), (vec![], vec![settings]));
        assert!(world.written.is_empty(), "{kind:?}: {:?}", world.written);
        world.wait(10);
        world.pass();
        assert_eq!(world.last("smoke").phase.as_str(), phase, "{kind:?}");
    };
    check(WriteErrorKind::Unavailable, "Running");
    check(WriteErrorKind::Invalid, "Error");
}

// Nobody remembers which of them were made, so all of them are tried again.
#[test]
fn a_change_that_was_made_already_does_not_stop_the_rest_for_ever() {
    let started = |writes: Vec<Write>| {
        let mut world = World::new(
            json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
        );
        world.settle();
        let effects = Effects {
            writes,
            ..Effects::default()
        };
        world.answer("smoke", waiting(&[], effects));
        world
    };
    let mut world = started(vec![create_settings(), create_job()]);
    world.refuse = vec![WriteErrorKind::AlreadyExists];
    world.pass();
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:08:19Z")));
    world.wait(10);
    world.refuse = vec![WriteErrorKind::AlreadyExists];
    world.pass();
    assert_eq!(world.written, ["Job shop/smoke.1 (the job of the metric)"]);
    assert_eq!(world.last("smoke").phase.as_str(), "Running");

    let delete = Write {
        edit: Edit::Delete(Propagation::Background),
        ..create_settings()
    };
    let mut world = started(vec![delete, create_job()]);
    world.refuse = vec![WriteErrorKind::NotFound];
    world.pass();
    assert_eq!(world.written, ["Job shop/smoke.1 (the job of the metric)"]);
    assert_eq!(world.last("smoke").phase.as_str(), "Running");
}

#[test]
fn a_restart_resumes_open_measurements_and_repeats_unfinished_ones() {
    let mut spec =
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] });
    spec["metrics"]
        .as_array_mut()
        .unwrap()
        .push(web(json!({}))["metrics"][0].clone());
    let mut world = World::new(spec);
    world.measure(
        "smoke",
        waiting(&[("job-name", "smoke.1")], Effects::default()),
    );
    world.jobs.clear();
    world.settle();
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Resume);
    assert_eq!(world.lifecycle("latency"), MeasureLifecycle::Start);
}

#[test]
fn a_reply_of_another_plugin_version_is_not_heard() {
    let mut world = World::new(web(json!({})));
    world.settle();
    world.answer("latency", number(500.0));
    for info in world.plugins.values_mut() {
        info.digest = "sha256:2".to_owned();
    }
    world.settle();
    assert!(world.run.status.metric_results.is_empty());
    world.answer("latency", number(1.0));
    world.settle();
    assert_eq!(world.phase(), "Successful");
}

// Design 4: only the settlement is repeated, with the outcomes kept
#[test]
fn a_status_write_that_took_effect_unnoticed_counts_once() {
    let mut world = World::new(web(json!({ "interval": "10s" })));
    world.settle();
    world.answer("latency", number(1.0));
    let seen = world.seen();
    let made = crate::analysis::decide(&seen);
    world.pass();
    assert_eq!(world.result("latency").count, 1);
    let again = crate::analysis::settle(
        &world.seen(),
        &made,
        &Outcome {
            done: vec![Done::Asked],
        },
    );
    assert_eq!((again.status, again.events), (None, Vec::new()));
    assert_eq!(again.settled.len(), 1);
    // Over a run that only somebody else has changed, the measurement is kept.
    let mut changed = seen;
    let mut run = (*changed.run).clone();
    run.metadata.resource_version = "77".to_owned();
    run.spec.terminate = true;
    changed.run = run.into();
    let kept = crate::analysis::settle(
        &changed,
        &made,
        &Outcome {
            done: vec![Done::Asked],
        },
    );
    let write = kept.status.unwrap();
    assert_eq!(write.precondition.as_deref(), Some("77"));
    let Edit::MergePatch(patch) = write.edit else {
        panic!()
    };
    assert_eq!(patch["status"]["metricResults"][0]["count"], 1);
    assert_eq!(patch["status"]["phase"], "Successful");
}

#[test]
fn a_start_is_never_repeated_because_what_it_created_changes() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
    );
    world.settle();
    let effects = Effects {
        writes: vec![create_job()],
        ..Effects::default()
    };
    world.answer("smoke", waiting(&[("job-name", "smoke.1")], effects));
    world.change("smoke");
    world.pass();
    assert_eq!(world.written.len(), 1);
    assert_eq!(
        world.last("smoke").metadata,
        texts(&[("job-name", "smoke.1")])
    );
    world.settle();
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Resume);
    assert_eq!(world.written.len(), 1);
}

#[test]
fn what_a_resumed_provider_wants_written_is_written_once() {
    let mut world = World::new(
        json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
    );
    world.measure("smoke", waiting(&[], Effects::default()));
    let effects = Effects {
        writes: vec![create_job()],
        ..Effects::default()
    };
    world.answer("smoke", waiting(&[], effects));
    world.settle();
    assert_eq!(world.written.len(), 1);
    // Its reply is not kept, so it is asked again after a while.
    assert_eq!(world.requeue, Requeue::At(at("2024-05-06T07:08:19Z")));
    world.wait(10);
    world.settle();
    assert_eq!(world.lifecycle("smoke"), MeasureLifecycle::Resume);
    assert_eq!(world.written.len(), 1);
}

// ENG-032
#[test]
fn a_cancellation_is_over_when_its_writes_are() {
    let check = |refusals: &[WriteErrorKind], phase: &str, message: &str, seconds: i64| {
        let mut world = World::new(
            json!({ "metrics": [{ "name": "smoke", "provider": { "job": { "spec": {} } } }] }),
        );
        world.measure("smoke", waiting(&[], Effects::default()));
        world.answer("smoke", waiting(&[], Effects::default()));
        world.run.spec.terminate = true;
        world.settle();
        let delete = Write {
            edit: Edit::Delete(Propagation::Background),
            ..create_job()
        };
        let effects = Effects {
            writes: vec![delete],
            ..Effects::default()
        };
        world.answer(
            "smoke",
            measured(Measured {
                effects,
                ..nothing()
            }),
        );
        world.refuse = refusals.to_vec();
        for _ in 0..3 {
            world.pass();
            if world.phase() == "Running" {
                world.wait(10);
            }
        }
        let last = world.last("smoke");
        assert_eq!(
            (last.phase.as_str(), last.message.as_str()),
            (phase, message),
            "{refusals:?}"
        );
        let finished = last.finished_at.unwrap().0;
        assert_eq!(
            finished.as_second() - at(super::world::START).as_second(),
            seconds,
            "{refusals:?}"
        );
        assert_eq!(world.phase(), "Successful");
    };
    check(&[], "Successful", "Metric Terminated", 0);
    check(
        &[WriteErrorKind::NotFound],
        "Successful",
        "Metric Terminated",
        0,
    );
    check(
        &[WriteErrorKind::Unavailable],
        "Successful",
        "Metric Terminated",
        0,
    );
    check(&[WriteErrorKind::Invalid], "Error", "no: Invalid", 0);
    let stuck = "what the provider wanted changed for the cancellation could not be written";
    check(&[WriteErrorKind::Unavailable; 3], "Error", stuck, 10);
}

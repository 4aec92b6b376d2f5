//! What Prometheus scrapes, from a whole process over a simulated API server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_cluster::{Clock, Cluster, Gate};
use sluice_plugin_host::{HttpPort, PluginHost};
use sluice_simulation::{Fault, Match, Rule, Simulation, Workloads};
use tokio_util::sync::CancellationToken;

use crate::{ClusterReads, Controller};

pub(super) fn rollout(name: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
            },
            "strategy": { "canary": {} },
        },
    })
}

fn template() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": { "name": "errors", "namespace": "shop" },
        "spec": { "metrics": [{ "name": "rate", "provider": { "web": { "url": "http://metrics" } } }] },
    })
}

pub(super) fn run() -> Value {
    let mut run = template();
    run["kind"] = "AnalysisRun".into();
    run["metadata"]["name"] = "judge".into();
    run
}

fn experiment() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": { "name": "both", "namespace": "shop" },
        "spec": { "templates": [] },
        "status": { "phase": "Running" },
    })
}

/// The five kinds without their schemas, so that the API server takes what nobody can read.
pub(super) fn definitions() -> Vec<Value> {
    let mut definitions = sluice_api::crds();
    for definition in &mut definitions {
        for version in definition["spec"]["versions"]
            .as_array_mut()
            .expect("versions")
        {
            version["schema"] = json!({ "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            } });
        }
    }
    definitions
}

/// Everything that is served after a minute of work on these objects.
async fn served(objects: Vec<Value>) -> String {
    served_by(Simulation::new(7), objects).await
}

/// The same, by this API server.
async fn served_by(simulation: Simulation, objects: Vec<Value>) -> String {
    served_after(simulation, objects, &[], Duration::ZERO).await
}

/// The same, where these objects (kind and name) are deleted after the minute and this time passes.
async fn served_after(
    simulation: Simulation,
    objects: Vec<Value>,
    deleted: &[(&str, &str)],
    wait: Duration,
) -> String {
    let clock = {
        let simulation = simulation.clone();
        Clock::new(move || simulation.now())
    };
    served_with(simulation, objects, deleted, wait, clock).await
}

/// The same, where passes read this clock.
async fn served_with(
    simulation: Simulation,
    objects: Vec<Value>,
    deleted: &[(&str, &str)],
    wait: Duration,
    clock: Clock,
) -> String {
    simulation.start_workloads(Workloads::default());
    for definition in definitions() {
        simulation.register(definition).expect("a definition");
    }
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    for object in [namespace].into_iter().chain(objects) {
        simulation.create(object).expect("created");
    }
    let settings = sluice_cluster::Settings {
        clock: {
            let simulation = simulation.clone();
            Clock::new(move || simulation.now())
        },
        ..sluice_cluster::Settings::default()
    };
    let cluster = Cluster::new(
        simulation.client_named("controller"),
        settings,
        Gate::open(),
    );
    let http = HttpPort::new(tower::service_fn(async |_: http::Request<Bytes>| {
        Ok::<_, std::io::Error>(http::Response::new(Bytes::new()))
    }));
    let reads = Arc::new(ClusterReads::new(cluster.clone()));
    let plugins = PluginHost::new(sluice_plugin_host::Settings {
        ticker: false,
        ..sluice_plugin_host::Settings::new(http, reads)
    })
    .expect("a plugin host");
    let controller = Controller::new(cluster, plugins, clock, 4, None);
    let metrics = controller.metrics();
    let stop = CancellationToken::new();
    let working = tokio::spawn(controller.run(futures::stream::empty(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    for (kind, name) in deleted {
        let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind);
        simulation
            .delete(&kind, "shop", name)
            .expect("an object to delete");
    }
    tokio::time::sleep(wait).await;
    let text = metrics.text();
    stop.cancel();
    working.await.expect("an orderly end");
    text
}

/// The names of the samples.
fn names(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect()
}

// MET-001, MET-002, MET-003, MET-004, MET-006, MET-007, MET-008, MET-009, MET-010, MET-012, MET-013
#[tokio::test(start_paused = true)]
async fn figures_have_upstreams_names_and_labels() {
    let objects = vec![rollout("web"), template(), run(), experiment()];
    let text = served(objects).await;
    let names = names(&text);
    for name in [
        "rollout_info",
        "rollout_info_replicas_available",
        "rollout_info_replicas_unavailable",
        "rollout_info_replicas_desired",
        "rollout_info_replicas_updated",
        "rollout_phase",
        "rollout_reconcile_bucket",
        "rollout_events_total",
        "rollout_duration_seconds_bucket",
        "rollout_progression_duration_seconds_bucket",
        "rollout_manual_pause_duration_seconds_bucket",
        "analysis_run_info",
        "analysis_run_phase",
        "analysis_run_metric_type",
        "analysis_run_metric_phase",
        "analysis_run_reconcile_bucket",
        "analysis_template_info",
        "analysis_template_metric_info",
        "experiment_info",
        "experiment_phase",
        "controller_clientset_k8s_request_total",
        "argo_rollouts_controller_info",
        "build_info",
        "workqueue_depth",
        "workqueue_adds_total",
        "workqueue_queue_duration_seconds_bucket",
        "workqueue_work_duration_seconds_bucket",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
        "workqueue_retries_total",
        "process_cpu_seconds_total",
    ] {
        assert!(names.contains(name), "{name} is missing:\n{text}");
    }
    for line in [
        r#"rollout_info{namespace="shop",name="web",strategy="canary",traffic_router="",phase="Completed"} 1"#,
        r#"rollout_phase{namespace="shop",name="web",strategy="canary",phase="Completed"} 1"#,
        r#"rollout_phase{namespace="shop",name="web",strategy="canary",phase="Abort"} 0"#,
        r#"rollout_info_replicas_available{namespace="shop",name="web"} 2"#,
        r#"rollout_duration_seconds_count{status="Promoted"} 1"#,
        r#"rollout_manual_pause_duration_seconds_sum{status="Promoted"} 0.0"#,
        r#"analysis_run_phase{namespace="shop",name="judge",phase="Error"} 1"#,
        r#"analysis_run_phase{namespace="shop",name="judge",phase="Pending"} 0"#,
        r#"analysis_run_metric_phase{namespace="shop",name="judge",metric="rate",type="Web",dry_run="false",phase="Failed"} 0"#,
        r#"experiment_info{namespace="shop",name="both",phase="Running"} 1"#,
        r#"experiment_phase{namespace="shop",name="both",phase="Running"} 1"#,
        r#"experiment_phase{namespace="shop",name="both",phase="Pending"} 0"#,
        r#"workqueue_depth{name="Rollouts"} 0"#,
        r#"workqueue_unfinished_work_seconds{name="AnalysisRuns"} 0.0"#,
        r#"analysis_run_metric_type{namespace="shop",name="judge",metric="rate",type="Web"} 1"#,
        r#"analysis_template_metric_info{namespace="shop",name="errors",metric="rate",type="Web"} 1"#,
        r#"rollout_events_total{namespace="shop",name="web",type="Normal",reason="RolloutCompleted"} 1"#,
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing:\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    let build = text
        .lines()
        .find(|line| line.starts_with("build_info{"))
        .expect("the build");
    for label in ["version=", "rustversion=", "goarch=", "commit="] {
        assert!(build.contains(label), "{build}");
    }
}

// MET-007
#[tokio::test(start_paused = true)]
async fn durations_of_updates_have_upstreams_buckets() {
    let text = served(vec![rollout("web")]).await;
    let buckets = |name: &str| -> Vec<f64> {
        let begin = format!("{name}_bucket{{");
        text.lines()
            .filter(|line| line.starts_with(&begin) && line.contains(r#"status="Promoted""#))
            .filter_map(|line| line.split(r#"le=""#).nth(1)?.split('"').next())
            .filter(|bound| *bound != "+Inf")
            .map(|bound| bound.parse().expect("a number"))
            .collect()
    };
    for (name, bounds) in [
        (
            "rollout_duration_seconds",
            &[
                30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0,
            ][..],
        ),
        (
            "rollout_progression_duration_seconds",
            &[30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0],
        ),
        (
            "rollout_manual_pause_duration_seconds",
            &[
                0.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0,
            ],
        ),
    ] {
        assert_eq!(buckets(name), bounds, "{name}:\n{text}");
    }
}

// MET-013
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn the_process_is_measured() {
    let text = served(Vec::new()).await;
    let value = |name: &str| -> f64 {
        let begin = format!("{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&begin));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{name} is missing:\n{text}"))
    };
    assert!(value("process_cpu_seconds_total") > 0.0);
    let resident = value("process_resident_memory_bytes");
    assert!(resident > 1e6, "{resident}");
    assert!(value("process_virtual_memory_bytes") >= resident);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    // After this was written.
    assert!(value("process_start_time_seconds") > 1.7e9);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_counted_and_skipped_and_others_go_on() {
    let mut hopeless = rollout("hopeless");
    hopeless["spec"] = "nothing".into();
    let mut odd = template();
    odd["spec"]["metrics"] = "many".into();
    let text = served(vec![hopeless, odd, rollout("web")]).await;
    let count = |kind: &str| {
        let begin = format!("sluice_undecodable_objects_total{{kind=\"{kind}\"}} ");
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix(begin.as_str()));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    assert!(count("Rollout") > 0, "{text}");
    assert!(count("AnalysisTemplate") > 0, "{text}");
    assert!(
        text.contains(r#"name="web",strategy="canary",traffic_router="",phase="Completed"}"#),
        "{text}"
    );
    // Whoever wrote it is told, and the series of others are there.
    assert!(
        text.contains(r#"name="hopeless",strategy="none",traffic_router="",phase="InvalidSpec"}"#),
        "{text}"
    );
}

// MET-005: a counter whose name does not end in `_total`. REC-001: a server that is in trouble is not asked without a pause.
#[tokio::test(start_paused = true)]
async fn failed_passes_are_counted_under_upstreams_name() {
    let simulation = Simulation::new(7);
    let writes = Match::any()
        .client("controller")
        .writes()
        .resource("replicasets");
    simulation
        .faults()
        .add(Rule::new(writes, Fault::Status(500)));
    let text = served_by(simulation, vec![rollout("web")]).await;
    let begin = r#"rollout_reconcile_error{namespace="shop",name="web"} "#;
    let count: Option<u64> = text
        .lines()
        .find_map(|line| line.strip_prefix(begin)?.parse().ok());
    // 1 ms, doubled until 10 s are reached; that is 18 in a minute.
    assert!(
        count.is_some_and(|count| (10..30).contains(&count)),
        "{text}"
    );
}

// REC-001: a mistake of ours about one object is counted, tried again, and ends nothing else.
#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_pass() {
    let simulation = Simulation::new(7);
    let clock = {
        let simulation = simulation.clone();
        let panics = AtomicUsize::new(0);
        Clock::new(move || {
            assert!(
                panics.fetch_add(1, Ordering::Relaxed) >= 3,
                "a mistake of ours"
            );
            simulation.now()
        })
    };
    let objects = vec![rollout("web"), rollout("other")];
    let text = served_with(simulation, objects, &[], Duration::ZERO, clock).await;
    for name in ["web", "other"] {
        let healthy =
            format!(r#"name="{name}",strategy="canary",traffic_router="",phase="Completed"}} 1"#);
        assert!(text.contains(&healthy), "{text}");
    }
    let failures: u64 = text
        .lines()
        .filter(|line| line.starts_with("rollout_reconcile_error{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum();
    assert_eq!(failures, 3, "{text}");
}

// MET-012, MET-014: the ReplicaSets that go with a Rollout ask for a pass over it, which must not bring its series back.
#[tokio::test(start_paused = true)]
async fn series_of_a_deleted_object_end_and_a_namesakes_stay() {
    let mut namesake = run();
    namesake["metadata"]["name"] = "web".into();
    let objects = || vec![rollout("web"), namesake.clone()];
    let begins = |text: &str, begin: &str| text.lines().any(|line| line.starts_with(begin));
    let of_rollouts = [
        r#"rollout_reconcile_count{namespace="shop",name="web""#,
        r#"rollout_events_total{namespace="shop",name="web""#,
        r#"controller_clientset_k8s_request_total{kind="rollouts",namespace="shop",name="web""#,
    ];
    let of_runs = [
        r#"analysis_run_reconcile_count{namespace="shop",name="web""#,
        r#"controller_clientset_k8s_request_total{kind="analysisruns",namespace="shop",name="web""#,
    ];
    for (deleted, of_rollout, of_run) in [
        (&[][..], true, true),
        (&[("Rollout", "web")], false, true),
        (&[("AnalysisRun", "web")], true, false),
    ] {
        let wait = Duration::from_secs(150);
        let text = served_after(Simulation::new(7), objects(), deleted, wait).await;
        let expected = of_rollouts.map(|begin| (begin, of_rollout));
        let others = of_runs.map(|begin| (begin, of_run));
        for (begin, there) in expected.into_iter().chain(others) {
            assert_eq!(begins(&text, begin), there, "{deleted:?}, {begin}:\n{text}");
        }
    }
}

// MET-006, MET-014: what an object came to is scraped once more, and so is its end.
#[tokio::test(start_paused = true)]
async fn series_of_a_deleted_object_stay_for_a_minute() {
    let deleted = [("Rollout", "web")];
    let wait = Duration::from_secs(30);
    let text = served_after(Simulation::new(7), vec![rollout("web")], &deleted, wait).await;
    let line = r#"rollout_events_total{namespace="shop",name="web",type="Normal",reason="RolloutDeleted"} 1"#;
    assert!(text.lines().any(|found| found == line), "{text}");
    // What it is, is nothing.
    assert!(!text.contains("rollout_info{"), "{text}");
}

// MET-012: a namespace that was there for one change leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn series_of_requests_end_with_the_last_object_of_their_namespace() {
    let about_namespace = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("controller_clientset"))
            .any(|line| line.contains(r#"namespace="shop""#))
    };
    let wait = Duration::from_secs(150);
    let objects = || vec![rollout("web")];
    let text = served_after(Simulation::new(7), objects(), &[], wait).await;
    assert!(about_namespace(&text), "{text}");
    let deleted = [("Rollout", "web")];
    let text = served_after(Simulation::new(7), objects(), &deleted, wait).await;
    assert!(!about_namespace(&text), "{text}");
    assert!(text.contains(r#"kind="rollouts",namespace="""#), "{text}");
}

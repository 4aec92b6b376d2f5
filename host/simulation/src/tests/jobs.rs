use std::time::Duration;

use super::*;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use tokio::time::{Instant, sleep};

use crate::Workloads;

fn job(spec: Value, annotations: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "check", "namespace": "default"},
        "spec": {"template": {
            "metadata": {"annotations": annotations},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "example.com/check:1"}],
            },
        }},
    });
    for (field, value) in spec.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job
}

/// Runs a job until it has ended, and tells how: condition, reason, pods that succeeded and failed, seconds.
async fn ended(spec: Value, annotations: Value) -> (String, String, i32, i32, u64) {
    let simulation = Simulation::new(1);
    simulation.start_workloads(Workloads::default());
    simulation.create(job(spec, annotations)).unwrap();
    let jobs: Api<Job> = Api::default_namespaced(simulation.client());
    let started = Instant::now();
    loop {
        let status = jobs.get("check").await.unwrap().status.unwrap_or_default();
        let end = status
            .conditions
            .iter()
            .flatten()
            .find(|one| matches!(one.type_.as_str(), "Complete" | "Failed"));
        if let Some(end) = end {
            assert_eq!(status.active, None);
            return (
                end.type_.clone(),
                end.reason.clone().unwrap(),
                status.succeeded.unwrap_or_default(),
                status.failed.unwrap_or_default(),
                started.elapsed().as_secs(),
            );
        }
        assert!(started.elapsed() < Duration::from_secs(3600), "{status:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn jobs_end_as_their_pods_do() {
    let cases = [
        (
            json!({}),
            json!({"simulation.sluice.dev/finish-after": "5s"}),
            ("Complete", "CompletionsReached", 1, 0, 5),
        ),
        (
            json!({"completions": 3, "parallelism": 2}),
            json!({"simulation.sluice.dev/finish-after": "5s"}),
            ("Complete", "CompletionsReached", 3, 0, 10),
        ),
        // One second, ten of back-off, one second.
        (
            json!({"backoffLimit": 1}),
            json!({"simulation.sluice.dev/exit-code": "3"}),
            ("Failed", "BackoffLimitExceeded", 0, 2, 12),
        ),
        (
            json!({"backoffLimit": 0}),
            json!({"simulation.sluice.dev/crash-after": "2s"}),
            ("Failed", "BackoffLimitExceeded", 0, 1, 2),
        ),
        (
            json!({"activeDeadlineSeconds": 20}),
            json!({"simulation.sluice.dev/finish-after": "never"}),
            ("Failed", "DeadlineExceeded", 0, 0, 20),
        ),
    ];
    for (spec, annotations, expected) in cases {
        let (end, reason, succeeded, failed, seconds) =
            ended(spec.clone(), annotations.clone()).await;
        assert_eq!(
            (end.as_str(), reason.as_str(), succeeded, failed, seconds),
            expected,
            "{spec} {annotations}"
        );
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_deleted_job_leaves_its_pods_unless_told_otherwise_and_an_expired_one_takes_them_along() {
    let pods_after = async |delete: Option<DeleteParams>| {
        let simulation = Simulation::new(1);
        simulation.start_workloads(Workloads::default());
        let ttl = if delete.is_none() {
            json!({"ttlSecondsAfterFinished": 60})
        } else {
            json!({})
        };
        simulation.create(job(ttl, json!({}))).unwrap();
        simulation.settle(Duration::from_secs(30)).await.unwrap();
        let jobs: Api<Job> = Api::default_namespaced(simulation.client());
        if let Some(params) = delete {
            jobs.delete("check", &params).await.unwrap();
        }
        simulation.settle(Duration::from_secs(100)).await.unwrap();
        assert_eq!(jobs.get_opt("check").await.unwrap(), None);
        let pods: Api<Pod> = Api::default_namespaced(simulation.client());
        pods.list(&ListParams::default()).await.unwrap().items.len()
    };
    assert_eq!(pods_after(Some(DeleteParams::default())).await, 1);
    assert_eq!(pods_after(Some(DeleteParams::background())).await, 0);
    assert_eq!(pods_after(None).await, 0);
}

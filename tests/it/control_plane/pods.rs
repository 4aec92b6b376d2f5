//! Pods do what their annotations say.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, Pod, PodReadinessGate};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::conditions;
use serde_json::json;
use sluice_tests::control_plane::{User, in_namespace};

use super::wait_for;

const PREFIX: &str = "simulation.sluice.dev/";

fn pod(name: &str, restart_policy: &str, annotations: &[(&str, &str)]) -> Result<Pod> {
    let annotations: BTreeMap<String, &str> = annotations
        .iter()
        .map(|(key, value)| (format!("{PREFIX}{key}"), *value))
        .collect();
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"restartPolicy": restart_policy, "containers": [{"name": "shop", "image": "shop:1"}]},
    }))?)
}

/// Name, restart policy, annotations, and what is shown in the end.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// What `kubectl get pods` would show, and whether the pod is ready: `Running ready`,
/// `CrashLoopBackOff(1)`, `Failed(3)`, with the exit code if there is one.
fn shown(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return String::new();
    };
    let phase = status.phase.clone().unwrap_or_default();
    let container = status.container_statuses.iter().flatten().next();
    let state = container
        .and_then(|container| container.state.clone())
        .unwrap_or_default();
    let last = container
        .and_then(|container| container.last_state.clone())
        .unwrap_or_default();
    let code = |state: &ContainerState| {
        state
            .terminated
            .as_ref()
            .map(|terminated| terminated.exit_code)
    };
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|one| one.type_ == "Ready" && one.status == "True");
    let word = state
        .waiting
        .as_ref()
        .and_then(|waiting| waiting.reason.clone())
        .unwrap_or(phase);
    let code = code(&state)
        .or(code(&last))
        .map(|code| format!("({code})"))
        .unwrap_or_default();
    let ready = if ready { " ready" } else { "" };
    format!("{word}{code}{ready}")
}

fn shows(expected: &str) -> impl Fn(Option<&Pod>) -> bool {
    let expected = expected.to_owned();
    move |pod: Option<&Pod>| pod.is_some_and(|pod| shown(pod) == expected)
}

#[tokio::test]
async fn a_deployment_of_three_gets_ready() -> Result<()> {
    in_namespace("deployment", async |plane, namespace| {
        let deployments =
            Api::<Deployment>::namespaced(plane.client(User::Admin).await?, namespace);
        let shop = serde_json::from_value(json!({
            "metadata": {"name": "shop"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "shop"}},
                "template": {
                    "metadata": {"labels": {"app": "shop"}},
                    "spec": {"containers": [{"name": "shop", "image": "shop:1"}]},
                },
            },
        }))?;
        deployments.create(&PostParams::default(), &shop).await?;
        wait_for(
            &deployments,
            "shop",
            "available with three pods",
            |deployment: Option<&Deployment>| {
                deployment
                    .and_then(|one| one.status.as_ref())
                    .and_then(|status| status.available_replicas)
                    == Some(3)
            },
        )
        .await
    })
    .await
}

#[tokio::test]
async fn annotations_say_what_becomes_of_a_pod() -> Result<()> {
    in_namespace("pods", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(plane.client(User::Admin).await?, namespace);
        let table: &[Row] = &[
            ("plain", "Always", &[], "Running ready"),
            (
                "slow",
                "Always",
                &[("ready-after", "1s500ms")],
                "Running ready",
            ),
            (
                "never",
                "Always",
                &[("never-ready", "true"), ("ready-after", "1ms")],
                "Running",
            ),
            (
                "crash",
                "Always",
                &[("crash-after", "300ms")],
                "CrashLoopBackOff(1)",
            ),
            (
                "exits",
                "OnFailure",
                &[("finish-after", "100ms"), ("exit-code", "137")],
                "CrashLoopBackOff(137)",
            ),
            (
                "crash-sooner",
                "Never",
                &[
                    ("crash-after", "100ms"),
                    ("finish-after", "1h"),
                    ("exit-code", "3"),
                ],
                "Failed(1)",
            ),
            (
                "finish-sooner",
                "Never",
                &[
                    ("crash-after", "1h"),
                    ("finish-after", "100ms"),
                    ("exit-code", "3"),
                ],
                "Failed(3)",
            ),
            (
                "endless",
                "Never",
                &[("finish-after", "never")],
                "Running ready",
            ),
            (
                "crash-end",
                "Never",
                &[("crash-after", "100ms")],
                "Failed(1)",
            ),
            (
                "crash-first",
                "Always",
                &[("ready-after", "1h"), ("crash-after", "100ms")],
                "CrashLoopBackOff(1)",
            ),
            (
                "image",
                "Always",
                &[("image-error", "true")],
                "ImagePullBackOff",
            ),
            ("well", "Never", &[], "Succeeded(0)"),
            (
                "later",
                "OnFailure",
                &[("finish-after", "400ms")],
                "Succeeded(0)",
            ),
            (
                "badly",
                "Never",
                &[("finish-after", "100ms"), ("exit-code", "3")],
                "Failed(3)",
            ),
            ("no-unit", "Always", &[("ready-after", "3")], "Running"),
        ];
        for (name, restart_policy, annotations, _) in table {
            pods.create(
                &PostParams::default(),
                &pod(name, restart_policy, annotations)?,
            )
            .await?;
        }
        for (name, _, _, expected) in table {
            wait_for(&pods, name, expected, shows(expected)).await?;
        }
        // These could have got ready or ended meanwhile, and must not.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for (name, expected) in [
            ("never", "Running"),
            ("no-unit", "Running"),
            ("endless", "Running ready"),
        ] {
            assert_eq!(shown(&pods.get(name).await?), expected, "{name}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_is_not_ready_before_its_time() -> Result<()> {
    in_namespace("pods", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(plane.client(User::Admin).await?, namespace);
        pods.create(
            &PostParams::default(),
            &pod("slow", "Always", &[("ready-after", "2s")])?,
        )
        .await?;
        wait_for(&pods, "slow", "running", shows("Running")).await?;
        wait_for(&pods, "slow", "ready", shows("Running ready")).await?;
        let status = pods
            .get("slow")
            .await?
            .status
            .context("the pod has a status")?;
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions
            .iter()
            .find(|one| one.type_ == "Ready")
            .and_then(|one| one.last_transition_time.clone());
        let (start, ready) = (
            status.start_time.context("it has started")?,
            ready.context("it got ready")?,
        );
        // The API's times are whole seconds, cut off.
        assert!(
            ready.0.duration_since(start.0).as_secs() >= 2,
            "{start:?} {ready:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_running_pod_obeys_a_changed_annotation() -> Result<()> {
    in_namespace("pods", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(plane.client(User::Admin).await?, namespace);
        let annotate = async |name: &str, key: &str, value: Option<&str>| {
            let patch = json!({"metadata": {"annotations": {format!("{PREFIX}{key}"): value}}});
            pods.patch(name, &PatchParams::default(), &Patch::Merge(patch))
                .await
        };
        pods.create(&PostParams::default(), &pod("shop", "Always", &[])?)
            .await?;
        pods.create(
            &PostParams::default(),
            &pod("image", "Always", &[("image-error", "true")])?,
        )
        .await?;
        wait_for(&pods, "shop", "ready", shows("Running ready")).await?;
        wait_for(
            &pods,
            "image",
            "without its image",
            shows("ImagePullBackOff"),
        )
        .await?;

        annotate("shop", "never-ready", Some("true")).await?;
        wait_for(&pods, "shop", "not ready any more", shows("Running")).await?;
        annotate("shop", "never-ready", None).await?;
        wait_for(&pods, "shop", "ready again", shows("Running ready")).await?;
        annotate("image", "image-error", None).await?;
        wait_for(&pods, "image", "ready", shows("Running ready")).await
    })
    .await
}

#[tokio::test]
async fn a_deleted_pod_is_gone_at_once() -> Result<()> {
    in_namespace("pods", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(plane.client(User::Admin).await?, namespace);
        pods.create(
            &PostParams::default(),
            &pod("shop", "Always", &[("never-ready", "true")])?,
        )
        .await?;
        wait_for(&pods, "shop", "running", shows("Running")).await?;
        let uid = pods
            .get("shop")
            .await?
            .metadata
            .uid
            .context("a pod has a uid")?;
        pods.delete("shop", &DeleteParams::default()).await?;
        wait_for(&pods, "shop", "gone", conditions::is_deleted(&uid)).await
    })
    .await
}

#[tokio::test]
async fn a_job_completes_and_fails_by_its_exit_code() -> Result<()> {
    in_namespace("jobs", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let jobs = Api::<Job>::namespaced(plane.client(User::Admin).await?, namespace);
        let job = |name: &str, code: &str| {
            serde_json::from_value(json!({
                "metadata": {"name": name},
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "metadata": {"annotations": {"simulation.sluice.dev/exit-code": code}},
                        "spec": {"restartPolicy": "Never", "containers": [{"name": "smoke", "image": "smoke:1"}]},
                    },
                },
            }))
        };
        let ended = |condition: &'static str| {
            move |job: Option<&Job>| {
                let conditions = job.and_then(|job| job.status.as_ref()).and_then(|status| status.conditions.as_ref());
                conditions.is_some_and(|all| all.iter().any(|one| one.type_ == condition && one.status == "True"))
            }
        };
        jobs.create(&PostParams::default(), &job("good", "0")?).await?;
        jobs.create(&PostParams::default(), &job("bad", "2")?).await?;
        wait_for(&jobs, "good", "complete", ended("Complete")).await?;
        wait_for(&jobs, "bad", "failed", ended("Failed")).await
    })
    .await
}

#[tokio::test]
async fn a_crashed_pod_is_restarted_after_a_pause_and_crashes_again() -> Result<()> {
    in_namespace("pods", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(plane.client(User::Admin).await?, namespace);
        pods.create(
            &PostParams::default(),
            &pod("shop", "Always", &[("crash-after", "200ms")])?,
        )
        .await?;
        let restarts = |pod: &Pod| {
            let containers = pod
                .status
                .as_ref()
                .and_then(|status| status.container_statuses.as_ref());
            containers
                .and_then(|all| all.first())
                .map(|container| container.restart_count)
        };
        for count in [0, 1] {
            let backing_off = move |pod: Option<&Pod>| {
                pod.is_some_and(|pod| {
                    shown(pod) == "CrashLoopBackOff(1)" && restarts(pod) == Some(count)
                })
            };
            wait_for(&pods, "shop", "backing off", backing_off).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_is_ready_only_while_its_gates_are_open() -> Result<()> {
    in_namespace("pods", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(plane.client(User::Admin).await?, namespace);
        let mut gated = pod("shop", "Always", &[])?;
        if let Some(spec) = &mut gated.spec {
            spec.readiness_gates = Some(vec![PodReadinessGate {
                condition_type: "shop.example/open".to_owned(),
            }]);
        }
        let set = async |status: &str| {
            let condition = json!({"type": "shop.example/open", "status": status});
            let patch = json!({"status": {"conditions": [condition]}});
            pods.patch_status("shop", &PatchParams::default(), &Patch::Strategic(patch))
                .await
        };
        pods.create(&PostParams::default(), &gated).await?;
        wait_for(&pods, "shop", "running", shows("Running")).await?;
        set("True").await?;
        wait_for(&pods, "shop", "ready", shows("Running ready")).await?;
        set("False").await?;
        wait_for(&pods, "shop", "not ready any more", shows("Running")).await
    })
    .await
}

#[tokio::test]
async fn a_deleted_pod_lingers_as_long_as_it_is_told() -> Result<()> {
    in_namespace("pods", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let pods = Api::<Pod>::namespaced(plane.client(User::Admin).await?, namespace);
        for (name, after) in [("linger", "1h"), ("leave", "500ms")] {
            pods.create(
                &PostParams::default(),
                &pod(name, "Always", &[("gone-after", after)])?,
            )
            .await?;
        }
        wait_for(&pods, "linger", "ready", shows("Running ready")).await?;
        wait_for(&pods, "leave", "ready", shows("Running ready")).await?;
        let uid = pods
            .get("leave")
            .await?
            .metadata
            .uid
            .context("a pod has a uid")?;
        for name in ["linger", "leave"] {
            pods.delete(name, &DeleteParams::default()).await?;
        }
        wait_for(&pods, "leave", "gone", conditions::is_deleted(&uid)).await?;
        assert!(
            pods.get("linger")
                .await?
                .metadata
                .deletion_timestamp
                .is_some()
        );
        // Nobody else is patient enough.
        pods.delete("linger", &DeleteParams::default().grace_period(0))
            .await?;
        Ok(())
    })
    .await
}

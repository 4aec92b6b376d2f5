use std::time::Duration;

use super::*;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams};
use tokio::time::{Instant, sleep};

use crate::Workloads;

const QUIET: Duration = Duration::from_secs(5);

fn deployment(spec: Value) -> Value {
    let mut deployment = replica_set("shop", 4);
    deployment["kind"] = json!("Deployment");
    for (field, value) in spec.as_object().unwrap() {
        deployment["spec"][field] = value.clone();
    }
    deployment
}

async fn running(spec: Value) -> (Simulation, Api<Deployment>) {
    let simulation = Simulation::new(1);
    simulation.start_workloads(Workloads::default());
    simulation.create(deployment(spec)).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let deployments = Api::default_namespaced(simulation.client());
    (simulation, deployments)
}

async fn release(deployments: &Api<Deployment>, image: &str, annotations: Value) {
    let patch = json!({"spec": {"template": {
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }}});
    deployments
        .patch("shop", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

fn progress(deployment: &Deployment) -> (String, String) {
    let conditions = deployment
        .status
        .as_ref()
        .unwrap()
        .conditions
        .clone()
        .unwrap();
    let one = conditions
        .into_iter()
        .find(|one| one.type_ == "Progressing")
        .unwrap();
    (one.status, one.reason.unwrap())
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_rolling_update_never_goes_below_or_above_its_limits() {
    let strategy =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}});
    let (simulation, deployments) = running(json!({"strategy": strategy})).await;
    let first = deployments.get("shop").await.unwrap();
    assert_eq!(first.status.as_ref().unwrap().available_replicas, Some(4));
    assert_eq!(
        first.metadata.annotations.clone().unwrap()["deployment.kubernetes.io/revision"],
        "1"
    );
    assert_eq!(
        progress(&first),
        ("True".to_owned(), "NewReplicaSetAvailable".to_owned())
    );

    release(&deployments, "example.com/shop:8", Value::Null).await;
    let started = Instant::now();
    loop {
        sleep(Duration::from_millis(50)).await;
        let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
        let sets = sets.list(&ListParams::default()).await.unwrap();
        let wished: i32 = sets
            .items
            .iter()
            .filter_map(|set| set.spec.as_ref()?.replicas)
            .sum();
        let available: i32 = sets
            .items
            .iter()
            .filter_map(|set| set.status.as_ref()?.available_replicas)
            .sum();
        assert!(wished <= 5 && available >= 3, "{wished} {available}");
        let now = deployments.get("shop").await.unwrap();
        let status = now.status.as_ref().unwrap();
        if status.updated_replicas == Some(4)
            && status.available_replicas == Some(4)
            && status.replicas == Some(4)
        {
            assert_eq!(
                now.metadata.annotations.clone().unwrap()["deployment.kubernetes.io/revision"],
                "2"
            );
            assert_eq!(sets.items.len(), 2);
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{status:?}");
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn recreate_waits_until_the_old_pods_are_gone() {
    let (simulation, deployments) = running(json!({"strategy": {"type": "Recreate"}})).await;
    release(&deployments, "example.com/shop:8", Value::Null).await;
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        let images: std::collections::BTreeSet<String> = simulation
            .list(&gvk("", "v1", "Pod"), None)
            .iter()
            .map(|pod| pod["spec"]["containers"][0]["image"].to_string())
            .collect();
        assert!(images.len() <= 1, "{images:?}");
    }
    let status = deployments.get("shop").await.unwrap().status.unwrap();
    assert_eq!(
        (status.updated_replicas, status.available_replicas),
        (Some(4), Some(4))
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_rollout_that_does_not_progress_says_so_and_an_old_template_returns_to_its_set() {
    let (simulation, deployments) = running(json!({"progressDeadlineSeconds": 30})).await;
    let never = json!({"simulation.sluice.dev/never-ready": "true"});
    release(&deployments, "example.com/shop:8", never).await;
    sleep(Duration::from_secs(40)).await;
    let late = deployments.get("shop").await.unwrap();
    assert_eq!(
        progress(&late),
        ("False".to_owned(), "ProgressDeadlineExceeded".to_owned())
    );
    assert!(late.status.unwrap().available_replicas.unwrap() >= 3);

    release(&deployments, "example.com/shop:7", Value::Null).await;
    simulation.settle(QUIET).await.unwrap();
    let back = deployments.get("shop").await.unwrap();
    assert_eq!(
        back.metadata.annotations.clone().unwrap()["deployment.kubernetes.io/revision"],
        "3"
    );
    assert_eq!(
        progress(&back),
        ("True".to_owned(), "NewReplicaSetAvailable".to_owned())
    );
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    assert_eq!(
        sets.list(&ListParams::default()).await.unwrap().items.len(),
        2
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_deployment_can_be_scaled_to_nothing_and_keeps_a_short_history() {
    let (simulation, deployments) = running(json!({"revisionHistoryLimit": 1})).await;
    for version in 8..12 {
        release(
            &deployments,
            &format!("example.com/shop:{version}"),
            Value::Null,
        )
        .await;
        simulation.settle(QUIET).await.unwrap();
    }
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    assert_eq!(
        sets.list(&ListParams::default()).await.unwrap().items.len(),
        2
    );
    let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
    deployments
        .patch_scale("shop", &PatchParams::default(), &patch)
        .await
        .unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert!(simulation.list(&gvk("", "v1", "Pod"), None).is_empty());
    assert_eq!(
        deployments
            .get("shop")
            .await
            .unwrap()
            .status
            .unwrap()
            .replicas,
        None
    );
}

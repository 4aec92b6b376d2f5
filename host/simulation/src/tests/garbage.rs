use std::time::Duration;

use super::*;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, PropagationPolicy};
use tokio::time::sleep;

use crate::Workloads;

const QUIET: Duration = Duration::from_secs(5);

async fn two_pods() -> (Simulation, Api<ReplicaSet>, Api<Pod>) {
    let simulation = Simulation::new(1);
    simulation.start_workloads(Workloads::default());
    simulation.create(replica_set("shop", 2)).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let client = simulation.client();
    let (sets, pods) = (
        Api::default_namespaced(client.clone()),
        Api::default_namespaced(client),
    );
    (simulation, sets, pods)
}

async fn count(pods: &Api<Pod>) -> usize {
    pods.list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn in_the_background_the_owner_goes_first() {
    let (simulation, sets, pods) = two_pods().await;
    sets.delete("shop", &DeleteParams::default()).await.unwrap();
    assert_eq!(sets.get_opt("shop").await.unwrap(), None);
    assert_eq!(count(&pods).await, 2);
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(count(&pods).await, 0);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn in_the_foreground_the_owner_waits_for_its_dependents() {
    let (simulation, sets, pods) = two_pods().await;
    let foreground = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        ..DeleteParams::default()
    };
    sets.delete("shop", &foreground).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    let waiting = sets.get("shop").await.unwrap();
    assert_eq!(
        waiting.metadata.finalizers.as_deref(),
        Some(["foregroundDeletion".to_owned()].as_slice())
    );
    assert_eq!(count(&pods).await, 2);
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(sets.get_opt("shop").await.unwrap(), None);
    assert_eq!(count(&pods).await, 0);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn orphans_stay_and_forget_their_owner() {
    let (simulation, sets, pods) = two_pods().await;
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    sets.delete("shop", &orphan).await.unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(sets.get_opt("shop").await.unwrap(), None);
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        assert_eq!(pod.metadata.owner_references.unwrap_or_default(), []);
        assert_eq!(pod.metadata.deletion_timestamp, None);
    }
    assert_eq!(count(&pods).await, 2);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_object_whose_owner_never_was_is_collected_and_one_with_another_owner_kept() {
    let simulation = Simulation::new(1);
    simulation.start_workloads(Workloads::default());
    let solid = simulation.create(config_map("solid", json!({}))).unwrap();
    let reference = |name: &str, uid: &Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid});
    let mut lost = config_map("lost", json!({}));
    lost["metadata"]["ownerReferences"] = json!([reference("never", &json!("no-such-uid"))]);
    simulation.create(lost).unwrap();
    let mut kept = config_map("kept", json!({}));
    kept["metadata"]["ownerReferences"] = json!([
        reference("never", &json!("no-such-uid")),
        reference("solid", &solid["metadata"]["uid"]),
    ]);
    simulation.create(kept).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let map = gvk("", "v1", "ConfigMap");
    assert_eq!(simulation.get(&map, "default", "lost"), None);
    let kept = simulation.get(&map, "default", "kept").unwrap();
    assert_eq!(
        kept["metadata"]["ownerReferences"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    simulation.delete(&map, "default", "solid").unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(simulation.get(&map, "default", "kept"), None);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_namespace_is_emptied_before_it_goes() {
    let simulation = Simulation::new(1);
    simulation.start_workloads(Workloads::default());
    simulation
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
        .unwrap();
    let mut set = replica_set("shop", 2);
    set["metadata"]["namespace"] = json!("team");
    simulation.create(set).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(simulation.client());
    namespaces
        .delete("team", &DeleteParams::default())
        .await
        .unwrap();
    sleep(Duration::from_millis(200)).await;
    let leaving = namespaces.get("team").await.unwrap();
    assert_eq!(
        leaving.status.unwrap().phase.as_deref(),
        Some("Terminating")
    );
    let mut late = config_map("late", json!({}));
    late["metadata"]["namespace"] = json!("team");
    assert_eq!(simulation.create(late).unwrap_err().code, 403);
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(namespaces.get_opt("team").await.unwrap(), None);
    assert!(simulation.list(&gvk("", "v1", "Pod"), None).is_empty());
}

use std::time::Duration;

use super::*;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use tokio::time::{Instant, sleep};

use crate::Workloads;

const QUIET: Duration = Duration::from_secs(5);

fn running(seed: u64) -> Simulation {
    let simulation = Simulation::new(seed);
    simulation.start_workloads(Workloads::default());
    simulation
}

fn pods(simulation: &Simulation) -> Vec<Value> {
    simulation.list(&gvk("", "v1", "Pod"), Some("default"))
}

fn set_status(simulation: &Simulation) -> Value {
    let set = simulation
        .get(&gvk("apps", "v1", "ReplicaSet"), "default", "shop")
        .unwrap();
    set["status"].clone()
}

fn with_annotations(mut set: Value, annotations: Value) -> Value {
    set["spec"]["template"]["metadata"]["annotations"] = annotations;
    set
}

fn condition<'a>(pod: &'a Value, name: &str) -> &'a Value {
    pod["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["type"] == name)
        .unwrap_or(&Value::Null)
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_replica_set_gets_its_pods_and_counts_them() {
    let simulation = running(1);
    simulation.create(replica_set("shop", 3)).unwrap();
    sleep(Duration::from_millis(500)).await;
    let status = set_status(&simulation);
    assert_eq!(
        (&status["replicas"], &status["fullyLabeledReplicas"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(status["readyReplicas"], Value::Null);

    simulation.settle(QUIET).await.unwrap();
    assert_eq!(
        set_status(&simulation),
        json!({
            "replicas": 3,
            "fullyLabeledReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "terminatingReplicas": 0,
            "observedGeneration": 1,
        })
    );
    for pod in pods(&simulation) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        assert!(name.starts_with("shop-") && name.len() == 10, "{name}");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], "shop");
        assert_eq!(pod["metadata"]["generation"], 1);
        assert_eq!(pod["status"]["phase"], "Running");
        assert_eq!(condition(&pod, "Ready")["status"], "True");
        assert!(
            pod["status"]["containerStatuses"][0]["state"]["running"].is_object(),
            "{pod}"
        );
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn readiness_and_availability_take_the_time_that_they_are_given() {
    let simulation = running(1);
    let mut set = with_annotations(
        replica_set("shop", 1),
        json!({"simulation.sluice.dev/ready-after": "3s"}),
    );
    set["spec"]["minReadySeconds"] = json!(10);
    simulation.create(set).unwrap();
    let started = Instant::now();
    let mut seen = Vec::new();
    while started.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(100)).await;
        let status = set_status(&simulation);
        let counts = (
            status["readyReplicas"].as_i64().unwrap_or_default(),
            status["availableReplicas"].as_i64().unwrap_or_default(),
        );
        if seen.last().is_none_or(|(_, last)| *last != counts) {
            seen.push((started.elapsed().as_secs(), counts));
        }
    }
    // Times of conditions are whole seconds, so availability may come up to one second early, as on a real cluster.
    assert_eq!(seen, [(0, (0, 0)), (3, (1, 0)), (13, (1, 1))]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn scaling_down_takes_pods_that_are_not_ready_first_then_the_newest() {
    let simulation = running(1);
    simulation.create(replica_set("shop", 2)).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let oldest: Vec<Value> = pods(&simulation)
        .iter()
        .map(|pod| pod["metadata"]["name"].clone())
        .collect();
    let shop = gvk("apps", "v1", "ReplicaSet");
    let scale = |replicas: i32| {
        let patch = json!({"spec": {"replicas": replicas}});
        simulation
            .patch_merge(&shop, "default", "shop", patch)
            .unwrap();
    };
    scale(4);
    simulation.settle(QUIET).await.unwrap();
    // One of the old ones stops being ready.
    let sick = oldest[0].as_str().unwrap();
    let never = json!({"metadata": {"annotations": {"simulation.sluice.dev/never-ready": "true"}}});
    simulation
        .patch_merge(&gvk("", "v1", "Pod"), "default", sick, never)
        .unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(set_status(&simulation)["readyReplicas"], 3);
    scale(1);
    simulation.settle(QUIET).await.unwrap();
    let left: Vec<Value> = pods(&simulation)
        .iter()
        .map(|pod| pod["metadata"]["name"].clone())
        .collect();
    assert_eq!(left, [oldest[1].clone()]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn deleted_pods_terminate_for_a_while_and_are_replaced_at_once() {
    let simulation = running(1);
    let set = with_annotations(
        replica_set("shop", 1),
        json!({"simulation.sluice.dev/gone-after": "7s"}),
    );
    simulation.create(set).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let api: Api<Pod> = Api::default_namespaced(simulation.client());
    let name = pods(&simulation)[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    api.evict(&name, &EvictParams::default()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let present = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(present.items.len(), 2);
    let old = api.get(&name).await.unwrap();
    assert!(old.metadata.deletion_timestamp.is_some());
    assert_eq!(old.metadata.deletion_grace_period_seconds, Some(30));
    let status = set_status(&simulation);
    assert_eq!(
        (&status["replicas"], &status["terminatingReplicas"]),
        (&json!(1), &json!(1))
    );
    sleep(Duration::from_secs(7)).await;
    assert_eq!(api.get_opt(&name).await.unwrap(), None);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_pod_that_crashes_backs_off_and_starts_again() {
    let simulation = running(1);
    let set = with_annotations(
        replica_set("shop", 1),
        json!({"simulation.sluice.dev/crash-after": "20s"}),
    );
    simulation.create(set).unwrap();
    sleep(Duration::from_secs(25)).await;
    let pod = &pods(&simulation)[0];
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(condition(pod, "Ready")["status"], "False");
    assert_eq!(set_status(&simulation)["readyReplicas"], Value::Null);

    sleep(Duration::from_secs(10)).await;
    let pod = &pods(&simulation)[0];
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert!(container["state"]["running"].is_object(), "{container}");
    assert_eq!(set_status(&simulation)["readyReplicas"], 1);
    // 20 s running, 20 s of back-off the second time.
    sleep(Duration::from_secs(20)).await;
    assert_eq!(
        pods(&simulation)[0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "CrashLoopBackOff"
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_image_that_cannot_be_pulled_keeps_the_pod_pending() {
    let simulation = running(1);
    let set = with_annotations(
        replica_set("shop", 1),
        json!({"simulation.sluice.dev/image-error": "true"}),
    );
    simulation.create(set).unwrap();
    let reason = |simulation: &Simulation| {
        let pod = pods(simulation).remove(0);
        assert_eq!(pod["status"]["phase"], "Pending");
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone()
    };
    sleep(Duration::from_secs(5)).await;
    assert_eq!(reason(&simulation), "ErrImagePull");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(reason(&simulation), "ImagePullBackOff");
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn orphans_that_match_are_adopted_and_pods_that_stop_matching_released() {
    let simulation = running(1);
    let mut orphan = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "orphan", "labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "main", "image": "example.com/shop:7"}]},
    });
    simulation.create(orphan.clone()).unwrap();
    simulation.create(replica_set("shop", 2)).unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(pods(&simulation).len(), 2);
    let pod = gvk("", "v1", "Pod");
    orphan = simulation.get(&pod, "default", "orphan").unwrap();
    assert_eq!(orphan["metadata"]["ownerReferences"][0]["name"], "shop");

    let relabel = json!({"metadata": {"labels": {"app": "elsewhere"}}});
    simulation
        .patch_merge(&pod, "default", "orphan", relabel)
        .unwrap();
    simulation.settle(QUIET).await.unwrap();
    orphan = simulation.get(&pod, "default", "orphan").unwrap();
    assert_eq!(orphan["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(pods(&simulation).len(), 3);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_endpoint_slice_follows_the_pods_of_its_service() {
    let simulation = running(1);
    let mut set = replica_set("shop", 2);
    set["spec"]["template"]["spec"]["containers"][0]["ports"] =
        json!([{"name": "web", "containerPort": 8080}]);
    simulation.create(set).unwrap();
    simulation
        .create(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shop"},
            "spec": {"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
        }))
        .unwrap();
    let slices = |simulation: &Simulation| {
        simulation.list(&gvk("discovery.k8s.io", "v1", "EndpointSlice"), None)
    };
    sleep(Duration::from_millis(600)).await;
    let early = slices(&simulation).remove(0);
    assert_eq!(early["endpoints"][0]["conditions"]["ready"], false);
    simulation.settle(QUIET).await.unwrap();
    let [slice] = <[Value; 1]>::try_from(slices(&simulation)).unwrap();
    assert_eq!(
        slice["metadata"]["labels"]["kubernetes.io/service-name"],
        "shop"
    );
    assert_eq!(
        slice["ports"],
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}])
    );
    let endpoints = slice["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 2);
    let addresses: Vec<&Value> = pods(&simulation)
        .iter()
        .map(|pod| pod["status"]["podIP"].clone())
        .zip(endpoints)
        .map(|(address, endpoint)| {
            assert_eq!(endpoint["addresses"], json!([address]));
            assert_eq!(endpoint["conditions"]["ready"], true);
            &endpoint["targetRef"]["name"]
        })
        .collect();
    assert_ne!(addresses[0], addresses[1]);

    let nobody = json!({"spec": {"selector": {"app": "nobody"}}});
    simulation
        .patch_merge(&gvk("", "v1", "Service"), "default", "shop", nobody)
        .unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(slices(&simulation).remove(0)["endpoints"], json!([]));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn readiness_gates_hold_a_pod_back() {
    let simulation = running(1);
    let mut set = replica_set("shop", 1);
    set["spec"]["template"]["spec"]["readinessGates"] =
        json!([{"conditionType": "example.com/registered"}]);
    simulation.create(set).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let pod = pods(&simulation).remove(0);
    assert_eq!(condition(&pod, "ContainersReady")["status"], "True");
    assert_eq!(condition(&pod, "Ready")["status"], "False");

    let api: Api<Pod> = Api::default_namespaced(simulation.client());
    let open =
        json!({"status": {"conditions": [{"type": "example.com/registered", "status": "True"}]}});
    let name = pod["metadata"]["name"].as_str().unwrap();
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(open))
        .await
        .unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(condition(&pods(&simulation)[0], "Ready")["status"], "True");
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn what_was_there_before_the_controllers_is_taken_care_of() {
    let simulation = Simulation::new(1);
    simulation.create(replica_set("shop", 2)).unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert!(pods(&simulation).is_empty());
    let controllers = simulation.start_workloads(Workloads::default());
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(set_status(&simulation)["availableReplicas"], 2);

    controllers.abort();
    let patch = json!({"spec": {"replicas": 5}});
    simulation
        .patch_merge(&gvk("apps", "v1", "ReplicaSet"), "default", "shop", patch)
        .unwrap();
    simulation.settle(QUIET).await.unwrap();
    assert_eq!(pods(&simulation).len(), 2);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_whole_cluster_repeats_itself_from_its_seed() {
    let story = async |seed: u64| {
        let simulation = running(seed);
        let client = simulation.client_named("user");
        for name in ["shop", "cart", "mail"] {
            let sets: Api<ReplicaSet> = Api::default_namespaced(client.clone());
            sets.create(&Default::default(), &typed(replica_set(name, 3)))
                .await
                .unwrap();
            let services: Api<Service> = Api::default_namespaced(client.clone());
            let service = json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
            });
            services
                .create(&Default::default(), &typed(service))
                .await
                .unwrap();
        }
        simulation.settle(QUIET).await.unwrap();
        let sets: Api<ReplicaSet> = Api::default_namespaced(client);
        let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
        sets.patch("cart", &PatchParams::default(), &patch)
            .await
            .unwrap();
        sets.delete("mail", &Default::default()).await.unwrap();
        simulation.settle(QUIET).await.unwrap();
        let log = simulation.request_log();
        let lines: Vec<String> = log.iter().map(ToString::to_string).collect();
        (lines, pods(&simulation))
    };
    let first = story(5).await;
    assert!(first.0.len() > 60, "{}", first.0.len());
    assert_eq!(first, story(5).await);
    assert_ne!(first.0, story(6).await.0);
    assert_eq!(first.1.len(), 4);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_idle_cluster_writes_nothing_and_a_day_passes_in_no_time() {
    let simulation = running(1);
    simulation.create(replica_set("shop", 3)).unwrap();
    simulation.settle(QUIET).await.unwrap();
    let version = simulation.checkpoint();
    let requests = simulation.request_log().len();
    sleep(Duration::from_secs(24 * 60 * 60)).await;
    assert_eq!(simulation.checkpoint(), version);
    assert_eq!(simulation.request_log().len(), requests);
}

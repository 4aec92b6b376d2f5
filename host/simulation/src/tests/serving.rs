//! Over a real socket, and so in real time.

use std::time::Duration;

use super::*;
use futures::TryStreamExt as _;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::discovery::{Discovery, verbs};

use crate::{Fault, Match, Rule, Workloads};

async fn served(simulation: &Simulation) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = simulation.clone();
    tokio::spawn(async move { server.serve(listener).await });
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_client_over_http_sees_the_same_cluster() {
    let simulation = Simulation::builder().latency(Latency::NONE).build();
    simulation.start_workloads(Workloads {
        ready_after: Duration::from_millis(50),
        ..Workloads::default()
    });
    let client = served(&simulation).await;
    let sets: Api<ReplicaSet> = Api::default_namespaced(client.clone());
    let created = sets
        .create(&PostParams::default(), &typed(replica_set("shop", 1)))
        .await
        .unwrap();
    let version = created.metadata.resource_version.unwrap();
    let stream = sets
        .watch(&WatchParams::default().timeout(60), &version)
        .await
        .unwrap();
    let mut stream = std::pin::pin!(stream);
    loop {
        let event = stream.try_next().await.unwrap().unwrap();
        let WatchEvent::Modified(set) = event else {
            panic!("{event:?}");
        };
        if set.status.unwrap().available_replicas == Some(1) {
            break;
        }
    }
    assert!(refused(sets.get("absent").await).is_not_found());
}

#[tokio::test]
async fn discovery_finds_built_in_and_custom_kinds() {
    let simulation = Simulation::new(1);
    simulation.register(custom::definition()).unwrap();
    let client = served(&simulation).await;
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let (widget, capabilities) = discovery
        .resolve_gvk(&gvk("example.com", "v1", "Widget"))
        .unwrap();
    assert_eq!(widget.plural, "widgets");
    assert!(capabilities.supports_operation(verbs::WATCH));
    assert!(discovery.resolve_gvk(&gvk("", "v1", "Pod")).is_some());
    assert!(
        client
            .apiserver_version()
            .await
            .unwrap()
            .git_version
            .starts_with("v1.35")
    );

    let request = http::Request::get("/openapi/v3/apis/example.com/v1")
        .body(Vec::new())
        .unwrap();
    let document: Value = client.request(request).await.unwrap();
    let patch =
        &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
    let schema = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(
        schema["properties"]["spec"]["properties"]["replicas"]["default"],
        1
    );
}

#[tokio::test]
async fn a_broken_connection_is_an_error_of_the_transport() {
    let simulation = Simulation::new(1);
    let client = served(&simulation).await;
    simulation
        .faults()
        .add(Rule::new(Match::any(), Fault::Disconnect).once());
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let error = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error:?}");
    maps.list(&ListParams::default()).await.unwrap();
}

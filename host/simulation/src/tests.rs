//! Everything here drives the simulation through `kube::Client`, as the controller does.

mod crud;
mod custom;
mod defaulting;
mod faults;
mod garbage;
mod jobs;
mod patches;
mod rolling;
mod serving;
mod speed;
mod tables;
mod watching;
mod workloads;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::core::{DynamicObject, GroupVersionKind, Status};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{Latency, Simulation};

/// A ReplicaSet of one container, as a controller would create it.
fn replica_set(name: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "example.com/shop:7"}]},
            },
        },
    })
}

fn config_map(name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "data": {"colour": "teal"},
    })
}

fn gvk(group: &str, version: &str, kind: &str) -> GroupVersionKind {
    GroupVersionKind::gvk(group, version, kind)
}

/// Custom objects of the test definition.
fn widgets(client: &Client) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&gvk("example.com", "v1", "Widget"));
    Api::namespaced_with(client.clone(), "default", &resource)
}

/// What the API said no with.
fn refused<T: std::fmt::Debug>(result: kube::Result<T>) -> Box<Status> {
    match result {
        Err(kube::Error::Api(status)) => status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

//! The Rollouts that the work is done on, and what they need.

use anyhow::Result;
use clap::ValueEnum;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};

/// Where everything lives.
pub const NAMESPACE: &str = "default";

/// A kind of Rollouts: one pod, two weights, two short pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Without a router: the pods are the traffic.
    Plain,
    /// Two Services and a VirtualService for each.
    Istio,
}

impl Mix {
    /// For headings.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plain => "without a router",
            Self::Istio => "behind Istio",
        }
    }

    /// Creates one with everything that it names.
    pub async fn create(self, client: &Client, index: usize) -> Result<()> {
        let name = name(index);
        let create = async |api_version: &str, kind: &str, body: Value| -> Result<()> {
            let api = objects(client, api_version, kind);
            let object = serde_json::from_value(body)?;
            api.create(&PostParams::default(), &object).await?;
            Ok(())
        };
        if self == Self::Istio {
            for role in ["stable", "canary"] {
                create("v1", "Service", service(&name, role)).await?;
            }
            create(ISTIO, "VirtualService", virtual_service(&name)).await?;
        }
        create(ARGO, "Rollout", self.rollout(&name)).await
    }

    fn rollout(self, name: &str) -> Value {
        let mut canary = json!({ "steps": [
            { "setWeight": 20 }, { "pause": { "duration": 1 } },
            { "setWeight": 60 }, { "pause": { "duration": 1 } },
        ] });
        if let (Self::Istio, Some(canary)) = (self, canary.as_object_mut()) {
            canary.insert("stableService".to_owned(), json!(format!("{name}-stable")));
            canary.insert("canaryService".to_owned(), json!(format!("{name}-canary")));
            let routing =
                json!({ "istio": { "virtualService": { "name": name, "routes": ["primary"] } } });
            canary.insert("trafficRouting".to_owned(), routing);
        }
        json!({
            "apiVersion": ARGO,
            "kind": "Rollout",
            "metadata": { "name": name },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{ "name": "app", "image": image("v1") }] },
                },
                "strategy": { "canary": canary },
            },
        })
    }
}

const ARGO: &str = "argoproj.io/v1alpha1";
const ISTIO: &str = "networking.istio.io/v1alpha3";

/// The name of a Rollout, which its pods have as the label `app`.
pub fn name(index: usize) -> String {
    format!("app-{index:04}")
}

/// The change that an update is.
pub fn release(version: &str) -> Value {
    let container = json!({ "name": "app", "image": image(version) });
    json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
}

fn image(version: &str) -> String {
    format!("registry.example/app:{version}")
}

fn service(name: &str, role: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": format!("{name}-{role}") },
        "spec": { "selector": { "app": name }, "ports": [{ "name": "http", "port": 80 }] },
    })
}

fn virtual_service(name: &str) -> Value {
    let share = |role: &str, weight: u32| json!({ "destination": { "host": format!("{name}-{role}") }, "weight": weight });
    json!({
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": { "name": name },
        "spec": {
            "gateways": ["shop"],
            "hosts": [format!("{name}.example")],
            "http": [{ "name": "primary", "timeout": "5s", "route": [share("stable", 100), share("canary", 0)] }],
        },
    })
}

/// Creates a namespace.
pub async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
    let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let namespace = DynamicObject::new(name, &resource);
    namespaces
        .create(&PostParams::default(), &namespace)
        .await?;
    Ok(())
}

/// All Rollouts.
pub fn rollouts(client: &Client) -> Api<DynamicObject> {
    objects(client, ARGO, "Rollout")
}

/// All ReplicaSets.
pub fn replica_sets(client: &Client) -> Api<DynamicObject> {
    objects(client, "apps/v1", "ReplicaSet")
}

fn objects(client: &Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

//! What the measured plugins are asked and what they find: of the size that real ones have.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plugin::{
    Ask, Destination, Function, MeasureLifecycle, MeasurementFacts, PluginCall, PluginKind,
    PluginName, Slot, Traffic,
};
use sluice_engine::read::{RawObject, Read, ReadOutcome, Select};
use sluice_plugin_host::{HttpPort, NoSecret, Reads};

/// What the server measures, as the status shows it.
pub const VALUE: &str = "[0.97]";

/// A plugin to measure.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    Router,
    Provider,
}

impl Wanted {
    pub fn title(self) -> &'static str {
        match self {
            Self::Router => "router-istio",
            Self::Provider => "provider-prometheus",
        }
    }

    pub fn file(self) -> &'static str {
        match self {
            Self::Router => "router-istio.wasm",
            Self::Provider => "provider-prometheus.wasm",
        }
    }

    /// A call that has something to do: a weight to change, a query to make.
    pub fn call(self, digest: &str) -> PluginCall {
        let (kind, name, function) = match self {
            Self::Router => (PluginKind::TrafficRouter, "istio", Function::Reconcile),
            Self::Provider => (PluginKind::MetricProvider, "prometheus", Function::Measure),
        };
        let (kind_of_subject, config, ask) = match self {
            Self::Router => (
                "Rollout",
                json!({ "virtualService": { "name": "web", "routes": ["primary"] } }),
                Ask::Route(Some(traffic())),
            ),
            Self::Provider => ("AnalysisRun", query(), measurement()),
        };
        PluginCall {
            subject: Subject {
                key: ObjectKey::namespaced("argoproj.io/v1alpha1", kind_of_subject, "shop", "web"),
                uid: "3d1f".to_owned(),
            },
            slot: Slot {
                plugin: PluginName {
                    kind,
                    name: name.to_owned(),
                },
                function,
                part: String::new(),
            },
            digest: digest.to_owned(),
            config,
            ask,
            due: 0,
            secrets: Vec::new(),
        }
    }

    /// About 4 KiB, as Rollouts are without their template; a run is smaller.
    pub fn subject(self) -> Value {
        match self {
            Self::Router => rollout(),
            Self::Provider => json!({
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "AnalysisRun",
                "metadata": { "name": "web", "namespace": "shop", "uid": "3d1f" },
                "spec": { "metrics": [{ "name": "success-rate", "provider": { "prometheus": query() } }] },
                "status": { "phase": "Running" },
            }),
        }
    }
}

fn traffic() -> Traffic {
    let share = |service: &str, hash: &str, weight| Destination {
        service: Some(service.to_owned()),
        pod_hash: Some(hash.to_owned()),
        weight,
        desired_pods: 3,
        available_pods: 3,
    };
    Traffic {
        total_weight: 100,
        stable: share("web-stable", "7c9d", 80),
        canary: share("web-canary", "5b8f", 20),
        ..Traffic::default()
    }
}

fn query() -> Value {
    json!({
        "address": "http://prometheus.example:9090",
        "query": "sum(rate(http_requests_total{pod_template_hash=\"5b8f\",code!~\"5..\"}[1m])) / sum(rate(http_requests_total{pod_template_hash=\"5b8f\"}[1m]))",
    })
}

fn measurement() -> Ask {
    let metric =
        json!({ "name": "success-rate", "interval": "1m", "provider": { "prometheus": query() } });
    Ask::Measure {
        lifecycle: MeasureLifecycle::Start,
        facts: Box::new(MeasurementFacts {
            metric,
            ..MeasurementFacts::default()
        }),
    }
}

fn rollout() -> Value {
    let steps = (1..=20).flat_map(|step| {
        [
            json!({ "setWeight": step * 5 }),
            json!({ "pause": { "duration": "10m" } }),
        ]
    });
    let conditions = (0..6).map(|number| {
        json!({
            "type": format!("Condition{number}"), "status": "True", "reason": "NewReplicaSetAvailable",
            "lastTransitionTime": "2026-03-09T10:15:00Z", "lastUpdateTime": "2026-03-09T10:15:00Z",
            "message": "ReplicaSet \"web-7c9d\" has successfully progressed and is available to users.",
        })
    });
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": { "name": "web", "namespace": "shop", "uid": "3d1f", "generation": 7 },
        "spec": {
            "replicas": 3,
            "strategy": { "canary": { "steps": steps.collect::<Vec<_>>() } },
            "template": { "spec": {} },
        },
        "status": { "conditions": conditions.collect::<Vec<_>>(), "phase": "Progressing" },
    })
}

/// A server that answers every query with the same sample.
pub fn server() -> HttpPort {
    let answer = json!({
        "status": "success",
        "data": { "resultType": "vector", "result": [{ "metric": {}, "value": [0, "0.97"] }] },
    });
    let body = Bytes::from(answer.to_string());
    HttpPort::new(tower::service_fn(move |_: http::Request<Bytes>| {
        let response = http::Response::new(body.clone());
        async move { Ok::<_, std::convert::Infallible>(response) }
    }))
}

/// One VirtualService that is always found.
pub struct Mesh(Arc<RawObject>);

impl Mesh {
    pub fn new() -> Self {
        let destination =
            |host: &str, weight: u32| json!({ "destination": { "host": host }, "weight": weight });
        let mut http = vec![json!({
            "name": "primary",
            "route": [destination("web-stable", 90), destination("web-canary", 10)],
        })];
        http.extend((0..8).map(|number| {
            json!({
                "name": format!("other-{number}"),
                "match": [{ "uri": { "prefix": format!("/other/{number}") } }],
                "route": [destination("other", 100)],
            })
        }));
        let version = "networking.istio.io/v1alpha3";
        let body = json!({
            "apiVersion": version,
            "kind": "VirtualService",
            "metadata": { "name": "web", "namespace": "shop", "resourceVersion": "1" },
            "spec": { "gateways": ["web"], "hosts": ["web.example.com"], "http": http },
        });
        Self(Arc::new(RawObject {
            key: ObjectKey::namespaced(version, "VirtualService", "shop", "web"),
            resource_version: "1".to_owned(),
            body: body.to_string().into(),
        }))
    }

    fn find(&self, read: &Read) -> ReadOutcome {
        let named = matches!(&read.select, Select::Name(name) if *name == self.0.key.name);
        let found = named && read.kind == self.0.key.kind;
        ReadOutcome::Found(found.then(|| Arc::clone(&self.0)).into_iter().collect())
    }
}

impl Reads for Mesh {
    fn read(&self, read: Read) -> BoxFuture<'static, ReadOutcome> {
        let outcome = self.find(&read);
        Box::pin(async move { outcome })
    }

    fn peek(&self, read: &Read) -> Option<ReadOutcome> {
        Some(self.find(read))
    }

    fn secret(&self, _: &str, _: &str, _: &str) -> BoxFuture<'static, Result<String, NoSecret>> {
        Box::pin(async { Err(NoSecret::Wrong("there are no Secrets here".to_owned())) })
    }
}

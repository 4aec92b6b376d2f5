//! What the client is tried on.

use serde_json::{Value, json};

/// Four pods, Istio, an analysis in the middle.
pub(super) fn canary(backend: &str) -> Value {
    let steps = json!([
        { "setWeight": 25 },
        { "pause": {} },
        { "setWeight": 50 },
        { "analysis": { "templates": [{ "templateName": "success-rate" }] } },
        { "pause": {} },
        { "setWeight": 75 },
        { "pause": {} },
    ]);
    let strategy = json!({ "canary": {
        "stableService": "stable",
        "canaryService": "canary",
        "trafficRouting": { "istio": { "virtualService": { "name": "shop" } } },
        "steps": steps,
    } });
    let route = json!([
        { "destination": { "host": "stable" }, "weight": 100 },
        { "destination": { "host": "canary" }, "weight": 0 },
    ]);
    list(&[
        service("stable"),
        service("canary"),
        json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService",
            "metadata": { "name": "shop" },
            "spec": { "gateways": ["shop"], "hosts": ["shop.example"], "http": [{ "route": route }] },
        }),
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
            "metadata": { "name": "success-rate" },
            "spec": { "metrics": [{
                "name": "success-rate",
                "successCondition": "result[0] >= 0.95",
                "failureCondition": "result[0] < 0.5",
                "provider": { "prometheus": { "address": backend, "query": "success_rate" } },
            }] },
        }),
        rollout(&strategy),
    ])
}

/// Four pods, switched when somebody says so.
pub(super) fn blue_green() -> Value {
    let strategy = json!({ "blueGreen": {
        "activeService": "active",
        "previewService": "preview",
        "autoPromotionEnabled": false,
        "scaleDownDelaySeconds": 600,
    } });
    list(&[service("active"), service("preview"), rollout(&strategy)])
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name },
        "spec": { "selector": { "app": "shop" }, "ports": [{ "port": 80 }] },
    })
}

fn rollout(strategy: &Value) -> Value {
    // Fields that the API server writes differently, or adds: `undo` writes them back as it has them.
    let container = json!({
        "name": "web",
        "image": "shop:1",
        "ports": [{ "containerPort": 8080 }],
        "env": [{ "name": "EMPTY", "value": "" }],
        "resources": { "requests": { "cpu": "0.010", "memory": "1024Ki" }, "limits": {} },
        "readinessProbe": { "httpGet": { "port": 8080 } },
    });
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "shop" },
        "spec": {
            "replicas": 4,
            "selector": { "matchLabels": { "app": "shop" } },
            "template": {
                "metadata": { "labels": { "app": "shop" } },
                "spec": { "containers": [container] },
            },
            "strategy": strategy,
        },
    })
}

fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

//! What the API server fills in when an object of a built-in kind leaves it out.
//!
//! The values are those of `pkg/apis/*/v1/defaults.go`, and of the admission plugins that are on by default.

mod pod;
mod quantity;
#[cfg(test)]
pub(crate) use quantity::canonical;
pub(crate) use quantity::nanos;
mod service;

use serde_json::{Value, json};

use crate::json;
use crate::kinds::Kind;
use crate::server::Server;

/// Gives a new object the status that its kind starts with, whatever the request said.
pub(crate) fn initial_status(kind: &Kind, object: &mut Value) {
    let status = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => json!({"phase": "Pending", "qosClass": pod::quality_of_service(object)}),
        ("", "Service") | ("networking.k8s.io", "Ingress") => json!({"loadBalancer": {}}),
        ("", "Namespace") => json!({"phase": "Active"}),
        ("apps", "ReplicaSet") => json!({"replicas": 0}),
        ("apps", "StatefulSet") => json!({"replicas": 0, "availableReplicas": 0}),
        ("apps", "DaemonSet") => json!({
            "currentNumberScheduled": 0,
            "desiredNumberScheduled": 0,
            "numberMisscheduled": 0,
            "numberReady": 0,
        }),
        ("apps", "Deployment") | ("batch", "Job") => json!({}),
        ("policy", "PodDisruptionBudget") => json!({
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "disruptionsAllowed": 0,
            "expectedPods": 0,
        }),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => established(object),
        _ => return,
    };
    json::set(object, "status", status);
}

/// Fills in what the object leaves out.
pub(crate) fn apply(kind: &Kind, object: &mut Value, old: Option<&Value>, server: &mut Server) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => {
            pod::spec(json::child(object, "spec"));
            pod::admission(json::child(object, "spec"));
        }
        ("", "PodTemplate") => pod::template(object),
        ("", "Service") => service::apply(object, old, server),
        ("", "Secret") => secret(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("", "Namespace") => namespace(object, old),
        ("apps", "ReplicaSet") => {
            let spec = json::child(object, "spec");
            json::default(spec, "replicas", 1);
            pod::template(spec);
        }
        ("apps", "Deployment") => deployment(json::child(object, "spec")),
        ("apps", "StatefulSet") => stateful_set(json::child(object, "spec")),
        ("apps", "DaemonSet") => {
            let spec = json::child(object, "spec");
            json::default(spec, "revisionHistoryLimit", 10);
            let strategy = json::child(spec, "updateStrategy");
            json::default(strategy, "type", "RollingUpdate");
            if json::text(strategy, "/type") == "RollingUpdate" {
                let rolling = json::child(strategy, "rollingUpdate");
                json::default(rolling, "maxUnavailable", 1);
                json::default(rolling, "maxSurge", 0);
            }
            pod::template(spec);
        }
        ("batch", "Job") => job(object),
        ("discovery.k8s.io", "EndpointSlice") => {
            if let Some(Value::Array(endpoints)) = object.get_mut("endpoints") {
                for endpoint in endpoints {
                    json::default(endpoint, "conditions", json!({}));
                }
            }
            if let Some(Value::Array(ports)) = object.get_mut("ports") {
                for port in ports {
                    json::default(port, "name", "");
                    json::default(port, "protocol", "TCP");
                }
            }
        }
        _ => {}
    }
}

fn deployment(spec: &mut Value) {
    json::default(spec, "replicas", 1);
    json::default(spec, "revisionHistoryLimit", 10);
    json::default(spec, "progressDeadlineSeconds", 600);
    let strategy = json::child(spec, "strategy");
    json::default(strategy, "type", "RollingUpdate");
    if json::text(strategy, "/type") == "RollingUpdate" {
        let rolling = json::child(strategy, "rollingUpdate");
        json::default(rolling, "maxUnavailable", "25%");
        json::default(rolling, "maxSurge", "25%");
    }
    pod::template(spec);
}

fn stateful_set(spec: &mut Value) {
    json::default(spec, "replicas", 1);
    json::default(spec, "revisionHistoryLimit", 10);
    json::default(spec, "podManagementPolicy", "OrderedReady");
    let retention = json::child(spec, "persistentVolumeClaimRetentionPolicy");
    json::default(retention, "whenDeleted", "Retain");
    json::default(retention, "whenScaled", "Retain");
    let strategy = json::child(spec, "updateStrategy");
    json::default(strategy, "type", "RollingUpdate");
    if json::text(strategy, "/type") == "RollingUpdate" {
        json::default(json::child(strategy, "rollingUpdate"), "partition", 0);
    }
    pod::template(spec);
}

fn job(object: &mut Value) {
    let (name, uid) = (
        json::text(object, "/metadata/name").to_owned(),
        json::text(object, "/metadata/uid").to_owned(),
    );
    let spec = json::child(object, "spec");
    let manual = json::flag(spec, "/manualSelector");
    if spec.get("parallelism").is_none() && spec.get("completions").is_none() {
        json::set(spec, "completions", 1);
    }
    json::default(spec, "parallelism", 1);
    json::default(spec, "backoffLimit", 6);
    json::default(spec, "completionMode", "NonIndexed");
    json::default(spec, "suspend", false);
    json::default(spec, "manualSelector", false);
    json::default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    if !manual {
        let labels = json::child(
            json::child(json::child(spec, "template"), "metadata"),
            "labels",
        );
        for (label, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            json::default(labels, label, value.as_str());
        }
        if spec.get("selector").is_none() {
            json::set(
                spec,
                "selector",
                json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
            );
        }
    }
    pod::template(spec);
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if let Some(labels) = labels
        && object.pointer("/metadata/labels").is_none()
    {
        json::set(json::child(object, "metadata"), "labels", labels);
    }
}

fn secret(object: &mut Value) {
    json::default(object, "type", "Opaque");
    let Some(Value::Object(texts)) = json::take(object, "stringData") else {
        return;
    };
    let data = json::child(object, "data");
    for (name, text) in texts {
        json::set(
            data,
            &name,
            encode(text.as_str().unwrap_or_default().as_bytes()),
        );
    }
}

fn definition(object: &mut Value) {
    let spec = json::child(object, "spec");
    json::default(spec, "conversion", json!({"strategy": "None"}));
    let names = json::child(spec, "names");
    let kind = json::text(names, "/kind").to_owned();
    json::default(names, "listKind", format!("{kind}List"));
    json::default(names, "singular", kind.to_lowercase());
    whole_numbers(spec);
}

/// Limits such as `maximum: 100` stay whole numbers, though their type is a floating one.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Array(entries) => entries.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            // The text decides: a cast could lose digits.
            let whole = number.as_f64().filter(|_| number.is_f64());
            let whole = whole
                .filter(|value| value.fract() == 0.0)
                .map(|value| format!("{value:.0}"));
            if let Some(whole) = whole.and_then(|text| text.parse::<i64>().ok()) {
                *value = Value::from(whole);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn namespace(object: &mut Value, old: Option<&Value>) {
    let name = json::text(object, "/metadata/name").to_owned();
    json::set(
        json::child(json::child(object, "metadata"), "labels"),
        "kubernetes.io/metadata.name",
        name,
    );
    match old {
        None => json::set(
            json::child(object, "spec"),
            "finalizers",
            json!(["kubernetes"]),
        ),
        // Only the finalize subresource takes them away.
        Some(old) => json::restore(object, old, "spec"),
    }
}

fn established(definition: &Value) -> Value {
    let names = definition
        .pointer("/spec/names")
        .cloned()
        .unwrap_or_default();
    let at = definition
        .pointer("/metadata/creationTimestamp")
        .cloned()
        .unwrap_or_default();
    let stored: Vec<Value> = json::entries(definition, "/spec/versions")
        .iter()
        .filter(|version| json::flag(version, "/storage"))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    json!({
        "acceptedNames": names,
        "conditions": [
            {
                "type": "NamesAccepted",
                "status": "True",
                "lastTransitionTime": at,
                "reason": "NoConflicts",
                "message": "no conflicts found",
            },
            {
                "type": "Established",
                "status": "True",
                "lastTransitionTime": at,
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
            },
        ],
        "storedVersions": stored,
    })
}

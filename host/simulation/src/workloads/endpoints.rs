//! The EndpointSlice controller: one slice per Service with a selector, with its pods' addresses.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::hands::Hands;
use super::{ownership, pod};
use crate::json;
use crate::selectors::LabelSelector;
use crate::server::is_terminating;
use crate::store::Key;

const ACTOR: &str = "endpointslice-controller";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Brings the Service's slice to its pods.
pub(super) fn reconcile(hands: &mut Hands<'_>, key: &Key) -> Option<Duration> {
    let service = hands.get("", "services", key)?;
    let selector =
        LabelSelector::from_map(service.pointer("/spec/selector").unwrap_or(&Value::Null));
    let slices = own_slices(hands, &service);
    if selector.is_empty()
        || is_terminating(&service)
        || json::text(&service, "/spec/type") == "ExternalName"
    {
        // A Service that no longer selects keeps its slices, as the real controller leaves them too.
        return None;
    }
    let pods: Vec<Arc<Value>> = hands
        .list("", "pods", &key.0)
        .into_iter()
        .filter(|pod| selector.matches(pod) && has_address(pod))
        .collect();
    let publish = json::flag(&service, "/spec/publishNotReadyAddresses");
    let endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(pod, publish)).collect();
    let ports = ports(&service, &pods);
    let Some((slice, surplus)) = slices.split_first() else {
        // A slice that is refused is refused again at the next look; the log says why.
        let _ = hands.create(ACTOR, new_slice(&service, endpoints, ports));
        return None;
    };
    for slice in surplus {
        hands.delete(ACTOR, slice, None, None);
    }
    if slice.get("endpoints") != Some(&json!(endpoints))
        || slice.get("ports") != Some(&json!(ports))
    {
        // Whoever changed it in between causes another look.
        let _ = hands.patch(
            ACTOR,
            slice,
            json!({"endpoints": endpoints, "ports": ports}),
        );
    }
    None
}

fn own_slices(hands: &Hands<'_>, service: &Value) -> Vec<Arc<Value>> {
    let uid = json::text(service, "/metadata/uid");
    hands
        .list(
            "discovery.k8s.io",
            "endpointslices",
            json::text(service, "/metadata/namespace"),
        )
        .into_iter()
        .filter(|slice| {
            ownership::is_controlled_by(slice, uid)
                && json::text(
                    slice,
                    "/metadata/labels/endpointslice.kubernetes.io~1managed-by",
                ) == MANAGER
        })
        .collect()
}

fn has_address(pod: &Value) -> bool {
    !json::text(pod, "/status/podIP").is_empty()
        && !matches!(json::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn endpoint(pod: &Value, publish_not_ready: bool) -> Value {
    let terminating = is_terminating(pod);
    let serving = pod::is_ready(pod) || publish_not_ready;
    json!({
        "addresses": [json::text(pod, "/status/podIP")],
        "conditions": {
            "ready": serving && (!terminating || publish_not_ready),
            "serving": serving,
            "terminating": terminating,
        },
        "nodeName": json::text(pod, "/spec/nodeName"),
        "targetRef": {
            "kind": "Pod",
            "namespace": json::text(pod, "/metadata/namespace"),
            "name": json::text(pod, "/metadata/name"),
            "uid": json::text(pod, "/metadata/uid"),
        },
    })
}

fn ports(service: &Value, pods: &[Arc<Value>]) -> Vec<Value> {
    json::entries(service, "/spec/ports")
        .iter()
        .filter_map(|port| {
            let number = match port.get("targetPort") {
                Some(Value::String(name)) => named_port(pods, name)?,
                Some(target) => target.as_i64()?,
                None => json::number(port, "/port")?,
            };
            let mut entry = Map::new();
            entry.insert("name".to_owned(), json!(json::text(port, "/name")));
            entry.insert("port".to_owned(), json!(number));
            entry.insert("protocol".to_owned(), json!(json::text(port, "/protocol")));
            if let Some(protocol) = port.get("appProtocol") {
                entry.insert("appProtocol".to_owned(), protocol.clone());
            }
            Some(Value::Object(entry))
        })
        .collect()
}

fn named_port(pods: &[Arc<Value>], name: &str) -> Option<i64> {
    pods.iter()
        .flat_map(|pod| json::entries(pod, "/spec/containers"))
        .flat_map(|container| json::entries(container, "/ports"))
        .find(|port| json::text(port, "/name") == name)
        .and_then(|port| json::number(port, "/containerPort"))
}

fn new_slice(service: &Value, endpoints: Vec<Value>, ports: Vec<Value>) -> Value {
    let name = json::text(service, "/metadata/name");
    let mut labels = service
        .pointer("/metadata/labels")
        .cloned()
        .unwrap_or_else(|| json!({}));
    json::set(&mut labels, "kubernetes.io/service-name", name);
    json::set(
        &mut labels,
        "endpointslice.kubernetes.io/managed-by",
        MANAGER,
    );
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{name}-"),
            "namespace": json::text(service, "/metadata/namespace"),
            "labels": labels,
            "ownerReferences": [ownership::reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    })
}

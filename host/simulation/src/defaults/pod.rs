//! Pods and pod templates.

use serde_json::{Value, json};

use super::quantity;
use crate::json;

/// `0644`, as JSON has no octal numbers.
const FILE_MODE: i32 = 420;

/// Fills in the `template` of a spec.
pub(super) fn template(owner: &mut Value) {
    let template = json::child(owner, "template");
    json::child(template, "metadata");
    spec(json::child(template, "spec"));
}

/// Fills in a pod's spec, as far as pods and templates agree.
pub(super) fn spec(spec: &mut Value) {
    json::default(spec, "restartPolicy", "Always");
    json::default(spec, "dnsPolicy", "ClusterFirst");
    json::default(spec, "schedulerName", "default-scheduler");
    json::default(spec, "terminationGracePeriodSeconds", 30);
    json::default(spec, "securityContext", json!({}));
    service_account(spec);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in children(spec, list) {
            fill_container(container);
        }
    }
    for volume in children(spec, "volumes") {
        fill_volume(volume);
    }
    if spec.get("overhead").is_some() {
        quantity::canonicalise_all(json::child(spec, "overhead"));
    }
}

/// What is filled in for pods alone: by their own defaults and by admission plugins.
pub(super) fn admission(spec: &mut Value) {
    json::default(spec, "enableServiceLinks", true);
    json::default(spec, "preemptionPolicy", "PreemptLowerPriority");
    json::default(spec, "priority", 0);
    let host_network = json::flag(spec, "/hostNetwork");
    for list in ["initContainers", "containers"] {
        for container in children(spec, list) {
            requests_from_limits(json::child(container, "resources"));
            for port in children(container, "ports").filter(|_| host_network) {
                if let Some(number) = json::number(port, "/containerPort") {
                    json::default(port, "hostPort", number);
                }
            }
        }
    }
    tolerate_short_outages(spec);
}

/// Pods stay on a node that is not ready or not reachable for five minutes, unless they say otherwise.
fn tolerate_short_outages(spec: &mut Value) {
    let mut tolerations = json::entries(spec, "/tolerations").to_vec();
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let decided = tolerations.iter().any(|toleration| {
            let of = json::text(toleration, "/key");
            let effect = json::text(toleration, "/effect");
            (of == key || of.is_empty()) && matches!(effect, "" | "NoExecute")
        });
        if !decided {
            tolerations.push(json!({
                "effect": "NoExecute",
                "key": key,
                "operator": "Exists",
                "tolerationSeconds": 300,
            }));
        }
    }
    json::set(spec, "tolerations", tolerations);
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn quality_of_service(pod: &Value) -> &'static str {
    let containers = || {
        json::entries(pod, "/spec/containers")
            .iter()
            .chain(json::entries(pod, "/spec/initContainers"))
    };
    let amounts = |container: &Value, list: &str| {
        container
            .pointer(&format!("/resources/{list}"))
            .and_then(Value::as_object)
            .map(|amounts| {
                amounts
                    .iter()
                    .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"))
                    .map(|(name, amount)| (name.clone(), amount.clone()))
                    .collect::<Vec<_>>()
            })
            .unwrap_or_default()
    };
    if containers().all(|container| {
        amounts(container, "limits").is_empty() && amounts(container, "requests").is_empty()
    }) {
        return "BestEffort";
    }
    let guaranteed = containers().all(|container| {
        let (limits, requests) = (amounts(container, "limits"), amounts(container, "requests"));
        limits.len() == 2 && (requests.is_empty() || requests == limits)
    });
    if guaranteed {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn children<'a>(parent: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    parent
        .get_mut(name)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// The old name of `serviceAccountName` is kept beside it.
fn service_account(spec: &mut Value) {
    let name = match json::text(spec, "/serviceAccountName") {
        "" => json::text(spec, "/serviceAccount"),
        name => name,
    }
    .to_owned();
    if !name.is_empty() {
        json::set(spec, "serviceAccountName", name.as_str());
        json::set(spec, "serviceAccount", name);
    }
}

fn fill_container(container: &mut Value) {
    let image = json::text(container, "/image");
    let policy = if tag(image) == "latest" {
        "Always"
    } else {
        "IfNotPresent"
    };
    json::default(container, "imagePullPolicy", policy);
    json::default(container, "terminationMessagePath", "/dev/termination-log");
    json::default(container, "terminationMessagePolicy", "File");
    json::default(container, "resources", json!({}));
    quantity::canonicalise_resources(json::child(container, "resources"));
    for port in children(container, "ports") {
        json::default(port, "protocol", "TCP");
    }
    for variable in children(container, "env") {
        if let Some(from) = variable.get_mut("valueFrom") {
            fill_reference(from);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe) {
            fill_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        let action = container
            .get_mut("lifecycle")
            .and_then(|lifecycle| lifecycle.get_mut(hook));
        if let Some(action) = action {
            fill_http(action);
        }
    }
}

/// The tag of an image reference; an image by digest has none, one without a tag is the latest.
fn tag(image: &str) -> &str {
    if image.contains('@') {
        return "";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').map_or("latest", |(_, tag)| tag)
}

fn fill_probe(probe: &mut Value) {
    json::default(probe, "timeoutSeconds", 1);
    json::default(probe, "periodSeconds", 10);
    json::default(probe, "successThreshold", 1);
    json::default(probe, "failureThreshold", 3);
    fill_http(probe);
    if let Some(grpc) = probe.get_mut("grpc") {
        json::default(grpc, "service", "");
    }
}

fn fill_http(action: &mut Value) {
    if let Some(get) = action.get_mut("httpGet") {
        json::default(get, "path", "/");
        json::default(get, "scheme", "HTTP");
    }
}

fn fill_volume(volume: &mut Value) {
    let sources = volume.as_object().map_or(0, |fields| fields.len());
    if sources <= 1 {
        json::set(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source) {
            json::default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(path) = volume.get_mut("hostPath") {
        json::default(path, "type", "");
    }
    if let Some(items) = volume.get_mut("downwardAPI") {
        fill_field_references(items);
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in children(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                json::default(token, "expirationSeconds", 3600);
            }
            if let Some(items) = source.get_mut("downwardAPI") {
                fill_field_references(items);
            }
        }
    }
    if let Some(empty) = volume.get_mut("emptyDir") {
        quantity::canonicalise(empty, &["sizeLimit"]);
    }
    if let Some(disk) = volume.get_mut("iscsi") {
        json::default(disk, "iscsiInterface", "default");
    }
    if let Some(disk) = volume.get_mut("rbd") {
        json::default(disk, "pool", "rbd");
        json::default(disk, "user", "admin");
        json::default(disk, "keyring", "/etc/ceph/keyring");
    }
    let template = volume
        .get_mut("ephemeral")
        .and_then(|ephemeral| ephemeral.get_mut("volumeClaimTemplate"));
    if let Some(template) = template {
        json::child(template, "metadata");
        let claim = json::child(template, "spec");
        json::default(claim, "volumeMode", "Filesystem");
        if let Some(resources) = claim.get_mut("resources") {
            quantity::canonicalise_resources(resources);
        }
    }
}

fn fill_field_references(downward: &mut Value) {
    for item in children(downward, "items") {
        fill_reference(item);
    }
}

fn fill_reference(holder: &mut Value) {
    if let Some(field) = holder.get_mut("fieldRef") {
        json::default(field, "apiVersion", "v1");
    }
    if let Some(resource) = holder.get_mut("resourceFieldRef") {
        json::default(resource, "divisor", "0");
        quantity::canonicalise(resource, &["divisor"]);
    }
}

fn requests_from_limits(resources: &mut Value) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = json::child(resources, "requests");
    for (name, amount) in limits {
        json::default(requests, &name, amount);
    }
}

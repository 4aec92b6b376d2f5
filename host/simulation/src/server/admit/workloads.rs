//! The rules of built-in kinds that a controller of workloads can run into.
//!
//! Not every rule of Kubernetes: a selector must match its template, containers need names and images,
//! and what is immutable stays as it is.

use serde_json::{Value, json};

use super::metadata::check_labels;
use super::pod_spec::{check_pod_change, check_pod_spec, check_template};
use super::require;
use crate::json;
use crate::kinds::{Kind, custom};
use crate::refusal::FieldError;
use crate::selectors::LabelSelector;

/// What is wrong with an object of a built-in kind.
pub(super) fn check(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => {
            check_pod_spec(object, "/spec", &mut errors);
            check_pod_change(object, old, &mut errors);
        }
        ("", "PodTemplate") => check_template(object, "/template", &mut errors),
        ("", "Service") => check_service(object, old, &mut errors),
        ("", "Secret") => check_immutable(object, old, "type", &mut errors),
        ("apps", "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet") => {
            check_template(object, "/spec/template", &mut errors);
            check_selector(object, &mut errors);
            check_immutable(object, old, "spec.selector", &mut errors);
            for field in [
                "replicas",
                "minReadySeconds",
                "revisionHistoryLimit",
                "progressDeadlineSeconds",
            ] {
                check_not_negative(object, field, &mut errors);
            }
            check_always_restarts(object, &mut errors);
            if kind.kind == "ReplicaSet" {
                check_counts(object, &mut errors);
            }
        }
        ("batch", "Job") => {
            check_template(object, "/spec/template", &mut errors);
            check_immutable(object, old, "spec.selector", &mut errors);
            check_immutable(object, old, "spec.template", &mut errors);
            check_immutable(object, old, "spec.completions", &mut errors);
            for field in ["parallelism", "completions", "backoffLimit"] {
                check_not_negative(object, field, &mut errors);
            }
            check_never_restarts(object, &mut errors);
        }
        ("discovery.k8s.io", "EndpointSlice") => require(&mut errors, object, "/addressType"),
        ("", "Event") => check_event(object, &mut errors),
        ("policy", "PodDisruptionBudget") => check_budget(object, &mut errors),
        ("coordination.k8s.io", "Lease") => check_lease(object, &mut errors),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            if let Err(wrong) = custom::kind(object) {
                errors.extend(wrong);
            }
        }
        _ => {}
    }
    errors
}

fn check_selector(object: &Value, errors: &mut Vec<FieldError>) {
    let source = object.pointer("/spec/selector").unwrap_or(&Value::Null);
    let labels = object
        .pointer("/spec/template/metadata/labels")
        .unwrap_or(&Value::Null);
    let Some(selector) = LabelSelector::from_object(source) else {
        errors.push(FieldError::invalid(
            "spec.selector",
            source,
            "not a valid selector operator",
        ));
        return;
    };
    if source.is_null() {
        errors.push(FieldError::required("spec.selector", ""));
    } else if selector.is_empty() {
        errors.push(FieldError::invalid(
            "spec.selector",
            source,
            "empty selector is invalid for deployment",
        ));
    }
    if source.is_null() || !selector.matches_labels(labels) {
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            labels,
            "`selector` does not match template `labels`",
        ));
    }
}

/// Counts in a ReplicaSet's status are not negative and no count exceeds the whole.
fn check_counts(object: &Value, errors: &mut Vec<FieldError>) {
    let count = |field: &str| json::number(object, &format!("/status/{field}")).unwrap_or_default();
    for field in [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
    ] {
        if count(field) < 0 {
            errors.push(FieldError::invalid(
                format!("status.{field}"),
                &Value::from(count(field)),
                "must be greater than or equal to 0",
            ));
        }
    }
    for (part, whole) in [
        ("fullyLabeledReplicas", "replicas"),
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ] {
        if count(part) > count(whole) {
            errors.push(FieldError::invalid(
                format!("status.{part}"),
                &Value::from(count(part)),
                &format!(
                    "cannot be greater than {}",
                    if whole == "replicas" {
                        "status.replicas"
                    } else {
                        whole
                    }
                ),
            ));
        }
    }
}

fn check_immutable(object: &Value, old: Option<&Value>, field: &str, errors: &mut Vec<FieldError>) {
    let Some(old) = old else { return };
    let pointer = format!("/{}", field.replace('.', "/"));
    if object.pointer(&pointer) != old.pointer(&pointer) {
        let value = object.pointer(&pointer).cloned().unwrap_or_default();
        errors.push(FieldError::invalid(field, &value, "field is immutable"));
    }
}

fn check_not_negative(object: &Value, field: &str, errors: &mut Vec<FieldError>) {
    if let Some(number) =
        json::number(object, &format!("/spec/{field}")).filter(|number| *number < 0)
    {
        errors.push(FieldError::invalid(
            format!("spec.{field}"),
            &Value::from(number),
            "must be greater than or equal to 0",
        ));
    }
}

fn check_always_restarts(object: &Value, errors: &mut Vec<FieldError>) {
    let policy = object.pointer("/spec/template/spec/restartPolicy");
    if let Some(policy) = policy.filter(|policy| **policy != json!("Always")) {
        errors.push(FieldError::unsupported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always".to_owned()],
        ));
    }
}

fn check_never_restarts(object: &Value, errors: &mut Vec<FieldError>) {
    let policy = json::text(object, "/spec/template/spec/restartPolicy");
    if !matches!(policy, "OnFailure" | "Never") {
        errors.push(FieldError::required(
            "spec.template.spec.restartPolicy",
            "valid values: \"OnFailure\", \"Never\"",
        ));
    }
}

fn check_service(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let address = |service: &Value| json::text(service, "/spec/clusterIP").to_owned();
    let had = old.map(address).unwrap_or_default();
    if !had.is_empty()
        && had != address(object)
        && json::text(object, "/spec/type") != "ExternalName"
    {
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            &json!([address(object)]),
            "may not change once set",
        ));
    }
    let headless = json::text(object, "/spec/clusterIP") == "None";
    let external = json::text(object, "/spec/type") == "ExternalName";
    if !headless && !external {
        require(errors, object, "/spec/ports");
    }
    let ports = json::entries(object, "/spec/ports");
    for (index, port) in ports.iter().enumerate() {
        let number = json::number(port, "/port").unwrap_or_default();
        if !(1..=65535).contains(&number) {
            errors.push(FieldError::invalid(
                format!("spec.ports[{index}].port"),
                &Value::from(number),
                "must be between 1 and 65535, inclusive",
            ));
        }
        if ports.len() > 1 && json::text(port, "/name").is_empty() {
            errors.push(FieldError::required(
                format!("spec.ports[{index}].name"),
                "",
            ));
        }
    }
    check_labels(object.pointer("/spec/selector"), "spec.selector", errors);
}

fn check_event(object: &Value, errors: &mut Vec<FieldError>) {
    let of = json::text(object, "/involvedObject/namespace");
    let own = json::text(object, "/metadata/namespace");
    let matching = of == own || (of.is_empty() && own == "default");
    if !matching {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &Value::from(of),
            "does not match event.namespace",
        ));
    }
}

fn check_budget(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    if spec.get("minAvailable").is_some() && spec.get("maxUnavailable").is_some() {
        errors.push(FieldError::invalid(
            "spec",
            spec,
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
}

fn check_lease(object: &Value, errors: &mut Vec<FieldError>) {
    let duration = json::number(object, "/spec/leaseDurationSeconds");
    if let Some(seconds) = duration.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            &Value::from(seconds),
            "must be greater than 0",
        ));
    }
}

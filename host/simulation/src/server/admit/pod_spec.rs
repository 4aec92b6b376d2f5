//! The rules of pods and pod templates that a controller of workloads can run into.

use serde_json::Value;

use super::metadata::{LABEL, check_labels, is_label};
use super::require;
use crate::defaults::nanos;
use crate::json;
use crate::refusal::FieldError;

fn field_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// The template of a set, a Deployment or a Job.
pub(super) fn check_template(object: &Value, pointer: &str, errors: &mut Vec<FieldError>) {
    let labels = object.pointer(&format!("{pointer}/metadata/labels"));
    check_labels(
        labels,
        &format!("{}.metadata.labels", field_of(pointer)),
        errors,
    );
    check_pod_spec(object, &format!("{pointer}/spec"), errors);
}

/// A pod's spec, or a template's.
pub(super) fn check_pod_spec(object: &Value, pointer: &str, errors: &mut Vec<FieldError>) {
    require(errors, object, &format!("{pointer}/containers"));
    for list in ["initContainers", "containers"] {
        let mut names: Vec<&str> = Vec::new();
        for (index, container) in json::entries(object, &format!("{pointer}/{list}"))
            .iter()
            .enumerate()
        {
            let path = format!("{}.{list}[{index}]", field_of(pointer));
            for field in ["name", "image"] {
                if json::text(container, &format!("/{field}")).is_empty() {
                    errors.push(FieldError::required(format!("{path}.{field}"), ""));
                }
            }
            let name = json::text(container, "/name");
            if !name.is_empty() && !is_label(name) {
                errors.push(FieldError::invalid(
                    format!("{path}.name"),
                    &Value::from(name),
                    LABEL,
                ));
            }
            if !name.is_empty() && names.contains(&name) {
                errors.push(FieldError::duplicate(
                    format!("{path}.name"),
                    &Value::from(name),
                ));
            }
            names.push(name);
            check_mounts(object, pointer, container, &path, errors);
            check_resources(container, &path, errors);
            for (port_index, port) in json::entries(container, "/ports").iter().enumerate() {
                check_port(
                    json::number(port, "/containerPort"),
                    &format!("{path}.ports[{port_index}].containerPort"),
                    errors,
                );
            }
        }
    }
}

fn check_port(port: Option<i64>, path: &str, errors: &mut Vec<FieldError>) {
    match port {
        None | Some(0) => errors.push(FieldError::required(path, "")),
        Some(1..=65535) => {}
        Some(other) => errors.push(FieldError::invalid(
            path,
            &Value::from(other),
            "must be between 1 and 65535, inclusive",
        )),
    }
}

/// What of a pod may change.
pub(super) fn check_pod_change(object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let Some(old) = old else { return };
    let fixed = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        for field in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "nodeName",
        ] {
            json::take(&mut spec, field);
        }
        for list in ["containers", "initContainers"] {
            if let Some(Value::Array(containers)) = spec.get_mut(list) {
                for container in containers {
                    json::take(container, "image");
                }
            }
        }
        spec
    };
    if fixed(object) != fixed(old) {
        errors.push(FieldError::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
             `spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}

/// A volume that is mounted must be there.
fn check_mounts(
    object: &Value,
    pointer: &str,
    container: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let volumes = json::entries(object, &format!("{pointer}/volumes"));
    for (index, mount) in json::entries(container, "/volumeMounts").iter().enumerate() {
        let name = json::text(mount, "/name");
        if !volumes
            .iter()
            .any(|volume| json::text(volume, "/name") == name)
        {
            errors.push(FieldError::not_found(
                format!("{path}.volumeMounts[{index}].name"),
                &Value::from(name),
            ));
        }
    }
}

/// No more may be asked for than is allowed.
fn check_resources(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let requests = container
        .pointer("/resources/requests")
        .and_then(Value::as_object);
    for (name, request) in requests.into_iter().flatten() {
        let limit = container
            .pointer("/resources/limits")
            .and_then(|limits| limits.get(name))
            .and_then(Value::as_str);
        let asked = request.as_str().and_then(nanos);
        if let (Some(limit), Some(asked)) = (limit, asked)
            && nanos(limit).is_some_and(|allowed| asked > allowed)
        {
            errors.push(FieldError::invalid(
                format!("{path}.resources.requests"),
                request,
                &format!("must be less than or equal to {name} limit of {limit}"),
            ));
        }
    }
}

/// The first amount of a container's resources that is none.
pub(super) fn unreadable_amount(object: &Value) -> Option<String> {
    ["/spec", "/spec/template/spec", "/template/spec"]
        .iter()
        .flat_map(|pointer| {
            ["initContainers", "containers"]
                .iter()
                .flat_map(move |list| json::entries(object, &format!("{pointer}/{list}")))
        })
        .flat_map(|container| {
            ["/resources/limits", "/resources/requests"]
                .iter()
                .filter_map(move |amounts| container.pointer(amounts)?.as_object())
        })
        .flat_map(|amounts| amounts.values())
        .filter_map(Value::as_str)
        .find(|amount| nanos(amount).is_none())
        .map(str::to_owned)
}

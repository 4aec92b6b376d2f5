//! Which pods, and whether that is said so that Kubernetes understands it (VAL-005).

use serde_json::Value;
use sluice_api as api;

use super::{Check, FieldError, Problem, invalid, required};
use crate::label::{key_problems, value_problems};

/// A selector must be there, select something, and be written as Kubernetes wants it.
pub(super) fn check(selector: Option<&api::LabelSelector>) -> Check {
    let Some(selector) = selector else {
        return Err(required(
            "spec.selector",
            "Rollout has missing field '.spec.selector'",
        ));
    };
    for (key, value) in &selector.match_labels {
        let path = "spec.selector.matchLabels";
        first(path, key, key_problems(key))?;
        first(path, value, value_problems(value))?;
    }
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let path = format!("spec.selector.matchExpressions[{index}]");
        check_requirement(&path, requirement)?;
    }
    if selector.is_empty() {
        return Err(invalid(
            "spec.selector",
            serde_json::to_value(selector).unwrap_or_default(),
            "empty selector is invalid for deployment",
        ));
    }
    Ok(())
}

fn check_requirement(path: &str, requirement: &api::LabelSelectorRequirement) -> Check {
    let has_values = !requirement.values.is_empty();
    match requirement.operator.as_str() {
        "In" | "NotIn" if !has_values => {
            return Err(required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            ));
        }
        "Exists" | "DoesNotExist" if has_values => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            return Err(FieldError {
                path: format!("{path}.values"),
                problem: Problem::Forbidden(why),
            });
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            return Err(invalid(
                format!("{path}.operator"),
                other,
                "not a valid selector operator",
            ));
        }
    }
    let key = &requirement.key;
    first(&format!("{path}.key"), key, key_problems(key))?;
    for (index, value) in requirement.values.iter().enumerate() {
        let path = format!("{path}.values[{index}]");
        first(&path, value, value_problems(value))?;
    }
    Ok(())
}

fn first(path: &str, value: &str, problems: Vec<String>) -> Check {
    match problems.into_iter().next() {
        Some(problem) => Err(invalid(path, Value::from(value), problem)),
        None => Ok(()),
    }
}

//! Whether two pod templates are the same (REC-011): compared as the API server defaults them, without what a
//! controller puts into a set's template.

use serde_json::Value;

use crate::{hash, keys};

/// Identity of a template as it stands in a ReplicaSet: equal exactly when the templates mean the same.
///
/// Taken out before: the hash label, the metadata that the annotation `ephemeral-metadata` (KEY-009) says was injected,
/// the anti-affinity term that a Rollout adds (CA-016), the deprecated `serviceAccount`, and nulls.
pub fn identity(template: &Value, ephemeral: Option<&str>) -> String {
    let mut template = template.clone();
    if let Some(labels) = object_at(&mut template, &["metadata", "labels"]) {
        labels.remove(keys::POD_TEMPLATE_HASH);
    }
    if let Some(injected) = ephemeral.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        for part in ["labels", "annotations"] {
            let names = injected.get(part).and_then(Value::as_object);
            if let (Some(names), Some(present)) =
                (names, object_at(&mut template, &["metadata", part]))
            {
                present.retain(|name, _| !names.contains_key(name));
            }
        }
    }
    if let Some(spec) = object_at(&mut template, &["spec"]) {
        spec.remove("serviceAccount");
    }
    remove_injected_anti_affinity(&mut template);
    prune(&mut template);
    hash::template_source(&template)
}

/// Follows field names to an object.
fn object_at<'a>(
    value: &'a mut Value,
    path: &[&str],
) -> Option<&'a mut serde_json::Map<String, Value>> {
    path.iter()
        .try_fold(value, |value, name| value.get_mut(*name))?
        .as_object_mut()
}

/// Removes terms whose only expression is `rollouts-pod-template-hash In [..]`: only a Rollout writes those.
fn remove_injected_anti_affinity(template: &mut Value) {
    let Some(anti) = object_at(template, &["spec", "affinity", "podAntiAffinity"]) else {
        return;
    };
    let injected = |term: &Value| {
        let expressions = term
            .pointer("/labelSelector/matchExpressions")
            .and_then(Value::as_array);
        expressions.is_some_and(|list| {
            matches!(list.as_slice(), [only] if only.get("key").and_then(Value::as_str) == Some(keys::POD_TEMPLATE_HASH))
        })
    };
    if let Some(Value::Array(terms)) =
        anti.get_mut("requiredDuringSchedulingIgnoredDuringExecution")
    {
        terms.retain(|term| !injected(term));
    }
    if let Some(Value::Array(terms)) =
        anti.get_mut("preferredDuringSchedulingIgnoredDuringExecution")
    {
        terms.retain(|term| !term.get("podAffinityTerm").is_some_and(injected));
    }
}

/// Removes what is empty, so that `{}` and absent are the same. Scalars stay: zero is not absent.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| !is_empty(value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

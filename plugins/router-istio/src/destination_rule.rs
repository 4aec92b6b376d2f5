//! What becomes of a DestinationRule: the hash labels of its subsets, and the annotation that says whose they are.
//!
//! Works on a copy of the object as JSON and touches nothing that it does not mean.

use serde_json::{Map, Value, json};

use crate::config::DestinationRule;

/// The label by which a subset selects the pods of a ReplicaSet.
pub const HASH_LABEL: &str = "rollouts-pod-template-hash";

/// The annotation that says which Rollout, of the same namespace, manages an object.
pub const MANAGED_BY: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";

/// The hashes to write down. None takes the label away.
#[derive(Clone, Debug)]
pub struct Hashes<'a> {
    pub canary: Option<&'a str>,
    pub stable: Option<&'a str>,
    /// Subsets of experiments, named as their Services are.
    pub additional: Vec<(&'a str, Option<&'a str>)>,
}

/// Would the label of this subset change?
pub fn switches(object: &Value, subset: &str, wanted: Option<&str>) -> bool {
    subsets(object)
        .iter()
        .any(|found| name(found) == subset && hash(found) != wanted)
}

/// The hash label that a subset has now; none if there is no such subset, or it has no such label.
pub fn hash_of<'a>(object: &'a Value, subset: &str) -> Option<&'a str> {
    subsets(object)
        .iter()
        .find(|found| name(found) == subset)
        .and_then(hash)
}

/// Writes the hashes down, marks the object as managed by this Rollout, and drops subsets of experiments that are over.
///
/// Argo Rollouts drops every subset that it does not know. A subset that never had our label is none of our business.
pub fn edit(object: &mut Value, rollout: &str, rule: &DestinationRule, hashes: &Hashes<'_>) {
    annotate(object, rollout);
    let Some(list) = object
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .map(|spec| spec.entry("subsets").or_insert_with(|| json!([])))
    else {
        return;
    };
    let Some(list) = list.as_array_mut() else {
        return;
    };
    let mut missing = hashes.additional.clone();
    list.retain_mut(|subset| {
        let subset_name = name(subset).to_owned();
        let wanted = if subset_name == rule.canary_subset_name {
            hashes.canary
        } else if subset_name == rule.stable_subset_name {
            hashes.stable
        } else if let Some(index) = missing.iter().position(|(name, _)| *name == subset_name) {
            missing.remove(index).1
        } else {
            return rule.leaves_alone(&subset_name) || hash(subset).is_none();
        };
        label(subset, wanted);
        true
    });
    list.extend(missing.into_iter().map(|(name, hash)| {
        let labels: Map<String, Value> = hash
            .map(|hash| (HASH_LABEL.to_owned(), hash.into()))
            .into_iter()
            .collect();
        json!({"name": name, "labels": labels})
    }));
}

/// Takes our marks off: the annotation and all hash labels. Nothing of a rule that another Rollout has taken over.
pub fn release(object: &mut Value, rollout: &str) {
    if let Some(annotations) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
        && let Some(manager) = annotations.get(MANAGED_BY)
    {
        if manager.as_str() != Some(rollout) {
            return;
        }
        annotations.remove(MANAGED_BY);
    }
    if let Some(list) = object
        .pointer_mut("/spec/subsets")
        .and_then(Value::as_array_mut)
    {
        list.iter_mut().for_each(|subset| label(subset, None));
    }
}

fn annotate(object: &mut Value, rollout: &str) {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let annotations =
        metadata.map(|metadata| metadata.entry("annotations").or_insert_with(|| json!({})));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.insert(MANAGED_BY.to_owned(), rollout.into());
    }
}

fn label(subset: &mut Value, hash: Option<&str>) {
    let Some(fields) = subset.as_object_mut() else {
        return;
    };
    match hash {
        Some(hash) => {
            let labels = fields.entry("labels").or_insert_with(|| json!({}));
            if !labels.is_object() {
                *labels = json!({});
            }
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(HASH_LABEL.to_owned(), hash.into());
            }
        }
        None => {
            if let Some(labels) = fields.get_mut("labels").and_then(Value::as_object_mut) {
                labels.remove(HASH_LABEL);
            }
        }
    }
}

fn subsets(object: &Value) -> &[Value] {
    object
        .pointer("/spec/subsets")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn name(subset: &Value) -> &str {
    subset
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn hash(subset: &Value) -> Option<&str> {
    subset.get("labels")?.get(HASH_LABEL)?.as_str()
}

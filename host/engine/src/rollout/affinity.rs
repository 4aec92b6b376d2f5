//! The anti-affinity term that a Rollout adds to the template of a new set (CA-016).

use serde_json::{Value, json};

use super::pass::Pass;
use crate::keys;

/// The Rollout's template, with the term that keeps new pods away from the nodes of the stable set, if one is asked for.
pub(crate) fn with_anti_affinity(pass: &Pass<'_>) -> Value {
    let mut template = pass.valid.template.as_value().clone();
    let strategy = &pass.raw.spec.strategy;
    let wanted = match (&strategy.canary, &strategy.blue_green) {
        (Some(canary), _) => canary.anti_affinity.as_ref(),
        (None, Some(blue_green)) => blue_green.anti_affinity.as_ref(),
        (None, None) => None,
    };
    let stable = &pass.status.stable_rs;
    let Some(wanted) = wanted.filter(|_| !stable.is_empty() && *stable != pass.hash) else {
        return template;
    };
    let term = json!({
        "labelSelector": { "matchExpressions": [
            { "key": keys::POD_TEMPLATE_HASH, "operator": "In", "values": [stable] },
        ] },
        "namespaces": [pass.raw.metadata.namespace],
        "topologyKey": "kubernetes.io/hostname",
    });
    let (list, item) = match &wanted.preferred_during_scheduling_ignored_during_execution {
        Some(preferred) => (
            "preferredDuringSchedulingIgnoredDuringExecution",
            json!({ "podAffinityTerm": term, "weight": preferred.weight }),
        ),
        None => ("requiredDuringSchedulingIgnoredDuringExecution", term),
    };
    let mut at = &mut template;
    for name in ["spec", "affinity", "podAntiAffinity"] {
        let Some(fields) = at.as_object_mut() else {
            return pass.valid.template.as_value().clone();
        };
        at = fields.entry(name).or_insert_with(|| json!({}));
    }
    if let Some(fields) = at.as_object_mut()
        && let Some(terms) = fields
            .entry(list)
            .or_insert_with(|| json!([]))
            .as_array_mut()
    {
        terms.push(item);
    }
    template
}

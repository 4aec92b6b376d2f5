//! Whether labels match a selector (`metav1.LabelSelector`).

use std::collections::BTreeMap;

use sluice_api::{LabelSelector, LabelSelectorRequirement};

/// Whether the selector takes an object with these labels. An operator that is not known takes nothing.
pub(crate) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    contains(labels, &selector.match_labels)
        && selector
            .match_expressions
            .iter()
            .all(|need| satisfies(need, labels))
}

/// Whether all wanted labels are there with these values.
pub(crate) fn contains(
    labels: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> bool {
    wanted
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

fn satisfies(need: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&need.key);
    match need.operator.as_str() {
        "In" => value.is_some_and(|value| need.values.contains(value)),
        // Kubernetes: a missing label is not in any set.
        "NotIn" => value.is_none_or(|value| !need.values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

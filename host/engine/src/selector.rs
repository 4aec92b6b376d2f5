//! Label selectors: whether one matches, and how Kubernetes writes one down.

use std::collections::BTreeMap;

use sluice_api::LabelSelector;

/// Whether the labels satisfy the selector. An unknown operator matches nothing.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let plain = selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    plain
        && selector.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            match expression.operator.as_str() {
                "In" => value.is_some_and(|value| expression.values.contains(value)),
                "NotIn" => value.is_none_or(|value| !expression.values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// The selector as `metav1.FormatLabelSelector` prints it (ST-025): requirements ordered by key; `<none>` for none.
pub fn format(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else {
        return "<none>".to_owned();
    };
    let mut parts: Vec<(String, String)> = selector
        .match_labels
        .iter()
        .map(|(key, value)| (key.clone(), format!("{key}={value}")))
        .collect();
    for expression in &selector.match_expressions {
        let key = &expression.key;
        let mut values = expression.values.clone();
        values.sort();
        let values = values.join(",");
        let text = match (expression.operator.as_str(), values.is_empty()) {
            ("In", false) => format!("{key} in ({values})"),
            ("NotIn", false) => format!("{key} notin ({values})"),
            ("Exists", true) => key.clone(),
            ("DoesNotExist", true) => format!("!{key}"),
            _ => return "<error>".to_owned(),
        };
        parts.push((key.clone(), text));
    }
    if parts.is_empty() {
        return "<none>".to_owned();
    }
    // Of one key, plain labels come first, as they were put in.
    parts.sort_by(|(left, _), (right, _)| left.cmp(right));
    let texts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    texts.join(",")
}

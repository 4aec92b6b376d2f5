//! Values of a Rollout's fields, for arguments (RAN-009). Which path a user may write is validation's business.

use serde_json::Value;
use sluice_api as api;

use super::go;
use crate::label::key_problems;

/// The value of a field of the Rollout: metadata by the rules of the downward API, any other by its path in JSON.
///
/// # Errors
/// In upstream's words, when there is no such field, or when it is no single value.
pub fn value(rollout: &api::Rollout, path: &str) -> Result<String, String> {
    if path.starts_with("metadata") {
        metadata(&rollout.metadata, path)
    } else {
        let json = serde_json::to_value(rollout).map_err(|error| error.to_string())?;
        at(&json, path)
    }
}

/// The value of a field of metadata, by the rules of the downward API: name, namespace, UID, all labels or annotations,
/// or one of them as in `metadata.labels['app']`. One that is not set is empty.
///
/// # Errors
/// In the words of Kubernetes, when the path is none of these.
pub fn metadata(metadata: &api::ObjectMeta, path: &str) -> Result<String, String> {
    if let Some((map, key)) = subscripted(path) {
        let (entries, checked) = match map {
            "metadata.annotations" => (&metadata.annotations, key.to_lowercase()),
            "metadata.labels" => (&metadata.labels, key.to_owned()),
            _ => {
                return Err(format!(
                    "fieldPath {} does not support subscript",
                    go::quote(path)
                ));
            }
        };
        let problems = key_problems(&checked);
        if !problems.is_empty() {
            let problems = problems.join(";");
            return Err(format!("invalid key subscript in {path}: {problems}"));
        }
        return Ok(entries.get(key).cloned().unwrap_or_default());
    }
    let list = |entries: &std::collections::BTreeMap<String, String>| {
        let lines = entries
            .iter()
            .map(|(name, value)| format!("{name}={}", go::quote(value)));
        lines.collect::<Vec<_>>().join("\n")
    };
    match path {
        "metadata.annotations" => Ok(list(&metadata.annotations)),
        "metadata.labels" => Ok(list(&metadata.labels)),
        "metadata.name" => Ok(metadata.name.clone()),
        "metadata.namespace" => Ok(metadata.namespace.clone()),
        "metadata.uid" => Ok(metadata.uid.clone()),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// `a['b']` taken apart.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    (!map.is_empty()).then_some((map, key))
}

/// Follows a path whose parts are separated by `.`, `[` and `]`; numbers are positions in lists.
fn at(json: &Value, path: &str) -> Result<String, String> {
    let invalid = || format!("invalid path {path} in rollout");
    let mut value = json;
    for section in path
        .split(['.', '[', ']'])
        .filter(|section| !section.is_empty())
    {
        value = match value {
            Value::Array(items) => {
                let index: i64 = section
                    .parse()
                    .map_err(|_| format!("invalid index '{section}'"))?;
                let item = usize::try_from(index)
                    .ok()
                    .and_then(|index| items.get(index));
                item.ok_or_else(|| format!("index {index} out of range"))?
            }
            Value::Object(fields) => fields.get(section).unwrap_or(&Value::Null),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(invalid());
            }
        };
    }
    match value {
        Value::Null => Err(invalid()),
        value => go::primitive(value)
            .ok_or_else(|| format!("path {path} in rollout must terminate in a primitive value")),
    }
}

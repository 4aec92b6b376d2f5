//! Manifests as people write them.

use serde_json::Value;

/// The documents of a YAML text, without empty ones.
///
/// # Errors
/// Where it is no YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

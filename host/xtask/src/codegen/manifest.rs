//! What codegen needs of a plugin's manifest. Its format is the host's and the SDK's business; a field that codegen
//! does not use is not read here.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use sluice_api::ConfigSchemas;

/// A plugin's manifest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Key in `trafficRouting` or `provider`.
    pub name: String,
    /// Interfaces that the plugin exports.
    pub kinds: Vec<String>,
    /// What it asks to be allowed.
    #[serde(default)]
    pub grants: Grants,
    /// Schema of its block.
    #[serde(default)]
    pub config_schema: Value,
}

/// What a plugin asks to be allowed in the cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// Objects to read.
    pub reads: Vec<Grant>,
    /// Objects to change.
    pub changes: Vec<Grant>,
}

/// Kinds of one API group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Grant {
    /// The API group; empty for the core group.
    pub group: String,
    /// Kinds in the singular.
    pub kinds: Vec<String>,
    /// `create`, `patch`, `delete`; none for reads.
    pub verbs: Vec<String>,
}

/// Every manifest below `plugins/`, in the order of the folders' names.
///
/// # Errors
/// When a file cannot be read or understood; it is named.
pub fn read_all(plugins: &Path) -> anyhow::Result<Vec<Manifest>> {
    let entries =
        fs::read_dir(plugins).with_context(|| format!("cannot list {}", plugins.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path().join("manifest.json");
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path)?;
        anyhow::Ok(serde_json::from_str(&text)?)
    };
    paths
        .iter()
        .map(|path| read(path).with_context(|| format!("in {}", path.display())))
        .collect()
}

/// The schemas of the plugins' blocks, by the interface that they are for.
///
/// # Errors
/// When two plugins claim the same name.
pub fn config_schemas(plugins: &[Manifest]) -> anyhow::Result<ConfigSchemas> {
    let mut schemas = ConfigSchemas::default();
    for plugin in plugins {
        for kind in &plugin.kinds {
            let blocks = match kind.as_str() {
                "traffic-router" => &mut schemas.routers,
                "metric-provider" => &mut schemas.providers,
                // The configuration of a step is kept as it is: its plugin's name is not a key of the schema.
                _ => continue,
            };
            let schema = sluice_api::structural(&plugin.config_schema);
            if blocks.insert(plugin.name.clone(), schema).is_some() {
                bail!("two plugins are a {kind} named {}", plugin.name);
            }
        }
    }
    Ok(schemas)
}

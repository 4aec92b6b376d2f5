//! What a component says about itself in its custom section `sluice:plugin`; `wit/README.md` documents the format.
//!
//! Only decoding and checks that need nothing but the document; `gate` finds the section, `load` compares with the exports.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use sluice_engine::plugin::PluginKind;

use crate::grants::AddressRule;

/// The name of the custom section.
pub const SECTION: &str = "sluice:plugin";

/// A plugin's description of itself. Unknown fields are refused: they might be wishes that the host does not know.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The key under which a specification names the plugin.
    pub name: String,
    /// The name to show.
    pub display_name: String,
    /// The plugin's own version.
    pub version: String,
    /// The version of `sluice:plugin` that it was built for.
    pub abi: String,
    /// Further names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The interfaces that it exports.
    pub kinds: Vec<PluginKind>,
    /// What it asks to be allowed.
    #[serde(default)]
    pub grants: Grants,
    /// What it can do beyond the minimum of its kind.
    #[serde(default)]
    pub capabilities: BTreeSet<String>,
    /// Whether a Rollout comes with its pod template.
    #[serde(default)]
    pub subject_body: BodyWanted,
    /// The keys of the Rollout's status that a router may fill.
    #[serde(default)]
    pub status_keys: BTreeSet<String>,
    /// The administrator's settings, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// The JSON Schema of the plugin's block of a specification.
    pub config_schema: Value,
}

/// What a plugin asks to be allowed, and, as long as nobody says less, gets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Grants {
    /// Objects to read.
    pub reads: Vec<ReadGrant>,
    /// Objects to change.
    pub changes: Vec<ChangeGrant>,
    /// Addresses to send requests to.
    pub http: Vec<AddressRule>,
    /// Names of credentials that requests may use.
    pub secrets: BTreeSet<String>,
    /// Services of AWS, by their signing names, for which requests may be signed with the controller's own identity.
    pub aws_services: BTreeSet<String>,
}

/// Kinds of one API group to read, in any version of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadGrant {
    /// The API group; empty for the core group.
    pub group: String,
    /// Kinds in the singular.
    pub kinds: BTreeSet<String>,
    /// In which namespaces.
    pub namespaces: Namespaces,
}

/// Kinds of one API group to change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeGrant {
    /// The API group; empty for the core group.
    pub group: String,
    /// Kinds in the singular.
    pub kinds: BTreeSet<String>,
    /// What may be done to them.
    pub verbs: BTreeSet<Verb>,
    /// In which namespaces.
    pub namespaces: Namespaces,
}

/// What may be done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Create it.
    Create,
    /// Patch it.
    Patch,
    /// Delete it.
    Delete,
}

/// Where a grant holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespaces {
    /// Everywhere.
    Any,
    /// In the subject's namespace only.
    Subject,
}

/// Whether a Rollout comes with its pod template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyWanted {
    /// It does not.
    #[default]
    WithoutTemplate,
    /// It does.
    WithTemplate,
}

/// Where a setting comes from: the first of flag, environment and default that has a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// A flag of the controller, without dashes.
    #[serde(default)]
    pub flag: Option<String>,
    /// An environment variable of the controller.
    #[serde(default)]
    pub environment: Option<String>,
    /// Without either.
    #[serde(default)]
    pub default: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

impl Manifest {
    /// Decodes and checks the document.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("name: must not be empty".to_owned());
        }
        if let Some(alias) = self.aliases.iter().find(|alias| alias.is_empty()) {
            return Err(format!("aliases: must not be empty: {alias:?}"));
        }
        if self.kinds.is_empty() {
            return Err("kinds: must name at least one".to_owned());
        }
        let reads = self
            .grants
            .reads
            .iter()
            .map(|grant| ("reads", &grant.group, &grant.kinds));
        let changes = self
            .grants
            .changes
            .iter()
            .map(|grant| ("changes", &grant.group, &grant.kinds));
        for (list, group, kinds) in reads.chain(changes) {
            if group.is_empty() && kinds.contains("Secret") {
                return Err(format!("grants.{list}: Secrets are never granted"));
            }
            if group.contains(['*', '/']) || kinds.iter().any(|kind| kind.contains('*')) {
                return Err(format!(
                    "grants.{list}: {group:?}: name each group and kind, without version or wildcard"
                ));
            }
        }
        Ok(())
    }

    /// The name and every alias.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// The settings that have a value, from these flags and environment variables by name.
    pub fn settings_from(&self, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.settings
            .iter()
            .filter_map(|(name, setting)| {
                let given = [&setting.flag, &setting.environment]
                    .into_iter()
                    .filter_map(|source| values.get(source.as_ref()?))
                    .next();
                given
                    .or(setting.default.as_ref())
                    .map(|value| (name.clone(), value.clone()))
            })
            .collect()
    }
}

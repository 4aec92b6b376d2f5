//! What all passes share: the sandbox, the ports, and the plugins that are loaded now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use sluice_engine::object::Subject;
use sluice_engine::plugin::{PluginInfo, PluginKind, PluginName};

use crate::clock::Clock;
use crate::http::Client;
use crate::limits::Limits;
use crate::metrics::Recorder;
use crate::mishap::Mishaps;
use crate::plugin::Plugin;
use crate::ports::Reads;
use crate::sandbox::Sandbox;

pub(crate) struct Shared {
    pub limits: Arc<Limits>,
    pub sandbox: Arc<Sandbox>,
    pub clock: Arc<dyn Clock>,
    pub reads: Arc<dyn Reads>,
    pub client: Arc<Client>,
    pub metrics: Recorder,
    pub mishaps: Option<Mishaps>,
    pub registry: RwLock<Registry>,
}

/// The kinds of objects that a router may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The name that its manifest gives it.
    pub router: String,
    /// `sha256:` of the component.
    pub digest: String,
    /// Group and kind.
    pub kinds: BTreeSet<(String, String)>,
}

/// The plugins under each of their names, as callers and as the engine see them.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    plugins: BTreeMap<PluginName, Arc<Plugin>>,
    infos: Arc<BTreeMap<PluginName, PluginInfo>>,
}

impl Registry {
    pub(crate) fn infos(&self) -> Arc<BTreeMap<PluginName, PluginInfo>> {
        Arc::clone(&self.infos)
    }

    /// What each router may change, each plugin once, under its own name.
    pub(crate) fn reaches(&self) -> Vec<Reach> {
        let routers = self.plugins.iter().filter(|(name, plugin)| {
            name.kind == PluginKind::TrafficRouter && name.name == plugin.manifest.name
        });
        routers
            .map(|(name, plugin)| {
                let grants = plugin.grants.changes.iter();
                let kinds = grants.flat_map(|grant| {
                    let kinds = grant.kinds.iter();
                    kinds.map(|kind| (grant.group.clone(), kind.clone()))
                });
                Reach {
                    router: name.name.clone(),
                    digest: plugin.digest.clone(),
                    kinds: kinds.collect(),
                }
            })
            .collect()
    }

    /// Adds a plugin in place of what came from the same origin.
    ///
    /// # Errors
    /// Another plugin has one of its names.
    pub(crate) fn add(&mut self, plugin: Plugin) -> Result<(), String> {
        let names: Vec<PluginName> = plugin
            .manifest
            .names()
            .flat_map(|name| {
                plugin.manifest.kinds.iter().map(|kind| PluginName {
                    kind: *kind,
                    name: name.to_owned(),
                })
            })
            .collect();
        for name in &names {
            if let Some(other) = self.plugins.get(name)
                && other.origin != plugin.origin
            {
                return Err(format!(
                    "the name `{}` is taken by {}",
                    name.name, other.origin
                ));
            }
        }
        let plugin = Arc::new(plugin);
        self.plugins
            .retain(|_, other| other.origin != plugin.origin);
        for name in names {
            self.plugins.insert(name, Arc::clone(&plugin));
        }
        self.infos = Arc::new(
            self.plugins
                .iter()
                .map(|(name, plugin)| (name.clone(), plugin.info()))
                .collect(),
        );
        Ok(())
    }
}

impl Shared {
    /// The plugin of this name.
    pub(crate) fn plugin(&self, name: &PluginName) -> Option<Arc<Plugin>> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.plugins.get(name).cloned()
    }

    /// Forgets, for each plugin, how calls for a subject that is gone have ended.
    pub(crate) fn forget(&self, subject: &Subject) {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        for plugin in registry.plugins.values() {
            plugin.breaker().forget(subject);
        }
    }
}

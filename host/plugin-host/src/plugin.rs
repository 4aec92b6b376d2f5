//! A loaded plugin, and how it comes to be one: gate, compiler, cache, trial.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sluice_engine::plugin::PluginInfo;
use tokio::sync::Semaphore;
use wasmtime::component::Component;

use crate::breaker::Breaker;
use crate::cache::Cache;
use crate::compile::Compiler;
use crate::http::InFlight;
use crate::limits::Limits;
use crate::manifest::{Grants, Manifest};
use crate::sandbox::{self, Ready, Sandbox};
use crate::unusable::Unusable;
use crate::wit::v0_1;
use crate::{digest, gate};

/// A plugin that can be called.
pub(crate) struct Plugin {
    pub manifest: Arc<Manifest>,
    pub digest: String,
    pub origin: String,
    pub ready: Arc<Ready>,
    pub grants: Arc<Grants>,
    pub settings: BTreeMap<String, String>,
    /// The same, as guests get them.
    pub settings_text: String,
    /// Calls of this plugin that may run at the same time.
    pub permits: Semaphore,
    pub in_flight: Arc<InFlight>,
    breaker: Mutex<Breaker>,
}

/// What loading needs.
pub(crate) struct Loader<'a> {
    pub sandbox: &'a Sandbox,
    pub compiler: &'a dyn Compiler,
    pub cache: Option<&'a Cache>,
    pub limits: &'a Limits,
    pub settings: &'a BTreeMap<String, String>,
}

impl Loader<'_> {
    /// Makes a plugin of the bytes of a component.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) async fn load(&self, origin: &str, bytes: Vec<u8>) -> Result<Plugin, Unusable> {
        let manifest = gate::inspect(&bytes, self.limits).map_err(Unusable::refused)?;
        let speaks =
            manifest.abi == v0_1::ABI || manifest.abi.starts_with(&format!("{}.", v0_1::ABI));
        if !speaks {
            return Err(Unusable::refused(format!(
                "is built for sluice:plugin@{}; this host speaks {}",
                manifest.abi,
                v0_1::ABI
            )));
        }
        let digest = digest::sha256(&bytes);
        let ready = match self.sandbox.kept(&digest) {
            Some(ready) => ready,
            None => {
                let component = self.component(&digest, bytes).await?;
                let ready = self
                    .sandbox
                    .ready(&component, &manifest.kinds, &manifest.name)
                    .await?;
                let ready = Arc::new(ready);
                self.sandbox.keep(&digest, &ready);
                ready
            }
        };
        let settings = manifest.settings_from(self.settings);
        Ok(Plugin {
            settings_text: serde_json::to_string(&settings)
                .map_err(|error| Unusable::refused(error.to_string()))?,
            settings,
            grants: Arc::new(manifest.grants.clone()),
            manifest: Arc::new(manifest),
            digest,
            origin: origin.to_owned(),
            ready,
            permits: Semaphore::new(self.limits.calls_of_one()),
            in_flight: Arc::new(InFlight::new(self.limits)),
            breaker: Mutex::new(Breaker::new()),
        })
    }

    async fn component(&self, digest: &str, bytes: Vec<u8>) -> Result<Component, Unusable> {
        let engine = self.sandbox.engine();
        let key = digest::sha256(format!("{digest} {}", sandbox::fingerprint(engine)).as_bytes())
            .replace(':', "-");
        let kept = self.cache.and_then(|cache| cache.get(&key));
        if let Some(component) = kept.and_then(|code| deserialize(engine, &code).ok()) {
            return Ok(component);
        }
        let code = self.compiler.compile(Bytes::from(bytes)).await?;
        // Compiled just now for this very engine: what is wrong is what the component needs.
        let component = deserialize(engine, &code)
            .map_err(|error| Unusable::refused(format!("cannot be loaded: {error:#}")))?;
        if let Some(cache) = self.cache {
            cache.put(&key, &code);
        }
        Ok(component)
    }
}

/// Loads machine code that this program has made: just now, or earlier and authenticated since.
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(
        unsafe_code,
        reason = "the bytes come from our own compiler, through a private directory or with our authentication code"
    )]
    // SAFETY: see the reason; wasmtime itself refuses code of another version, target or configuration.
    unsafe {
        Component::deserialize(engine, code)
    }
}

impl Plugin {
    pub(crate) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the engine may know.
    pub(crate) fn info(&self) -> PluginInfo {
        PluginInfo {
            digest: self.digest.clone(),
            display_name: self.manifest.display_name.clone(),
            capabilities: self.manifest.capabilities.clone(),
            status_keys: self.manifest.status_keys.clone(),
        }
    }
}

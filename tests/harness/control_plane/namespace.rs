//! A namespace that one test has for itself.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::discovery::{Discovery, Scope, verbs};
use serde_json::json;

use super::credentials::User;
use super::plane::{ControlPlane, say};
use super::startup;

/// A namespace, deleted when it is dropped, unless the thread panics or it is to be kept. Dereferences to
/// its name.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    kubeconfig: PathBuf,
    kept: AtomicBool,
}

impl ControlPlane {
    /// Creates a namespace that begins with `prefix`.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn namespace(&self, prefix: &str) -> Result<Namespace> {
        let namespaces = Api::<v1::Namespace>::all(self.client(User::Admin).await?);
        let wanted =
            serde_json::from_value(json!({"metadata": {"generateName": format!("{prefix}-")}}))?;
        let made = namespaces
            .create(&PostParams::default(), &wanted)
            .await
            .context("failed to create a namespace")?;
        let name = made
            .metadata
            .name
            .context("a namespace was created without a name")?;
        Ok(Namespace {
            name,
            kubeconfig: self.kubeconfig(User::Admin),
            kept: AtomicBool::new(false),
        })
    }
}

impl Namespace {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has the namespace stay.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::SeqCst);
    }

    /// Writes all objects of the namespace into a file, as one JSON list.
    pub(super) async fn write_objects(&self, place: &Path) -> Result<()> {
        let client = startup::client(&self.kubeconfig).await?;
        let discovery = Discovery::new(client.clone())
            .run()
            .await
            .context("failed to discover the API")?;
        let mut objects = Vec::new();
        for (resource, capabilities) in discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
        {
            if capabilities.scope == Scope::Namespaced
                && capabilities.supports_operation(verbs::LIST)
            {
                let api =
                    Api::<DynamicObject>::namespaced_with(client.clone(), &self.name, &resource);
                let listed = api.list(&ListParams::default()).await;
                objects.extend(
                    listed
                        .with_context(|| format!("failed to list {}", resource.plural))?
                        .items,
                );
            }
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        fs::write(place, format!("{list:#}\n"))
            .with_context(|| format!("failed to write {}", place.display()))
    }
}

impl Display for Namespace {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if thread::panicking() || self.kept.load(Ordering::SeqCst) {
            say(&format!(
                "the namespace {} of a failed test stays as long as its cluster",
                self.name
            ));
            return;
        }
        // The test's own runtime may be about to end, so this has one for itself. Nobody waits until the
        // namespace is gone, only until that is on its way.
        let (name, kubeconfig) = (self.name.clone(), self.kubeconfig.clone());
        let deletion = thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let namespaces = Api::<v1::Namespace>::all(startup::client(&kubeconfig).await?);
                namespaces
                    .delete(&name, &DeleteParams::background())
                    .await?;
                Ok(())
            })
        });
        if !matches!(deletion.join(), Ok(Ok(()))) {
            say(&format!("failed to delete the namespace {}", self.name));
        }
    }
}

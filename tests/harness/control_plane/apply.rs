//! Applies YAML files by server-side apply, as `kubectl apply --server-side --force-conflicts` does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::wait::{await_condition, conditions};

use super::credentials::User;
use super::folders;
use super::plane::ControlPlane;

/// What `deploy/` installs, but the controller itself.
const SHIPPED: &[&str] = &[
    "deploy/crds",
    "deploy/rbac",
    "deploy/controller/clusterrolebinding.yaml",
];

/// Who the applied fields belong to.
const FIELD_MANAGER: &str = "sluice-tests";

/// Applies every object in files of YAML, in their order, and returns what the API server made of them.
///
/// A folder stands for the `*.yaml` files in it but its kustomization, in the order of their names. Objects without a namespace
/// get into `namespace`. A CustomResourceDefinition is waited for until its kind is served.
///
/// # Errors
/// If a file cannot be read or an object is refused; the message names file and object.
pub async fn apply_files(
    client: &Client,
    namespace: &str,
    paths: &[PathBuf],
) -> Result<Vec<DynamicObject>> {
    let mut applied = Vec::new();
    for path in files(paths)? {
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        for object in
            documents(&text).with_context(|| format!("failed to parse {}", path.display()))?
        {
            applied.push(
                apply(client, namespace, object)
                    .await
                    .with_context(|| format!("in {}", path.display()))?,
            );
        }
    }
    Ok(applied)
}

impl ControlPlane {
    /// Applies our definitions and the controller's rights as `deploy/` ships them, so that
    /// [`User::Controller`] may do what the controller may do, and no more. It can be done again.
    ///
    /// # Errors
    /// As [`apply_files`].
    pub async fn apply_shipped(&self) -> Result<()> {
        let client = self.client(User::Admin).await?;
        let paths: Vec<PathBuf> = SHIPPED
            .iter()
            .map(|path| folders::workspace().join(path))
            .collect();
        apply_files(&client, "default", &paths).await.map(drop)
    }
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found =
                yaml_files(path).with_context(|| format!("failed to read {}", path.display()))?;
            ensure!(!found.is_empty(), "{} has no .yaml file", path.display());
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn yaml_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path());
    }
    // A kustomization is for kubectl; it lists these same files.
    found.retain(|path| {
        path.extension().is_some_and(|end| end == "yaml") && !path.ends_with("kustomization.yaml")
    });
    found.sort();
    Ok(found)
}

/// The documents of a file, without those that have only comments.
pub(super) fn documents(text: &str) -> Result<Vec<DynamicObject>> {
    let objects = sluice_simulation::documents(text)?;
    objects
        .into_iter()
        .map(|object| serde_json::from_value(object).context("a document is no Kubernetes object"))
        .collect()
}

async fn apply(client: &Client, namespace: &str, object: DynamicObject) -> Result<DynamicObject> {
    let name = object
        .metadata
        .name
        .clone()
        .context("metadata.name: an object has none")?;
    let kind = object
        .types
        .clone()
        .with_context(|| format!("kind: {name} has none"))?;
    let kind = GroupVersionKind::try_from(kind).with_context(|| format!("apiVersion of {name}"))?;
    let what = || format!("failed to apply {} {name}", kind.kind);
    let (resource, capabilities) = pinned_kind(client, &kind).await.with_context(what)?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api
        .patch(&name, &params, &Patch::Apply(&object))
        .await
        .with_context(what)?;
    if kind.kind == "CustomResourceDefinition" {
        let definitions = Api::<CustomResourceDefinition>::all(client.clone());
        await_condition(definitions, &name, conditions::is_crd_established())
            .await
            .with_context(what)?;
    }
    Ok(applied)
}

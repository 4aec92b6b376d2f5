//! Which kinds the API serves, under which names, and what differs in how each is stored.
//!
//! [`built_in`] has the kinds of Kubernetes itself; [`custom`] makes one of a CustomResourceDefinition.

pub(crate) mod built_in;
pub(crate) mod custom;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::GroupVersionKind;
use serde_json::Value;

use crate::schema::Schema;

/// Group and plural name: what tells one collection of objects from another.
pub(crate) type Resource = (String, String);

/// A kind as it is served.
#[derive(Debug)]
pub(crate) struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// CamelCase name.
    pub kind: String,
    /// Name of lists of it.
    pub list_kind: String,
    /// Name in paths.
    pub plural: String,
    /// Name of one of them, on a command line.
    pub singular: String,
    /// Abbreviations on a command line.
    pub short_names: Vec<String>,
    /// Groups of resources such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Served and stored versions, the preferred first.
    pub versions: Vec<Version>,
    /// Whether `status` is a subresource, that is, ignored by writes to the object itself.
    pub status: bool,
    /// Where the scale subresource finds its numbers, if there is one.
    pub scale: Option<Scale>,
    /// What a change must touch to raise `metadata.generation`.
    pub generation: Generation,
    /// Whether a delete answers with the object instead of a Status.
    pub delete_returns_object: bool,
    /// Where the kind comes from.
    pub source: Source,
}

/// A version of a kind.
#[derive(Debug)]
pub(crate) struct Version {
    /// As in `v1alpha1`.
    pub name: String,
    /// Whether requests may name it.
    pub served: bool,
    /// Whether objects are kept in it.
    pub storage: bool,
    /// Structure of objects; built-in kinds have typed models instead.
    pub schema: Option<Schema>,
    /// The same as the definition has it, for those who ask; null for built-in kinds.
    pub structure: Value,
    /// Extra columns of `kubectl get`, as the definition has them.
    pub columns: Vec<Value>,
}

/// JSON pointers of the scale subresource.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// Wished replicas.
    pub spec_replicas: String,
    /// Present replicas.
    pub status_replicas: String,
    /// Text or structure of the pods' selector.
    pub selector: Option<String>,
}

/// What raises `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Nothing: the kind has none.
    Absent,
    /// A change of `spec`.
    Spec,
    /// A change of anything but `metadata` (and `status`, where that is a subresource).
    AnythingElse,
}

/// Where a kind comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Kubernetes itself.
    BuiltIn(&'static built_in::BuiltIn),
    /// A CustomResourceDefinition.
    Custom,
}

impl Kind {
    /// Key of the collection.
    pub(crate) fn key(&self) -> Resource {
        (self.group.clone(), self.plural.clone())
    }

    /// Name in messages, as in `rollouts.argoproj.io`.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `apiVersion` for a version of this kind.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// A version by name.
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// The version that objects are kept in.
    pub(crate) fn storage_version(&self) -> &str {
        self.versions
            .iter()
            .find(|version| version.storage)
            .map(|version| version.name.as_str())
            .unwrap_or_default()
    }

    /// Whether this is the built-in kind of that name.
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// Whether this comes from a CustomResourceDefinition.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.source, Source::Custom)
    }
}

/// All kinds that are served now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    kinds: BTreeMap<Resource, Arc<Kind>>,
}

impl Registry {
    /// The kinds of Kubernetes itself.
    pub(crate) fn of_kubernetes() -> Self {
        let mut registry = Self::default();
        for kind in built_in::all() {
            registry.insert(kind);
        }
        registry
    }

    /// Serves a kind from now on, instead of an earlier one of the same group and plural.
    pub(crate) fn insert(&mut self, kind: Kind) {
        self.kinds.insert(kind.key(), Arc::new(kind));
    }

    /// Serves a kind no more.
    pub(crate) fn remove(&mut self, resource: &Resource) {
        self.kinds.remove(resource);
    }

    /// The kind behind a path.
    pub(crate) fn by_resource(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<Arc<Kind>> {
        self.kinds
            .get(&(group.to_owned(), plural.to_owned()))
            .filter(|kind| kind.version(version).is_some_and(|version| version.served))
            .cloned()
    }

    /// The kind of an object.
    pub(crate) fn by_kind(&self, group: &str, version: &str, name: &str) -> Option<Arc<Kind>> {
        self.kinds
            .values()
            .find(|kind| {
                kind.group == group
                    && kind.kind == name
                    && kind.version(version).is_some_and(|version| version.served)
            })
            .cloned()
    }

    /// The kind that an `apiVersion` and a `kind` name.
    pub(crate) fn by_object(&self, api_version: &str, name: &str) -> Option<Arc<Kind>> {
        let (group, version) = split_api_version(api_version);
        self.by_kind(group, version, name)
    }

    /// The kind that kube names.
    pub(crate) fn by_gvk(&self, gvk: &GroupVersionKind) -> Option<Arc<Kind>> {
        self.by_kind(&gvk.group, &gvk.version, &gvk.kind)
    }

    /// Every kind, ordered by group and plural.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }
}

/// Group and version of an `apiVersion`.
pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

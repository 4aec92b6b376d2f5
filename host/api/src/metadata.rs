//! Object metadata and label selectors, as far as this project reads or writes them.
//! `managedFields` and whatever else the API server keeps for itself is not held in memory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Time, is_default};

/// Metadata of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectMeta {
    /// Unique within the namespace and kind.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Prefix of a name that the API server completes.
    #[serde(skip_serializing_if = "is_default")]
    pub generate_name: String,
    /// Empty for cluster-wide kinds.
    #[serde(skip_serializing_if = "is_default")]
    pub namespace: String,
    /// Unique over time; set by the API server.
    #[serde(skip_serializing_if = "is_default")]
    pub uid: String,
    /// Opaque version for optimistic concurrency.
    #[serde(skip_serializing_if = "is_default")]
    pub resource_version: String,
    /// Counts changes of the specification; 0 before the API server has seen the object.
    #[serde(skip_serializing_if = "is_default")]
    pub generation: i64,
    /// Set by the API server.
    #[serde(skip_serializing_if = "is_default")]
    pub creation_timestamp: Option<Time>,
    /// Set when deletion was asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub deletion_timestamp: Option<Time>,
    /// Labels.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// Who owns the object.
    #[serde(skip_serializing_if = "is_default")]
    pub owner_references: Vec<OwnerReference>,
    /// Who must agree before the object disappears. Read and kept; this project never adds one.
    #[serde(skip_serializing_if = "is_default")]
    pub finalizers: Vec<String>,
}

impl ObjectMeta {
    /// The owner that controls the object, if any.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references
            .iter()
            .find(|owner| owner.controller == Some(true))
    }
}

/// An owner of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference {
    /// `apiVersion` of the owner.
    pub api_version: String,
    /// `kind` of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
    /// Whether the owner controls the object; at most one does.
    #[serde(skip_serializing_if = "is_default")]
    pub controller: Option<bool>,
    /// Whether foreground deletion of the owner waits for the object.
    #[serde(skip_serializing_if = "is_default")]
    pub block_owner_deletion: Option<bool>,
}

/// A label query over a set of objects: everything listed must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Labels that must have exactly these values.
    #[serde(skip_serializing_if = "is_default")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

impl LabelSelector {
    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

/// One requirement of a label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["key", "operator"]))]
pub struct LabelSelectorRequirement {
    /// Label that it applies to.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values for `In` and `NotIn`; empty for the others.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// Labels and annotations for pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PodTemplateMetadata {
    /// Labels to add.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
}

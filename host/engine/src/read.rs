//! Reads on behalf of plugins: the vocabulary that the plugin host and the cluster share without knowing each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::object::ObjectKey;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Read {
    /// `group/version`, or `v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// None for cluster-scoped kinds; the plugin host fills in the subject's namespace where a plugin names none.
    pub namespace: Option<String>,
    /// Which ones.
    pub select: Select,
}

/// Which objects of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Select {
    /// The one of this name.
    Name(String),
    /// All with these labels.
    Labels(BTreeMap<String, String>),
    /// All that carry this annotation with exactly this value.
    Annotated {
        /// The annotation's name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What a read found.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadOutcome {
    /// Ordered by namespace and name; empty when nothing matches.
    Found(Vec<Arc<RawObject>>),
    /// The API server does not serve this kind; its message.
    NotServed(String),
    /// The cluster's RBAC refuses it.
    Forbidden(String),
    /// More objects matched than may be handed out.
    TooMany(u32),
    /// The API server could not be asked; try again.
    Unavailable(String),
}

/// An object as shared raw JSON, without managedFields.
#[derive(Clone, Debug, PartialEq)]
pub struct RawObject {
    /// Its name.
    pub key: ObjectKey,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// The whole object.
    pub body: Arc<str>,
}

impl ReadOutcome {
    /// Identity of what was seen: equal exactly when the same objects in the same versions were found.
    pub fn fingerprint(&self) -> Vec<(ObjectKey, String)> {
        match self {
            Self::Found(objects) => objects
                .iter()
                .map(|object| (object.key.clone(), object.resource_version.clone()))
                .collect(),
            Self::NotServed(_) | Self::Forbidden(_) | Self::TooMany(_) | Self::Unavailable(_) => {
                Vec::new()
            }
        }
    }
}

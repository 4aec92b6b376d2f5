//! A pod template as raw, shared JSON: newer fields survive, malformed quantities do no harm, and a copy costs nothing.
//! What the parts of a pod mean is left to whoever reads them.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A `PodTemplateSpec`, never typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Arc<Value>);

impl PodTemplate {
    /// The whole template.
    #[must_use]
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// Labels of the pods. An entry that is not text is left out.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.texts("labels")
    }

    /// Annotations of the pods. An entry that is not text is left out.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.texts("annotations")
    }

    /// The pod specification, or null.
    #[must_use]
    pub fn spec(&self) -> &Value {
        self.0.get("spec").unwrap_or(&Value::Null)
    }

    /// Neither labels nor annotations: what Argo Rollouts takes for "no template" next to a `workloadRef`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels().is_empty() && self.annotations().is_empty()
    }

    fn texts(&self, field: &str) -> BTreeMap<String, String> {
        let entries = self
            .0
            .get("metadata")
            .and_then(|metadata| metadata.get(field)?.as_object());
        entries
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

impl From<Value> for PodTemplate {
    fn from(value: Value) -> Self {
        Self(Arc::new(value))
    }
}

impl JsonSchema for PodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    // Argo Rollouts inlines the whole of core/v1 here, half a megabyte that prunes each newer pod field. Only what its
    // schema requires is stated; the API server checks the rest when the ReplicaSet is created.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "Template of the pods.",
            "properties": {
                "metadata": {
                    "type": "object",
                    "properties": {
                        "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                        "annotations": { "type": "object", "additionalProperties": { "type": "string" } },
                    },
                },
                "spec": {
                    "type": "object",
                    "description": "A pod specification (core/v1 PodSpec); every field of it is kept.",
                    "properties": {
                        "containers": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": { "name": { "type": "string" } },
                                "required": ["name"],
                                "x-kubernetes-preserve-unknown-fields": true,
                            },
                        },
                    },
                    "required": ["containers"],
                    "x-kubernetes-preserve-unknown-fields": true,
                },
            },
        })
    }
}

/// Schema of an object whose fields are somebody else's business.
pub(crate) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

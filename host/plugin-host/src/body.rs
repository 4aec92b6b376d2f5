//! The subject as a plugin sees it.

use std::sync::Arc;

use serde_json::Value;

/// The subject as the API server has it; cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct SubjectBody(Arc<Value>);

impl SubjectBody {
    /// The whole object. For a Rollout that is gone, at least `apiVersion`, `kind` and `metadata`.
    pub fn new(object: impl Into<Arc<Value>>) -> Self {
        Self(object.into())
    }

    /// As text, without managedFields; a Rollout without its pod template unless that is wanted.
    pub(crate) fn text(&self, with_template: bool) -> String {
        let Value::Object(object) = self.0.as_ref() else {
            return self.0.to_string();
        };
        let mut object = object.clone();
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        let rollout = object.get("kind").and_then(Value::as_str) == Some("Rollout");
        if rollout
            && !with_template
            && let Some(Value::Object(spec)) = object.get_mut("spec")
        {
            spec.remove("template");
        }
        Value::Object(object).to_string()
    }
}

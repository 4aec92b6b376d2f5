//! The subject as a plugin sees it.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

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
        let rollout = object.get("kind").and_then(Value::as_str) == Some("Rollout");
        let trimmed = Trimmed {
            object,
            template: with_template || !rollout,
        };
        // Values of JSON always serialise.
        serde_json::to_string(&trimmed).unwrap_or_default()
    }
}

/// An object without the parts that are left out; written as it is read, since a copy of a Rollout costs more than a call.
struct Trimmed<'a> {
    object: &'a Map<String, Value>,
    template: bool,
}

impl Serialize for Trimmed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.object.iter().map(|(name, value)| {
            let without = match name.as_str() {
                "metadata" => Some("managedFields"),
                "spec" if !self.template => Some("template"),
                _ => None,
            };
            (
                name,
                Without {
                    value,
                    field: without,
                },
            )
        }))
    }
}

/// A value without one of its fields.
struct Without<'a> {
    value: &'a Value,
    field: Option<&'static str>,
}

impl Serialize for Without<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.field) {
            (Value::Object(fields), Some(without)) => {
                serializer.collect_map(fields.iter().filter(|(name, _)| name.as_str() != without))
            }
            (value, _) => value.serialize(serializer),
        }
    }
}

//! Lookups in the facts of a call.

use serde_json::Value;

use crate::{Context, HttpResult, Object, PluginError, ReadResult};

impl Context {
    /// The answer to the read with this identifier; none while the host has not answered it.
    pub fn read_result(&self, id: &str) -> Option<&ReadResult> {
        self.reads.iter().find(|result| result.id == id)
    }

    /// The answer to the request with this identifier; none while the host has not answered it.
    pub fn response(&self, id: &str) -> Option<&HttpResult> {
        self.responses.iter().find(|result| result.id == id)
    }
}

impl Object {
    /// The object as JSON, with every field that it has.
    ///
    /// # Errors
    /// `fail`, when the host sent something else.
    pub fn value(&self) -> Result<Value, PluginError> {
        serde_json::from_str(&self.body).map_err(|error| {
            let name = &self.key.name;
            PluginError::fail(
                "InvalidFacts",
                format!("the host sent {name} in a form that cannot be read: {error}"),
            )
        })
    }
}

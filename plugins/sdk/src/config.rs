//! Decoding of a plugin's block of the specification, with the field in the error.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Context, Disposition, PluginError};

/// The configuration of this call.
///
/// # Errors
/// `invalid-config` with the path of the field at fault. A type with `#[serde(deny_unknown_fields)]` refuses unknown ones.
pub(crate) fn decode<C: DeserializeOwned>(context: &Context) -> Result<C, PluginError> {
    let value = parse(context)?;
    decode_value(value)
}

/// As [`decode`], for a call whose configuration may be unknown by now.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_known<C: DeserializeOwned>(
    context: &Context,
) -> Result<Option<C>, PluginError> {
    match parse(context)? {
        Value::Null => Ok(None),
        value => decode_value(value).map(Some),
    }
}

fn parse(context: &Context) -> Result<Value, PluginError> {
    serde_json::from_str(&context.config).map_err(|error| {
        PluginError::invalid_config("", format!("the configuration is no JSON: {error}"))
    })
}

fn decode_value<C: DeserializeOwned>(value: Value) -> Result<C, PluginError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        // The root has the path `.`.
        let field = if path == "." { "" } else { &path };
        PluginError::invalid_config(field, error.inner().to_string())
    })
}

impl Context {
    /// The administrator's setting of this name, or its default from the manifest.
    ///
    /// # Errors
    /// `fail`, when the host sent settings that are not an object of texts.
    pub fn setting(&self, name: &str) -> Result<Option<String>, PluginError> {
        let settings: Value =
            serde_json::from_str(&self.settings).map_err(|error| host_fault("settings", &error))?;
        match settings.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(host_fault(
                "settings",
                &format!("{name} is not a text but {other}"),
            )),
        }
    }

    /// The subject as JSON.
    ///
    /// # Errors
    /// `fail`, when the host sent something else.
    pub fn subject_value(&self) -> Result<Value, PluginError> {
        serde_json::from_str(&self.subject_body).map_err(|error| host_fault("subject-body", &error))
    }

    /// The namespace of the subject; empty for a subject of the cluster.
    pub fn namespace(&self) -> &str {
        self.subject.namespace.as_deref().unwrap_or_default()
    }
}

fn host_fault(fact: &str, error: &dyn std::fmt::Display) -> PluginError {
    PluginError::new(
        Disposition::Fail,
        "InvalidFacts",
        format!("the host sent a {fact} that cannot be read: {error}"),
    )
}

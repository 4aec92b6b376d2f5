//! Errors of a plugin, and ways to make them.

use std::fmt::{self, Display};
use std::ops::{Deref, DerefMut};

use crate::bindings::router::sluice::plugin::types::PluginError as Record;
use crate::{Disposition, Notice, Pair, Read, Severity};

/// Why there is no answer: the record `plugin-error` of `wit/types.wit`, in a box, since it is larger than most answers.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginError(Box<Record>);

impl PluginError {
    /// The record, as it leaves the plugin.
    pub fn into_record(self) -> Record {
        *self.0
    }

    /// An error of the given disposition. `reason` is short, CamelCase and stable; `message` is shown to the user as it is.
    pub fn new(disposition: Disposition, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Record {
            disposition,
            field: None,
            reason: reason.to_owned(),
            message: message.into(),
            retry_after: None,
            watch: Vec::new(),
            notices: Vec::new(),
            metadata: Vec::new(),
        }))
    }

    /// Something that may be over later.
    pub fn retry(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Disposition::Retry, reason, message)
    }

    /// Something that will be the same with the same facts.
    pub fn fail(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Disposition::Fail, reason, message)
    }

    /// A configuration that the user must change. `field` is a path inside the configuration, or an absolute one that
    /// begins with `spec.`; empty means the configuration as a whole.
    pub fn invalid_config(field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(Disposition::InvalidConfig, "InvalidConfig", message);
        error.field = Some(field.to_owned()).filter(|field| !field.is_empty());
        error
    }

    /// As [`Self::invalid_config`], with the words that Kubernetes uses for a value that cannot be used.
    pub fn invalid_value(field: &str, value: &str, why: impl Display) -> Self {
        Self::invalid_config(field, format!("Invalid value: {value:?}: {why}"))
    }

    /// As [`Self::invalid_config`], with the words that Kubernetes uses where more than one field is at fault.
    pub fn internal(field: &str, why: impl Display) -> Self {
        Self::invalid_config(field, format!("Internal error: {why}"))
    }

    /// Call again when one of these answers changes.
    #[must_use]
    pub fn watching(mut self, reads: impl IntoIterator<Item = Read>) -> Self {
        self.watch.extend(reads);
        self
    }

    /// Tell the user with an event.
    #[must_use]
    pub fn noticing(mut self, notice: Notice) -> Self {
        self.notices.push(notice);
        self
    }

    /// Keep these facts with the failure.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl IntoIterator<Item = Pair>) -> Self {
        self.metadata.extend(metadata);
        self
    }
}

impl Deref for PluginError {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0
    }
}

impl DerefMut for PluginError {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.0
    }
}

impl Display for PluginError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(out, "{field}: {}", self.message),
            None => out.write_str(&self.message),
        }
    }
}

impl std::error::Error for PluginError {}

impl Notice {
    /// An event of type Normal.
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Normal,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    /// An event of type Warning.
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

impl Pair {
    /// A name with a value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

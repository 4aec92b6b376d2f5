//! What the plugin host needs of its surroundings besides HTTP: objects and secret values.

use futures::future::BoxFuture;
use sluice_engine::read::{Read, ReadOutcome};

/// Reads objects on behalf of plugins. The plugin host has checked the grant before it asks.
pub trait Reads: Send + Sync {
    /// Reads, from a cache where one is kept for this read.
    ///
    /// `read.namespace` is the subject's where the plugin named none: for kinds of the cluster it means nothing.
    fn read(&self, read: Read) -> BoxFuture<'static, ReadOutcome>;

    /// What the same read would find now, if that can be told without asking anybody. It must be quick and must not call
    /// the plugin host.
    fn peek(&self, read: &Read) -> Option<ReadOutcome>;

    /// The value of a key of a Secret.
    ///
    /// # Errors
    /// Why there is none, for the user; without any value.
    fn secret(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> BoxFuture<'static, Result<String, NoSecret>>;
}

/// Why a value of a Secret cannot be had, for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSecret {
    /// The Secret or the key is not there, or its value is no text: whoever wrote it has to put it right.
    Wrong(String),
    /// The API server does not say for now.
    Unavailable(String),
}

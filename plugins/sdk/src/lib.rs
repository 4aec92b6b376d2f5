//! What a plugin author writes against: the types of `wit/` with Rust manners, a trait for each kind of plugin, the macros
//! that export an implementation, edits of JSON objects that lose nothing, and helpers for native tests.
//!
//! A plugin crate implements [`router::TrafficRouter`], [`provider::MetricProvider`] or [`step::Step`], describes itself
//! with a [`manifest::Manifest`], and calls one export macro. What the records and functions mean is said in `wit/`.
//! The macros export for WebAssembly only, so `cargo test` runs the same code natively.

#[doc(hidden)]
pub mod bindings;
mod config;
mod context;
pub mod edit;
mod error;
mod export;
mod http;
mod log;
pub mod manifest;
pub mod provider;
mod read;
pub mod router;
pub mod step;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use bindings::router::sluice::plugin::types::{
    Auth, AwsRequest, BasicCredentials, Change, Context, Creation, Disposition, DurationMs, Edit,
    Effects, FailedChange, HttpFailure, HttpRequest, HttpResponse, HttpResult, Json, Needs, Notice,
    Oauth2Client, Object, ObjectRef, Pair, Propagation, Read, ReadOutcome, ReadResult, Selector,
    Severity, Timestamp, Tls, Verification, VerificationState,
};
pub use error::PluginError;
pub use log::{Level, log};
pub use read::Reader;

/// What the export macros need of this crate's neighbours.
#[doc(hidden)]
pub mod guest {
    pub use crate::bindings::router::sluice::plugin::types::PluginError as ErrorRecord;
    pub use crate::log::catch_panics;
}

#[cfg(test)]
mod tests;

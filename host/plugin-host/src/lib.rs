//! Runs plugins: the only crate that knows wasmtime.
//!
//! A [`PluginHost`] loads components, turns the engine's calls into jobs, and turns what guests answer into replies that
//! may be acted on: every read, request and change is checked against the plugin's grant before anything happens.
//! What it needs of its surroundings are two ports, [`Reads`] and [`HttpPort`].

mod answer;
mod body;
mod bounded;
mod breaker;
mod cache;
mod changes;
mod clock;
mod compile;
mod digest;
mod fault;
mod gate;
mod grants;
mod guest_log;
mod host;
mod http;
mod jobs;
mod limits;
mod manifest;
mod metrics;
mod mishap;
mod pass;
mod plugin;
mod ports;
mod question;
mod sandbox;
mod shared;
mod unusable;
mod watchers;
mod wit;

#[cfg(test)]
mod tests;

pub use body::SubjectBody;
pub use clock::{Clock, SystemClock};
pub use compile::{ChildProcess, Compiler, InProcess, SUBCOMMAND, compile_child_main};
pub use grants::AddressRule;
pub use host::{LoadError, LoadedPlugin, PluginHost, Settings, StartError};
pub use http::{AddressPolicy, AwsIdentity, BodyLimit, HttpError, HttpPort, Proxies, Trust};
pub use limits::Limits;
pub use manifest::{
    BodyWanted, ChangeGrant, Grants, Manifest, Namespaces, ReadGrant, SECTION, Setting, Verb,
};
pub use metrics::{CallCounts, CallLabels, Metrics};
pub use mishap::{Mishap, Mishaps};
pub use ports::{NoSecret, Reads};
pub use sandbox::Sandbox;
pub use shared::Reach;
pub use unusable::Unusable;

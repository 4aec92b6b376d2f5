//! A Kubernetes API and its workload controllers in memory, in virtual time.
//!
//! A [`Simulation`] is an API server that a [`kube::Client`] talks to without a network:
//! lists, watches, patches, dry runs, deletion and conflicts behave as on a cluster.
//! Its time is tokio's, so under a paused clock hours pass in milliseconds, and its chance comes from a seed,
//! so a story that is told twice has the same request log.

mod api;
mod client;
mod clock;
mod defaults;
mod discovery;
mod faults;
mod http;
mod json;
mod kinds;
mod log;
mod manifest;
pub mod measurements;
mod openapi;
mod patch;
mod refusal;
mod request;
mod respond;
mod schema;
mod seed;
mod selectors;
mod server;
mod simulation;
mod snapshot;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod watch;
mod witness;
mod workloads;

pub use client::ApiService;
pub use faults::{Fault, Match, Rule, RuleId, Verb};
pub use log::LoggedRequest;
pub use manifest::documents;
pub use refusal::Refusal;
pub use simulation::{Builder, Faults, Latency, NeverQuiet, Simulation};
pub use snapshot::Snapshot;
pub use witness::{Changed, Deed};
pub use workloads::Workloads;

//! Kubernetes input and output: watch, observe, apply.
//!
//! [`Cluster`] keeps trimmed, ordered views of the objects that decisions read, says what has changed, and carries out
//! plans. It decides nothing: what to write comes from the engine, what a plugin may read is checked by the plugin host.
//! Every write to the API server, the lease and events included, leaves through `apply.rs`.

mod apply;
mod backoff;
mod clock;
mod cluster;
mod discovery;
mod dynamic;
mod events;
mod feed;
mod item;
mod key;
mod kinds;
pub mod lease;
mod looks;
mod marks;
mod observe;
mod orphans;
mod outbox;
mod references;
mod refresh;
mod requests;
mod selector;
mod settings;
mod store;
mod triggers;
mod views;

pub use clock::Clock;
pub use cluster::Cluster;
pub use key::Key;
pub use lease::Gate;
pub use orphans::orphaned_services;
pub use outbox::{Changed, SubjectKind};
pub use requests::{RequestCounts, RequestLabels};
pub use settings::Settings;

#[cfg(test)]
mod tests;

//! A host in memory, for native tests of plugins: given objects, what becomes of them.
//!
//! It drives the rounds as the real host does (answers needs, applies changes, hands failures back), and it holds a plugin
//! to the rules of `wit/`: needs must converge, no change may change nothing. It does not check grants; the real host does.
//! What breaks a rule panics, since a test is what calls it.
#![allow(
    clippy::panic,
    reason = "a broken rule must fail the test that calls this"
)]

mod cluster;
mod given;
mod manifest;

pub use cluster::{Cluster, yaml, yaml_documents};
pub use given::{Given, Pass};
pub use manifest::check_manifest;

use crate::router::{Destination, Traffic};

/// The rounds that the real host allows.
pub const MAX_ROUNDS: u32 = 8;

/// Traffic with this weight for the canary, out of 100, two Services and two sets of ten pods: a start to vary.
pub fn traffic(canary_weight: u32) -> Traffic {
    Traffic {
        total_weight: 100,
        stable: destination("stable", 100_u32.saturating_sub(canary_weight)),
        canary: destination("canary", canary_weight),
        additional: Vec::new(),
        header_routes: Vec::new(),
        mirror_routes: Vec::new(),
        managed_routes: Vec::new(),
        returning_to_stable: false,
    }
}

/// The share of the Service `NAME-svc` and of the pods with hash `NAME-hash`, ten of which are wanted and available.
pub fn destination(name: &str, weight: u32) -> Destination {
    Destination {
        service: Some(format!("{name}-svc")),
        pod_hash: Some(format!("{name}-hash")),
        weight,
        desired_pods: 10,
        available_pods: 10,
    }
}

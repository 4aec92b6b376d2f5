//! What a cluster holds at one moment, so that many simulations can begin there.
//!
//! Installing the project's definitions costs more than many a story that is told on them.

use std::sync::Arc;

use crate::kinds::Registry;
use crate::simulation::Simulation;
use crate::store::Store;

/// The objects and kinds of a simulation; its past, its watches, its faults and its clock are not in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) store: Arc<Store>,
    pub(crate) kinds: Registry,
    pub(crate) addresses: u32,
    pub(crate) node_ports: u32,
}

impl Simulation {
    /// What there is now, for [`crate::Builder::snapshot`].
    pub fn snapshot(&self) -> Snapshot {
        self.api.with_server(|server| server.snapshot())
    }
}

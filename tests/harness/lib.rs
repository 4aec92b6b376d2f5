//! What the tests share.

mod backend;
pub mod control_plane;
mod controller;
pub mod faults;
mod guests;
mod history;
mod peers;
pub mod story;

pub use backend::Backend;
pub use controller::{RunningController, sluice_binary};
pub use guests::{CompileOnce, guest_plugins};
pub use history::{Change, History};
pub use peers::{ArgoClient, peers};

/// The definitions of Istio's kinds: the demo's, which are enough for tests, too.
pub fn istio_definitions() -> std::path::PathBuf {
    control_plane::workspace().join("host/cli/data/istio-crds.yaml")
}

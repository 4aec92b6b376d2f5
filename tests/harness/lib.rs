//! What the tests share.

mod backend;
pub mod control_plane;
mod controller;
mod guests;
pub mod story;

pub use backend::Backend;
pub use controller::{RunningController, sluice_binary};
pub use guests::{CompileOnce, guest_plugins};

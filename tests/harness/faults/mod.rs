//! Fault runs: whole histories drawn from seeds, played against the real controller and the real plugins on a simulated
//! cluster, while everything goes wrong that can; laws are checked at every request, and the end at the end.
//!
//! A history is single-threaded and in virtual time, so a seed that fails fails again. `cargo xtask fuzz` runs many.

mod acts;
mod backend;
mod controllers;
mod court;
mod dice;
mod draw;
mod ending;
mod guests;
mod history;
mod panics;
mod passes;
#[cfg(feature = "planted")]
pub mod planted;
mod scene;
mod shrink;
mod told;
mod world;

use std::path::Path;

use anyhow::Result;

pub use court::Violation;
pub use history::History;
pub use shrink::shrink;
pub use told::{Told, Volume};

/// Plays a history, on this thread.
pub fn play(history: &History, plugins: &Path, volume: Volume) -> Result<Told> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?
        .block_on(world::play(history, plugins, volume))
}

//! One binary for all tests across crates.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is a test through and through: what is missing fails it"
)]

mod cli;
mod contract;
mod control_plane;
mod faults;
mod flows;
#[allow(
    dead_code,
    clippy::expect_used,
    reason = "a module of the plugin host's tests, which use more of it; that crate cannot depend on this one"
)]
#[path = "../../host/plugin-host/src/tests/guest.rs"]
mod guest;
mod handover;
mod hashes;
mod hostile;
mod stopping;
mod stories;
mod tidy;

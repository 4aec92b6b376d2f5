//! One binary for all tests across crates.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is a test through and through: what is missing fails it"
)]

mod control_plane;
mod flows;
mod stories;
mod tidy;

//! One binary for all tests across crates.

mod control_plane;
mod flows;
mod stories;
mod tidy;

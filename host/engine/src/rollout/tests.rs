//! Rules of Rollouts as tables, and stories over many passes in a world of pure code.

mod analysis;
mod canary;
mod counts;
mod order;
mod phase;
mod routed;
mod steps;
mod validation;
#[allow(dead_code, reason = "stories to come")]
mod world;

//! Rules of Rollouts as tables, and stories over many passes in a world of pure code.

mod canary;
mod counts;
mod order;
mod phase;
mod steps;
mod validation;
#[allow(dead_code, reason = "stories to come")]
mod world;

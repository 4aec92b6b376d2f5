//! Rules of Rollouts as tables, and stories over many passes in a world of pure code.

mod analysis;
mod blue_green;
mod canary;
mod conditions;
mod counts;
mod disturbances;
mod order;
mod phase;
mod routed;
mod steps;
mod validation;
mod walks;
mod world;

//! Rules of Rollouts as tables, and stories over many passes in a world of pure code.

mod analysis;
mod blue_green;
mod canary;
mod conditions;
mod counts;
mod demand;
mod disturbances;
mod identity;
mod late;
mod leaving;
mod order;
mod outages;
mod phase;
mod pods;
mod restarts;
mod routed;
mod scaling;
mod short;
mod status;
mod steps;
mod subsets;
mod validation;
mod walks;
mod world;

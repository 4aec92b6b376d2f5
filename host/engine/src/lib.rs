//! Pure decisions: facts in, plan out.
//!
//! No I/O, no clock, no randomness, no client and no guest is reachable from here. A pass is four sentences:
//! `validate` turns a Rollout into a valid one or into field errors; `decide` answers with a plan and a report;
//! somebody else carries the plan out; `settle` turns the outcome into the next status, events and a time to look again.
//! AnalysisRuns follow the same pattern in [`analysis`].

pub mod hash;
pub mod keys;
mod label;
pub mod object;
pub mod observed;
pub mod plan;
pub mod planted;
pub mod plugin;
mod quantity;
pub mod read;
pub mod report;
pub mod rollout;
pub mod selector;
pub mod status_patch;
pub mod template;

pub mod analysis;

#[cfg(test)]
mod tests;

//! Rules that every part of the engine shares, as tables.

mod hash;
mod plan;
mod plugin;
mod quantity;
mod selector;
mod status_patch;
mod template;

//! The versions of the WIT package that the host speaks. Each module only converts to and from the host's own types.

pub(crate) mod v0_1;

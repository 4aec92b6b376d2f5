//! What a rehearsal makes of a call instead of entering the guest: fault runs show that a plugin that misbehaves holds up
//! nobody else, and a guest that misbehaves on demand would only show what that one guest does.

use std::sync::Arc;
use std::time::Duration;

use sluice_engine::plugin::PluginCall;

use crate::fault::{Fault, FaultKind};

/// Asked before a guest is entered for this call.
pub type Mishaps = Arc<dyn Fn(&PluginCall) -> Option<Mishap> + Send + Sync>;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The guest traps at once.
    Trap,
    /// The guest does not come back until its wall time is over.
    Hang,
    /// The guest answers what means nothing.
    Nonsense,
}

impl Mishap {
    pub(crate) async fn happen(self, wall: Duration) -> Fault {
        match self {
            Self::Trap => Fault::new(FaultKind::Trapped, "a rehearsed trap"),
            Self::Hang => {
                tokio::time::sleep(wall).await;
                Fault::new(FaultKind::TimedOut, "a rehearsed time-out")
            }
            Self::Nonsense => Fault::invalid("a rehearsed answer without meaning"),
        }
    }
}

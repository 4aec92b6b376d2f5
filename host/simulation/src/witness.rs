//! Deeds: every request in the order in which it took effect, with the objects that it changed.
//!
//! The log says what was asked; whoever checks what a client may do needs to know what came of it, too. A watch would not
//! do: it shows neither who wrote nor what was asked in vain.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::api::Api;
use crate::kinds::Resource;
use crate::log::LoggedRequest;
use crate::simulation::Simulation;
use crate::store::Change;

/// One request and what it changed.
#[derive(Clone, Debug)]
pub struct Deed {
    /// The request as the log has it.
    pub request: LoggedRequest,
    /// What it changed, in order; nothing for a read, a refusal, a dry run and a write that changes nothing.
    pub changes: Vec<Changed>,
}

/// An object before and after.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Plural name of its kind.
    pub plural: String,
    /// Namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// As it was, if it was there.
    pub before: Option<Arc<Value>>,
    /// As it is, if it still is there.
    pub after: Option<Arc<Value>>,
}

impl Simulation {
    /// Every deed from now on. There is one witness: the one that was made last.
    pub fn witness(&self) -> UnboundedReceiver<Deed> {
        Witness::start(&self.api)
    }
}

/// Puts changes to the requests that made them.
#[derive(Debug)]
pub(crate) struct Witness {
    journal: UnboundedReceiver<(Resource, Change)>,
    sender: UnboundedSender<Deed>,
}

impl Witness {
    fn start(api: &Api) -> UnboundedReceiver<Deed> {
        let (sender, receiver) = unbounded_channel();
        let mut state = api.lock();
        let journal = state.server.store.journal();
        state.witness = Some(Self { journal, sender });
        receiver
    }

    /// A request has taken effect: what changed since the one before is its work. Whether anybody listens.
    pub(crate) fn saw(&mut self, request: &LoggedRequest) -> bool {
        let mut changes = Vec::new();
        while let Ok((resource, change)) = self.journal.try_recv() {
            changes.push(Changed {
                plural: resource.1,
                namespace: change.key.0,
                name: change.key.1,
                before: change.before,
                after: change.after,
            });
        }
        let deed = Deed {
            request: request.clone(),
            changes,
        };
        self.sender.send(deed).is_ok()
    }
}

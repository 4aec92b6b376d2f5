//! What guests do, for the court: every call into one, and every request that one makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sluice_engine::hash::CallKey;
use sluice_engine::object::Subject;
use sluice_engine::plugin::{Function, Slot};
use sluice_plugin_host::{HttpPort, Mishaps};
use sluice_simulation::Simulation;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::ServiceExt as _;

use super::backend::Backend;

/// Something that a guest did.
pub(super) struct Done {
    pub at: Timestamp,
    /// Whose guest.
    pub client: Arc<str>,
    pub what: What,
}

/// What it did.
pub(super) enum What {
    /// It was called.
    Entered(Box<Call>),
    /// It asked something of the network.
    Asked,
}

/// What tells calls apart.
pub(super) struct Call {
    subject: Subject,
    slot: Slot,
    key: CallKey,
}

/// Passes on what guests do. Clones tell the same court.
#[derive(Clone)]
pub(super) struct Witness {
    simulation: Simulation,
    heard: UnboundedSender<Done>,
}

impl Witness {
    pub fn new(simulation: Simulation) -> (Self, UnboundedReceiver<Done>) {
        let (heard, told) = unbounded_channel();
        (Self { simulation, heard }, told)
    }

    fn tell(&self, client: &Arc<str>, what: What) {
        // Nobody listens once a history is over.
        let _ = self.heard.send(Done {
            at: self.simulation.now(),
            client: Arc::clone(client),
            what,
        });
    }

    /// What goes wrong with the guests of a controller.
    pub fn mishaps(&self, client: &Arc<str>, mishaps: Mishaps) -> Mishaps {
        let (witness, client) = (self.clone(), Arc::clone(client));
        Arc::new(move |call| {
            let entered = Call {
                subject: call.subject.clone(),
                slot: call.slot.clone(),
                key: call.key(),
            };
            witness.tell(&client, What::Entered(Box::new(entered)));
            mishaps(call)
        })
    }

    /// The network of the guests of a controller.
    pub fn port(&self, client: &Arc<str>, backend: Backend) -> HttpPort {
        let (witness, client) = (self.clone(), Arc::clone(client));
        HttpPort::new(backend.map_request(move |request| {
            witness.tell(&client, What::Asked);
            request
        }))
    }
}

/// How long a router that has not done what it was asked is left in peace, at least (TRR-009).
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// What the guests of a controller that has nothing to do were asked, and when.
#[derive(Default)]
pub(super) struct Idle(BTreeMap<(Subject, Slot), (CallKey, Timestamp)>);

impl Idle {
    /// Why a guest must not be asked this now. Measurements of a run that never ends go on, and what has failed is tried
    /// again unless everything has come to its end.
    pub fn forbids(&mut self, at: Timestamp, call: &Call, ended: bool) -> Option<String> {
        let Call { subject, slot, key } = call;
        let place = (subject.clone(), slot.clone());
        let (before, since) = self.0.insert(place, (key.clone(), at))?;
        let tries_again = !ended && at.duration_since(since) >= RETRY;
        let anew = before != *key && slot.function != Function::Measure && !tries_again;
        anew.then(|| {
            let plugin = &slot.plugin.name;
            format!(
                "{plugin} is asked anew for {:?} of {}",
                slot.function, subject.key
            )
        })
    }
}

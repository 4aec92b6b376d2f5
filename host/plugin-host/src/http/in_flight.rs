//! Which requests of a plugin are under way: so many to each server, so that one that hangs holds up only who asks it, and
//! so many to all of them, since each takes a socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::grants::Origin;
use crate::limits::Limits;

/// The requests of one plugin.
pub(crate) struct InFlight {
    /// Places for all requests.
    places: Semaphore,
    /// Places at each server.
    at_each: usize,
    /// Servers that somebody asks or waits for.
    servers: Mutex<BTreeMap<Origin, Server>>,
}

struct Server {
    places: Arc<Semaphore>,
    /// Requests that are under way or wait; with the last of them the server is forgotten.
    visits: usize,
}

/// The place of a request; dropped, it is another's.
pub(crate) struct Place<'a> {
    _among_all: SemaphorePermit<'a>,
    _at_server: OwnedSemaphorePermit,
    // The last field: the server is forgotten only when its place has been given back.
    _visit: Visit<'a>,
}

/// A request that counts at its server, whether it has a place there or waits for one.
struct Visit<'a> {
    in_flight: &'a InFlight,
    server: Origin,
}

impl InFlight {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            places: Semaphore::new(limits.requests_in_flight),
            at_each: limits.requests_to_one_server,
            servers: Mutex::default(),
        }
    }

    /// Waits for a place at this server. None: there are none any more.
    pub(crate) async fn place(&self, server: &Origin) -> Option<Place<'_>> {
        let (visit, places) = self.visit(server);
        // In this order: who waits for a server that hangs has none of the places that others need.
        let at_server = places.acquire_owned().await.ok()?;
        let among_all = self.places.acquire().await.ok()?;
        Some(Place {
            _among_all: among_all,
            _at_server: at_server,
            _visit: visit,
        })
    }

    fn visit(&self, server: &Origin) -> (Visit<'_>, Arc<Semaphore>) {
        let visit = Visit {
            in_flight: self,
            server: server.clone(),
        };
        let mut servers = self.servers();
        let server = servers.entry(server.clone()).or_insert_with(|| Server {
            places: Arc::new(Semaphore::new(self.at_each)),
            visits: 0,
        });
        server.visits = server.visits.saturating_add(1);
        (visit, Arc::clone(&server.places))
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<Origin, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Servers that are remembered.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.servers().len()
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut servers = self.in_flight.servers();
        let Some(server) = servers.get_mut(&self.server) else {
            return;
        };
        server.visits = server.visits.saturating_sub(1);
        if server.visits == 0 {
            servers.remove(&self.server);
        }
    }
}

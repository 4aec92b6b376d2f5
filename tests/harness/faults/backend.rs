//! The metrics backend of a history, and what goes wrong with plugins: both reached without a socket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use sluice_plugin_host::{Mishap, Mishaps};
use sluice_simulation::Simulation;
use sluice_simulation::measurements::{self, Measurements};
use tokio::time::Instant;

use super::history::{Misbehaviour, Mood};

/// Answers that mean nothing, or not what they seem to.
const NONSENSE: &[&str] = &[
    "}{",
    "",
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"NaN"]}]}}"#,
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"a lot"]}]}}"#,
    r#"{"status":"success","data":{"resultType":"matrix","result":7}}"#,
];

/// The backend. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    measurements: Measurements,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    raves: bool,
    queries: usize,
}

impl Backend {
    pub fn new(simulation: Simulation) -> Self {
        Self {
            measurements: Measurements::new(simulation),
            state: Arc::default(),
        }
    }

    pub fn set(&self, mood: Mood) {
        lock(&self.state).raves = mood == Mood::Raves;
        self.measurements.set(match mood {
            Mood::Answers | Mood::Raves => measurements::Mood::Answers,
            Mood::Fails => measurements::Mood::Fails,
            Mood::Hangs => measurements::Mood::Hangs,
        });
    }

    /// Queries so far.
    pub fn queries(&self) -> usize {
        lock(&self.state).queries
    }
}

impl tower::Service<Request<Bytes>> for Backend {
    type Response = Response<Bytes>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let nonsense = {
            let mut state = lock(&self.state);
            state.queries += 1;
            state
                .raves
                .then(|| NONSENSE.iter().cycle().nth(state.queries % NONSENSE.len()))
                .flatten()
        };
        match nonsense {
            Some(text) => {
                let response = Response::new(Bytes::from_static(text.as_bytes()));
                std::future::ready(Ok(response)).boxed()
            }
            None => self.measurements.call(request).boxed(),
        }
    }
}

/// Which plugins misbehave, and until when.
#[derive(Clone, Debug, Default)]
pub(super) struct Misbehaving(Arc<Mutex<BTreeMap<String, (Misbehaviour, Instant)>>>);

impl Misbehaving {
    pub fn until(&self, plugin: &str, how: Misbehaviour, end: Instant) {
        lock(&self.0).insert(plugin.to_owned(), (how, end));
    }

    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    pub fn mishaps(&self) -> Mishaps {
        let state = self.clone();
        Arc::new(move |call| {
            let state = lock(&state.0);
            let (how, end) = state.get(&call.slot.plugin.name)?;
            (Instant::now() < *end).then_some(match how {
                Misbehaviour::Traps => Mishap::Trap,
                Misbehaviour::Hangs => Mishap::Hang,
                Misbehaviour::Raves => Mishap::Nonsense,
            })
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The metrics backend of a history, and what goes wrong with plugins: both reached without a socket.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
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
    mood: Mood,
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
        lock(&self.state).mood = mood;
        self.measurements.set(match mood {
            Mood::Fails => measurements::Mood::Fails,
            Mood::Hangs => measurements::Mood::Hangs,
            // In the last two nothing gets as far as measurements.
            Mood::Answers | Mood::Raves | Mood::Unreachable => measurements::Mood::Answers,
        });
    }

    /// Queries so far.
    pub fn queries(&self) -> usize {
        lock(&self.state).queries
    }
}

impl tower::Service<Request<Bytes>> for Backend {
    type Response = Response<Bytes>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Response<Bytes>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (mood, queries) = {
            let mut state = lock(&self.state);
            state.queries += 1;
            (state.mood, state.queries)
        };
        match mood {
            Mood::Unreachable => {
                let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
                std::future::ready(Err(refused)).boxed()
            }
            Mood::Raves => {
                let text = NONSENSE.get(queries % NONSENSE.len()).copied();
                let text = text.unwrap_or_default().as_bytes();
                std::future::ready(Ok(Response::new(Bytes::from_static(text)))).boxed()
            }
            Mood::Answers | Mood::Fails | Mood::Hangs => {
                let answer = self.measurements.call(request);
                answer.map_err(|never| match never {}).boxed()
            }
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

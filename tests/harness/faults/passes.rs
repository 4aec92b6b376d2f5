//! I4: a pass writes one status, and last; and no object is passed over without a rest. Judged as the controller sees it:
//! where its passes begin and end, when it asks, and what it is answered. Only a Rollout and the status of a run name their
//! pass; any other write may be that of any pass that is open, and is held against none as long as one of them may still
//! write.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use sluice_cluster::Key;
use sluice_controller::{PassListener, Turn};
use sluice_simulation::{ApiService, Simulation};
use tower::Service as _;

/// Hears of the passes of all controllers. Clones hear for the same court.
#[derive(Clone)]
pub(super) struct Passes {
    simulation: Simulation,
    book: Arc<Mutex<Book>>,
}

/// When, which law, and what was wrong.
type Finding = (Timestamp, &'static str, String);

/// So many passes over one object are made in a second at most: what changes it is heard of one by one, and whoever fails
/// waits ever longer.
const OFTEN: usize = 100;

/// Whose pass, and over what.
type Place = (Arc<str>, &'static str, Key);

#[derive(Default)]
struct Book {
    open: BTreeMap<Place, Status>,
    /// When the latest passes over an object began, the earliest first.
    begun: BTreeMap<Place, VecDeque<Timestamp>>,
    found: Vec<Finding>,
}

/// What has become of the status in this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    NotWritten,
    /// Whatever comes of it, it is the last write, and only a conflict lets it be written again.
    Written,
    Conflict,
}

const ONE_STATUS: &str = "I4 one status, last";

/// What is written.
struct Target<'a> {
    plural: &'a str,
    key: Key,
    is_status: bool,
}

impl Passes {
    pub fn new(simulation: Simulation) -> Self {
        Self {
            simulation,
            book: Arc::default(),
        }
    }

    /// What was not in order since the last time, and when.
    pub fn findings(&self) -> Vec<Finding> {
        std::mem::take(&mut self.lock().found)
    }

    /// Who is told of the passes of this controller.
    pub fn listener(&self, client: &Arc<str>) -> PassListener {
        let (passes, client) = (self.clone(), Arc::clone(client));
        Arc::new(move |kind, key, turn| {
            let place = (Arc::clone(&client), kind, key.clone());
            let mut book = passes.lock();
            let before = match turn {
                Turn::Begins => book.open.insert(place.clone(), Status::NotWritten),
                Turn::Ends => book.open.remove(&place),
            };
            if before.is_some() != (turn == Turn::Ends) {
                passes.find(
                    &mut book,
                    ONE_STATUS,
                    format!("two passes over {kind} {key} at once"),
                );
            }
            if turn == Turn::Begins && passes.is_often(&mut book, &place) {
                let text = format!("{client}: {OFTEN} passes over {kind} {key} within a second");
                passes.find(&mut book, "passes with a rest", text);
            }
        })
    }

    /// The way of this controller to the API server.
    pub fn client(&self, client: &Arc<str>, service: ApiService) -> kube::Client {
        let (passes, client) = (self.clone(), Arc::clone(client));
        let service = tower::service_fn(move |request: Request<Body>| {
            let status = passes.asks(&client, &request);
            let answer = service.clone().call(request);
            let passes = passes.clone();
            async move {
                let answer = answer.await;
                if let Some(place) = status
                    && answer.as_ref().is_ok_and(|answer| answer.status() == 409)
                    && let Some(status) = passes.lock().open.get_mut(&place)
                {
                    *status = Status::Conflict;
                }
                answer
            }
        });
        // As in production: without the retries of kube's default client.
        kube::Client::new(service, "default")
    }

    /// Judges a request. The pass whose status it writes, if it does.
    fn asks(&self, client: &Arc<str>, request: &Request<Body>) -> Option<Place> {
        let target = target(request)?;
        let mut book = self.lock();
        let kind = match target.plural {
            "rollouts" => Some("Rollout"),
            "analysisruns" if target.is_status => Some("AnalysisRun"),
            _ => None,
        };
        let place = kind.map(|kind| (Arc::clone(client), kind, target.key.clone()));
        // It is not told which pass changes an object that has none of its own.
        let mut statuses = book.open.iter().filter(|((whose, kind, key), _)| {
            let is_this = |(_, this, object): &Place| this == kind && object == key;
            whose == client && place.as_ref().is_none_or(is_this)
        });
        let in_order = match target.is_status {
            true => statuses.any(|(_, status)| *status != Status::Written),
            false => statuses.any(|(_, status)| *status == Status::NotWritten),
        };
        if !in_order {
            let what = match target.is_status {
                true => "a second status",
                false => "a write after the status",
            };
            let text = format!(
                "{client}: {what}, or outside of a pass: {} {} {}",
                request.method(),
                target.plural,
                target.key
            );
            self.find(&mut book, ONE_STATUS, text);
        }
        let place = place.filter(|_| target.is_status)?;
        let status = book.open.get_mut(&place)?;
        *status = Status::Written;
        Some(place)
    }

    /// Whether one pass more over this object is one too many. Those that it counts are counted anew then.
    fn is_often(&self, book: &mut Book, place: &Place) -> bool {
        let now = self.simulation.now();
        let begun = book.begun.entry(place.clone()).or_default();
        let is_old = |begun: &Timestamp| now.duration_since(*begun) >= SignedDuration::from_secs(1);
        while begun.front().is_some_and(is_old) {
            begun.pop_front();
        }
        begun.push_back(now);
        let often = begun.len() > OFTEN;
        if often {
            begun.clear();
        }
        often
    }

    fn find(&self, book: &mut Book, law: &'static str, text: String) {
        book.found.push((self.simulation.now(), law, text));
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the request writes, if it is a write that a pass makes.
fn target(request: &Request<Body>) -> Option<Target<'_>> {
    let asks_only = request.method() == Method::GET
        || request
            .uri()
            .query()
            .is_some_and(|query| query.contains("dryRun"));
    let (_, path) = request.uri().path().split_once("/namespaces/")?;
    let mut segments = path.split('/');
    let (namespace, plural) = (segments.next()?, segments.next()?);
    let name = segments.next().unwrap_or_default();
    let others = matches!(plural, "leases" | "events") || asks_only;
    (!others).then(|| Target {
        plural,
        key: Key::new(namespace, name),
        is_status: segments.next() == Some("status"),
    })
}

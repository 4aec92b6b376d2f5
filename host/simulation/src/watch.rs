//! Watches: who is watching which objects, and the stream of lines that each watcher reads.
//!
//! A write puts its event into every matching watcher's channel while the server is locked,
//! so a bookmark made under the same lock with an empty channel can never overtake an event.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

use crate::api::Api;
use crate::json;
use crate::refusal::{self, Refusal};
use crate::selectors::{FieldSelector, LabelSelector};
use crate::store::Change;

/// How often a quiet watch gets a bookmark; the API server's watch cache does so about once a minute.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// How long before its end a watch gets its last bookmark, as the API server's does.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// Labels.
    pub labels: LabelSelector,
    /// Fields.
    pub fields: FieldSelector,
}

impl Scope {
    /// Whether an object belongs.
    pub(crate) fn contains(&self, object: &Value) -> bool {
        self.namespace
            .as_deref()
            .is_none_or(|namespace| json::text(object, "/metadata/namespace") == namespace)
            && self.labels.matches(object)
            && self.fields.matches(object)
    }
}

/// What a watcher is told.
#[derive(Debug)]
pub(crate) enum Signal {
    /// An event, not to be delivered before `due`.
    Event {
        /// When it arrives.
        due: Instant,
        /// `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`.
        kind: &'static str,
        /// The object.
        object: Arc<Value>,
    },
    /// The stream ends cleanly.
    Close,
    /// The connection breaks.
    Reset,
    /// The connection stays open and carries nothing any more.
    Stall,
    /// The server says that it cannot go on from here, and ends the stream.
    Refuse(Refusal),
}

/// A live watch, as the store sees it.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// Whose watch.
    pub client: String,
    /// Over which objects.
    pub scope: Scope,
    /// How long events take to arrive.
    pub latency: Duration,
    sender: UnboundedSender<Signal>,
    /// Events are never reordered, however the latency changes.
    last_due: Instant,
}

/// The live watches of one collection.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    live: Vec<Watcher>,
}

impl Watchers {
    /// Adds a watch and returns the end that its stream reads.
    pub(crate) fn add(
        &mut self,
        client: &str,
        scope: Scope,
        latency: Duration,
    ) -> UnboundedReceiver<Signal> {
        let (sender, receiver) = unbounded_channel();
        self.live.push(Watcher {
            client: client.to_owned(),
            scope,
            latency,
            sender,
            last_due: Instant::now(),
        });
        receiver
    }

    /// Tells the newest watch of something before it hears of changes.
    pub(crate) fn tell_newest(&mut self, kind: &'static str, object: Arc<Value>) {
        if let Some(watcher) = self.live.last_mut() {
            watcher.send_event(kind, object);
        }
    }

    /// Tells the newest watch that it cannot go on from where it wants to.
    pub(crate) fn refuse_newest(&mut self, refusal: Refusal) {
        if let Some(watcher) = self.live.pop() {
            // A watch whose reader is gone needs no telling.
            let _ = watcher.sender.send(Signal::Refuse(refusal));
        }
    }

    /// Replays a change to the newest watch.
    pub(crate) fn replay_to_newest(&mut self, change: &Change) {
        if let Some(watcher) = self.live.last_mut() {
            watcher.tell(change);
        }
    }

    /// Tells every watch of a change.
    pub(crate) fn tell(&mut self, change: &Change) {
        self.live.retain(|watcher| !watcher.sender.is_closed());
        for watcher in &mut self.live {
            watcher.tell(change);
        }
    }

    /// Ends or breaks the watches that `which` picks, and returns how many there were.
    pub(crate) fn signal(
        &mut self,
        which: impl Fn(&Watcher) -> bool,
        signal: impl Fn() -> Signal,
    ) -> usize {
        let before = self.live.len();
        self.live.retain(|watcher| {
            let picked = which(watcher) && !watcher.sender.is_closed();
            if picked {
                // A watch whose reader is gone needs no telling.
                let _ = watcher.sender.send(signal());
            }
            !picked
        });
        before - self.live.len()
    }

    /// How many watches are live.
    pub(crate) fn count(&self, which: impl Fn(&Watcher) -> bool) -> usize {
        self.live
            .iter()
            .filter(|watcher| !watcher.sender.is_closed() && which(watcher))
            .count()
    }
}

impl Watcher {
    fn tell(&mut self, change: &Change) {
        let within = |object: &Option<Arc<Value>>| {
            object
                .as_ref()
                .is_some_and(|object| self.scope.contains(object))
        };
        let (was, is) = (within(&change.before), within(&change.after));
        let kind = match (was, is) {
            (false, false) => return,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            // An object that leaves the selection is shown as it was, at the version of the change.
            (true, false) => "DELETED",
        };
        let object = if is {
            change.after.clone()
        } else {
            Change {
                after: None,
                ..change.clone()
            }
            .object()
        };
        if let Some(object) = object {
            self.send_event(kind, object);
        }
    }

    fn send_event(&mut self, kind: &'static str, object: Arc<Value>) {
        let due = (Instant::now() + self.latency).max(self.last_due);
        self.last_due = due;
        // A watch whose reader is gone needs no telling.
        let _ = self.sender.send(Signal::Event { due, kind, object });
    }
}

/// What a watch stream needs to know beside its channel.
pub(crate) struct Watch {
    /// For the version in bookmarks.
    pub api: Api,
    /// Events and signals.
    pub receiver: UnboundedReceiver<Signal>,
    /// When the stream ends cleanly.
    pub deadline: Instant,
    /// Whether the client asked for bookmarks.
    pub bookmarks: bool,
    /// What is to go wrong with it, and when.
    pub fault: Option<(Instant, Signal)>,
    /// Of the kind that is watched, for bookmarks.
    pub api_version: String,
    /// Likewise.
    pub kind: String,
    /// Gives each event's object the form that the client asked for.
    pub form: Box<dyn Fn(Arc<Value>) -> Arc<Value> + Send>,
}

enum Next {
    Event(&'static str, Arc<Value>),
    End,
    Broken,
}

/// The body of a watch: one JSON event per line.
pub(crate) fn lines(watch: Watch) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    let next_bookmark = watch.next_bookmark();
    futures::stream::unfold(Some((watch, next_bookmark)), |state| async move {
        let (mut watch, mut next_bookmark) = state?;
        match watch.next(&mut next_bookmark).await {
            Next::Event(kind, object) => {
                let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
                Some((
                    Ok(Frame::data(Bytes::from(line))),
                    Some((watch, next_bookmark)),
                ))
            }
            Next::End => None,
            Next::Broken => Some((Err(BoxError::from("connection reset by peer")), None)),
        }
    })
}

impl Watch {
    async fn next(&mut self, next_bookmark: &mut Instant) -> Next {
        loop {
            let fault_at = self.fault.as_ref().map_or(self.deadline, |(at, _)| *at);
            let signal = tokio::select! {
                biased;
                signal = self.receiver.recv() => signal,
                () = sleep_until(self.deadline) => return Next::End,
                () = sleep_until(fault_at), if self.fault.is_some() => self.fault.take().map(|(_, signal)| signal),
                () = sleep_until(*next_bookmark), if self.bookmarks => {
                    *next_bookmark = self.next_bookmark();
                    match self.bookmark() {
                        Some(bookmark) => return Next::Event("BOOKMARK", Arc::new(bookmark)),
                        None => continue,
                    }
                }
            };
            match signal {
                Some(Signal::Event { due, kind, object }) => {
                    sleep_until(due).await;
                    return Next::Event(kind, (self.form)(object));
                }
                Some(Signal::Refuse(refusal)) => {
                    self.receiver.close();
                    return Next::Event("ERROR", Arc::new(refusal::body(&refusal)));
                }
                Some(Signal::Close) => return Next::End,
                Some(Signal::Reset) => return Next::Broken,
                Some(Signal::Stall) => std::future::pending().await,
                None => return Next::End,
            }
        }
    }

    /// In a minute, or shortly before the end if that comes first.
    fn next_bookmark(&self) -> Instant {
        let now = Instant::now();
        let next = now + BOOKMARK_INTERVAL;
        match self.deadline.checked_sub(LAST_BOOKMARK) {
            Some(last) if now < last && last < next => last,
            _ => next,
        }
    }

    /// The newest version, if nothing that it covers is still on its way.
    fn bookmark(&self) -> Option<Value> {
        let version = self
            .api
            .with_server(|server| self.receiver.is_empty().then(|| server.version()))?;
        Some(bookmark(&self.api_version, &self.kind, version, json!({})))
    }
}

/// The object of a bookmark event.
pub(crate) fn bookmark(api_version: &str, kind: &str, version: u64, annotations: Value) -> Value {
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if annotations
        .as_object()
        .is_some_and(|annotations| !annotations.is_empty())
    {
        json::set(&mut metadata, "annotations", annotations);
    }
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata})
}

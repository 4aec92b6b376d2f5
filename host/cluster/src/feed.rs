//! One watch: lists, follows, recovers. What is done with the items is the sink's business.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use kube::api::Api;
use kube::runtime::watcher;
use kube::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::Key;
use crate::backoff::Backoff;
use crate::item::Item;
use crate::kinds::Served;

/// How often an object is asked for that a list did not show, before the list is made again.
const LOOKS: u32 = 3;

/// What to watch.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The kind.
    pub(crate) served: Served,
    /// Only in this namespace; ignored for cluster-scoped kinds.
    pub(crate) namespace: Option<String>,
    /// Only with these labels.
    pub(crate) labels: Option<String>,
    /// Objects per page.
    pub(crate) page_size: u32,
    /// Seed of the delays.
    pub(crate) seed: u64,
}

impl Source {
    fn api(&self, client: &Client) -> Api<Item> {
        match self.namespace.as_deref().filter(|_| self.served.namespaced) {
            Some(namespace) => {
                Api::namespaced_with(client.clone(), namespace, &self.served.resource)
            }
            None => Api::all_with(client.clone(), &self.served.resource),
        }
    }

    fn config(&self) -> watcher::Config {
        let config = watcher::Config::default().page_size(self.page_size);
        match &self.labels {
            Some(labels) => config.labels(labels),
            None => config,
        }
    }
}

/// Why something could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// 404: nothing is served there, or nothing yet. Of an object it says nothing; see [`is_absent`].
    NotServed(String),
    /// 401 or 403.
    Forbidden(String),
    /// Anything else; trying again may help.
    Unavailable(String),
}

impl Trouble {
    /// The trouble behind an error.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Api(status) if status.code == 404 => Self::NotServed(status.message.clone()),
            Error::Api(status) if matches!(status.code, 401 | 403) => {
                Self::Forbidden(status.message.clone())
            }
            Error::Api(status) => Self::Unavailable(status.message.clone()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Whether the API server says of the object of this name that it does not exist: the Status of its 404 names the object.
/// One that does not is about the path, and an API server that is starting up answers so for kinds that it will serve.
pub(crate) fn is_absent(error: &Error, name: &str) -> bool {
    !name.is_empty() && missing(error) == Some(name)
}

/// Whether the API server knows nothing of the path.
pub(crate) fn is_unknown_path(error: &Error) -> bool {
    missing(error) == Some("")
}

/// The name of what a 404 is about; empty where it is about no object.
fn missing(error: &Error) -> Option<&str> {
    match error {
        Error::Api(status) if status.code == 404 => {
            let details = status.details.as_ref();
            Some(details.map_or("", |details| details.name.as_str()))
        }
        _ => None,
    }
}

/// Takes what a watch delivers.
pub(crate) trait Sink: Send {
    /// A list begins.
    fn begin(&mut self);
    /// An item of the list (`listed`) or a new version of an object.
    fn put(&mut self, item: Item, listed: bool);
    /// An object was deleted.
    fn delete(&mut self, item: Item);
    /// The list is complete. Returned are the objects of which only a look can say whether they exist.
    fn complete(&mut self) -> Vec<Key>;
    /// Such an object does not exist, and never comes back; or, if not `certain`, no list shows it, and nobody is told more.
    fn missing(&mut self, key: &Key, certain: bool);
    /// The list or the watch is refused for now.
    fn trouble(&mut self, trouble: Trouble);
}

/// Watches until told to stop.
pub(crate) async fn follow(
    client: Client,
    source: Source,
    mut sink: impl Sink,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(source.seed);
    while list_and_watch(&client, &source, &mut sink, &mut backoff, &stop)
        .await
        .is_continue()
    {}
}

/// Lists and watches until it has to be listed again, and breaks off when told to stop. Before it asks to be called again it
/// has waited as long as the failure demands.
///
/// A mistake of ours about one object ends neither this watch nor another: it is listed again, later each time (I7).
pub(crate) async fn list_and_watch(
    client: &Client,
    source: &Source,
    sink: &mut impl Sink,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> ControlFlow<()> {
    // What a sink keeps is behind locks that are held across no decision, so nothing half-done is left.
    let followed = AssertUnwindSafe(follow_once(client, source, sink, backoff, stop));
    match followed.catch_unwind().await {
        Ok(flow) => flow,
        // What it said is on standard error already.
        Err(_) => {
            let kind = source.served.resource.kind.as_str();
            let delay = backoff.after_failure();
            let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            tracing::error!(kind, milliseconds, "Recovered from Panic");
            tokio::select! {
                biased;
                () = stop.cancelled() => ControlFlow::Break(()),
                () = tokio::time::sleep(delay) => ControlFlow::Continue(()),
            }
        }
    }
}

async fn follow_once(
    client: &Client,
    source: &Source,
    sink: &mut impl Sink,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> ControlFlow<()> {
    let kind = source.served.resource.kind.as_str();
    let mut events = pin!(watcher(source.api(client), source.config()));
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return ControlFlow::Break(()),
            event = events.next() => event,
        };
        let Some(event) = event else {
            return ControlFlow::Continue(());
        };
        match event {
            Ok(watcher::Event::Init) => sink.begin(),
            Ok(watcher::Event::InitApply(item)) => sink.put(item, true),
            Ok(watcher::Event::Apply(item)) => sink.put(item, false),
            Ok(watcher::Event::Delete(item)) => sink.delete(item),
            Ok(watcher::Event::InitDone) => {
                for key in sink.complete() {
                    let found = tokio::select! {
                        biased;
                        () = stop.cancelled() => return ControlFlow::Break(()),
                        found = find(client, &source.served, &key, backoff) => found,
                    };
                    match found {
                        Found::There(item) => sink.put(*item, false),
                        Found::Absent => sink.missing(&key, true),
                        Found::Untold => sink.missing(&key, false),
                        // What is known stays until somebody says what has become of it.
                        Found::Unknown => return ControlFlow::Continue(()),
                    }
                }
            }
            Err(error) => {
                let delay = backoff.after_failure();
                report(kind, &error, delay);
                if let Some(trouble) = refusal(&error) {
                    sink.trouble(trouble);
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return ControlFlow::Break(()),
                    () = tokio::time::sleep(delay) => {}
                }
                if must_list_again(&error) {
                    return ControlFlow::Continue(());
                }
            }
        }
    }
}

/// What a refused request says of the kind. A watch that breaks says nothing: it is resumed.
fn refusal(error: &watcher::Error) -> Option<Trouble> {
    match error {
        watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause) => {
            Some(Trouble::of(cause))
        }
        watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}

/// Whether to begin anew. The watcher lists again by itself when the stream says 410, but not when the answer to the request
/// does: it would ask for the same expired version for ever. The same goes for a right that is missing (403) and a kind that
/// is gone (404): what is kept would grow old. Where waiting helps (408, 429, 5xx) the watch goes on where it was, which
/// spares a server in distress the lists. After a failed list the kind may have to be looked for first.
fn must_list_again(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(_) => true,
        watcher::Error::WatchStartFailed(Error::Api(status)) => {
            matches!(status.code, 400..=407 | 409..=428 | 430..=499)
        }
        watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// What has become of an object.
enum Found {
    /// It exists.
    There(Box<Item>),
    /// It does not.
    Absent,
    /// Nobody here may know.
    Untold,
    /// The API server has not said.
    Unknown,
}

/// An object that a list did not show although it was known. The list may be older than the object.
async fn find(client: &Client, served: &Served, key: &Key, backoff: &mut Backoff) -> Found {
    let path = served.path(Some(&key.namespace), Some(&key.name));
    let request = |path: &String| http::Request::get(path).body(Vec::new()).ok();
    for _ in 0..LOOKS {
        let Some(request) = path.as_ref().ok().and_then(request) else {
            return Found::Untold;
        };
        match client.request::<Item>(request).await {
            Ok(item) => return Found::There(Box::new(item)),
            Err(error) if is_absent(&error, &key.name) => return Found::Absent,
            // A right that is missing; credentials that are not accepted (401) are renewed.
            Err(Error::Api(status)) if status.code == 403 => return Found::Untold,
            Err(error) => {
                let delay = backoff.after_failure();
                let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                let kind = served.resource.kind.as_str();
                tracing::warn!(kind, %key, %error, milliseconds, "no list shows it, and nobody says why");
                tokio::time::sleep(delay).await;
            }
        }
    }
    Found::Unknown
}

fn report(kind: &str, error: &watcher::Error, delay: Duration) {
    let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    match error {
        watcher::Error::InitialListFailed(Error::Api(status)) if status.code == 404 => {
            tracing::info!(
                kind,
                milliseconds,
                "the API server does not serve this kind, asking again later"
            );
        }
        // An expired version is how watches are meant to end; anything else is worth a line.
        watcher::Error::WatchError(status) if status.code == 410 => {
            tracing::debug!(kind, "watch expired")
        }
        error => tracing::warn!(kind, %error, milliseconds, "watch failed, trying again"),
    }
}

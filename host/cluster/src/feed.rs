//! One watch: lists, follows, recovers. What is done with the items is the sink's business.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::watcher;
use kube::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::Key;
use crate::backoff::Backoff;
use crate::item::Item;
use crate::kinds::Served;

/// How often an object is asked for that a list did not show.
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

/// Why a list could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// 404: the CRD is missing.
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
    /// Such an object does not exist.
    fn missing(&mut self, key: &Key);
    /// The list cannot be had for now.
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
    let api = source.api(&client);
    let kind = source.served.resource.kind.as_str();
    loop {
        let mut events = pin!(watcher(api.clone(), source.config()));
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            let Some(event) = event else { break };
            match event {
                Ok(watcher::Event::Init) => sink.begin(),
                Ok(watcher::Event::InitApply(item)) => sink.put(item, true),
                Ok(watcher::Event::Apply(item)) => sink.put(item, false),
                Ok(watcher::Event::Delete(item)) => sink.delete(item),
                Ok(watcher::Event::InitDone) => {
                    for key in sink.complete() {
                        let found = tokio::select! {
                            biased;
                            () = stop.cancelled() => return,
                            found = find(&client, &source.served, &key, &mut backoff) => found,
                        };
                        match found {
                            Some(item) => sink.put(item, false),
                            None => sink.missing(&key),
                        }
                    }
                }
                Err(error) => {
                    let delay = backoff.after_failure();
                    report(kind, &error, delay);
                    if let watcher::Error::InitialListFailed(cause) = &error {
                        sink.trouble(Trouble::of(cause));
                    }
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(delay) => {}
                    }
                    if must_list_again(&error) {
                        break;
                    }
                }
            }
        }
    }
}

/// The watcher lists again by itself when the stream says 410, but not when the answer to the request does: it would ask
/// for the same expired version for ever.
fn must_list_again(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(Error::Api(status)) if status.code == 410)
}

/// An object that a list did not show although it was known. When the API server will not say, the list is believed.
async fn find(client: &Client, served: &Served, key: &Key, backoff: &mut Backoff) -> Option<Item> {
    let path = served.path(Some(&key.namespace), Some(&key.name)).ok()?;
    for _ in 0..LOOKS {
        let request = http::Request::get(&path).body(Vec::new()).ok()?;
        match client.request::<Item>(request).await {
            Ok(item) => return Some(item),
            Err(error) => match Trouble::of(&error) {
                Trouble::NotServed(_) | Trouble::Forbidden(_) => return None,
                Trouble::Unavailable(_) => tokio::time::sleep(backoff.after_failure()).await,
            },
        }
    }
    None
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

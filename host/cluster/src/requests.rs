//! What every request passes on its way out: a time limit and the count for MET-012.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use sluice_api as api;
use tower::BoxError;

use crate::store::{Store, View};
use crate::{Cluster, Key, Settings};

/// Labels of `controller_clientset_k8s_request_total` (MET-012).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestLabels {
    /// The plural, for example `replicasets`; `Unknown` where the path names no resource.
    pub kind: String,
    /// Empty for requests across namespaces.
    pub namespace: String,
    /// `N/A` for lists, and for kinds whose names would never repeat: events, ReplicaSets, pods, Jobs.
    pub name: String,
    /// `Get`, `List`, `Watch`, `Create`, `Update`, `Patch`, `Delete` or `Unknown`.
    pub verb: &'static str,
    /// The HTTP status; 0 where there was no answer.
    pub status_code: u16,
}

/// Kinds whose objects come and go without their names coming back. Upstream has the first two; the names of pods that it
/// evicts, and of Jobs, are series that never end.
const NAMELESS: [&str; 4] = ["events", "replicasets", "pods", "jobs"];

/// The name where there is none, or where it does not matter.
const NO_NAME: &str = "N/A";

/// Requests by labels. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct RequestCounts(Arc<Mutex<BTreeMap<RequestLabels, u64>>>);

impl RequestCounts {
    fn add(&self, labels: RequestLabels) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(labels).or_default() += 1;
    }

    /// Ends the counts that are not to be kept.
    fn retain(&self, mut keep: impl FnMut(&RequestLabels) -> bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|labels, _| keep(labels));
    }

    /// All counts since the start, of what is still there.
    pub fn read(&self) -> BTreeMap<RequestLabels, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Cluster {
    /// Requests to the API server since the start (MET-012).
    pub fn requests(&self) -> BTreeMap<RequestLabels, u64> {
        self.shared.settings.requests.read()
    }

    /// Ends the counts of requests about objects that are gone, and about namespaces in which nothing of ours is left.
    /// To be called once in a while: upstream's counts never end.
    pub fn forget_requests(&self) {
        let shared = &self.shared;
        let mut namespaces = BTreeSet::new();
        namespaces.extend(shared.settings.namespace.clone());
        namespaces.extend(namespaces_of(&shared.rollouts));
        namespaces.extend(namespaces_of(&shared.analysis_runs));
        namespaces.extend(namespaces_of(&shared.experiments));
        let is_near = |about: &RequestLabels| {
            about.namespace.is_empty() || namespaces.contains(&about.namespace)
        };
        shared.settings.requests.retain(|about| {
            let key = Key::new(&about.namespace, &about.name);
            match about.kind.as_str() {
                // One, in the controller's own namespace.
                "leases" => true,
                _ if about.name == NO_NAME => is_near(about),
                <api::Rollout as api::Kind>::PLURAL => shared.rollouts.get(&key).is_some(),
                <api::AnalysisRun as api::Kind>::PLURAL => shared.analysis_runs.get(&key).is_some(),
                <api::Experiment as api::Kind>::PLURAL => shared.experiments.get(&key).is_some(),
                "services" => shared.services.get(&key).is_some(),
                _ => is_near(about),
            }
        });
    }
}

fn namespaces_of<T: View>(store: &Store<T>) -> impl Iterator<Item = String> {
    let objects = store.all().into_iter();
    objects.map(|object| object.metadata().namespace.clone())
}

/// The answer did not come in time. Whether the request took effect is unknown.
#[derive(Debug)]
struct TimedOut(Duration);

impl std::fmt::Display for TimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no answer from the API server within {} s",
            self.0.as_secs()
        )
    }
}

impl std::error::Error for TimedOut {}

/// A client that counts requests and gives each a time limit. Of a watch only the beginning is limited.
pub(crate) fn instrument(client: Client, settings: &Settings) -> Client {
    let counts = settings.requests.clone();
    let limit = settings.request_timeout;
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        let counts = counts.clone();
        async move {
            let mut labels = labels(&request);
            let watch = labels.verb == "Watch";
            let answer = tokio::time::timeout(limit, answer(client, request, watch)).await;
            let answer = answer.unwrap_or_else(|_| Err(TimedOut(limit).into()));
            labels.status_code = answer
                .as_ref()
                .map_or(0, |response| response.status().as_u16());
            counts.add(labels);
            answer
        }
    });
    Client::new(service, namespace)
}

/// Sends the request. Unless it is a watch, the body is read here, so that the time limit covers it.
async fn answer(
    client: Client,
    request: Request<Body>,
    watch: bool,
) -> Result<Response<Body>, BoxError> {
    let response = client.send(request).await?;
    if watch {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

pub(crate) fn labels<B>(request: &Request<B>) -> RequestLabels {
    let path = request.uri().path();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    // `/api/VERSION/…` or `/apis/GROUP/VERSION/…`
    let prefix = match segments.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => usize::MAX,
    };
    let mut rest = segments.skip(prefix);
    let mut first = rest.next();
    let mut namespace = "";
    let mut name = None;
    if first == Some("namespaces") {
        // `namespaces/NAME` alone is an object of the kind Namespace.
        let (scope, kind) = (rest.next(), rest.next());
        match kind {
            Some(kind) => {
                namespace = scope.unwrap_or_default();
                first = Some(kind);
                name = rest.next();
            }
            None => name = scope,
        }
    } else {
        name = name.or_else(|| rest.next());
    }
    let Some(kind) = first else {
        return RequestLabels {
            kind: "Unknown".to_owned(),
            namespace: "Unknown".to_owned(),
            name: "Unknown".to_owned(),
            verb: "Unknown",
            status_code: 0,
        };
    };
    let watches = request.uri().query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    });
    let verb = match *request.method() {
        Method::GET if watches => "Watch",
        Method::GET if name.is_none() => "List",
        Method::GET => "Get",
        Method::POST => "Create",
        Method::PUT => "Update",
        Method::PATCH => "Patch",
        Method::DELETE => "Delete",
        _ => "Unknown",
    };
    let name = name.filter(|_| !NAMELESS.contains(&kind));
    RequestLabels {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.unwrap_or(NO_NAME).to_owned(),
        verb,
        status_code: 0,
    }
}

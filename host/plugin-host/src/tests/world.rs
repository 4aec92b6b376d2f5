//! The surroundings of a plugin host in memory: objects, secrets, a server, a clock that tokio's paused time moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plugin::{
    Ask, Function, Job, JobState, MeasureLifecycle, MeasurementFacts, PluginCall, PluginKind,
    PluginName, Reply, Slot, StepLifecycle, Traffic,
};
use sluice_engine::read::{RawObject, Read, ReadOutcome, Select};
use tokio::sync::mpsc::UnboundedReceiver;

use super::guest::Guest;
use crate::{Clock, HttpPort, NoSecret, PluginHost, Reads, Settings, SubjectBody};

/// Objects and secret values.
#[derive(Default)]
pub struct Objects {
    objects: Mutex<BTreeMap<ObjectKey, Arc<RawObject>>>,
    pub secrets: Mutex<BTreeMap<String, String>>,
    /// What reads of this kind find instead.
    pub instead: Mutex<BTreeMap<String, ReadOutcome>>,
    /// Kinds that nobody follows: only a read can tell.
    pub unfollowed: Mutex<BTreeSet<String>>,
    /// Reads that were answered, in order.
    pub log: Mutex<Vec<Read>>,
}

impl Objects {
    pub fn put(&self, kind: &str, name: &str, version: &str, mut body: Value) {
        let key = key(kind, name);
        body["apiVersion"] = json!(key.api_version);
        body["kind"] = json!(kind);
        body["metadata"]["name"] = json!(name);
        body["metadata"]["namespace"] = json!(key.namespace);
        let object = RawObject {
            key: key.clone(),
            resource_version: version.to_owned(),
            body: body.to_string().into(),
        };
        self.objects.lock().unwrap().insert(key, Arc::new(object));
    }

    fn find(&self, read: &Read) -> ReadOutcome {
        if let Some(outcome) = self.instead.lock().unwrap().get(&read.kind) {
            return outcome.clone();
        }
        let objects = self.objects.lock().unwrap();
        let found = objects.values().filter(|object| {
            let name = match &read.select {
                Select::Name(name) => object.key.name == *name,
                Select::Labels(_) => true,
                Select::Annotated { name, value } => {
                    let body: Value = serde_json::from_str(&object.body).unwrap();
                    body["metadata"]["annotations"][name] == json!(value)
                }
            };
            name && object.key.kind == read.kind && object.key.namespace == read.namespace
        });
        ReadOutcome::Found(found.cloned().collect())
    }
}

impl Reads for Objects {
    fn read(&self, read: Read) -> BoxFuture<'static, ReadOutcome> {
        let outcome = self.find(&read);
        self.log.lock().unwrap().push(read);
        Box::pin(async move { outcome })
    }

    fn peek(&self, read: &Read) -> Option<ReadOutcome> {
        let is_followed = !self.unfollowed.lock().unwrap().contains(&read.kind);
        is_followed.then(|| self.find(read))
    }

    fn secret(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> BoxFuture<'static, Result<String, NoSecret>> {
        let place = format!("{namespace}/{name}/{key}");
        let found = self.secrets.lock().unwrap().get(&place).cloned();
        Box::pin(async move { found.ok_or_else(|| NoSecret::Wrong("not found".to_owned())) })
    }
}

/// A clock that stands still unless tokio's does not.
pub struct PausedClock(tokio::time::Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = "2026-03-09T10:15:00Z".parse().unwrap();
        begin + self.0.elapsed()
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// A server that answers after a time, and remembers what it was asked.
#[derive(Clone, Default)]
pub struct Server {
    pub received: Arc<Mutex<Vec<Received>>>,
    /// By path: status, headers, body, and how long it takes.
    pub pages: Arc<Mutex<BTreeMap<String, Page>>>,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: String,
    pub takes: Duration,
}

impl Server {
    pub fn page(&self, path: &str, body: &str) {
        self.slow_page(path, body, Duration::ZERO);
    }

    pub fn slow_page(&self, path: &str, body: &str, takes: Duration) {
        let page = Page {
            status: 200,
            headers: Vec::new(),
            body: body.to_owned(),
            takes,
        };
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    pub fn port(&self) -> HttpPort {
        let server = self.clone();
        HttpPort::new(tower::service_fn(move |request: http::Request<Bytes>| {
            let server = server.clone();
            async move { server.answer(request).await }
        }))
    }

    async fn answer(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, std::io::Error> {
        let headers = request.headers().iter();
        self.received.lock().unwrap().push(Received {
            method: request.method().to_string(),
            url: request.uri().to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            body: String::from_utf8(request.body().to_vec()).unwrap(),
        });
        let page = self
            .pages
            .lock()
            .unwrap()
            .get(request.uri().path())
            .cloned();
        let Some(page) = page else {
            return Err(std::io::Error::other("connection refused"));
        };
        tokio::time::sleep(page.takes).await;
        let mut response = http::Response::builder().status(page.status);
        for (name, value) in page.headers {
            response = response.header(name, value);
        }
        Ok(response.body(Bytes::from(page.body)).unwrap())
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// A plugin host in its surroundings.
pub struct World {
    pub host: PluginHost,
    pub objects: Arc<Objects>,
    pub server: Server,
    pub finished: UnboundedReceiver<Subject>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let objects = Arc::new(Objects::default());
        let server = Server::default();
        let reads: Arc<dyn Reads> = Arc::<Objects>::clone(&objects);
        let mut settings = Settings::new(server.port(), reads);
        settings.clock = Arc::new(PausedClock(tokio::time::Instant::now()));
        settings.ticker = false;
        change(&mut settings);
        let host = PluginHost::new(settings).unwrap();
        let finished = host.finished();
        Self {
            host,
            objects,
            server,
            finished,
        }
    }

    /// With this plugin loaded.
    pub async fn load(self, guest: &Guest) -> Self {
        self.host.load("probe.wasm", guest.build()).await.unwrap();
        self
    }

    /// The call with the digest of the plugin as it is loaded.
    pub fn call(&self, function: Function, ask: Ask) -> PluginCall {
        let kind = match function {
            Function::Check | Function::Reconcile => PluginKind::TrafficRouter,
            Function::Measure => PluginKind::MetricProvider,
            Function::Execute => PluginKind::Step,
            Function::Verify => PluginKind::EndpointVerifier,
        };
        let plugin = PluginName {
            kind,
            name: "probe".to_owned(),
        };
        let digest = self
            .host
            .registry()
            .get(&plugin)
            .map(|info| info.digest.clone());
        PluginCall {
            subject: subject(),
            slot: Slot {
                plugin,
                function,
                part: String::new(),
            },
            digest: digest.unwrap_or_default(),
            config: json!({}),
            ask,
            due: 0,
            secrets: Vec::new(),
        }
    }

    pub fn route(&self) -> PluginCall {
        self.call(Function::Reconcile, Ask::Route(Some(Traffic::default())))
    }

    pub fn measure(&self) -> PluginCall {
        let ask = Ask::Measure {
            lifecycle: MeasureLifecycle::Start,
            facts: Box::new(MeasurementFacts::default()),
        };
        let mut call = self.call(Function::Measure, ask);
        call.subject.key.kind = "AnalysisRun".to_owned();
        call.slot.part = "latency".to_owned();
        call
    }

    pub fn execute(&self) -> PluginCall {
        let ask = Ask::Step {
            lifecycle: StepLifecycle::Run,
            state: None,
        };
        self.call(Function::Execute, ask)
    }

    pub fn start(&self, call: &PluginCall) {
        self.host
            .start(call, SubjectBody::new(json!({ "kind": "Rollout" })));
    }

    /// Starts the call and waits for its end.
    pub async fn answer(&mut self, call: &PluginCall) -> Reply {
        self.start(call);
        self.finished.recv().await.expect("a job that ends");
        self.reply(call)
    }

    pub fn job(&self, call: &PluginCall) -> Option<Job> {
        self.host
            .jobs(&call.subject)
            .into_iter()
            .find(|job| job.slot == call.slot)
    }

    pub fn reply(&self, call: &PluginCall) -> Reply {
        match self.job(call).expect("a job").state {
            JobState::Finished { reply, .. } => (*reply).clone(),
            JobState::Running => panic!("still at work"),
        }
    }

    /// Reason and message of a call that fails.
    pub async fn broken(&mut self, call: &PluginCall) -> (String, String) {
        match self.answer(call).await {
            Reply::Broken { reason, message } => (reason, message),
            other => panic!("not broken: {other:?}"),
        }
    }
}

/// The subject of all calls.
pub fn subject() -> Subject {
    Subject {
        key: ObjectKey::namespaced("argoproj.io/v1alpha1", "Rollout", "shop", "web"),
        uid: "u-1".to_owned(),
    }
}

/// An object of the test's API group.
pub fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("example.com/v1", kind, "shop", name)
}

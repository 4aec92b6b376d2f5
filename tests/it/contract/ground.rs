//! What a contract stands on: one namespace of one API server, requests as they go over the wire, and the claims
//! that it makes about the answers.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

/// How long something may take that happens by itself. Virtual time there, real time here.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(50);

pub const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

/// One statement about what the server did, and what speaks against it.
#[derive(Debug)]
pub struct Claim {
    pub what: String,
    /// Nothing if it holds.
    pub against: Option<String>,
}

/// A namespace to make claims in.
pub struct Ground {
    client: Client,
    pub namespace: String,
    /// Whether time is virtual: on a real clock nothing can be claimed about how long something takes.
    pub virtual_time: bool,
    claims: Mutex<Vec<Claim>>,
}

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    /// Null if it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The text at a pointer, or nothing.
    pub fn text(&self, pointer: &str) -> &str {
        text(&self.body, pointer)
    }

    /// What is at a pointer; null if nothing is.
    pub fn at(&self, pointer: &str) -> Value {
        self.body.pointer(pointer).cloned().unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.text("/message")
    }

    pub fn version(&self) -> &str {
        self.text("/metadata/resourceVersion")
    }

    /// Code and reason, as `409 AlreadyExists`.
    pub fn outcome(&self) -> String {
        match self.text("/reason") {
            "" => self.code.to_string(),
            reason => format!("{} {reason}", self.code),
        }
    }

    /// The answer, if it is the object that was asked for.
    pub fn success(self) -> Result<Self> {
        if !(200..300).contains(&self.code) {
            bail!("{}: {}", self.outcome(), self.message());
        }
        Ok(self)
    }

    /// The names of the objects of a list.
    pub fn names(&self) -> Vec<String> {
        entries(&self.body, "/items")
            .iter()
            .map(|item| text(item, "/metadata/name").to_owned())
            .collect()
    }
}

/// The text at a pointer, or nothing.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a pointer, or 0, as Go leaves it out.
pub fn number(value: &Value, pointer: &str) -> i64 {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// The entries at a pointer, or none.
pub fn entries<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// An object's version as a number. Clients must not look inside; the contract of the server may.
pub fn version_of(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion")
        .parse()
        .unwrap_or_default()
}

impl Ground {
    pub fn new(client: Client, namespace: String) -> Self {
        Self {
            client,
            namespace,
            virtual_time: false,
            claims: Mutex::new(Vec::new()),
        }
    }

    pub fn in_virtual_time(self) -> Self {
        Self {
            virtual_time: true,
            ..self
        }
    }

    /// All claims so far.
    pub fn into_claims(self) -> Vec<Claim> {
        self.claims
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims that two values are equal.
    pub fn eq<T: PartialEq<U> + Debug, U: Debug>(&self, what: &str, got: T, wanted: U) {
        let against = (got != wanted).then(|| format!("got {got:?}\n      wanted {wanted:?}"));
        self.claim(what, against);
    }

    /// Claims that something holds.
    pub fn holds(&self, what: &str, it_does: bool, seen: impl Debug) {
        self.claim(what, (!it_does).then(|| format!("got {seen:?}")));
    }

    /// Claims that a text has a part.
    pub fn says(&self, what: &str, got: &str, part: &str) {
        let against = (!got.contains(part)).then(|| format!("got {got:?}\n      wanted {part:?}"));
        self.claim(what, against);
    }

    fn claim(&self, what: &str, against: Option<String>) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.push(Claim {
            what: what.to_owned(),
            against,
        });
    }

    /// The path of a collection in the namespace, such as `apps/v1/replicasets`; the core group is `v1`.
    pub fn path(&self, resource: &str) -> String {
        match resource.split_once('/') {
            Some(("v1", plural)) => format!("/api/v1/namespaces/{}/{plural}", self.namespace),
            _ => {
                let (api_version, plural) = resource.rsplit_once('/').unwrap_or(("", resource));
                format!("/apis/{api_version}/namespaces/{}/{plural}", self.namespace)
            }
        }
    }

    /// The path of an object.
    pub fn at(&self, resource: &str, name: &str) -> String {
        format!("{}/{name}", self.path(resource))
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, &[(ACCEPT.as_str(), JSON)], None)
            .await
    }

    /// An object that is there.
    pub async fn object(&self, resource: &str, name: &str) -> Result<Value> {
        let answer = self.get(&self.at(resource, name)).await?.success();
        Ok(answer.with_context(|| format!("{resource} {name}"))?.body)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(
            Method::POST,
            path,
            &[(CONTENT_TYPE.as_str(), JSON)],
            Some(body),
        )
        .await
    }

    /// Creates an object in a collection; it is an error if that is refused.
    pub async fn create(&self, resource: &str, body: &Value) -> Result<Value> {
        let made = self.post(&self.path(resource), body).await?.success();
        Ok(made
            .with_context(|| format!("failed to create one of {resource}"))?
            .body)
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(
            Method::PUT,
            path,
            &[(CONTENT_TYPE.as_str(), JSON)],
            Some(body),
        )
        .await
    }

    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<Answer> {
        self.send(
            Method::PATCH,
            path,
            &[(CONTENT_TYPE.as_str(), kind)],
            Some(body),
        )
        .await
    }

    /// Merges into an object; it is an error if that is refused.
    pub async fn merge(&self, resource: &str, name: &str, body: &Value) -> Result<Value> {
        let patched = self.patch(&self.at(resource, name), MERGE, body).await?;
        Ok(patched
            .success()
            .with_context(|| format!("failed to patch {resource} {name}"))?
            .body)
    }

    pub async fn delete(&self, path: &str, options: Option<&Value>) -> Result<Answer> {
        self.send(
            Method::DELETE,
            path,
            &[(CONTENT_TYPE.as_str(), JSON)],
            options,
        )
        .await
    }

    /// Any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        self.send_text(method, path, headers, body).await
    }

    /// Any request, with a body that need not be JSON.
    pub async fn send_text(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer> {
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.into_bytes()))?;
        let answer = self.client.send(request).await;
        let answer = answer.with_context(|| format!("{method} {path}"))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }

    /// Starts a watch of a collection; the query has all but `watch`.
    pub async fn watch(&self, path: &str, query: &str) -> Result<Watching> {
        let path = format!("{path}?watch=1&{query}");
        let request = Request::get(&path)
            .header(ACCEPT, JSON)
            .body(Body::from(Vec::new()))?;
        let answer = self.client.send(request).await;
        let answer = answer.with_context(|| format!("watch {path}"))?;
        let (parts, body) = answer.into_parts();
        let stream = body.into_data_stream().map(|part| part.map_err(Into::into));
        Ok(Watching {
            code: parts.status.as_u16(),
            stream: stream.boxed(),
            unread: Vec::new(),
        })
    }

    /// The version of a list now, from where a watch can go on.
    pub async fn now(&self, resource: &str) -> Result<String> {
        let list = self.get(&self.path(resource)).await?.success()?;
        Ok(list.version().to_owned())
    }

    /// Starts a watch of what comes from now on; the query says of which objects, and is empty for all.
    pub async fn follow(&self, resource: &str, query: &str) -> Result<Watching> {
        let from = self.now(resource).await?;
        let query = format!("resourceVersion={from}&{query}");
        self.watch(&self.path(resource), &query).await
    }

    /// Waits until a look finds what it looks for.
    pub async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if Instant::now() >= end {
                bail!("never saw {what}");
            }
            sleep(GLANCE).await;
        }
    }

    /// Waits until an object is as it should be, and returns it.
    pub async fn becomes(
        &self,
        resource: &str,
        name: &str,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let path = self.at(resource, name);
        let mut last = Value::Null;
        let seen = self
            .until(what, async || {
                let answer = self.get(&path).await?;
                last = answer.body.clone();
                Ok((answer.code == 200 && fits(&answer.body)).then_some(answer.body))
            })
            .await;
        seen.with_context(|| format!("{resource} {name}: {last}"))
    }

    /// Waits until there is no such object any more.
    pub async fn is_gone(&self, resource: &str, name: &str) -> Result<()> {
        let path = self.at(resource, name);
        self.until(&format!("the end of {resource} {name}"), async || {
            Ok((self.get(&path).await?.code == 404).then_some(()))
        })
        .await
    }

    /// Lets time pass in which nothing is expected to happen.
    pub async fn pause(&self, duration: Duration) {
        sleep(duration).await;
    }
}

/// A watch that has been answered.
pub struct Watching {
    pub code: u16,
    stream: futures::stream::BoxStream<'static, Result<Bytes, anyhow::Error>>,
    unread: Vec<u8>,
}

/// What a watch was told.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: String,
    pub object: Value,
    pub heard: Instant,
}

impl Event {
    /// `ADDED a`, or the code of an error.
    pub fn short(&self) -> String {
        match self.kind.as_str() {
            "BOOKMARK" => self.kind.clone(),
            "ERROR" => format!("ERROR {}", number(&self.object, "/code")),
            kind => format!("{kind} {}", text(&self.object, "/metadata/name")),
        }
    }
}

impl Watching {
    /// The next event; nothing at the end of the watch.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        match timeout(PATIENCE, self.read()).await {
            Ok(event) => event,
            Err(_) => bail!("the watch is silent"),
        }
    }

    /// The next event; nothing if there is none for so long, or the watch has ended.
    pub async fn next_within(&mut self, time: Duration) -> Result<Option<Event>> {
        timeout(time, self.read()).await.unwrap_or(Ok(None))
    }

    /// So many events, bookmarks left out.
    pub async fn take(&mut self, count: usize) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while events.len() < count {
            match self.next().await? {
                Some(event) if event.kind == "BOOKMARK" => {}
                Some(event) => events.push(event),
                None => bail!("the watch ended after {events:?}"),
            }
        }
        Ok(events)
    }

    /// All events up to the first that fits, and that one.
    pub async fn up_to(&mut self, fits: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while !events.last().is_some_and(&fits) {
            match self.next().await? {
                Some(event) => events.push(event),
                None => bail!("the watch ended after {events:?}"),
            }
        }
        Ok(events)
    }

    /// All events up to the end of the watch.
    pub async fn rest(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }

    async fn read(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let line: Value = serde_json::from_slice(&line)?;
                return Ok(Some(Event {
                    kind: text(&line, "/type").to_owned(),
                    object: line.get("object").cloned().unwrap_or_default(),
                    heard: Instant::now(),
                }));
            }
            match self.stream.next().await {
                Some(part) => self.unread.extend_from_slice(&part?),
                // What a refused watch says is one object without an event around it.
                None if self.unread.is_empty() => return Ok(None),
                None => {
                    let object = serde_json::from_slice(&std::mem::take(&mut self.unread))?;
                    return Ok(Some(Event {
                        kind: "REFUSED".to_owned(),
                        object,
                        heard: Instant::now(),
                    }));
                }
            }
        }
    }
}

/// Types and names of events.
pub fn short(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::short).collect()
}

//! The API as clients reach it: time passes, faults strike, the log is written, and the server answers.
//!
//! One lock holds everything and is never held across an await,
//! so requests take effect one after the other, in an order that time and the seed decide.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};
use tower::BoxError;

use crate::Latency;
use crate::discovery;
use crate::faults::{Fault, Rules, Verb};
use crate::json;
use crate::log::{Log, LoggedRequest};
use crate::patch::Patch;
use crate::refusal::{self, Refusal};
use crate::request::{Call, read_body};
use crate::respond::{self, Body, Form};
use crate::seed::Seeded;
use crate::server::{Part, Server};
use crate::store::Change;
use crate::table::Include;
use crate::watch::{self, Signal, Watch, bookmark};
use crate::witness::Witness;

/// How long a watch lasts whose client does not say.
const WATCH_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The forms in which objects may be sent, as the real server names them; only the first is understood here.
const OBJECTS: [&str; 4] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
];

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.is_empty() || essence == "application/json"
}

/// A handle to the one server; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    shared: Arc<Mutex<State>>,
}

/// A handle that does not keep the server alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakApi {
    shared: Weak<Mutex<State>>,
}

impl WeakApi {
    /// The server, if somebody still holds it.
    pub(crate) fn upgrade(&self) -> Option<Api> {
        self.shared.upgrade().map(|shared| Api { shared })
    }
}

/// Everything that the lock holds.
#[derive(Debug)]
pub(crate) struct State {
    pub server: Server,
    pub rules: Rules,
    pub log: Log,
    pub latency: Latency,
    pub latency_dice: Seeded,
    /// Who is told of every request.
    pub witness: Option<Witness>,
}

impl State {
    /// Writes a line of the log, of a request that takes effect where it is made.
    pub(crate) fn note(&mut self, client: &str, verb: &str, path: &str, outcome: String) {
        let now = self.server.clock.now();
        self.note_sent(now, client, verb, path, outcome);
    }

    /// Writes a line of the log, of a request that was sent then.
    fn note_sent(
        &mut self,
        sent: Timestamp,
        client: &str,
        verb: &str,
        path: &str,
        outcome: String,
    ) {
        let request = LoggedRequest {
            sent,
            at: self.server.clock.now(),
            client: client.to_owned(),
            verb: verb.to_owned(),
            path: path.to_owned(),
            outcome,
        };
        if let Some(witness) = &mut self.witness
            && !witness.saw(&request)
        {
            self.witness = None;
        }
        self.log.push(request);
    }
}

/// What a request is answered with when it succeeds.
enum Answer {
    Json(u16, String),
    Watch(Started),
}

/// A watch that has been registered.
struct Started {
    receiver: UnboundedReceiver<Signal>,
    timeout: Duration,
    bookmarks: bool,
}

impl Api {
    /// A handle to a new server.
    pub(crate) fn new(state: State) -> Self {
        Self {
            shared: Arc::new(Mutex::new(state)),
        }
    }

    /// The server and all around it. A poisoned lock means that a test panicked; what is behind it is still whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle that does not keep the server alive.
    pub(crate) fn downgrade(&self) -> WeakApi {
        WeakApi {
            shared: Arc::downgrade(&self.shared),
        }
    }

    /// Reads or changes the server.
    pub(crate) fn with_server<T>(&self, work: impl FnOnce(&mut Server) -> T) -> T {
        work(&mut self.lock().server)
    }

    /// Answers one HTTP request of a client; an error is a connection that broke.
    pub(crate) async fn answer(
        &self,
        client: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let path = parts
            .uri
            .path_and_query()
            .map_or_else(|| parts.uri.path().to_owned(), ToString::to_string);
        let (sent, call, fault, latency, way_back) = {
            let mut state = self.lock();
            let sent = state.server.clock.now();
            let call = Call::parse(&state.server.kinds, &parts.method, &parts.uri);
            let fault = match &call {
                Ok(Some(call)) => state.rules.strike(&call.facts(client)),
                Ok(None) | Err(_) => None,
            };
            let Latency {
                request, answer, ..
            } = state.latency.clone();
            let (mut latency, way_back) = (state.draw(&request), state.draw(&answer));
            if let Some(Fault::Latency(more)) = fault {
                latency += more;
            }
            (sent, call, fault, latency, way_back)
        };
        let verb = match &call {
            Ok(Some(call)) => call.verb.as_str().to_owned(),
            Ok(None) | Err(_) => parts.method.as_str().to_lowercase(),
        };
        let exchange = Exchange {
            api: self,
            sent,
            client,
            verb: &verb,
            path: &path,
        };
        if !latency.is_zero() {
            sleep(latency).await;
        }
        if matches!(fault, Some(Fault::CutBefore)) {
            self.cut(client);
        }
        if self.lock().rules.cut.contains(client) {
            exchange.note("lost: client is cut off".to_owned());
            return pending().await;
        }
        let call = match call {
            Ok(Some(call)) => call,
            Ok(None) => return Ok(exchange.answer_without_resource(&parts)),
            Err(refusal) => return Ok(exchange.refuse(&refusal)),
        };
        let accept = parts
            .headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let include = Include::of(call.query.get("includeObject"));
        let Some(form) = Form::of(accept, include) else {
            return Ok(exchange.refuse(&refusal::not_acceptable()));
        };
        if matches!(call.verb, Verb::Create | Verb::Update) && !is_json(content_type) {
            let refusal = refusal::unsupported_media_type(&OBJECTS);
            return Ok(exchange.refuse(&refusal));
        }
        let response = exchange
            .carry_out(&call, form, content_type, &body, fault)
            .await;
        if !way_back.is_zero() {
            sleep(way_back).await;
        }
        response
    }

    /// Cuts a client off: its watches fall silent, its further requests are lost.
    pub(crate) fn cut(&self, client: &str) {
        let mut state = self.lock();
        state.rules.cut.insert(client.to_owned());
        for (_, watchers) in state.server.store.all_watchers() {
            watchers.signal(|watcher| watcher.client == client, || Signal::Stall);
        }
    }
}

impl State {
    fn draw(&mut self, range: &std::ops::RangeInclusive<Duration>) -> Duration {
        if range.start() == range.end() {
            return *range.start();
        }
        let millis = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(
            self.latency_dice
                .between(millis(range.start()), millis(range.end())),
        )
    }
}

/// One request on its way.
struct Exchange<'a> {
    api: &'a Api,
    sent: Timestamp,
    client: &'a str,
    verb: &'a str,
    path: &'a str,
}

impl Exchange<'_> {
    fn note(&self, outcome: String) {
        self.api
            .lock()
            .note_sent(self.sent, self.client, self.verb, self.path, outcome);
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        self.note(outcome_of(refusal));
        respond::refused(refusal)
    }

    fn answer_without_resource(&self, parts: &http::request::Parts) -> Response<Body> {
        let response = self
            .api
            .with_server(|server| discovery::answer(&server.kinds, parts))
            .unwrap_or_else(respond::no_such_path);
        self.note(response.status().as_u16().to_string());
        response
    }

    async fn carry_out(
        &self,
        call: &Call,
        form: Form,
        content_type: &str,
        body: &Bytes,
        fault: Option<Fault>,
    ) -> Result<Response<Body>, BoxError> {
        match fault {
            Some(Fault::Conflict) => {
                let name = call.name.as_deref().unwrap_or_default();
                return Ok(self.refuse(&refusal::modified(&call.kind, name)));
            }
            Some(Fault::Status(code)) => {
                return Ok(self.refuse(&refusal::by_code(code, retry_after(code))));
            }
            Some(Fault::Gone) if call.verb == Verb::Watch => {
                return Ok(self.refuse(&refusal::expired("too old resource version")));
            }
            Some(Fault::Disconnect) => {
                self.note("lost: connection broke before the request".to_owned());
                return Err(BoxError::from("connection reset by peer"));
            }
            _ => {}
        }
        let (result, warnings) = {
            let mut state = self.api.lock();
            state.server.warnings.clear();
            let result = execute(
                &mut state,
                self.client,
                call,
                form,
                content_type,
                body,
                fault.as_ref(),
            );
            let outcome = match &result {
                Ok(Answer::Json(code, _)) => code.to_string(),
                Ok(Answer::Watch(_)) => "200".to_owned(),
                Err(refusal) => outcome_of(refusal),
            };
            let outcome = match &fault {
                Some(Fault::StatusAfterEffect(code)) => format!("{outcome}, told {code}"),
                Some(Fault::TimeoutAfterEffect(_)) => format!("{outcome}, answer lost"),
                Some(Fault::CutAfter) => format!("{outcome}, then cut off"),
                _ => outcome,
            };
            state.note_sent(self.sent, self.client, self.verb, self.path, outcome);
            (result, std::mem::take(&mut state.server.warnings))
        };
        match &fault {
            Some(Fault::StatusAfterEffect(code)) => {
                return Ok(respond::refused(&refusal::by_code(
                    *code,
                    retry_after(*code),
                )));
            }
            Some(Fault::TimeoutAfterEffect(after)) => {
                sleep(*after).await;
                return Err(BoxError::from("operation timed out"));
            }
            Some(Fault::CutAfter) => {
                self.api.cut(self.client);
                return pending().await;
            }
            _ => {}
        }
        Ok(match result {
            Err(refusal) => respond::refused(&refusal),
            Ok(Answer::Json(code, body)) => respond::json(code, body, &warnings),
            Ok(Answer::Watch(started)) => self.stream(call, form, started, fault),
        })
    }

    fn stream(
        &self,
        call: &Call,
        form: Form,
        started: Started,
        fault: Option<Fault>,
    ) -> Response<Body> {
        let (kind, version) = (Arc::clone(&call.kind), call.version.clone());
        let (api_version, name) = match form {
            Form::Whole => (kind.api_version(&version), kind.kind.clone()),
            Form::Metadata => (
                "meta.k8s.io/v1".to_owned(),
                "PartialObjectMetadata".to_owned(),
            ),
            Form::Table(_) => ("meta.k8s.io/v1".to_owned(), "Table".to_owned()),
        };
        let clock = self.api.with_server(|server| server.clock);
        let now = Instant::now();
        let fault = match fault {
            Some(Fault::CloseWatch(after)) => Some((now + after, Signal::Close)),
            Some(Fault::BreakWatch(after)) => Some((now + after, Signal::Reset)),
            Some(Fault::StallWatch(after)) => Some((now + after, Signal::Stall)),
            Some(Fault::ExpireWatch(after)) => Some((
                now + after,
                Signal::Refuse(refusal::expired("too old resource version")),
            )),
            _ => None,
        };
        let lines = watch::lines(Watch {
            api: self.api.clone(),
            receiver: started.receiver,
            deadline: now + started.timeout,
            bookmarks: started.bookmarks,
            fault,
            api_version,
            kind: name,
            form: Box::new(move |object| form.object(&kind, &version, &object, clock.now())),
        });
        let mut response = respond::with_type(200, "application/json", Bytes::new());
        *response.body_mut() = StreamBody::new(lines.boxed()).boxed_unsync();
        response
    }
}

/// Code and reason, for the log.
pub(crate) fn outcome_of(refusal: &Refusal) -> String {
    format!("{} {}", refusal.code, refusal.reason)
}

fn retry_after(code: u16) -> u32 {
    // The API server says so when it sheds load; it leaves the choice to the client elsewhere.
    u32::from(matches!(code, 429 | 503))
}

/// Does what a request asks for.
fn execute(
    state: &mut State,
    client: &str,
    call: &Call,
    form: Form,
    content_type: &str,
    body: &Bytes,
    fault: Option<&Fault>,
) -> Result<Answer, Refusal> {
    let now = state.server.clock.now();
    let object = |code: u16, object: &Arc<Value>| {
        let object = form.object(&call.kind, &call.version, object, now);
        Answer::Json(code, object.to_string())
    };
    let server = &mut state.server;
    let key = call.key();
    match (call.subresource.as_deref(), call.verb) {
        (None, Verb::List) => {
            let mut options = call.list_options()?;
            if let Some(Fault::StaleList { changes }) = fault {
                options.exactly = Some(server.store.version_before(&call.kind.key(), *changes));
            }
            let page = server.list(&call.kind, &options)?;
            Ok(Answer::Json(
                200,
                form.list(&call.kind, &call.version, &page, now),
            ))
        }
        (None, Verb::Watch) => start_watch(state, client, call, fault),
        (None, Verb::Get) => server
            .get(&call.kind, &key)
            .map(|found| object(200, &found)),
        (None, Verb::Create) => {
            let created = server.create(
                &call.kind,
                &call.version,
                call.namespace.as_deref(),
                read_body(body)?,
                call.write_options()?,
            )?;
            Ok(object(201, &created))
        }
        (None, Verb::Update | Verb::Patch) | (Some("status"), Verb::Update | Verb::Patch) => {
            // A Lease can be created by replacing it.
            let code = if server.get(&call.kind, &key).is_ok() {
                200
            } else {
                201
            };
            let part = part_of(call)?;
            let options = call.write_options()?;
            let written = if call.verb == Verb::Update {
                server.update(
                    &call.kind,
                    &call.version,
                    &key,
                    part,
                    read_body(body)?,
                    options,
                )?
            } else {
                let patch = Patch::parse(content_type, body, &call.kind)?;
                server.patch(&call.kind, &call.version, &key, part, &patch, options)?
            };
            Ok(object(code, &written))
        }
        (Some("status"), Verb::Get) => {
            part_of(call)?;
            server
                .get(&call.kind, &key)
                .map(|found| object(200, &found))
        }
        (Some("scale"), Verb::Get) => Ok(Answer::Json(
            200,
            server.get_scale(&call.kind, &key)?.to_string(),
        )),
        (Some("scale"), Verb::Update) => {
            let options = call.write_options()?;
            let scale =
                server.update_scale(&call.kind, &call.version, &key, read_body(body)?, options)?;
            Ok(Answer::Json(200, scale.to_string()))
        }
        (Some("scale"), Verb::Patch) => {
            let patch = Patch::parse(content_type, body, &call.kind)?;
            let scale = server.patch_scale(
                &call.kind,
                &call.version,
                &key,
                &patch,
                call.write_options()?,
            )?;
            Ok(Answer::Json(200, scale.to_string()))
        }
        (Some("eviction"), Verb::Create) if call.kind.is("", "Pod") => {
            let options = call.write_options()?;
            server.evict(&call.kind, &key, read_body(body)?, options.dry_run)?;
            let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
            Ok(Answer::Json(201, done.to_string()))
        }
        (Some("finalize"), Verb::Update) if call.kind.is("", "Namespace") => {
            let finalized = server.finalize(&call.kind, &key, &read_body(body)?)?;
            Ok(object(200, &finalized))
        }
        (None, Verb::Delete) => {
            let deleted = server.delete(&call.kind, &key, &call.delete_options(body)?)?;
            Ok(Answer::Json(
                200,
                respond::deleted(&call.kind, &call.version, &deleted),
            ))
        }
        (None, Verb::DeleteCollection) => {
            let options = call.delete_options(body)?;
            let page = server.list(&call.kind, &call.list_options()?)?;
            for found in &page.items {
                let key = (
                    json::text(found, "/metadata/namespace").to_owned(),
                    json::text(found, "/metadata/name").to_owned(),
                );
                server.delete(&call.kind, &key, &options)?;
            }
            Ok(Answer::Json(
                200,
                form.list(&call.kind, &call.version, &page, now),
            ))
        }
        (Some(_), _) if call.kind.is_custom() => Err(refusal::not_found(&call.kind, &key.1)),
        (Some(_), _) => Err(refusal::no_such_path()),
    }
}

fn part_of(call: &Call) -> Result<Part, Refusal> {
    match call.subresource.as_deref() {
        None => Ok(Part::Main),
        Some("status") if call.kind.status => Ok(Part::Status),
        Some(_) => Err(refusal::no_such_path()),
    }
}

/// Registers a watch and gives it what it must hear before anything new.
fn start_watch(
    state: &mut State,
    client: &str,
    call: &Call,
    fault: Option<&Fault>,
) -> Result<Answer, Refusal> {
    let scope = call.scope()?;
    // What a list calls a bad request, a watch takes for a mistake of the server.
    let from = call
        .query
        .number("resourceVersion")
        .map_err(|refusal| refusal::plain(500, "InternalError", refusal.message))?;
    let timeout = match call.query.number("timeoutSeconds")? {
        None | Some(0) => WATCH_TIMEOUT,
        Some(seconds) => Duration::from_secs(seconds),
    };
    let wants_bookmarks = call.query.flag("allowWatchBookmarks");
    let streaming_list = call.query.flag("sendInitialEvents");
    call.check_version_match(true)?;
    if let Some(from) = from.filter(|from| *from > state.server.version()) {
        return Err(refusal::from_the_future(from, state.server.version()));
    }
    let mut latency = {
        let Latency { event, .. } = state.latency.clone();
        state.draw(&event)
    };
    if let Some(Fault::Latency(more)) = fault {
        latency += *more;
    }
    let resource = call.kind.key();
    let store = &mut state.server.store;
    let initial = streaming_list || matches!(from, None | Some(0));
    let (present, past): (Vec<Arc<Value>>, Result<Vec<Change>, _>) = if initial {
        let present = store
            .list(&resource, scope.namespace.as_deref())
            .filter(|(_, object)| scope.contains(object))
            .map(|(_, object)| Arc::clone(object))
            .collect();
        (present, Ok(Vec::new()))
    } else {
        (
            Vec::new(),
            store.changes_since(&resource, from.unwrap_or_default()),
        )
    };
    let version = store.version();
    let watchers = store.watchers(&resource);
    let receiver = watchers.add(client, scope, latency);
    for object in present {
        watchers.tell_newest("ADDED", object);
    }
    if streaming_list && wants_bookmarks {
        let end = json!({"k8s.io/initial-events-end": "true"});
        let end = bookmark(
            &call.kind.api_version(&call.version),
            &call.kind.kind,
            version,
            end,
        );
        watchers.tell_newest("BOOKMARK", Arc::new(end));
    }
    match past {
        Ok(changes) => {
            for change in changes {
                watchers.replay_to_newest(&change);
            }
        }
        // Once a version was parsed, the real server says no in the stream and not by HTTP code.
        Err(too_old) => watchers.refuse_newest(refusal::expired(format!(
            "too old resource version: {} ({})",
            from.unwrap_or_default(),
            too_old.oldest
        ))),
    }
    Ok(Answer::Watch(Started {
        receiver,
        timeout,
        bookmarks: wants_bookmarks,
    }))
}

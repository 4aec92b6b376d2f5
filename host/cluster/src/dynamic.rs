//! Kinds that are watched because somebody asked: router objects, referenced workloads, Jobs. The first read of a kind
//! starts its watch; what is kept is raw JSON, because only the plugin knows which fields matter.
//!
//! Never watched: Secrets (by name only, never handed to plugins) and Pods (too many; read directly).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Error;
use serde_json::Value;
use sluice_api as api;
use sluice_engine::keys;
use sluice_engine::object::ObjectKey;
use sluice_engine::read::{RawObject, Read, ReadOutcome, Select};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Key;
use crate::backoff::{Backoff, seed_for};
use crate::cluster::{Cluster, Shared, lock};
use crate::feed::{self, Sink, Source, Trouble};
use crate::item::Item;
use crate::kinds::{escape, segment};
use crate::selector;
use crate::store::{Change, Origin, Store, View};

/// More objects than this are not handed out by one read; a plugin that needs more asks with narrower labels. As many as
/// the plugin host lets a guest see.
const MOST_FOUND: usize = 500;
/// An annotation that holds a whole object, and by whose value nobody asks.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// A read waits this long for the first list of its kind.
const FIRST_LIST: Duration = Duration::from_secs(10);
/// A kind that was followed is believed to be gone when discovery has said so for this long: an API server that is starting
/// up says so of kinds that it will serve.
const DOUBT: Duration = Duration::from_secs(30);
/// A kind that nobody has asked for in this time may stop.
const IDLE: Duration = Duration::from_secs(600);
/// Kinds of which only some objects concern anybody here, by label (CTL-010).
const NARROWED: [(&str, &str, &str); 1] = [("batch/v1", "Job", keys::JOB_ANALYSIS_RUN_UID)];

/// The kinds that are watched on demand, by version and kind.
#[derive(Debug, Default)]
pub(crate) struct Dynamic(Mutex<BTreeMap<(String, String), Arc<Watched>>>);

#[derive(Debug)]
struct Watched {
    api_version: String,
    kind: String,
    objects: Store<Held>,
    state: watch::Sender<State>,
    asked: Mutex<Instant>,
    stop: CancellationToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The first list is not there yet.
    Starting,
    /// Followed.
    Ready,
    /// It cannot be had for now.
    Trouble(Trouble),
}

#[derive(Debug)]
struct Held {
    /// Only name, UID, version, labels and annotations.
    metadata: api::ObjectMeta,
    raw: Arc<RawObject>,
}

impl View for Held {
    fn metadata(&self) -> &api::ObjectMeta {
        &self.metadata
    }
}

impl Held {
    fn new(api_version: &str, kind: &str, mut body: Value) -> Result<Self, String> {
        let metadata = body.get_mut("metadata").and_then(Value::as_object_mut);
        let metadata = metadata.ok_or_else(|| "metadata: missing".to_owned())?;
        metadata.remove("managedFields");
        let text = |name: &str| {
            metadata
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let texts = |name: &str| -> BTreeMap<String, String> {
            let pairs = metadata.get(name).and_then(Value::as_object);
            pairs
                .into_iter()
                .flatten()
                .filter(|(name, _)| *name != LAST_APPLIED)
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect()
        };
        let metadata = api::ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            labels: texts("labels"),
            annotations: texts("annotations"),
            ..api::ObjectMeta::default()
        };
        // Items of a list of built-in kinds do not say what they are.
        if let Some(fields) = body.as_object_mut() {
            fields.insert("apiVersion".to_owned(), api_version.into());
            fields.insert("kind".to_owned(), kind.into());
        }
        let raw = Arc::new(RawObject {
            key: ObjectKey {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: Some(metadata.namespace.clone())
                    .filter(|namespace| !namespace.is_empty()),
                name: metadata.name.clone(),
            },
            resource_version: metadata.resource_version.clone(),
            body: body.to_string().into(),
        });
        Ok(Self { metadata, raw })
    }

    fn is_selected(&self, select: &Select) -> bool {
        match select {
            Select::Name(name) => self.metadata.name == *name,
            Select::Labels(labels) => selector::contains(&self.metadata.labels, labels),
            Select::Annotated { name, value } => self.metadata.annotations.get(name) == Some(value),
        }
    }
}

impl Dynamic {
    fn get(&self, api_version: &str, kind: &str) -> Option<Arc<Watched>> {
        lock(&self.0)
            .get(&(api_version.to_owned(), kind.to_owned()))
            .cloned()
    }

    /// Keeps what an own write has answered, if its kind is watched. Whether that is news.
    pub(crate) fn absorb(&self, target: &ObjectKey, body: &Value) -> bool {
        let Some(watched) = self.get(&target.api_version, &target.kind) else {
            return false;
        };
        match Held::new(&target.api_version, &target.kind, body.clone()) {
            Ok(held) => watched.objects.put(held, Origin::Own).is_some(),
            Err(_) => false,
        }
    }

    /// Removes what an own write has deleted. Whether that is news.
    pub(crate) fn absorb_deletion(&self, target: &ObjectKey, uid: &str) -> bool {
        let watched = self.get(&target.api_version, &target.kind);
        watched.is_some_and(|watched| {
            watched
                .objects
                .remove(&Key::from(target), uid, None)
                .is_some()
        })
    }

    /// The UID of an object of a watched kind.
    pub(crate) fn uid(&self, target: &ObjectKey) -> Option<String> {
        let watched = self.get(&target.api_version, &target.kind)?;
        Some(
            watched
                .objects
                .get(&Key::from(target))?
                .metadata
                .uid
                .clone(),
        )
    }
}

impl Trouble {
    /// The server's words.
    pub(crate) fn into_message(self) -> String {
        match self {
            Self::NotServed(message) | Self::Forbidden(message) | Self::Unavailable(message) => {
                message
            }
        }
    }

    fn outcome(self) -> ReadOutcome {
        match self {
            Self::NotServed(message) => ReadOutcome::NotServed(message),
            Self::Forbidden(message) => ReadOutcome::Forbidden(message),
            Self::Unavailable(message) => ReadOutcome::Unavailable(message),
        }
    }
}

impl Cluster {
    /// Reads objects of any kind but Secrets. The first read of a kind starts its watch and waits for the first list.
    pub async fn read(&self, read: Read) -> ReadOutcome {
        if let Some(refusal) = refusal(&read) {
            return refusal;
        }
        if !self.is_watchable(&read) {
            return self.read_directly(&read).await;
        }
        let watched = self.ensure_watched(&read.api_version, &read.kind);
        let mut state = watched.state.subscribe();
        // The guard that this yields must not live across the next await.
        let late = tokio::time::timeout(
            FIRST_LIST,
            state.wait_for(|state| *state != State::Starting),
        )
        .await
        .is_err();
        if late {
            return ReadOutcome::Unavailable(format!(
                "the list of {} {} is not there yet",
                read.api_version, read.kind
            ));
        }
        match answer(&watched, &read) {
            Some(outcome) if may_be_elsewhere(&read, &outcome) => self.read_directly(&read).await,
            Some(outcome) => outcome,
            None => ReadOutcome::Unavailable(format!(
                "{} {} is not known yet",
                read.api_version, read.kind
            )),
        }
    }

    /// The same from what is known already. None when only a read can tell: the object is not followed, or the first list
    /// of its kind is not there yet.
    pub fn peek(&self, read: &Read) -> Option<ReadOutcome> {
        if let Some(refusal) = refusal(read) {
            return Some(refusal);
        }
        if !self.is_watchable(read) {
            return None;
        }
        let watched = self.shared.dynamic.get(&read.api_version, &read.kind)?;
        *lock(&watched.asked) = Instant::now();
        answer(&watched, read).filter(|outcome| !may_be_elsewhere(read, outcome))
    }

    /// One value of a Secret; None where the Secret or the key does not exist.
    ///
    /// # Errors
    /// Which of the names cannot be one, or the server's message when the Secret cannot be read.
    pub async fn secret(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<Option<Vec<u8>>, String> {
        let failed = |why: String| format!("Secret {namespace}/{name}: {why}");
        // An empty name would ask for all Secrets of the namespace.
        let part = |field: &str, text: &str| {
            segment(text).map_err(|why| failed(format!("{field}: {why}")))
        };
        let path = format!(
            "/api/v1/namespaces/{}/secrets/{}",
            part("namespace", namespace)?,
            part("name", name)?
        );
        let found = self.get_object(path, name).await;
        let Some(body) = found.map_err(|trouble| failed(trouble.into_message()))? else {
            return Ok(None);
        };
        let secret: k8s_openapi::api::core::v1::Secret =
            serde_json::from_value(body).map_err(|error| failed(error.to_string()))?;
        Ok(secret
            .data
            .and_then(|mut data| data.remove(key))
            .map(|value| value.0))
    }

    /// Stops the watches of kinds that nobody needs: not in this set of version and kind, not wanted by a subject, and
    /// not asked for in the last ten minutes.
    pub fn release_idle_kinds(&self, in_use: &BTreeSet<(String, String)>) {
        let wanted = self.shared.looks.watched_kinds();
        lock(&self.shared.dynamic.0).retain(|name, watched| {
            let keep = in_use.contains(name)
                || wanted.contains(name)
                || lock(&watched.asked).elapsed() < IDLE;
            if !keep {
                watched.stop.cancel();
            }
            keep
        });
    }

    /// A GET outside of every watch.
    pub(crate) async fn get(&self, path: String) -> Result<Value, Trouble> {
        self.ask(path).await.map_err(|error| Trouble::of(&error))
    }

    /// The same for the object of this name, which has this path. None when the API server says that it does not exist.
    pub(crate) async fn get_object(
        &self,
        path: String,
        name: &str,
    ) -> Result<Option<Value>, Trouble> {
        match self.ask(path).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if feed::is_absent(&error, name) => Ok(None),
            Err(error) => Err(Trouble::of(&error)),
        }
    }

    async fn ask(&self, path: String) -> Result<Value, Error> {
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(Error::HttpError)?;
        self.shared.client.request(request).await
    }

    fn is_watchable(&self, read: &Read) -> bool {
        let pods = (read.api_version.as_str(), read.kind.as_str()) == ("v1", "Pod");
        // A namespaced controller may not even watch elsewhere; the API server says whether it may read.
        let elsewhere = match (&self.shared.settings.namespace, &read.namespace) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        };
        !pods && !elsewhere
    }

    async fn read_directly(&self, read: &Read) -> ReadOutcome {
        let served = match self
            .shared
            .discovery
            .find(&read.api_version, &read.kind)
            .await
        {
            Ok(served) => served,
            Err(trouble) => return trouble.outcome(),
        };
        let name = match &read.select {
            Select::Name(name) => Some(name.as_str()),
            Select::Labels(_) | Select::Annotated { .. } => None,
        };
        let path = match served.path(read.namespace.as_deref(), name) {
            Ok(path) => path,
            Err(message) => return ReadOutcome::Unavailable(message),
        };
        let found = match name {
            Some(name) => {
                let body = self.get_object(path, name).await;
                body.map(|body| selected(read, Vec::from_iter(body)))
            }
            None => self.list_selected(&path, read).await,
        };
        match found {
            Ok(found) => bounded(found),
            Err(trouble) => {
                let discovery = &self.shared.discovery;
                discovery.misplaced(&read.api_version, trouble).outcome()
            }
        }
    }

    /// The objects of a list that a read means, or the first of them that are too many. The API server selects by label; all
    /// others are told apart here, page by page.
    async fn list_selected(&self, path: &str, read: &Read) -> Result<Vec<Arc<RawObject>>, Trouble> {
        let mut query = format!("{path}?limit={MOST_FOUND}");
        if let Select::Labels(labels) = &read.select {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            query.push_str("&labelSelector=");
            query.push_str(&escape(&labels.join(",")));
        }
        let mut found = Vec::new();
        let mut page = query.clone();
        loop {
            let mut list = self.get(page).await?;
            found.extend(selected(read, items(&mut list)));
            let next = list.pointer("/metadata/continue").and_then(Value::as_str);
            match next.filter(|next| !next.is_empty() && found.len() <= MOST_FOUND) {
                Some(next) => page = format!("{query}&continue={}", escape(next)),
                None => return Ok(found),
            }
        }
    }

    fn ensure_watched(&self, api_version: &str, kind: &str) -> Arc<Watched> {
        let name = (api_version.to_owned(), kind.to_owned());
        let mut kinds = lock(&self.shared.dynamic.0);
        if let Some(watched) = kinds.get(&name) {
            *lock(&watched.asked) = Instant::now();
            return Arc::clone(watched);
        }
        let watched = Arc::new(Watched {
            api_version: name.0.clone(),
            kind: name.1.clone(),
            objects: Store::default(),
            state: watch::Sender::new(State::Starting),
            asked: Mutex::new(Instant::now()),
            stop: self.shared.stop.child_token(),
        });
        kinds.insert(name, Arc::clone(&watched));
        tokio::spawn(follow(Arc::clone(&self.shared), Arc::clone(&watched)));
        watched
    }
}

/// Finds out where the kind is served, for as long as it takes, and follows it; both anew when it has to be listed again.
async fn follow(shared: Arc<Shared>, watched: Arc<Watched>) {
    let name = format!("{}/{}", watched.api_version, watched.kind);
    let seed = seed_for(shared.settings.seed, &name);
    let mut backoff = Backoff::new(seed);
    let client = shared.client.clone();
    let stop = watched.stop.clone();
    let mut sink = DynamicSink {
        shared: Arc::clone(&shared),
        watched: Arc::clone(&watched),
        lost_since: None,
    };
    loop {
        let found = shared
            .discovery
            .find(&watched.api_version, &watched.kind)
            .await;
        match found {
            Ok(served) => {
                let source = Source {
                    labels: narrowing(&watched.api_version, &watched.kind).map(str::to_owned),
                    namespace: shared.settings.namespace.clone(),
                    page_size: shared.settings.page_size,
                    seed,
                    served,
                };
                let listed =
                    feed::list_and_watch(&client, &source, &mut sink, &mut backoff, &stop).await;
                if listed.is_break() {
                    return;
                }
            }
            Err(trouble) => {
                sink.not_found(trouble);
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(backoff.after_failure()) => {}
                }
            }
        }
    }
}

fn set_state(watched: &Watched, state: State) {
    watched.state.send_if_modified(|current| {
        let changed = *current != state;
        *current = state;
        changed
    });
}

struct DynamicSink {
    shared: Arc<Shared>,
    watched: Arc<Watched>,
    /// Since when discovery says that there is no such kind.
    lost_since: Option<Instant>,
}

impl DynamicSink {
    fn announce(&self, change: Option<Change<Held>>) {
        // Nobody can have read anything before the first list.
        if *self.watched.state.borrow() == State::Starting {
            return;
        }
        let Some(change) = change else { return };
        if let Some(held) = change.after.or(change.before) {
            self.shared.announce_object(&held.raw.key);
        }
    }

    /// Discovery does not find the kind.
    fn not_found(&mut self, trouble: Trouble) {
        let may_pass = match trouble {
            Trouble::NotServed(_) => {
                let since = self.lost_since.get_or_insert_with(Instant::now);
                since.elapsed() < DOUBT
            }
            Trouble::Forbidden(_) => false,
            Trouble::Unavailable(_) => {
                // It starts up afterwards.
                self.lost_since = None;
                true
            }
        };
        self.set_trouble(trouble, may_pass);
    }

    /// What was listed once stays the best that is known while the trouble may pass.
    fn set_trouble(&self, trouble: Trouble, may_pass: bool) {
        let ready = *self.watched.state.borrow() == State::Ready;
        if !(ready && may_pass) {
            set_state(&self.watched, State::Trouble(trouble));
        }
    }
}

impl Sink for DynamicSink {
    fn begin(&mut self) {
        self.watched.objects.begin_list();
    }

    fn put(&mut self, item: Item, listed: bool) {
        let key = item.key();
        let origin = if listed { Origin::List } else { Origin::Watch };
        let objects = &self.watched.objects;
        if objects.is_superseded(&key, item.uid(), item.version(), origin) {
            return;
        }
        match Held::new(&self.watched.api_version, &self.watched.kind, item.body) {
            Ok(held) => self.announce(self.watched.objects.put(held, origin)),
            Err(error) => {
                tracing::warn!(kind = self.watched.kind, object = %key, error, "skipped an object that cannot be read");
                self.shared.count_undecodable(&self.watched.kind, 1);
                self.watched.objects.seen(key);
            }
        }
    }

    fn delete(&mut self, item: Item) {
        let version = Some(item.version());
        let change = self
            .watched
            .objects
            .remove(&item.key(), item.uid(), version);
        self.announce(change);
    }

    fn complete(&mut self) -> Vec<Key> {
        let unseen = self.watched.objects.finish_list();
        self.lost_since = None;
        set_state(&self.watched, State::Ready);
        unseen
    }

    fn missing(&mut self, key: &Key, certain: bool) {
        let change = self.watched.objects.missing(key, certain);
        self.announce(change);
    }

    fn trouble(&mut self, trouble: Trouble) {
        let discovery = &self.shared.discovery;
        let trouble = discovery.misplaced(&self.watched.api_version, trouble);
        let may_pass = matches!(trouble, Trouble::Unavailable(_));
        self.set_trouble(trouble, may_pass);
    }
}

/// What nobody gets to read this way.
fn refusal(read: &Read) -> Option<ReadOutcome> {
    let secret = (read.api_version.as_str(), read.kind.as_str()) == ("v1", "Secret");
    secret.then(|| ReadOutcome::Forbidden("Secrets are not handed out".to_owned()))
}

fn answer(watched: &Watched, read: &Read) -> Option<ReadOutcome> {
    match &*watched.state.borrow() {
        State::Starting => return None,
        State::Trouble(trouble) => return Some(trouble.clone().outcome()),
        State::Ready => {}
    }
    let namespace = read.namespace.as_deref();
    let found = match (&read.select, namespace) {
        (Select::Name(name), Some(namespace)) => {
            // A plugin cannot know the scope of every kind: a cluster-scoped object is in no namespace.
            let object = watched.objects.get(&Key::new(namespace, name));
            let object = object.or_else(|| watched.objects.get(&Key::new("", name)));
            object.into_iter().collect()
        }
        (select, namespace) => {
            let mut objects = match namespace {
                Some(namespace) => watched.objects.in_namespace(namespace),
                None => watched.objects.all(),
            };
            objects.retain(|held| held.is_selected(select));
            objects
        }
    };
    Some(bounded(
        found.iter().map(|held| Arc::clone(&held.raw)).collect(),
    ))
}

/// Those that a read means.
fn selected(read: &Read, bodies: Vec<Value>) -> Vec<Arc<RawObject>> {
    bodies
        .into_iter()
        .filter_map(|body| Held::new(&read.api_version, &read.kind, body).ok())
        .filter(|held| held.is_selected(&read.select))
        .map(|held| held.raw)
        .collect()
}

/// Takes the objects out of a list.
fn items(list: &mut Value) -> Vec<Value> {
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        Some(_) | None => Vec::new(),
    }
}

fn bounded(found: Vec<Arc<RawObject>>) -> ReadOutcome {
    if found.len() > MOST_FOUND {
        ReadOutcome::TooMany(u32::try_from(found.len()).unwrap_or(u32::MAX))
    } else {
        ReadOutcome::Found(found)
    }
}

/// The label that the watch of a kind is narrowed by.
fn narrowing(api_version: &str, kind: &str) -> Option<&'static str> {
    let found = NARROWED
        .iter()
        .find(|(version, name, _)| *version == api_version && *name == kind);
    found.map(|(_, _, label)| *label)
}

/// Whether nothing was found because only some objects of the kind are followed.
fn may_be_elsewhere(read: &Read, outcome: &ReadOutcome) -> bool {
    let Some(label) = narrowing(&read.api_version, &read.kind) else {
        return false;
    };
    let followed = match &read.select {
        Select::Labels(labels) => labels.contains_key(label),
        Select::Name(_) | Select::Annotated { .. } => false,
    };
    !followed && matches!(outcome, ReadOutcome::Found(found) if found.is_empty())
}

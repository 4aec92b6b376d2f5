//! Who may write: one process at a time, by upstream's Lease (CTL-006 to CTL-008), so that this controller and Argo
//! Rollouts never act together.
//!
//! The rules are client-go's: a lease that another holder has not renewed within its duration, as measured by our own
//! clock, is free. Unlike upstream it is given back on stop, so that the next one starts at once, and nothing is sent
//! once it may be somebody else's (I11).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use kube::{Client, Error};
use serde_json::{Value, json};
use sluice_engine::plan::{WriteError, WriteErrorKind};
use sluice_engine::planted::{self, Bug};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::{Send, Writer};
use crate::backoff::{Random, seed_for};
use crate::cluster::lock;
use crate::kinds::Served;
use crate::requests::instrument;
use crate::{Clock, Settings};

/// Lets writes pass, or not. Clones share their state.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Mutex<Validity>>);

#[derive(Clone, Copy, Debug)]
enum Validity {
    /// Without leader election.
    Always,
    Never,
    /// While the lease is ours.
    Leased {
        /// Nothing begins after this.
        begin: Instant,
        /// Nothing lasts longer than this.
        end: Instant,
    },
}

/// The gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLeading;

impl std::fmt::Display for NotLeading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the lease is not ours: nothing was sent")
    }
}

impl std::error::Error for NotLeading {}

impl Gate {
    /// Open for ever: leader election is off.
    pub fn open() -> Self {
        Self(Arc::new(Mutex::new(Validity::Always)))
    }

    fn closed() -> Self {
        Self(Arc::new(Mutex::new(Validity::Never)))
    }

    /// How long a request that begins now may take; None without limit.
    ///
    /// # Errors
    /// When nothing may begin.
    pub fn pass(&self) -> Result<Option<Duration>, NotLeading> {
        match *lock(&self.0) {
            Validity::Always => Ok(None),
            Validity::Never => Err(NotLeading),
            Validity::Leased { begin, end } => {
                let now = Instant::now();
                if now < begin {
                    Ok(Some(end.duration_since(now)))
                } else {
                    Err(NotLeading)
                }
            }
        }
    }

    fn set(&self, validity: Validity) {
        *lock(&self.0) = validity;
    }
}

/// Which lease, and its times.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The controller's namespace (CTL-007).
    pub namespace: String,
    /// [`lease_name`]
    pub name: String,
    /// [`identity`]
    pub identity: String,
    /// Others wait so long after a renewal before they take over.
    pub duration: Duration,
    /// Without a renewal in this time, nothing is sent any more. Shorter than `duration`.
    pub renew_deadline: Duration,
    /// Pause between tries.
    pub retry_period: Duration,
}

impl LeaseSettings {
    /// Upstream's times: 15, 10 and 2 seconds (CTL-006).
    pub fn new(namespace: &str, instance_id: Option<&str>, identity: String) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: lease_name(instance_id),
            identity,
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// The name of the lease: upstream's (CTL-008).
pub fn lease_name(instance_id: Option<&str>) -> String {
    match instance_id.filter(|id| !id.is_empty()) {
        Some(id) => format!("argo-rollouts-controller-lock-{id}"),
        None => "argo-rollouts-controller-lock".to_owned(),
    }
}

/// `HOSTNAME_UNIQUE`, as upstream identifies a process (CTL-008). `unique` must differ in each process.
pub fn identity(hostname: &str, unique: &str) -> String {
    format!("{hostname}_{unique}")
}

/// How holding a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As told. The lease was given back if it was ours.
    Stopped,
    /// It could not be renewed, or somebody else has it. The process should end.
    Lost,
}

/// A lease that we hold or wait for.
pub struct Lease {
    client: Client,
    writer: Writer,
    clock: Clock,
    settings: LeaseSettings,
    random: Mutex<Random>,
    gate: Gate,
    leading: watch::Sender<bool>,
}

/// The lease as the API server showed it last.
#[derive(Clone, Debug)]
struct Record {
    body: Value,
    /// When we saw this version first: what its holder's renewal is measured from.
    seen: Instant,
}

impl Record {
    fn new(body: Value) -> Self {
        Self {
            body,
            seen: Instant::now(),
        }
    }

    fn holder(&self) -> &str {
        self.body
            .pointer("/spec/holderIdentity")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn version(&self) -> &str {
        self.body
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn transitions(&self) -> i64 {
        self.body
            .pointer("/spec/leaseTransitions")
            .and_then(Value::as_i64)
            .unwrap_or_default()
    }

    /// How long its holder's renewal keeps others off.
    fn duration(&self) -> Option<Duration> {
        let seconds = self
            .body
            .pointer("/spec/leaseDurationSeconds")
            .and_then(Value::as_u64)?;
        Some(Duration::from_secs(seconds))
    }
}

/// What a try has shown.
enum Tried {
    /// It is ours since before the request was sent.
    Ours(Record, Instant),
    /// It is somebody else's.
    Theirs(Record),
}

impl Lease {
    /// A lease that is not ours yet. `settings` are those of the cluster: field manager, clock, seed.
    pub fn new(client: Client, settings: &Settings, mut lease: LeaseSettings) -> Self {
        if planted::is(Bug::RenewDeadlineIgnored) {
            lease.renew_deadline = lease.duration;
        }
        let seed = seed_for(settings.seed, &lease.identity);
        let client = instrument(client, settings);
        Self {
            // The lease is what opens the gate, so it is written past the gate.
            writer: Writer::new(client.clone(), settings, Gate::open()),
            client,
            clock: settings.clock.clone(),
            settings: lease,
            random: Mutex::new(Random(seed)),
            gate: Gate::closed(),
            leading: watch::Sender::new(false),
        }
    }

    /// The gate that is open while the lease is ours.
    pub fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Whether the lease is ours, as far as was told; the gate knows exactly.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Waits for the lease, keeps it, and gives it back when told to stop.
    pub async fn hold(&self, stop: CancellationToken) -> Ended {
        let Some((record, sent)) = self.acquire(&stop).await else {
            return Ended::Stopped;
        };
        tracing::info!(
            lease = self.settings.name,
            identity = self.settings.identity,
            "the lease is ours"
        );
        self.extend(sent);
        self.leading.send_replace(true);
        let ended = self.keep(record, sent, &stop).await;
        self.gate.set(Validity::Never);
        self.leading.send_replace(false);
        match ended {
            Some(record) => {
                self.give_back(&record).await;
                Ended::Stopped
            }
            None => {
                tracing::error!(lease = self.settings.name, "the lease is lost");
                Ended::Lost
            }
        }
    }

    fn extend(&self, sent: Instant) {
        // Others count from a moment after this one, so they are never earlier.
        self.gate.set(Validity::Leased {
            begin: sent + self.settings.renew_deadline.min(self.settings.duration),
            end: sent + self.settings.duration,
        });
    }

    async fn acquire(&self, stop: &CancellationToken) -> Option<(Record, Instant)> {
        let mut known: Option<Record> = None;
        loop {
            let tried = tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                tried = self.try_acquire(known.as_ref(), self.settings.renew_deadline) => tried,
            };
            match tried {
                Ok(Tried::Ours(record, sent)) => return Some((record, sent)),
                Ok(Tried::Theirs(record)) => {
                    let same = known
                        .as_ref()
                        .is_some_and(|known| known.version() == record.version());
                    if !same {
                        tracing::debug!(
                            lease = self.settings.name,
                            holder = record.holder(),
                            "the lease is taken"
                        );
                        known = Some(record);
                    }
                }
                Err(error) => tracing::warn!(
                    lease = self.settings.name,
                    error = error.message,
                    "no lease yet"
                ),
            }
            let pause = lock(&self.random).stretch(self.settings.retry_period, 0.2);
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Renews until told to stop (the record then is still ours) or until the lease is lost (None).
    async fn keep(
        &self,
        mut record: Record,
        mut sent: Instant,
        stop: &CancellationToken,
    ) -> Option<Record> {
        let LeaseSettings {
            renew_deadline,
            retry_period,
            ..
        } = self.settings;
        // Early enough for three more tries.
        let interval = retry_period.max(renew_deadline / 3);
        let mut pause = interval;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Some(record),
                () = tokio::time::sleep(pause) => {}
            }
            let deadline = sent + renew_deadline;
            let left = deadline
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())?;
            match self.renew(&record, left).await {
                Ok(Tried::Ours(renewed, at)) => {
                    self.extend(at);
                    (record, sent, pause) = (renewed, at, interval);
                }
                Ok(Tried::Theirs(_)) if planted::is(Bug::LostLeaseKept) => {
                    self.extend(Instant::now());
                    (sent, pause) = (Instant::now(), interval);
                }
                Ok(Tried::Theirs(other)) => {
                    tracing::warn!(
                        lease = self.settings.name,
                        holder = other.holder(),
                        "somebody else has the lease"
                    );
                    return None;
                }
                Err(error) => {
                    tracing::warn!(
                        lease = self.settings.name,
                        error = error.message,
                        "the lease was not renewed"
                    );
                    pause = retry_period.min(deadline.saturating_duration_since(Instant::now()));
                }
            }
        }
    }

    async fn try_acquire(
        &self,
        known: Option<&Record>,
        limit: Duration,
    ) -> Result<Tried, WriteError> {
        let Some(body) = self.get(limit).await? else {
            return self.create(limit).await;
        };
        let current = match known {
            Some(known) if known.version() == Record::new(body.clone()).version() => known.clone(),
            _ => Record::new(body),
        };
        let holder = current.holder();
        let free = holder.is_empty() || holder == self.settings.identity;
        let expired = current.seen.elapsed() > current.duration().unwrap_or(self.settings.duration);
        if !free && !expired {
            return Ok(Tried::Theirs(current));
        }
        let transitions = current.transitions() + i64::from(holder != self.settings.identity);
        let body = self.claimed(&current.body, self.clock.now(), transitions);
        match self.put(&body, limit).await {
            // Somebody was faster; the next try shows who.
            Err(error) if error.kind == WriteErrorKind::Conflict => Ok(Tried::Theirs(current)),
            result => result,
        }
    }

    async fn renew(&self, record: &Record, limit: Duration) -> Result<Tried, WriteError> {
        let mut body = record.body.clone();
        set(&mut body, "renewTime", micro_time(self.clock.now()));
        let error = match self.put(&body, limit).await {
            Ok(tried) => return Ok(tried),
            Err(error) => error,
        };
        if !matches!(
            error.kind,
            WriteErrorKind::Conflict | WriteErrorKind::NotFound
        ) {
            return Err(error);
        }
        // A renewal whose answer was lost conflicts with itself; a lease that somebody deleted is made anew.
        let Some(body) = self.get(limit).await? else {
            return self.create(limit).await;
        };
        let current = Record::new(body);
        if current.holder() != self.settings.identity {
            return Ok(Tried::Theirs(current));
        }
        let mut body = current.body;
        set(&mut body, "renewTime", micro_time(self.clock.now()));
        self.put(&body, limit).await
    }

    async fn give_back(&self, record: &Record) {
        let mut body = record.body.clone();
        let now = micro_time(self.clock.now());
        set(&mut body, "holderIdentity", "".into());
        // As client-go releases: a duration of zero is not valid.
        set(&mut body, "leaseDurationSeconds", 1.into());
        set(&mut body, "acquireTime", now.clone());
        set(&mut body, "renewTime", now);
        match self.put(&body, self.settings.retry_period).await {
            Ok(_) => tracing::info!(lease = self.settings.name, "the lease is given back"),
            Err(error) => tracing::warn!(
                lease = self.settings.name,
                error = error.message,
                "the lease runs out by itself"
            ),
        }
    }

    /// The lease as ours, from this moment on.
    fn claimed(&self, current: &Value, now: Timestamp, transitions: i64) -> Value {
        let mut body = current.clone();
        set(
            &mut body,
            "holderIdentity",
            self.settings.identity.as_str().into(),
        );
        set(
            &mut body,
            "leaseDurationSeconds",
            self.settings.duration.as_secs().into(),
        );
        set(&mut body, "acquireTime", micro_time(now));
        set(&mut body, "renewTime", micro_time(now));
        set(&mut body, "leaseTransitions", transitions.into());
        body
    }

    async fn get(&self, limit: Duration) -> Result<Option<Value>, WriteError> {
        let unavailable = |message: String| WriteError::new(WriteErrorKind::Unavailable, message);
        let path = served()
            .path(Some(&self.settings.namespace), Some(&self.settings.name))
            .map_err(unavailable)?;
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|error| unavailable(error.to_string()))?;
        match tokio::time::timeout(limit, self.client.request::<Value>(request)).await {
            Ok(Ok(body)) => Ok(Some(body)),
            Ok(Err(Error::Api(status))) if status.code == 404 => Ok(None),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable("no answer from the API server".to_owned())),
        }
    }

    async fn create(&self, limit: Duration) -> Result<Tried, WriteError> {
        let empty = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.settings.name, "namespace": self.settings.namespace },
            "spec": {},
        });
        let body = self.claimed(&empty, self.clock.now(), 0);
        self.send(Method::POST, None, &body, limit).await
    }

    async fn put(&self, body: &Value, limit: Duration) -> Result<Tried, WriteError> {
        self.send(Method::PUT, Some(&self.settings.name), body, limit)
            .await
    }

    async fn send(
        &self,
        method: Method,
        name: Option<&str>,
        body: &Value,
        limit: Duration,
    ) -> Result<Tried, WriteError> {
        let sent = Instant::now();
        let served = served();
        let send = self.writer.send(Send {
            served: &served,
            method,
            namespace: Some(&self.settings.namespace),
            name,
            subresource: None,
            content_type: "application/json",
            body,
            dry_run: false,
        });
        match tokio::time::timeout(limit, send).await {
            Ok(answer) => Ok(Tried::Ours(Record::new(answer?), sent)),
            Err(_) => Err(WriteError::new(
                WriteErrorKind::Unavailable,
                "no answer from the API server",
            )),
        }
    }
}

fn served() -> Served {
    Served::new("coordination.k8s.io/v1", "Lease", "leases", true)
}

/// Sets a field of the specification; whatever else is there stays.
fn set(body: &mut Value, field: &str, value: Value) {
    let Some(fields) = body.as_object_mut() else {
        return;
    };
    let spec = fields.entry("spec").or_insert_with(|| json!({}));
    if let Some(spec) = spec.as_object_mut() {
        spec.insert(field.to_owned(), value);
    }
}

/// `metav1.MicroTime`
fn micro_time(at: Timestamp) -> Value {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into()
}

//! The handle that the controller holds: loading, jobs, and their notifications.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use sluice_engine::hash::CallKey;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plugin::{Job, PluginCall, PluginInfo, PluginName, Slot};
use tokio::sync::mpsc;

use crate::body::SubjectBody;
use crate::cache::Cache;
use crate::clock::{Clock, SystemClock};
use crate::compile::{Compiler, InProcess};
use crate::fault::Fault;
use crate::http::{AwsIdentity, Client, HttpPort};
use crate::jobs::{Launch, Table};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::metrics::{Metrics, Recorder};
use crate::mishap::Mishaps;
use crate::pass::{self, Outcome};
use crate::plugin::{Loader, Plugin};
use crate::ports::Reads;
use crate::question::{Question, Seen};
use crate::sandbox::Sandbox;
use crate::shared::{Reach, Registry, Shared};

/// Files that are compiled at the same time. Each compiler uses what it can of all cores, but not all the time.
const PREPARED_AT_ONCE: usize = 2;
/// How long reading a file may take. A local disk needs a fraction of it; a stalled mount must not hold up other plugins.
const READ_TIME: Duration = Duration::from_secs(10);

/// What a plugin host is made of.
pub struct Settings {
    /// What each plugin may use.
    pub limits: Limits,
    /// The clock of guests and jobs.
    pub clock: Arc<dyn Clock>,
    /// The way out for requests.
    pub http: HttpPort,
    /// Who the controller is to AWS, for plugins that were granted its signature.
    pub aws: AwsIdentity,
    /// The way to objects.
    pub reads: Arc<dyn Reads>,
    /// What compiles components.
    pub compiler: Arc<dyn Compiler>,
    /// Where compiled components are kept between starts; a directory of our own.
    pub cache_dir: Option<PathBuf>,
    /// Flags (without dashes) and environment variables, by name, from which plugins' settings are taken; never from
    /// those with credentials for AWS.
    pub setting_values: BTreeMap<String, String>,
    /// Whether a thread interrupts guests that compute. Without it, for runs that must repeat exactly, processor time has
    /// no limit.
    pub ticker: bool,
    /// What goes wrong with calls, in rehearsals.
    pub mishaps: Option<Mishaps>,
    /// Where guests run; none for a sandbox of its own, with these limits and this ticker.
    pub sandbox: Option<Arc<Sandbox>>,
}

impl Settings {
    /// The defaults around these two ports: in-process compilation, no cache, no settings.
    pub fn new(http: HttpPort, reads: Arc<dyn Reads>) -> Self {
        Self {
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            http,
            aws: AwsIdentity::default(),
            reads,
            compiler: Arc::new(InProcess),
            cache_dir: None,
            setting_values: BTreeMap::new(),
            ticker: true,
            mishaps: None,
            sandbox: None,
        }
    }
}

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the plugin sandbox cannot be set up: {0}")]
pub struct StartError(String);

impl StartError {
    pub(crate) fn of(error: wasmtime::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// A component that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin} {reason}")]
pub struct LoadError {
    /// Where it came from.
    pub origin: String,
    /// Why not: the rest of a sentence that begins with the origin.
    pub reason: String,
    /// Whether the same component may be taken another time.
    pub again: bool,
}

/// A component that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedPlugin {
    /// Where it came from.
    pub origin: String,
    /// `sha256:` of the component.
    pub digest: String,
    /// What it says about itself.
    pub manifest: Arc<Manifest>,
}

/// Runs plugins; cheap to clone. Jobs end when the last handle is dropped.
#[derive(Clone)]
pub struct PluginHost {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    table: Mutex<Table>,
    finished: Mutex<Option<mpsc::UnboundedSender<Subject>>>,
    compiler: Arc<dyn Compiler>,
    cache: Option<Cache>,
    setting_values: BTreeMap<String, String>,
    /// No job begins any more. Read and written while the table is held.
    closed: AtomicBool,
}

impl PluginHost {
    /// Sets up the sandbox.
    ///
    /// # Errors
    /// The engine does not work on this machine. A cache that cannot be used is only logged.
    pub fn new(settings: Settings) -> Result<Self, StartError> {
        let limits = Arc::new(settings.limits);
        let sandbox = match settings.sandbox {
            Some(sandbox) => sandbox,
            None => Sandbox::new(Arc::clone(&limits), settings.ticker)
                .map(Arc::new)
                .map_err(StartError::of)?,
        };
        let mut setting_values = settings.setting_values;
        setting_values.retain(|name, _| !AwsIdentity::keeps(name));
        let cache = settings.cache_dir.and_then(|directory| match Cache::open(&directory) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "compiled plugins are not kept");
                None
            }
        });
        let shared = Shared {
            limits,
            sandbox,
            clock: settings.clock,
            reads: settings.reads,
            client: Arc::new(Client::new(settings.http, settings.aws)),
            metrics: Recorder::default(),
            mishaps: settings.mishaps,
            registry: RwLock::default(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                shared: Arc::new(shared),
                table: Mutex::default(),
                finished: Mutex::new(None),
                compiler: settings.compiler,
                cache,
                setting_values,
                closed: AtomicBool::new(false),
            }),
        })
    }

    /// Loads every `*.wasm` file of a directory, in the order of their names. A broken file affects no other.
    ///
    /// A directory that cannot be read is one error.
    pub async fn load_directory(&self, directory: &Path) -> Vec<Result<LoadedPlugin, LoadError>> {
        let files = match wasm_files(directory).await {
            Ok(files) => files,
            Err(error) => {
                return vec![Err(LoadError {
                    origin: directory.display().to_string(),
                    reason: format!("cannot be read: {error}"),
                    again: false,
                })];
            }
        };
        let mut prepared = stream::iter(files)
            .map(|file| async move { self.inner.prepare_file(&file).await })
            .buffered(PREPARED_AT_ONCE);
        let mut loaded = Vec::new();
        // Taken in the order of the names: where two files carry one name, the first has it.
        while let Some(plugin) = prepared.next().await {
            loaded.push(plugin.and_then(|plugin| self.inner.add(plugin)));
        }
        loaded
    }

    /// Loads one file, as [`Self::load_directory`] does.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn load_file(&self, file: &Path) -> Result<LoadedPlugin, LoadError> {
        let plugin = self.inner.prepare_file(file).await?;
        self.inner.add(plugin)
    }

    /// Loads a component. It takes the place of what came from the same origin; calls under way keep what they have.
    ///
    /// # Errors
    /// Why it is not taken; what came from the same origin before stays.
    pub async fn load(&self, origin: &str, bytes: Vec<u8>) -> Result<LoadedPlugin, LoadError> {
        let plugin = self.inner.prepare(origin, bytes).await?;
        self.inner.add(plugin)
    }

    /// Every loaded plugin under its name and each alias.
    pub fn registry(&self) -> Arc<BTreeMap<PluginName, PluginInfo>> {
        let registry: std::sync::RwLockReadGuard<'_, Registry> = self
            .inner
            .shared
            .registry
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        registry.infos()
    }

    /// The kinds of objects that each router may change.
    pub fn reaches(&self) -> Vec<Reach> {
        let registry = &self.inner.shared.registry;
        let registry = registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.reaches()
    }

    /// Starts a job for a call, or keeps the one that works on it or has answered it on unchanged facts. Where a job with
    /// another key is at work in its slot, the call waits for its end, in place of any other that waits.
    ///
    /// Must be called on a tokio runtime.
    pub fn start(&self, call: &PluginCall, body: SubjectBody) {
        let now = self.inner.shared.clock.now();
        let mut table = self.inner.table();
        if self.inner.closed.load(Ordering::Relaxed) {
            return;
        }
        let launch = table.take(call, body, now, |question, seen| {
            self.inner.unchanged(question, seen)
        });
        if let Some(launch) = launch {
            Inner::launch(&self.inner, &mut table, launch);
        }
    }

    /// Cancels the subject's jobs whose slots are in none of these calls. Answers stay until they are settled.
    pub fn retain(&self, subject: &Subject, calls: &[&PluginCall]) {
        let tasks = self.inner.table().retain(subject, calls);
        tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }

    /// The subject's jobs, each with whether what it read is unchanged.
    pub fn jobs(&self, subject: &Subject) -> Vec<Job> {
        let table = self.inner.table();
        table.jobs(subject, |question, seen| {
            self.inner.unchanged(question, seen)
        })
    }

    /// Forgets an answer that the status has now.
    pub fn settled(&self, subject: &Subject, slot: &Slot, key: &CallKey) {
        self.inner.table().settled(subject, slot, key);
    }

    /// Notes that an answer's notices and failures have been told.
    pub fn reported(&self, subject: &Subject, slot: &Slot, key: &CallKey) {
        self.inner.table().reported(subject, slot, key);
    }

    /// Keeps, for the plugin's next call, which changes of its last answer were not applied and why.
    pub fn failed_changes(&self, subject: &Subject, slot: &Slot, failed: Vec<(ObjectKey, String)>) {
        self.inner.table().failed_changes(subject, slot, failed);
    }

    /// Forgets a subject that is gone, and cancels its jobs.
    pub fn forget(&self, subject: &Subject) {
        let tasks = self.inner.table().forget(subject);
        tasks.iter().for_each(tokio::task::AbortHandle::abort);
        self.inner.shared.forget(subject);
    }

    /// Cancels every job, and begins none any more: guests make requests, and whoever does not lead must not (I11).
    pub fn close(&self) {
        let tasks = {
            let mut table = self.inner.table();
            self.inner.closed.store(true, Ordering::Relaxed);
            table.clear()
        };
        tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }

    /// The subjects of which a plugin has read this object, or waits for it.
    pub fn affected_by(&self, object: &ObjectKey) -> Vec<Subject> {
        self.inner.table().affected_by(object)
    }

    /// Version and kind of the objects that some answer depends on: whoever reports changes must follow these.
    pub fn kinds_in_use(&self) -> BTreeSet<(String, String)> {
        self.inner.table().kinds()
    }

    /// Subjects of which a job has ended. There is one receiver: the one that was made last.
    pub fn finished(&self) -> mpsc::UnboundedReceiver<Subject> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self
            .inner
            .finished
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Counts of calls and requests so far.
    pub fn metrics(&self) -> Metrics {
        self.inner.shared.metrics.snapshot()
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost")
            .field("plugins", &self.registry().keys())
            .finish()
    }
}

impl Inner {
    /// Makes a plugin of a file's component. Only regular files are read: a pipe would be waited for without end.
    async fn prepare_file(&self, file: &Path) -> Result<Plugin, LoadError> {
        let origin = file.display().to_string();
        let failed = |reason: String, again: bool| LoadError {
            origin: origin.clone(),
            reason,
            again,
        };
        let reading = async {
            if tokio::fs::metadata(file).await?.is_file() {
                tokio::fs::read(file).await.map(Some)
            } else {
                Ok(None)
            }
        };
        let bytes = match tokio::time::timeout(READ_TIME, reading).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return Err(failed("is not a regular file".to_owned(), false)),
            Ok(Err(error)) => return Err(failed(format!("cannot be read: {error}"), true)),
            // Not again: each attempt holds a thread for as long as the mount stalls.
            Err(_) => {
                let within = READ_TIME.as_secs();
                return Err(failed(format!("cannot be read within {within} s"), false));
            }
        };
        self.prepare(&origin, bytes).await
    }

    /// Makes a plugin of a component; nobody can call it yet.
    async fn prepare(&self, origin: &str, bytes: Vec<u8>) -> Result<Plugin, LoadError> {
        let loader = Loader {
            sandbox: &self.shared.sandbox,
            compiler: self.compiler.as_ref(),
            cache: self.cache.as_ref(),
            limits: &self.shared.limits,
            settings: &self.setting_values,
        };
        loader
            .load(origin, bytes)
            .await
            .map_err(|unusable| LoadError {
                origin: origin.to_owned(),
                reason: unusable.reason,
                again: unusable.again,
            })
    }

    fn add(&self, plugin: Plugin) -> Result<LoadedPlugin, LoadError> {
        let loaded = LoadedPlugin {
            origin: plugin.origin.clone(),
            digest: plugin.digest.clone(),
            manifest: Arc::clone(&plugin.manifest),
        };
        let registry = &self.shared.registry;
        let mut registry = registry.write().unwrap_or_else(PoisonError::into_inner);
        match registry.add(plugin) {
            Ok(()) => Ok(loaded),
            Err(reason) => Err(LoadError {
                origin: loaded.origin,
                reason,
                again: false,
            }),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer that nobody can tell about counts as unchanged.
    fn unchanged(&self, question: &Question, seen: &Seen) -> bool {
        question
            .peek(&self.shared.reads, &self.shared.limits)
            .is_none_or(|now| now == *seen)
    }

    fn launch(this: &Arc<Self>, table: &mut Table, launch: Launch) {
        let Launch {
            id,
            call,
            body,
            memory,
        } = launch;
        let (subject, slot) = (call.subject.clone(), call.slot.clone());
        let inner = Arc::downgrade(this);
        let shared = Arc::clone(&this.shared);
        let task = tokio::spawn(async move {
            // Made when the task begins: a runtime that is going away drops it before, here, where the table is locked.
            let end = End {
                inner,
                subject: call.subject.clone(),
                slot: call.slot.clone(),
                id,
                outcome: None,
            };
            end.with(pass::run(shared, call, body, memory).await);
        });
        table.works(&subject, &slot, id, task.abort_handle());
    }

    fn finish(this: &Arc<Self>, subject: Subject, slot: &Slot, id: u64, outcome: Outcome) {
        let now = this.shared.clock.now();
        let mut table = this.table();
        let Some(next) = table.finish(&subject, slot, id, outcome, now) else {
            return;
        };
        match next {
            // Its end is what counts.
            Some(launch) => Self::launch(this, &mut table, launch),
            None => {
                drop(table);
                let finished = this.finished.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = finished.as_ref() {
                    // Nobody listens any more when the controller stops.
                    let _ = sender.send(subject);
                }
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let tasks = self
            .table
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// Ends a job whatever becomes of its task: even one that panicked must not look as if it were at work for ever.
struct End {
    inner: Weak<Inner>,
    subject: Subject,
    slot: Slot,
    id: u64,
    outcome: Option<Outcome>,
}

impl End {
    fn with(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else {
            return;
        };
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Fault::unavailable("the job ended without an outcome").into());
        Inner::finish(&inner, self.subject.clone(), &self.slot, self.id, outcome);
    }
}

async fn wasm_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

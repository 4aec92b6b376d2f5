//! Takes what has changed, works on it, and keeps time.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, Stream, StreamExt as _};
use jiff::Timestamp;
use sluice_cluster::{Changed, Key, SubjectKind};
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plan::{Event, Requeue, Severity, WriteError, WriteErrorKind};
use sluice_engine::planted::{self, Bug};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::reconcile::Passed;
use crate::{Controller, Item};

/// Told of every pass, in rehearsals: of which kind and object, and whether it begins or is over. Passes over one object
/// come one after the other.
pub type PassListener = Arc<dyn Fn(&'static str, &Key, Turn) + Send + Sync>;

/// Where a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing has been read yet.
    Begins,
    /// Nothing more is written.
    Ends,
}

/// How often it is looked at what nobody needs any more: kinds that are watched, which may stop after ten minutes without
/// a reader, and figures of objects that are gone.
const TIDYING: Duration = Duration::from_secs(60);
/// Changes that may wait between the cluster and the queue; the cluster folds what does not fit.
const CHANGES: usize = 256;
/// How long all passes wait for plugins to be loaded. Those of an installation are there after a few seconds, and whoever
/// uses them is then spared a pass that only waits; one bad file must not hold up an abort for longer than a pod takes.
const PLUGINS_AWAITED: Duration = Duration::from_secs(20);

impl Controller {
    /// Watches the cluster and works on what changes, until told to stop. Passes that have begun are finished.
    ///
    /// `loaded` tells that the plugins have been loaded, and then of each that is loaded later; its end tells the same as
    /// its first item. Until then a plugin that nobody provides is waited for by whoever needs it, and by nobody else (I7).
    pub async fn run(self: Arc<Self>, loaded: impl Stream<Item = ()>, stop: CancellationToken) {
        let (changed, changes) = mpsc::channel(CHANGES);
        // The last pass has events to record, so the cluster ends after it.
        let idle = CancellationToken::new();
        let watching = self.cluster.run(changed, idle.clone());
        let working = async {
            self.work(changes, loaded, &stop).await;
            idle.cancel();
        };
        tokio::join!(watching, working);
    }

    async fn work(
        &self,
        mut changes: mpsc::Receiver<Changed>,
        loaded: impl Stream<Item = ()>,
        stop: &CancellationToken,
    ) {
        let mut finished = self.plugins.finished();
        let mut passes = FuturesUnordered::new();
        let mut loaded = pin!(loaded.fuse());
        // Work begins when everything has been seen once: a set that is not there yet would be created again.
        let synced = self.cluster.wait_synced();
        let patience = tokio::time::sleep(PLUGINS_AWAITED);
        tokio::pin!(synced, patience);
        let mut is_synced = false;
        let mut is_patient = true;
        let mut is_ready = planted::is(Bug::SyncNotAwaited);
        let mut tidying = tokio::time::interval(TIDYING);
        tidying.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            is_ready |= is_synced && !(is_patient && self.loading.load(Ordering::Acquire));
            let has_room = is_ready && passes.len() < self.workers;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = &mut synced, if !is_synced => {
                    is_synced = true;
                    tracing::info!("every list has been read");
                }
                news = loaded.next(), if !loaded.is_done() => {
                    let was_loading = self.loading.swap(false, Ordering::AcqRel);
                    if was_loading {
                        tracing::info!("plugins have been loaded");
                    }
                    if was_loading || news.is_some() {
                        self.queue.add(Item::Leftovers);
                    }
                    // Nobody else is told of a plugin that appears.
                    if is_ready && (was_loading || news.is_some()) {
                        self.look_again();
                    }
                }
                () = &mut patience, if is_patient => {
                    is_patient = false;
                    if self.loading.load(Ordering::Acquire) {
                        tracing::warn!("plugins are still being loaded: only what needs them waits any longer");
                    }
                }
                Some(change) = changes.recv() => self.take(change),
                Some(subject) = finished.recv() => {
                    if !planted::is(Bug::JobEndUnheard) {
                        self.enqueue(&subject);
                    }
                }
                Some(()) = passes.next(), if !passes.is_empty() => {}
                item = self.queue.next(), if has_room => passes.push(self.pass(item)),
                _ = tidying.tick() => {
                    self.cluster.release_idle_kinds(&self.plugins.kinds_in_use());
                    self.metrics.sweep();
                }
            }
        }
        self.plugins.close();
        while passes.next().await.is_some() {}
    }

    /// Looks at everything that may use a plugin.
    fn look_again(&self) {
        for rollout in self.cluster.rollouts() {
            let about = &rollout.metadata;
            self.queue.add(Item::Rollout(Key::of(about)));
        }
        for run in self.cluster.analysis_runs() {
            let about = &run.metadata;
            self.queue.add(Item::AnalysisRun(Key::of(about)));
        }
        for key in self.leftovers.departed() {
            self.queue.add(Item::Departed(key));
        }
    }

    fn take(&self, change: Changed) {
        match change {
            Changed::Rollout(key) => self.queue.add(Item::Rollout(key)),
            Changed::AnalysisRun(key) => self.queue.add(Item::AnalysisRun(key)),
            Changed::Service(key) => self.queue.add(Item::Service(key)),
            // Experiments are not worked on by this version.
            Changed::Experiment(_) => {}
            Changed::Object(object) => {
                for subject in self.plugins.affected_by(&object) {
                    self.enqueue(&subject);
                }
            }
            Changed::Deleted { kind, key, uid } => {
                tracing::debug!(%key, "deleted");
                let kind = match kind {
                    SubjectKind::Rollout => "Rollout",
                    SubjectKind::AnalysisRun => "AnalysisRun",
                    SubjectKind::Experiment => "Experiment",
                };
                let subject = Subject {
                    key: ObjectKey::namespaced(
                        "argoproj.io/v1alpha1",
                        kind,
                        &key.namespace,
                        &key.name,
                    ),
                    uid,
                };
                self.metrics.gone(kind, &key);
                if kind == "Rollout" {
                    self.publish(&subject, vec![deleted(&subject, &key)], &[]);
                }
                self.plugins.forget(&subject);
                if kind == "Rollout" {
                    self.depart(key, &subject.uid);
                }
            }
        }
    }

    fn enqueue(&self, subject: &Subject) {
        let key = Key::from(&subject.key);
        match subject.key.kind.as_str() {
            "Rollout" if self.leftovers.is_departed(subject) => {
                self.queue.add(Item::Departed(key));
            }
            "Rollout" => self.queue.add(Item::Rollout(key)),
            "AnalysisRun" => self.queue.add(Item::AnalysisRun(key)),
            _ => {}
        }
    }

    /// One pass over one object, and when to come back to it.
    async fn pass(&self, item: Item) {
        let began = Instant::now();
        let nowhere = Key::default();
        let (kind, key) = match &item {
            Item::Rollout(key) => ("Rollout", key),
            Item::AnalysisRun(key) => ("AnalysisRun", key),
            Item::Service(key) => ("Service", key),
            Item::Departed(key) => ("deleted Rollout", key),
            Item::Leftovers => ("leftovers", &nowhere),
        };
        self.tell(kind, key, Turn::Begins);
        let pass = async {
            match &item {
                Item::Rollout(key) => self.pass_rollout(key).await,
                Item::AnalysisRun(key) => self.pass_run(key).await,
                Item::Service(key) => self.pass_service(key).await,
                Item::Departed(key) => self.pass_departed(key).await,
                Item::Leftovers => self.search().await,
            }
        };
        // A mistake of ours about one object must not end the work on all others (I7). What a pass changes outside of
        // itself is behind locks that are held across no decision, so nothing half-done is left.
        let passed = AssertUnwindSafe(pass).catch_unwind().await;
        let passed = passed.unwrap_or_else(|panic| {
            tracing::error!(kind, %key, panic = words(panic.as_ref()), "Recovered from Panic");
            let error = WriteError::new(WriteErrorKind::Unavailable, "the pass panicked");
            Passed::Failed(error, Requeue::OnChange)
        });
        self.tell(kind, key, Turn::Ends);
        self.metrics.pass(kind, key, began.elapsed(), &passed);
        match passed {
            Passed::Look(requeue) => self.queue.done(&item, self.due(requeue)),
            Passed::Again => self.queue.done(&item, Some(Instant::now())),
            Passed::Fetched => self.queue.again(&item),
            Passed::Failed(error, requeue) => {
                match error.kind {
                    WriteErrorKind::Conflict | WriteErrorKind::NotLeading => {
                        tracing::debug!(kind, %key, error = error.message, "pass is repeated");
                    }
                    _ => tracing::warn!(kind, %key, error = error.message, "pass failed"),
                }
                if planted::is(Bug::FailureNotRepeated) {
                    self.queue.done(&item, None);
                } else {
                    let pause = error.retry_after.unwrap_or_default();
                    self.queue.failed(&item, pause, self.due(requeue));
                }
            }
        }
    }

    fn tell(&self, kind: &'static str, key: &Key, turn: Turn) {
        if let Some(listener) = &self.listener {
            listener(kind, key, turn);
        }
    }

    /// When somebody wants to be asked again.
    fn due(&self, requeue: Requeue) -> Option<Instant> {
        match requeue {
            Requeue::OnChange => None,
            Requeue::At(_) if planted::is(Bug::RequeueForgotten) => None,
            Requeue::At(time) => Some(self.instant(time)),
        }
    }

    /// A time of the decision clock on the runtime's clock.
    fn instant(&self, time: Timestamp) -> Instant {
        let wait = time.duration_since(self.clock.now());
        let wait = Duration::try_from(wait).unwrap_or(Duration::ZERO);
        // A year is as good as never, and no overflow.
        Instant::now() + wait.min(Duration::from_secs(366 * 24 * 3600))
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

/// Name first: upstream's text (EVT-022).
fn deleted(about: &Subject, key: &Key) -> Event {
    Event {
        about: about.clone(),
        severity: Severity::Normal,
        reason: "RolloutDeleted".to_owned(),
        message: format!("Rollout {}/{} is deleted.", key.name, key.namespace),
    }
}

//! Plays a history: a simulated cluster, real controllers with real plugins, and a court that hears of every request.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use jiff::SignedDuration;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_plugin_host::{Limits, Sandbox};
use sluice_simulation::{Deed, RuleId, Simulation, Snapshot, Workloads};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::acts::{Repair, kind_of};
use super::backend::{Backend, Misbehaving};
use super::controllers::{Ended, Given, PREFIX, Place};
use super::court::{Court, Violation, is_endless};
use super::ending;
use super::guests::{self, Witness};
use super::history::{History, Mood};
use super::panics;
use super::passes::Passes;
use super::scene::{self, NAME, NAMESPACE};
use super::told::{Told, Volume};
use crate::story::Moment;

/// How often the world is looked at, in virtual time.
const GLANCE: Duration = Duration::from_millis(250);
/// The same once nothing goes wrong any more.
const CALM_GLANCE: Duration = Duration::from_secs(1);
/// Nothing waits longer than that in a calm world: waits of the scenes, of retries, and of leases.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(75);
/// More requests than any history needs.
const REQUESTS: u64 = 20_000;
/// How long a history may take to come to rest once nothing goes wrong any more, in virtual time. The longest that is in
/// order takes less than 1,000 s: 310 until a watch that carries nothing is noticed, 120 for a plugin that rests, 250 for
/// five steps of six pods one after the other, 50 for as many evictions, 60 to the progress deadline and 60 for the delays
/// after it, 20 for the analysis after a switch, and the longest wait at the end. Twice that.
const PATIENCE: Duration = Duration::from_secs(2000);

/// The world of one history.
pub(super) struct World<'a> {
    pub history: &'a History,
    pub simulation: Simulation,
    pub backend: Backend,
    pub misbehaving: Misbehaving,
    pub given: Given,
    pub places: Vec<Place>,
    pub court: Court,
    pub told: Told,
    began: Instant,
    glance: Duration,
    deeds: UnboundedReceiver<Deed>,
    guests: UnboundedReceiver<guests::Done>,
    shown: Moment,
    /// Rules that go out of force by themselves.
    pub rules: Vec<(Instant, RuleId)>,
    /// What comes back by itself.
    pub repairs: Vec<(Instant, Repair)>,
}

/// Plays a history and tells what came of it.
pub(super) async fn play(history: &History, plugins: &Path, volume: Volume) -> Result<Told> {
    panics::listen();
    let mut world = World::new(history, plugins, volume)?;
    world.live().await?;
    Ok(world.end())
}

impl<'a> World<'a> {
    fn new(history: &'a History, plugins: &Path, volume: Volume) -> Result<Self> {
        let start = "2026-01-01T00:00:00Z".parse()?;
        let simulation = Simulation::builder()
            .seed(history.seed)
            .start(start)
            .log(100)
            .latency(history.scene.network.latency())
            .snapshot(installed()?)
            .build();
        let deeds = simulation.witness();
        simulation.start_workloads(Workloads::default());
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        let scene = &history.scene;
        let neighbour = scene.neighbour.then(scene::neighbour);
        for object in std::iter::once(namespace)
            .chain(scene.objects.iter().cloned())
            .chain(std::iter::once(scene.rollout.clone()))
            .chain(neighbour)
        {
            simulation
                .create(object)
                .map_err(|refusal| anyhow!("failed to create the scene: {refusal}"))?;
        }
        let backend = Backend::new(simulation.clone());
        let misbehaving = Misbehaving::default();
        let (witness, guests) = Witness::new(simulation.clone());
        let letters: &[char] = if scene.leased == Some(2) {
            &['a', 'b']
        } else {
            &['a']
        };
        Ok(Self {
            history,
            given: Given {
                simulation: simulation.clone(),
                plugins: Arc::from(plugins),
                backend: backend.clone(),
                mishaps: misbehaving.mishaps(),
                witness,
                passes: Passes::new(simulation.clone()),
                sandbox: sandbox()?,
                seed: history.seed,
                leased: scene.leased.is_some(),
            },
            court: Court::new(start, scene),
            told: Told::new(volume),
            places: letters.iter().map(|letter| Place::new(*letter)).collect(),
            began: Instant::now(),
            glance: GLANCE,
            simulation,
            backend,
            misbehaving,
            deeds,
            guests,
            shown: Moment::default(),
            rules: Vec::new(),
            repairs: Vec::new(),
        })
    }

    async fn live(&mut self) -> Result<()> {
        self.tend().await;
        for event in &self.history.events {
            self.pass_until(self.began + event.at).await;
            if self.court.is_decided() {
                return Ok(());
            }
            self.tell(&format!("> {}", event.what));
            self.perform(&event.what).await;
        }
        // What was broken is mended, and nothing more goes wrong.
        self.pass_until(Instant::now() + Duration::from_secs(2))
            .await;
        self.calm().await;
        if self.court.is_decided() {
            return Ok(());
        }
        let rests = self.rest().await;
        if self.court.is_decided() {
            return Ok(());
        }
        for violation in ending::check(&self.simulation, self.history, &self.court) {
            self.court.accuse(violation);
        }
        // Of pods that crash for ever a deadline may still be to come.
        if rests {
            self.nothing_is_left().await?;
        }
        Ok(())
    }

    /// Every fault ends.
    async fn calm(&mut self) {
        self.tell("> nothing goes wrong any more");
        self.simulation.faults().clear();
        self.rules.clear();
        self.misbehaving.clear();
        self.backend.set(Mood::Answers);
        let repairs = std::mem::take(&mut self.repairs);
        for (_, repair) in repairs {
            self.mend(repair);
        }
        self.glance = CALM_GLANCE;
    }

    /// Waits until nothing more comes by itself, promoting what only waits for somebody. Whether that time has come.
    async fn rest(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        let mut moved = self.simulation.now();
        loop {
            let wrote = self.pass_until(Instant::now() + CALM_GLANCE).await;
            let now = self.simulation.now();
            if wrote {
                moved = now;
            }
            if self.court.is_decided() {
                return false;
            }
            // Whoever cannot see what is true may have something to do once he can.
            if now.duration_since(moved.max(self.court.seeing_from())) > LONGEST_WAIT {
                return true;
            }
            let quiet = now.duration_since(moved) > SignedDuration::from_secs(5);
            if quiet && self.waits_for_somebody() && self.finishes() {
                self.tell("> promote");
                self.promote();
                moved = now;
            }
            if Instant::now() > end {
                // Pods that crash for ever come back for ever.
                if self.somebody_crashes() {
                    return false;
                }
                let moment = Moment::of(&self.simulation, NAMESPACE, NAME);
                self.court.accuse(Violation::new(
                    self.since(),
                    "convergence",
                    format!("objects are still being written: {}", moment.line()),
                ));
            }
        }
    }

    /// Two of three histories are brought to their end; the others stay paused.
    fn finishes(&self) -> bool {
        !self.history.seed.is_multiple_of(3)
    }

    fn waits_for_somebody(&self) -> bool {
        let Some(rollout) = &self.court.mirror.rollout else {
            return false;
        };
        let spec_paused = rollout.pointer("/spec/paused") == Some(&json!(true));
        rollout.pointer("/status/phase") == Some(&json!("Paused")) && !spec_paused
    }

    fn somebody_crashes(&self) -> bool {
        let sets = self
            .simulation
            .list(&kind_of("ReplicaSet"), Some(NAMESPACE));
        sets.iter().any(|set| {
            set.pointer("/spec/template/metadata/annotations/simulation.sluice.dev~1crash-after")
                .is_some()
        })
    }

    /// Once nothing moves any more, a fresh controller finds nothing to write.
    async fn nothing_is_left(&mut self) -> Result<()> {
        for index in 0..self.places.len() {
            if let Some(place) = self.places.get_mut(index)
                && let Some(Ended::Badly(why)) = place.stop().await
            {
                let violation = Violation::new(self.since(), "orderly end", why);
                self.court.accuse(violation);
            }
        }
        self.hear();
        self.tell("> a fresh controller");
        self.court.expect_no_writes();
        self.places.truncate(1);
        self.pass_until(Instant::now() + Duration::from_secs(30))
            .await;
        Ok(())
    }

    /// Lets time pass. Whether anything but leases and events was written.
    pub async fn pass_until(&mut self, end: Instant) -> bool {
        let mut wrote = false;
        loop {
            self.tend().await;
            let now = Instant::now();
            let faults = self.simulation.faults();
            self.rules.retain(|(until, rule)| {
                let over = *until <= now;
                if over {
                    faults.remove(*rule);
                }
                !over
            });
            let due: Vec<Repair> = self
                .repairs
                .extract_if(.., |(at, _)| *at <= now)
                .map(|(_, repair)| repair)
                .collect();
            for repair in due {
                self.mend(repair);
            }
            wrote |= self.hear();
            if now >= end || self.court.is_decided() {
                return wrote;
            }
            tokio::time::sleep(self.glance.min(end - now)).await;
        }
    }

    async fn tend(&mut self) {
        for index in 0..self.places.len() {
            let Some(place) = self.places.get_mut(index) else {
                continue;
            };
            let ended = place.tend(&self.given).await;
            match ended {
                Some(Ended::Well(what)) => {
                    self.tell(&format!("  {what}"));
                    // Until somebody has the lease and has seen everything.
                    self.court
                        .disturbed(self.simulation.now(), Duration::from_secs(30));
                }
                Some(Ended::Badly(why)) => {
                    let violation = Violation::new(self.since(), "orderly end", why);
                    self.court.accuse(violation);
                }
                None => {}
            }
        }
    }

    /// The court hears of everything that happened meanwhile.
    fn hear(&mut self) -> bool {
        for (at, law, text) in self.given.passes.findings() {
            let at = self.court.since(at);
            self.court.accuse(Violation::new(at, law, text));
        }
        let mut wrote = false;
        let mut calls = Vec::new();
        let mut guests: VecDeque<guests::Done> =
            std::iter::from_fn(|| self.guests.try_recv().ok()).collect();
        while let Ok(deed) = self.deeds.try_recv() {
            // A request of a guest needs the lease as it was then. The cause of a call may be told after it: an event can be
            // faster than the answer to its write.
            while let Some(done) = guests.pop_front_if(|done| done.at <= deed.request.at) {
                match done.what {
                    guests::What::Asked => self.court.hear_guest(&done),
                    guests::What::Entered(..) => calls.push(done),
                }
            }
            self.told.hash(&deed);
            let silent = ["leases", "events", "endpointslices"];
            let counts = deed.changes.iter().any(|change| {
                let goes_on = change.plural == "analysisruns"
                    && change.after.as_deref().is_some_and(is_endless);
                !silent.contains(&change.plural.as_str()) && !goes_on
            });
            wrote |= counts;
            if self.told.wants_requests()
                && (counts || deed.request.is_write())
                && deed.request.client.starts_with(PREFIX)
            {
                let line = format!(
                    "      {} {} {} -> {}",
                    deed.request.client,
                    deed.request.verb,
                    deed.request.path.split('?').next().unwrap_or_default(),
                    deed.request.outcome
                );
                let at = self.court.since(deed.request.at);
                self.told.line_at(at, &line);
            }
            self.court.hear(&deed);
            if self.told.requests == REQUESTS {
                self.court.accuse(Violation::new(
                    self.court.since(deed.request.at),
                    "requests without end",
                    format!("the last of {REQUESTS}: {}", deed.request),
                ));
            }
        }
        for done in calls.into_iter().chain(guests) {
            self.court.hear_guest(&done);
        }
        if wrote && self.told.wants_story() {
            let moment = Moment::of(&self.simulation, NAMESPACE, NAME);
            if moment != self.shown {
                self.tell(&moment.line());
                self.shown = moment;
            }
        }
        wrote
    }

    /// Virtual time since the beginning.
    pub fn since(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn tell(&mut self, line: &str) {
        let since = self.since();
        self.told.line_at(since, line);
    }

    /// The Rollout as it is now.
    pub fn rollout(&self) -> Option<Value> {
        self.simulation.get(&rollout_kind(), NAMESPACE, NAME)
    }

    fn end(mut self) -> Told {
        if let Some(panic) = panics::heard().into_iter().next() {
            let violation = Violation::new(self.since(), "I2 a panic", panic);
            self.court.accuse(violation);
        }
        self.told.simulated = self.since();
        self.told.violations = self.court.verdict();
        self.told.queries = self.backend.queries();
        self.told
    }
}

/// The kind that all is about.
pub(super) fn rollout_kind() -> GroupVersionKind {
    GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout")
}

/// A cluster in which the kinds of the project and of the router are installed. Made once: every history begins there.
fn installed() -> Result<Snapshot> {
    static ISTIO: &str = include_str!("../../../host/cli/data/istio-crds.yaml");
    static MADE: OnceLock<Snapshot> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made.clone());
    }
    let istio: Vec<Value> = serde_saphyr::from_multiple(ISTIO).context("failed to read YAML")?;
    let istio = istio.into_iter().filter(|document| !document.is_null());
    // No history has this seed, so nothing that it names is named twice.
    let simulation = Simulation::builder().seed(u64::MAX).build();
    for definition in sluice_api::crds().into_iter().chain(istio) {
        simulation
            .register(definition)
            .map_err(|refusal| anyhow!("failed to register a kind: {refusal}"))?;
    }
    Ok(MADE.get_or_init(|| simulation.snapshot()).clone())
}

/// One sandbox for all histories of a thread: those of other threads must not be waited for.
fn sandbox() -> Result<Arc<Sandbox>> {
    thread_local! {
        static MADE: RefCell<Option<Arc<Sandbox>>> = const { RefCell::new(None) };
    }
    MADE.with_borrow_mut(|made| match made {
        Some(sandbox) => Ok(Arc::clone(sandbox)),
        None => {
            let sandbox = Sandbox::shared(Limits::default(), false)?;
            Ok(Arc::clone(made.insert(sandbox)))
        }
    })
}

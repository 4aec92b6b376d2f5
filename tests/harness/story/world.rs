//! Plays a script: a simulated cluster, the controller with the real plugins, a metrics backend, a hand-moved clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_cluster::Clock;
use sluice_controller::process::{self, Surroundings};
use sluice_plugin_host::{AwsIdentity, HttpPort};
use sluice_simulation::measurements::{Measurements, Mood};
use sluice_simulation::{
    Changed, Deed, Fault, LoggedRequest, Match, Rule, Simulation, Verb, Workloads, documents,
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plugins::{Directory, Workshop};
use super::script::{Command, Condition, Line, Script};
use super::transcript::{self, Moment};

const NAMESPACE: &str = "story";
const CONTROLLER: &str = "controller";
const SEED: u64 = 42;
/// How often the world is looked at, in virtual time; what moves traffic is seen at once.
const GLANCE: Duration = Duration::from_millis(250);
/// How long `until` waits, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Without a visible change for so long, nothing more comes by itself.
const QUIET: Duration = Duration::from_secs(90);

/// The world of one story.
pub struct World {
    simulation: Simulation,
    deeds: UnboundedReceiver<Deed>,
    measurements: Measurements,
    plugins: PathBuf,
    /// In place of the above once a story has plugins of its own.
    own_plugins: Option<Directory>,
    workshop: Workshop,
    manifests: PathBuf,
    began: Instant,
    rollout: String,
    shown: Moment,
    /// Events that the transcript has, by their resourceVersion.
    reported: BTreeMap<(String, i64), ()>,
    /// Reasons recorded since the last command.
    recent: Vec<String>,
    transcript: String,
    /// Those that the simulation's log does not have any more.
    requests: Vec<LoggedRequest>,
    controller: Option<(CancellationToken, JoinHandle<Result<(), process::Error>>)>,
}

/// Tells a story from beginning to end.
pub(super) async fn tell(
    script: &Script,
    manifests: &Path,
    plugins: &Path,
    workshop: Workshop,
) -> Result<Told> {
    let mut world = World::new(manifests, plugins, workshop)?;
    world.start_controller();
    for line in &script.lines {
        match line {
            Line::Text(text) => writeln!(world.transcript, "{text}")?,
            Line::Command(text, command) => {
                writeln!(world.transcript, "> {text}")?;
                world
                    .perform(command)
                    .await
                    .with_context(|| format!("at `{text}`; so far:\n{}", world.transcript))?;
            }
        }
    }
    world.nothing_is_left().await?;
    world.requests.extend(world.simulation.request_log());
    Ok(Told {
        transcript: world.transcript,
        requests: world.requests.iter().map(ToString::to_string).collect(),
    })
}

/// Whether a change is one of Services, of routes, or of the size of a set.
fn moves_traffic(change: &Changed) -> bool {
    let size = |object: &Option<Arc<Value>>| {
        let object = object.as_ref()?;
        object.pointer("/spec/replicas").cloned()
    };
    match change.plural.as_str() {
        "services" | "virtualservices" | "destinationrules" => true,
        "replicasets" => size(&change.before) != size(&change.after),
        _ => false,
    }
}

/// What came of a story.
#[derive(Debug)]
pub struct Told {
    /// What a user would have seen.
    pub transcript: String,
    /// Every request of everybody, in order.
    pub requests: Vec<String>,
}

impl World {
    fn new(manifests: &Path, plugins: &Path, workshop: Workshop) -> Result<Self> {
        let start = "2026-01-01T00:00:00Z".parse()?;
        let simulation = Simulation::builder().seed(SEED).start(start).build();
        simulation.start_workloads(Workloads::default());
        let istio = std::fs::read_to_string(crate::istio_definitions())
            .context("failed to read the definitions of Istio")?;
        for definition in sluice_api::crds().into_iter().chain(documents(&istio)?) {
            simulation
                .register(definition)
                .map_err(|refusal| anyhow!("failed to register a kind: {refusal}"))?;
        }
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        create(&simulation, namespace)?;
        Ok(Self {
            measurements: Measurements::new(simulation.clone()),
            deeds: simulation.witness(),
            simulation,
            plugins: plugins.to_owned(),
            own_plugins: None,
            workshop,
            manifests: manifests.to_owned(),
            began: Instant::now(),
            rollout: String::new(),
            shown: Moment::default(),
            reported: BTreeMap::new(),
            recent: Vec::new(),
            transcript: String::new(),
            requests: Vec::new(),
            controller: None,
        })
    }

    fn start_controller(&mut self) {
        let stop = CancellationToken::new();
        let clock = {
            let simulation = self.simulation.clone();
            Clock::new(move || simulation.now())
        };
        let surroundings = Surroundings {
            // As in production: without the retries of kube's default client.
            client: kube::Client::new(self.simulation.service(CONTROLLER), "default"),
            clock,
            http: HttpPort::new(self.measurements.clone()),
            aws: AwsIdentity::default(),
            // A child process takes real time, which a paused clock does not see.
            compiler: Arc::new(crate::CompileOnce),
            // Where a guest computes for ever, only real time ends it; virtual time stands still meanwhile.
            interrupt_guests: self
                .own_plugins
                .as_ref()
                .is_some_and(|plugins| plugins.computes),
            sandbox: None,
            mishaps: None,
            listener: None,
            seed: SEED,
        };
        let settings = sluice_controller::Settings {
            plugin_dir: Some(match &self.own_plugins {
                Some(plugins) => plugins.path(),
                None => self.plugins.clone(),
            }),
            leader_elect: false,
            ..sluice_controller::Settings::embedded(NAMESPACE, "story")
        };
        let task = tokio::spawn(process::run(settings, surroundings, stop.clone()));
        self.controller = Some((stop, task));
    }

    async fn stop_controller(&mut self) -> Result<()> {
        if let Some((stop, task)) = self.controller.take() {
            stop.cancel();
            task.await.context("the controller panicked")??;
        }
        Ok(())
    }

    async fn perform(&mut self, command: &Command) -> Result<()> {
        if !matches!(command, Command::Until(_) | Command::Expect(_)) {
            self.recent.clear();
        }
        match command {
            Command::Apply(file) => self.apply(file)?,
            Command::Delete(kind, name) => {
                self.simulation
                    .delete(&self.kind(kind)?, NAMESPACE, name)
                    .map_err(|refusal| anyhow!("{refusal}"))?;
            }
            Command::Release(image, annotations) => self.release(image, annotations)?,
            Command::Set(path, value) => {
                let patch = path
                    .rsplit('.')
                    .fold(value.clone(), |inner, field| json!({ field: inner }));
                self.patch(json!({ "spec": patch }))?;
            }
            Command::Scale(count) => self.patch(json!({ "spec": { "replicas": count } }))?,
            Command::Promote => self.promote()?,
            Command::PromoteFull => self.patch_status(json!({ "promoteFull": true }))?,
            Command::Skip => {
                let next = self.shown.step.saturating_add(1);
                self.patch_status(json!({ "currentStepIndex": next }))?;
            }
            Command::SkipAll => {
                self.patch_status(json!({ "currentStepIndex": self.shown.steps }))?;
            }
            Command::Pause => self.patch(json!({ "spec": { "paused": true } }))?,
            Command::RestartPods => {
                let now = sluice_api::Time(self.simulation.now()).truncated();
                self.patch(json!({ "spec": { "restartAt": now } }))?;
            }
            Command::Abort => self.patch_status(json!({ "abort": true }))?,
            Command::Retry => self.patch_status(json!({ "abort": false }))?,
            Command::Undo => self.undo()?,
            Command::EditSet(revision, patch) => {
                let name = name_of(&self.set(*revision)?);
                self.simulation
                    .patch_merge(&set_kind(), NAMESPACE, &name, patch.clone())
                    .map_err(|refusal| anyhow!("{refusal}"))?;
            }
            Command::DeleteSet(revision) => {
                let name = name_of(&self.set(*revision)?);
                self.simulation
                    .delete(&set_kind(), NAMESPACE, &name)
                    .map_err(|refusal| anyhow!("{refusal}"))?;
            }
            Command::Metrics(mood) => self.measurements.set(match mood.as_str() {
                "answer" => Mood::Answers,
                "fail" => Mood::Fails,
                "hang" => Mood::Hangs,
                other => bail!("metrics cannot `{other}`"),
            }),
            Command::FailWrites(resource, name) => {
                let which = Match::any().writes().resource(resource);
                self.fail(match name {
                    Some(name) => which.name(name),
                    None => which,
                });
            }
            Command::FailLists(resource) => {
                self.fail(Match::any().verbs([Verb::List]).resource(resource));
            }
            Command::Heal => self.simulation.faults().clear(),
            Command::Wait(duration) => self.pass_time(*duration).await,
            Command::Until(condition) => self.until(condition).await?,
            Command::Expect(condition) => {
                self.look();
                if !self.holds(condition) {
                    bail!("expected {condition:?}, but: {}", self.shown.line());
                }
            }
            Command::Plugin(name) => {
                let component = (self.workshop)(name)?;
                self.own_plugins()?.put(&component)?;
                self.restart().await;
            }
            Command::NoPlugin(file) => {
                self.own_plugins()?.remove(file)?;
                self.restart().await;
            }
            Command::Rollout(name) => self.rollout.clone_from(name),
            Command::Restart => self.restart().await,
            Command::Stop => self.kill().await,
        }
        self.look();
        Ok(())
    }

    fn own_plugins(&mut self) -> Result<&mut Directory> {
        let own = match self.own_plugins.take() {
            Some(own) => own,
            None => Directory::like(&self.plugins)?,
        };
        Ok(self.own_plugins.insert(own))
    }

    async fn restart(&mut self) {
        self.kill().await;
        self.start_controller();
    }

    /// From now on the API server refuses such requests of the controller.
    fn fail(&self, which: Match) {
        let rule = Rule::new(which.client(CONTROLLER), Fault::Status(500));
        self.simulation.faults().add(rule);
    }

    /// Killed, not stopped: what it has in flight is lost.
    async fn kill(&mut self) {
        if let Some((_, task)) = self.controller.take() {
            task.abort();
            let _ = task.await;
        }
    }

    async fn until(&mut self, condition: &Condition) -> Result<()> {
        let began = Instant::now();
        loop {
            self.look();
            if self.holds(condition) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("never saw {condition:?}; now: {}", self.shown.line());
            }
            self.alive()?;
            self.glance(Instant::now() + GLANCE).await;
        }
    }

    async fn pass_time(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.look();
            self.glance(end.min(Instant::now() + GLANCE)).await;
        }
    }

    /// Lets time pass until then. What moves traffic is never told together with what came after it: its order is what
    /// stories are about.
    async fn glance(&mut self, end: Instant) {
        while let Ok(Some(deed)) = tokio::time::timeout_at(end, self.deeds.recv()).await {
            if deed.changes.iter().any(moves_traffic) {
                self.look();
            }
        }
    }

    /// Once nothing moves any more, a fresh controller finds nothing to write.
    async fn nothing_is_left(&mut self) -> Result<()> {
        self.pass_time(QUIET).await;
        self.stop_controller().await?;
        self.requests.extend(self.simulation.request_log());
        self.simulation.clear_request_log();
        self.start_controller();
        tokio::time::sleep(QUIET).await;
        self.alive()?;
        let writes: Vec<String> = self
            .simulation
            .request_log()
            .iter()
            .filter(|request| request.client == CONTROLLER && request.is_write())
            .map(ToString::to_string)
            .collect();
        self.stop_controller().await?;
        if !writes.is_empty() {
            bail!(
                "a fresh controller should find nothing to do, but wrote:\n{}\n{}",
                writes.join("\n"),
                self.transcript
            );
        }
        Ok(())
    }

    fn alive(&self) -> Result<()> {
        match &self.controller {
            Some((_, task)) if task.is_finished() => bail!("the controller has ended"),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds what is new to the transcript. Returns whether anything was.
    fn look(&mut self) -> bool {
        let mut changed = false;
        let since = self.began.elapsed();
        let stamp = format!(
            "{:02}:{:05.2}",
            since.as_secs() / 60,
            (since.as_millis() % 60_000) as f64 / 1000.0
        );
        for (_, count, reason, line) in transcript::events(&self.simulation, NAMESPACE) {
            if self.reported.insert((line.clone(), count), ()).is_none() {
                let again = if count > 1 {
                    format!(" (x{count})")
                } else {
                    String::new()
                };
                let _ = writeln!(self.transcript, "{stamp}      {line}{again}");
                self.recent.push(reason);
                changed = true;
            }
        }
        let moment = Moment::of(&self.simulation, NAMESPACE, &self.rollout);
        if moment != self.shown {
            let _ = writeln!(self.transcript, "{stamp}  {}", moment.line());
            self.shown = moment;
            changed = true;
        }
        changed
    }

    fn holds(&self, condition: &Condition) -> bool {
        let now = &self.shown;
        match condition {
            Condition::Phase(name) => now.phase == *name,
            Condition::Message(text) => now.message.contains(text),
            Condition::Step(number) => now.step == *number,
            Condition::Weight(number) => now.weight == Some(*number),
            Condition::Event(reason) => self.recent.contains(reason),
            Condition::Stable(revision) => now.stable == *revision,
            Condition::Gone(revision) => {
                !now.sets.iter().any(|(present, _, _)| present == revision)
            }
            Condition::Watched(resource) => self.watches(resource) > 0,
            Condition::Unwatched(resource) => self.watches(resource) == 0,
            Condition::Subset(subset, revision) => {
                let wanted = revision.map_or("all".to_owned(), |revision| format!("r{revision}"));
                now.subsets
                    .iter()
                    .any(|(name, selected)| name == subset && *selected == wanted)
            }
            Condition::Pods(revision, pods) => now.sets.iter().any(|(present, ready, wanted)| {
                present == revision && *pods == format!("{ready}/{wanted}")
            }),
            Condition::Selects(service, revision) => now
                .services
                .iter()
                .any(|(name, selected)| name == service && *selected == format!("r{revision}")),
        }
    }

    /// How many watches of the controller are open on a resource.
    fn watches(&self, resource: &str) -> usize {
        let which = Match::any().client(CONTROLLER).resource(resource);
        self.simulation.faults().live_watches(&which)
    }

    fn apply(&mut self, file: &str) -> Result<()> {
        let path = self.manifests.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        for mut object in documents(&text)? {
            json_patch::merge(
                &mut object,
                &json!({ "metadata": { "namespace": NAMESPACE } }),
            );
            if object.pointer("/kind") == Some(&json!("Rollout")) {
                self.rollout = object
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
            }
            create(&self.simulation, object).with_context(|| format!("in {file}"))?;
        }
        Ok(())
    }

    fn kind(&self, name: &str) -> Result<GroupVersionKind> {
        Ok(match name {
            "service" => GroupVersionKind::gvk("", "v1", "Service"),
            "replicaset" => set_kind(),
            "virtualservice" => transcript::virtual_service(),
            "rollout" => rollout_kind(),
            "poddisruptionbudget" => GroupVersionKind::gvk("policy", "v1", "PodDisruptionBudget"),
            other => bail!("no kind `{other}` in stories"),
        })
    }

    fn release(&self, image: &str, annotations: &[(String, String)]) -> Result<()> {
        // A template as a user would write it: what it does not say is gone.
        let rollout = self
            .simulation
            .get(&rollout_kind(), NAMESPACE, &self.rollout);
        let before = rollout
            .as_ref()
            .and_then(|rollout| rollout.pointer("/spec/template/metadata/annotations"))
            .and_then(Value::as_object);
        let mut annotations: BTreeMap<_, _> = annotations
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        for name in before.into_iter().flat_map(|before| before.keys()) {
            annotations.entry(name.clone()).or_insert(Value::Null);
        }
        self.patch(json!({ "spec": { "template": {
            "metadata": { "annotations": annotations },
            "spec": { "containers": [{ "name": "app", "image": image }] },
        } } }))
    }

    /// As `kubectl argo rollouts promote` writes it (CLI-005).
    fn promote(&self) -> Result<()> {
        let rollout = self
            .simulation
            .get(&rollout_kind(), NAMESPACE, &self.rollout)
            .context("there is no Rollout")?;
        let paused = rollout
            .pointer("/status/pauseConditions")
            .and_then(Value::as_array)
            .is_some_and(|pauses| !pauses.is_empty());
        if rollout.pointer("/spec/paused") == Some(&json!(true)) {
            self.patch(json!({ "spec": { "paused": false } }))?;
        }
        if paused {
            return self.patch_status(json!({ "pauseConditions": null }));
        }
        let index = rollout
            .pointer("/status/currentStepIndex")
            .and_then(Value::as_i64)
            .unwrap_or(0);
        self.patch_status(json!({ "pauseConditions": null, "currentStepIndex": index + 1 }))
    }

    /// As `kubectl argo rollouts undo` writes it (CLI-009): the template of the second newest set, without the hash label.
    fn undo(&self) -> Result<()> {
        let rollout = self
            .simulation
            .get(&rollout_kind(), NAMESPACE, &self.rollout)
            .context("there is no Rollout")?;
        let set = self.set(revision_of(&rollout) - 1)?;
        let mut template = set.pointer("/spec/template").cloned().unwrap_or_default();
        if let Some(labels) = template
            .pointer_mut("/metadata/labels")
            .and_then(Value::as_object_mut)
        {
            labels.remove("rollouts-pod-template-hash");
        }
        let mut rollout = rollout;
        *rollout
            .pointer_mut("/spec/template")
            .context("the Rollout has no template")? = template;
        self.simulation
            .update(rollout)
            .map_err(|refusal| anyhow!("{refusal}"))?;
        Ok(())
    }

    /// The ReplicaSet of a revision.
    fn set(&self, revision: i64) -> Result<Value> {
        let mut sets = self.simulation.list(&set_kind(), Some(NAMESPACE));
        sets.retain(|set| revision_of(set) == revision);
        sets.pop()
            .with_context(|| format!("no set of revision {revision}"))
    }

    fn patch(&self, patch: Value) -> Result<()> {
        self.simulation
            .patch_merge(&rollout_kind(), NAMESPACE, &self.rollout, patch)
            .map_err(|refusal| anyhow!("{refusal}"))?;
        Ok(())
    }

    fn patch_status(&self, status: Value) -> Result<()> {
        self.simulation
            .patch_status(
                &rollout_kind(),
                NAMESPACE,
                &self.rollout,
                json!({ "status": status }),
            )
            .map_err(|refusal| anyhow!("{refusal}"))?;
        Ok(())
    }
}

fn rollout_kind() -> GroupVersionKind {
    GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout")
}

fn set_kind() -> GroupVersionKind {
    GroupVersionKind::gvk("apps", "v1", "ReplicaSet")
}

fn name_of(object: &Value) -> String {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

fn revision_of(object: &Value) -> i64 {
    object
        .pointer("/metadata/annotations/rollout.argoproj.io~1revision")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn create(simulation: &Simulation, object: Value) -> Result<()> {
    simulation
        .create(object)
        .map_err(|refusal| anyhow!("refused: {refusal}"))?;
    Ok(())
}

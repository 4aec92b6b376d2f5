//! What the engine says to plugins and what it hears: calls, jobs, replies.
//!
//! The engine never enters a guest. A `PluginCall` in a plan starts or keeps a job; the job's reply is a fact of a
//! later pass. The plugin host converts these types to and from WIT and checks grants before a reply becomes a fact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::CallKey;
use crate::object::Subject;
use crate::plan::{Severity, Write};
use crate::planted::{self, Bug};

/// The kinds of plugin, named as the WIT interfaces that they export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginKind {
    /// Splits traffic.
    TrafficRouter,
    /// Takes measurements.
    MetricProvider,
    /// A canary step.
    Step,
    /// Knows whether endpoints have reached a load balancer.
    EndpointVerifier,
}

/// How a specification refers to a plugin: the key in `trafficRouting`, in `provider`, or a plugin's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PluginName {
    /// Which interface is wanted.
    pub kind: PluginKind,
    /// The name in the specification.
    pub name: String,
}

/// What the engine may know of a loaded plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// Digest of the component; part of every call's key.
    pub digest: String,
    /// The name to show.
    pub display_name: String,
    /// Declared capabilities, as in the manifest.
    pub capabilities: BTreeSet<String>,
    /// Top-level keys of the Rollout's status that this plugin may fill.
    pub status_keys: BTreeSet<String>,
}

/// Where a job lives: one at a time per subject and slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Slot {
    /// Which plugin.
    pub plugin: PluginName,
    /// Which function.
    pub function: Function,
    /// What within the subject: the metric's name, the step's index; empty where there is only one.
    pub part: String,
}

/// The functions of the WIT interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Function {
    /// `traffic-router.check`
    Check,
    /// `traffic-router.reconcile`
    Reconcile,
    /// `metric-provider.measure`
    Measure,
    /// `step.execute`
    Execute,
    /// `endpoint-verifier.verify`
    Verify,
}

/// A call to a plugin. Equal calls have equal keys, and a reply answers only the call with its key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PluginCall {
    /// On whose behalf.
    pub subject: Subject,
    /// Where the job lives.
    pub slot: Slot,
    /// Digest of the component that is to answer.
    pub digest: String,
    /// The plugin's block of the specification, arguments substituted. Secrets are placeholders.
    pub config: Value,
    /// What is asked.
    pub ask: Ask,
    /// Tells the second measurement, execution or recheck from the first.
    pub due: u64,
    /// Placeholders in `config` that stand for secret values; only the host resolves them, only in outgoing requests.
    pub secrets: Vec<SecretPlaceholder>,
}

impl PluginCall {
    /// The identity of this call.
    pub fn key(&self) -> CallKey {
        crate::hash::call_key(self)
    }
}

/// A text in a config that stands for a value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretPlaceholder {
    /// The unguessable text.
    pub placeholder: String,
    /// Namespace of the Secret: the subject's.
    pub namespace: String,
    /// `metadata.name` of the Secret.
    pub secret: String,
    /// Key in its data.
    pub key: String,
}

/// What is asked of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Ask {
    /// Are the configuration and the objects that it names usable?
    Check,
    /// Bring about this split; none releases what is ours.
    Route(Option<Traffic>),
    /// Take, continue or cancel a measurement.
    Measure {
        /// Which of the three.
        lifecycle: MeasureLifecycle,
        /// What the plugin knows besides its config.
        facts: Box<MeasurementFacts>,
    },
    /// Run, terminate or abort a step.
    Step {
        /// Which of the three.
        lifecycle: StepLifecycle,
        /// The status blob of the previous execution.
        state: Option<Value>,
    },
    /// Are these endpoints in effect for this Service?
    Verify {
        /// The Service.
        service: String,
        /// Address and port.
        endpoints: Vec<(String, u16)>,
    },
}

/// `metric-provider.lifecycle`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MeasureLifecycle {
    /// A new measurement.
    Start,
    /// The one that `wait` left open.
    Resume,
    /// The run is over.
    Cancel,
}

/// `step.lifecycle`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StepLifecycle {
    /// Run or continue.
    Run,
    /// The update was promoted past it.
    Terminate,
    /// The update was aborted.
    Abort,
}

/// `metric-provider.measurement-facts`
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MeasurementFacts {
    /// The whole metric, arguments substituted.
    pub metric: Value,
    /// Number of this measurement within the metric, from 0; errors count.
    pub number: u32,
    /// Errors so far.
    pub errors_so_far: u32,
    /// The previous measurement.
    pub previous: Option<PastMeasurement>,
    /// The open one, on resume and cancel.
    pub open: Option<OpenMeasurement>,
}

/// `metric-provider.past-measurement`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PastMeasurement {
    /// The value as the status shows it.
    pub shown: String,
    /// Its phase, as in the run's status.
    pub phase: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What the provider noted.
    pub metadata: BTreeMap<String, String>,
}

/// `metric-provider.open-measurement`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenMeasurement {
    /// When it began.
    pub started_at: Timestamp,
    /// What the provider noted.
    pub metadata: BTreeMap<String, String>,
}

/// `traffic-router.traffic`: the whole desired split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// The sum of all weights.
    pub total_weight: u32,
    /// The promoted set's share.
    pub stable: Destination,
    /// The new set's share.
    pub canary: Destination,
    /// Shares of experiments.
    pub additional: Vec<Destination>,
    /// Routes by header.
    pub header_routes: Vec<Value>,
    /// Mirrored routes.
    pub mirror_routes: Vec<Value>,
    /// Names of the routes that are ours, in order of precedence.
    pub managed_routes: Vec<String>,
    /// The canary is being taken back: nothing must wait for its pods.
    pub returning_to_stable: bool,
}

/// `traffic-router.destination`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// The Service of this share.
    pub service: Option<String>,
    /// Pod template hash of the set that takes it.
    pub pod_hash: Option<String>,
    /// Its weight.
    pub weight: u32,
    /// Pods that it waits for.
    pub desired_pods: u32,
    /// Pods available.
    pub available_pods: u32,
}

/// A job as the plugin host keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Where it lives.
    pub slot: Slot,
    /// The call that it works on, or answered.
    pub key: CallKey,
    /// The call's due number, so that the next call of the slot can be told from this one.
    pub due: u64,
    /// When it began.
    pub started: Timestamp,
    /// Whether a pass has reported the reply already (events are recorded once per reply).
    pub reported: bool,
    /// How far it is.
    pub state: JobState,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    /// At work.
    Running,
    /// Answered.
    Finished {
        /// When.
        at: Timestamp,
        /// What.
        reply: Arc<Reply>,
        /// Whether every object that it read is unchanged since.
        fresh: bool,
    },
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `check`: usable.
    Usable,
    /// `reconcile`.
    Routed(Routed),
    /// `measure`: a finished measurement.
    Measured(Box<Measured>),
    /// `measure`: not finished.
    Waiting(Waiting),
    /// `execute`.
    Stepped(Stepped),
    /// `verify`.
    Verified {
        /// Whether the endpoints are in effect.
        verification: Verification,
        /// What else it asked for.
        effects: Effects,
    },
    /// The plugin says no.
    Refused(Refusal),
    /// The plugin is at fault, or the host could not run it: trap, time-out, limit, grant, too many rounds.
    Broken {
        /// CamelCase: `Trapped`, `TimedOut`, `CpuExhausted`, `OutOfMemory`, `ChangeRefused`, `TooManyRounds`,
        /// [`UNAVAILABLE`].
        reason: String,
        /// In the reader's words, the guest's panic text included.
        message: String,
    },
}

/// Reason of a [`Reply::Broken`] that is no fault of the plugin's answer: the host could not have it answer. It was
/// replaced, it rests after failures of other calls, an object could not be read. It says nothing of what was asked about.
pub const UNAVAILABLE: &str = "Unavailable";

/// Seconds until a call whose plugin failed, or could not answer for now, is made again unless the plugin says when.
/// Upstream looks again at an unverified weight after 10 s (TRR-009).
pub const RETRY_SECONDS: i64 = 10;

impl Reply {
    /// The writes that the plugin asks for.
    pub fn writes(&self) -> &[Write] {
        match self {
            Self::Routed(routed) => &routed.effects.writes,
            Self::Measured(measured) => &measured.effects.writes,
            Self::Waiting(waiting) => &waiting.effects.writes,
            Self::Stepped(stepped) => &stepped.effects.writes,
            Self::Verified { effects, .. } => &effects.writes,
            Self::Usable | Self::Refused(_) | Self::Broken { .. } => &[],
        }
    }

    /// When this reply, given at this time, is to be asked for again although no fact changes.
    pub fn again_at(&self, given: Timestamp) -> Option<Timestamp> {
        let retry = || {
            given
                .checked_add(jiff::SignedDuration::from_secs(RETRY_SECONDS))
                .ok()
        };
        match self {
            Self::Usable | Self::Measured(_) => None,
            Self::Routed(routed) => match routed.verification {
                Verification::Pending(_) => routed.effects.again_at.or_else(retry),
                Verification::InEffect | Verification::NotSupported => routed.effects.again_at,
            },
            Self::Waiting(waiting) => waiting.effects.again_at,
            Self::Stepped(stepped) => stepped.effects.again_at,
            Self::Verified {
                verification,
                effects,
            } => match verification {
                Verification::Pending(_) => effects.again_at.or_else(retry),
                Verification::InEffect | Verification::NotSupported => effects.again_at,
            },
            Self::Refused(refusal) => match refusal.disposition {
                Disposition::Retry => refusal.again_at.or_else(retry),
                Disposition::Fail | Disposition::InvalidConfig => None,
            },
            Self::Broken { .. } => retry(),
        }
    }
}

/// Writes, notices and a wish to be called again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Checked against the grant; those that change nothing are dropped.
    pub writes: Vec<Write>,
    /// Events on the subject once the writes are applied.
    pub notices: Vec<Notice>,
    /// Call again at this time at the latest.
    pub again_at: Option<Timestamp>,
}

/// An event that a plugin wants recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// CamelCase.
    pub reason: String,
    /// In the reader's words.
    pub message: String,
}

/// Whether the data path does what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Known to.
    InEffect,
    /// Not yet; why.
    Pending(String),
    /// The plugin cannot know.
    NotSupported,
}

/// `traffic-router.plan`
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// What is to be done.
    pub effects: Effects,
    /// Whether it is done.
    pub verification: Verification,
    /// Fragment for the Rollout's status, only keys that the manifest declares.
    pub status: Option<Value>,
}

/// `metric-provider.finished`
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What conditions see as `result`; none where there is nothing to judge.
    pub value: Option<MeasuredValue>,
    /// What the status shows.
    pub shown: String,
    /// Only when the provider decides by itself: `Successful`, `Failed`, `Inconclusive` or `Error`.
    pub phase: Option<String>,
    /// Shown with the measurement.
    pub message: Option<String>,
    /// Kept with the measurement.
    pub metadata: BTreeMap<String, String>,
    /// Kept with the metric.
    pub metric_metadata: BTreeMap<String, String>,
    /// What else is to be done.
    pub effects: Effects,
}

/// `metric-provider.value`
#[derive(Clone, Debug, PartialEq)]
pub enum MeasuredValue {
    /// One number; may be NaN or infinite.
    Number(f64),
    /// Several.
    Numbers(Vec<f64>),
    /// Text.
    Text(String),
    /// A JSON document.
    Document(Value),
}

/// `metric-provider.waiting`
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// What is to be done meanwhile; `again_at` says when to resume.
    pub effects: Effects,
    /// The provider's state.
    pub metadata: BTreeMap<String, String>,
    /// Shown with the measurement.
    pub message: Option<String>,
}

/// `step.outcome`
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// `Running`, `Successful`, `Failed` or `Error`.
    pub phase: String,
    /// Shown in the status.
    pub message: Option<String>,
    /// Kept in the status.
    pub status: Option<Value>,
    /// The canary weight wanted from now on.
    pub weight: Option<u32>,
    /// What it wants of the Rollout.
    pub wish: Wish,
    /// What else is to be done.
    pub effects: Effects,
}

/// `step.wish`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    None,
    /// Promote fully.
    PromoteFull,
    /// Abort.
    Abort,
}

/// `types.plugin-error`
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What the host is to do about it.
    pub disposition: Disposition,
    /// Path of the field inside the config, or an absolute one that starts with `spec.`.
    pub field: Option<String>,
    /// CamelCase.
    pub reason: String,
    /// In the reader's words.
    pub message: String,
    /// Try again at this time at the latest.
    pub again_at: Option<Timestamp>,
    /// Events on the subject.
    pub notices: Vec<Notice>,
    /// For a provider kept with the metric, as `Measured::metric_metadata`.
    pub metadata: BTreeMap<String, String>,
}

/// `types.disposition`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Try again later.
    Retry,
    /// Not with these facts.
    Fail,
    /// The user must change the specification.
    InvalidConfig,
}

/// What a pass knows about plugins.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// Every loaded plugin under its name and each alias.
    pub loaded: Arc<BTreeMap<PluginName, PluginInfo>>,
    /// Whether plugins are still being loaded: a name that nobody provides is waited for, and says nothing yet.
    pub loading: bool,
    /// The jobs of this subject.
    pub jobs: Vec<Job>,
    /// Routers that can change something which is marked as this Rollout's although it did not name them. Only what was
    /// there when somebody looked, until they have let go.
    pub marked: BTreeSet<String>,
}

/// The answer to a call as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// No job has this call.
    None,
    /// A job is at work on it.
    Running,
    /// Answered, on objects that are unchanged since.
    Fresh(&'a Reply, Timestamp),
    /// Answered, but an object that it read has changed: the call is repeated.
    Stale(&'a Reply),
}

impl Plugins {
    /// What is known about a plugin that the specification names.
    pub fn find(&self, kind: PluginKind, name: &str) -> Option<&PluginInfo> {
        self.loaded.get(&PluginName {
            kind,
            name: name.to_owned(),
        })
    }

    /// The answer to this call, if there is one.
    pub fn answer(&self, call: &PluginCall) -> Answer<'_> {
        let key = call.key();
        match self.jobs.iter().find(|job| job.slot == call.slot) {
            Some(job) if job.key == key || planted::is(Bug::OldKeyCounts) => match &job.state {
                JobState::Running => Answer::Running,
                JobState::Finished {
                    at,
                    reply,
                    fresh: true,
                } => Answer::Fresh(reply, *at),
                JobState::Finished { at, reply, .. } if planted::is(Bug::StaleReplyCounts) => {
                    Answer::Fresh(reply, *at)
                }
                JobState::Finished {
                    reply,
                    fresh: false,
                    ..
                } => Answer::Stale(reply),
            },
            Some(_) | None => Answer::None,
        }
    }

    /// The due number of the next call in a slot, and when it grows although nothing else changes.
    ///
    /// A reply that asks to be repeated is repeated under the next number once its time has come.
    pub fn due(&self, slot: &Slot, now: Timestamp) -> (u64, Option<Timestamp>) {
        let Some(job) = self.job(slot) else {
            return (0, None);
        };
        match &job.state {
            JobState::Finished { at, reply, .. } => match reply.again_at(*at) {
                Some(time) if time <= now => (job.due.saturating_add(1), None),
                other => (job.due, other),
            },
            JobState::Running => (job.due, None),
        }
    }

    /// The job in a slot, whatever call it has.
    pub fn job(&self, slot: &Slot) -> Option<&Job> {
        self.jobs.iter().find(|job| &job.slot == slot)
    }
}

//! What a decision asks for: actions as data, in order, each naming what must have succeeded before it.
//!
//! Nothing here is executed by this crate; the cluster crate performs writes and looks, the plugin host performs calls.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::ObjectKey;
use crate::planted::{self, Bug};
use crate::plugin::PluginCall;

/// Actions in the order in which they are to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// In order.
    pub actions: Vec<Planned>,
}

impl Plan {
    /// The writes of the plan, with their position.
    pub fn writes(&self) -> impl Iterator<Item = (usize, &Write)> {
        self.actions
            .iter()
            .enumerate()
            .filter_map(|(index, planned)| match &planned.action {
                Action::Write(write) => Some((index, write)),
                Action::Call(_) | Action::Look(_) => None,
            })
    }

    /// The calls of the plan. A running job whose call is not among them is to be cancelled.
    pub fn calls(&self) -> impl Iterator<Item = &PluginCall> {
        self.actions
            .iter()
            .filter_map(|planned| match &planned.action {
                Action::Call(call) => Some(call.as_ref()),
                Action::Write(_) | Action::Look(_) => None,
            })
    }
}

/// One action of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// What it is for: the role decides the order and what must have succeeded before.
    pub role: Role,
    /// The action itself.
    pub action: Action,
    /// Positions in the plan of the actions that must have succeeded in this pass, otherwise this one is skipped.
    pub after: Vec<usize>,
}

/// Why an action is in a plan. The declaration order is the order of execution within one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A plugin's work is started, kept or awaited.
    Ask,
    /// A fact is fetched for the next pass.
    Look,
    /// The ReplicaSet of a new revision, before everything that can wait: its pods are what a user waits for.
    CreateSet,
    /// Defaults, revision and other metadata of the subject itself.
    Subject,
    /// Metadata of a ReplicaSet: revision, copied annotations, deadlines.
    Annotate,
    /// More pods.
    ScaleUp,
    /// An AnalysisRun or Experiment is created.
    StartRun,
    /// An AnalysisRun or Experiment is told to stop.
    StopRun,
    /// The selector of a Service.
    Select,
    /// A router's changes: after the Services that carry its weights are known to select the right sets.
    Route,
    /// A pod is evicted, for a restart.
    Restart,
    /// Fewer pods.
    ScaleDown,
    /// Old objects that nothing refers to any more.
    Retire,
}

/// An action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Action {
    /// A write to the API server.
    Write(Write),
    /// Start or keep a plugin's job. A job whose call is missing from the plan is cancelled.
    Call(Box<PluginCall>),
    /// A fact to have in the next pass.
    Look(Query),
}

/// A write, checked by nothing further: the executor has no choices left.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Write {
    /// The object.
    pub target: ObjectKey,
    /// What to do with it.
    pub edit: Edit,
    /// `status`, `eviction` or none.
    pub subresource: Subresource,
    /// The resourceVersion that it was computed from; a mismatch is a conflict, and the pass runs again.
    /// When the same pass has written the object before, the executor uses the version that the earlier write returned.
    pub precondition: Option<String>,
    /// For logs and reports, in the reader's words.
    pub reason: String,
}

/// Which endpoint of the object a write goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Subresource {
    /// The object.
    #[default]
    None,
    /// Its `/status`.
    Status,
    /// A pod's `/eviction`.
    Eviction,
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Edit {
    /// Create the object.
    Create(Value),
    /// RFC 7386.
    MergePatch(Value),
    /// RFC 6902.
    JsonPatch(Value),
    /// Delete it.
    Delete(Propagation),
}

/// What becomes of the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Collected afterwards.
    Background,
    /// Collected first.
    Foreground,
    /// Left alone.
    Orphan,
}

/// A rare fact that is fetched only when a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Query {
    /// The pods of a ReplicaSet. Lives one pass.
    Pods {
        /// Namespace of the set.
        namespace: String,
        /// `metadata.name` of the set.
        replica_set: String,
    },
    /// A pod template as the API server defaults it, by a dry-run create of a ReplicaSet.
    DefaultedTemplate {
        /// Namespace in which to try.
        namespace: String,
        /// `hash::template_source` of the template; the answer lives until it changes.
        source: String,
        /// Labels that the selector of the tried set uses; they are labels of the template.
        labels: BTreeMap<String, String>,
    },
    /// Any object by name, for example a referenced workload.
    Object(ObjectKey),
    /// An object by name as the API server holds it now, past every watch. What was found lives one pass; that there is
    /// nothing of this name holds until a write of ours may have made it.
    Uncached(ObjectKey),
}

/// What became of one planned action, by its position in the plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// The write was applied, also where the server answered that nothing was different.
    Applied {
        /// The object as the server returned it, trimmed to what the engine reads.
        object: Written,
    },
    /// The call was handed to the plugin host, or the look was performed.
    Asked,
    /// The server refused the write, or the look found nothing out.
    Failed(WriteError),
    /// Something that had to succeed before did not.
    Skipped,
}

/// What a write returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// `metadata.name` (a generated one included).
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion` after the write.
    pub resource_version: String,
    /// `metadata.generation` after the write.
    pub generation: i64,
}

/// Why a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    /// The class that decides what happens next.
    pub kind: WriteErrorKind,
    /// The server's message.
    pub message: String,
    /// How long the server asks to be left alone (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl WriteError {
    /// An error after which the server asks for no time.
    pub fn new(kind: WriteErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }
}

/// Classes of write errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteErrorKind {
    /// The precondition did not hold: the pass runs again.
    Conflict,
    /// An object of that name exists.
    AlreadyExists,
    /// The object is gone.
    NotFound,
    /// The server asks to come back (429): an eviction that a PodDisruptionBudget holds up.
    Refused,
    /// The server says that the object is wrong, or forbids the write. Trying the same again does not help.
    Invalid,
    /// Anything else: unreachable, overloaded. The write may have taken effect.
    Unavailable,
    /// The lease is no longer ours: nothing was sent.
    NotLeading,
}

/// What became of a plan: one entry per planned action.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// In the order of the plan.
    pub done: Vec<Done>,
}

impl Outcome {
    /// Whether the action at this position was carried out.
    pub fn succeeded(&self, index: usize) -> bool {
        matches!(
            self.done.get(index),
            Some(Done::Applied { .. } | Done::Asked)
        )
    }

    /// The first failure, in the order of the plan. That the server asks to come back later is none.
    pub fn first_error(&self) -> Option<(usize, &WriteError)> {
        self.done
            .iter()
            .enumerate()
            .find_map(|(index, done)| match done {
                Done::Failed(error) if error.kind != WriteErrorKind::Refused => {
                    Some((index, error))
                }
                Done::Failed(_) | Done::Applied { .. } | Done::Asked | Done::Skipped => None,
            })
    }
}

/// When to look at the subject again although nothing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Requeue {
    /// Only when something changes.
    #[default]
    OnChange,
    /// At this time at the latest.
    At(jiff::Timestamp),
}

impl Requeue {
    /// The earlier of the two.
    #[must_use]
    pub fn or_at(self, time: jiff::Timestamp) -> Self {
        match self {
            Self::OnChange => Self::At(time),
            Self::At(already) => Self::At(already.min(time)),
        }
    }

    /// What of it is still to come for whoever sees the world at `now`. A time that has come was heard, and who fails then is
    /// not to be hurried by it, again and again.
    #[must_use]
    pub fn after(self, now: jiff::Timestamp) -> Self {
        match self {
            Self::At(time) if time <= now && !planted::is(Bug::FailureHurried) => Self::OnChange,
            Self::At(_) | Self::OnChange => self,
        }
    }

    /// The earlier of the two.
    #[must_use]
    pub fn earliest(self, other: Self) -> Self {
        match other {
            Self::OnChange => self,
            Self::At(time) => self.or_at(time),
        }
    }
}

/// A Kubernetes event to record on the subject (or on its owner).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The object it is about.
    pub about: crate::object::Subject,
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// CamelCase.
    pub reason: String,
    /// In the reader's words.
    pub message: String,
}

/// The `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// For information.
    Normal,
    /// Something may be wrong.
    Warning,
}

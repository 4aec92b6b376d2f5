//! What a strategy wants of this pass. Scaling, services, routing, pauses, status and clean-up read this and never look
//! at the strategy again.

use jiff::SignedDuration;
use serde_json::Value;
use sluice_api as api;

/// The wishes of a strategy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    /// Why no Service is to be switched.
    pub switches_halted: Option<&'static str>,
    /// Why no set is to get another size.
    pub sizes_halted: Option<&'static str>,
    /// Pods of the new set.
    pub new: i32,
    /// The new set is kept as it is after an abort and goes to zero some time later.
    pub new_after_abort: Option<AbortDelay>,
    /// Pods of the stable set, where it is another one.
    pub stable: i32,
    /// What becomes of the sets that are neither.
    pub others: Others,
    /// Services and the revision that each is to select.
    pub selectors: Vec<Selector>,
    /// How routers are to split the traffic; None where no router is configured.
    pub weights: Option<Weights>,
    /// Whether to wait for somebody or for a time.
    pub pause: Pause,
    /// The analyses that are to run now.
    pub runs: Vec<WantedRun>,
    /// When the current step is over.
    pub step: StepEnd,
    /// Why and when the new set is to be marked stable.
    pub promotion: Option<Promotion>,
}

/// An abort keeps the new set until stable can serve everything, then for a while (ABT-010, ABT-011).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortDelay {
    /// How long.
    pub delay: SignedDuration,
}

/// What becomes of old sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// To zero, but never so that fewer than this many pods are available (CAN-011).
    WithinAvailability {
        /// Pods that must stay available.
        min_available: i32,
    },
    /// Announced first, then to zero once the delay has passed (SCD-001). `keep` is their size meanwhile; None: as it is.
    AfterDelay {
        /// How long an announced set stays up.
        delay: SignedDuration,
        /// Sets that may stay up at the same time.
        limit: i32,
        /// Their size meanwhile.
        keep: Option<i32>,
        /// Pods that must stay available while a set that was never announced goes.
        min_available: i32,
        /// Sets that no delay was asked for go without one: those in between two revisions.
        announced_only: bool,
    },
    /// They stay, for this reason.
    Keep(&'static str),
}

/// A Service and what it is to select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// `metadata.name`
    pub service: String,
    /// The hash to select.
    pub hash: String,
    /// What the set must be able to do before.
    pub readiness: Readiness,
    /// Available pods that are enough for what routers send there, or as many as serve it now. 0 where routers send nothing,
    /// where nobody serves it, and where an abort or a user who goes back asks for no more than a pod.
    pub enough: i32,
    /// The Service still carries a share of another revision, which this one must not get.
    pub shared: bool,
}

/// What a set must be able to do before a Service selects it (SVC-002, BGR-006).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing: a preview follows at once.
    None,
    /// One pod: an abort goes back to a stable set that serves at all.
    Serving,
    /// All pods the first time, afterwards at least one.
    Available,
    /// Every pod that the Rollout wants.
    Saturated,
}

/// How to split the traffic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// The canary's share.
    pub canary: i32,
    /// The stable set's share, now or once it has the pods for it.
    pub stable: i32,
    /// The whole.
    pub max: i32,
    /// The set that takes the canary's share.
    pub canary_hash: String,
    /// The set that takes the rest.
    pub stable_hash: String,
    /// Available pods that are enough for the canary's share, however many more its set still has; None: all of them.
    pub canary_pods: Option<i32>,
    /// The same for the stable set's share.
    pub stable_pods: Option<i32>,
    /// Service of the canary.
    pub canary_service: Option<String>,
    /// Service of the stable set.
    pub stable_service: Option<String>,
    /// Routes by header that are in force.
    pub header_routes: Vec<Value>,
    /// Mirrored routes that are in force.
    pub mirror_routes: Vec<Value>,
    /// Why the split is not yet what the steps ask for.
    pub held: Option<String>,
}

/// A pause that belongs to the strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// None, and one that is there ends.
    None,
    /// Leave it as it is: paused by somebody, or something else comes first.
    AsIs,
    /// Wait for the time, or for somebody.
    Wanted {
        /// Under this reason.
        reason: api::PauseReason,
        /// For so long; None until promoted.
        duration: Option<SignedDuration>,
    },
}

/// An analysis that is to run now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WantedRun {
    /// Which of the four.
    pub kind: RunKind,
    /// Templates and arguments.
    pub analysis: api::RolloutAnalysis,
}

/// The four analyses of a Rollout (KEY-014).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunKind {
    /// Of the current step; its index.
    Step(usize),
    /// During the whole update.
    Background,
    /// Before the active Service is switched.
    PrePromotion,
    /// After it.
    PostPromotion,
}

/// When the current step is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepEnd {
    /// There is none, or it must not end now.
    Not,
    /// Once the pause is over.
    WithPause,
    /// Once routers are known to do what the step says of them; at once where it says nothing, or there is none.
    WithRouters {
        /// The canary's share that they send there, where the step sets it.
        weight: Option<i32>,
        /// The step sets or removes a route.
        routes: bool,
    },
}

/// The new set is to be marked stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promotion {
    /// The reason, in upstream's words (EVT-007).
    pub reason: String,
    /// Only once routers are known to send it this share.
    pub weight: Option<i32>,
    /// Only once this Service is known to select it.
    pub active_service: Option<String>,
}

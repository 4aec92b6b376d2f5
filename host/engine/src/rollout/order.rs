//! What must hold before a write, declared as tables. Each line names the outage that it prevents.
//!
//! Two kinds of prerequisite exist. Within one pass an action may need another action of the same pass to have
//! succeeded: `PREREQUISITES`. Across passes an action may need a fact: `GATES`. How many pods may go at a time is
//! reckoned where sizes are, and what an abort brings back under an invalid specification waits for nothing.

use crate::plan::Role;
use crate::planted::{self, Bug};

/// An action of role `of` runs only after every action of role `needs` in the same plan has succeeded.
pub(crate) struct Prerequisite {
    pub of: Role,
    pub needs: Role,
    /// Whether an abort waits as well. What takes traffic back waits for nothing.
    pub on_abort: bool,
    pub prevents: &'static str,
}

/// The order within one pass.
const PREREQUISITES: &[Prerequisite] = &[
    Prerequisite {
        of: Role::Select,
        needs: Role::CreateSet,
        on_abort: false,
        prevents: "a preview of a revision that could not even be created",
    },
    Prerequisite {
        of: Role::Route,
        needs: Role::Select,
        on_abort: false,
        prevents: "a weight that lands on a Service which still selects the set before",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::CreateSet,
        on_abort: true,
        prevents: "pods taken away although their replacement could not even be created",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::ScaleUp,
        on_abort: true,
        prevents: "pods taken away although their replacement could not even be asked for",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::Select,
        on_abort: true,
        prevents: "pods taken away while a Service still selects them",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::Route,
        on_abort: true,
        prevents: "pods taken away while the router still sends them traffic",
    },
];

/// What a gate decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// A Service selects another set.
    PointService,
    /// The canary's share goes to another set than before.
    HandOverShare,
    /// The canary gets a larger share.
    GiveToCanary,
    /// The stable set gets a larger share.
    GiveToStable,
    /// The stable set loses pods.
    ShrinkStable,
    /// The new set loses pods.
    ShrinkNew,
    /// The new set is told when it will lose its pods, after an abort.
    EndAborted,
    /// An old set loses pods, or is told when it will.
    RetireOld,
    /// A step that sets the weight is over.
    EndStep,
    /// A pod is evicted, for a restart.
    Evict,
    /// The new set is marked stable.
    Promote,
}

/// A fact that a move needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The set has the pods that its new place asks for.
    TargetReady,
    /// The set has enough pods for the share that comes to it, or as many as serve it now.
    ShareFits,
    /// No share of another revision is left, as far as anybody knows.
    ShareReturned,
    /// Routers are known to apply the split that this pass asks for.
    WeightConfirmed,
    /// The stable set has every pod of the Rollout.
    StableComplete,
    /// Routers send the set no traffic, as far as anybody knows.
    NoTraffic,
    /// No Service and no field of the status refers to the set.
    Unreferenced,
    /// The numbers of the ReplicaSets show every pod that a restart has taken.
    EvictionsShown,
    /// Enough pods are available to miss one, with the sizes that the sets have.
    Spare,
    /// The same without the pods that the sets lose in this pass.
    SpareBesides,
    /// The pod is not the last one that can serve what is sent to its set.
    AnotherServes,
    /// The active Service is known to select the set.
    ActiveSelects,
}

/// A move of this kind needs this fact.
pub(crate) struct Gate {
    pub of: Move,
    pub needs: Need,
    pub prevents: &'static str,
}

/// The order across passes.
const GATES: &[Gate] = &[
    Gate {
        of: Move::PointService,
        needs: Need::TargetReady,
        prevents: "a Service that selects no ready pod",
    },
    Gate {
        of: Move::PointService,
        needs: Need::ShareReturned,
        prevents: "the next revision served the share of the one before, past its own steps",
    },
    Gate {
        of: Move::PointService,
        needs: Need::ShareFits,
        prevents: "half of the traffic on the one pod of the next revision",
    },
    Gate {
        of: Move::HandOverShare,
        needs: Need::ShareReturned,
        prevents: "a subset that carries traffic labelled with another revision",
    },
    Gate {
        of: Move::GiveToCanary,
        needs: Need::ShareFits,
        prevents: "a share on pods that are not there yet",
    },
    Gate {
        of: Move::GiveToStable,
        needs: Need::ShareFits,
        prevents: "all of the traffic on a stable set that was scaled down",
    },
    Gate {
        of: Move::ShrinkStable,
        needs: Need::WeightConfirmed,
        prevents: "stable pods gone while a failing router still sends them traffic",
    },
    Gate {
        of: Move::ShrinkStable,
        needs: Need::EvictionsShown,
        prevents: "the pods that may be missing taken twice, by a restart and by an update",
    },
    Gate {
        of: Move::ShrinkNew,
        needs: Need::WeightConfirmed,
        prevents: "canary pods gone after an abort that the router has not carried out",
    },
    Gate {
        of: Move::ShrinkNew,
        needs: Need::EvictionsShown,
        prevents: "the pods that may be missing taken twice, by a restart and by an abort",
    },
    Gate {
        of: Move::EndAborted,
        needs: Need::WeightConfirmed,
        prevents: "a canary announced for removal while the router still sends to it",
    },
    Gate {
        of: Move::EndAborted,
        needs: Need::StableComplete,
        prevents: "the canary's pods gone before the stable set has its own back",
    },
    Gate {
        of: Move::RetireOld,
        needs: Need::Unreferenced,
        prevents: "a Service or subset without endpoints",
    },
    Gate {
        of: Move::RetireOld,
        needs: Need::NoTraffic,
        prevents: "the set that carries a recorded weight scaled to zero after a change of mind",
    },
    Gate {
        of: Move::RetireOld,
        needs: Need::WeightConfirmed,
        prevents: "the previous stable set announced for removal while the router still sends to it",
    },
    Gate {
        of: Move::RetireOld,
        needs: Need::EvictionsShown,
        prevents: "the pods that may be missing taken twice, by a restart and by a clean-up",
    },
    Gate {
        of: Move::Evict,
        needs: Need::AnotherServes,
        prevents: "traffic to a set of several pods whose last ready one a restart has taken",
    },
    Gate {
        of: Move::Evict,
        needs: Need::Spare,
        prevents: "every pod of a Rollout gone at once, by a restart",
    },
    Gate {
        of: Move::Evict,
        needs: Need::SpareBesides,
        prevents: "the pods that may be missing taken twice in one pass, by a restart and by smaller sets",
    },
    Gate {
        of: Move::EndStep,
        needs: Need::WeightConfirmed,
        prevents: "steps that go on although the data path stays where it was",
    },
    Gate {
        of: Move::Promote,
        needs: Need::WeightConfirmed,
        prevents: "a promotion that the data path has not followed",
    },
    Gate {
        of: Move::Promote,
        needs: Need::ActiveSelects,
        prevents: "a revision marked stable that no user reaches",
    },
];

/// The lines of both tables that are in force: all of them, except the one that a test leaves out.
pub(crate) fn prerequisites() -> impl Iterator<Item = &'static Prerequisite> {
    PREREQUISITES
        .iter()
        .filter(|line| in_force(line.prevents) && !is_dropped(line))
}

/// The same across passes.
pub(crate) fn gates() -> impl Iterator<Item = &'static Gate> {
    GATES
        .iter()
        .filter(|line| in_force(line.prevents) && !is_open(line))
}

/// Lines that a planted bug leaves out.
fn is_dropped(line: &Prerequisite) -> bool {
    match line.of {
        Role::Route => planted::is(Bug::RouteBeforeSelect),
        _ => false,
    }
}

/// The same across passes.
fn is_open(gate: &Gate) -> bool {
    match (gate.of, gate.needs) {
        (Move::PointService, Need::TargetReady) => planted::is(Bug::SelectBeforeReady),
        (Move::PointService, _) => planted::is(Bug::CarriedWeightIgnored),
        (Move::GiveToCanary, _) => planted::is(Bug::WeightBeforePods),
        (Move::GiveToStable, _) => planted::is(Bug::GiveToStableUnready),
        (Move::ShrinkNew | Move::EndAborted, _) => planted::is(Bug::ShrinkNewUnconfirmed),
        (Move::RetireOld, _) => planted::is(Bug::RetireReferenced),
        (Move::EndStep, _) => planted::is(Bug::StepWithoutWeight),
        (Move::Promote, Need::WeightConfirmed) => planted::is(Bug::PromoteWithoutWeight),
        (Move::Promote, Need::ActiveSelects) => planted::is(Bug::PromoteUnswitched),
        (Move::Evict, _) => planted::is(Bug::RestartTakesAll),
        _ => false,
    }
}

#[cfg(not(test))]
const fn in_force(_prevents: &str) -> bool {
    true
}

#[cfg(test)]
fn in_force(prevents: &str) -> bool {
    LEFT_OUT.get() != Some(prevents)
}

#[cfg(test)]
thread_local! {
    /// The line that this thread does without, to see what it prevents.
    pub(crate) static LEFT_OUT: std::cell::Cell<Option<&'static str>> =
        const { std::cell::Cell::new(None) };
}

/// The first prerequisite of a move that does not hold, with the reason that `holds` gives.
pub(crate) fn blocked(of: Move, holds: impl Fn(Need) -> Result<(), String>) -> Option<String> {
    gates().filter(|gate| gate.of == of).find_map(|gate| {
        holds(gate.needs)
            .err()
            .map(|why| format!("{why} (prevents {})", gate.prevents))
    })
}

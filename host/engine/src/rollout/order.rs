//! What must hold before a write, declared as tables. Each line names the outage that it prevents.
//!
//! Two kinds of prerequisite exist. Within one pass an action may need another action of the same pass to have
//! succeeded: `PREREQUISITES`. Across passes an action may need a fact: `GATES`. Nothing else orders writes.

use crate::plan::Role;

/// An action of role `of` runs only after every action of role `needs` in the same plan has succeeded.
pub(crate) struct Prerequisite {
    pub of: Role,
    pub needs: Role,
    pub prevents: &'static str,
}

/// The order within one pass.
pub(crate) const PREREQUISITES: &[Prerequisite] = &[
    Prerequisite {
        of: Role::Route,
        needs: Role::Select,
        prevents: "a weight that lands on a Service which still selects the set before",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::CreateSet,
        prevents: "pods taken away although their replacement could not even be created",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::ScaleUp,
        prevents: "pods taken away although their replacement could not even be asked for",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::Select,
        prevents: "pods taken away while a Service still selects them",
    },
    Prerequisite {
        of: Role::ScaleDown,
        needs: Role::Route,
        prevents: "pods taken away while the router still sends them traffic",
    },
];

/// What a gate decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// A Service selects another set.
    PointService,
    /// The stable set loses pods.
    ShrinkStable,
    /// The new set loses pods.
    ShrinkNew,
    /// An old set loses pods, or is told when it will.
    RetireOld,
    /// The new set is marked stable.
    Promote,
}

/// A fact that a move needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The set has the pods that its new place asks for.
    TargetReady,
    /// The share that the Service carries now is within what the set can serve.
    CarriedWeightFits,
    /// Routers are known to apply the split that this pass asks for.
    WeightConfirmed,
    /// Routers send the set no traffic, as far as anybody knows.
    NoTraffic,
    /// No Service and no field of the status refers to the set.
    Unreferenced,
}

/// A move of this kind needs this fact.
pub(crate) struct Gate {
    pub of: Move,
    pub needs: Need,
    pub prevents: &'static str,
}

/// The order across passes.
pub(crate) const GATES: &[Gate] = &[
    Gate {
        of: Move::PointService,
        needs: Need::TargetReady,
        prevents: "a Service that selects no ready pod",
    },
    Gate {
        of: Move::PointService,
        needs: Need::CarriedWeightFits,
        prevents: "half of the traffic on the one pod of the next revision",
    },
    Gate {
        of: Move::ShrinkStable,
        needs: Need::WeightConfirmed,
        prevents: "stable pods gone while a failing router still sends them traffic",
    },
    Gate {
        of: Move::ShrinkNew,
        needs: Need::WeightConfirmed,
        prevents: "canary pods gone after an abort that the router has not carried out",
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
        of: Move::Promote,
        needs: Need::WeightConfirmed,
        prevents: "a promotion that the data path has not followed",
    },
];

/// The first prerequisite of a move that does not hold, with the reason that `holds` gives.
pub(crate) fn blocked(of: Move, holds: impl Fn(Need) -> Result<(), String>) -> Option<String> {
    GATES.iter().filter(|gate| gate.of == of).find_map(|gate| {
        holds(gate.needs)
            .err()
            .map(|why| format!("{why} (prevents {})", gate.prevents))
    })
}

/// Every prerequisite as a sentence, for documents and explanations.
pub fn sentences() -> Vec<String> {
    let within = PREREQUISITES.iter().map(|line| {
        format!(
            "{:?} after {:?}: prevents {}",
            line.of, line.needs, line.prevents
        )
    });
    let across = GATES.iter().map(|gate| {
        format!(
            "{:?} needs {:?}: prevents {}",
            gate.of, gate.needs, gate.prevents
        )
    });
    within.chain(across).collect()
}

//! Deliberate bugs, to show that fault runs would find real ones. None of them exists without the feature `planted`,
//! which no release is built with: [`is`] is then false for the compiler.
//!
//! Each is the kind of mistake that a careful person makes: a line left out, an order swapped, a wish taken for a fact.
//! One that no history shows because something else holds in its place is not listed.

/// Bugs by what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// `decide`: a router's changes do not wait for the Services.
    RouteBeforeSelect,
    /// A Service is pointed to a set without asking for its pods.
    SelectBeforeReady,
    /// A Service that carries a weight is pointed to a set that cannot serve it.
    CarriedWeightIgnored,
    /// The new set loses pods, or is told when it will, although a router may still send it traffic.
    ShrinkNewUnconfirmed,
    /// Old sets go although a Service or a weight refers to them.
    RetireReferenced,
    /// The weight does not wait for the step's pods.
    WeightBeforePods,
    /// The status says the weight that was asked for, and not the one that was applied.
    WeightFromWish,
    /// A step ends although its weight is not in force.
    StepWithoutWeight,
    /// A promotion does not wait for the pods.
    PromoteEarly,
    /// A promotion does not wait for the weight.
    PromoteWithoutWeight,
    /// A promotion does not wait for the active Service.
    PromoteUnswitched,
    /// The stable set gets traffic back before it has its pods back.
    GiveToStableUnready,
    /// An abort leaves the weight where it is.
    AbortKeepsWeight,
    /// An abort waits for the plugins that are at work.
    AbortWaitsForGuests,
    /// A timed pause is over at once.
    PauseForgotten,
    /// A pause without a duration is over at once.
    IndefinitePauseEnds,
    /// The announced end of a set is now.
    DeadlineIgnored,
    /// The announced end of a set never comes.
    DeadlineNeverComes,
    /// A reply counts although what it has read has changed.
    StaleReplyCounts,
    /// A reply counts although something else was asked.
    OldKeyCounts,
    /// A measurement is counted twice.
    MeasurementCountedTwice,
    /// A measurement does not wait for its interval.
    IntervalIgnored,
    /// A failed analysis aborts nothing.
    VerdictIgnored,
    /// A canary without a router may take every pod away.
    AvailabilityIgnored,
    /// A canary gets the share and the pods of the step that comes next.
    StepAhead,
    /// Blue-green switches before the new set has its pods.
    SwitchUnsaturated,
    /// Blue-green switches although nobody has agreed yet.
    SwitchUnasked,
    /// Blue-green switches whatever the analysis before it says.
    SwitchUnanalysed,
    /// Blue-green promotes whatever the analysis after the switch says.
    PromoteUnanalysed,
    /// A new revision begins at the step where the one before was.
    StepsNotReset,
    /// A new revision inherits the abort of the one before.
    AbortInherited,
    /// A new revision counts as promoted from the start.
    StableFollowsTemplate,
    /// After an abort the canary Service keeps its set.
    CanaryServiceLeft,
    /// Old sets are deleted with their pods.
    HistoryTakesPods,
    /// A restart takes every pod at once.
    RestartTakesAll,
    /// Dynamic scaling of the stable set forgets the weight that it still has.
    DynamicStableTooSmall,
    /// Runs that nobody waits for are not stopped.
    RunsLeftRunning,
    /// The status is written although nothing in it has changed.
    StatusEveryPass,
    /// The status is written before the changes that it is about, and again after them.
    StatusFirst,
    /// That an update is completed, or begins, is not said.
    CompletionUnsaid,
    /// The status is about the generation before.
    GenerationForgotten,
    /// Steps are passed two at a time.
    StepSkipped,
    /// A stale cache is used: the answer to an own write is not kept.
    OwnWriteNotAwaited,
    /// Writes do not say what they were computed from.
    PreconditionDropped,
    /// A write whose predecessor failed is made all the same.
    PredecessorIgnored,
    /// A deletion is not taken over.
    DeletionMissed,
    /// A lease that somebody else holds is kept.
    LostLeaseKept,
    /// A lease is relied upon for as long as others keep off it.
    RenewDeadlineIgnored,
    /// Work begins before everything has been seen once.
    SyncNotAwaited,
    /// A pass does not come back at its time.
    RequeueForgotten,
    /// A failed pass is not repeated.
    FailureNotRepeated,
    /// A failed pass is repeated at once for as long as a time is over.
    FailureHurried,
    /// What changes during a pass is not looked at again.
    ChangeDuringPassLost,
    /// The end of a job is not heard.
    JobEndUnheard,
    /// A status that met a conflict is not written again.
    ConflictForgotten,
}

/// Whether this bug is at work. Never, without the feature.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use chosen::{ALL, RARE, is, plant};

#[cfg(feature = "planted")]
mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    static CHOSEN: AtomicU8 = AtomicU8::new(u8::MAX);

    /// Whether this bug is at work in this process.
    pub fn is(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Relaxed) == bug as u8
    }

    /// Chooses the bug that is at work in this process; none to have none.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.store(bug.map_or(u8::MAX, |bug| bug as u8), Ordering::Relaxed);
    }

    /// Those that only one history in several hundred shows.
    pub const RARE: &[Bug] = &[
        Bug::RouteBeforeSelect,
        Bug::CarriedWeightIgnored,
        Bug::ShrinkNewUnconfirmed,
        Bug::PredecessorIgnored,
    ];

    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::RouteBeforeSelect,
        Bug::SelectBeforeReady,
        Bug::CarriedWeightIgnored,
        Bug::ShrinkNewUnconfirmed,
        Bug::RetireReferenced,
        Bug::WeightBeforePods,
        Bug::WeightFromWish,
        Bug::StepWithoutWeight,
        Bug::PromoteEarly,
        Bug::PromoteWithoutWeight,
        Bug::PromoteUnswitched,
        Bug::GiveToStableUnready,
        Bug::AbortKeepsWeight,
        Bug::AbortWaitsForGuests,
        Bug::PauseForgotten,
        Bug::IndefinitePauseEnds,
        Bug::DeadlineIgnored,
        Bug::DeadlineNeverComes,
        Bug::StaleReplyCounts,
        Bug::OldKeyCounts,
        Bug::MeasurementCountedTwice,
        Bug::IntervalIgnored,
        Bug::VerdictIgnored,
        Bug::AvailabilityIgnored,
        Bug::StepAhead,
        Bug::SwitchUnsaturated,
        Bug::SwitchUnasked,
        Bug::SwitchUnanalysed,
        Bug::PromoteUnanalysed,
        Bug::StepsNotReset,
        Bug::AbortInherited,
        Bug::StableFollowsTemplate,
        Bug::CanaryServiceLeft,
        Bug::HistoryTakesPods,
        Bug::RestartTakesAll,
        Bug::DynamicStableTooSmall,
        Bug::RunsLeftRunning,
        Bug::StatusEveryPass,
        Bug::StatusFirst,
        Bug::CompletionUnsaid,
        Bug::GenerationForgotten,
        Bug::StepSkipped,
        Bug::OwnWriteNotAwaited,
        Bug::PreconditionDropped,
        Bug::PredecessorIgnored,
        Bug::DeletionMissed,
        Bug::LostLeaseKept,
        Bug::RenewDeadlineIgnored,
        Bug::SyncNotAwaited,
        Bug::RequeueForgotten,
        Bug::FailureNotRepeated,
        Bug::FailureHurried,
        Bug::ChangeDuringPassLost,
        Bug::JobEndUnheard,
        Bug::ConflictForgotten,
    ];
}

//! AnalysisRuns of a Rollout: which are wanted, which one is current, and what their outcome means (ledger RAN rows).

use sluice_api as api;

use super::blue_green::Facts;
use super::goal::{RunKind, WantedRun};
use super::pass::Pass;
use super::sets;
use super::valid::Strategy;
use crate::keys;
use crate::planted::{self, Bug};

/// What the current runs mean for the update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to say.
    None,
    /// Somebody has to look.
    Inconclusive,
    /// Abort, with this message (ABT-002).
    Abort(String),
}

impl RunKind {
    /// The label `rollout-type`, and the word in events (KEY-014, EVT-019).
    pub fn label(self) -> &'static str {
        match self {
            Self::Step(_) => "Step",
            Self::Background => "Background",
            Self::PrePromotion => "PrePromotion",
            Self::PostPromotion => "PostPromotion",
        }
    }

    /// The end of the run's name (HASH-010).
    pub fn infix(self) -> String {
        match self {
            Self::Step(index) => index.to_string(),
            Self::Background => String::new(),
            Self::PrePromotion => "pre".to_owned(),
            Self::PostPromotion => "post".to_owned(),
        }
    }

    /// What an abort by this run is called (ABT-002).
    fn abort_message(self) -> &'static str {
        match self {
            Self::Step(_) => "Step-based analysis phase error/failed",
            Self::Background => "Background analysis phase error/failed",
            Self::PrePromotion => "Blue/green pre-promotion analysis phase error/failed",
            Self::PostPromotion => "Blue/green post-promotion analysis phase error/failed",
        }
    }

    /// Where the status keeps this run.
    pub fn slot(self, status: &api::RolloutStatus) -> Option<&api::RolloutAnalysisRunStatus> {
        match self {
            Self::Step(_) => status.canary.current_step_analysis_run_status.as_ref(),
            Self::Background => status
                .canary
                .current_background_analysis_run_status
                .as_ref(),
            Self::PrePromotion => status.blue_green.pre_promotion_analysis_run_status.as_ref(),
            Self::PostPromotion => status
                .blue_green
                .post_promotion_analysis_run_status
                .as_ref(),
        }
    }

    /// The same, to be written.
    pub fn slot_mut(
        self,
        status: &mut api::RolloutStatus,
    ) -> &mut Option<api::RolloutAnalysisRunStatus> {
        match self {
            Self::Step(_) => &mut status.canary.current_step_analysis_run_status,
            Self::Background => &mut status.canary.current_background_analysis_run_status,
            Self::PrePromotion => &mut status.blue_green.pre_promotion_analysis_run_status,
            Self::PostPromotion => &mut status.blue_green.post_promotion_analysis_run_status,
        }
    }
}

/// The kinds that a Rollout of this strategy can have, in the order in which their outcome is judged.
pub(crate) fn kinds(pass: &Pass<'_>) -> [RunKind; 2] {
    match pass.valid.strategy {
        Strategy::Canary(_) => [RunKind::Step(pass.step_index()), RunKind::Background],
        Strategy::BlueGreen(_) => [RunKind::PrePromotion, RunKind::PostPromotion],
    }
}

/// The same as they were before this pass aborted, which goes back to the first step.
pub(crate) fn judged(pass: &Pass<'_>) -> [RunKind; 2] {
    let index = usize::try_from(pass.raw.status.current_step_index.unwrap_or(0)).unwrap_or(0);
    kinds(pass).map(|kind| match kind {
        RunKind::Step(_) => RunKind::Step(index),
        RunKind::Background | RunKind::PrePromotion | RunKind::PostPromotion => kind,
    })
}

/// No analysis is needed, and none is judged (RAN-001).
fn skipped(pass: &Pass<'_>) -> bool {
    pass.fully_promoted()
        || pass.aborted()
        || pass.status.promote_full
        || pass.is_initial()
        || pass.is_fast_rollback()
}

/// The run that the status names, or one that was created without the status having been written since.
pub(crate) fn current<'a>(pass: &Pass<'a>, kind: RunKind) -> Option<&'a api::AnalysisRun> {
    let runs = || pass.seen.analysis_runs.iter().map(AsRef::as_ref);
    let known = kind
        .slot(&pass.status)
        .and_then(|known| runs().find(|run| run.metadata.name == known.name))
        .filter(|run| belongs(pass, kind, run));
    let unknown = || {
        runs().rev().find(|run| {
            belongs(pass, kind, run) && !run.spec.terminate && !run.status.phase.completed()
        })
    };
    // The status may still name that of the step before, or one that was stopped and has its successor.
    match known {
        Some(run) if is_stopped(run) => unknown().or(known),
        Some(_) => known,
        None => unknown(),
    }
}

/// Whether it was stopped because nobody needed it any more.
fn is_stopped(run: &api::AnalysisRun) -> bool {
    run.metadata.annotations.contains_key(keys::STOPPED)
}

/// Whether a run is of this kind, of the current revision and, for a step, of the current step.
fn belongs(pass: &Pass<'_>, kind: RunKind, run: &api::AnalysisRun) -> bool {
    let label = |key: &str| run.metadata.labels.get(key).map(String::as_str);
    let step = match kind {
        RunKind::Step(index) => label(keys::STEP_INDEX) == Some(index.to_string().as_str()),
        RunKind::Background | RunKind::PrePromotion | RunKind::PostPromotion => true,
    };
    step && label(keys::ROLLOUT_TYPE) == Some(kind.label())
        && label(keys::POD_TEMPLATE_HASH) == Some(pass.hash.as_str())
}

/// Whether a run must be created although there is one: after a retry, or when somebody resumed after an inconclusive
/// one (RAN-004), or where the one that is there was stopped in a pass of which the status knows nothing.
pub(crate) fn needs_new(pass: &Pass<'_>, current: Option<&api::AnalysisRun>) -> bool {
    let Some(run) = current else {
        return true;
    };
    if is_stopped(run) {
        return true;
    }
    if resumed(pass) {
        run.status.phase == api::AnalysisPhase::Inconclusive
    } else {
        // A run that was made after the retry is not ended; one from before was told to stop, or is what failed.
        pass.retried && (run.spec.terminate || run.status.phase.completed())
    }
}

/// Somebody has taken back every pause that we made.
pub(crate) fn resumed(pass: &Pass<'_>) -> bool {
    pass.raw.status.controller_pause
        && ![
            api::PauseReason::CanaryPauseStep,
            api::PauseReason::BlueGreenPause,
            api::PauseReason::InconclusiveAnalysis,
        ]
        .iter()
        .any(|reason| pass.has_pause(reason))
}

/// What the current runs say (RAN-005). Runs that are to be replaced say nothing.
pub(crate) fn verdict(pass: &Pass<'_>) -> Verdict {
    if skipped(pass) || pass.changed || planted::is(Bug::VerdictIgnored) {
        return Verdict::None;
    }
    let mut verdict = Verdict::None;
    for kind in kinds(pass) {
        let Some(run) = current(pass, kind) else {
            continue;
        };
        if needs_new(pass, Some(run)) {
            continue;
        }
        match run.status.phase {
            api::AnalysisPhase::Failed | api::AnalysisPhase::Error => {
                let mut message = kind.abort_message().to_owned();
                if !run.status.message.is_empty() {
                    message = format!("{message}: {}", run.status.message);
                }
                return Verdict::Abort(message);
            }
            api::AnalysisPhase::Inconclusive => verdict = Verdict::Inconclusive,
            api::AnalysisPhase::Unset
            | api::AnalysisPhase::Pending
            | api::AnalysisPhase::Running
            | api::AnalysisPhase::Successful
            | api::AnalysisPhase::Unknown(_) => {}
        }
    }
    verdict
}

/// The analyses that a canary wants now (RAN-002, RAN-003).
pub(crate) fn wanted_by_canary(pass: &Pass<'_>, spec: &api::CanaryStrategy) -> Vec<WantedRun> {
    let mut wanted = Vec::new();
    if skipped(pass) {
        return wanted;
    }
    if let Some(analysis) = pass.step().and_then(|step| step.analysis.as_ref()) {
        wanted.push(WantedRun {
            kind: RunKind::Step(pass.step_index()),
            analysis: analysis.as_ref().clone(),
        });
    }
    if let Some(background) = &spec.analysis
        && !background.templates.is_empty()
        && pass.step_index() >= usize::try_from(background.starting_step.unwrap_or(0)).unwrap_or(0)
    {
        wanted.push(WantedRun {
            kind: RunKind::Background,
            analysis: background.analysis(),
        });
    }
    wanted
}

/// The analyses that a blue-green update wants now (RAN-006).
pub(crate) fn wanted_by_blue_green(
    pass: &Pass<'_>,
    spec: &api::BlueGreenStrategy,
    facts: &Facts,
) -> Vec<WantedRun> {
    let mut wanted = Vec::new();
    if skipped(pass) || facts.active.is_empty() {
        return wanted;
    }
    let mut want = |kind: RunKind, analysis: Option<&api::RolloutAnalysis>, ready: bool| {
        let Some(analysis) = analysis.filter(|analysis| !analysis.templates.is_empty()) else {
            return;
        };
        // Once begun, a pod that comes and goes does not stop it.
        if ready || current(pass, kind).is_some() {
            wanted.push(WantedRun {
                kind,
                analysis: analysis.clone(),
            });
        }
    };
    if facts.active == pass.hash {
        want(
            RunKind::PostPromotion,
            spec.post_promotion_analysis.as_ref(),
            facts.saturated,
        );
    } else {
        want(
            RunKind::PrePromotion,
            spec.pre_promotion_analysis.as_ref(),
            facts.ready,
        );
    }
    wanted
}

/// The analysis of the current step, if it has succeeded.
pub(crate) fn step_success<'a>(pass: &Pass<'a>) -> Option<&'a api::AnalysisRun> {
    success(pass, RunKind::Step(pass.step_index()))
}

/// Whether pre-promotion analysis has succeeded, or there is none.
pub(crate) fn pre_promotion_done(pass: &Pass<'_>, spec: &api::BlueGreenStrategy) -> bool {
    let none = spec
        .pre_promotion_analysis
        .as_ref()
        .is_none_or(|analysis| analysis.templates.is_empty());
    none || planted::is(Bug::SwitchUnanalysed) || success(pass, RunKind::PrePromotion).is_some()
}

/// Whether post-promotion analysis has succeeded, or there is none, or the update is long over.
pub(crate) fn post_promotion_done(pass: &Pass<'_>, spec: &api::BlueGreenStrategy) -> bool {
    let none = spec
        .post_promotion_analysis
        .as_ref()
        .is_none_or(|analysis| analysis.templates.is_empty());
    let done = pass.fully_promoted() || planted::is(Bug::PromoteUnanalysed);
    none || done || success(pass, RunKind::PostPromotion).is_some()
}

fn success<'a>(pass: &Pass<'a>, kind: RunKind) -> Option<&'a api::AnalysisRun> {
    current(pass, kind).filter(|run| {
        run.status.phase == api::AnalysisPhase::Successful && !needs_new(pass, Some(run))
    })
}

/// Runs of this Rollout that are not current and still at work: to be stopped (RAN-008).
pub(crate) fn to_stop<'a>(pass: &Pass<'a>, keep: &[&str]) -> Vec<&'a api::AnalysisRun> {
    pass.seen
        .analysis_runs
        .iter()
        .map(AsRef::as_ref)
        .filter(|run| {
            !keep.contains(&run.metadata.name.as_str())
                && !run.spec.terminate
                && !run.status.phase.completed()
                && run.metadata.deletion_timestamp.is_none()
        })
        .collect()
}

/// Runs that history no longer keeps: of sets that are gone, and beyond the limits (RAN-010).
pub(crate) fn to_delete<'a>(pass: &Pass<'a>, keep: &[&str]) -> Vec<&'a api::AnalysisRun> {
    let spec = &pass.raw.spec;
    let mut successful = usize::try_from(spec.successful_run_history_limit()).unwrap_or(0);
    let mut unsuccessful = usize::try_from(spec.unsuccessful_run_history_limit()).unwrap_or(0);
    let mut delete = Vec::new();
    // Newest first: those are kept.
    for run in pass.seen.analysis_runs.iter().rev().map(AsRef::as_ref) {
        if keep.contains(&run.metadata.name.as_str())
            || !run.status.phase.completed()
            || run.metadata.deletion_timestamp.is_some()
        {
            continue;
        }
        let hash = run
            .metadata
            .labels
            .get(keys::POD_TEMPLATE_HASH)
            .map_or("", String::as_str);
        let has_set = hash == pass.hash || pass.sets.by_hash(hash).is_some();
        let limit = if run.status.phase == api::AnalysisPhase::Successful {
            &mut successful
        } else {
            &mut unsuccessful
        };
        if has_set && *limit > 0 {
            *limit = limit.saturating_sub(1);
        } else {
            delete.push(run);
        }
    }
    delete
}

/// The name of a new run: `<rollout>-<hash>-<revision>[-<infix>]`, and `.1`, `.2` … after one that exists, whoever it
/// belongs to (HASH-010, ENG-060). A run of ours that could be used is not asked for anew: it is the current one.
pub(crate) fn name(pass: &Pass<'_>, kind: RunKind) -> String {
    let mut base = format!("{}-{}-{}", pass.raw.metadata.name, pass.hash, pass.revision);
    let infix = kind.infix();
    if !infix.is_empty() {
        base = format!("{base}-{infix}");
    }
    let taken = |name: &str| {
        pass.seen
            .analysis_runs
            .iter()
            .any(|run| run.metadata.name == name)
            || pass.seen.foreign_runs.contains(name)
    };
    if !taken(&base) {
        return base;
    }
    (1_u32..)
        .map(|number| format!("{base}.{number}"))
        .find(|name| !taken(name))
        .unwrap_or(base)
}

/// The revision annotation of a set, for readers of events.
pub(crate) fn revision_of(set: &crate::observed::ReplicaSet) -> i64 {
    sets::revision(&set.metadata.annotations)
}

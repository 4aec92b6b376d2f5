//! The canary strategy: what it wants of a pass. Sizes and shares are worked out beside it.

mod selectors;
mod share;
mod sizes;

use jiff::SignedDuration;
use sluice_api as api;

use super::goal::{AbortDelay, Goal, Others, Pause, Promotion, StepEnd, WantedRun, Weights};
use super::pass::Pass;
use super::runs;
use super::steps;
use super::valid::Canary;
use crate::observed::ReplicaSet;
use crate::planted::{self, Bug};

pub(crate) fn goal(pass: &Pass<'_>, canary: &Canary) -> Goal {
    let view = View {
        pass,
        canary,
        spec: spec(pass),
    };
    let sizes = view.sizes();
    let weights = (!pass.valid.routers.is_empty()).then(|| view.weights());
    let for_share = weights
        .as_ref()
        .map_or(0, |split| view.pods_of_stable(split.stable));
    Goal {
        // Services and weights stay as the sets are; only sizes wait (REC-019).
        switches_halted: None,
        sizes_halted: pass.halted(),
        new: sizes.canary,
        new_after_abort: view.abort_delay(),
        stable: sizes.stable.max(for_share),
        others: view.others(),
        selectors: view.selectors(),
        pause: view.pause(),
        runs: view.runs(),
        step: view.step_end(),
        promotion: view.promotion(weights.as_ref()),
        weights,
    }
}

/// The specification of the strategy. Validation has seen that it is there.
fn spec<'a>(pass: &Pass<'a>) -> &'a api::CanaryStrategy {
    static NONE: std::sync::LazyLock<api::CanaryStrategy> =
        std::sync::LazyLock::new(api::CanaryStrategy::default);
    pass.raw.spec.strategy.canary.as_ref().unwrap_or(&NONE)
}

struct View<'a, 'b> {
    pass: &'b Pass<'a>,
    canary: &'b Canary,
    spec: &'a api::CanaryStrategy,
}

impl<'a> View<'a, '_> {
    /// Canary and stable share that routers are known to apply.
    fn recorded(&self) -> Option<&api::TrafficWeights> {
        self.pass.status.canary.weights.as_ref()
    }

    /// The share that the steps ask for (CAN-002).
    fn step_weight(&self) -> i32 {
        let pass = self.pass;
        if pass.status.promote_full || pass.is_initial() || pass.fully_promoted() {
            return self.canary.max_weight;
        }
        if pass.aborted() {
            return self.abort_target();
        }
        if self.steps_done() {
            return self.canary.max_weight;
        }
        self.weight_of_step()
    }

    /// The share of the current step.
    fn weight_of_step(&self) -> i32 {
        let ahead = usize::from(planted::is(Bug::StepAhead));
        steps::weight_at(self.pass.steps(), self.pass.step_index() + ahead)
    }

    fn steps_done(&self) -> bool {
        self.pass.step_index() >= self.pass.steps().len()
    }

    fn abort_delay(&self) -> Option<AbortDelay> {
        let pass = self.pass;
        if !pass.aborted() || pass.sets.distinct_stable().is_none() || !self.canary.routed {
            return None;
        }
        let abort = pass.raw.spec.abort_scale_down_delay();
        if self.spec.dynamic_stable_scale && !abort.explicit {
            return None;
        }
        abort.delay.map(|delay| AbortDelay { delay })
    }

    fn others(&self) -> Others {
        let pass = self.pass;
        let min_available = self.min_available();
        if !self.canary.routed || (pass.fully_promoted() && self.spec.dynamic_stable_scale) {
            return Others::WithinAvailability { min_available };
        }
        Others::AfterDelay {
            delay: pass.raw.spec.scale_down_delay(),
            limit: pass.raw.spec.scale_down_delay_revision_limit(),
            keep: None,
            min_available,
            announced_only: !pass.fully_promoted(),
        }
    }

    fn pause(&self) -> Pause {
        let pass = self.pass;
        if pass.raw.spec.paused {
            return Pause::AsIs;
        }
        if pass.aborted() || pass.status.promote_full || pass.fully_promoted() || pass.is_initial()
        {
            return Pause::None;
        }
        match pass.step().and_then(|step| step.pause) {
            Some(pause) => Pause::Wanted {
                reason: api::PauseReason::CanaryPauseStep,
                duration: pause.duration,
            },
            None => Pause::None,
        }
    }

    /// A share of the update before is left over: where it goes is not this revision's yet.
    fn waits_for_share(&self) -> bool {
        !self.pass.valid.routers.is_empty() && self.left_over().is_some()
    }

    /// None begins while a share is left over: what it measures might be another revision's.
    fn runs(&self) -> Vec<WantedRun> {
        let mut wanted = runs::wanted_by_canary(self.pass, self.spec);
        if self.waits_for_share() {
            wanted.retain(|run| {
                let current = runs::current(self.pass, run.kind);
                !runs::needs_new(self.pass, current)
            });
        }
        wanted
    }

    fn step_end(&self) -> StepEnd {
        let pass = self.pass;
        if pass.raw.spec.paused
            || pass.aborted()
            || pass.is_initial()
            || pass.changed
            || pass.inconclusive
            // What this step is to show, another revision might show.
            || self.waits_for_share()
        {
            return StepEnd::Not;
        }
        let Some(step) = pass.step() else {
            return StepEnd::Not;
        };
        // A pause ends when it is over, whatever else is in its step. All the rest has to be there (PAU-003).
        if step.pause.is_some() {
            return StepEnd::WithPause;
        }
        let sized = step.scale.is_none() && step.weight.is_none() || self.at_counts();
        let analysed = step.analysis.is_none() || runs::step_success(pass).is_some();
        // No route leads to pods that are yet to come; one is removed whatever pods there are.
        let comes = pass.new_available() == 0 && self.step_sizes().canary > 0;
        let leads = !comes || !step.routes().any(steps::is_set);
        if !sized || !analysed || !leads {
            return StepEnd::Not;
        }
        StepEnd::WithRouters {
            weight: step.weight.map(|weight| self.reachable(weight)),
            routes: step.routes().next().is_some(),
        }
    }

    fn promotion(&self, weights: Option<&Weights>) -> Option<Promotion> {
        let pass = self.pass;
        let at_once = |reason: &str| {
            Some(Promotion {
                reason: reason.to_owned(),
                weight: None,
                active_service: None,
            })
        };
        if pass.sets.stable.is_none() {
            return at_once("Initial deploy");
        }
        if pass.aborted() || pass.fully_promoted() || pass.changed {
            return None;
        }
        let new = pass.new_set()?;
        if new.available < pass.replicas()
            && !self.promotion_threshold(new)
            && !planted::is(Bug::PromoteEarly)
        {
            return None;
        }
        if pass.status.promote_full {
            return at_once("Full promotion requested");
        }
        if pass.is_within_window() {
            return at_once("Rollback within window");
        }
        if self.steps_done() && pass.halted().is_none() && !pass.inconclusive {
            return Some(Promotion {
                reason: format!("Completed all {} canary steps", pass.steps().len()),
                weight: weights.map(|_| self.reachable(self.canary.max_weight)),
                active_service: None,
            });
        }
        None
    }

    /// The share that the new set can be waited for to get. Where nobody is served there is none, and steps go by; nor is
    /// there where the steps ask for no pods.
    fn reachable(&self, weight: i32) -> i32 {
        let no_pods = self.pass.new_available() == 0 && self.step_sizes().canary == 0;
        if self.pass.serves_nobody() || no_pods {
            0
        } else {
            weight
        }
    }

    fn promotion_threshold(&self, new: &ReplicaSet) -> bool {
        self.spec.replica_progress_threshold.is_some()
            && self.threshold_met(new, self.pass.replicas())
    }
}

/// How long until a timed pause ends.
pub(crate) fn remaining(
    pause: &api::PauseCondition,
    duration: SignedDuration,
    now: jiff::Timestamp,
) -> Option<jiff::Timestamp> {
    let end = pause
        .start_time
        .0
        .checked_add(duration)
        .unwrap_or(jiff::Timestamp::MAX);
    (end > now && !planted::is(Bug::PauseForgotten)).then_some(end)
}

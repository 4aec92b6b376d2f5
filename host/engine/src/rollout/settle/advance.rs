//! How far the update has come: its step, its restart, its promotion.

use sluice_api as api;

use super::Settling;
use crate::plan::{Done, Severity, WriteErrorKind};
use crate::planted::{self, Bug};
use crate::rollout::goal::StepEnd;
use crate::rollout::order::{self, Move, Need};
use crate::rollout::planner::Meaning;
use crate::rollout::progress;
use crate::rollout::restart::{self, Restart};
use crate::rollout::steps;

impl Settling<'_, '_> {
    /// One step ends per pass (PAU-003). A pause that comes next begins at once. An analysis that somebody wants measured
    /// again begins first: the step would take the resume with it.
    pub(super) fn step(&mut self) {
        let pass = self.pass;
        let over = self.measured_again() != Some(false)
            && match self.goal.step {
                StepEnd::Not => false,
                StepEnd::WithPause => self.pause_over(),
                StepEnd::WithRouters { weight, routes } => {
                    let routed = !routes || self.routes_are_in_force();
                    routed && self.may(Move::EndStep, weight, None)
                }
            };
        let index = pass.step_index();
        let spec = pass
            .raw
            .spec
            .strategy
            .canary
            .as_ref()
            .and_then(|canary| canary.steps.get(index));
        let (true, Some(spec)) = (over, spec) else {
            return;
        };
        let next = index.saturating_add(if planted::is(Bug::StepSkipped) { 2 } else { 1 });
        self.status.current_step_index = i32::try_from(next).ok();
        self.status.canary.current_step_analysis_run_status = None;
        self.status
            .pause_conditions
            .retain(|pause| pause.reason != api::PauseReason::CanaryPauseStep);
        if self.status.pause_conditions.is_empty() {
            self.status.controller_pause = false;
        }
        let count = pass.steps().len();
        self.event(
            Severity::Normal,
            "RolloutStepCompleted",
            format!(
                "Rollout step {next}/{count} completed ({})",
                steps::display(spec)
            ),
        );
        if let Some(pause) = pass.steps().get(next).and_then(|step| step.pause) {
            self.add_pause(api::PauseReason::CanaryPauseStep);
            if let Some(duration) = pause.duration {
                self.requeue = self.requeue.or_at(pass.after(pass.now(), duration));
            }
        }
    }

    /// A restart that is done, and one that a disruption budget holds up (RST-002).
    pub(super) fn restarts(&mut self) {
        if let Restart::Done(time) = restart::restart(self.pass) {
            self.status.restarted_at = Some(time);
        }
        let refused = self.got.done.iter().any(
            |done| matches!(done, Done::Failed(error) if error.kind == WriteErrorKind::Refused),
        );
        if refused {
            let again = self.pass.after(self.pass.now(), restart::REFUSED_AGAIN);
            self.requeue = self.requeue.or_at(again);
        }
    }

    /// Marks the new set stable (PAU-004, BGR-007). Returns the reason.
    pub(super) fn promotion(&mut self) -> Option<String> {
        let promotion = self.goal.promotion.clone()?;
        let active = promotion.active_service.as_deref();
        if !self.may(Move::Promote, promotion.weight, active) {
            return None;
        }
        if self.pass.new_set().is_none()
            && !self
                .done()
                .any(|meaning| matches!(meaning, Meaning::Created { .. }))
        {
            return None;
        }
        self.status.pause_conditions.clear();
        self.status.controller_pause = false;
        self.status.abort = false;
        self.status.aborted_at = None;
        self.status.promote_full = false;
        self.status.blue_green.scale_up_preview_check_point = false;
        let count = self.pass.steps().len();
        self.status.current_step_index = (count > 0).then(|| i32::try_from(count).ok()).flatten();
        self.status.canary.current_step_analysis_run_status = None;
        self.status.canary.current_background_analysis_run_status = None;
        self.status
            .stable_rs
            .clone_from(&self.status.current_pod_hash);
        Some(promotion.reason)
    }

    /// An update that this pass has not moved, and that is late, is aborted (REC-025); the next pass takes it back.
    pub(super) fn deadline(&mut self) {
        self.late = progress::deadline_abort(self.pass, &self.status);
        if self.late.is_none() {
            return;
        }
        self.status.abort = true;
        self.status.aborted_at = Some(self.pass.time());
        self.status.promote_full = false;
        self.status.pause_conditions.clear();
        self.status.controller_pause = false;
        if !self.pass.steps().is_empty() {
            self.status.current_step_index = Some(0);
        }
    }

    /// Whether everything that this move needs is known: this share of the canary, this Service on the new set.
    fn may(&self, of: Move, weight: Option<i32>, active: Option<&str>) -> bool {
        let unmet = order::blocked(of, |need| {
            let met = match need {
                Need::WeightConfirmed => weight.is_none_or(|weight| self.weight_is(weight)),
                Need::ActiveSelects => {
                    let selected = &self.status.blue_green.active_selector;
                    active.is_none() || *selected == self.status.current_pod_hash
                }
                Need::TargetReady
                | Need::ShareFits
                | Need::ShareReturned
                | Need::StableComplete
                | Need::NoTraffic
                | Need::Unreferenced
                | Need::EvictionsShown
                | Need::Spare
                | Need::SpareBesides
                | Need::AnotherServes => true,
            };
            met.then_some(()).ok_or_else(String::new)
        });
        unmet.is_none()
    }
}

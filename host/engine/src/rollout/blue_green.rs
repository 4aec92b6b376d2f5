//! The blue-green strategy: what it wants of a pass.

use jiff::SignedDuration;
use sluice_api as api;

use super::goal::{AbortDelay, Goal, Others, Pause, Promotion, Readiness, Selector, StepEnd};
use super::pass::Pass;
use super::valid::BlueGreen;
use super::{runs, sets};
use crate::planted::{self, Bug};

pub(crate) fn goal(pass: &Pass<'_>, blue_green: &BlueGreen) -> Goal {
    let view = View {
        pass,
        blue_green,
        spec: spec(pass),
    };
    let pause = view.pause();
    Goal {
        // Both sets follow the Rollout's size whatever is paused; only the switch waits (REC-019), and not that of an abort,
        // after which the new set loses its pods.
        switches_halted: pass.halted().filter(|_| !pass.aborted()),
        sizes_halted: None,
        new: view.new_size(),
        new_after_abort: view.abort_delay(),
        stable: pass.replicas(),
        others: view.others(),
        selectors: view.selectors(&pause),
        weights: None,
        runs: runs::wanted_by_blue_green(pass, view.spec, &view.facts()),
        pause,
        step: StepEnd::Not,
        promotion: view.promotion(),
    }
}

/// What analysis of a blue-green update depends on.
pub(crate) struct Facts {
    /// The new set is as large as a pause asks for, and available (BGR-002).
    pub ready: bool,
    /// The new set has every pod that the Rollout wants.
    pub saturated: bool,
    /// The hash that the active Service selects.
    pub active: String,
}

/// The specification of the strategy. Validation has seen that it is there.
fn spec<'a>(pass: &Pass<'a>) -> &'a api::BlueGreenStrategy {
    static NONE: std::sync::LazyLock<api::BlueGreenStrategy> =
        std::sync::LazyLock::new(api::BlueGreenStrategy::default);
    pass.raw.spec.strategy.blue_green.as_ref().unwrap_or(&NONE)
}

struct View<'a, 'b> {
    pass: &'b Pass<'a>,
    blue_green: &'b BlueGreen,
    spec: &'a api::BlueGreenStrategy,
}

impl View<'_, '_> {
    /// The hash that the active Service selects; empty where it selects every revision.
    fn active(&self) -> &str {
        self.pass.selected_hash(&self.blue_green.active_service)
    }

    fn facts(&self) -> Facts {
        Facts {
            ready: self.ready_for_pause(),
            saturated: self.saturated(),
            active: self.active().to_owned(),
        }
    }

    /// Size of the new set (BGR-013): small before the checkpoint, if a preview size is given.
    fn new_size(&self) -> i32 {
        let pass = self.pass;
        let Some(preview) = self.spec.preview_replica_count else {
            return pass.replicas();
        };
        let active = self.active();
        // A rollback needs no preview: the set it goes back to has its pods, and is to keep them.
        if active.is_empty()
            || active == pass.hash
            || pass.status.promote_full
            || pass.is_initial()
            || pass.is_fast_rollback()
        {
            return pass.replicas();
        }
        if pass.status.blue_green.scale_up_preview_check_point
            && pass.status.pause_conditions.is_empty()
        {
            return pass.replicas();
        }
        preview
    }

    /// The new set has the size that the update needs before it may wait or switch (BGR-002).
    fn ready_for_pause(&self) -> bool {
        if planted::is(Bug::SwitchUnsaturated) {
            return self.pass.new_set().is_some();
        }
        let size = self.new_size();
        self.pass
            .new_set()
            .is_some_and(|new| new.replicas == size && new.available == size)
    }

    fn saturated(&self) -> bool {
        self.pass
            .new_set()
            .is_some_and(|new| sets::is_saturated(new, self.pass.replicas()))
    }

    /// No pause is needed (BGR-003).
    fn fast_tracked(&self) -> bool {
        let active = self.active();
        self.pass.is_fast_rollback()
            || self.pass.status.promote_full
            || active.is_empty()
            || active == self.pass.hash
    }

    /// Whether somebody or the clock has to agree before the switch (BGR-004).
    fn needs_pause(&self) -> bool {
        if planted::is(Bug::SwitchUnasked) {
            return false;
        }
        !self.pass.raw.spec.auto_promotion_enabled() || self.spec.auto_promotion_seconds > 0
    }

    fn pause(&self) -> Pause {
        let pass = self.pass;
        if pass.aborted() {
            return Pause::None;
        }
        if !self.ready_for_pause() || pass.halted().is_some() {
            return Pause::AsIs;
        }
        if self.fast_tracked()
            || pass.status.blue_green.scale_up_preview_check_point
            || !self.needs_pause()
        {
            return Pause::None;
        }
        if !runs::pre_promotion_done(pass, self.spec) {
            return Pause::AsIs;
        }
        let manual = !pass.raw.spec.auto_promotion_enabled();
        Pause::Wanted {
            reason: api::PauseReason::BlueGreenPause,
            duration: (!manual)
                .then(|| SignedDuration::from_secs(i64::from(self.spec.auto_promotion_seconds))),
        }
    }

    /// The pause was taken and is over (BGR-005).
    fn pause_over(&self, pause: &Pause) -> bool {
        let pass = self.pass;
        match pause {
            Pause::AsIs => false,
            Pause::None => true,
            Pause::Wanted { reason, duration } => match (pass.pause(reason), duration) {
                (Some(present), Some(duration)) => {
                    super::canary::remaining(present, *duration, pass.now()).is_none()
                }
                (Some(_), None) => false,
                (None, _) => pass.status.controller_pause,
            },
        }
    }

    fn selectors(&self, pause: &Pause) -> Vec<Selector> {
        let pass = self.pass;
        let mut selectors = Vec::new();
        let to = |service: &str, hash: &str, readiness: Readiness| Selector {
            service: service.to_owned(),
            hash: hash.to_owned(),
            readiness,
            enough: 0,
            shared: false,
        };
        if let Some(service) = &self.blue_green.preview_service {
            selectors.push(to(service, &pass.hash, Readiness::None));
        }
        let active = &self.blue_green.active_service;
        if pass.aborted() {
            if let Some(stable) = pass.sets.stable {
                selectors.push(to(active, stable.hash(), Readiness::Serving));
            }
            return selectors;
        }
        let agreed = self.fast_tracked()
            || (self.pause_over(pause) && runs::pre_promotion_done(pass, self.spec));
        if self.ready_for_pause() && agreed {
            selectors.push(to(active, &pass.hash, Readiness::Saturated));
        }
        selectors
    }

    fn abort_delay(&self) -> Option<AbortDelay> {
        let pass = self.pass;
        if !pass.aborted() || pass.sets.distinct_stable().is_none() {
            return None;
        }
        let delay = pass.raw.spec.abort_scale_down_delay().delay?;
        Some(AbortDelay { delay })
    }

    fn others(&self) -> Others {
        let pass = self.pass;
        if pass.has_pause(&api::PauseReason::InconclusiveAnalysis) {
            return Others::Keep("paused with an inconclusive analysis");
        }
        let waits_for_analysis = self.spec.post_promotion_analysis.is_some()
            && self.spec.scale_down_delay_seconds.is_none();
        // Before the switch, and after an abort has switched back, there is nothing to analyse (RAN-006).
        let switched = pass.selected_hash(&self.blue_green.active_service) == pass.hash;
        if switched && waits_for_analysis && !runs::post_promotion_done(pass, self.spec) {
            return Others::Keep("post-promotion analysis has not succeeded");
        }
        Others::AfterDelay {
            delay: pass.raw.spec.scale_down_delay(),
            limit: pass.raw.spec.scale_down_delay_revision_limit(),
            keep: Some(pass.replicas()),
            min_available: 0,
            announced_only: false,
        }
    }

    fn promotion(&self) -> Option<Promotion> {
        let pass = self.pass;
        let promotion = |reason: &str, active: bool| {
            Some(Promotion {
                reason: reason.to_owned(),
                weight: None,
                active_service: active.then(|| self.blue_green.active_service.clone()),
            })
        };
        if pass.sets.stable.is_none() {
            return promotion("Initial deploy", false);
        }
        if pass.fully_promoted() || pass.changed {
            return None;
        }
        if pass.status.promote_full {
            return promotion("Full promotion requested", true);
        }
        if pass.is_within_window() {
            return promotion("Rollback within window", true);
        }
        if pass.is_fast_rollback() {
            return promotion("Fast rollback", true);
        }
        if pass.aborted() || !runs::post_promotion_done(pass, self.spec) {
            return None;
        }
        promotion("Completed blue-green update", true)
    }
}

//! Pauses that begin or end.

use sluice_api as api;

use super::Settling;
use crate::planted::{self, Bug};
use crate::rollout::goal::Pause;
use crate::rollout::planner::Meaning;
use crate::rollout::{canary, runs};

impl Settling<'_, '_> {
    /// Pauses that begin or end (PAU-001, BGR-005). Returns whether somebody or the clock resumed the update.
    pub(super) fn pauses(&mut self) -> bool {
        let pass = self.pass;
        if pass.aborted() {
            return false;
        }
        if pass.inconclusive && !pass.has_pause(&api::PauseReason::InconclusiveAnalysis) {
            self.add_pause(api::PauseReason::InconclusiveAnalysis);
        }
        let had = !pass.status.pause_conditions.is_empty();
        match &self.goal.pause {
            Pause::AsIs => {}
            Pause::None => self.status.pause_conditions.retain(|pause| {
                !matches!(
                    pause.reason,
                    api::PauseReason::CanaryPauseStep | api::PauseReason::BlueGreenPause
                )
            }),
            Pause::Wanted { reason, duration } => match pass.pause(reason) {
                Some(pause) => {
                    if let Some(duration) = duration {
                        match canary::remaining(pause, *duration, pass.now()) {
                            Some(end) => self.requeue = self.requeue.or_at(end),
                            None => self
                                .status
                                .pause_conditions
                                .retain(|pause| &pause.reason != reason),
                        }
                    }
                }
                None if duration.is_none() && planted::is(Bug::IndefinitePauseEnds) => {
                    self.status.controller_pause = true;
                }
                // Gone although we paused: somebody resumed.
                None if pass.status.controller_pause => {}
                None => self.add_pause(reason.clone()),
            },
        }
        let resumed = had && self.status.pause_conditions.is_empty();
        self.check_point();
        resumed
    }

    /// A resume that was acted upon is forgotten, or the next pause would end by it (PAU-002). One that waits for pods or
    /// for a write that failed is remembered.
    pub(super) fn resume(&mut self) {
        if !self.status.pause_conditions.is_empty() || !self.status.controller_pause {
            return;
        }
        let acted_upon = self
            .measured_again()
            .unwrap_or(self.goal.pause == Pause::None || self.agreed_to_grow());
        if acted_upon {
            self.status.controller_pause = false;
        }
    }

    /// The check point remembers what a small preview was resumed for.
    fn agreed_to_grow(&self) -> bool {
        self.status.blue_green.scale_up_preview_check_point
    }

    /// Whether the analyses that a resume asks for anew have begun; None where it asks for none.
    pub(super) fn measured_again(&self) -> Option<bool> {
        let pass = self.pass;
        let wanted = self.goal.runs.iter().map(|run| run.kind);
        let mut again = wanted
            .filter(|kind| {
                let before = runs::current(pass, *kind);
                runs::resumed(pass) && before.is_some() && runs::needs_new(pass, before)
            })
            .peekable();
        again.peek()?;
        let begun = |kind| {
            self.done().any(|meaning| matches!(meaning, Meaning::Started { kind: started, .. } if *started == kind))
        };
        Some(again.all(begun))
    }

    pub(super) fn add_pause(&mut self, reason: api::PauseReason) {
        self.status.pause_conditions.push(api::PauseCondition {
            reason,
            start_time: self.pass.time(),
        });
        self.status.controller_pause = true;
    }

    /// Whether the pause that this pass is about is over.
    pub(super) fn pause_over(&self) -> bool {
        match &self.goal.pause {
            Pause::Wanted { reason, .. } => {
                self.pass.status.controller_pause
                    && !self
                        .status
                        .pause_conditions
                        .iter()
                        .any(|pause| &pause.reason == reason)
            }
            Pause::None => true,
            Pause::AsIs => false,
        }
    }

    /// The preview was large enough, analysed and agreed to: from now on it may grow (BGR-014).
    fn check_point(&mut self) {
        let Some(spec) = &self.pass.raw.spec.strategy.blue_green else {
            return;
        };
        let Some(preview) = spec.preview_replica_count else {
            self.status.blue_green.scale_up_preview_check_point = false;
            return;
        };
        if self.pass.fully_promoted() || self.status.blue_green.scale_up_preview_check_point {
            return;
        }
        let available = self.pass.new_available() == preview;
        if available && self.pause_over() && runs::pre_promotion_done(self.pass, spec) {
            self.status.blue_green.scale_up_preview_check_point = true;
        }
    }
}

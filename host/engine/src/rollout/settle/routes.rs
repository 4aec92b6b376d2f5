//! How the traffic is split, as far as it is known to be in force.

use sluice_api as api;

use super::Settling;
use crate::plan::{Done, Event, Planned, Role, Severity, WriteErrorKind};
use crate::rollout::planner::Meaning;
use crate::rollout::traffic::{self, Answered, TRAFFIC_ROUTING_ERROR};
use crate::rollout::valid::subject;

impl Settling<'_, '_> {
    /// The split as far as it is known to be in force (ST-018).
    pub(super) fn weights(&mut self) {
        if self.pass.valid.routers.is_empty() {
            if self.made.course.leaving.is_over().is_ok() {
                self.status.canary.weights = None;
            }
            return;
        }
        let Some(routing) = &self.made.course.routing else {
            return;
        };
        for answered in &routing.routers {
            if let Answered::Plan {
                status: Some(fragment),
                ..
            } = answered
            {
                merge_fragment(&mut self.status, fragment);
            }
        }
        let Some(weights) = routing.settled(|router| self.applied(router)) else {
            return;
        };
        let old = self.status.canary.weights.as_ref();
        let same = old.is_some_and(|old| {
            old.canary == weights.canary
                && old.stable == weights.stable
                && old.additional == weights.additional
        });
        if same {
            self.status.canary.weights = Some(weights);
            return;
        }
        let message = match old {
            None => Some(format!(
                "Traffic weight updated to {}",
                weights.canary.weight
            )),
            Some(old) if old.canary.weight != weights.canary.weight => Some(format!(
                "Traffic weight updated from {} to {}",
                old.canary.weight, weights.canary.weight
            )),
            Some(_) => None,
        };
        self.status.canary.weights = Some(weights);
        if let Some(message) = message {
            self.event(Severity::Normal, "TrafficWeightUpdated", message);
        }
    }

    /// A change of a router that the API server did not take (EVT-015). A conflict is no failure: the pass runs again.
    pub(super) fn failed_routes(&mut self) {
        let failed: Vec<String> = self
            .made
            .course
            .meanings
            .iter()
            .filter(|(_, meaning)| matches!(meaning, Meaning::Routed(_) | Meaning::Released(_)))
            .filter_map(|(index, _)| match self.got.done.get(*index) {
                Some(Done::Failed(error))
                    if !matches!(
                        error.kind,
                        WriteErrorKind::Conflict | WriteErrorKind::NotLeading
                    ) =>
                {
                    Some(error.message.clone())
                }
                _ => None,
            })
            .collect();
        let kept = traffic::kept(self.pass.seen);
        for message in failed {
            let message = format!("{message}{kept}");
            self.event(Severity::Warning, TRAFFIC_ROUTING_ERROR, message);
        }
    }

    /// Routers for which pods wait no longer. It is said once, and that it was is on the Rollout.
    pub(super) fn late_routers(&self) -> Vec<Event> {
        let mut actions = self.made.plan.actions.iter().enumerate();
        let is_noted = |(index, planned): (usize, &Planned)| {
            planned.role == Role::Subject && self.got.succeeded(index)
        };
        if !actions.any(is_noted) {
            return Vec::new();
        }
        let late = self.made.course.leaving.late.iter();
        late.map(|(name, why)| Event {
            about: subject(self.pass.raw),
            severity: Severity::Warning,
            reason: TRAFFIC_ROUTING_ERROR.to_owned(),
            message: format!(
                "Router {name}, which is not named any more, has not let go of the Rollout and is waited for no longer: {why}"
            ),
        })
        .collect()
    }

    pub(super) fn applied_all_routes(&self) -> bool {
        let count = self
            .made
            .course
            .routing
            .as_ref()
            .map_or(0, |routing| routing.routers.len());
        let released = |(index, meaning): (&usize, &Meaning)| {
            !matches!(meaning, Meaning::Released(_)) || self.got.succeeded(*index)
        };
        (0..count).all(|router| self.applied(router))
            && self.made.course.meanings.iter().all(released)
    }

    /// Whether all changes of this router were applied.
    fn applied(&self, router: usize) -> bool {
        self.made
            .course
            .meanings
            .iter()
            .filter(|(_, meaning)| **meaning == Meaning::Routed(router))
            .all(|(index, _)| self.got.succeeded(*index))
    }

    /// Whether routers are known to apply the routes of the steps. None that was not asked, since it has not been checked
    /// yet, applies anything that anybody knows of; and what was asked may be of the step before, if somebody has skipped that
    /// since.
    pub(super) fn routes_are_in_force(&self) -> bool {
        let routing = self.made.course.routing.as_ref();
        routing
            .zip(self.goal.weights.as_ref())
            .is_some_and(|(routing, weights)| {
                let asked = routing.header_routes == weights.header_routes
                    && routing.mirror_routes == weights.mirror_routes;
                let settled = routing.settled(|router| self.applied(router));
                asked && settled.is_some_and(|weights| weights.verified != Some(false))
            })
    }

    /// Whether routers are known to send this share to the canary (without a router there is nothing to know).
    pub(super) fn weight_is(&self, weight: i32) -> bool {
        if self.pass.valid.routers.is_empty() {
            return true;
        }
        self.status.canary.weights.as_ref().is_some_and(|weights| {
            weights.canary.weight == weight
                && weights.canary.pod_template_hash == self.pass.hash
                && weights.verified != Some(false)
        })
    }
}

/// Takes over the keys that a router's manifest declares for the status; the plugin host has dropped all others.
fn merge_fragment(status: &mut api::RolloutStatus, fragment: &serde_json::Value) {
    let Ok(mut whole) = serde_json::to_value(&*status) else {
        return;
    };
    if let (Some(whole), Some(fragment)) = (whole.as_object_mut(), fragment.as_object()) {
        for (key, value) in fragment {
            whole.insert(key.clone(), value.clone());
        }
    }
    if let Ok(merged) = serde_json::from_value(whole) {
        *status = merged;
    }
}

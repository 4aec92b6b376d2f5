//! Events of a pass, in the order that clients know.

use sluice_api as api;

use super::Settling;
use crate::hash::CallKey;
use crate::observed::Observed;
use crate::plan::{Event, Severity};
use crate::plugin::Slot;
use crate::rollout::conditions::{self, Transitions};
use crate::rollout::planner::Meaning;
use crate::rollout::valid::subject;
use crate::rollout::{Strategy, traffic};

impl Settling<'_, '_> {
    /// What was done, whatever becomes of the status: a new revision and its set, and then sizes and Services.
    pub(super) fn of_writes(&self) -> (Vec<Event>, Vec<Event>) {
        let revision = self.pass.revision;
        let revised = self.done().filter_map(|meaning| match meaning {
            Meaning::Revised(revision) => Some((
                "RolloutUpdated",
                format!("Rollout updated to revision {revision}"),
            )),
            _ => None,
        });
        let created = self.done().filter_map(|meaning| match meaning {
            Meaning::Created { name, .. } => Some((
                "NewReplicaSetCreated",
                format!("Created ReplicaSet {name} (revision {revision})"),
            )),
            _ => None,
        });
        let changed = self.done().filter_map(|meaning| match meaning {
            Meaning::Created { name, replicas } if *replicas > 0 => {
                Some(scaled(name, revision, 0, *replicas))
            }
            meaning => told(meaning),
        });
        let event = |(reason, message)| normal(self.pass.raw, reason, message);
        (
            revised.chain(created).map(event).collect(),
            changed.map(event).collect(),
        )
    }

    /// Events in the order that clients know (EVT-060, EVT-061).
    pub(super) fn announce(&mut self, transitions: &Transitions, promoted: Option<&str>) {
        let pass = self.pass;
        let mut first = Vec::new();
        std::mem::swap(&mut first, &mut self.events);
        self.events.extend(added(pass.raw));
        let (revised, changed) = self.of_writes();
        self.events.extend(revised);
        // Upstream marks the first revision of a canary stable in its second status write only, and says so in between;
        // clients know the sequence (EVT-060). That of blue-green has one write (EVT-061).
        let first_canary = promoted.is_some()
            && pass.raw.status.stable_rs.is_empty()
            && conditions::find(&pass.raw.status, &api::RolloutConditionType::Completed).is_none()
            && matches!(pass.valid.strategy, Strategy::Canary(_));
        if transitions.not_completed || first_canary {
            self.event(
                Severity::Normal,
                "RolloutNotCompleted",
                format!(
                    "Rollout not completed, started update to revision {} ({})",
                    pass.revision, pass.hash
                ),
            );
        }
        self.events.append(&mut self.judged);
        if let Some(message) = pass.skipped {
            self.event(Severity::Normal, "SkipSteps", message.to_owned());
        }
        self.events.extend(changed);
        if let Some(message) = &transitions.aborted {
            // Upstream says this twice (EVT-011).
            if let Some(late) = self.late.clone() {
                self.event(Severity::Warning, "RolloutAborted", late);
            }
            self.event(Severity::Warning, "RolloutAborted", message.clone());
        }
        self.events.append(&mut first);
        if let Some(reason) = promoted {
            self.event(
                Severity::Normal,
                "RolloutCompleted",
                format!(
                    "Rollout completed update to revision {} ({}): {reason}",
                    pass.revision, pass.hash
                ),
            );
        }
        let was_paused = !pass.raw.status.pause_conditions.is_empty();
        let is_paused = self
            .status
            .pause_conditions
            .first()
            .map(|pause| pause.reason.clone());
        let resumed_by_user =
            !was_paused && pass.raw.status.controller_pause && !self.status.controller_pause;
        // One pause has ended and the next begun, which upstream says in two passes.
        let moved =
            pass.changed || self.status.current_step_index != pass.raw.status.current_step_index;
        let next = moved && (was_paused || pass.raw.status.controller_pause);
        if next && is_paused.is_some() {
            self.event(
                Severity::Normal,
                "RolloutResumed",
                "Rollout is resumed".to_owned(),
            );
        }
        match is_paused {
            Some(reason) if !was_paused || next => {
                self.event(
                    Severity::Normal,
                    "RolloutPaused",
                    format!("Rollout is paused ({reason})"),
                );
            }
            None if (was_paused || resumed_by_user) && !self.status.abort => {
                self.event(
                    Severity::Normal,
                    "RolloutResumed",
                    "Rollout is resumed".to_owned(),
                );
            }
            Some(_) | None => {}
        }
    }
}

/// An event about the Rollout that is no warning.
pub(super) fn normal(raw: &api::Rollout, reason: &str, message: String) -> Event {
    Event {
        about: subject(raw),
        severity: Severity::Normal,
        reason: reason.to_owned(),
        message,
    }
}

/// A warning about the Rollout itself.
pub(super) fn warning(raw: &api::Rollout, reason: &str, message: String) -> Event {
    Event {
        severity: Severity::Warning,
        ..normal(raw, reason, message)
    }
}

/// Nobody has looked at this Rollout before. Upstream says so whenever its cache meets the object, so again after every
/// restart; once is what it means (EVT-001).
pub(super) fn added(raw: &api::Rollout) -> Option<Event> {
    let metadata = &raw.metadata;
    raw.status.observed_generation.is_empty().then(|| {
        let (namespace, name) = (&metadata.namespace, &metadata.name);
        let message = format!("Rollout resource added to informer: {namespace}/{name}");
        normal(raw, "RolloutAddedToInformer", message)
    })
}

/// The event about a set that has another size, or a Service that has another selector.
pub(super) fn told(meaning: &Meaning) -> Option<(&'static str, String)> {
    match meaning {
        Meaning::Scaled {
            name,
            revision,
            from,
            to,
        } => Some(scaled(name, *revision, *from, *to)),
        Meaning::Switched { service, from, to } if from != to => Some((
            "SwitchService",
            format!("Switched selector for service '{service}' from '{from}' to '{to}'"),
        )),
        _ => None,
    }
}

fn scaled(name: &str, revision: i64, from: i32, to: i32) -> (&'static str, String) {
    let direction = if to > from { "up" } else { "down" };
    (
        "ScalingReplicaSet",
        format!("Scaled {direction} ReplicaSet {name} (revision {revision}) from {from} to {to}"),
    )
}

/// Events of plugins that no pass has reported yet. Held back as long as changes of theirs are not applied.
pub(super) fn notices(seen: &Observed, applied: bool) -> (Vec<Event>, Vec<(Slot, CallKey)>) {
    let mut events = Vec::new();
    let mut reported = Vec::new();
    if !applied {
        return (events, reported);
    }
    for (slot, key, notices) in traffic::unreported(seen) {
        for notice in notices {
            events.push(Event {
                about: subject(&seen.rollout),
                severity: notice.severity,
                reason: notice.reason,
                message: notice.message,
            });
        }
        reported.push((slot, key));
    }
    (events, reported)
}

//! What the status says of ReplicaSets and of the Services that select them.

use sluice_api as api;

use super::Settling;
use crate::keys;
use crate::plan::{Done, Severity, WriteErrorKind};
use crate::rollout::conditions::{self, CREATE_ERROR};
use crate::rollout::planner::Meaning;
use crate::rollout::{Strategy, progress};
use crate::selector;

impl Settling<'_, '_> {
    pub(super) fn count(&mut self) {
        let tally = progress::tally(self.pass, &self.status);
        self.status.replicas = tally.replicas;
        self.status.updated_replicas = tally.updated;
        self.status.ready_replicas = tally.ready;
        self.status.available_replicas = tally.available;
        self.status.hpa_replicas = tally.hpa;
        let spec = &self.pass.raw.spec;
        self.status.selector = match self.pass.active_by_status(&self.status).flatten() {
            Some(active) => {
                let mut selector = spec.selector.clone().unwrap_or_default();
                selector
                    .match_labels
                    .insert(keys::POD_TEMPLATE_HASH.to_owned(), active.hash().to_owned());
                selector::format(Some(&selector))
            }
            None => selector::format(spec.selector.as_ref()),
        };
    }

    /// A set of the new revision that could not be created (CND-014), or was (CND-004).
    pub(super) fn creations(&mut self) {
        let pass = self.pass;
        let failed = self
            .made
            .course
            .meanings
            .iter()
            .find_map(|(index, meaning)| {
                let Meaning::Created { name, .. } = meaning else {
                    return None;
                };
                match self.got.done.get(*index) {
                    Some(Done::Failed(error)) => Some((name.clone(), error.clone())),
                    Some(Done::Applied { .. } | Done::Asked | Done::Skipped) | None => None,
                }
            });
        if let Some((name, error)) = failed {
            match error.kind {
                WriteErrorKind::Invalid
                | WriteErrorKind::NotFound
                | WriteErrorKind::Unavailable => {
                    let message = conditions::uncreated(&name, &error.message);
                    // An update that is late or aborted stays so, whatever else does not work; a new one is neither.
                    if pass.changed || !conditions::is_over(&self.status) {
                        conditions::set(
                            &mut self.status,
                            pass.time(),
                            api::RolloutConditionType::Progressing,
                            api::ConditionStatus::False,
                            CREATE_ERROR,
                            &message,
                        );
                    }
                    // Each attempt is told, so that the reason is known for as long as it fails.
                    self.event(Severity::Warning, CREATE_ERROR, message);
                }
                // An object of this name: ours, whose creation was not answered, or another one. The next pass looks,
                // because the status has the hash now (HASH-009).
                WriteErrorKind::AlreadyExists
                | WriteErrorKind::Conflict
                | WriteErrorKind::Refused
                | WriteErrorKind::NotLeading => {}
            }
            return;
        }
        let created: Vec<String> = self
            .done()
            .filter_map(|meaning| match meaning {
                Meaning::Created { name, .. } => Some(name.clone()),
                _ => None,
            })
            .collect();
        for name in created {
            conditions::renew(
                &mut self.status,
                pass.time(),
                api::RolloutConditionType::Progressing,
                api::ConditionStatus::True,
                "NewReplicaSetCreated",
                &format!("Created new replica set \"{name}\""),
            );
        }
        // Also one whose creation seemed to have failed.
        let known = conditions::find(&self.status, &api::RolloutConditionType::Progressing)
            .is_some_and(|condition| condition.reason != CREATE_ERROR);
        if let Some(set) = pass.new_set()
            && !known
        {
            conditions::set(
                &mut self.status,
                pass.time(),
                api::RolloutConditionType::Progressing,
                api::ConditionStatus::True,
                "FoundNewReplicaSet",
                &format!("Found new replica set \"{}\"", set.metadata.name),
            );
        }
    }

    /// The hashes that the Services select now, this pass's switches included (ST-021).
    pub(super) fn selectors(&mut self) {
        let Strategy::BlueGreen(blue_green) = &self.pass.valid.strategy else {
            return;
        };
        let mut active = self
            .pass
            .selected_hash(&blue_green.active_service)
            .to_owned();
        let mut preview = blue_green
            .preview_service
            .as_ref()
            .map(|service| self.pass.selected_hash(service).to_owned())
            .unwrap_or_default();
        for meaning in self.done() {
            if let Meaning::Switched { service, to, .. } = meaning {
                if *service == blue_green.active_service {
                    active.clone_from(to);
                } else if blue_green.preview_service.as_ref() == Some(service) {
                    preview.clone_from(to);
                }
            }
        }
        self.status.blue_green.active_selector = active;
        self.status.blue_green.preview_selector = preview;
    }
}

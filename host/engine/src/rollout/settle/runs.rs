//! What the status says of the analyses, and what became of them.

use sluice_api as api;

use super::Settling;
use crate::plan::{Event, Severity};
use crate::rollout::goal::RunKind;
use crate::rollout::planner::Meaning;
use crate::rollout::runs;
use crate::rollout::valid::subject;

impl Settling<'_, '_> {
    /// What the status says of the current runs (ST-015, ST-016, ST-023), and their transitions (EVT-019).
    pub(super) fn runs(&mut self) {
        let started: Vec<(RunKind, String)> = self
            .done()
            .filter_map(|meaning| match meaning {
                Meaning::Started { kind, name } => Some((*kind, name.clone())),
                _ => None,
            })
            .collect();
        let pass = self.pass;
        // What made this pass abort is said before it is forgotten.
        if pass.abort.is_some() {
            for kind in runs::judged(pass) {
                let forgotten = matches!(kind, RunKind::Step(_) | RunKind::Background);
                if forgotten && let Some(run) = runs::current(pass, kind) {
                    let old = kind.slot(&pass.raw.status).cloned();
                    self.run_event(kind, old.as_ref(), run);
                }
            }
        }
        for kind in runs::kinds(pass) {
            let wanted = self.goal.runs.iter().any(|run| run.kind == kind);
            let old = kind.slot(&pass.raw.status).cloned();
            let next = if let Some((_, name)) = started.iter().find(|(started, _)| *started == kind)
            {
                Some(api::RolloutAnalysisRunStatus {
                    name: name.clone(),
                    ..api::RolloutAnalysisRunStatus::default()
                })
            } else {
                match runs::current(pass, kind) {
                    Some(run)
                        if wanted || !matches!(kind, RunKind::Step(_) | RunKind::Background) =>
                    {
                        self.run_event(kind, old.as_ref(), run);
                        Some(api::RolloutAnalysisRunStatus {
                            name: run.metadata.name.clone(),
                            status: run.status.phase.clone(),
                            message: run.status.message.clone(),
                        })
                    }
                    Some(_) | None => None,
                }
            };
            *kind.slot_mut(&mut self.status) = next;
        }
    }

    fn run_event(
        &mut self,
        kind: RunKind,
        old: Option<&api::RolloutAnalysisRunStatus>,
        run: &api::AnalysisRun,
    ) {
        let phase = &run.status.phase;
        let changed = old.is_none_or(|old| old.name == run.metadata.name && old.status != *phase);
        if phase.is_empty() || !changed {
            return;
        }
        let previous = old.map_or_else(
            || "NoPreviousStatus".to_owned(),
            |old| old.status.to_string(),
        );
        let severity = match phase {
            api::AnalysisPhase::Failed | api::AnalysisPhase::Error => Severity::Warning,
            _ => Severity::Normal,
        };
        self.judged.push(Event {
            about: subject(self.pass.raw),
            severity,
            reason: format!("AnalysisRun{phase}"),
            message: format!(
                "{} Analysis Run '{}' Status New: '{phase}' Previous: '{previous}'",
                kind.label(),
                run.metadata.name
            ),
        });
    }
}

//! Starts, keeps, stops and forgets the AnalysisRuns of a Rollout.

use serde_json::{Value, json};
use sluice_api as api;

use super::goal::{Goal, RunKind, WantedRun};
use super::pass::Pass;
use super::planner::{Meaning, Planner};
use super::runs;
use crate::analysis::template;
use crate::keys;
use crate::object::ObjectKey;
use crate::plan::{Edit, Propagation, Role, Subresource, Write};
use crate::planted::{self, Bug};
use crate::report::Report;

pub(crate) fn plan(pass: &Pass<'_>, goal: &Goal, planner: &mut Planner, report: &mut Report) {
    let somebody_has_to_look =
        pass.inconclusive || pass.has_pause(&api::PauseReason::InconclusiveAnalysis);
    let mut keep = Vec::new();
    for wanted in &goal.runs {
        let current = runs::current(pass, wanted.kind);
        if somebody_has_to_look || !runs::needs_new(pass, current) {
            keep.extend(current.map(|run| run.metadata.name.as_str()));
            continue;
        }
        // A step's analysis does not begin while anything is paused (RAN-003).
        let paused = !pass.status.pause_conditions.is_empty() || pass.raw.spec.paused;
        if matches!(wanted.kind, RunKind::Step(_)) && paused {
            continue;
        }
        // The set must exist before something is measured on it.
        if pass.new_set().is_none() {
            continue;
        }
        start(pass, wanted, planner, report);
    }
    for run in runs::to_stop(pass, &keep) {
        if planted::is(Bug::RunsLeftRunning) {
            continue;
        }
        planner.write(
            Role::StopRun,
            Write {
                target: key(&run.metadata),
                edit: Edit::MergePatch(json!({
                    "metadata": { "annotations": { (keys::STOPPED): "true" } },
                    "spec": { "terminate": true },
                })),
                subresource: Subresource::None,
                precondition: Some(run.metadata.resource_version.clone()),
                reason: "no longer needed".to_owned(),
            },
            Meaning::Other,
        );
    }
    let mut remembered = keep.clone();
    for kind in runs::kinds(pass) {
        remembered.extend(kind.slot(&pass.status).map(|slot| slot.name.as_str()));
    }
    for run in runs::to_delete(pass, &remembered) {
        planner.write(
            Role::Retire,
            Write {
                target: key(&run.metadata),
                edit: Edit::Delete(Propagation::Background),
                subresource: Subresource::None,
                precondition: None,
                reason: "beyond the history limit".to_owned(),
            },
            Meaning::Other,
        );
    }
}

fn start(pass: &Pass<'_>, wanted: &WantedRun, planner: &mut Planner, report: &mut Report) {
    let name = runs::name(pass, wanted.kind);
    let request = template::RunRequest {
        rollout: pass.raw,
        analysis: &wanted.analysis,
        templates: &pass.seen.analysis_templates,
        cluster_templates: &pass.seen.cluster_analysis_templates,
        name: &name,
        rollout_type: wanted.kind.label(),
        step_index: match wanted.kind {
            RunKind::Step(index) => Some(index),
            RunKind::Background | RunKind::PrePromotion | RunKind::PostPromotion => None,
        },
        stable_hash: &pass.status.stable_rs,
        latest_hash: &pass.hash,
        revision: pass.revision,
    };
    match template::run(&request) {
        Ok(body) => create(pass, wanted.kind, name, body, planner),
        // Validation has seen the templates; one that vanished since is waited for.
        Err(message) => report.wait(format!("AnalysisRun {name}"), message),
    }
}

fn create(pass: &Pass<'_>, kind: RunKind, name: String, body: Value, planner: &mut Planner) {
    let target = ObjectKey::namespaced(
        "argoproj.io/v1alpha1",
        "AnalysisRun",
        &pass.raw.metadata.namespace,
        &name,
    );
    planner.write(
        Role::StartRun,
        Write {
            target,
            edit: Edit::Create(body),
            subresource: Subresource::None,
            precondition: None,
            reason: format!("{} analysis", kind.label()),
        },
        Meaning::Started { kind, name },
    );
}

fn key(metadata: &api::ObjectMeta) -> ObjectKey {
    ObjectKey::namespaced(
        "argoproj.io/v1alpha1",
        "AnalysisRun",
        &metadata.namespace,
        &metadata.name,
    )
}

//! What a plugin is told of its subject: the object without what is large and means nothing to it.

use serde_json::{Value, json};
use sluice_api as api;
use sluice_plugin_host::SubjectBody;

/// A Rollout as it is; the plugin host leaves the pod template out unless the plugin asks for it.
pub(crate) fn rollout(rollout: &api::Rollout) -> SubjectBody {
    SubjectBody::new(serde_json::to_value(rollout).unwrap_or_default())
}

/// An AnalysisRun without its measurements: the one that matters is part of the call.
pub(crate) fn run(run: &api::AnalysisRun) -> SubjectBody {
    let object: Value = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": run.metadata,
        "spec": run.spec,
        "status": { "phase": run.status.phase, "startedAt": run.status.started_at },
    });
    SubjectBody::new(object)
}

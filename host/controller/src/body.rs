//! What a plugin is told of its subject: the object without what is large and means nothing to it.

use serde_json::{Value, json};
use sluice_api as api;
use sluice_engine::object::Subject;
use sluice_engine::plugin::{Ask, PluginCall};
use sluice_engine::rollout::Recorded;
use sluice_plugin_host::SubjectBody;

/// A Rollout as this call is to see it.
pub(crate) fn of_rollout(object: &api::Rollout, call: &PluginCall) -> SubjectBody {
    if call.ask == Ask::Route(None) {
        let record = sluice_engine::rollout::record(object);
        released(object, record.get(&call.slot.plugin.name))
    } else {
        rollout(object)
    }
}

/// A Rollout as it is; the plugin host leaves the pod template out unless the plugin asks for it.
fn rollout(rollout: &api::Rollout) -> SubjectBody {
    SubjectBody::new(serde_json::to_value(rollout).unwrap_or_default())
}

/// A Rollout for a router that it names no more: with the strategy that the router's block stood in, where that is known.
pub(crate) fn released(rollout: &api::Rollout, recorded: Option<&Recorded>) -> SubjectBody {
    let mut object = serde_json::to_value(rollout).unwrap_or_default();
    let canary = recorded.map(|recorded| &recorded.canary);
    if let Some(canary) = canary.filter(|canary| !canary.is_null())
        && let Some(strategy) = object.pointer_mut("/spec/strategy")
    {
        *strategy = json!({ "canary": canary });
    }
    SubjectBody::new(object)
}

/// A Rollout of which nothing but the name is known.
pub(crate) fn name_only(subject: &Subject) -> SubjectBody {
    let key = &subject.key;
    SubjectBody::new(json!({
        "apiVersion": key.api_version,
        "kind": key.kind,
        "metadata": { "name": key.name, "namespace": key.namespace, "uid": subject.uid },
    }))
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

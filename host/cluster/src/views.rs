//! From an object as the API server sends it to the trimmed view that decisions read.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_api as api;
use sluice_engine::observed::{Pod, ReplicaFailure, ReplicaSet, Service};
use sluice_engine::{keys, template};

use crate::store::{View, controller_uid};

/// A view, and the fields that had to be left out of it.
#[derive(Debug)]
pub(crate) struct Read<T> {
    /// The view.
    pub(crate) view: T,
    /// Path and message of each malformed field.
    pub(crate) problems: Vec<String>,
}

/// A view that can be made of an object.
pub(crate) trait Decode: View + Sized {
    /// Makes the view. `before` is the view of an earlier version, from which costly parts may be taken.
    ///
    /// # Errors
    /// When nothing of the object can be used; the text names the field.
    fn decode(body: Value, before: Option<&Self>) -> Result<Read<Self>, String>;
}

/// The five kinds: decoded tolerantly, and without what `kubectl apply` remembers.
macro_rules! custom {
    ($($kind:ty: $owner:expr,)+) => {$(
        impl View for $kind {
            fn metadata(&self) -> &api::ObjectMeta {
                &self.metadata
            }

            fn owner(&self) -> Option<&str> {
                let owner: fn(&api::ObjectMeta) -> Option<&str> = $owner;
                owner(&self.metadata)
            }
        }

        impl Decode for $kind {
            fn decode(mut body: Value, _before: Option<&Self>) -> Result<Read<Self>, String> {
                trim(&mut body);
                let decoded = api::decode::<$kind>(body).map_err(|error| error.to_string())?;
                Ok(Read {
                    view: decoded.object,
                    problems: decoded.problems.iter().map(ToString::to_string).collect(),
                })
            }
        }
    )+};
}

custom! {
    api::Rollout: |_| None,
    api::AnalysisRun: |metadata| Some(controller_uid(metadata)),
    api::Experiment: |metadata| Some(controller_uid(metadata)),
    api::AnalysisTemplate: |_| None,
    api::ClusterAnalysisTemplate: |_| None,
}

impl View for ReplicaSet {
    fn metadata(&self) -> &api::ObjectMeta {
        &self.metadata
    }

    fn owner(&self) -> Option<&str> {
        Some(controller_uid(&self.metadata))
    }
}

impl Decode for ReplicaSet {
    fn decode(mut body: Value, before: Option<&Self>) -> Result<Read<Self>, String> {
        trim(&mut body);
        let metadata = metadata(&mut body)?;
        let ephemeral = metadata.annotations.get(keys::EPHEMERAL_METADATA);
        // The generation counts every change of the specification, so most updates need no hash of the template.
        let known = before.filter(|before| {
            let old = &before.metadata;
            old.uid == metadata.uid
                && old.generation == metadata.generation
                && metadata.generation != 0
                && old.annotations.get(keys::EPHEMERAL_METADATA) == ephemeral
        });
        let template = match known {
            Some(before) => before.template.clone(),
            None => template::identity(at(&body, "/spec/template"), ephemeral.map(String::as_str)),
        };
        let view = Self {
            replicas: count(&body, "/spec/replicas"),
            min_ready_seconds: count(&body, "/spec/minReadySeconds"),
            template,
            status_replicas: count(&body, "/status/replicas"),
            ready: count(&body, "/status/readyReplicas"),
            available: count(&body, "/status/availableReplicas"),
            observed_generation: at(&body, "/status/observedGeneration")
                .as_i64()
                .unwrap_or_default(),
            failure: condition(&body, "ReplicaFailure").map(|condition| ReplicaFailure {
                status: text(condition, "/status"),
                reason: text(condition, "/reason"),
                message: text(condition, "/message"),
                last_transition_time: time(condition, "/lastTransitionTime"),
            }),
            metadata,
        };
        Ok(Read {
            view,
            problems: Vec::new(),
        })
    }
}

impl View for Service {
    fn metadata(&self) -> &api::ObjectMeta {
        &self.metadata
    }
}

impl Decode for Service {
    fn decode(mut body: Value, _before: Option<&Self>) -> Result<Read<Self>, String> {
        trim(&mut body);
        let view = Self {
            metadata: metadata(&mut body)?,
            selector: texts(at(&body, "/spec/selector")),
        };
        Ok(Read {
            view,
            problems: Vec::new(),
        })
    }
}

/// A pod, as a restart reads it.
///
/// # Errors
/// When its metadata cannot be read; the text names the field.
pub(crate) fn pod(mut body: Value) -> Result<Pod, String> {
    trim(&mut body);
    let metadata = metadata(&mut body)?;
    let ready = condition(&body, "Ready")
        .filter(|condition| at(condition, "/status").as_str() == Some("True"));
    Ok(Pod {
        metadata,
        ready: ready.is_some(),
        ready_since: ready.and_then(|condition| time(condition, "/lastTransitionTime")),
    })
}

/// Drops what nobody reads: who wrote which field, and what `kubectl apply` remembers (as large as the object itself).
pub(crate) fn trim(body: &mut Value) {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    metadata.remove("managedFields");
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(keys::LAST_APPLIED);
    }
}

fn metadata(body: &mut Value) -> Result<api::ObjectMeta, String> {
    let metadata = body
        .get_mut("metadata")
        .map(Value::take)
        .unwrap_or_default();
    let decoded =
        api::decode::<api::ObjectMeta>(metadata).map_err(|error| format!("metadata: {error}"))?;
    match decoded.problems.first() {
        // The API server checks metadata of every kind, so a problem here means that this is no object at all.
        Some(problem) => Err(format!("metadata.{problem}")),
        None => Ok(decoded.object),
    }
}

fn at<'a>(body: &'a Value, pointer: &str) -> &'a Value {
    body.pointer(pointer).unwrap_or(&Value::Null)
}

fn count(body: &Value, pointer: &str) -> i32 {
    let number = at(body, pointer).as_i64().unwrap_or_default();
    i32::try_from(number).unwrap_or_default()
}

fn text(body: &Value, pointer: &str) -> String {
    at(body, pointer).as_str().unwrap_or_default().to_owned()
}

fn time(body: &Value, pointer: &str) -> Option<api::Time> {
    at(body, pointer).as_str()?.parse().ok()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn condition<'a>(body: &'a Value, wanted: &str) -> Option<&'a Value> {
    let conditions = at(body, "/status/conditions").as_array()?;
    conditions
        .iter()
        .find(|condition| at(condition, "/type").as_str() == Some(wanted))
}

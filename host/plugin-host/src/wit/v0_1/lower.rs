//! From the host's types to the guest's.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_engine::object::ObjectKey;
use sluice_engine::plugin::{
    Destination, MeasureLifecycle, Measured, MeasuredValue, MeasurementFacts, PastMeasurement,
    StepLifecycle, Traffic,
};
use sluice_engine::read::ReadOutcome;

use super::bindings::exports::sluice::plugin::{
    endpoint_verifier, metric_provider, step, traffic_router,
};
use super::bindings::sluice::plugin::types;
use crate::answer::Facts;
use crate::http::{HttpFailure, HttpResponse};

pub(super) fn context(facts: &Facts<'_>) -> types::Context {
    types::Context {
        now: facts.now.to_string(),
        round: facts.round,
        subject: object_ref(facts.subject),
        subject_body: facts.subject_body.to_owned(),
        config: facts.config.to_owned(),
        settings: facts.settings.to_owned(),
        state: facts.state.map(str::to_owned),
        reads: facts
            .reads
            .iter()
            .map(|(id, asked)| types::ReadResult {
                id: id.clone(),
                outcome: read_outcome(&asked.outcome),
            })
            .collect(),
        responses: facts
            .responses
            .iter()
            .map(|(id, outcome)| types::HttpResult {
                id: id.clone(),
                outcome: outcome.as_ref().map(http_response).map_err(http_failure),
            })
            .collect(),
        failed_changes: facts
            .failed_changes
            .iter()
            .map(|(target, message)| types::FailedChange {
                target: object_ref(target),
                message: message.clone(),
            })
            .collect(),
    }
}

fn object_ref(key: &ObjectKey) -> types::ObjectRef {
    types::ObjectRef {
        api_version: key.api_version.clone(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

fn read_outcome(outcome: &ReadOutcome) -> types::ReadOutcome {
    match outcome {
        ReadOutcome::Found(objects) => types::ReadOutcome::Found(
            objects
                .iter()
                .map(|object| types::Object {
                    key: object_ref(&object.key),
                    resource_version: object.resource_version.clone(),
                    body: object.body.as_ref().to_owned(),
                })
                .collect(),
        ),
        ReadOutcome::NotServed(why) => types::ReadOutcome::NotServed(why.clone()),
        // A pass that cannot read ends before a guest sees it; were it to see it, this is what it would mean.
        ReadOutcome::Forbidden(why) | ReadOutcome::Unavailable(why) => {
            types::ReadOutcome::Forbidden(why.clone())
        }
        ReadOutcome::TooMany(count) => types::ReadOutcome::TooMany(*count),
    }
}

fn http_response(response: &HttpResponse) -> types::HttpResponse {
    types::HttpResponse {
        status: response.status,
        headers: response
            .headers
            .iter()
            .map(|(name, value)| pair(name, value))
            .collect(),
        body: response.body.clone(),
    }
}

fn http_failure(failure: &HttpFailure) -> types::HttpFailure {
    match failure {
        HttpFailure::Denied(why) => types::HttpFailure::Denied(why.clone()),
        HttpFailure::Unreachable(why) => types::HttpFailure::Unreachable(why.clone()),
        HttpFailure::TimedOut => types::HttpFailure::TimedOut,
        HttpFailure::TooLarge => types::HttpFailure::TooLarge,
        HttpFailure::Tls(why) => types::HttpFailure::Tls(why.clone()),
    }
}

fn pair(name: &str, value: &str) -> types::Pair {
    types::Pair {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<types::Pair> {
    map.iter().map(|(name, value)| pair(name, value)).collect()
}

/// The desired split. The error names the route that cannot be expressed.
pub(super) fn traffic(traffic: &Traffic) -> Result<traffic_router::Traffic, String> {
    Ok(traffic_router::Traffic {
        total_weight: traffic.total_weight,
        stable: destination(&traffic.stable),
        canary: destination(&traffic.canary),
        additional: traffic.additional.iter().map(destination).collect(),
        header_routes: traffic
            .header_routes
            .iter()
            .map(|route| {
                header_route(route)
                    .ok_or_else(|| format!("the header route {route} has no meaning"))
            })
            .collect::<Result<_, _>>()?,
        mirror_routes: traffic
            .mirror_routes
            .iter()
            .map(|route| {
                mirror_route(route)
                    .ok_or_else(|| format!("the mirror route {route} has no meaning"))
            })
            .collect::<Result<_, _>>()?,
        managed_routes: traffic.managed_routes.clone(),
        returning_to_stable: traffic.returning_to_stable,
    })
}

fn destination(destination: &Destination) -> traffic_router::Destination {
    traffic_router::Destination {
        service: destination.service.clone(),
        pod_hash: destination.pod_hash.clone(),
        weight: destination.weight,
        desired_pods: destination.desired_pods,
        available_pods: destination.available_pods,
    }
}

/// `setHeaderRoute` of a canary step.
fn header_route(route: &Value) -> Option<traffic_router::HeaderRoute> {
    let matches = route
        .get("match")?
        .as_array()?
        .iter()
        .map(|header| {
            Some(traffic_router::HeaderMatch {
                name: text(header, "headerName")?,
                value: text_match(header.get("headerValue")?)?,
            })
        })
        .collect::<Option<_>>()?;
    Some(traffic_router::HeaderRoute {
        name: text(route, "name")?,
        matches,
    })
}

/// `setMirrorRoute` of a canary step.
fn mirror_route(route: &Value) -> Option<traffic_router::MirrorRoute> {
    let percentage = match route.get("percentage") {
        None | Some(Value::Null) => None,
        Some(number) => Some(u32::try_from(number.as_u64()?).ok()?),
    };
    let matches = route
        .get("match")?
        .as_array()?
        .iter()
        .map(request_match)
        .collect::<Option<_>>()?;
    Some(traffic_router::MirrorRoute {
        name: text(route, "name")?,
        percentage,
        matches,
    })
}

fn request_match(request: &Value) -> Option<traffic_router::RequestMatch> {
    let optional = |field: &str| match request.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => text_match(value).map(Some),
    };
    let headers = match request.get("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(headers) => headers
            .as_object()?
            .iter()
            .map(|(name, value)| {
                Some(traffic_router::HeaderMatch {
                    name: name.clone(),
                    value: text_match(value)?,
                })
            })
            .collect::<Option<_>>()?,
    };
    Some(traffic_router::RequestMatch {
        method: optional("method")?,
        path: optional("path")?,
        headers,
    })
}

fn text_match(value: &Value) -> Option<traffic_router::TextMatch> {
    let some = |field: &str| text(value, field).filter(|text| !text.is_empty());
    some("exact")
        .map(traffic_router::TextMatch::Exact)
        .or_else(|| some("prefix").map(traffic_router::TextMatch::Prefix))
        .or_else(|| some("regex").map(traffic_router::TextMatch::Regex))
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

pub(super) fn measure_lifecycle(lifecycle: MeasureLifecycle) -> metric_provider::Lifecycle {
    match lifecycle {
        MeasureLifecycle::Start => metric_provider::Lifecycle::Start,
        MeasureLifecycle::Resume => metric_provider::Lifecycle::Resume,
        MeasureLifecycle::Cancel => metric_provider::Lifecycle::Cancel,
    }
}

pub(super) fn measurement_facts(
    facts: &MeasurementFacts,
    samples: &BTreeMap<String, Result<Measured, String>>,
) -> metric_provider::MeasurementFacts {
    metric_provider::MeasurementFacts {
        metric: facts.metric.to_string(),
        number: facts.number,
        errors_so_far: facts.errors_so_far,
        previous: facts.previous.as_ref().map(past),
        open: facts
            .open
            .as_ref()
            .map(|open| metric_provider::OpenMeasurement {
                started_at: open.started_at.to_string(),
                metadata: pairs(&open.metadata),
            }),
        samples: samples
            .iter()
            .map(|(id, outcome)| metric_provider::Sample {
                id: id.clone(),
                outcome: outcome.as_ref().map(measurement).map_err(Clone::clone),
            })
            .collect(),
    }
}

fn past(past: &PastMeasurement) -> metric_provider::PastMeasurement {
    metric_provider::PastMeasurement {
        shown: past.shown.clone(),
        phase: phase(&past.phase),
        started_at: past.started_at.to_string(),
        finished_at: past.finished_at.map(|time| time.to_string()),
        metadata: pairs(&past.metadata),
    }
}

fn phase(name: &str) -> metric_provider::Phase {
    match name {
        "Successful" => metric_provider::Phase::Successful,
        "Failed" => metric_provider::Phase::Failed,
        "Inconclusive" => metric_provider::Phase::Inconclusive,
        _ => metric_provider::Phase::Error,
    }
}

fn measurement(measured: &Measured) -> metric_provider::Measurement {
    metric_provider::Measurement {
        value: measured.value.as_ref().map(|value| match value {
            MeasuredValue::Number(number) => metric_provider::Value::Number(*number),
            MeasuredValue::Numbers(numbers) => metric_provider::Value::Numbers(numbers.clone()),
            MeasuredValue::Text(text) => metric_provider::Value::Text(text.clone()),
            MeasuredValue::Document(document) => {
                metric_provider::Value::Document(document.to_string())
            }
        }),
        shown: measured.shown.clone(),
        phase: measured.phase.as_deref().map(phase),
        message: measured.message.clone(),
        metadata: pairs(&measured.metadata),
        metric_metadata: pairs(&measured.metric_metadata),
    }
}

pub(super) fn step_lifecycle(lifecycle: StepLifecycle) -> step::Lifecycle {
    match lifecycle {
        StepLifecycle::Run => step::Lifecycle::Run,
        StepLifecycle::Terminate => step::Lifecycle::Terminate,
        StepLifecycle::Abort => step::Lifecycle::Abort,
    }
}

pub(super) fn endpoints(endpoints: &[(String, u16)]) -> Vec<endpoint_verifier::Endpoint> {
    endpoints
        .iter()
        .map(|(address, port)| endpoint_verifier::Endpoint {
            address: address.clone(),
            port: *port,
        })
        .collect()
}

//! Given a metric and what the server answers, what is asked and what is measured.

mod answers;
mod questions;
mod times;

use serde_json::{Value, json};
use sluice_plugin_sdk::provider::{Finished, Lifecycle, Measurement, MeasurementFacts, Reply};
use sluice_plugin_sdk::testing::{Given, Pass, check_manifest};
use sluice_plugin_sdk::{HttpFailure, HttpRequest, HttpResponse, PluginError};

use crate::Prometheus;

#[test]
fn the_manifest_is_what_the_code_says() {
    check_manifest(&crate::manifest(), env!("CARGO_MANIFEST_DIR"));
}

fn facts() -> MeasurementFacts {
    MeasurementFacts {
        metric: "{}".to_owned(),
        number: 0,
        errors_so_far: 0,
        previous: None,
        open: None,
        samples: Vec::new(),
    }
}

fn given(config: Value) -> Given {
    let run = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": "run", "namespace": "shop"},
    });
    Given::subject(run)
        .config(config)
        .now("2026-03-09T10:15:00.25Z")
}

/// A metric with this address and query.
fn simple() -> Value {
    json!({"address": "http://prometheus:9090", "query": "up{a=\"b c\"} + 1"})
}

/// `simple` with these fields, too.
fn with(more: Value) -> Value {
    let mut config = simple();
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

fn respond(status: u16, body: &str) -> Result<HttpResponse, HttpFailure> {
    Ok(HttpResponse {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    })
}

const ONE: &str =
    r#"{"status": "success", "data": {"resultType": "scalar", "result": [1.5, "1"]}}"#;

fn measure(given: &mut Given) -> Result<(Measurement, Vec<HttpRequest>), PluginError> {
    let Pass {
        answer, requests, ..
    } = given.measure::<Prometheus>(Lifecycle::Start, &facts())?;
    let Reply::Measured(Finished {
        measurement,
        effects,
    }) = answer
    else {
        panic!("{answer:?}")
    };
    assert!(effects.changes.is_empty() && effects.watch.is_empty());
    Ok((measurement, requests))
}

/// What is asked for this configuration, when the server answers with a number.
fn asked(config: Value) -> HttpRequest {
    let (_, requests) = measure(&mut given(config).answering(|_| respond(200, ONE))).unwrap();
    let [request] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    request.clone()
}

/// The arguments in the body of the request for this configuration.
fn body(config: Value) -> String {
    String::from_utf8(asked(config).body.unwrap()).unwrap()
}

fn error(config: Value) -> PluginError {
    measure(&mut given(config).answering(|_| respond(200, ONE)))
        .map(|done| panic!("{done:?}"))
        .unwrap_err()
}

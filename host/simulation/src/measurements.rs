//! A metrics backend for stories: it answers Prometheus queries from what the simulated pods say about themselves.
//!
//! A query names a revision by `pod_template_hash="…"`; the answer is the share of requests that its ready pods answer
//! well: 1 less the mean of their annotation `simulation.sluice.dev/error-rate`. No pods, no data. It is a
//! `tower::Service` and not a server, because a real socket would break paused time.

use std::convert::Infallible;
use std::future::Ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use http::{Request, Response, StatusCode};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::Simulation;

/// Annotation of a pod: the share of its requests that fail, from 0 to 1.
pub const ERROR_RATE: &str = "simulation.sluice.dev/error-rate";

/// The backend. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Measurements {
    simulation: Simulation,
    mood: Arc<Mutex<Mood>>,
}

/// How the backend behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    #[default]
    Answers,
    /// It answers 503.
    Fails,
    /// It never answers.
    Hangs,
}

impl Measurements {
    /// A backend for the pods of this simulation.
    pub fn new(simulation: Simulation) -> Self {
        Self {
            simulation,
            mood: Arc::default(),
        }
    }

    /// Changes how it behaves from now on.
    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        match self.mood() {
            Mood::Fails => return text(StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Mood::Answers | Mood::Hangs => {}
        }
        let path = request.uri().path();
        if path != "/api/v1/query" {
            return text(StatusCode::NOT_FOUND, "only instant queries are answered");
        }
        let query = form_urlencoded::parse(request.body())
            .chain(form_urlencoded::parse(
                request.uri().query().unwrap_or_default().as_bytes(),
            ))
            .find(|(name, _)| name == "query")
            .map(|(_, value)| value.into_owned());
        let Some(hash) = query.as_deref().and_then(revision_of) else {
            let error = json!({
                "status": "error",
                "errorType": "bad_data",
                "error": "the query names no pod_template_hash=\"…\"",
            });
            return document(StatusCode::BAD_REQUEST, &error);
        };
        let now = self.simulation.now();
        let samples = match self.success_rate(hash) {
            Some(rate) => json!([{ "metric": {}, "value": [now.as_second(), rate.to_string()] }]),
            None => json!([]),
        };
        document(
            StatusCode::OK,
            &json!({ "status": "success", "data": { "resultType": "vector", "result": samples } }),
        )
    }

    /// The share of requests that the ready pods of a revision answer well; None without pods.
    fn success_rate(&self, hash: &str) -> Option<f64> {
        let pods = self
            .simulation
            .list(&GroupVersionKind::gvk("", "v1", "Pod"), None);
        let rates: Vec<f64> = pods
            .iter()
            .filter(|pod| {
                pod.pointer("/metadata/labels/rollouts-pod-template-hash")
                    .and_then(Value::as_str)
                    == Some(hash)
                    && is_ready(pod)
            })
            .map(|pod| {
                let annotation = pod
                    .pointer("/metadata/annotations")
                    .and_then(|annotations| annotations.get(ERROR_RATE))
                    .and_then(Value::as_str);
                annotation.and_then(|text| text.parse().ok()).unwrap_or(0.0)
            })
            .collect();
        let count = u32::try_from(rates.len()).ok().filter(|count| *count > 0)?;
        Some(1.0 - rates.iter().sum::<f64>() / f64::from(count))
    }
}

impl tower::Service<Request<Bytes>> for Measurements {
    type Response = Response<Bytes>;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Self::Response, Infallible>>,
        BoxFuture<'static, Result<Self::Response, Infallible>>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        if self.mood() == Mood::Hangs {
            return Either::Right(Box::pin(std::future::pending()));
        }
        Either::Left(std::future::ready(Ok(self.answer(&request))))
    }
}

/// The revision that a query is about.
fn revision_of(query: &str) -> Option<&str> {
    let (_, rest) = query.split_once("pod_template_hash=\"")?;
    rest.split_once('"').map(|(hash, _)| hash)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("Ready")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    })
}

fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response
}

fn document(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response
}

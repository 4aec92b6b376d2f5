//! The API over real HTTP, so that kubectl can be pointed at it.
//!
//! There is no TLS and no authentication: it is for a loopback address.
//! A real socket does not work with paused time, whose timers would all fire at once; run it in real time.

use std::convert::Infallible;

use futures::FutureExt as _;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tower::BoxError;

use crate::api::Api;
use crate::respond::Body;
use crate::simulation::Simulation;

impl Simulation {
    /// Serves the API to whoever connects, until the returned future is dropped or the listener fails.
    /// A client's name, in the log and for faults, is its user agent up to the slash.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(&self, listener: TcpListener) -> std::io::Result<()> {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = tokio::select! {
                biased;
                accepted = listener.accept() => accepted?,
                Some(_) = connections.join_next() => continue,
            };
            let api = self.api.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    answer(api.clone(), request)
                        .map(Ok::<_, Infallible>)
                        .boxed()
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                if let Err(error) = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
    }
}

async fn answer(api: Api, request: Request<Incoming>) -> Response<Body> {
    let client = request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .and_then(|agent| agent.split(['/', ' ']).next())
        .unwrap_or("http")
        .to_owned();
    let (parts, body) = request.into_parts();
    let result = match body.collect().await {
        Ok(body) => {
            api.answer(&client, Request::from_parts(parts, body.to_bytes()))
                .await
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(response) => response,
        Err(error) => broken(error),
    }
}

/// A fault that breaks the connection: a body that fails at once makes hyper close it.
fn broken(error: BoxError) -> Response<Body> {
    let failing =
        futures::stream::once(
            async move { Err::<http_body::Frame<bytes::Bytes>, BoxError>(error) },
        );
    Response::new(http_body_util::StreamBody::new(failing).boxed_unsync())
}

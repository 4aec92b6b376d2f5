//! Metrics and health over HTTP (CTL-009).

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Metrics;

/// The text format in which metrics are served.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long requests that are under way at the end are waited for: upstream's time. A client that is silent would be
/// waited for without end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Serves `/metrics` until told to stop.
pub(crate) async fn metrics(
    listener: Option<TcpListener>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let text = move || {
        let metrics = metrics.clone();
        async move { ([(CONTENT_TYPE, OPEN_METRICS)], metrics.text()).into_response() }
    };
    serve(listener, Router::new().route("/metrics", get(text)), &stop).await;
}

/// Serves `/healthz` until told to stop: `ok` from the start, before leadership too.
pub(crate) async fn health(listener: Option<TcpListener>, stop: CancellationToken) {
    serve(
        listener,
        Router::new().route("/healthz", get(|| async { "ok" })),
        &stop,
    )
    .await;
}

async fn serve(listener: Option<TcpListener>, router: Router, stop: &CancellationToken) {
    let Some(listener) = listener else {
        return;
    };
    let served =
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        biased;
        ended = served.into_future() => if let Err(error) = ended {
            tracing::error!(%error, "the server ended");
        },
        () = too_long => tracing::debug!("connections are still open, they are closed"),
    }
}

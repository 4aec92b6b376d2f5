//! A real HTTP server that answers Prometheus' instant queries, for plugins that make real requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tokio::net::TcpListener;

/// Answers every query with the same number, which a test sets. Ends with the test.
#[derive(Debug)]
pub struct Backend {
    address: String,
    /// Thousandths.
    value: Arc<AtomicU32>,
    server: tokio::task::JoinHandle<()>,
}

impl Backend {
    /// Listens on a free port of the loopback address; answers 1.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let value = Arc::new(AtomicU32::new(1000));
        let router = Router::new()
            .route("/api/v1/query", post(answer).get(answer))
            .with_state(value.clone());
        let server = tokio::spawn(async move {
            // Ends when the test drops the handle.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            value,
            server,
        })
    }

    /// What to put into `provider.prometheus.address`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Answers this many thousandths from now on.
    pub fn set_thousandths(&self, value: u32) {
        self.value.store(value, Ordering::SeqCst);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(value): State<Arc<AtomicU32>>,
) -> ([(&'static str, &'static str); 1], String) {
    let value = f64::from(value.load(Ordering::SeqCst)) / 1000.0;
    let body = serde_json::json!({
        "status": "success",
        "data": { "resultType": "vector", "result": [{ "metric": {}, "value": [0, value.to_string()] }] },
    });
    ([("content-type", "application/json")], body.to_string())
}

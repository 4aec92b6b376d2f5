//! The API behind `kube::Client`: a tower service per client name, and the retries that a real client makes.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body as RequestBody;
use tokio::time::Sleep;
use tower::retry::{Policy, RetryLayer};
use tower::{BoxError, Layer as _, Service};

use crate::api::Api;
use crate::respond::Body;
use crate::seed::Seeded;

/// The simulated API as one client sees it; `kube::Client::new` takes it.
#[derive(Clone, Debug)]
pub struct ApiService {
    api: Api,
    client: String,
}

impl ApiService {
    pub(crate) fn new(api: Api, client: String) -> Self {
        Self { api, client }
    }
}

impl Service<Request<RequestBody>> for ApiService {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let service = self.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let request = Request::from_parts(parts, body);
            service.api.answer(&service.client, request).await
        }
        .boxed()
    }
}

/// A client as `kube::Client::try_from` builds it, with its retries, over the simulated API.
pub(crate) fn client(service: ApiService, seeded: Seeded) -> kube::Client {
    let service = RetryLayer::new(ServerRetry::new(seeded)).layer(service);
    kube::Client::new(service, "default")
}

/// What `kube::client::retry::RetryPolicy::server_retry` does, with dice from the seed:
/// 429, 503 and 504 are tried again up to 15 times, after an exponential delay with jitter
/// or what `Retry-After` says, if that is longer.
///
/// kube's own policy draws its jitter from the process, so two runs of one seed would differ.
#[derive(Clone, Debug)]
struct ServerRetry {
    attempt: u32,
    dice: Seeded,
}

impl ServerRetry {
    const MOST: u32 = 15;
    const FIRST_DELAY: Duration = Duration::from_millis(5);
    const LONGEST_DELAY: Duration = Duration::from_secs(1000);
    /// The jitter adds up to twice the delay.
    const JITTER: f64 = 2.0;

    fn new(dice: Seeded) -> Self {
        Self { attempt: 0, dice }
    }

    fn delay(&mut self) -> Duration {
        use tower::util::rng::Rng as _;
        let base = Self::FIRST_DELAY
            .saturating_mul(1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX))
            .min(Self::LONGEST_DELAY);
        let jitter = base.mul_f64(Self::JITTER * self.dice.next_f64());
        base.saturating_add(jitter).min(Self::LONGEST_DELAY)
    }
}

impl<T> Policy<Request<RequestBody>, Response<T>, BoxError> for ServerRetry {
    type Future = Sleep;

    fn retry(
        &mut self,
        _: &mut Request<RequestBody>,
        result: &mut Result<Response<T>, BoxError>,
    ) -> Option<Self::Future> {
        let response = result.as_ref().ok()?;
        let again = matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if !again || self.attempt >= Self::MOST {
            return None;
        }
        let delay = self.delay();
        self.attempt += 1;
        let wanted = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok())
            .map_or(Duration::ZERO, Duration::from_secs);
        Some(tokio::time::sleep(delay.max(wanted)))
    }

    fn clone_request(&mut self, request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
        let mut clone = Request::new(request.body().try_clone()?);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.headers_mut() = request.headers().clone();
        *clone.extensions_mut() = request.extensions().clone();
        Some(clone)
    }
}

//! Real connections: reqwest with our own resolver, so that the address policy sees what a name resolved to.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tower::Service;

use super::address::AddressPolicy;
use super::port::{AgentRequest, BodyLimit, HttpError, Trust};
use super::proxies::Proxies;
use crate::bounded::Bounded;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many redirects within an origin are followed.
const REDIRECTS: usize = 10;
/// How many clients with special trust are kept; they hold connections open.
const CLIENTS: usize = 32;

/// Requests over the network.
#[derive(Clone)]
pub(super) struct ReqwestPort {
    policy: Arc<AddressPolicy>,
    proxies: Proxies,
    clients: Arc<Mutex<Bounded<Trust, reqwest::Client>>>,
}

impl ReqwestPort {
    pub(super) fn new(policy: AddressPolicy, proxies: Proxies) -> Self {
        Self {
            policy: Arc::new(policy),
            proxies,
            clients: Arc::new(Mutex::new(Bounded::new(CLIENTS))),
        }
    }

    /// The client for this trust; each has its own connections, so that trust never leaks from one to another.
    fn client(&self, trust: &Trust) -> Result<reqwest::Client, HttpError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(trust) {
            return Ok(client.clone());
        }
        let client = build(&self.policy, &self.proxies, trust)?;
        clients.insert(trust.clone(), client.clone());
        Ok(client)
    }
}

fn build(
    policy: &Arc<AddressPolicy>,
    proxies: &Proxies,
    trust: &Trust,
) -> Result<reqwest::Client, HttpError> {
    // Whoever comes second finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .dns_resolver(Arc::new(PolicyResolver(Arc::clone(policy))))
        .redirect(within_origin(Arc::clone(policy)))
        // In place of those that reqwest would find itself.
        .proxy(through(proxies.clone()))
        .connect_timeout(CONNECT_TIMEOUT)
        .tls_danger_accept_invalid_certs(trust.insecure);
    if let Some(pem) = &trust.ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| HttpError::Tls(format!("the CA certificates: {}", reason(&error))))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder
        .build()
        .map_err(|error| HttpError::Tls(reason(&error)))
}

/// The proxy for each address, user and password included.
fn through(proxies: Proxies) -> reqwest::Proxy {
    reqwest::Proxy::custom(move |url| {
        let address: http::Uri = url.as_str().parse().ok()?;
        proxies.for_address(&address).cloned()
    })
}

/// Follows redirects as long as scheme, host and port stay: credentials and grants are for one origin. Others are the
/// plugin's to see.
fn within_origin(policy: Arc<AddressPolicy>) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let same = attempt
            .previous()
            .last()
            .is_some_and(|previous| previous.origin() == attempt.url().origin());
        let refused = literal(attempt.url()).is_some_and(|address| policy.check(address).is_err());
        if same && !refused && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// The address in a URL that names no host; the resolver never sees it.
fn literal(url: &reqwest::Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Ipv4(address) => Some(IpAddr::V4(address)),
        url::Host::Ipv6(address) => Some(IpAddr::V6(address)),
        url::Host::Domain(_) => None,
    }
}

struct PolicyResolver(Arc<AddressPolicy>);

impl Resolve for PolicyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (allowed, refused): (Vec<_>, Vec<_>) = found
                .into_iter()
                .partition(|address| policy.check(address.ip()).is_ok());
            if let (true, Some(first)) = (allowed.is_empty(), refused.first()) {
                let why = policy.check(first.ip()).err().unwrap_or_default();
                return Err(HttpError::Denied(why).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl Service<http::Request<Bytes>> for ReqwestPort {
    type Response = http::Response<Bytes>;
    type Error = HttpError;
    type Future = BoxFuture<'static, Result<Self::Response, HttpError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HttpError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Bytes>) -> Self::Future {
        let port = self.clone();
        Box::pin(async move { port.exchange(request).await })
    }
}

impl ReqwestPort {
    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let trust = request
            .extensions()
            .get::<Trust>()
            .cloned()
            .unwrap_or_default();
        let limit = request
            .extensions()
            .get::<BodyLimit>()
            .map_or(usize::MAX, |limit| limit.0);
        let to_agent = request.extensions().get::<AgentRequest>().is_some();
        let request = reqwest::Request::try_from(request)
            .map_err(|error| HttpError::Unreachable(reason(&error)))?;
        if let Some(address) = literal(request.url())
            && !to_agent
        {
            self.policy.check(address).map_err(HttpError::Denied)?;
        }
        let mut response = self
            .client(&trust)?
            .execute(request)
            .await
            .map_err(classify)?;
        if response
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(HttpError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(classify)? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(Bytes::from(body));
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

/// What a failure of reqwest means, from its chain of causes.
fn classify(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::TimedOut;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(known) = inner.downcast_ref::<HttpError>() {
            return known.clone();
        }
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return HttpError::Tls(tls.to_string());
        }
        cause = next(inner);
    }
    HttpError::Unreachable(reason(&error.without_url()))
}

/// The cause of an error. An I/O error hides what it wraps from `source`, which skips to the cause of that.
fn next<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The innermost cause: the outer ones only say that a request failed, and may name the address.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

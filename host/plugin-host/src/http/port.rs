//! The one way out: a service that takes a finished request. reqwest in production, anything in simulations and tests.

use std::fmt;

use bytes::Bytes;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

use super::address::AddressPolicy;
use super::proxies::Proxies;
use super::reqwest_port::ReqwestPort;

/// How far the server's certificate is trusted; an extension of each request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trust {
    /// Accept any certificate.
    pub insecure: bool,
    /// Certificates in PEM form that are trusted in addition.
    pub ca_pem: Option<String>,
}

/// How many bytes of a body are wanted at most; an extension of each request. A service that streams should stop there
/// with [`HttpError::TooLarge`]; it is checked again afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit(pub usize);

/// A request of the host's own, to an agent on the node that has credentials for it: its address, where it is a number, is
/// not for the policy to refuse. An extension that no request of a plugin carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentRequest;

/// Why an exchange failed. A service that fails with anything else is taken to be unreachable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The address policy does not allow it; says which.
    #[error("denied: {0}")]
    Denied(String),
    /// No connection, or it broke; the reason, without the address.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// The body is larger than wanted.
    #[error("the response is too large")]
    TooLarge,
    /// No trust in the server, or none in us.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Performs requests; cheap to clone.
#[derive(Clone)]
pub struct HttpPort(BoxCloneSyncService<http::Request<Bytes>, http::Response<Bytes>, BoxError>);

impl HttpPort {
    /// Any service. Errors that are an [`HttpError`] keep their meaning.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<http::Request<Bytes>, Response = http::Response<Bytes>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service.map_err(Into::into)))
    }

    /// Real connections, to addresses that the policy allows, through these proxies where they are meant.
    ///
    /// Then the policy sees addresses that are written as numbers, and the name of the proxy; where other names lead is the
    /// proxy's affair.
    pub fn reqwest(policy: AddressPolicy, proxies: Proxies) -> Self {
        Self::new(ReqwestPort::new(policy, proxies))
    }

    pub(crate) async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        match self.0.clone().oneshot(request).await {
            Ok(response) => Ok(response),
            Err(error) => Err(match error.downcast::<HttpError>() {
                Ok(error) => *error,
                Err(error) => HttpError::Unreachable(error.to_string()),
            }),
        }
    }
}

impl fmt::Debug for HttpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpPort")
    }
}

//! Requests on behalf of plugins: what is asked, the port through which it leaves, and how it is checked and signed.

mod address;
mod auth;
mod aws;
mod exchange;
mod in_flight;
mod port;
mod proxies;
mod reqwest_port;
mod tokens;

pub use address::AddressPolicy;
pub use aws::AwsIdentity;
#[cfg(test)]
pub(crate) use port::AgentRequest;
pub use port::{BodyLimit, HttpError, HttpPort, Trust};
pub use proxies::Proxies;

pub(crate) use aws::AwsRequest;
pub(crate) use exchange::{Client, Requester};
pub(crate) use in_flight::InFlight;

use std::time::Duration;

/// A request as the plugin wants it; texts may contain placeholders for secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub auth: Option<Auth>,
    pub trust: Trust,
    pub timeout: Option<Duration>,
}

/// How a request proves who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Named(String),
    Basic {
        username: String,
        password: String,
    },
    Bearer(String),
    Oauth2 {
        token_url: String,
        client_id: String,
        client_secret: String,
        scopes: Vec<String>,
    },
    AwsSigv4(AwsRequest),
}

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HttpFailure {
    Denied(String),
    Unreachable(String),
    TimedOut,
    TooLarge,
    Tls(String),
}

impl HttpFailure {
    /// For metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timed-out",
            Self::TooLarge => "too-large",
            Self::Tls(_) => "tls",
        }
    }
}

impl From<HttpError> for HttpFailure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(why) => Self::Denied(why),
            HttpError::Unreachable(why) => Self::Unreachable(why),
            HttpError::TimedOut => Self::TimedOut,
            HttpError::TooLarge => Self::TooLarge,
            HttpError::Tls(why) => Self::Tls(why),
        }
    }
}

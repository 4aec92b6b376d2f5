//! Through which proxy an address is reached: the environment variables that Go's HTTP client obeys, and so everything in
//! Argo Rollouts.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; cheap to clone.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    /// Knows which addresses are reached directly.
    matcher: Option<Arc<Matcher>>,
}

/// Proxies of these kinds can be used.
const SCHEMES: [&str; 3] = ["http", "https", "socks5"];

impl Proxies {
    /// No proxy for anything.
    pub fn none() -> Self {
        Self::default()
    }

    /// What an environment says. Each name counts in capitals first, and then in small letters.
    pub fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            [name.to_owned(), name.to_ascii_lowercase()]
                .iter()
                .find_map(|name| environment(name).filter(|value| !value.trim().is_empty()))
                .unwrap_or_default()
        };
        let http = proxy(&value("HTTP_PROXY"));
        let https = proxy(&value("HTTPS_PROXY"));
        let directly = value("NO_PROXY");
        if directly.split(',').any(|entry| entry.trim() == "*") {
            return Self::none();
        }
        let text = |url: &Option<Url>| url.as_ref().map(Url::to_string).unwrap_or_default();
        let matcher = Matcher::builder()
            .http(text(&http))
            .https(text(&https))
            .no(directly)
            .build();
        Self {
            http,
            https,
            matcher: Some(Arc::new(matcher)),
        }
    }

    /// The proxy for an address, with its user and password; None where it is reached directly. The machine itself always
    /// is, as with Go, and so is its link: no proxy can be asked for what is there.
    pub fn for_address(&self, address: &http::Uri) -> Option<&Url> {
        let host = address.host()?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = match bare.parse() {
            Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
            Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unicast_link_local(),
            Err(_) => bare.eq_ignore_ascii_case("localhost"),
        };
        if is_here {
            return None;
        }
        self.matcher.as_ref()?.intercept(address)?;
        match address.scheme_str() {
            Some("http") => self.http.as_ref(),
            Some("https") => self.https.as_ref(),
            _ => None,
        }
    }
}

/// Without a scheme it is HTTP that is spoken to a proxy. What cannot be used is no proxy.
fn proxy(text: &str) -> Option<Url> {
    let text = text.trim();
    let parsed = match Url::parse(text) {
        Ok(url) if url.has_host() => url,
        _ => Url::parse(&format!("http://{text}")).ok()?,
    };
    SCHEMES.contains(&parsed.scheme()).then_some(parsed)
}

/// Passwords stay inside.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| {
            url.as_ref()
                .and_then(|url| url.host_str().map(str::to_owned))
        };
        f.debug_struct("Proxies")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .finish_non_exhaustive()
    }
}

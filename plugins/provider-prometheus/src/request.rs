//! What is asked of which server, and as whom. Texts of errors are those of Argo Rollouts.

use std::collections::BTreeMap;

use sluice_plugin_sdk::{
    Auth, AwsRequest, BasicCredentials, Context, HttpRequest, Oauth2Client, PluginError, Tls,
};

use crate::config::{Authentication, Header, Prometheus, RangeQuery};
use crate::{ADDRESS_SETTING, AWS_SERVICE, time};

/// Seconds for an answer, unless the metric says otherwise.
const DEFAULT_TIMEOUT: i64 = 30;

/// The part of Amazon's addresses for Managed Prometheus by which they are known.
const AMAZON_WORKSPACE: &str = "aps-workspaces";

/// Where requests go, and what all of them have in common.
#[derive(Debug)]
pub struct Server<'a> {
    address: Address,
    headers: &'a [Header],
    auth: Option<Auth>,
    insecure: bool,
    timeout: u32,
}

/// A query of a moment or of a range.
#[derive(Debug)]
pub struct Question {
    path: &'static str,
    arguments: Vec<(&'static str, String)>,
}

impl<'a> Server<'a> {
    /// The server that a metric names.
    ///
    /// # Errors
    /// `invalid-config`, with the field.
    pub fn of(context: &Context, config: &'a Prometheus) -> Result<Self, PluginError> {
        let invalid = PluginError::invalid_config;
        let own = config
            .address
            .as_deref()
            .filter(|address| !address.is_empty())
            .map(str::to_owned);
        let address = match own {
            Some(address) => address,
            None => context
                .setting(ADDRESS_SETTING)?
                .filter(|address| !address.is_empty())
                .ok_or_else(|| invalid("address", "prometheus address is not configured"))?,
        };
        let parsed = Address::parse(&address)
            .ok_or_else(|| invalid("address", "prometheus address is not is url format"))?;
        let headers = config.headers.as_deref().unwrap_or_default();
        let auth = match &config.authentication {
            Some(authentication) => auth(authentication, &address)?,
            None => None,
        };
        // A header of the user's own is what Argo Rollouts sends in the end.
        let own_credentials = headers
            .iter()
            .any(|header| header.key.eq_ignore_ascii_case("Authorization"));
        let seconds = config.timeout.unwrap_or(DEFAULT_TIMEOUT);
        if seconds < 0 {
            return Err(invalid(
                "timeout",
                "prometheus timeout should not be negative",
            ));
        }
        Ok(Self {
            address: parsed,
            headers,
            auth: auth.filter(|_| !own_credentials),
            insecure: config.insecure.unwrap_or(false),
            timeout: u32::try_from(seconds.saturating_mul(1000)).unwrap_or(u32::MAX),
        })
    }

    /// The question in the body, as Prometheus prefers it for long queries.
    pub fn post(&self, question: &Question) -> HttpRequest {
        let url = self.address.url(question.path, &self.address.query);
        let mut request = self.request("query", "POST", url);
        request.body = Some(self.encoded(question).into_bytes());
        if request
            .headers
            .iter()
            .all(|header| !header.name.eq_ignore_ascii_case("Content-Type"))
        {
            request = request.header("Content-Type", "application/x-www-form-urlencoded");
        }
        request
    }

    /// The question in the address, for servers and proxies that refuse the other way.
    pub fn get(&self, question: &Question) -> HttpRequest {
        self.request(
            "query-by-get",
            "GET",
            self.address.url(question.path, &self.encoded(question)),
        )
    }

    fn request(&self, id: &str, method: &str, url: String) -> HttpRequest {
        let mut request = HttpRequest::new(id, method, url);
        // The last of several of one name is what counts.
        let mut headers: Vec<&Header> = Vec::new();
        for header in self.headers {
            headers.retain(|earlier| !earlier.key.eq_ignore_ascii_case(&header.key));
            headers.push(header);
        }
        for header in headers {
            request = request.header(header.key.as_str(), header.value.as_str());
        }
        request.auth.clone_from(&self.auth);
        request.tls = self.insecure.then_some(Tls {
            insecure_skip_verify: true,
            ca_pem: None,
        });
        request.timeout = Some(self.timeout);
        request
    }

    fn encoded(&self, question: &Question) -> String {
        let mut arguments: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs(&self.address.query) {
            arguments.entry(name).or_default().push(value);
        }
        for (name, value) in &question.arguments {
            arguments.insert((*name).to_owned(), vec![value.clone()]);
        }
        let encoded = arguments.iter().flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| format!("{}={}", escape(name), escape(value)))
        });
        encoded.collect::<Vec<_>>().join("&")
    }
}

impl Question {
    /// The question of a metric, asked now.
    ///
    /// # Errors
    /// `invalid-config`, with the field of the range that cannot be understood.
    pub fn of(context: &Context, config: &Prometheus) -> Result<Self, PluginError> {
        let now = time::parse_rfc3339(&context.now).ok_or_else(|| {
            PluginError::fail(
                "InvalidFacts",
                format!("the host sent no time: {}", context.now),
            )
        })?;
        let query = ("query", config.query.clone().unwrap_or_default());
        match &config.range_query {
            None => Ok(Self {
                path: "/api/v1/query",
                arguments: vec![query, ("time", time::seconds(now))],
            }),
            Some(range) => {
                let (start, end, step) = Self::range(range, now)?;
                Ok(Self {
                    path: "/api/v1/query_range",
                    arguments: vec![query, ("start", start), ("end", end), ("step", step)],
                })
            }
        }
    }

    fn range(range: &RangeQuery, now: i128) -> Result<(String, String, String), PluginError> {
        let moment = |name: &str, expression: &Option<String>| {
            time::evaluate(expression.as_deref().unwrap_or_default(), now)
                .map(time::seconds)
                .map_err(|why| {
                    PluginError::invalid_config(
                        &format!("rangeQuery.{name}"),
                        format!("failed to parse rangeQuery.{name} as time: {why}"),
                    )
                })
        };
        let (start, end) = (moment("start", &range.start)?, moment("end", &range.end)?);
        let step =
            time::parse_duration(range.step.as_deref().unwrap_or_default()).map_err(|why| {
                PluginError::invalid_config(
                    "rangeQuery.step",
                    format!("failed to parse rangeQuery.step as duration: {why}"),
                )
            })?;
        Ok((start, end, time::seconds(step)))
    }
}

/// The credentials that Argo Rollouts' layers end up with: a signature, else a token, else a password.
fn auth(authentication: &Authentication, address: &str) -> Result<Option<Auth>, PluginError> {
    let invalid = PluginError::invalid_config;
    fn filled(text: Option<&String>) -> Option<String> {
        text.filter(|text| !text.is_empty()).cloned()
    }

    let basic = match authentication.basic_auth.as_ref().map(|basic| {
        (
            filled(basic.username.as_ref()),
            filled(basic.password.as_ref()),
        )
    }) {
        None | Some((None, None)) => None,
        Some((Some(username), Some(password))) => {
            Some(Auth::Basic(BasicCredentials { username, password }))
        }
        Some((None, Some(_))) => {
            let message = "missing mandatory parameter in metric for basic auth setup: username";
            return Err(invalid("authentication.basicAuth.username", message));
        }
        Some((Some(_), None)) => {
            let message = "missing mandatory parameter in metric for basic auth setup: password";
            return Err(invalid("authentication.basicAuth.password", message));
        }
    };
    let sigv4 = authentication
        .sigv4
        .as_ref()
        .filter(|_| address.contains(AMAZON_WORKSPACE))
        .and_then(|sigv4| {
            let (region, role_arn, profile) = (
                filled(sigv4.region.as_ref()),
                filled(sigv4.role_arn.as_ref()),
                filled(sigv4.profile.as_ref()),
            );
            let any = region.is_some() || role_arn.is_some() || profile.is_some();
            any.then(|| {
                Auth::AwsSigv4(AwsRequest {
                    service: AWS_SERVICE.to_owned(),
                    region,
                    role_arn,
                    profile,
                })
            })
        });
    let oauth2 = authentication.oauth2.as_ref();
    let token = match oauth2.and_then(|oauth2| Some((filled(oauth2.token_url.as_ref())?, oauth2))) {
        None => None,
        Some((token_url, oauth2)) => {
            let (Some(client_id), Some(client_secret)) = (
                filled(oauth2.client_id.as_ref()),
                filled(oauth2.client_secret.as_ref()),
            ) else {
                let message = "missing mandatory parameter in metric for OAuth2 setup";
                return Err(invalid("authentication.oauth2", message));
            };
            let scopes = oauth2.scopes.clone().unwrap_or_default();
            Some(Auth::Oauth2(Oauth2Client {
                token_url,
                client_id,
                client_secret,
                scopes,
            }))
        }
    };
    Ok(sigv4.or(token).or(basic))
}

/// An address, taken apart.
#[derive(Debug)]
struct Address {
    /// Scheme and authority, without a slash at the end.
    origin: String,
    /// Segments of the path.
    path: Vec<String>,
    /// Without the question mark.
    query: String,
}

impl Address {
    /// None where a scheme or a host is missing.
    fn parse(text: &str) -> Option<Self> {
        if text
            .chars()
            .any(|found| found.is_whitespace() || found.is_control())
        {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let letter_first = scheme.starts_with(|found: char| found.is_ascii_alphabetic());
        let scheme_only = scheme
            .chars()
            .all(|found| found.is_ascii_alphanumeric() || "+-.".contains(found));
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        // The port is what follows the last colon outside of an IPv6 address.
        let port = host
            .rsplit_once(']')
            .map_or(host, |(_, rest)| rest)
            .split_once(':')
            .map_or("", |(_, port)| port);
        let valid = letter_first
            && scheme_only
            && !host.is_empty()
            && port.chars().all(|digit| digit.is_ascii_digit());
        let mut segments: Vec<String> = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    segments.pop();
                }
                other => segments.push(other.to_owned()),
            }
        }
        valid.then(|| Self {
            origin: format!("{scheme}://{authority}"),
            path: segments,
            query: query.to_owned(),
        })
    }

    fn url(&self, endpoint: &str, query: &str) -> String {
        let base: String = self
            .path
            .iter()
            .map(|segment| format!("/{segment}"))
            .collect();
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{query}")
        };
        format!("{}{base}{endpoint}{query}", self.origin)
    }
}

/// The arguments of a query string; what cannot be decoded is left out.
fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .filter_map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((unescape(name)?, unescape(value)?))
        })
        .collect()
}

/// As forms are encoded.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            b' ' => escaped.push('+'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| {
                    char::from(byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                digit(rest.next()?)? * 16 + digit(rest.next()?)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

//! One request from a plugin: placeholders, address, credentials, limits, and what the plugin sees of the response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::aws::{self, AwsIdentity, AwsRequest, Vault};
use super::in_flight::InFlight;
use super::port::{BodyLimit, HttpPort, Trust};
use super::tokens::{TokenClient, Tokens};
use super::{Auth, HttpFailure, HttpRequest, HttpResponse, auth};
use crate::grants::{self, Origin};
use crate::limits::Limits;
use crate::manifest::Grants;

/// Headers that the host sets, or that only the connection's ends may set.
const HOST_SETS: [HeaderName; 12] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers that a plugin does not see.
const HIDDEN: [HeaderName; 9] = [
    header::SET_COOKIE,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("set-cookie2"),
    HeaderName::from_static("proxy-connection"),
];

/// The way out with its tokens and the identity for AWS, shared by all plugins.
pub(crate) struct Client {
    port: HttpPort,
    tokens: Tokens,
    vault: Vault,
}

impl Client {
    pub(crate) fn new(port: HttpPort, identity: AwsIdentity) -> Self {
        Self {
            port,
            tokens: Tokens::new(),
            vault: Vault::new(identity),
        }
    }
}

/// On whose behalf requests of one pass are made.
pub(crate) struct Requester {
    pub client: Arc<Client>,
    pub grants: Arc<Grants>,
    /// Requests of the plugin that are under way.
    pub in_flight: Arc<InFlight>,
    pub limits: Arc<Limits>,
    pub now: Timestamp,
    /// The plugin's config and settings, where addresses are named.
    pub config: Value,
    pub settings: BTreeMap<String, String>,
    /// Values by placeholder.
    pub secrets: BTreeMap<String, String>,
}

impl Requester {
    /// Performs one request. Dropping the future ends it, also where it still waits to leave.
    pub(crate) async fn perform(&self, request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
        let time = request.timeout.unwrap_or(self.limits.request_timeout);
        let mut left = time.min(self.limits.longest_request_timeout);
        let Prepared {
            mut request,
            server,
            proof,
        } = self.prepare(request).map_err(HttpFailure::Denied)?;
        if let Some(Proof::Token { client, server }) = &proof {
            let token = self.token(client, server, &mut left).await?;
            let value = auth::bearer(&token)
                .map_err(|why| HttpFailure::Denied(format!("the token {why}")))?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let sending = self.send(request, proof.as_ref());
        let response = self.at(&server, &mut left, sending).await?;
        if response.body().len() > self.limits.response {
            return Err(HttpFailure::TooLarge);
        }
        if let (http::StatusCode::UNAUTHORIZED, Some(Proof::Token { client, .. })) =
            (response.status(), &proof)
        {
            // The next attempt gets a new one.
            self.client.tokens.forget(client);
        }
        Ok(seen(response))
    }

    /// Does this once the plugin may ask the server, in the time that is left. That others are asking it counts for nobody:
    /// whoever waits for them would be late although its server is not.
    async fn at<T>(
        &self,
        server: &Origin,
        left: &mut Duration,
        work: impl Future<Output = Result<T, HttpFailure>>,
    ) -> Result<T, HttpFailure> {
        let Some(_place) = self.in_flight.place(server).await else {
            return Err(HttpFailure::Unreachable(
                "the controller is stopping".to_owned(),
            ));
        };
        let begun = Instant::now();
        let outcome = tokio::time::timeout(*left, work).await;
        *left = left.saturating_sub(begun.elapsed());
        outcome.unwrap_or(Err(HttpFailure::TimedOut))
    }

    /// A token for a request. Where one has to be fetched, the request waits at the server of the tokens, and not in a place
    /// that requests without that server need.
    async fn token(
        &self,
        client: &TokenClient,
        server: &Origin,
        left: &mut Duration,
    ) -> Result<String, HttpFailure> {
        let Client { port, tokens, .. } = &*self.client;
        match tokens.kept(client, self.now) {
            Some(token) => Ok(token),
            None => {
                let fetching = tokens.token(client, port, self.now);
                self.at(server, left, fetching).await
            }
        }
    }

    /// Signs a request where that is wanted, and sends it. Credentials are asked for from the request's own place: no user
    /// chooses by whom.
    async fn send(
        &self,
        mut request: http::Request<Bytes>,
        proof: Option<&Proof>,
    ) -> Result<http::Response<Bytes>, HttpFailure> {
        let Client { port, vault, .. } = &*self.client;
        if let Some(Proof::Signature(wanted)) = proof {
            let credentials = vault.credentials(wanted, port, self.now).await?;
            let (service, region) = (&wanted.service, &wanted.region);
            aws::sign(&mut request, &credentials, service, region, self.now)
                .map_err(HttpFailure::Denied)?;
        }
        port.send(request).await.map_err(HttpFailure::from)
    }

    /// The request as it leaves, or why it must not. The reasons name no secret: addresses appear as the plugin wrote
    /// them.
    fn prepare(&self, request: HttpRequest) -> Result<Prepared, String> {
        let url = self.url(&request.url)?;
        let server = self.check(&url, &self.configured())?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| format!("{:?} is not an HTTP method", request.method))?;
        if method == Method::CONNECT {
            return Err("CONNECT is not available to plugins".to_owned());
        }
        let body = request
            .body
            .map(|body| self.reveal_bytes(body))
            .unwrap_or_default();
        let mut prepared = http::Request::new(Bytes::from(body));
        *prepared.method_mut() = method;
        let mut plain = url.clone();
        // Both fail only for URLs without a host, which the check has refused.
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
        plain.set_fragment(None);
        *prepared.uri_mut() = plain
            .as_str()
            .parse()
            .map_err(|_| "the URL is not usable".to_owned())?;
        self.headers(prepared.headers_mut(), &request.headers)?;
        prepared
            .extensions_mut()
            .insert(BodyLimit(self.limits.response));
        let trust = Trust {
            insecure: request.trust.insecure,
            ca_pem: request.trust.ca_pem.map(|pem| self.reveal(&pem)),
        };
        prepared.extensions_mut().insert(trust.clone());
        let proof = self.authorize(prepared.headers_mut(), request.auth, &url, trust)?;
        Ok(Prepared {
            request: prepared,
            server,
            proof,
        })
    }

    fn headers(
        &self,
        headers: &mut http::HeaderMap,
        wanted: &[(String, String)],
    ) -> Result<(), String> {
        for (name, value) in wanted {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("{name:?} is not a header's name"))?;
            if HOST_SETS.contains(&name) {
                return Err(format!("the header {name:?} is set by the host"));
            }
            let value = auth::secret_value(&self.reveal(value))
                .map_err(|why| format!("the header {name:?} {why}"))?;
            headers.append(name, value);
        }
        Ok(())
    }

    fn authorize(
        &self,
        headers: &mut http::HeaderMap,
        wanted: Option<Auth>,
        url: &Url,
        trust: Trust,
    ) -> Result<Option<Proof>, String> {
        let value: HeaderValue = match wanted {
            None if url.username().is_empty() && url.password().is_none() => return Ok(None),
            // As clients take an address with a user in it.
            None => auth::basic(
                &decoded(url.username()),
                &decoded(url.password().unwrap_or_default()),
            )
            .map_err(|why| format!("the user in the address {why}"))?,
            Some(Auth::Basic { username, password }) => {
                auth::basic(&self.reveal(&username), &self.reveal(&password))
                    .map_err(|why| format!("auth.basic {why}"))?
            }
            Some(Auth::Bearer(token)) => {
                auth::bearer(&self.reveal(&token)).map_err(|why| format!("auth.bearer {why}"))?
            }
            Some(Auth::Oauth2 {
                token_url,
                client_id,
                client_secret,
                scopes,
            }) => {
                let address = self
                    .url(&token_url)
                    .map_err(|why| format!("auth.oauth2.token-url: {why}"))?;
                let mut configured = self.configured();
                configured.extend(self.origin_in_config("/authentication/oauth2/tokenUrl"));
                let server = self
                    .check(&address, &configured)
                    .map_err(|why| format!("auth.oauth2.token-url: {why}"))?;
                let client = TokenClient {
                    token_url: address.into(),
                    client_id: self.reveal(&client_id),
                    client_secret: self.reveal(&client_secret),
                    scopes,
                    trust,
                };
                return Ok(Some(Proof::Token { client, server }));
            }
            Some(Auth::Named(name)) => {
                return Err(if self.grants.secrets.contains(&name) {
                    format!("no credential is bound to `{name}`")
                } else {
                    format!("the plugin's grant has no credential `{name}`")
                });
            }
            Some(Auth::AwsSigv4(wanted)) => {
                return self
                    .signature(wanted)
                    .map(|wanted| Some(Proof::Signature(wanted)));
            }
        };
        headers.insert(header::AUTHORIZATION, value);
        Ok(None)
    }

    /// What is to be signed for, if the plugin may have that.
    fn signature(&self, wanted: AwsRequest) -> Result<aws::Wanted, String> {
        let service = wanted.service;
        if !self.grants.aws_services.contains(&service) {
            return Err(format!(
                "the plugin's grant does not allow signatures for the AWS service `{service}`"
            ));
        }
        let revealed = |text: Option<String>| text.map(|text| self.reveal(&text));
        AwsRequest {
            service,
            region: revealed(wanted.region),
            role_arn: revealed(wanted.role_arn),
            profile: revealed(wanted.profile),
        }
        .resolve(&self.client.vault.identity)
    }

    fn url(&self, text: &str) -> Result<Url, String> {
        let url =
            Url::parse(&self.reveal(text)).map_err(|error| format!("the URL {text:?}: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            _ => Err(format!(
                "the URL {text:?}: only http and https are available"
            )),
        }
    }

    /// The server of a URL, if it may be asked.
    fn check(&self, url: &Url, configured: &[Origin]) -> Result<Origin, String> {
        let origin = Origin::of(url).ok_or("the URL has no host")?;
        grants::check_address(&self.grants.http, &origin, configured)?;
        Ok(origin)
    }

    /// The origins that the configuration and the administrator's settings name as the address.
    fn configured(&self) -> Vec<Origin> {
        let in_config = ["/address", "/url"]
            .into_iter()
            .filter_map(|field| self.origin_in_config(field));
        let in_settings = ["address", "url"]
            .into_iter()
            .filter_map(|name| self.settings.get(name))
            .filter_map(|text| Origin::of(&self.url(text).ok()?));
        in_config.chain(in_settings).collect()
    }

    fn origin_in_config(&self, pointer: &str) -> Option<Origin> {
        let text = self.config.pointer(pointer)?.as_str()?;
        Origin::of(&self.url(text).ok()?)
    }

    /// The text with secret values in place of their placeholders.
    fn reveal(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (placeholder, value) in &self.secrets {
            if text.contains(placeholder.as_str()) {
                text = text.replace(placeholder.as_str(), value);
            }
        }
        text
    }

    /// The same for a body, which need not be text.
    fn reveal_bytes(&self, body: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(body) {
            Ok(text) => self.reveal(&text).into_bytes(),
            Err(binary) => binary.into_bytes(),
        }
    }
}

struct Prepared {
    request: http::Request<Bytes>,
    server: Origin,
    proof: Option<Proof>,
}

/// What must be had from elsewhere, or made last, before the request can leave.
enum Proof {
    Token { client: TokenClient, server: Origin },
    Signature(aws::Wanted),
}

/// What a plugin sees of a response.
fn seen(response: http::Response<Bytes>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let headers = parts
        .headers
        .iter()
        .filter(|(name, _)| !HIDDEN.contains(name))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    HttpResponse {
        status: parts.status.as_u16(),
        headers,
        body: body.into(),
    }
}

/// Percent-encoding undone.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

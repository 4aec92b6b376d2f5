//! Access tokens of OAuth2 clients (RFC 6749, section 4.4): fetched when needed, kept until shortly before they expire.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::port::{BodyLimit, HttpError, HttpPort, Trust};
use super::{HttpFailure, auth};
use crate::bounded::Bounded;
use crate::clock::after;

/// A token is not used in the last seconds of its life, as Go's oauth2 does, which Argo Rollouts uses.
const EARLY: Duration = Duration::from_secs(10);
/// How many tokens are kept.
const KEPT: usize = 256;
/// Bytes of a token response.
const LARGEST: usize = 1 << 20;

/// Who asks for a token, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenClient {
    pub token_url: String,
    pub client_id: String,
    pub client_secret: String,
    pub scopes: Vec<String>,
    pub trust: Trust,
}

#[derive(Clone)]
struct Token {
    value: String,
    expires: Option<Timestamp>,
}

/// Tokens by client.
pub(super) struct Tokens(Mutex<Bounded<TokenClient, Token>>);

#[derive(Deserialize)]
struct TokenResponse {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<f64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Bounded::new(KEPT)))
    }

    /// A token that is good now, fetched if need be. The address has been checked.
    pub(super) async fn token(
        &self,
        client: &TokenClient,
        port: &HttpPort,
        now: Timestamp,
    ) -> Result<String, HttpFailure> {
        if let Some(token) = self.kept(client, now) {
            return Ok(token);
        }
        // The header first, as the RFC asks of every server; some servers know only the form.
        let token = match fetch(client, port, now, true).await {
            Err(Refused::Server(_)) => fetch(client, port, now, false).await,
            other => other,
        };
        let token = token.map_err(|refused| match refused {
            Refused::Server(why) => HttpFailure::Denied(format!("the token server refuses: {why}")),
            Refused::Failed(failure) => failure,
        })?;
        let value = token.value.clone();
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(client.clone(), token);
        Ok(value)
    }

    /// A token that is good now, if one is there.
    pub(super) fn kept(&self, client: &TokenClient, now: Timestamp) -> Option<String> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.get(client)?;
        let good = token
            .expires
            .is_none_or(|expires| after(now, EARLY) < expires);
        good.then(|| token.value.clone())
    }

    /// Forgets a token that a server did not accept.
    pub(super) fn forget(&self, client: &TokenClient) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(client);
    }
}

enum Refused {
    Server(String),
    Failed(HttpFailure),
}

impl From<HttpError> for Refused {
    fn from(error: HttpError) -> Self {
        Self::Failed(error.into())
    }
}

async fn fetch(
    client: &TokenClient,
    port: &HttpPort,
    now: Timestamp,
    in_header: bool,
) -> Result<Token, Refused> {
    let response = port
        .send(
            token_request(client, in_header)
                .map_err(|why| Refused::Failed(HttpFailure::Denied(why)))?,
        )
        .await?;
    if response.body().len() > LARGEST {
        return Err(Refused::Failed(HttpFailure::TooLarge));
    }
    let status = response.status();
    let answer: TokenResponse = match serde_json::from_slice(response.body()) {
        Ok(answer) => answer,
        Err(_) => return Err(Refused::Server(format!("status {status} without a token"))),
    };
    let TokenResponse {
        access_token,
        token_type,
        expires_in,
        error,
        error_description,
    } = answer;
    let (StatusCode::OK, Some(value)) = (status, access_token.filter(|token| !token.is_empty()))
    else {
        let why = error_description.or(error).unwrap_or_default();
        return Err(Refused::Server(
            format!("status {status} {why}").trim_end().to_owned(),
        ));
    };
    if token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(Refused::Server(
            "the token is not a bearer token".to_owned(),
        ));
    }
    let expires = expires_in
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(|life| after(now, life));
    Ok(Token { value, expires })
}

fn token_request(client: &TokenClient, in_header: bool) -> Result<http::Request<Bytes>, String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !client.scopes.is_empty() {
        form.append_pair("scope", &client.scopes.join(" "));
    }
    if !in_header {
        form.append_pair("client_id", &client.client_id);
        form.append_pair("client_secret", &client.client_secret);
    }
    let url = Url::parse(&client.token_url).map_err(|error| format!("the token URL: {error}"))?;
    let mut request = http::Request::new(Bytes::from(form.finish()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url
        .as_str()
        .parse()
        .map_err(|_| "the token URL is not usable".to_owned())?;
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if in_header {
        let encoded =
            |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        headers.insert(
            header::AUTHORIZATION,
            auth::basic(&encoded(&client.client_id), &encoded(&client.client_secret))?,
        );
    }
    request.extensions_mut().insert(client.trust.clone());
    request.extensions_mut().insert(BodyLimit(LARGEST));
    Ok(request)
}

//! Credentials that are good now: those of the controller's identity, and those of roles that it assumes.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::identity::{AwsIdentity, Source, is_agent};
use super::{Wanted, refused, sts};
use crate::bounded::Bounded;
use crate::clock::after;
use crate::http::HttpFailure;
use crate::http::port::{AgentRequest, BodyLimit, HttpPort};

/// Credentials are not used in the last minutes of their lives: a request with them may wait before it arrives.
const EARLY: Duration = Duration::from_secs(300);
/// For how many roles and regions credentials are kept.
const KEPT: usize = 64;
/// Bytes of an answer with credentials.
pub(super) const LARGEST: usize = 1 << 20;

/// What signs a request.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Credentials {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
    /// None: for ever.
    pub expires: Option<Timestamp>,
}

/// Whose credentials, and where they were issued.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// None: the controller's own.
    role_arn: Option<String>,
    region: String,
}

/// The controller's identity, with the credentials that are good for a while.
pub(in super::super) struct Vault {
    pub identity: AwsIdentity,
    kept: Mutex<Bounded<Place, Credentials>>,
}

/// What an agent answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentAnswer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<Timestamp>,
}

impl Vault {
    pub fn new(identity: AwsIdentity) -> Self {
        Self {
            identity,
            kept: Mutex::new(Bounded::new(KEPT)),
        }
    }

    /// Credentials to sign this with.
    pub async fn credentials(
        &self,
        wanted: &Wanted,
        port: &HttpPort,
        now: Timestamp,
    ) -> Result<Credentials, HttpFailure> {
        let place = |role_arn: Option<&String>| Place {
            role_arn: role_arn.cloned(),
            region: wanted.region.clone(),
        };
        let role = place(wanted.role_arn.as_ref());
        if let Some(known) = self.known(&role, now) {
            return Ok(known);
        }
        let own = place(None);
        let base = match self.known(&own, now) {
            Some(known) => known,
            None => {
                let found = self.own(&wanted.region, port).await?;
                self.keep(own, &found);
                found
            }
        };
        let Some(role_arn) = &wanted.role_arn else {
            return Ok(base);
        };
        let endpoint = sts::Endpoint::of(&self.identity, &wanted.region);
        let assumed = endpoint.assume_role(port, role_arn, &base, now).await?;
        self.keep(role, &assumed);
        Ok(assumed)
    }

    async fn own(&self, region: &str, port: &HttpPort) -> Result<Credentials, HttpFailure> {
        match &self.identity.source {
            None => Err(HttpFailure::Denied(
                "no AWS credentials: the controller's environment has neither keys (AWS_ACCESS_KEY_ID) nor a web \
                 identity (AWS_WEB_IDENTITY_TOKEN_FILE) nor an agent (AWS_CONTAINER_CREDENTIALS_FULL_URI); others are \
                 not asked for"
                    .to_owned(),
            )),
            Some(Source::Keys { id, secret, token }) => Ok(Credentials {
                id: id.clone(),
                secret: secret.clone(),
                token: token.clone(),
                expires: None,
            }),
            Some(Source::WebIdentity {
                token_file,
                role_arn,
                session,
            }) => {
                let token = read(token_file).await?;
                let endpoint = sts::Endpoint::of(&self.identity, region);
                endpoint
                    .assume_role_with_web_identity(port, role_arn, session, &token)
                    .await
            }
            Some(Source::Container {
                uri,
                token_file,
                token,
            }) => {
                let token = match token_file {
                    Some(file) => Some(read(file).await?),
                    None => token.clone(),
                };
                ask_agent(uri, token.as_deref(), port).await
            }
        }
    }

    fn known(&self, place: &Place, now: Timestamp) -> Option<Credentials> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get(place)?;
        let good = known
            .expires
            .is_none_or(|expires| after(now, EARLY) < expires);
        good.then(|| known.clone())
    }

    fn keep(&self, place: Place, credentials: &Credentials) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(place, credentials.clone());
    }
}

/// The token in a file, which somebody renews from time to time.
async fn read(file: &Path) -> Result<String, HttpFailure> {
    let text = tokio::fs::read_to_string(file).await;
    text.map(|text| text.trim().to_owned())
        .map_err(|error| refused(&file.display().to_string(), &error.to_string()))
}

async fn ask_agent(
    uri: &str,
    token: Option<&str>,
    port: &HttpPort,
) -> Result<Credentials, HttpFailure> {
    let failed = |why: &str| refused("the agent for container credentials", why);
    let address = Url::parse(uri).map_err(|error| failed(&error.to_string()))?;
    if !is_agent(&address) {
        return Err(failed(&format!(
            "{uri:?} is neither https nor an address of an agent"
        )));
    }
    let mut request = http::Request::new(Bytes::new());
    *request.uri_mut() = address
        .as_str()
        .parse()
        .map_err(|_| failed("its address is not usable"))?;
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(token) = token {
        let value = crate::http::auth::secret_value(token)
            .map_err(|why| failed(&format!("the token {why}")))?;
        headers.insert(header::AUTHORIZATION, value);
    }
    request.extensions_mut().insert(AgentRequest);
    request.extensions_mut().insert(BodyLimit(LARGEST));
    let response = port.send(request).await?;
    if response.status() != http::StatusCode::OK {
        return Err(failed(&format!("status {}", response.status())));
    }
    let answer: AgentAnswer =
        serde_json::from_slice(response.body()).map_err(|error| failed(&error.to_string()))?;
    Ok(Credentials {
        id: answer.access_key_id,
        secret: answer.secret_access_key,
        token: answer.token,
        expires: answer.expiration,
    })
}

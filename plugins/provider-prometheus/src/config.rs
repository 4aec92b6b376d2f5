//! `provider.prometheus` of a metric, as the user writes it.

use schemars::JsonSchema;
use serde::Deserialize;

/// A query to a Prometheus server.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prometheus {
    /// The address of the server, with scheme, host and port. If omitted, the administrator's.
    pub address: Option<String>,
    /// The query, in PromQL.
    pub query: Option<String>,
    /// How the server is told who asks.
    pub authentication: Option<Authentication>,
    /// The seconds within which the query must be answered; 30 if omitted.
    pub timeout: Option<i64>,
    /// Accept any certificate of the server.
    pub insecure: Option<bool>,
    /// Headers of the request.
    pub headers: Option<Vec<Header>>,
    /// Ask for a range of time instead of a moment.
    pub range_query: Option<RangeQuery>,
}

/// How the server is told who asks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// Sign requests to Amazon Managed Prometheus.
    pub sigv4: Option<Sigv4>,
    /// Get a token with the client-credentials grant.
    pub oauth2: Option<OAuth2>,
    /// A user name and a password.
    pub basic_auth: Option<BasicAuth>,
}

/// Whose AWS identity signs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sigv4 {
    /// The region of the workspace.
    pub region: Option<String>,
    /// The profile of the controller's AWS configuration.
    pub profile: Option<String>,
    /// The role to assume.
    pub role_arn: Option<String>,
}

/// An OAuth2 client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OAuth2 {
    /// Where tokens are issued.
    pub token_url: Option<String>,
    /// The client's identifier.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<String>,
    /// The scopes to ask for.
    pub scopes: Option<Vec<String>>,
}

/// A user name and a password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// A header of the request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A range of time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RangeQuery {
    /// Where it begins, as an expression: `now() - duration("1h")`.
    pub start: Option<String>,
    /// Where it ends, as an expression: `now()`.
    pub end: Option<String>,
    /// The time between two samples: 30s, 5m, 1h.
    pub step: Option<String>,
}

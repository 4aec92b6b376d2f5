//! Who the controller is to AWS, as the environment of its process says.

use std::path::PathBuf;

use url::Url;

/// Where the controller's AWS credentials come from. Read once at start; the files that it names are read again and again.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AwsIdentity {
    pub(super) region: Option<String>,
    pub(super) source: Option<Source>,
    /// In place of the region's own endpoint of the Security Token Service.
    pub(super) sts_endpoint: Option<String>,
}

/// Environment variables that are credentials: no setting of a plugin is fed by them.
const CREDENTIALS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// In the order in which AWS's own clients try them.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Keys in environment variables.
    Keys {
        id: String,
        secret: String,
        token: Option<String>,
    },
    /// A service account's token, which the Security Token Service takes (IRSA).
    WebIdentity {
        token_file: PathBuf,
        role_arn: String,
        session: String,
    },
    /// An agent on the node (EKS Pod Identity, ECS).
    Container {
        uri: String,
        token_file: Option<PathBuf>,
        token: Option<String>,
    },
}

/// Where relative addresses of container credentials lead to, in ECS.
const ECS: &str = "http://169.254.170.2";
/// The agents that may be asked without TLS, besides the machine itself: those of ECS and of EKS.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// The name of sessions that nobody has named.
pub(super) const SESSION: &str = "sluice";

impl AwsIdentity {
    /// Whether an environment variable is for the host alone.
    pub(crate) fn keeps(variable: &str) -> bool {
        CREDENTIALS.contains(&variable)
    }

    /// What an environment says.
    pub fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| environment(name).filter(|value| !value.is_empty());
        let keys = || {
            Some(Source::Keys {
                id: value("AWS_ACCESS_KEY_ID")?,
                secret: value("AWS_SECRET_ACCESS_KEY")?,
                token: value("AWS_SESSION_TOKEN"),
            })
        };
        let web_identity = || {
            Some(Source::WebIdentity {
                token_file: value("AWS_WEB_IDENTITY_TOKEN_FILE")?.into(),
                role_arn: value("AWS_ROLE_ARN")?,
                session: value("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| SESSION.to_owned()),
            })
        };
        let container = || {
            let uri = value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
                .map(|path| format!("{ECS}{path}"))
                .or_else(|| value("AWS_CONTAINER_CREDENTIALS_FULL_URI"))?;
            Some(Source::Container {
                uri,
                token_file: value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from),
                token: value("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            })
        };
        Self {
            region: value("AWS_REGION").or_else(|| value("AWS_DEFAULT_REGION")),
            source: keys().or_else(web_identity).or_else(container),
            sts_endpoint: value("AWS_ENDPOINT_URL_STS").or_else(|| value("AWS_ENDPOINT_URL")),
        }
    }
}

/// Whether an agent's address may be asked for credentials: it is sent a token, and believed. Without TLS it must be a
/// number, which no resolver can point elsewhere.
pub(super) fn is_agent(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(_)) => false,
        None => return false,
    };
    match url.scheme() {
        "https" => true,
        "http" => is_local || url.host_str().is_some_and(|host| AGENTS.contains(&host)),
        _ => false,
    }
}

/// Secrets stay inside.
impl std::fmt::Debug for AwsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = self.source.as_ref().map(|source| match source {
            Source::Keys { .. } => "keys",
            Source::WebIdentity { .. } => "web identity",
            Source::Container { .. } => "container",
        });
        f.debug_struct("AwsIdentity")
            .field("region", &self.region)
            .field("source", &source)
            .finish_non_exhaustive()
    }
}

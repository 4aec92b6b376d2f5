//! Kinds whose place in the API is known without asking: those of Argo Rollouts and the built-in ones that it touches.
//! Everything else goes through discovery.

use kube::api::ApiResource;
use sluice_api::{self as api, Kind as _};

/// Where a kind is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Group, version, kind, plural.
    pub(crate) resource: ApiResource,
    /// Whether its objects live in a namespace.
    pub(crate) namespaced: bool,
}

impl Served {
    /// A kind of this API version and plural.
    pub(crate) fn new(api_version: &str, kind: &str, plural: &str, namespaced: bool) -> Self {
        let (group, version) = split(api_version);
        Self {
            resource: ApiResource {
                group: group.to_owned(),
                version: version.to_owned(),
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                plural: plural.to_owned(),
            },
            namespaced,
        }
    }

    /// The path of the collection, or of one object. Each segment is escaped: names come from users.
    ///
    /// # Errors
    /// When a name cannot be a path segment at all.
    pub(crate) fn path(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<String, String> {
        let mut path = if self.resource.group.is_empty() {
            format!("/api/{}", self.resource.version)
        } else {
            format!("/apis/{}/{}", self.resource.group, self.resource.version)
        };
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str("/namespaces/");
            path.push_str(&segment(namespace)?);
        }
        path.push('/');
        path.push_str(&self.resource.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(&segment(name)?);
        }
        Ok(path)
    }
}

/// Group and version of an `apiVersion`.
pub(crate) fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// One of the five kinds.
pub(crate) fn of<K: api::Kind>() -> Served {
    Served::new(
        K::API_VERSION,
        K::KIND,
        K::PLURAL,
        K::SCOPE == api::Scope::Namespaced,
    )
}

/// The place of a kind that needs no discovery.
pub(crate) fn known(api_version: &str, kind: &str) -> Option<Served> {
    let (plural, namespaced) = match (api_version, kind) {
        (api::Rollout::API_VERSION, _) => return argo(kind),
        ("v1", "Service") => ("services", true),
        ("v1", "Pod") => ("pods", true),
        ("v1", "Secret") => ("secrets", true),
        ("v1", "ConfigMap") => ("configmaps", true),
        ("v1", "Event") => ("events", true),
        ("v1", "PodTemplate") => ("podtemplates", true),
        ("apps/v1", "ReplicaSet") => ("replicasets", true),
        ("apps/v1", "Deployment") => ("deployments", true),
        ("apps/v1", "StatefulSet") => ("statefulsets", true),
        ("apps/v1", "DaemonSet") => ("daemonsets", true),
        ("batch/v1", "Job") => ("jobs", true),
        ("coordination.k8s.io/v1", "Lease") => ("leases", true),
        _ => return None,
    };
    Some(Served::new(api_version, kind, plural, namespaced))
}

fn argo(kind: &str) -> Option<Served> {
    match kind {
        api::Rollout::KIND => Some(of::<api::Rollout>()),
        api::AnalysisRun::KIND => Some(of::<api::AnalysisRun>()),
        api::AnalysisTemplate::KIND => Some(of::<api::AnalysisTemplate>()),
        api::ClusterAnalysisTemplate::KIND => Some(of::<api::ClusterAnalysisTemplate>()),
        api::Experiment::KIND => Some(of::<api::Experiment>()),
        _ => None,
    }
}

/// A name as one segment of a path: everything but the unreserved characters is percent-encoded.
pub(crate) fn segment(name: &str) -> Result<String, String> {
    if matches!(name, "" | "." | "..") {
        return Err(format!("{name:?} is no name of an object"));
    }
    Ok(escape(name))
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

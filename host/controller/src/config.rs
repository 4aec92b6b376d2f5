//! What the controller is told at start. Names and defaults are those of upstream's flags (CTL rows) where they apply.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the whole process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory with components that are trusted with what their manifests ask for.
    pub plugin_dir: Option<PathBuf>,
    /// Directory for compiled components; none keeps them in memory only.
    pub cache_dir: Option<PathBuf>,
    /// Work on this namespace only (`--namespaced`, CTL-011).
    pub only_namespace: Option<String>,
    /// The controller's own namespace, where its lease is (CTL-007).
    pub lease_namespace: String,
    /// How long a request to the API server may take, where it is not the usual limit.
    pub request_timeout: Option<Duration>,
    /// Work on AnalysisRuns only (`--controllers=analysis`, CTL-012).
    pub analysis_only: bool,
    /// `--instance-id`
    pub instance_id: Option<String>,
    /// Objects worked on at the same time.
    pub workers: usize,
    /// Where metrics are served; none to serve none.
    pub metrics_address: Option<SocketAddr>,
    /// Where health is served; none to serve none.
    pub health_address: Option<SocketAddr>,
    /// Wait for the lease before writing anything.
    pub leader_elect: bool,
    /// `--leader-election-lease-duration`
    pub lease_duration: Duration,
    /// `--leader-election-renew-deadline`
    pub renew_deadline: Duration,
    /// `--leader-election-retry-period`
    pub retry_period: Duration,
    /// This process among all that ask for the lease.
    pub identity: String,
    /// Flags and environment variables by name, for plugins whose manifests ask for them.
    pub plugin_settings: BTreeMap<String, String>,
    /// Those of them that somebody gave for a plugin. One that no plugin asks for is told.
    pub plugin_flags: BTreeSet<String>,
}

impl Settings {
    /// Of a controller inside of another program, as simulations have it: the defaults of the flags, without plugins, and
    /// without ports, which others in the same program may want. The lease is in this namespace, held under this name.
    pub fn embedded(namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            plugin_dir: None,
            cache_dir: None,
            only_namespace: None,
            lease_namespace: namespace.into(),
            request_timeout: None,
            analysis_only: false,
            instance_id: None,
            workers: 10,
            metrics_address: None,
            health_address: None,
            leader_elect: true,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            identity: identity.into(),
            plugin_settings: BTreeMap::new(),
            plugin_flags: BTreeSet::new(),
        }
    }
}

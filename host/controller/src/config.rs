//! What the controller is told at start. Names and defaults are those of upstream's flags (CTL rows) where they apply.

use std::collections::BTreeMap;
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
}

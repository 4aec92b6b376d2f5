//! Flags that change nothing.

use clap::Args;

/// Flags of upstream that nothing here needs, accepted so that an existing Deployment starts.
#[derive(Args)]
pub(super) struct Unused {
    /// Accepted for compatibility: changes arrive by watches, nothing is resynchronised by time.
    #[arg(long, hide = true, value_name = "SECONDS")]
    rollout_resync: Option<i64>,
    #[arg(long, hide = true)]
    qps: Option<f32>,
    #[arg(long, hide = true)]
    burst: Option<i64>,
    #[arg(long, hide = true)]
    kloglevel: Option<i64>,
    #[arg(long, hide = true)]
    experiment_threads: Option<usize>,
    #[arg(long, hide = true)]
    analysis_threads: Option<usize>,
    #[arg(long, hide = true)]
    service_threads: Option<usize>,
    #[arg(long, hide = true)]
    ingress_threads: Option<usize>,
    #[arg(long, hide = true)]
    ephemeral_metadata_threads: Option<usize>,
    #[arg(long, hide = true)]
    ephemeral_metadata_update_pod_retries: Option<usize>,
    #[arg(long, hide = true)]
    enable_pprof_address: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    self_service_notification_enabled: Option<bool>,
}

impl Unused {
    /// The names of those that were given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        [
            ("--rollout-resync", self.rollout_resync.is_some()),
            ("--qps", self.qps.is_some()),
            ("--burst", self.burst.is_some()),
            ("--kloglevel", self.kloglevel.is_some()),
            ("--experiment-threads", self.experiment_threads.is_some()),
            ("--analysis-threads", self.analysis_threads.is_some()),
            ("--service-threads", self.service_threads.is_some()),
            ("--ingress-threads", self.ingress_threads.is_some()),
            (
                "--ephemeral-metadata-threads",
                self.ephemeral_metadata_threads.is_some(),
            ),
            (
                "--ephemeral-metadata-update-pod-retries",
                self.ephemeral_metadata_update_pod_retries.is_some(),
            ),
            (
                "--enable-pprof-address",
                self.enable_pprof_address.is_some(),
            ),
            (
                "--self-service-notification-enabled",
                self.self_service_notification_enabled.is_some(),
            ),
        ]
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| name)
        .collect()
    }
}

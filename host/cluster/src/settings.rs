//! What a [`crate::Cluster`] is told at start.

use std::time::Duration;

use sluice_engine::keys;

use crate::{Clock, RequestCounts};

/// Settings of a [`crate::Cluster`]. The defaults are those of upstream's flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Only this namespace (`--namespaced`); everything otherwise (CTL-011).
    pub namespace: Option<String>,
    /// `--instance-id`: only objects with this label; without it only objects that have no such label (CTL-010).
    pub instance_id: Option<String>,
    /// `--controllers=analysis`: only AnalysisRuns (CTL-012).
    pub analysis_only: bool,
    /// Objects per page of a list. A page is decoded at once, so this bounds the peak of memory.
    pub page_size: u32,
    /// Field manager of every write.
    pub field_manager: String,
    /// Seed of every jitter.
    pub seed: u64,
    /// A single request, its answer included, takes at most this long.
    pub request_timeout: Duration,
    /// Where the present comes from.
    pub clock: Clock,
    /// Where requests are counted (MET-012).
    pub requests: RequestCounts,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: None,
            instance_id: None,
            analysis_only: false,
            page_size: 100,
            field_manager: "rollouts-controller".to_owned(),
            seed: 0,
            request_timeout: Duration::from_secs(15),
            clock: Clock::system(),
            requests: RequestCounts::default(),
        }
    }
}

impl Settings {
    /// The instance id; None for an empty one.
    pub(crate) fn instance(&self) -> Option<&str> {
        self.instance_id.as_deref().filter(|id| !id.is_empty())
    }

    /// The label selector for the five kinds.
    pub(crate) fn instance_selector(&self) -> String {
        match self.instance() {
            Some(id) => format!("{}={id}", keys::INSTANCE_ID),
            None => format!("!{}", keys::INSTANCE_ID),
        }
    }

    /// Whether that selector takes an object with these labels.
    pub(crate) fn selects(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        labels.get(keys::INSTANCE_ID).map(String::as_str) == self.instance()
    }
}

//! What an absent field means. Pure look-ups; a value that follows from more than the specification is the engine's.

use jiff::SignedDuration;

use crate::{
    ExperimentSpec, IntOrString, Metric, RolloutPause, RolloutSpec, TemplateSpec, parse_duration,
};

/// `spec.replicas` of a Rollout and of an Experiment's template.
pub const DEFAULT_REPLICAS: i32 = 1;
/// `spec.revisionHistoryLimit`.
pub const DEFAULT_REVISION_HISTORY_LIMIT: i32 = 10;
/// `spec.analysis.successfulRunHistoryLimit` and `unsuccessfulRunHistoryLimit`.
pub const DEFAULT_RUN_HISTORY_LIMIT: i32 = 5;
/// `maxSurge` and `maxUnavailable`. Without a percent sign and still a percentage: Argo Rollouts' older reading.
pub const DEFAULT_MAX_SURGE: &str = "25";
/// See [`DEFAULT_MAX_SURGE`].
pub const DEFAULT_MAX_UNAVAILABLE: &str = "25";
/// `progressDeadlineSeconds`.
pub const DEFAULT_PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// `scaleDownDelaySeconds`.
pub const DEFAULT_SCALE_DOWN_DELAY_SECONDS: i32 = 30;
/// `abortScaleDownDelaySeconds`.
pub const DEFAULT_ABORT_SCALE_DOWN_DELAY_SECONDS: i32 = 30;
/// `consecutiveErrorLimit` of a metric.
pub const DEFAULT_CONSECUTIVE_ERROR_LIMIT: i32 = 4;
/// `trafficRouting.maxTrafficWeight`.
pub const DEFAULT_MAX_TRAFFIC_WEIGHT: i32 = 100;
/// Measurements that are kept of each metric.
pub const DEFAULT_MEASUREMENT_RETENTION: i32 = 10;

/// How long the new ReplicaSet is kept after an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortScaleDownDelay {
    /// The time; none keeps it for good (an explicit 0).
    pub delay: Option<SignedDuration>,
    /// Whether the user has set it.
    pub explicit: bool,
}

impl RolloutSpec {
    /// Wanted number of pods.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS)
    }

    /// Old ReplicaSets to keep.
    #[must_use]
    pub fn revision_history_limit(&self) -> i32 {
        self.revision_history_limit
            .unwrap_or(DEFAULT_REVISION_HISTORY_LIMIT)
    }

    /// Successful runs to keep.
    #[must_use]
    pub fn successful_run_history_limit(&self) -> i32 {
        let limit = self
            .analysis
            .as_ref()
            .and_then(|a| a.successful_run_history_limit);
        limit.unwrap_or(DEFAULT_RUN_HISTORY_LIMIT)
    }

    /// Other finished runs to keep.
    #[must_use]
    pub fn unsuccessful_run_history_limit(&self) -> i32 {
        let limit = self
            .analysis
            .as_ref()
            .and_then(|a| a.unsuccessful_run_history_limit);
        limit.unwrap_or(DEFAULT_RUN_HISTORY_LIMIT)
    }

    /// Seconds without progress after which the Rollout counts as failed.
    #[must_use]
    pub fn progress_deadline_seconds(&self) -> i32 {
        self.progress_deadline_seconds
            .unwrap_or(DEFAULT_PROGRESS_DEADLINE_SECONDS)
    }

    /// Pods beyond the wanted number.
    #[must_use]
    pub fn max_surge(&self) -> IntOrString {
        let canary = self.strategy.canary.as_ref();
        let surge = canary.and_then(|canary| canary.max_surge.clone());
        surge.unwrap_or_else(|| DEFAULT_MAX_SURGE.into())
    }

    /// Pods that may be missing.
    #[must_use]
    pub fn max_unavailable(&self) -> IntOrString {
        let unavailable = self.strategy.max_unavailable().cloned();
        unavailable.unwrap_or_else(|| DEFAULT_MAX_UNAVAILABLE.into())
    }

    /// How long an old ReplicaSet is kept after promotion; nothing for a canary without traffic routing.
    #[must_use]
    pub fn scale_down_delay(&self) -> SignedDuration {
        let mut seconds = 0;
        if let Some(blue_green) = &self.strategy.blue_green {
            seconds = blue_green
                .scale_down_delay_seconds
                .unwrap_or(DEFAULT_SCALE_DOWN_DELAY_SECONDS);
        }
        if let Some(canary) = &self.strategy.canary
            && canary.traffic_routing.is_some()
        {
            seconds = canary
                .scale_down_delay_seconds
                .unwrap_or(DEFAULT_SCALE_DOWN_DELAY_SECONDS);
        }
        SignedDuration::from_secs(seconds.into())
    }

    /// How many old ReplicaSets may be kept up after promotion.
    #[must_use]
    pub fn scale_down_delay_revision_limit(&self) -> i32 {
        let blue_green = self.strategy.blue_green.as_ref();
        let limit = blue_green.and_then(|strategy| strategy.scale_down_delay_revision_limit);
        let canary = || {
            let strategy = self.strategy.canary.as_ref()?;
            strategy.scale_down_delay_revision_limit
        };
        limit.or_else(canary).unwrap_or(i32::MAX)
    }

    /// How long the new ReplicaSet is kept after an abort; no time at all for a canary without traffic routing.
    #[must_use]
    pub fn abort_scale_down_delay(&self) -> AbortScaleDownDelay {
        let set = if let Some(blue_green) = &self.strategy.blue_green {
            blue_green.abort_scale_down_delay_seconds
        } else {
            match &self.strategy.canary {
                Some(canary) if canary.traffic_routing.is_some() => {
                    canary.abort_scale_down_delay_seconds
                }
                _ => {
                    let delay = Some(SignedDuration::ZERO);
                    return AbortScaleDownDelay {
                        delay,
                        explicit: false,
                    };
                }
            }
        };
        let seconds = set.unwrap_or(DEFAULT_ABORT_SCALE_DOWN_DELAY_SECONDS);
        let delay = (set != Some(0)).then(|| SignedDuration::from_secs(seconds.into()));
        AbortScaleDownDelay {
            delay,
            explicit: set.is_some(),
        }
    }

    /// Whether blue-green promotes without asking.
    #[must_use]
    pub fn auto_promotion_enabled(&self) -> bool {
        let blue_green = self.strategy.blue_green.as_ref();
        blue_green
            .and_then(|strategy| strategy.auto_promotion_enabled)
            .unwrap_or(true)
    }

    /// What weights add up to.
    #[must_use]
    pub fn max_traffic_weight(&self) -> i32 {
        let canary = self.strategy.canary.as_ref();
        let routing = canary.and_then(|canary| canary.traffic_routing.as_ref());
        routing
            .and_then(|routing| routing.max_traffic_weight)
            .unwrap_or(DEFAULT_MAX_TRAFFIC_WEIGHT)
    }
}

impl RolloutPause {
    /// How long the pause lasts, in whole seconds; none is until the user goes on.
    ///
    /// # Errors
    /// When the text is neither a number of seconds nor a Go duration, or is beyond 32 bits of seconds.
    pub fn seconds(&self) -> Result<Option<i32>, crate::DurationError> {
        match &self.duration {
            None => Ok(None),
            Some(IntOrString::Int(seconds)) => Ok(Some(*seconds)),
            Some(IntOrString::String(text)) => {
                if let Ok(seconds) = text.parse() {
                    return Ok(Some(seconds));
                }
                let seconds = i32::try_from(parse_duration(text)?.as_secs());
                seconds
                    .map(Some)
                    .map_err(|_| crate::DurationError::Invalid(text.clone()))
            }
        }
    }
}

impl Metric {
    /// How often to measure: the count, or once without an interval, or for ever (none).
    #[must_use]
    pub fn effective_count(&self) -> Option<IntOrString> {
        match &self.count {
            Some(count) if count.int_value() != 0 => Some(count.clone()),
            _ => self.interval.is_empty().then_some(IntOrString::Int(1)),
        }
    }

    /// Errors in a row that are tolerated.
    #[must_use]
    pub fn consecutive_error_limit(&self) -> i32 {
        let limit = self.consecutive_error_limit.as_ref();
        limit.map_or(DEFAULT_CONSECUTIVE_ERROR_LIMIT, IntOrString::int_value)
    }
}

impl ExperimentSpec {
    /// Seconds without progress after which a ReplicaSet counts as failed.
    #[must_use]
    pub fn progress_deadline_seconds(&self) -> i32 {
        self.progress_deadline_seconds
            .unwrap_or(DEFAULT_PROGRESS_DEADLINE_SECONDS)
    }

    /// How long the ReplicaSets are kept afterwards.
    #[must_use]
    pub fn scale_down_delay(&self) -> SignedDuration {
        let seconds = self
            .scale_down_delay_seconds
            .unwrap_or(DEFAULT_SCALE_DOWN_DELAY_SECONDS);
        SignedDuration::from_secs(seconds.into())
    }
}

impl TemplateSpec {
    /// Number of pods.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS)
    }
}

//! Whether a run can be carried out: arguments resolved, metrics and rules checked (ENG-003, ENG-010, ENG-011).
//! Whether a plugin accepts its block is the plugin's answer to a measurement.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use regex::Regex;
use serde_json::Value;
use sluice_api as api;

use super::arguments::{self, Values};
use crate::plugin::SecretPlaceholder;

/// A run that can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidRun {
    /// Its metrics, in the order of the specification.
    pub metrics: Vec<ValidMetric>,
    /// Values of its arguments.
    pub(super) values: Values,
}

/// A metric that can be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidMetric {
    /// The metric, arguments substituted; secrets are placeholders.
    pub metric: api::Metric,
    /// The name of its provider: the key in `provider`, or the plugin's full name under `provider.plugin`.
    pub provider: String,
    /// The provider's block.
    pub config: Value,
    /// The placeholders in the metric.
    pub secrets: Vec<SecretPlaceholder>,
    /// Whether it is measured without consequences.
    pub dry_run: bool,
    /// How many measurements are kept.
    pub retention: usize,
    pub(super) interval: Option<SignedDuration>,
    pub(super) initial_delay: Option<SignedDuration>,
    /// None where it is measured for ever.
    pub(super) count: Option<i32>,
}

/// Resolves the arguments of a run and checks its metrics.
///
/// # Errors
/// What the status of the run says, in upstream's words (ENG-004): `Unable to resolve metric arguments: …` or
/// `Analysis spec invalid: …`.
pub fn validate(run: &api::AnalysisRun) -> Result<ValidRun, String> {
    let values = Values::of_run(run);
    let resolved = run
        .spec
        .metrics
        .iter()
        .map(|metric| arguments::resolve_metric(metric, &values));
    let resolved: Vec<api::Metric> = resolved
        .collect::<Result<_, _>>()
        .map_err(|error| format!("Unable to resolve metric arguments: {error}"))?;

    let invalid = |error: String| format!("Analysis spec invalid: {error}");
    let mut metrics = valid_metrics(resolved, &values).map_err(invalid)?;
    for (index, rule) in run.spec.dry_run.iter().enumerate() {
        let mut matched = false;
        for metric in matching(&rule.metric_name, &mut metrics) {
            metric.dry_run = true;
            matched = true;
        }
        if !matched {
            return Err(invalid(format!("dryRun[{index}]: {NO_MATCH}")));
        }
    }
    for (index, rule) in run.spec.measurement_retention.iter().enumerate() {
        let mut matched = false;
        for metric in matching(&rule.metric_name, &mut metrics) {
            metric.retention = usize::try_from(rule.limit)
                .ok()
                .filter(|limit| *limit > 0)
                .unwrap_or(DEFAULT_RETENTION);
            matched = true;
        }
        if !matched {
            return Err(invalid(format!(
                "measurementRetention[{index}]: {NO_MATCH}"
            )));
        }
    }
    Ok(ValidRun { metrics, values })
}

const NO_MATCH: &str = "Rule didn't match any metric name(s)";
const DEFAULT_RETENTION: usize = api::DEFAULT_MEASUREMENT_RETENTION.unsigned_abs() as usize;

/// Whether a metric of this name is measured without consequences; upstream's figures say it before there is a result.
#[must_use]
pub fn is_dry_run(spec: &api::AnalysisRunSpec, metric: &str) -> bool {
    spec.dry_run
        .iter()
        .any(|rule| Regex::new(&rule.metric_name).is_ok_and(|rule| rule.is_match(metric)))
}

/// The metrics whose name matches an unanchored regular expression; none where it is no regular expression, as `*` is.
fn matching<'a>(
    rule: &str,
    metrics: &'a mut [ValidMetric],
) -> impl Iterator<Item = &'a mut ValidMetric> {
    let rule = Regex::new(rule).ok();
    metrics.iter_mut().filter(move |metric| {
        rule.as_ref()
            .is_some_and(|rule| rule.is_match(&metric.metric.name))
    })
}

fn valid_metrics(resolved: Vec<api::Metric>, values: &Values) -> Result<Vec<ValidMetric>, String> {
    if resolved.is_empty() {
        return Err("no metrics specified".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut metrics = Vec::with_capacity(resolved.len());
    for (index, metric) in resolved.into_iter().enumerate() {
        if !names.insert(metric.name.clone()) {
            return Err(format!(
                "metrics[{index}]: duplicate name '{}'",
                metric.name
            ));
        }
        metrics.push(
            valid_metric(metric, values).map_err(|error| format!("metrics[{index}]: {error}"))?,
        );
    }
    Ok(metrics)
}

fn valid_metric(metric: api::Metric, values: &Values) -> Result<ValidMetric, String> {
    check_numbers(&metric)?;
    let interval =
        duration(&metric.interval).map_err(|error| format!("invalid interval string: {error}"))?;
    let initial_delay = duration(&metric.initial_delay)
        .map_err(|error| format!("invalid startDelay string: {error}"))?;
    let (provider, config) = provider(&metric.provider)?;
    let json = serde_json::to_string(&metric).unwrap_or_default();
    Ok(ValidMetric {
        provider,
        config,
        secrets: values.secrets_in(&json),
        dry_run: false,
        retention: DEFAULT_RETENTION,
        interval,
        initial_delay,
        count: metric.effective_count().map(|count| count.int_value()),
        metric,
    })
}

fn duration(text: &api::DurationString) -> Result<Option<SignedDuration>, api::DurationError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.duration().map(Some)
}

/// The rules over the counts and limits of a metric. A text that is no number counts as 0, as in Go.
fn check_numbers(metric: &api::Metric) -> Result<(), String> {
    let number = |field: &Option<api::IntOrString>| {
        field
            .as_ref()
            .map_or(0, |value| i64::from(value.int_value()))
    };
    let count = number(&metric.count);
    let failures = number(&metric.failure_limit);
    let successes = number(&metric.consecutive_success_limit);
    let inconclusive = number(&metric.inconclusive_limit);
    let errors = number(&metric.consecutive_error_limit);

    let broken = if successes < 0 {
        Some("consecutiveSuccessLimit must be >= 0")
    } else if failures < -1 {
        Some("failureLimit must be >= 0, or -1 to be disabled")
    } else if successes == 0 && failures == -1 {
        Some("failureLimit and consecutiveSuccessLimit cannot both be disabled")
    } else if inconclusive < 0 {
        Some("inconclusiveLimit must be >= 0")
    } else if errors < 0 {
        Some("consecutiveErrorLimit must be >= 0")
    } else if count > 0 && failures >= 0 && count < failures + successes {
        return Err(format!(
            "count ({count}) must be >= failureLimit + consecutiveSuccessLimit ({failures} + {successes}) if both >= 0"
        ));
    } else if count > 0 && failures < 0 && count < successes {
        Some("count must be >= consecutiveSuccessLimit")
    } else if count > 0 && count < inconclusive {
        Some("count must be >= inconclusiveLimit")
    } else if count > 1 && metric.interval.is_empty() {
        Some("interval must be specified when count > 1")
    } else {
        None
    };
    broken.map_or(Ok(()), |message| Err(message.to_owned()))
}

/// The one provider of a metric. Each entry under `plugin` counts as a provider of its own.
fn provider(provider: &api::MetricProvider) -> Result<(String, Value), String> {
    let mut found = Vec::new();
    for (name, block) in provider.0.iter().filter(|(_, block)| !block.is_null()) {
        match block.as_object() {
            Some(plugins) if name == "plugin" => {
                found.extend(
                    plugins
                        .iter()
                        .map(|(name, config)| (name.clone(), config.clone())),
                );
            }
            _ => found.push((name.clone(), block.clone())),
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err("multiple providers specified".to_owned()),
        (None, _) => Err("no provider specified".to_owned()),
    }
}

//! From a provider's reply to a measurement, and from a measurement to the counters of its metric (ENG-030 to ENG-033).

use std::collections::BTreeMap;

use jiff::Timestamp;
use sluice_api as api;

use super::arguments::Values;
use super::decide::Answered;
use super::schedule::{self, TERMINATING};
use super::{CANCEL_WAIT, ERROR_RETRY, SHORTEST_WAIT, expression};
use crate::planted::{self, Bug};
use crate::plugin::{MeasureLifecycle, Measured, Refusal, Reply, Waiting};

/// What a terminated measurement says that ended well (ENG-032).
const TERMINATED: &str = "Metric Terminated";

/// What a reply is judged by.
pub(super) struct Judge<'a> {
    pub(super) metric: &'a api::Metric,
    pub(super) values: &'a Values,
    pub(super) now: Timestamp,
}

impl Judge<'_> {
    /// The measurement that a reply makes of the open one, or begins.
    pub(super) fn measurement(
        &self,
        answered: &Answered,
        open: Option<&api::Measurement>,
    ) -> api::Measurement {
        let base = self.base(open, answered.started);
        let at = answered.finished;
        match &*answered.reply {
            Reply::Measured(measured) => self.finished(base, measured, answered.lifecycle, at),
            Reply::Waiting(waiting) if answered.lifecycle == MeasureLifecycle::Cancel => {
                api::Measurement {
                    metadata: self.redact_all(&waiting.metadata),
                    phase: api::AnalysisPhase::Successful,
                    message: TERMINATED.to_owned(),
                    ..ended(base, at)
                }
            }
            Reply::Waiting(waiting) => self.waiting(base, waiting, answered),
            Reply::Refused(refusal) => self.error(base, at, &refused(refusal)),
            Reply::Broken { reason, message } => {
                self.error(base, at, &format!("{reason}: {message}"))
            }
            Reply::Usable | Reply::Routed(_) | Reply::Stepped(_) | Reply::Verified { .. } => self
                .error(
                    base,
                    at,
                    "the plugin answered as if it were of another kind",
                ),
        }
    }

    /// A measurement that could not be taken, or not be ended.
    pub(super) fn failed(
        &self,
        open: Option<&api::Measurement>,
        message: &str,
    ) -> api::Measurement {
        self.error(self.base(open, self.now), self.now, message)
    }

    /// The measurement whose provider did not cancel in time.
    pub(super) fn given_up(&self, open: Option<&api::Measurement>) -> api::Measurement {
        let message = format!(
            "the provider did not cancel the measurement within {} s",
            CANCEL_WAIT.as_secs()
        );
        self.failed(open, &message)
    }

    fn base(&self, open: Option<&api::Measurement>, started: Timestamp) -> api::Measurement {
        open.cloned().unwrap_or_else(|| api::Measurement {
            started_at: Some(api::Time(started).truncated()),
            ..api::Measurement::default()
        })
    }

    fn error(&self, base: api::Measurement, at: Timestamp, message: &str) -> api::Measurement {
        api::Measurement {
            phase: api::AnalysisPhase::Error,
            message: self.values.redact(message),
            ..ended(base, at)
        }
    }

    fn waiting(
        &self,
        base: api::Measurement,
        waiting: &Waiting,
        answered: &Answered,
    ) -> api::Measurement {
        api::Measurement {
            phase: api::AnalysisPhase::Running,
            message: self
                .values
                .redact(waiting.message.as_deref().unwrap_or_default()),
            metadata: self.redact_all(&waiting.metadata),
            resume_at: resume_at(waiting, answered).map(|time| api::Time(time).truncated()),
            ..base
        }
    }

    fn finished(
        &self,
        mut base: api::Measurement,
        measured: &Measured,
        lifecycle: MeasureLifecycle,
        at: Timestamp,
    ) -> api::Measurement {
        let cancelled = lifecycle == MeasureLifecycle::Cancel;
        let verdict = match &measured.phase {
            Some(phase) => provider_phase(phase),
            None if cancelled => Ok(api::AnalysisPhase::Successful),
            None => expression::evaluate(measured.value.as_ref(), self.metric, self.now),
        };
        // What the provider kept while the measurement was open stays, unless it says otherwise.
        base.metadata.extend(self.redact_all(&measured.metadata));
        base.value = self.values.redact(&measured.shown);
        let (phase, message) = match verdict {
            Ok(phase) => (phase, measured.message.clone().unwrap_or_default()),
            Err(message) => (api::AnalysisPhase::Error, message),
        };
        let good = matches!(
            phase,
            api::AnalysisPhase::Successful | api::AnalysisPhase::Inconclusive
        );
        let message = if cancelled && good {
            TERMINATED.to_owned()
        } else {
            message
        };
        api::Measurement {
            phase,
            message: self.values.redact(&message),
            ..ended(base, at)
        }
    }

    pub(super) fn redact_all(&self, texts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        texts
            .iter()
            .map(|(name, text)| (name.clone(), self.values.redact(text)))
            .collect()
    }
}

fn ended(base: api::Measurement, at: Timestamp) -> api::Measurement {
    api::Measurement {
        finished_at: Some(api::Time(at).truncated()),
        resume_at: None,
        ..base
    }
}

/// When the provider is called again. A provider whose wishes were carried out is asked again after a while even if it
/// does not say when, since its reply is not kept.
fn resume_at(waiting: &Waiting, answered: &Answered) -> Option<Timestamp> {
    let earliest = schedule::after(answered.finished, SHORTEST_WAIT);
    match waiting.effects.again_at {
        Some(again) => Some(again.max(earliest)),
        None if answered.lifecycle == MeasureLifecycle::Resume && has_effects(waiting) => {
            Some(schedule::after(answered.finished, ERROR_RETRY))
        }
        None => None,
    }
}

/// Whether there is something to carry out, so that the reply must not be heard twice.
pub(super) fn has_effects(waiting: &Waiting) -> bool {
    !waiting.effects.writes.is_empty() || !waiting.effects.notices.is_empty()
}

fn provider_phase(phase: &str) -> Result<api::AnalysisPhase, String> {
    let known = api::AnalysisPhase::from(phase);
    if known.completed() {
        Ok(known)
    } else {
        Err(format!("the provider ended the measurement as {phase:?}"))
    }
}

fn refused(refusal: &Refusal) -> String {
    match &refusal.field {
        Some(field) => format!("{field}: {}", refusal.message),
        None => refusal.message.clone(),
    }
}

/// The open measurement with the end of the wait for its provider noted.
pub(super) fn terminating(open: &api::Measurement, now: Timestamp) -> api::Measurement {
    api::Measurement {
        message: TERMINATING.to_owned(),
        resume_at: Some(api::Time(schedule::cancel_by(now)).truncated()),
        ..open.clone()
    }
}

/// Puts a measurement into the result of its metric: in the place of the open one, or as the newest.
pub(super) fn record(result: &mut api::MetricResult, measurement: api::Measurement) {
    count(result, &measurement.phase);
    match result.measurements.last_mut() {
        Some(last) if last.finished_at.is_none() => *last = measurement,
        _ => result.measurements.push(measurement),
    }
}

fn count(result: &mut api::MetricResult, phase: &api::AnalysisPhase) {
    let own = match phase {
        api::AnalysisPhase::Successful => &mut result.successful,
        api::AnalysisPhase::Failed => &mut result.failed,
        api::AnalysisPhase::Inconclusive => &mut result.inconclusive,
        api::AnalysisPhase::Error => &mut result.error,
        _ => return,
    };
    *own = own.saturating_add(1);
    if planted::is(Bug::MeasurementCountedTwice) {
        *own = own.saturating_add(1);
    }
    let errored = *phase == api::AnalysisPhase::Error;
    let succeeded = *phase == api::AnalysisPhase::Successful;
    if !errored {
        result.count = result.count.saturating_add(1);
    }
    result.consecutive_error = if errored {
        result.consecutive_error.saturating_add(1)
    } else {
        0
    };
    result.consecutive_success = if succeeded {
        result.consecutive_success.saturating_add(1)
    } else {
        0
    };
}

/// Drops the oldest measurements beyond what is kept (ENG-046).
pub(super) fn trim(result: &mut api::MetricResult, keep: usize) {
    let surplus = result.measurements.len().saturating_sub(keep);
    result.measurements.drain(..surplus);
}

//! Plugins that take measurements: the trait, and what lies between it and the generated bindings.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::bindings::provider::exports::sluice::plugin::metric_provider::{
    Finished, Lifecycle, Measurement, MeasurementFacts, More, OpenMeasurement, PastMeasurement,
    Phase, Reply, Sample, SampleRequest, Value, Waiting,
};
use crate::{Context, Effects, Needs, PluginError, config};

/// A plugin that takes measurements. `wit/provider.wit` says what is expected of each function.
pub trait MetricProvider {
    /// The provider's block of a metric. Use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema;

    /// A new measurement.
    ///
    /// # Errors
    /// Why it could not be taken; counts as a measurement that ended in error.
    fn start(
        context: &Context,
        config: &Self::Config,
        facts: &MeasurementFacts,
    ) -> Result<Reply, PluginError>;

    /// Goes on with a measurement that `wait` left open. Only a provider that waits is asked to.
    ///
    /// # Errors
    /// As [`Self::start`].
    fn resume(
        context: &Context,
        config: &Self::Config,
        facts: &MeasurementFacts,
    ) -> Result<Reply, PluginError> {
        Self::start(context, config, facts)
    }

    /// Stops what is still going on outside. By default there is nothing.
    ///
    /// # Errors
    /// Why it could not be stopped.
    fn cancel(
        context: &Context,
        config: &Self::Config,
        facts: &MeasurementFacts,
    ) -> Result<Reply, PluginError> {
        let _ = (context, config, facts);
        Ok(Reply::finished(Measurement::empty()))
    }
}

impl Measurement {
    /// Nothing to judge and nothing to show.
    pub fn empty() -> Self {
        Self {
            value: None,
            shown: String::new(),
            phase: None,
            message: None,
            metadata: Vec::new(),
            metric_metadata: Vec::new(),
        }
    }

    /// A value and what the status shows of it.
    pub fn of(value: Value, shown: impl Into<String>) -> Self {
        Self {
            value: Some(value),
            shown: shown.into(),
            ..Self::empty()
        }
    }
}

impl Reply {
    /// The measurement has ended and leaves nothing behind.
    pub fn finished(measurement: Measurement) -> Self {
        Self::Measured(Finished {
            measurement,
            effects: Effects::none(),
        })
    }

    /// Call again with these answers.
    pub fn needs(needs: Needs) -> Self {
        Self::More(More {
            needs,
            samples: Vec::new(),
        })
    }
}

impl Effects {
    /// Nothing changes, nothing is watched.
    pub fn none() -> Self {
        Self {
            changes: Vec::new(),
            watch: Vec::new(),
            notices: Vec::new(),
            again_after: None,
        }
    }
}

/// `metric-provider.measure` for an implementation.
#[doc(hidden)]
pub fn measure<P: MetricProvider>(
    lifecycle: Lifecycle,
    context: &Context,
    facts: &MeasurementFacts,
) -> Result<Reply, PluginError> {
    let config = config::decode(context)?;
    match lifecycle {
        Lifecycle::Start => P::start(context, &config, facts),
        Lifecycle::Resume => P::resume(context, &config, facts),
        Lifecycle::Cancel => P::cancel(context, &config, facts),
    }
}

//! Plugins that are canary steps: the trait, and what lies between it and the generated bindings.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::bindings::step::exports::sluice::plugin::step::{
    Lifecycle, Outcome, Phase, Reply, Wish,
};
use crate::{Context, Effects, PluginError, config};

/// A plugin that is a canary step. `wit/step.wit` says what is expected of each function.
pub trait Step {
    /// The step's `plugin.config`. Use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema;

    /// Begins the step, or goes on with it.
    ///
    /// # Errors
    /// Why it cannot.
    fn run(context: &Context, config: &Self::Config) -> Result<Reply, PluginError>;

    /// Stops what is going on outside, because the Rollout goes on without it. By default there is nothing.
    ///
    /// # Errors
    /// Why it cannot.
    fn terminate(context: &Context, config: &Self::Config) -> Result<Reply, PluginError> {
        let _ = (context, config);
        Ok(Reply::Done(Outcome::of(Phase::Successful)))
    }

    /// Undoes what can be undone after an abort. By default there is nothing.
    ///
    /// # Errors
    /// Why it cannot.
    fn abort(context: &Context, config: &Self::Config) -> Result<Reply, PluginError> {
        let _ = (context, config);
        Ok(Reply::Done(Outcome::of(Phase::Successful)))
    }
}

impl Outcome {
    /// An outcome that says only how far the step has come.
    pub fn of(phase: Phase) -> Self {
        Self {
            phase,
            message: None,
            status: None,
            weight: None,
            wish: Wish::None,
            effects: Effects::none(),
        }
    }
}

/// `step.execute` for an implementation.
#[doc(hidden)]
pub fn execute<S: Step>(lifecycle: Lifecycle, context: &Context) -> Result<Reply, PluginError> {
    let config = config::decode(context)?;
    match lifecycle {
        Lifecycle::Run => S::run(context, &config),
        Lifecycle::Terminate => S::terminate(context, &config),
        Lifecycle::Abort => S::abort(context, &config),
    }
}

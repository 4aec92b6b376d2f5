//! Plugins that split traffic: the trait, and what lies between it and the generated bindings.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::bindings::router::exports::sluice::plugin::traffic_router::{
    Checked, Destination, HeaderMatch, HeaderRoute, MirrorRoute, Plan, Reply, RequestMatch,
    TextMatch, Traffic, Usable,
};
use crate::{Context, Effects, PluginError, Verification, VerificationState, config};

/// A plugin that makes the data path split traffic. `wit/router.wit` says what is expected of each function.
pub trait TrafficRouter {
    /// The plugin's block of a Rollout's `trafficRouting`. Use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema;

    /// Are the configuration and the objects that it names usable?
    ///
    /// # Errors
    /// What is not, with the field.
    fn check(context: &Context, config: &Self::Config) -> Result<Checked, PluginError>;

    /// Brings the data path to the desired state.
    ///
    /// # Errors
    /// Why it cannot.
    fn reconcile(
        context: &Context,
        config: &Self::Config,
        desired: &Traffic,
    ) -> Result<Reply, PluginError>;

    /// Leaves nothing of ours behind. No configuration: it is not known any more, and marks on objects are all there is.
    ///
    /// # Errors
    /// Why it cannot.
    fn release(context: &Context, config: Option<&Self::Config>) -> Result<Reply, PluginError>;
}

impl Plan {
    /// A plan of a router that cannot know whether the data path follows, and keeps nothing.
    pub fn unverified(effects: Effects) -> Self {
        let verification = Verification {
            state: VerificationState::NotSupported,
            why: String::new(),
        };
        Self {
            effects,
            verification,
            status: None,
            state: None,
        }
    }
}

/// `traffic-router.check` for an implementation.
#[doc(hidden)]
pub fn check<R: TrafficRouter>(context: &Context) -> Result<Checked, PluginError> {
    R::check(context, &config::decode(context)?)
}

/// `traffic-router.reconcile` for an implementation.
#[doc(hidden)]
pub fn reconcile<R: TrafficRouter>(
    context: &Context,
    desired: Option<&Traffic>,
) -> Result<Reply, PluginError> {
    match desired {
        Some(desired) => R::reconcile(context, &config::decode(context)?, desired),
        None => R::release(context, config::decode_known(context)?.as_ref()),
    }
}

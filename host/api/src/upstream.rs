//! What Argo Rollouts ties to the name of a router or provider: order, which features its validation allows, texts,
//! names in metrics, flags of the controller. All of it is data (`data/routers.json`, `data/providers.json`,
//! `data/flags.json`); code never tests such a name.

use std::sync::LazyLock;

use serde::Deserialize;

/// A router block that Argo Rollouts' `trafficRouting` knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Router {
    /// Key in `trafficRouting`.
    pub name: String,
    /// The block is a map from plugin name to that plugin's block.
    pub by_plugin_name: bool,
    /// Value of the label `traffic_router` of the metric `rollout_info`; none where upstream shows the empty text.
    pub info_label: Option<String>,
    /// With several routers, the label of the one with the highest rank is shown.
    pub info_rank: u32,
    /// Works with `pingPong`.
    pub ping_pong: bool,
    /// With `pingPong`, a field of the block that must not be empty.
    pub ping_pong_requires: Option<RequiredField>,
    /// Works with `setHeaderRoute` steps.
    pub header_routes: bool,
    /// Header values may only be matched exactly; this is what is said otherwise.
    pub header_exact_only: Option<String>,
    /// Works with `setMirrorRoute` steps.
    pub mirror_routes: bool,
    /// Works with `maxTrafficWeight`.
    pub max_traffic_weight: bool,
    /// Works with the weight of an Experiment's template.
    pub experiment_weights: bool,
    /// Needs `canaryService` and `stableService`; none: never.
    pub services_required: Option<ServicesRequired>,
}

/// A field that must not be empty, and what is said when it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredField {
    /// Name in the router's block.
    pub field: String,
    /// Message of the condition.
    pub message: String,
}

/// When a router needs the canary and the stable Service to be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ServicesRequired {
    /// Not when `pingPong` names two others.
    pub unless_ping_pong: bool,
    /// Not when the router's block has this field.
    pub unless_field: Option<String>,
}

impl Router {
    /// Whether the router, with this block, needs the canary and the stable Service to be named.
    #[must_use]
    pub fn requires_services(&self, block: &serde_json::Value, ping_pong: bool) -> bool {
        let Some(required) = &self.services_required else {
            return false;
        };
        let by_field = required
            .unless_field
            .as_deref()
            .and_then(|field| block.get(field));
        !(required.unless_ping_pong && ping_pong || by_field.is_some_and(|value| !value.is_null()))
    }
}

/// What upstream says when none of the configured routers supports a feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Messages {
    /// About `pingPong`.
    pub ping_pong: String,
    /// Field of `trafficRouting` that the message about `pingPong` is put on.
    pub ping_pong_field: String,
    /// About `setHeaderRoute`.
    pub header_routes: String,
    /// About `setMirrorRoute`.
    pub mirror_routes: String,
    /// About `maxTrafficWeight`.
    pub max_traffic_weight: String,
    /// About the weight of an Experiment's template.
    pub experiment_weights: String,
}

/// A metric provider that Argo Rollouts knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Provider {
    /// Key in `provider`.
    pub name: String,
    /// Value of the label `type` of the metrics about analysis.
    #[serde(rename = "type")]
    pub type_: String,
    /// The block is a map from plugin name to that plugin's block.
    pub by_plugin_name: bool,
}

/// A flag of upstream's controller that is about a router by name (CTL-004, CTL-005). The plugin that asks for it in its
/// manifest gets its value; its default is the plugin's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Flag {
    /// Without dashes.
    pub name: String,
    /// An older name.
    pub alias: Option<String>,
    /// It may be given several times.
    pub list: bool,
    /// It may be given without a value.
    pub boolean: bool,
    /// For people.
    pub help: String,
}

/// The flags of upstream's controller that are about routers.
#[must_use]
pub fn flags() -> &'static [Flag] {
    &FLAGS
}

/// Router blocks, in the order in which they are reconciled.
#[must_use]
pub fn routers() -> &'static [Router] {
    &ROUTERS.routers
}

/// The router block of this name, if upstream knows it.
#[must_use]
pub fn router(name: &str) -> Option<&'static Router> {
    routers().iter().find(|router| router.name == name)
}

/// What is said when no configured router supports a feature.
#[must_use]
pub fn messages() -> &'static Messages {
    &ROUTERS.messages
}

/// Metric providers, in the order in which upstream declares them.
#[must_use]
pub fn providers() -> &'static [Provider] {
    &PROVIDERS
}

/// The provider of this name, if upstream knows it.
#[must_use]
pub fn provider(name: &str) -> Option<&'static Provider> {
    providers().iter().find(|provider| provider.name == name)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Routers {
    routers: Vec<Router>,
    messages: Messages,
}

// The texts are part of the binary; a test reads them, so the fallback to empty tables is never taken.
static ROUTERS: LazyLock<Routers> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/routers.json")).unwrap_or_default()
});
static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/providers.json")).unwrap_or_default()
});
static FLAGS: LazyLock<Vec<Flag>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/flags.json")).unwrap_or_default());

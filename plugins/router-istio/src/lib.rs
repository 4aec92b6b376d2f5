//! Traffic through Istio's VirtualService and DestinationRule.
//!
//! This file is the plugin's face: what it is allowed, and which function of `plan` answers which call. How a
//! VirtualService is read and changed is in `routes` and `virtual_service`, a DestinationRule in `destination_rule`, and the
//! order of changes to both in `switch`.

mod config;
mod destination_rule;
mod objects;
mod plan;
mod rollout;
mod routes;
mod switch;
mod virtual_service;

use sluice_plugin_sdk::manifest::{
    ABI, Capability, ChangeGrant, Grants, Kind, Manifest, Namespaces, ReadGrant, Setting,
    SubjectBody, Verb, config_schema,
};
use sluice_plugin_sdk::router::{Checked, Reply, Traffic, TrafficRouter};
use sluice_plugin_sdk::{Context, PluginError};

/// The setting that names the version of Istio's API.
const API_VERSION_SETTING: &str = "istio-api-version";

/// The router for `trafficRouting.istio`.
pub struct Istio;

impl TrafficRouter for Istio {
    type Config = config::Istio;

    fn check(context: &Context, config: &Self::Config) -> Result<Checked, PluginError> {
        plan::check(context, config)
    }

    fn reconcile(
        context: &Context,
        config: &Self::Config,
        desired: &Traffic,
    ) -> Result<Reply, PluginError> {
        plan::reconcile(context, config, desired)
    }

    fn release(context: &Context, config: Option<&Self::Config>) -> Result<Reply, PluginError> {
        plan::release(context, config)
    }
}

/// What the plugin says about itself.
pub fn manifest() -> Manifest {
    let group = "networking.istio.io".to_owned();
    Manifest {
        name: "istio".to_owned(),
        display_name: "Istio".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        abi: ABI.to_owned(),
        aliases: Vec::new(),
        kinds: vec![Kind::TrafficRouter],
        grants: Grants {
            reads: vec![
                // A VirtualService is often kept where its gateway is.
                ReadGrant {
                    group: group.clone(),
                    kinds: vec!["VirtualService".to_owned()],
                    namespaces: Namespaces::Any,
                },
                ReadGrant {
                    group: group.clone(),
                    kinds: vec!["DestinationRule".to_owned()],
                    namespaces: Namespaces::Subject,
                },
            ],
            changes: vec![
                ChangeGrant {
                    group: group.clone(),
                    kinds: vec!["VirtualService".to_owned()],
                    verbs: vec![Verb::Patch],
                    namespaces: Namespaces::Any,
                },
                ChangeGrant {
                    group,
                    kinds: vec!["DestinationRule".to_owned()],
                    verbs: vec![Verb::Patch],
                    namespaces: Namespaces::Subject,
                },
            ],
            ..Grants::default()
        },
        capabilities: vec![
            Capability::HeaderRoutes,
            Capability::MirrorRoutes,
            Capability::PingPong,
            Capability::AdditionalDestinations,
            Capability::PodCounts,
        ],
        subject_body: SubjectBody::WithoutTemplate,
        status_keys: Vec::new(),
        settings: [(
            API_VERSION_SETTING.to_owned(),
            Setting {
                flag: Some(API_VERSION_SETTING.to_owned()),
                environment: None,
                default: Some("v1alpha3".to_owned()),
                description:
                    "The version of networking.istio.io in which objects are read and written"
                        .to_owned(),
            },
        )]
        .into(),
        config_schema: config_schema::<config::Istio>(),
    }
}

sluice_plugin_sdk::export_router!(Istio);

#[cfg(test)]
mod tests;

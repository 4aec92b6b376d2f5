//! The Rust side of `wit/`, generated. Nothing is written by hand here: the names that authors use are re-exported by the
//! modules of each kind, and the macros of `export` are the only other code that names these modules.

/// Bindings of the world `traffic-router-plugin`, and of the interfaces that all worlds share.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod router {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "traffic-router-plugin",
        pub_export_macro: true,
        export_macro_name: "export_traffic_router",
        default_bindings_module: "sluice_plugin_sdk::bindings::router",
        additional_derives: [PartialEq],
    });
}

/// Bindings of the world `metric-provider-plugin`.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod provider {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "metric-provider-plugin",
        pub_export_macro: true,
        export_macro_name: "export_metric_provider",
        default_bindings_module: "sluice_plugin_sdk::bindings::provider",
        additional_derives: [PartialEq],
        with: {
            "sluice:plugin/types@0.1.0": crate::bindings::router::sluice::plugin::types,
            "sluice:plugin/logging@0.1.0": crate::bindings::router::sluice::plugin::logging,
        },
    });
}

/// Bindings of the world `step-plugin`.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod step {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "step-plugin",
        pub_export_macro: true,
        export_macro_name: "export_step_plugin",
        default_bindings_module: "sluice_plugin_sdk::bindings::step",
        additional_derives: [PartialEq],
        with: {
            "sluice:plugin/types@0.1.0": crate::bindings::router::sluice::plugin::types,
            "sluice:plugin/logging@0.1.0": crate::bindings::router::sluice::plugin::logging,
        },
    });
}

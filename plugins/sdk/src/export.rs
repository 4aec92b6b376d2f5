//! The macros that turn an implementation into a component: its functions, and its manifest in a custom section.

/// Exports a [`TrafficRouter`](crate::router::TrafficRouter), and the crate's `manifest.json` with it.
///
/// Exports nothing in a native build.
#[macro_export]
macro_rules! export_router {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::router::exports::sluice::plugin::traffic_router::Guest for Exported {
                fn check(context: $crate::Context) -> ::std::result::Result<$crate::router::Checked, $crate::guest::ErrorRecord> {
                    $crate::guest::catch_panics();
                    $crate::router::check::<$plugin>(&context).map_err($crate::PluginError::into_record)
                }

                fn reconcile(
                    context: $crate::Context,
                    desired: ::std::option::Option<$crate::router::Traffic>,
                ) -> ::std::result::Result<$crate::router::Reply, $crate::guest::ErrorRecord> {
                    $crate::guest::catch_panics();
                    $crate::router::reconcile::<$plugin>(&context, desired.as_ref())
                        .map_err($crate::PluginError::into_record)
                }
            }

            $crate::bindings::router::export_traffic_router!(Exported with_types_in $crate::bindings::router);
        };
        $crate::embed_manifest!();
    };
}

/// Exports a [`MetricProvider`](crate::provider::MetricProvider), and the crate's `manifest.json` with it.
///
/// Exports nothing in a native build.
#[macro_export]
macro_rules! export_provider {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::provider::exports::sluice::plugin::metric_provider::Guest for Exported {
                fn measure(
                    lifecycle: $crate::provider::Lifecycle,
                    context: $crate::Context,
                    facts: $crate::provider::MeasurementFacts,
                ) -> ::std::result::Result<$crate::provider::Reply, $crate::guest::ErrorRecord> {
                    $crate::guest::catch_panics();
                    $crate::provider::measure::<$plugin>(lifecycle, &context, &facts)
                        .map_err($crate::PluginError::into_record)
                }
            }

            $crate::bindings::provider::export_metric_provider!(Exported with_types_in $crate::bindings::provider);
        };
        $crate::embed_manifest!();
    };
}

/// Exports a [`Step`](crate::step::Step), and the crate's `manifest.json` with it.
///
/// Exports nothing in a native build.
#[macro_export]
macro_rules! export_step {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::step::exports::sluice::plugin::step::Guest for Exported {
                fn execute(
                    lifecycle: $crate::step::Lifecycle,
                    context: $crate::Context,
                ) -> ::std::result::Result<$crate::step::Reply, $crate::guest::ErrorRecord> {
                    $crate::guest::catch_panics();
                    $crate::step::execute::<$plugin>(lifecycle, &context).map_err($crate::PluginError::into_record)
                }
            }

            $crate::bindings::step::export_step_plugin!(Exported with_types_in $crate::bindings::step);
        };
        $crate::embed_manifest!();
    };
}

/// Puts the crate's `manifest.json` into the custom section `sluice:plugin` of the module.
#[doc(hidden)]
#[macro_export]
macro_rules! embed_manifest {
    () => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            const TEXT: &[u8] =
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json"));

            #[used]
            #[allow(
                unsafe_code,
                reason = "a section's name is a promise to the linker; no other crate uses this one"
            )]
            #[unsafe(link_section = "sluice:plugin")]
            static SECTION: [u8; TEXT.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json"));
        };
    };
}

//! Rust types of `sluice:plugin@0.1.0`, generated from `wit/`.
//!
//! They stay inside the modules that convert them: everything else in this crate speaks its own types, so that a second
//! version of the package is a second module like this one.

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package sluice:host@0.1.0;
        world every-kind {
            import sluice:plugin/logging@0.1.0;
            export sluice:plugin/traffic-router@0.1.0;
            export sluice:plugin/metric-provider@0.1.0;
            export sluice:plugin/step@0.1.0;
            export sluice:plugin/endpoint-verifier@0.1.0;
        }
    ",
    world: "sluice:host/every-kind",
    exports: { default: async },
});

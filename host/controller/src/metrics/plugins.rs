//! Calls of plugins.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sluice_plugin_host::PluginHost;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PluginInfo {
    plugin: String,
    function: String,
    outcome: &'static str,
}

pub(super) fn register(plugins: &PluginHost, registry: &mut Registry) {
    let calls = Family::<PluginInfo, Counter>::default();
    let seconds = Family::<PluginInfo, Counter<f64, AtomicU64>>::default();
    for (labels, counts) in plugins.metrics().calls {
        let labels = PluginInfo {
            plugin: labels.plugin,
            function: format!("{:?}", labels.function).to_lowercase(),
            outcome: labels.outcome,
        };
        calls.get_or_create(&labels).inc_by(counts.count);
        seconds.get_or_create(&labels).inc_by(counts.seconds);
    }
    registry.register("sluice_plugin_calls", "Calls of plugins", calls);
    registry.register(
        "sluice_plugin_call_seconds",
        "Seconds spent in plugins",
        seconds,
    );
}

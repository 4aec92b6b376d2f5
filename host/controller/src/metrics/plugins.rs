//! Calls of plugins, and what they cost.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sluice_plugin_host::Metrics;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    plugin: String,
    function: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Exchange {
    plugin: String,
    /// The status of the response, or the kind of failure.
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Plugin {
    plugin: String,
}

pub(super) fn register(figures: Metrics, registry: &mut Registry) {
    let calls = Family::<Call, Counter>::default();
    let seconds = Family::<Call, Counter<f64, AtomicU64>>::default();
    for (labels, counts) in figures.calls {
        let labels = Call {
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

    let exchanges = Family::<Exchange, Counter>::default();
    for ((plugin, outcome), count) in figures.http {
        let labels = Exchange { plugin, outcome };
        exchanges.get_or_create(&labels).inc_by(count);
    }
    registry.register(
        "sluice_plugin_http_requests",
        "HTTP requests that plugins asked for",
        exchanges,
    );

    let memory = Family::<Plugin, Gauge>::default();
    for (plugin, bytes) in figures.memory_peak {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        memory.get_or_create(&Plugin { plugin }).set(bytes);
    }
    registry.register_with_unit(
        "sluice_plugin_call_memory_peak",
        "The most memory that one call of the plugin has used",
        Unit::Bytes,
        memory,
    );

    let dropped = Family::<Plugin, Counter>::default();
    for (plugin, lines) in figures.dropped_log_lines {
        dropped.get_or_create(&Plugin { plugin }).inc_by(lines);
    }
    registry.register(
        "sluice_plugin_dropped_log_lines",
        "Log lines of plugins that were over their budget",
        dropped,
    );
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use sluice_engine::plugin::Function;
    use sluice_plugin_host::{CallCounts, CallLabels};

    use super::*;

    #[test]
    fn what_a_plugin_costs_is_shown() {
        let labels = CallLabels {
            plugin: "probe".to_owned(),
            function: Function::Reconcile,
            outcome: "ok",
        };
        let counts = CallCounts {
            count: 3,
            seconds: 0.5,
        };
        let figures = Metrics {
            calls: [(labels, counts)].into(),
            dropped_log_lines: [("probe".to_owned(), 7)].into(),
            memory_peak: [("probe".to_owned(), 65536)].into(),
            http: [(("probe".to_owned(), "200".to_owned()), 2)].into(),
        };
        let mut registry = Registry::default();
        register(figures, &mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"sluice_plugin_calls_total{plugin="probe",function="reconcile",outcome="ok"} 3"#,
                r#"sluice_plugin_call_seconds_total{plugin="probe",function="reconcile",outcome="ok"} 0.5"#,
                r#"sluice_plugin_http_requests_total{plugin="probe",outcome="200"} 2"#,
                r#"sluice_plugin_call_memory_peak_bytes{plugin="probe"} 65536"#,
                r#"sluice_plugin_dropped_log_lines_total{plugin="probe"} 7"#,
            ]
        );
    }
}

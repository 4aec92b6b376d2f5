//! What absent fields mean, and the tables about Argo Rollouts' names.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::*;

fn spec(strategy: Value) -> RolloutSpec {
    serde_json::from_value(json!({ "strategy": strategy })).unwrap()
}

// RO-001, RO-009, RO-011, RO-014, RO-015, BG-004, CA-005, CA-006, CA-010, TRF-012
#[test]
fn absent_fields_have_the_defaults_of_argo_rollouts() {
    let spec = spec(json!({ "canary": {} }));
    assert_eq!(spec.replicas(), 1);
    assert_eq!(spec.revision_history_limit(), 10);
    assert_eq!(spec.progress_deadline_seconds(), 600);
    assert_eq!(spec.successful_run_history_limit(), 5);
    assert_eq!(spec.unsuccessful_run_history_limit(), 5);
    assert_eq!(spec.max_surge(), "25".into());
    assert_eq!(spec.max_unavailable(), "25".into());
    assert_eq!(spec.scale_down_delay_revision_limit(), i32::MAX);
    assert_eq!(spec.max_traffic_weight(), 100);
    assert!(spec.auto_promotion_enabled());
}

// BG-006
#[test]
fn max_unavailable_is_taken_from_the_strategy_that_is_set() {
    assert_eq!(
        spec(json!({ "blueGreen": { "maxUnavailable": 3 } })).max_unavailable(),
        3.into()
    );
    assert_eq!(
        spec(json!({ "canary": { "maxUnavailable": 0 } })).max_unavailable(),
        0.into()
    );
}

// BG-007, CA-009
#[test]
fn old_pods_stay_for_a_while_where_traffic_is_switched() {
    let check = |strategy: Value, seconds: i64| {
        assert_eq!(
            spec(strategy).scale_down_delay(),
            SignedDuration::from_secs(seconds)
        );
    };
    check(json!({}), 0);
    check(json!({ "canary": { "scaleDownDelaySeconds": 5 } }), 0);
    check(json!({ "canary": { "trafficRouting": {} } }), 30);
    check(
        json!({ "canary": { "trafficRouting": {}, "scaleDownDelaySeconds": 5 } }),
        5,
    );
    check(json!({ "blueGreen": {} }), 30);
    check(json!({ "blueGreen": { "scaleDownDelaySeconds": 0 } }), 0);
}

// BG-013, CA-011
#[test]
fn aborted_pods_stay_for_a_while_or_for_good() {
    let check = |strategy: Value, seconds: Option<i64>, explicit: bool| {
        let expected = AbortScaleDownDelay {
            delay: seconds.map(SignedDuration::from_secs),
            explicit,
        };
        assert_eq!(spec(strategy).abort_scale_down_delay(), expected);
    };
    check(json!({ "canary": {} }), Some(0), false);
    check(
        json!({ "canary": { "abortScaleDownDelaySeconds": 9 } }),
        Some(0),
        false,
    );
    check(
        json!({ "canary": { "trafficRouting": {} } }),
        Some(30),
        false,
    );
    check(
        json!({ "canary": { "trafficRouting": {}, "abortScaleDownDelaySeconds": 9 } }),
        Some(9),
        true,
    );
    check(
        json!({ "canary": { "trafficRouting": {}, "abortScaleDownDelaySeconds": 0 } }),
        None,
        true,
    );
    check(json!({ "blueGreen": {} }), Some(30), false);
    check(
        json!({ "blueGreen": { "abortScaleDownDelaySeconds": 0 } }),
        None,
        true,
    );
}

// STP-002
#[test]
fn a_pause_is_a_number_of_seconds_or_a_duration() {
    let check = |pause: Value, expected: Result<Option<i32>, ()>| {
        let pause: RolloutPause = serde_json::from_value(pause).unwrap();
        assert_eq!(pause.seconds().map_err(drop), expected, "{pause:?}");
    };
    check(json!({}), Ok(None));
    check(json!({ "duration": 0 }), Ok(Some(0)));
    check(json!({ "duration": -7 }), Ok(Some(-7)));
    check(json!({ "duration": "20" }), Ok(Some(20)));
    check(json!({ "duration": "1h30m" }), Ok(Some(5400)));
    check(json!({ "duration": "1.9s" }), Ok(Some(1)));
    check(json!({ "duration": "1d" }), Err(()));
    check(json!({ "duration": 1.5 }), Err(()));
    check(json!({ "duration": "900000h" }), Err(()));
    check(json!({ "duration": "99999999999" }), Err(()));
}

// AT-009, AT-013
#[test]
fn a_metric_without_a_count_is_measured_once_or_for_ever() {
    let check = |metric: Value, expected: Option<IntOrString>| {
        let metric: Metric = serde_json::from_value(metric).unwrap();
        assert_eq!(metric.effective_count(), expected);
    };
    check(json!({}), Some(1.into()));
    check(json!({ "count": 0 }), Some(1.into()));
    check(json!({ "interval": "1m" }), None);
    check(json!({ "interval": "1m", "count": 0 }), None);
    check(json!({ "interval": "1m", "count": 3 }), Some(3.into()));
    check(json!({ "count": "5" }), Some("5".into()));
    assert_eq!(Metric::default().consecutive_error_limit(), 4);
}

// TRF-013, VAL-020, VAL-024, VAL-029, VAL-030
#[test]
fn the_table_of_routers_says_what_upstream_allows() {
    let names = |has: fn(&upstream::Router) -> bool| -> Vec<&str> {
        upstream::routers()
            .iter()
            .filter(|router| has(router))
            .map(|router| router.name.as_str())
            .collect()
    };
    assert_eq!(
        names(|_| true),
        [
            "istio",
            "nginx",
            "alb",
            "smi",
            "ambassador",
            "appMesh",
            "traefik",
            "apisix",
            "plugins"
        ]
    );
    assert_eq!(
        names(|router| router.ping_pong),
        ["istio", "alb", "plugins"]
    );
    assert_eq!(
        names(|router| router.header_routes),
        ["istio", "alb", "apisix", "plugins"]
    );
    assert_eq!(names(|router| router.mirror_routes), ["istio", "plugins"]);
    assert_eq!(
        names(|router| router.max_traffic_weight),
        ["nginx", "plugins"]
    );
    assert_eq!(
        names(|router| router.experiment_weights),
        ["istio", "alb", "smi", "plugins"]
    );
    assert_eq!(names(|router| router.by_plugin_name), ["plugins"]);

    let required = |name: &str, block: Value, ping_pong: bool| {
        upstream::router(name)
            .unwrap()
            .requires_services(&block, ping_pong)
    };
    assert!(required("istio", json!({}), false));
    assert!(!required("istio", json!({}), true));
    assert!(!required("istio", json!({ "destinationRule": {} }), false));
    assert!(required("alb", json!({}), false));
    assert!(!required("alb", json!({}), true));
    assert!(required("traefik", json!({}), true));
    assert!(!required("plugins", json!({}), false));
}

// MET-001
#[test]
fn the_router_of_a_metric_is_the_last_one_that_upstream_looks_at() {
    let mut shown: Vec<_> = upstream::routers()
        .iter()
        .filter(|router| router.info_label.is_some())
        .collect();
    shown.sort_by_key(|router| router.info_rank);
    let labels: Vec<_> = shown
        .iter()
        .filter_map(|router| router.info_label.as_deref())
        .collect();
    assert_eq!(
        labels,
        ["ALB", "Ambassador", "Istio", "Nginx", "SMI", "AppMesh"]
    );
}

// AT-015, MET-008
#[test]
fn the_table_of_providers_says_what_metrics_call_them() {
    let types: Vec<_> = upstream::providers()
        .iter()
        .map(|provider| provider.type_.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "Prometheus",
            "Kayenta",
            "Web",
            "Datadog",
            "Wavefront",
            "NewRelic",
            "Job",
            "CloudWatch",
            "Graphite",
            "Influxdb",
            "skywalking",
            "RPCPlugin"
        ]
    );
    assert_eq!(upstream::provider("newRelic").unwrap().type_, "NewRelic");
    assert!(upstream::provider("plugin").unwrap().by_plugin_name);
}

use super::*;
use sluice_plugin_sdk::Disposition;

/// `check` finds this field and message at fault; the field is empty for the whole configuration.
fn finds(given: &Given, field: &str, message: &str) {
    let error = given
        .check::<Istio>()
        .map(|pass| panic!("usable: {pass:?}"))
        .unwrap_err();
    assert_eq!(error.disposition, Disposition::InvalidConfig);
    assert_eq!(
        (
            error.field.as_deref().unwrap_or_default(),
            error.message.as_str()
        ),
        (field, message)
    );
}

fn given(config: Value, spec: &str) -> Given {
    Given::subject(rollout())
        .config(config)
        .objects(&service(spec))
}

const SHARES: &str =
    "[{destination: {host: stable-svc}, weight: 100}, {destination: {host: canary-svc}}]";

#[test]
fn a_usable_configuration_is_watched() {
    let pass = given(one_service(), &format!("http: [{{route: {SHARES}}}]"))
        .check::<Istio>()
        .unwrap();
    assert_eq!(
        pass.answer
            .iter()
            .map(|read| read.kind.as_str())
            .collect::<Vec<_>>(),
        ["VirtualService"]
    );
}

// VAL-048
#[test]
fn either_one_or_several_virtual_services_are_needed() {
    let message = "Internal error: either VirtualService or VirtualServices must be configured";
    finds(&given(json!({}), "http: []"), "", message);
    finds(
        &given(
            json!({"virtualService": {"name": "a"}, "virtualServices": [{"name": "b"}]}),
            "http: []",
        ),
        "",
        message,
    );
}

// VAL-020
#[test]
fn services_are_needed_without_a_destination_rule() {
    let message = "Invalid value: \"\": Canary service and Stable service must to be set to use Traffic Routing";
    for (field, path) in [
        ("stableService", "spec.strategy.canary.stableService"),
        ("canaryService", "spec.strategy.canary.canaryService"),
    ] {
        let mut rollout = rollout();
        rollout["spec"]["strategy"]["canary"]
            .as_object_mut()
            .unwrap()
            .remove(field);
        finds(
            &Given::subject(rollout).config(one_service()),
            path,
            message,
        );
    }
}

// VAL-020
#[test]
fn services_are_not_needed_with_a_destination_rule_or_ping_pong() {
    let by_subset =
        "[{destination: {host: w, subset: stable}}, {destination: {host: w, subset: canary}}]";
    let objects = service(&format!("http: [{{route: {by_subset}}}]"));
    Given::subject(rollout_by_subset())
        .config(with_rule())
        .objects(&objects)
        .check::<Istio>()
        .unwrap();

    let mut rollout = rollout_by_subset();
    rollout["spec"]["strategy"]["canary"]["pingPong"] =
        json!({"pingService": "stable-svc", "pongService": "canary-svc"});
    let objects = service(&format!("http: [{{route: {SHARES}}}]"));
    Given::subject(rollout)
        .config(one_service())
        .objects(&objects)
        .check::<Istio>()
        .unwrap();
}

// VAL-050
#[test]
fn a_missing_virtual_service_is_invalid_until_it_appears() {
    for (config, field) in [
        (
            json!({"virtualService": {"name": "other"}}),
            "virtualService.name",
        ),
        (
            json!({"virtualServices": [{"name": "other"}]}),
            "virtualServices.name",
        ),
    ] {
        let given = given(config, "http: []");
        finds(
            &given,
            field,
            "Invalid value: \"other\": virtualservices.networking.istio.io \"other\" not found",
        );
        assert!(!given.check::<Istio>().unwrap_err().watch.is_empty());
    }
}

// RT-ISTIO-002
#[test]
fn istio_that_is_not_installed_is_invalid_until_it_is() {
    let mut given = given(one_service(), "http: []");
    given.cluster.stop_serving("VirtualService");
    finds(
        &given,
        "virtualService.name",
        "Invalid value: \"web\": the server could not find the requested resource",
    );
}

// VAL-050, RT-ISTIO-003, RT-ISTIO-004, RT-ISTIO-005
#[test]
fn routes_that_cannot_be_used_are_named() {
    let of = |fields: Value| {
        let mut config = one_service();
        config["virtualService"]
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        config
    };
    let all = || of(json!({}));
    let cases = [
        (
            all(),
            "gateways: []".to_owned(),
            "Unable to get any of the HTTP, TCP or TLS routes for the Istio VirtualService",
        ),
        (
            all(),
            "http: [text]".to_owned(),
            "Unable to get HTTP routes for Istio VirtualService",
        ),
        (
            all(),
            "tcp: [{route: [{weight: much}]}]".to_owned(),
            "Unable to get TCP routes for Istio VirtualService",
        ),
        (
            of(json!({"routes": ["b"]})),
            format!("http: [{{name: a, route: {SHARES}}}]"),
            "Istio VirtualService has invalid HTTP routes. Error: HTTP Route 'b' is not found in the defined Virtual Service.",
        ),
        (
            all(),
            format!("http: [{{name: a, route: {SHARES}}}, {{route: {SHARES}}}]"),
            "Istio VirtualService has invalid HTTP routes. Error: spec.http[] should be set in VirtualService and it must \
             have exactly one route when omitting spec.strategy.canary.trafficRouting.istio.virtualService.routes",
        ),
        (
            all(),
            format!("tls: [{{route: {SHARES}}}, {{route: {SHARES}}}]"),
            "Istio VirtualService has invalid TLS routes. Error: spec.tls[] should be set in VirtualService and it must \
             have exactly one route when omitting spec.strategy.canary.trafficRouting.istio.virtualService.tlsRoutes",
        ),
        (
            all(),
            format!("tcp: [{{route: {SHARES}}}, {{route: {SHARES}}}]"),
            "Istio VirtualService has invalid TCP routes. Error: spec.tcp[] should be set in VirtualService and it must \
             have exactly one route when omitting spec.strategy.canary.trafficRouting.istio.virtualService.tcpRoutes",
        ),
        (
            of(json!({"tlsRoutes": [{"port": 443, "sniHosts": ["a", "b"]}]})),
            format!("tls: [{{match: [{{port: 443, sniHosts: [a]}}], route: {SHARES}}}]"),
            "Istio VirtualService has invalid TLS routes. Error: No matching TLS routes found in the defined Virtual \
             Service.",
        ),
        (
            of(json!({"tcpRoutes": [{"port": 443}]})),
            format!("tcp: [{{match: [{{port: 443}}, {{port: 80}}], route: {SHARES}}}]"),
            "Istio VirtualService has invalid TCP routes. Error: No matching TCP routes found in the defined Virtual \
             Service.",
        ),
        (
            all(),
            "http: [{route: [{destination: {host: stable-svc}}]}]".to_owned(),
            "Istio VirtualService has invalid HTTP routes. Error: Canary Service 'canary-svc' not found in route",
        ),
        (
            all(),
            "http: [{route: [{destination: {host: canary-svc.ns}}]}]".to_owned(),
            "Istio VirtualService has invalid HTTP routes. Error: Stable Service 'stable-svc' not found in route",
        ),
        (
            with_rule(),
            "http: [{route: [{destination: {host: w, subset: stable}}]}]".to_owned(),
            "Istio VirtualService has invalid HTTP routes. Error: Canary DestinationRule subset 'canary' not found in route",
        ),
        (
            with_rule(),
            "http: [{route: [{destination: {host: w, subset: canary}}]}]".to_owned(),
            "Istio VirtualService has invalid HTTP routes. Error: Stable DestinationRule subset 'stable' not found in route",
        ),
    ];
    for (config, spec, why) in cases {
        finds(
            &given(config, &spec),
            "virtualService.name",
            &format!("Invalid value: \"web\": {why}"),
        );
    }
}

// RT-ISTIO-003
#[test]
fn managed_routes_do_not_count_and_a_named_only_route_is_enough() {
    let managed = "{name: first, route: [{destination: {host: canary-svc}}]}";
    for name in ["", "name: primary, "] {
        given(
            one_service(),
            &format!("http: [{managed}, {{{name}route: {SHARES}}}]"),
        )
        .check::<Istio>()
        .unwrap();
    }
}

#[test]
fn configurations_that_cannot_be_read_are_named() {
    let cases = [
        (
            json!({"virtualService": {}}),
            "virtualService",
            "missing field `name`",
        ),
        (
            json!({"virtualService": {"name": "web", "tlsRoutes": [{"port": "x"}]}}),
            "virtualService.tlsRoutes[0].port",
            "invalid type: string \"x\", expected i64",
        ),
        (
            json!({"virtualService": {"name": "web"}, "destinationRule": {"name": "web", "canarySubsetName": "a"}}),
            "destinationRule",
            "missing field `stableSubsetName`",
        ),
        (
            json!({"virtualServer": {}}),
            "virtualServer",
            "unknown field `virtualServer`, expected one of \
          `virtualService`, `virtualServices`, `destinationRule`",
        ),
    ];
    for (config, field, message) in cases {
        finds(&Given::subject(rollout()).config(config), field, message);
    }
}

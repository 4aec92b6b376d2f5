use super::*;

const HTTP: &str = "
hosts: [web.example.com]
http:
- name: primary
  timeout: 3s
  retries: {attempts: 2}
  route:
  - destination: {host: stable-svc, port: {number: 8080}}
    weight: STABLE
    headers: {request: {add: {x: y}}}
  - destination: {host: canary-svc.shop.svc.cluster.local}
    weight: CANARY
";

fn http(stable: u32, canary: u32) -> String {
    HTTP.replace("STABLE", &stable.to_string())
        .replace("CANARY", &canary.to_string())
}

const SHIFTED_20: &str = "Updated VirtualService: VirtualService `web` set to desiredWeight '20'";

// RT-ISTIO-006, RT-ISTIO-008, TRF-001
#[test]
fn weights_are_written_and_everything_else_survives() {
    check(
        one_service(),
        &http(100, 0),
        &traffic(20),
        &http(80, 20),
        &[SHIFTED_20],
    );
}

#[test]
fn nothing_is_written_when_the_weights_are_right() {
    let mut given = Given::subject(rollout())
        .config(one_service())
        .objects(&service(&http(80, 20)));
    let pass = given.reconcile::<Istio>(Some(&traffic(20))).unwrap();
    assert!(pass.answer.effects.changes.is_empty() && pass.answer.effects.notices.is_empty());
    assert_eq!(pass.rounds, 2);
}

#[test]
fn a_patch_names_only_weights_and_the_version_that_it_was_computed_from() {
    let mut given = Given::subject(rollout())
        .config(one_service())
        .objects(&service(&http(100, 0)));
    let pass = given.reconcile::<Istio>(Some(&traffic(20))).unwrap();
    let [change] = pass.answer.effects.changes.as_slice() else {
        panic!("{:?}", pass.answer.effects.changes)
    };
    assert_eq!(change.precondition.as_deref(), Some("1"));
    let sluice_plugin_sdk::Edit::JsonPatch(patch) = &change.edit else {
        panic!("{:?}", change.edit)
    };
    assert_eq!(
        serde_json::from_str::<Value>(patch).unwrap(),
        json!([
            {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 80},
            {"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 20},
        ])
    );
}

#[test]
fn a_missing_weight_counts_as_zero() {
    let bare = "
http:
- route:
  - destination: {host: stable-svc}
  - destination: {host: canary-svc}
";
    let after = "
http:
- route:
  - destination: {host: stable-svc}
    weight: 100
  - destination: {host: canary-svc}
";
    let event = "Updated VirtualService: VirtualService `web` set to desiredWeight '0'";
    check(one_service(), bare, &traffic(0), after, &[event]);
}

// RT-ISTIO-003
#[test]
fn the_listed_routes_are_changed_and_no_others() {
    let route = |name: &str, stable: u32, canary: u32| {
        format!(
            "- name: {name}\n  route:\n  - {{destination: {{host: stable-svc}}, weight: {stable}}}\n  - \
             {{destination: {{host: canary-svc}}, weight: {canary}}}\n"
        )
    };
    let before = format!(
        "http:\n{}{}{}",
        route("a", 100, 0),
        route("b", 100, 0),
        route("c", 100, 0)
    );
    let after = format!(
        "http:\n{}{}{}",
        route("a", 80, 20),
        route("b", 100, 0),
        route("c", 80, 20)
    );
    let config = json!({"virtualService": {"name": "web", "routes": ["c", "a"]}});
    check(config, &before, &traffic(20), &after, &[SHIFTED_20]);
}

// RT-ISTIO-004
#[test]
fn tls_and_tcp_routes_are_found_by_port_and_hosts() {
    let shares = |stable: u32, canary: u32| {
        format!(
            "  route:\n  - {{destination: {{host: stable-svc}}, weight: {stable}}}\n  - {{destination: {{host: canary-svc}}, \
             weight: {canary}}}\n"
        )
    };
    let spec = |ours: &str| {
        format!(
            "tls:\n- match: [{{port: 3000, sniHosts: [other.example.com]}}]\n{other}- match: [{{port: 3000, sniHosts: \
             [a.example.com]}}, {{port: 3000, sniHosts: [b.example.com]}}]\n{ours}- match: [{{port: 3000}}, {{port: \
             3001}}]\n{other}tcp:\n- match: [{{port: 4000}}]\n{ours}- match: [{{port: 4001}}]\n{other}",
            other = shares(100, 0)
        )
    };
    let config = json!({"virtualService": {
        "name": "web",
        "tlsRoutes": [{"port": 3000, "sniHosts": ["b.example.com", "a.example.com"]}],
        "tcpRoutes": [{"port": 4000}],
    }});
    check(
        config,
        &spec(&shares(100, 0)),
        &traffic(20),
        &spec(&shares(80, 20)),
        &[SHIFTED_20],
    );
}

// RT-ISTIO-004
#[test]
fn without_a_list_the_only_tls_route_is_meant() {
    let spec = |stable: u32, canary: u32| {
        format!(
            "tls:\n- match: [{{port: 443, sniHosts: [a.example.com]}}]\n  route:\n  - {{destination: {{host: stable-svc}}, \
             weight: {stable}}}\n  - {{destination: {{host: canary-svc}}, weight: {canary}}}"
        )
    };
    check(
        one_service(),
        &spec(100, 0),
        &traffic(20),
        &spec(80, 20),
        &[SHIFTED_20],
    );
}

// RT-ISTIO-006
#[test]
fn shares_of_experiments_come_in_order_of_their_names_and_the_stable_set_gives_them_their_weight() {
    let before = "
http:
- route:
  - {destination: {host: stable-svc}, weight: 100}
  - {destination: {host: canary-svc}, weight: 0}
";
    let after = "
http:
- route:
  - {destination: {host: stable-svc}, weight: 65}
  - {destination: {host: canary-svc}, weight: 20}
  - {destination: {host: exp-a}, weight: 5}
  - {destination: {host: exp-b}, weight: 10}
";
    check(
        one_service(),
        before,
        &with_experiments(),
        after,
        &[SHIFTED_20],
    );
}

// RT-ISTIO-006
#[test]
fn shares_of_experiments_that_are_over_go_and_idle_ones_that_nobody_knows_stay() {
    let before = "
http:
- route:
  - {destination: {host: old-exp}, weight: 7}
  - {destination: {host: stable-svc}, weight: 65}
  - {destination: {host: exp-a}, weight: 3}
  - {destination: {host: idle}, weight: 0}
  - {destination: {host: older-exp}, weight: 5}
  - {destination: {host: canary-svc}, weight: 20}
";
    let after = "
http:
- route:
  - {destination: {host: stable-svc}, weight: 80}
  - {destination: {host: idle}, weight: 0}
  - {destination: {host: canary-svc}, weight: 20}
";
    check(one_service(), before, &traffic(20), after, &[SHIFTED_20]);
    let kept = "
http:
- route:
  - {destination: {host: stable-svc}, weight: 65}
  - {destination: {host: exp-a}, weight: 5}
  - {destination: {host: idle}, weight: 0}
  - {destination: {host: canary-svc}, weight: 20}
  - {destination: {host: exp-b}, weight: 10}
";
    check(
        one_service(),
        before,
        &with_experiments(),
        kept,
        &[SHIFTED_20],
    );
}

fn with_experiments() -> Traffic {
    let share = |name: &str, weight| Destination {
        service: Some(name.to_owned()),
        ..traffic(weight).canary
    };
    let mut desired = traffic(20);
    desired.stable.weight = 65;
    desired.additional = vec![share("exp-b", 10), share("exp-a", 5)];
    desired
}

// RT-ISTIO-006
#[test]
fn additional_subsets_keep_their_weight_and_the_stable_set_gives_it() {
    let spec = |stable: u32, canary: u32| {
        format!(
            "http:\n- route:\n  - {{destination: {{host: web, subset: stable}}, weight: {stable}}}\n  - {{destination: \
             {{host: web, subset: canary}}, weight: {canary}}}\n  - {{destination: {{host: web, subset: legacy}}, weight: \
             30}}"
        )
    };
    let mut config = with_rule();
    config["destinationRule"]["additionalSubsetNames"] = json!(["legacy"]);
    let rules = rule(
        "{}",
        "- {name: stable}\n- {name: canary}\n- {name: legacy, labels: {app: old}}",
    );
    for (weight, stable) in [(20, 50), (90, 0)] {
        let mut given = Given::subject(rollout_by_subset())
            .config(config.clone())
            .objects(&rules);
        given.cluster.put(yaml(&service(&spec(70, 0))));
        given.settle::<Istio>(Some(&by_subset(weight))).unwrap();
        assert_eq!(
            given.cluster.get("VirtualService", "shop", "web"),
            yaml(&service(&spec(stable, weight)))
        );
    }
}

// TRF-001
#[test]
fn several_virtual_services_and_other_namespaces_are_changed() {
    let spec = |stable: u32, canary: u32| {
        format!(
            "http:\n- route:\n  - {{destination: {{host: stable-svc}}, weight: {stable}}}\n  - {{destination: {{host: \
             canary-svc}}, weight: {canary}}}"
        )
    };
    let named = |name: &str, namespace: &str, spec: &str| {
        service(spec)
            .replace("name: web", &format!("name: {name}"))
            .replace("namespace: shop", &format!("namespace: {namespace}"))
    };
    let config = json!({"virtualServices": [{"name": "a"}, {"name": "b.dots.gateways"}, {"name": "c.mesh.cluster.local"}]});
    let all = |stable, canary| {
        let spec = spec(stable, canary);
        [
            named("a", "shop", &spec),
            named("b.dots", "gateways", &spec),
            named("c", "mesh", &spec),
        ]
    };
    let events = ["a", "b.dots", "c"].map(|name| {
        format!("Updated VirtualService: VirtualService `{name}` set to desiredWeight '20'")
    });
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    check_in(
        Given::subject(rollout()).config(config),
        &all(100, 0),
        Some(&traffic(20)),
        &all(80, 20),
        &events,
    );
}

#[test]
fn two_references_to_one_object_are_one_change() {
    let route = |name: &str, stable: u32, canary: u32| {
        format!(
            "- name: {name}\n  route:\n  - {{destination: {{host: stable-svc}}, weight: {stable}}}\n  - {{destination: {{host: \
             canary-svc}}, weight: {canary}}}\n"
        )
    };
    let before = format!("http:\n{}{}", route("a", 100, 0), route("b", 100, 0));
    let after = format!("http:\n{}{}", route("a", 80, 20), route("b", 80, 20));
    let config = json!({"virtualServices": [{"name": "web", "routes": ["a"]}, {"name": "web.shop", "routes": ["b"]}]});
    check(
        config,
        &before,
        &traffic(20),
        &after,
        &[SHIFTED_20, SHIFTED_20],
    );
}

// RT-ISTIO-001
#[test]
fn objects_are_read_in_the_version_that_the_administrator_chose() {
    let given = || {
        Given::subject(rollout())
            .config(one_service())
            .objects(&service(&http(100, 0)))
    };
    for (given, version) in [
        (given(), "v1alpha3"),
        (given().setting("istio-api-version", "v1"), "v1"),
    ] {
        let mut given = given;
        let effects = given
            .reconcile::<Istio>(Some(&traffic(20)))
            .unwrap()
            .answer
            .effects;
        let version = format!("networking.istio.io/{version}");
        assert!(
            effects.watch.iter().all(|read| read.api_version == version),
            "{:?}",
            effects.watch
        );
        assert!(
            effects
                .changes
                .iter()
                .all(|change| change.target.api_version == version),
            "{:?}",
            effects.changes
        );
    }
}

// RT-ISTIO-008
#[test]
fn a_missing_virtual_service_is_waited_for_and_announced() {
    let mut given =
        Given::subject(rollout()).config(json!({"virtualService": {"name": "web.gateways"}}));
    let error = fails(&mut given, &traffic(20));
    assert_eq!(error.disposition, sluice_plugin_sdk::Disposition::Retry);
    assert_eq!(
        error.message,
        "virtualservices.networking.istio.io \"web\" not found"
    );
    assert_eq!(
        messages(&error.notices),
        ["Warning VirtualServiceNotFound: VirtualService `web` not found"]
    );
    assert!(
        error
            .watch
            .iter()
            .any(|read| read.namespace.as_deref() == Some("gateways")),
        "{:?}",
        error.watch
    );
}

#[test]
fn routes_that_cannot_be_used_are_an_error_and_nothing_is_written() {
    let only_stable = "http:\n- route:\n  - {destination: {host: stable-svc}, weight: 100}";
    let mut given = Given::subject(rollout())
        .config(one_service())
        .objects(&service(only_stable));
    let error = fails(&mut given, &traffic(20));
    assert_eq!(
        error.message,
        "Canary Service 'canary-svc' not found in route"
    );
    assert!(!error.watch.is_empty());
}

#[test]
fn the_weight_is_never_said_to_be_in_effect() {
    let mut given = Given::subject(rollout())
        .config(one_service())
        .objects(&service(&http(100, 0)));
    let plan = given.reconcile::<Istio>(Some(&traffic(20))).unwrap().answer;
    assert_eq!(
        plan.verification.state,
        sluice_plugin_sdk::VerificationState::NotSupported
    );
}

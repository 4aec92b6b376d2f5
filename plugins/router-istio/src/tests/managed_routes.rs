use super::*;
use sluice_plugin_sdk::router::{HeaderMatch, HeaderRoute, MirrorRoute, RequestMatch, TextMatch};

const USERS: &str = "
- name: primary
  route:
  - {destination: {host: stable-svc, port: {number: 8080}}, weight: STABLE}
  - {destination: {host: canary-svc, port: {number: 8080}}, weight: CANARY}
";

fn users(stable: u32, canary: u32) -> String {
    USERS
        .replace("STABLE", &stable.to_string())
        .replace("CANARY", &canary.to_string())
}

fn header(name: &str) -> HeaderRoute {
    let of = |name: &str, value| HeaderMatch {
        name: name.to_owned(),
        value,
    };
    HeaderRoute {
        name: name.to_owned(),
        matches: vec![
            of("agent", TextMatch::Exact("firefox".to_owned())),
            of("version", TextMatch::Prefix("2.".to_owned())),
            of("team", TextMatch::Regex("(a|b)".to_owned())),
        ],
    }
}

fn mirror(name: &str, percentage: Option<u32>) -> MirrorRoute {
    MirrorRoute {
        name: name.to_owned(),
        percentage,
        matches: vec![RequestMatch {
            method: Some(TextMatch::Exact("GET".to_owned())),
            path: Some(TextMatch::Prefix("/api".to_owned())),
            headers: vec![HeaderMatch {
                name: "agent".to_owned(),
                value: TextMatch::Exact("firefox".to_owned()),
            }],
        }],
    }
}

fn desired(
    weight: u32,
    header_routes: Vec<HeaderRoute>,
    mirror_routes: Vec<MirrorRoute>,
) -> Traffic {
    let managed_routes = vec!["second".to_owned(), "first".to_owned()];
    Traffic {
        header_routes,
        mirror_routes,
        managed_routes,
        ..traffic(weight)
    }
}

const HEADER: &str = "
- name: first
  match:
  - headers: {agent: {exact: firefox}}
  - headers: {version: {prefix: '2.'}}
  - headers: {team: {regex: (a|b)}}
  route:
  - {destination: {host: canary-svc, port: {number: 8080}}, weight: 100}
";

fn mirrored(stable: u32, canary: u32, percentage: u32) -> String {
    format!(
        "
- name: second
  match: [{{method: {{exact: GET}}, uri: {{prefix: /api}}, headers: {{agent: {{exact: firefox}}}}}}]
  route:
  - {{destination: {{host: stable-svc, port: {{number: 8080}}}}, weight: {stable}}}
  - {{destination: {{host: canary-svc, port: {{number: 8080}}}}, weight: {canary}}}
  mirror: {{host: canary-svc, port: {{number: 8080}}}}
  mirrorPercentage: {{value: {percentage}}}
"
    )
}

const SET_HEADER: &str = "Updated VirtualService: VirtualService `web` set headerRoute 'first'";
const SET_MIRROR: &str = "Updated VirtualService: VirtualService `web` set mirrorRoute 'second'";
const SHIFTED: &str = "Updated VirtualService: VirtualService `web` set to desiredWeight '20'";
const REMOVED: &str = "Updated VirtualService: VirtualService `web` removed all managed routes.";

// RT-ISTIO-009, RT-ISTIO-008
#[test]
fn a_header_route_goes_on_top_and_to_the_canary() {
    check(
        one_service(),
        &format!("http:{}", users(100, 0)),
        &desired(20, vec![header("first")], vec![]),
        &format!("http:{HEADER}{}", users(80, 20)),
        &[SET_HEADER, SHIFTED],
    );
}

// RT-ISTIO-010, RT-ISTIO-008
#[test]
fn a_mirror_route_splits_as_the_main_route_does() {
    for (percentage, written) in [(None, 100), (Some(35), 35)] {
        check(
            one_service(),
            &format!("http:{}", users(100, 0)),
            &desired(20, vec![], vec![mirror("second", percentage)]),
            &format!("http:{}{}", mirrored(80, 20, written), users(80, 20)),
            &[SET_MIRROR, SHIFTED],
        );
    }
}

// RT-ISTIO-007, TRF-010
#[test]
fn managed_routes_stay_in_their_order_and_a_mirror_follows_the_weights() {
    check(
        one_service(),
        &format!("http:{}{HEADER}{}", users(100, 0), mirrored(100, 0, 35)),
        &desired(20, vec![header("first")], vec![mirror("second", Some(35))]),
        &format!("http:{}{HEADER}{}", mirrored(80, 20, 35), users(80, 20)),
        &[SHIFTED],
    );
}

// RT-ISTIO-008, RT-ISTIO-011
#[test]
fn managed_routes_that_are_not_in_force_go() {
    check(
        one_service(),
        &format!("http:{HEADER}{}{}", mirrored(80, 20, 35), users(80, 20)),
        &desired(20, vec![], vec![]),
        &format!("http:{}", users(80, 20)),
        &[REMOVED],
    );
    check(
        one_service(),
        &format!("http:{}{HEADER}{}", mirrored(80, 20, 35), users(80, 20)),
        &desired(20, vec![header("first")], vec![]),
        &format!("http:{HEADER}{}", users(80, 20)),
        &[SET_MIRROR],
    );
}

#[test]
fn fields_of_a_managed_route_that_we_do_not_write_survive() {
    let with_timeout = HEADER.replace("- name: first", "- name: first\n  timeout: 3s");
    check(
        one_service(),
        &format!(
            "http:{}{}",
            with_timeout.replace("firefox", "chrome"),
            users(80, 20)
        ),
        &desired(20, vec![header("first")], vec![]),
        &format!("http:{with_timeout}{}", users(80, 20)),
        &[SET_HEADER],
    );
}

// RT-ISTIO-009
#[test]
fn with_a_destination_rule_the_canary_is_a_subset_of_its_host() {
    let spec = |top: &str| {
        format!(
            "http:{top}
- route:
  - {{destination: {{host: web, subset: stable}}, weight: 100}}
  - {{destination: {{host: web, subset: canary}}, weight: 0}}"
        )
    };
    let header_route = HEADER.replace(
        "{host: canary-svc, port: {number: 8080}}",
        "{host: web.shop.svc, subset: canary}",
    );
    let rules = rule(
        "{argo-rollouts.argoproj.io/managed-by-rollouts: guestbook}",
        "- {name: canary, labels: {rollouts-pod-template-hash: canary-hash}}
- {name: stable, labels: {rollouts-pod-template-hash: stable-hash}}",
    );
    let traffic = Traffic {
        ..desired(0, vec![header("first")], vec![])
    };
    check_in(
        Given::subject(rollout_by_subset())
            .config(with_rule())
            .objects(&rules),
        &[service(&spec(""))],
        Some(&Traffic {
            stable: by_subset(0).stable,
            canary: by_subset(0).canary,
            ..traffic
        }),
        &[service(&spec(&header_route))],
        &[SET_HEADER],
    );
}

#[test]
fn a_virtual_service_without_http_routes_cannot_have_managed_ones() {
    let tls = "tls: [{route: [{destination: {host: stable-svc}, weight: 80}, {destination: {host: canary-svc}, weight: 20}]}]";
    let mut given = Given::subject(rollout())
        .config(one_service())
        .objects(&service(tls));
    assert_eq!(
        fails(&mut given, &desired(20, vec![header("first")], vec![])).message,
        "spec.http not found"
    );
    given
        .settle::<Istio>(Some(&desired(20, vec![], vec![])))
        .unwrap();
}

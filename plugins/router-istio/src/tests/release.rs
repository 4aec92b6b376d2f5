use super::*;

const MANAGED: &str = "{argo-rollouts.argoproj.io/managed-by-rollouts: guestbook}";

fn by_subset(stable: u32, canary: u32, more: &str) -> String {
    format!(
        "http:\n- route:\n  - {{destination: {{host: web, subset: stable}}, weight: {stable}}}\n  - {{destination: {{host: \
         web, subset: canary}}, weight: {canary}}}\n{more}"
    )
}

const LABELLED: &str = "
- name: canary
  labels: {app: web, rollouts-pod-template-hash: canary-hash}
- name: stable
  labels: {app: web, rollouts-pod-template-hash: stable-hash}
";
const RELEASED: &str = "
- name: canary
  labels: {app: web}
- name: stable
  labels: {app: web}
";

// RT-ISTIO-013
#[test]
fn release_leaves_no_marks_no_managed_routes_and_no_weight_on_the_canary() {
    let managed = "- {name: first, match: [], route: [{destination: {host: web, subset: canary}, weight: 100}]}";
    let experiment = "  - {destination: {host: exp}, weight: 10}\n";
    let before = [
        rule(MANAGED, LABELLED),
        service(&by_subset(70, 20, &format!("{experiment}{managed}"))),
    ];
    let after = [rule("{}", RELEASED), service(&by_subset(100, 0, ""))];
    let events = [
        "Updated VirtualService: VirtualService `web` removed all managed routes.",
        "Updated VirtualService: VirtualService `web` set to desiredWeight '0'",
    ];
    check_in(
        Given::subject(rollout_by_subset()).config(with_rule()),
        &before,
        None,
        &after,
        &events,
    );
}

#[test]
fn release_undoes_what_reconcile_did() {
    let objects = [rule("{}", RELEASED), service(&by_subset(100, 0, ""))];
    let mut given = Given::subject(rollout_by_subset()).config(with_rule());
    objects
        .iter()
        .for_each(|object| given.cluster.put(yaml(object)));
    given.settle::<Istio>(Some(&super::by_subset(20))).unwrap();
    given.settle::<Istio>(None).unwrap();
    assert_eq!(
        given.cluster.get("DestinationRule", "shop", "web"),
        yaml(&objects[0])
    );
    assert_eq!(
        given.cluster.get("VirtualService", "shop", "web"),
        yaml(&objects[1])
    );
}

// RT-ISTIO-013
#[test]
fn without_a_configuration_rules_are_found_by_their_mark() {
    let gone = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "guestbook", "namespace": "shop"}});
    check_in(
        Given::subject(gone).config(Value::Null),
        &[rule(MANAGED, LABELLED), service(&by_subset(80, 20, ""))],
        None,
        &[rule("{}", RELEASED), service(&by_subset(80, 20, ""))],
        &[],
    );
}

#[test]
fn a_rule_that_another_rollout_has_taken_over_is_not_released() {
    let theirs = rule(&MANAGED.replace("guestbook", "other"), LABELLED);
    check_in(
        Given::subject(rollout_by_subset()).config(with_rule()),
        &[theirs.clone(), service(&by_subset(100, 0, ""))],
        None,
        &[theirs, service(&by_subset(100, 0, ""))],
        &[],
    );
}

#[test]
fn objects_that_are_gone_or_cannot_be_understood_hold_nothing() {
    let mut given = Given::subject(rollout_by_subset()).config(with_rule());
    assert!(
        given
            .settle::<Istio>(None)
            .unwrap()
            .answer
            .effects
            .changes
            .is_empty()
    );
    given.cluster.put(yaml(&service("http: [text]")));
    assert!(
        given
            .settle::<Istio>(None)
            .unwrap()
            .answer
            .effects
            .changes
            .is_empty()
    );
    given.cluster.stop_serving("VirtualService");
    given.cluster.stop_serving("DestinationRule");
    assert!(
        given
            .settle::<Istio>(None)
            .unwrap()
            .answer
            .effects
            .changes
            .is_empty()
    );
}

#[test]
fn release_with_ping_pong_gives_all_to_the_service_that_is_the_stable_one() {
    let mut rollout = rollout_by_subset();
    rollout["spec"]["strategy"]["canary"]["pingPong"] =
        json!({"pingService": "ping", "pongService": "pong"});
    let spec = |ping: u32, pong: u32| {
        format!(
            "http: [{{route: [{{destination: {{host: ping}}, weight: {ping}}}, {{destination: {{host: pong}}, weight: {pong}}}]}}]"
        )
    };
    for (stable, after) in [("ping", spec(100, 0)), ("pong", spec(0, 100))] {
        rollout["status"]["canary"]["stablePingPong"] = json!(stable);
        let event = "Updated VirtualService: VirtualService `web` set to desiredWeight '0'";
        let given = Given::subject(rollout.clone()).config(one_service());
        check_in(
            given,
            &[service(&spec(60, 40))],
            None,
            &[service(&after)],
            &[event],
        );
    }
}

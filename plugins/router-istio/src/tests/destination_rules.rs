use super::*;
use sluice_plugin_sdk::{Edit, VerificationState};

fn spec(stable: u32, canary: u32) -> String {
    format!(
        "http:\n- route:\n  - {{destination: {{host: web, subset: stable}}, weight: {stable}}}\n  - {{destination: {{host: \
         web, subset: canary}}, weight: {canary}}}"
    )
}

const MANAGED: &str = "{argo-rollouts.argoproj.io/managed-by-rollouts: guestbook}";
const UNUSED: &str = "
- name: canary
  labels: {app: web}
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
- name: stable
";

fn labelled(stable: &str, canary: &str) -> String {
    format!(
        "
- name: canary
  labels: {{app: web, rollouts-pod-template-hash: {canary}}}
  trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN}}}}
- name: stable
  labels: {{rollouts-pod-template-hash: {stable}}}
"
    )
}

fn given(rules: &str, spec: &str) -> Given {
    Given::subject(rollout_by_subset())
        .config(with_rule())
        .objects(rules)
        .objects(&service(spec))
}

/// The router waits for this set.
fn waits_for(set: &str, given: &mut Given, desired: &Traffic) {
    let error = fails(given, desired);
    assert_eq!(error.disposition, sluice_plugin_sdk::Disposition::Retry);
    assert_eq!(
        error.message,
        format!("delaying destination rule switch: ReplicaSet guestbook-{set} not fully available")
    );
    let told = Notice::normal("DestinationRuleDelayed", error.message.clone());
    assert_eq!(error.notices, [told]);
}

fn has_rule(given: &Given, rules: &str) {
    assert_eq!(
        given.cluster.get("DestinationRule", "shop", "web"),
        yaml(rules)
    );
}

/// The rule is ours, and its subsets have these hashes.
fn selects(given: &Given, stable: &str, canary: &str) {
    has_rule(given, &rule(MANAGED, &labelled(stable, canary)));
}

fn has_weights(given: &Given, weights: &str) {
    assert_eq!(
        given.cluster.get("VirtualService", "shop", "web"),
        yaml(&service(weights))
    );
}

fn kinds(pass: &Pass<sluice_plugin_sdk::router::Plan>) -> Vec<&str> {
    pass.answer
        .effects
        .changes
        .iter()
        .map(|change| change.target.kind.as_str())
        .collect()
}

// RT-ISTIO-012, TRF-002
#[test]
fn subsets_get_the_hashes_and_the_rule_is_marked() {
    let events = [
        "UpdatedDestinationRule: DestinationRule web subset updated (canary: canary-hash, stable: stable-hash)",
        "Updated VirtualService: VirtualService `web` set to desiredWeight '20'",
    ];
    check_in(
        Given::subject(rollout_by_subset()).config(with_rule()),
        &[rule("{kept: 'yes'}", UNUSED), service(&spec(100, 0))],
        Some(&by_subset(20)),
        &[
            rule(
                &MANAGED.replace('{', "{kept: 'yes', "),
                &labelled("stable-hash", "canary-hash"),
            ),
            service(&spec(80, 20)),
        ],
        &events,
    );
}

// RT-ISTIO-012
#[test]
fn a_set_that_does_not_exist_takes_its_label_away() {
    let mut desired = by_subset(0);
    desired.canary.pod_hash = None;
    let canary_gone = "
- name: canary
  labels: {app: web}
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
- name: stable
  labels: {rollouts-pod-template-hash: stable-hash}
";
    check_in(
        given(
            &rule(MANAGED, &labelled("stable-hash", "old")),
            &spec(100, 0),
        ),
        &[],
        Some(&desired),
        &[rule(MANAGED, canary_gone)],
        &[
            "UpdatedDestinationRule: DestinationRule web subset updated (canary: , stable: stable-hash)",
        ],
    );
}

// RT-ISTIO-012
#[test]
fn subsets_of_experiments_come_and_go_and_those_of_others_stay() {
    let with = |more: &str| format!("{}{more}", labelled("stable-hash", "canary-hash"));
    let before = with(
        "- {name: over, labels: {rollouts-pod-template-hash: x}}
- {name: foreign, labels: {app: other}}
- {name: legacy, labels: {rollouts-pod-template-hash: abc}}
- {name: exp-a, labels: {team: a, rollouts-pod-template-hash: old}}
",
    );
    let after = with(
        "- {name: foreign, labels: {app: other}}
- {name: legacy, labels: {rollouts-pod-template-hash: abc}}
- {name: exp-a, labels: {team: a, rollouts-pod-template-hash: canary-hash}}
- {name: exp-b, labels: {rollouts-pod-template-hash: canary-hash}}
",
    );
    let share = |name: &str| Destination {
        service: Some(name.to_owned()),
        weight: 0,
        ..by_subset(0).canary
    };
    let desired = Traffic {
        additional: vec![share("exp-b"), share("exp-a")],
        ..by_subset(0)
    };
    let mut config = with_rule();
    config["destinationRule"]["additionalSubsetNames"] = json!(["legacy"]);
    let shares =
        "  - {destination: {host: exp-a}, weight: 0}\n  - {destination: {host: exp-b}, weight: 0}";
    check_in(
        Given::subject(rollout_by_subset()).config(config),
        &[
            rule(MANAGED, &before),
            service(&format!("{}\n{shares}", spec(100, 0))),
        ],
        Some(&desired),
        &[rule(MANAGED, &after)],
        &[
            "UpdatedDestinationRule: DestinationRule web subset updated (canary: canary-hash, stable: stable-hash)",
        ],
    );
}

// RT-ISTIO-012
#[test]
fn a_switch_waits_for_all_pods_of_a_scaled_set() {
    let mut desired = by_subset(20);
    desired.canary.available_pods = 9;
    let rules = rule(MANAGED, &labelled("stable-hash", "old"));
    waits_for("canary-hash", &mut given(&rules, &spec(100, 0)), &desired);

    desired.canary.desired_pods = 0;
    desired.canary.available_pods = 0;
    given(&rules, &spec(100, 0))
        .settle::<Istio>(Some(&desired))
        .unwrap();
}

// RT-ISTIO-012: a good canary replaces a stable set that has lost pods for good.
#[test]
fn a_set_that_its_subset_selects_already_is_not_waited_for() {
    let mut desired = by_subset(20);
    desired.stable.available_pods = 0;
    let rules = rule(MANAGED, &labelled("stable-hash", "old"));
    let mut given = given(&rules, &spec(100, 0));
    given.settle::<Istio>(Some(&desired)).unwrap();
    selects(&given, "stable-hash", "canary-hash");
}

// RT-ISTIO-012: a rule made anew selects everything by each subset. The stable one is told its pods at once.
#[test]
fn the_stable_subset_does_not_wait_for_the_canary() {
    let mut desired = by_subset(20);
    desired.canary.available_pods = 9;
    let mut given = given(&rule("{}", UNUSED), &spec(80, 20));
    let pass = given.reconcile::<Istio>(Some(&desired)).unwrap();
    assert_eq!(kinds(&pass), ["DestinationRule"]);
    assert_eq!(pass.answer.verification.state, VerificationState::Pending);
    assert_eq!(
        messages(&pass.answer.effects.notices),
        [
            "UpdatedDestinationRule: DestinationRule web subset updated (canary: , stable: stable-hash)"
        ]
    );
    waits_for("canary-hash", &mut given, &desired);
}

// RT-ISTIO-012
#[test]
fn on_the_way_back_only_the_stable_set_is_waited_for() {
    let mut desired = Traffic {
        returning_to_stable: true,
        ..by_subset(0)
    };
    desired.canary.available_pods = 0;
    given(&rule("{}", UNUSED), &spec(100, 0))
        .settle::<Istio>(Some(&desired))
        .unwrap();
    let waits = |desired: &Traffic, rules: &str| {
        waits_for("stable-hash", &mut given(rules, &spec(50, 50)), desired);
    };
    desired.stable.available_pods = 0;
    waits(&desired, &rule("{}", UNUSED));
    desired.stable.available_pods = 1;
    waits(&desired, &rule(MANAGED, &labelled("older", "canary-hash")));
    let onward = Traffic {
        stable: desired.stable.clone(),
        ..by_subset(0)
    };
    waits(&onward, &rule("{}", UNUSED));
    // A subset without a label sends every pod something: none of those that are there is new to it.
    let mut given = given(&rule("{}", UNUSED), &spec(50, 50));
    given.settle::<Istio>(Some(&desired)).unwrap();
    selects(&given, "stable-hash", "canary-hash");
    has_weights(&given, &spec(100, 0));
}

// RT-ISTIO-012: where Services select the pods, or no label would change, nobody waits.
#[test]
fn a_pod_that_fails_later_stops_nothing() {
    let mut desired = by_subset(20);
    desired.canary.available_pods = 9;
    let rules = rule(MANAGED, &labelled("stable-hash", "canary-hash"));
    given(&rules, &spec(100, 0))
        .settle::<Istio>(Some(&desired))
        .unwrap();
    desired.canary.service = Some("canary-svc".to_owned());
    given(&rule("{}", UNUSED), &spec(100, 0))
        .settle::<Istio>(Some(&desired))
        .unwrap();
}

#[test]
fn weight_leaves_a_canary_even_while_its_successor_is_waited_for() {
    let mut desired = by_subset(0);
    desired.canary.available_pods = 0;
    let rules = rule(MANAGED, &labelled("stable-hash", "old"));
    let mut given = given(&rules, &spec(50, 50));
    let pass = given.reconcile::<Istio>(Some(&desired)).unwrap();
    assert_eq!(kinds(&pass), ["VirtualService"]);
    assert_eq!(pass.answer.verification.state, VerificationState::Pending);
    has_weights(&given, &spec(100, 0));
    has_rule(&given, &rules);
    // Without a share it may select what is not there yet.
    given.settle::<Istio>(Some(&desired)).unwrap();
    selects(&given, "stable-hash", "canary-hash");
}

// After a promotion the stable subset still selects the set before: all of the traffic would go back to it.
#[test]
fn weight_stays_on_a_promoted_canary_until_the_stable_subset_selects_it() {
    let mut desired = by_subset(0);
    desired.stable.available_pods = 0;
    // And where it was promoted with a smaller share, all that it had not would come to pods that are not there.
    for (canary, weights) in [("older", spec(0, 100)), ("stable-hash", spec(80, 20))] {
        let rules = rule(MANAGED, &labelled("old", canary));
        waits_for("stable-hash", &mut given(&rules, &weights), &desired);
    }
}

// RT-ISTIO-012: what carries all of it as the canary may carry it as the stable set, though it has lost a pod.
#[test]
fn a_promoted_set_that_has_all_traffic_is_not_waited_for() {
    let mut desired = by_subset(0);
    desired.stable.available_pods = 9;
    desired.canary = Destination {
        weight: 0,
        ..desired.stable.clone()
    };
    let rules = rule(MANAGED, &labelled("old", "stable-hash"));
    let mut given = given(&rules, &spec(0, 100));
    let pass = given.settle::<Istio>(Some(&desired)).unwrap();
    assert_eq!(kinds(&pass), ["DestinationRule", "VirtualService"]);
    selects(&given, "stable-hash", "stable-hash");
    has_weights(&given, &spec(100, 0));
}

// While the stable subset carries what others are to get, it selects what it has, whoever they are.
#[test]
fn a_stable_subset_that_is_to_lose_weight_keeps_its_pods_until_then() {
    // Scaled down for a canary that has everything and lost a pod, and both objects made anew.
    let mut all = by_subset(100);
    all.canary.available_pods = 9;
    (all.stable.desired_pods, all.stable.available_pods) = (0, 0);
    // Weights whose sum is more than the whole shrink on both sides.
    let mut both = by_subset(20);
    both.canary.available_pods = 9;
    for (desired, weights) in [(all, spec(100, 0)), (both, spec(90, 50))] {
        waits_for(
            "canary-hash",
            &mut given(&rule("{}", UNUSED), &weights),
            &desired,
        );
    }
}

// Whoever asked would take the weights for applied.
#[test]
fn no_label_comes_alone_while_weights_are_missing() {
    let mut desired = by_subset(20);
    desired.canary.available_pods = 9;
    let mut given = given(&rule("{}", UNUSED), &spec(100, 0));
    waits_for("canary-hash", &mut given, &desired);
}

// RT-ISTIO-012: a rule made anew selects everything by each subset. The stable one is told its pods, then the weight goes to it.
#[test]
fn weight_leaves_a_canary_whose_pods_never_come_for_a_stable_subset_without_a_hash() {
    let mut desired = by_subset(0);
    desired.canary.available_pods = 0;
    let mut given = given(&rule("{}", UNUSED), &spec(50, 50));
    let pass = given.reconcile::<Istio>(Some(&desired)).unwrap();
    assert_eq!(kinds(&pass), ["DestinationRule", "VirtualService"]);
    assert_eq!(pass.answer.verification.state, VerificationState::Pending);
    has_weights(&given, &spec(100, 0));
    let stable_alone = UNUSED.replace(
        "- name: stable",
        "- name: stable\n  labels: {rollouts-pod-template-hash: stable-hash}",
    );
    has_rule(&given, &rule(MANAGED, &stable_alone));
    given.settle::<Istio>(Some(&desired)).unwrap();
    selects(&given, "stable-hash", "canary-hash");
}

#[test]
fn a_subset_that_gets_weight_is_pointed_first_and_one_that_loses_it_last() {
    let pass = given(
        &rule(MANAGED, &labelled("stable-hash", "old")),
        &spec(100, 0),
    )
    .settle::<Istio>(Some(&by_subset(20)))
    .unwrap();
    assert_eq!(
        kinds(&pass),
        ["DestinationRule", "VirtualService"],
        "the canary gets weight"
    );

    let pass = given(
        &rule(MANAGED, &labelled("stable-hash", "old")),
        &spec(50, 50),
    )
    .settle::<Istio>(Some(&by_subset(0)))
    .unwrap();
    assert_eq!(
        kinds(&pass),
        ["VirtualService", "DestinationRule"],
        "the canary loses weight"
    );

    let mut given = given(&rule(MANAGED, &labelled("old", "older")), &spec(20, 80));
    let pass = given.settle::<Istio>(Some(&by_subset(0))).unwrap();
    assert_eq!(
        kinds(&pass),
        ["DestinationRule", "VirtualService", "DestinationRule"],
        "the stable set gets weight and the canary loses it"
    );
    selects(&given, "stable-hash", "canary-hash");
}

#[test]
fn the_last_of_two_changes_to_a_rule_fails_when_somebody_else_came_between() {
    let mut given = given(&rule(MANAGED, &labelled("old", "older")), &spec(20, 80));
    let pass = given.reconcile::<Istio>(Some(&by_subset(0))).unwrap();
    let last = pass.answer.effects.changes.last().unwrap();
    let Edit::JsonPatch(patch) = &last.edit else {
        panic!("{last:?}")
    };
    assert!(patch.contains(r#""op":"test""#), "{patch}");
    assert_eq!(last.precondition, None);
}

// RT-ISTIO-008
#[test]
fn a_missing_rule_is_waited_for_and_announced() {
    let mut given = Given::subject(rollout_by_subset())
        .config(with_rule())
        .objects(&service(&spec(100, 0)));
    let error = fails(&mut given, &by_subset(20));
    assert_eq!(
        error.message,
        "destinationrules.networking.istio.io \"web\" not found"
    );
    assert_eq!(
        messages(&error.notices),
        ["Warning DestinationRuleNotFound: DestinationRule `web` not found"]
    );
    assert!(
        error
            .watch
            .iter()
            .any(|read| read.kind == "DestinationRule"),
        "{:?}",
        error.watch
    );
}

// RT-ISTIO-013
#[test]
fn a_rule_that_is_no_longer_named_loses_our_marks() {
    let old = rule(MANAGED, &labelled("stable-hash", "old")).replace("name: web", "name: former");
    let others = rule(
        "{argo-rollouts.argoproj.io/managed-by-rollouts: neighbour}",
        &labelled("a", "b"),
    )
    .replace("name: web", "name: neighbours");
    let cleaned = rule(
        "{}",
        "
- name: canary
  labels: {app: web}
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
- name: stable
  labels: {}
",
    )
    .replace("name: web", "name: former");
    let mut given = given(
        &rule(MANAGED, &labelled("stable-hash", "canary-hash")),
        &spec(80, 20),
    )
    .objects(&old)
    .objects(&others);
    given.settle::<Istio>(Some(&by_subset(20))).unwrap();
    assert_eq!(
        given.cluster.get("DestinationRule", "shop", "former"),
        yaml(&cleaned)
    );
    assert_eq!(
        given.cluster.get("DestinationRule", "shop", "neighbours"),
        yaml(&others)
    );
}

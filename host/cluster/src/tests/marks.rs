//! Whose objects are, and Rollouts that are gone.

use std::collections::BTreeSet;

use sluice_simulation::{Fault, Match, Rule, Verb};

use super::*;

fn rules() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "rules.mesh.example" },
        "spec": {
            "group": "mesh.example",
            "scope": "Namespaced",
            "names": { "plural": "rules", "singular": "rule", "kind": "Rule", "listKind": "RuleList" },
            "versions": [{ "name": "v1beta1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            } } }],
        },
    })
}

fn rule(namespace: &str, name: &str, manager: Option<&str>) -> Value {
    let mut rule = json!({
        "apiVersion": "mesh.example/v1beta1", "kind": "Rule",
        "metadata": { "name": name, "namespace": namespace },
    });
    if let Some(manager) = manager {
        rule["metadata"]["annotations"] = json!({ (keys::MANAGED_BY): manager });
    }
    rule
}

/// Five objects; a page has two.
fn marked_rules() -> Simulation {
    let simulation = simulation();
    simulation.register(rules()).expect("a definition");
    for (namespace, name, manager) in [
        ("shop", "a", Some("web")),
        ("shop", "b", None),
        ("shop", "c", Some("")),
        ("shop", "d", Some("web")),
        ("argo", "e", Some("api")),
    ] {
        simulation
            .create(rule(namespace, name, manager))
            .expect("created");
    }
    simulation
}

// RT-ISTIO-013
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn objects_say_whose_they_are_in_whatever_version_and_on_every_page() {
    let world = World::over(marked_rules()).await;
    let marked = world.cluster.marked("mesh.example", "Rule").await;
    let wanted = BTreeSet::from([Key::new("argo", "api"), key("web")]);
    assert_eq!(marked, Ok(wanted));
}

// CTL-011
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_controller_of_one_namespace_looks_in_no_other() {
    let simulation = marked_rules();
    let settings = Settings {
        namespace: Some("argo".to_owned()),
        ..settings(&simulation)
    };
    let world = World::start(simulation, settings, Gate::open());
    let marked = world.cluster.marked("mesh.example", "Rule").await;
    assert_eq!(marked, Ok(BTreeSet::from([Key::new("argo", "api")])));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn what_is_not_served_or_not_allowed_is_left_out_and_an_outage_is_not() {
    let world = World::over(marked_rules()).await;
    for (group, kind) in [("mesh.example", "Gate"), ("nobody.example", "Rule")] {
        let marked = world.cluster.marked(group, kind).await;
        assert_eq!(marked, Ok(BTreeSet::new()), "{group} {kind}");
    }
    for (code, wanted) in [(403, true), (500, false)] {
        let lists = Match::any().client("controller").resource("rules");
        let id = world
            .simulation
            .faults()
            .add(Rule::new(lists, Fault::Status(code)));
        let marked = world.cluster.marked("mesh.example", "Rule").await;
        assert_eq!(marked.is_ok(), wanted, "{code}: {marked:?}");
        world.simulation.faults().remove(id);
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_rollout_with_a_router_is_known_as_it_was_last_once() {
    let simulation = simulation();
    let mut routed = rollout("web");
    routed["spec"]["strategy"]["canary"]["trafficRouting"] =
        json!({ "plugins": { "acme/mesh": { "rule": "web" } } });
    let uid_of = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or("").to_owned();
    let routed = uid_of(&simulation.create(routed).expect("created"));
    let plain = uid_of(&simulation.create(rollout("api")).expect("created"));
    let mut world = World::over(simulation).await;
    assert_eq!(world.cluster.has_rollout(&key("web")).await, Ok(true));
    assert!(world.cluster.take_departed(&key("web"), &routed).is_none());
    world.gone_from("Rollout", "web");
    world.gone_from("Rollout", "api");
    world.said().await;
    assert_eq!(world.cluster.has_rollout(&key("web")).await, Ok(false));
    assert!(
        world
            .cluster
            .take_departed(&key("web"), "another")
            .is_none()
    );
    let gone = world.cluster.take_departed(&key("web"), &routed);
    let gone = gone.expect("it had a router");
    assert_eq!(gone.metadata.name, "web");
    assert!(world.cluster.take_departed(&key("web"), &routed).is_none());
    assert!(world.cluster.take_departed(&key("api"), &plain).is_none());
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_rollout_is_gone_only_when_the_answer_is_about_it() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    let world = World::over(simulation).await;
    let reads = Match::any().resource("rollouts").verbs([Verb::Get]);
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(reads, Fault::Status(404)));
    let found = world.cluster.has_rollout(&key("web")).await;
    assert!(found.is_err(), "{found:?}");
    world.simulation.faults().remove(rule);
    assert_eq!(world.cluster.has_rollout(&key("web")).await, Ok(true));
    assert_eq!(world.cluster.has_rollout(&key("nobody")).await, Ok(false));
    // Where the kind is not served, nothing is said of any Rollout either.
    let world = World::over(bare_simulation()).await;
    let found = world.cluster.has_rollout(&key("nobody")).await;
    assert!(found.is_err(), "{found:?}");
}

// RT-ISTIO-013
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn objects_of_a_kind_that_has_moved_are_found_at_the_next_attempt() {
    let world = World::over(marked_rules()).await;
    let marked = world.cluster.marked("mesh.example", "Rule").await;
    assert_eq!(marked.map(|found| found.len()), Ok(2));
    let definitions = gvk("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    world
        .simulation
        .delete(&definitions, "", "rules.mesh.example")
        .expect("deleted");
    let mut moved = rules();
    moved["metadata"]["name"] = "laws.mesh.example".into();
    moved["spec"]["names"]["plural"] = "laws".into();
    world.simulation.register(moved).expect("a definition");
    world
        .simulation
        .create(rule("shop", "a", Some("web")))
        .expect("created");
    let marked = world.cluster.marked("mesh.example", "Rule").await;
    assert!(marked.is_err(), "not where it was: {marked:?}");
    let marked = world.cluster.marked("mesh.example", "Rule").await;
    assert_eq!(marked, Ok(BTreeSet::from([key("web")])));
}

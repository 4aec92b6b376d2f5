//! What is seen, and what it asks to look at.

use std::sync::{Arc, Mutex};

use sluice_simulation::{Fault, Match, Rule, Verb};

use super::*;
use crate::feed::{self, Sink, Source, Trouble};
use crate::item::Item;
use crate::{SubjectKind, kinds};

// REC-003
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_change_of_a_set_asks_to_look_at_its_owner() {
    let mut world = World::over(simulation()).await;
    let owner = world.simulation.create(rollout("web")).expect("created");
    world.simulation.create(rollout("other")).expect("created");
    assert_eq!(
        world.said().await,
        [Changed::Rollout(key("web")), Changed::Rollout(key("other"))]
    );
    world
        .simulation
        .create(replica_set("web-1", Some(&owner)))
        .expect("created");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
    world
        .simulation
        .create(replica_set("lost", None))
        .expect("created");
    // Both select it, so both may adopt it.
    assert_eq!(
        world.said().await,
        [Changed::Rollout(key("other")), Changed::Rollout(key("web"))]
    );
    world.gone_from("ReplicaSet", "web-1");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_service_and_a_template_ask_to_look_at_the_rollouts_that_name_them() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    let mut world = World::over(simulation).await;
    world
        .simulation
        .create(service("web-canary", None, None))
        .expect("created");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
    world
        .simulation
        .create(service("unrelated", None, None))
        .expect("created");
    assert_eq!(world.said().await, []);
    let template = |name: &str, nested: &str| {
        json!({
            "apiVersion": ARGO, "kind": "AnalysisTemplate",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "metrics": [], "templates": [{ "templateName": nested }] },
        })
    };
    world
        .simulation
        .create(template("errors", "base"))
        .expect("created");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
    world
        .simulation
        .create(template("base", "errors"))
        .expect("created");
    assert_eq!(
        world.said().await,
        [Changed::Rollout(key("web"))],
        "named by a template"
    );
}

// REC-003
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_run_concerns_its_owner_only_when_its_phase_changes() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let mut world = World::over(simulation).await;
    let mut run = replica_set("probe", Some(&owner));
    run["apiVersion"] = ARGO.into();
    run["kind"] = "AnalysisRun".into();
    run["spec"] = json!({ "metrics": [] });
    world.simulation.create(run).expect("created");
    let both = [
        Changed::AnalysisRun(key("probe")),
        Changed::Rollout(key("web")),
    ];
    assert_eq!(world.said().await, both);
    let change = |status: Value| {
        let patch = json!({ "status": status });
        let gvk = gvk(ARGO, "AnalysisRun");
        world
            .simulation
            .patch_merge(&gvk, "shop", "probe", patch)
            .expect("patched");
    };
    change(json!({ "phase": "Running" }));
    let said = world.said().await;
    assert_eq!(said, both);
    let gvk = gvk(ARGO, "AnalysisRun");
    let patch = json!({ "status": { "message": "one measurement" } });
    world
        .simulation
        .patch_merge(&gvk, "shop", "probe", patch)
        .expect("patched");
    assert_eq!(world.said().await, [Changed::AnalysisRun(key("probe"))]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_deleted_rollout_is_said_with_its_uid() {
    let simulation = simulation();
    let created = simulation.create(rollout("web")).expect("created");
    let mut world = World::over(simulation).await;
    world.gone_from("Rollout", "web");
    let deleted = Changed::Deleted {
        kind: SubjectKind::Rollout,
        key: key("web"),
        uid: subject(&created).uid,
    };
    assert_eq!(world.said().await, [deleted]);
    assert!(world.cluster.rollout(&key("web")).is_none());
}

// BASE-018
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_malformed_field_is_counted_and_left_out_while_others_live() {
    let simulation = bare_simulation();
    for mut definition in sluice_api::crds() {
        // As a CRD of another version may do: let everything pass.
        for version in definition["spec"]["versions"]
            .as_array_mut()
            .expect("versions")
        {
            version["schema"] = json!({ "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            } });
            // Its scale would be looked into whatever the schema says.
            version["subresources"] = json!({ "status": {} });
        }
        simulation.register(definition).expect("a definition");
    }
    let mut bad = rollout("bad");
    bad["spec"]["replicas"] = "many".into();
    let mut hopeless = rollout("hopeless");
    hopeless["spec"] = "nothing".into();
    simulation.create(bad).expect("created");
    simulation.create(hopeless).expect("created");
    simulation.create(rollout("good")).expect("created");
    let world = World::over(simulation).await;
    let cluster = &world.cluster;
    assert_eq!(
        cluster
            .rollout(&key("good"))
            .and_then(|rollout| rollout.spec.replicas),
        Some(3)
    );
    let bad = cluster.rollout(&key("bad")).expect("kept");
    assert_eq!(bad.spec.replicas, None);
    assert!(bad.spec.strategy.canary.is_some());
    assert!(cluster.undecodable()["Rollout"] >= 2);
}

// CTL-010
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn objects_of_another_instance_are_not_seen() {
    let simulation = simulation();
    let mut foreign = rollout("foreign");
    foreign["metadata"]["labels"] = json!({ (keys::INSTANCE_ID): "blue" });
    simulation.create(foreign).expect("created");
    simulation.create(rollout("web")).expect("created");
    let mut world = World::over(simulation).await;
    let names: Vec<String> = world
        .cluster
        .rollouts()
        .iter()
        .map(|rollout| rollout.metadata.name.clone())
        .collect();
    assert_eq!(names, ["web"]);
    // It changes hands, and back again.
    let gvk = gvk(ARGO, "Rollout");
    let label = |id: Value| json!({ "metadata": { "labels": { (keys::INSTANCE_ID): id } } });
    world
        .simulation
        .patch_merge(&gvk, "shop", "web", label("blue".into()))
        .expect("patched");
    assert!(matches!(
        world.said().await.as_slice(),
        [Changed::Deleted { .. }]
    ));
    world
        .simulation
        .patch_merge(&gvk, "shop", "web", label(Value::Null))
        .expect("patched");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn missing_definitions_do_not_prevent_the_start_and_are_noticed_later() {
    let simulation = bare_simulation();
    let mut world = World::over(simulation).await;
    assert!(*world.cluster.synced().borrow());
    for definition in sluice_api::crds() {
        world.simulation.register(definition).expect("a definition");
    }
    world.simulation.create(rollout("web")).expect("created");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(world.said().await.contains(&Changed::Rollout(key("web"))));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn nothing_is_synced_while_an_essential_kind_cannot_be_listed() {
    let simulation = simulation();
    let sets = Match::any().resource("replicasets").verbs([Verb::List]);
    let rule = simulation.faults().add(Rule::new(sets, Fault::Status(500)));
    let settings = settings(&simulation);
    let world = World::start(simulation, settings, Gate::open());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!*world.cluster.synced().borrow());
    world.simulation.faults().remove(rule);
    world.cluster.wait_synced().await;
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_kind_that_is_needed_less_does_not_hold_up_the_start_for_ever() {
    for (resource, seconds, synced) in [
        // This version does nothing with them.
        ("experiments", 1, true),
        ("analysistemplates", 20, false),
        ("analysistemplates", 120, true),
        ("clusteranalysistemplates", 120, true),
        // A failed run that nobody hears of would let a bad revision pass.
        ("analysisruns", 300, false),
    ] {
        let simulation = simulation();
        let lists = Match::any().resource(resource).verbs([Verb::List]);
        simulation
            .faults()
            .add(Rule::new(lists, Fault::Status(500)));
        let settings = settings(&simulation);
        let world = World::start(simulation, settings, Gate::open());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let found = *world.cluster.synced().borrow();
        assert_eq!(found, synced, "{resource} after {seconds} s");
    }
}

/// Panics over the first object that it is given.
#[derive(Clone, Default)]
struct Clumsy {
    put: Arc<Mutex<Vec<Key>>>,
    fell: bool,
}

impl Sink for Clumsy {
    fn begin(&mut self) {}

    fn put(&mut self, item: Item, _: bool) {
        assert!(std::mem::replace(&mut self.fell, true), "on purpose");
        self.put.lock().expect("a list").push(item.key());
    }

    fn delete(&mut self, _: Item) {}

    fn complete(&mut self) -> Vec<Key> {
        Vec::new()
    }

    fn missing(&mut self, _: &Key, _: bool) {}

    fn trouble(&mut self, _: Trouble) {}
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_panic_over_an_object_does_not_end_its_watch() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    let source = Source {
        served: kinds::of::<sluice_api::Rollout>(),
        namespace: None,
        labels: None,
        page_size: 2,
        seed: 7,
    };
    let client = kube::Client::new(simulation.service("controller"), "default");
    let (sink, stop) = (Clumsy::default(), CancellationToken::new());
    let put = Arc::clone(&sink.put);
    let task = tokio::spawn(feed::follow(client, source, sink, stop.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*put.lock().expect("a list"), [key("web")]);
    stop.cancel();
    task.await.expect("it ends");
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_watch_that_is_refused_as_too_old_lists_again() {
    let mut world = World::over(simulation()).await;
    let rollouts = || Match::any().resource("rollouts").verbs([Verb::Watch]);
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(rollouts(), Fault::Gone).once());
    world
        .simulation
        .faults()
        .close_watches(&Match::any().resource("rollouts"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.simulation.faults().struck(rule), 1);
    world.simulation.create(rollout("web")).expect("created");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
}

fn lists_of_rollouts(world: &World) -> usize {
    let log = world.simulation.request_log();
    log.iter()
        .filter(|entry| entry.verb == "list" && entry.path.contains("/rollouts"))
        .count()
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn where_a_watch_is_refused_lists_come_at_long_intervals() {
    for code in [400, 403, 404] {
        let mut world = World::over(simulation()).await;
        let rollouts = Match::any().resource("rollouts");
        let watches = rollouts.clone().verbs([Verb::Watch]);
        let rule = world
            .simulation
            .faults()
            .add(Rule::new(watches, Fault::Status(code)));
        world.simulation.faults().close_watches(&rollouts);
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.simulation.clear_request_log();
        world.simulation.create(rollout("web")).expect("created");
        tokio::time::sleep(Duration::from_secs(600)).await;
        let said = world.said().await;
        assert_eq!(said, [Changed::Rollout(key("web"))], "{code}");
        let lists = lists_of_rollouts(&world);
        assert!((5..30).contains(&lists), "{code}: {lists} lists");
        world.simulation.faults().remove(rule);
        tokio::time::sleep(Duration::from_secs(120)).await;
        world.simulation.create(rollout("api")).expect("created");
        let said = world.said().await;
        assert_eq!(said, [Changed::Rollout(key("api"))], "{code}: watched");
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_watch_that_ends_or_has_to_wait_goes_on_without_a_list() {
    let mut world = World::over(simulation()).await;
    let rollouts = Match::any().resource("rollouts");
    let watches = rollouts.clone().verbs([Verb::Watch]);
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(watches, Fault::Status(503)).times(3));
    world.simulation.clear_request_log();
    world.simulation.faults().close_watches(&rollouts);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.simulation.faults().struck(rule), 3);
    world.simulation.create(rollout("web")).expect("created");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
    assert_eq!(lists_of_rollouts(&world), 0);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn what_was_deleted_during_an_outage_is_noticed() {
    let simulation = simulation();
    for name in ["a", "b", "c"] {
        simulation.create(rollout(name)).expect("created");
    }
    let mut world = World::over(simulation).await;
    let rollouts = Match::any().resource("rollouts");
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(rollouts.clone(), Fault::Status(500)));
    world.simulation.faults().break_watches(&rollouts);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.gone_from("Rollout", "b");
    world
        .simulation
        .faults()
        .forget_history(&gvk(ARGO, "Rollout"));
    world.simulation.faults().remove(rule);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let said = world.said().await;
    assert!(
        matches!(said.as_slice(), [Changed::Deleted { key: gone, .. }] if *gone == key("b")),
        "{said:?}"
    );
    assert_eq!(world.cluster.rollouts().len(), 2);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_stale_list_takes_nothing_away() {
    let simulation = simulation();
    for name in ["a", "b"] {
        simulation.create(rollout(name)).expect("created");
    }
    let mut world = World::over(simulation).await;
    let lists = Match::any().resource("rollouts").verbs([Verb::List]);
    world
        .simulation
        .faults()
        .add(Rule::new(lists, Fault::StaleList { changes: 1 }).once());
    world
        .simulation
        .faults()
        .expire_watches(&Match::any().resource("rollouts"));
    assert_eq!(world.said().await, []);
    assert_eq!(world.cluster.rollouts().len(), 2);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_path_that_is_unknown_for_a_moment_takes_nothing_away() {
    let simulation = simulation();
    for name in ["a", "b"] {
        simulation.create(rollout(name)).expect("created");
    }
    let mut world = World::over(simulation).await;
    let rollouts = Match::any().resource("rollouts");
    let faults = world.simulation.faults();
    let lists = rollouts.clone().verbs([Verb::List]);
    faults.add(Rule::new(lists, Fault::StaleList { changes: 1 }).once());
    // Of what the list does not show.
    let looks = rollouts.clone().verbs([Verb::Get]);
    let rule = faults.add(Rule::new(looks, Fault::Status(404)).once());
    faults.expire_watches(&rollouts);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(faults.struck(rule), 1);
    assert_eq!(world.said().await, []);
    assert_eq!(world.cluster.rollouts().len(), 2);
}

// Whoever is refused an object may know it from lists alone.
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_server_that_does_not_answer_takes_nothing_away_and_one_that_refuses_nothing_for_ever() {
    for (code, struck) in [(500, 12), (401, 12), (403, 1)] {
        let simulation = simulation();
        for name in ["a", "b"] {
            simulation.create(rollout(name)).expect("created");
        }
        let mut world = World::over(simulation).await;
        let rollouts = Match::any().resource("rollouts");
        let faults = world.simulation.faults();
        let lists = rollouts.clone().verbs([Verb::List]);
        faults.add(Rule::new(lists, Fault::StaleList { changes: 1 }).times(struck));
        let looks = rollouts.clone().verbs([Verb::Get]);
        let rule = faults.add(Rule::new(looks, Fault::Status(code)).times(struck));
        faults.expire_watches(&rollouts);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(faults.struck(rule), struck, "{code}");
        let said = world.said().await;
        let gone = |said: &&Changed| matches!(said, Changed::Deleted { .. });
        assert_eq!(said.iter().filter(gone).count(), usize::from(code == 403));
        assert_eq!(world.cluster.rollouts().len(), 2, "{code}");
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_broken_watch_delays_only_itself() {
    let mut world = World::over(simulation()).await;
    let sets = Match::any().resource("replicasets");
    world
        .simulation
        .faults()
        .add(Rule::new(sets.clone(), Fault::Disconnect));
    world.simulation.faults().break_watches(&sets);
    tokio::time::sleep(Duration::from_secs(100)).await;
    world.simulation.create(rollout("web")).expect("created");
    assert_eq!(world.said().await, [Changed::Rollout(key("web"))]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_story_has_the_same_requests_in_every_run() {
    async fn story() -> Vec<String> {
        let simulation = simulation();
        let everything = Match::any().verbs([Verb::List, Verb::Watch]);
        simulation
            .faults()
            .add(Rule::new(everything, Fault::Disconnect).chance(300));
        let settings = settings(&simulation);
        let mut world = World::start(simulation, settings, Gate::open());
        for name in ["a", "b", "c"] {
            world.simulation.create(rollout(name)).expect("created");
            world.said().await;
        }
        tokio::time::sleep(Duration::from_secs(1000)).await;
        world.stop.cancel();
        let _ = world.task.await;
        world
            .simulation
            .request_log()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
    let first = story().await;
    assert!(first.len() > 30, "{}", first.len());
    assert_eq!(first, story().await);
}

// CTL-011
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_namespaced_controller_looks_nowhere_else() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    let mut elsewhere = rollout("elsewhere");
    elsewhere["metadata"]["namespace"] = "argo".into();
    simulation.create(elsewhere).expect("created");
    let settings = Settings {
        namespace: Some("shop".to_owned()),
        ..settings(&simulation)
    };
    let world = World::start(simulation, settings, Gate::open());
    world.cluster.wait_synced().await;
    assert_eq!(world.cluster.rollouts().len(), 1);
    let log = world.simulation.request_log();
    let asked: Vec<_> = log
        .iter()
        .filter(|entry| entry.client == "controller")
        .collect();
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|entry| entry.path.contains("/namespaces/shop/")),
        "{asked:?}"
    );
}

// CTL-012
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_analysis_controller_watches_runs_only() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    let settings = Settings {
        analysis_only: true,
        ..settings(&simulation)
    };
    let world = World::start(simulation, settings, Gate::open());
    world.cluster.wait_synced().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.cluster.rollouts().is_empty());
    // MET-012
    let kinds: std::collections::BTreeSet<String> = world
        .cluster
        .requests()
        .into_keys()
        .map(|labels| labels.kind)
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["analysisruns"]);
}

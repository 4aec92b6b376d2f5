//! Kinds that are watched because somebody asked.

use std::collections::BTreeSet;

use sluice_engine::plan::Done;
use sluice_engine::read::{Read, ReadOutcome, Select};
use sluice_simulation::{Fault, Match, Rule, Verb};

use super::*;

fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            } } }],
        },
    })
}

fn widget(name: &str, colour: &str) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": { "name": name, "namespace": "shop", "labels": { "colour": colour } },
        "spec": { "size": 3 },
    })
}

fn read(select: Select) -> Read {
    Read {
        api_version: "example.com/v1".to_owned(),
        kind: "Widget".to_owned(),
        namespace: Some("shop".to_owned()),
        select,
    }
}

fn named(name: &str) -> Read {
    read(Select::Name(name.to_owned()))
}

fn names(outcome: &ReadOutcome) -> Vec<&str> {
    match outcome {
        ReadOutcome::Found(found) => found
            .iter()
            .map(|object| object.key.name.as_str())
            .collect(),
        other => panic!("found nothing: {other:?}"),
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn the_first_read_of_a_kind_starts_its_watch() {
    let simulation = simulation();
    simulation.register(widgets()).expect("a definition");
    for (name, colour) in [("b", "teal"), ("a", "red"), ("c", "teal")] {
        simulation.create(widget(name, colour)).expect("created");
    }
    let mut world = World::over(simulation).await;
    assert_eq!(world.cluster.peek(&named("a")), None);
    let found = world.cluster.read(named("a")).await;
    let ReadOutcome::Found(objects) = &found else {
        panic!("{found:?}")
    };
    let body: Value = serde_json::from_str(&objects[0].body).expect("JSON");
    assert_eq!(body["spec"]["size"], 3);
    assert_eq!(body["kind"], "Widget");
    assert!(body["metadata"].get("managedFields").is_none());
    assert_eq!(world.cluster.peek(&named("a")), Some(found));
    let teal = read(Select::Labels(
        [("colour".to_owned(), "teal".to_owned())].into(),
    ));
    assert_eq!(names(&world.cluster.read(teal).await), ["b", "c"]);
    assert_eq!(names(&world.cluster.read(named("nobody")).await), [""; 0]);
    // One list and one watch serve all of it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = world.simulation.request_log();
    assert_eq!(
        log.iter()
            .filter(|entry| entry.path.contains("/widgets") && entry.verb == "watch")
            .count(),
        1
    );
    world.said().await;
    let patch = json!({ "spec": { "size": 4 } });
    world
        .simulation
        .patch_merge(&gvk("example.com/v1", "Widget"), "shop", "a", patch)
        .expect("patched");
    let object = ObjectKey::namespaced("example.com/v1", "Widget", "shop", "a");
    assert_eq!(world.said().await, [Changed::Object(object)]);
}

// RT-ISTIO-013
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn one_that_is_marked_is_found_among_more_than_are_handed_out() {
    const MANY: usize = 600;
    let simulation = simulation();
    simulation.register(widgets()).expect("a definition");
    for namespace in ["shop", "argo"] {
        for number in 0..MANY {
            let mut widget = widget(&format!("w{number:04}"), "teal");
            widget["metadata"]["namespace"] = json!(namespace);
            // One of the second page, where pages matter.
            let manager = if number == 550 { "web" } else { "api" };
            widget["metadata"]["annotations"] = json!({ (keys::MANAGED_BY): manager });
            simulation.create(widget).expect("created");
        }
    }
    let settings = Settings {
        namespace: Some("shop".to_owned()),
        page_size: 100,
        ..settings(&simulation)
    };
    let world = World::start(simulation, settings, Gate::open());
    let managed_by = |namespace: &str, manager: &str| Read {
        namespace: Some(namespace.to_owned()),
        ..read(Select::Annotated {
            name: keys::MANAGED_BY.to_owned(),
            value: manager.to_owned(),
        })
    };
    // Those of the namespace that is followed, and of another one, where the API server is asked.
    for namespace in ["shop", "argo"] {
        let found = world.cluster.read(managed_by(namespace, "web")).await;
        assert_eq!(names(&found), ["w0550"], "{namespace}");
        let found = world.cluster.read(managed_by(namespace, "api")).await;
        assert!(
            matches!(found, ReadOutcome::TooMany(count) if count > 500),
            "{namespace}: {found:?}"
        );
        let found = world.cluster.read(managed_by(namespace, "nobody")).await;
        assert_eq!(names(&found), [""; 0], "{namespace}");
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_own_write_of_such_a_kind_is_seen_at_once_and_is_news() {
    let simulation = simulation();
    simulation.register(widgets()).expect("a definition");
    simulation.create(widget("a", "red")).expect("created");
    let owner = simulation.create(rollout("web")).expect("created");
    let mut world = World::over(simulation).await;
    world.cluster.read(named("a")).await;
    world.said().await;
    world
        .simulation
        .faults()
        .stall_watches(&Match::any().resource("widgets"));
    let target = ObjectKey::namespaced("example.com/v1", "Widget", "shop", "a");
    let patch = write(target, Edit::MergePatch(json!({ "spec": { "size": 9 } })));
    assert!(matches!(
        world.cluster.write(&subject(&owner), &patch).await,
        Done::Applied { .. }
    ));
    let Some(ReadOutcome::Found(found)) = world.cluster.peek(&named("a")) else {
        panic!("found")
    };
    assert!(found[0].body.contains("\"size\":9"), "{}", found[0].body);
    let object = ObjectKey::namespaced("example.com/v1", "Widget", "shop", "a");
    assert_eq!(world.said().await, [Changed::Object(object)]);
}

// CTL-010
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn only_jobs_of_analysis_runs_are_followed_and_others_are_asked_for() {
    let simulation = simulation();
    let job = |name: &str, labels: Value| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": name, "namespace": "shop", "labels": labels },
            "spec": { "template": { "spec": {
                "restartPolicy": "Never", "containers": [{ "name": "main", "image": "x" }],
            } } },
        })
    };
    let ours = json!({ "analysisrun.argoproj.io/uid": "r1" });
    simulation.create(job("ours", ours)).expect("created");
    simulation
        .create(job("theirs", json!({})))
        .expect("created");
    let world = World::over(simulation).await;
    let read = |name: &str| Read {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        ..named(name)
    };
    assert_eq!(names(&world.cluster.read(read("ours")).await), ["ours"]);
    assert_eq!(names(&world.cluster.read(read("theirs")).await), ["theirs"]);
    assert_eq!(
        names(&world.cluster.peek(&read("ours")).expect("followed")),
        ["ours"]
    );
    assert_eq!(world.cluster.peek(&read("theirs")), None);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_kind_that_is_not_served_is_looked_for_again() {
    let world = World::over(simulation()).await;
    let outcome = world.cluster.read(named("a")).await;
    assert!(matches!(outcome, ReadOutcome::NotServed(_)), "{outcome:?}");
    world.simulation.register(widgets()).expect("a definition");
    world
        .simulation
        .create(widget("a", "red"))
        .expect("created");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(names(&world.cluster.read(named("a")).await), ["a"]);
}

/// A followed kind with one object.
async fn world_with_widget() -> World {
    let simulation = simulation();
    simulation.register(widgets()).expect("a definition");
    simulation.create(widget("a", "red")).expect("created");
    let world = World::over(simulation).await;
    assert_eq!(names(&world.cluster.read(named("a")).await), ["a"]);
    // The list was there first, and then the watch.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world
}

/// Takes the definition away, and with it the objects; the watches end.
fn take_widgets_away(world: &World) {
    let definitions = gvk("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    world
        .simulation
        .delete(&definitions, "", "widgets.example.com")
        .expect("deleted");
    let closed = world
        .simulation
        .faults()
        .close_watches(&Match::any().resource("widgets"));
    assert_eq!(closed, 1);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_kind_that_has_moved_is_followed_where_it_is_now() {
    let world = world_with_widget().await;
    take_widgets_away(&world);
    let mut moved = widgets();
    moved["metadata"]["name"] = "gadgets.example.com".into();
    moved["spec"]["names"]["plural"] = "gadgets".into();
    world.simulation.register(moved).expect("a definition");
    world
        .simulation
        .create(widget("b", "teal"))
        .expect("created");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(names(&world.cluster.read(named("b")).await), ["b"]);
    assert_eq!(names(&world.cluster.read(named("a")).await), [""; 0]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_kind_that_is_gone_is_said_to_be_so_after_a_while() {
    let world = world_with_widget().await;
    take_widgets_away(&world);
    tokio::time::sleep(Duration::from_secs(10)).await;
    // An API server that is starting up would say the same.
    assert_eq!(names(&world.cluster.read(named("a")).await), [""; 0]);
    tokio::time::sleep(Duration::from_secs(180)).await;
    let outcome = world.cluster.read(named("a")).await;
    assert!(matches!(outcome, ReadOutcome::NotServed(_)), "{outcome:?}");
    world.simulation.register(widgets()).expect("a definition");
    world
        .simulation
        .create(widget("c", "red"))
        .expect("created");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(names(&world.cluster.read(named("c")).await), ["c"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn readers_of_a_kind_that_may_not_be_watched_are_told_so() {
    let world = world_with_widget().await;
    let widgets = Match::any().resource("widgets");
    let watches = widgets.clone().verbs([Verb::Watch]);
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(watches, Fault::Status(403)));
    world.simulation.faults().close_watches(&widgets);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let outcome = world.cluster.read(named("a")).await;
    assert!(matches!(outcome, ReadOutcome::Forbidden(_)), "{outcome:?}");
    world.simulation.faults().remove(rule);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(names(&world.cluster.read(named("a")).await), ["a"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_list_that_does_not_come_makes_a_read_unavailable_for_now() {
    let simulation = simulation();
    simulation.register(widgets()).expect("a definition");
    simulation.create(widget("a", "red")).expect("created");
    let world = World::over(simulation).await;
    let lists = Match::any().resource("widgets").verbs([Verb::List]);
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(lists, Fault::Latency(Duration::from_secs(12))).once());
    let outcome = world.cluster.read(named("a")).await;
    assert!(
        matches!(outcome, ReadOutcome::Unavailable(_)),
        "{outcome:?}"
    );
    assert_eq!(world.simulation.faults().struck(rule), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(names(&world.cluster.read(named("a")).await), ["a"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn secrets_are_read_by_name_and_never_handed_out() {
    let simulation = simulation();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": "token", "namespace": "shop" },
        "data": { "key": "czNjcmV0" },
    });
    simulation.create(secret).expect("created");
    let world = World::over(simulation).await;
    let mut read = named("token");
    read.api_version = "v1".to_owned();
    read.kind = "Secret".to_owned();
    assert!(matches!(
        world.cluster.peek(&read),
        Some(ReadOutcome::Forbidden(_))
    ));
    assert!(matches!(
        world.cluster.read(read).await,
        ReadOutcome::Forbidden(_)
    ));
    let secret = |name, key| world.cluster.secret("shop", name, key);
    assert_eq!(secret("token", "key").await, Ok(Some(b"s3cret".to_vec())));
    assert_eq!(secret("token", "nothing").await, Ok(None));
    assert_eq!(secret("nobody", "key").await, Ok(None));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_secret_whose_name_is_none_is_not_asked_for() {
    let world = World::over(simulation()).await;
    for (namespace, name, field, wrong) in [
        ("shop", "", "name", ""),
        ("shop", "..", "name", ".."),
        ("", "token", "namespace", ""),
        (".", "token", "namespace", "."),
    ] {
        let found = world.cluster.secret(namespace, name, "key").await;
        let expected =
            format!("Secret {namespace}/{name}: {field}: {wrong:?} is no name of an object");
        assert_eq!(found, Err(expected));
    }
    let log = world.simulation.request_log();
    assert!(
        log.iter().all(|entry| !entry.path.contains("/secrets")),
        "{log:?}"
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_kind_that_nobody_needs_is_let_go() {
    let simulation = simulation();
    simulation.register(widgets()).expect("a definition");
    let world = World::over(simulation).await;
    world.cluster.read(named("a")).await;
    let watches = || {
        world
            .simulation
            .faults()
            .live_watches(&Match::any().resource("widgets"))
    };
    tokio::time::sleep(Duration::from_secs(660)).await;
    let widget = ("example.com/v1".to_owned(), "Widget".to_owned());
    world.cluster.release_idle_kinds(&BTreeSet::from([widget]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(watches(), 1);
    world.cluster.release_idle_kinds(&BTreeSet::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(watches(), 0);
    assert_eq!(names(&world.cluster.read(named("a")).await), [""; 0]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(watches(), 1);
}

//! Rare facts.

use std::collections::BTreeMap;

use sluice_engine::observed::{Defaulted, Looked};
use sluice_engine::plan::{Done, Query};
use sluice_simulation::{Fault, Match, Rule, Verb};

use super::*;

async fn look(world: &World, owner: &Value, queries: &[&Query]) {
    let looks = queries
        .iter()
        .map(|query| (Action::Look((*query).clone()), vec![]));
    world
        .cluster
        .execute(&subject(owner), &plan(looks.collect()))
        .await;
}

fn looked(world: &World) -> BTreeMap<Query, Looked> {
    world
        .cluster
        .observe_rollout(&key("web"), world.simulation.now())
        .expect("observed")
        .looked
}

fn pod(name: &str, set: &Value, ready: bool) -> Value {
    let mut pod = replica_set(name, Some(set));
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["labels"][keys::POD_TEMPLATE_HASH] = "web-1".into();
    pod["spec"] = json!({ "containers": [{ "name": "main", "image": "x" }] });
    pod["status"] = json!({ "conditions": [
        { "type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "2030-01-01T00:00:09Z" },
    ] });
    pod
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn pods_of_a_set_live_for_one_pass() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let set = simulation
        .create(replica_set("web-1", Some(&owner)))
        .expect("created");
    let other = simulation
        .create(replica_set("web-2", Some(&owner)))
        .expect("created");
    for (name, set, ready) in [("b", &set, true), ("a", &set, false), ("c", &other, true)] {
        simulation.create(pod(name, set, ready)).expect("created");
    }
    let mut world = World::over(simulation).await;
    let query = Query::Pods {
        namespace: "shop".to_owned(),
        replica_set: "web-1".to_owned(),
    };
    look(&world, &owner, &[&query]).await;
    let answers = looked(&world);
    let Looked::Pods(pods) = &answers[&query] else {
        panic!("pods: {answers:?}")
    };
    let names: Vec<&str> = pods.iter().map(|pod| pod.metadata.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    // It is for the pass that follows anyway. One that is asked for besides would have it no more, and ask again, for ever.
    assert_eq!(world.said().await, []);
    // Asked for no more, it is gone.
    look(&world, &owner, &[&query]).await;
    assert_eq!(world.said().await, []);
    assert_eq!(looked(&world).len(), 1);
    look(&world, &owner, &[]).await;
    assert_eq!(looked(&world), BTreeMap::new());
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_defaulted_template_is_that_of_the_set_it_would_become() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    simulation
        .create(replica_set("web-1", Some(&owner)))
        .expect("created");
    let mut world = World::over(simulation).await;
    let rollout = world.cluster.rollout(&key("web")).expect("there");
    let source = hash::template_source(
        rollout
            .spec
            .template
            .as_ref()
            .expect("a template")
            .as_value(),
    );
    let query = |source: &str, label: &str| Query::DefaultedTemplate {
        namespace: "shop".to_owned(),
        source: source.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), label.to_owned())]),
    };
    let (right, refused, unknown) = (
        query(&source, "web"),
        query(&source, "db"),
        query("0", "web"),
    );
    look(&world, &owner, &[&right, &refused]).await;
    let answers = looked(&world);
    let sets = world.cluster.replica_sets_of(&subject(&owner).uid);
    assert_eq!(
        answers[&right],
        Looked::Template(Defaulted::Identity(sets[0].template.clone()))
    );
    assert!(
        matches!(&answers[&refused], Looked::Template(Defaulted::Invalid(_))),
        "{answers:?}"
    );
    let said = world.said().await;
    assert!(said.contains(&Changed::Rollout(key("web"))), "{said:?}");
    assert_eq!(
        world
            .simulation
            .list(&gvk("apps/v1", "ReplicaSet"), None)
            .len(),
        1,
        "a dry run"
    );
    // Another source replaces the answers for this one.
    look(&world, &owner, &[&unknown]).await;
    let answers = looked(&world);
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&unknown]);
    assert!(matches!(answers[&unknown], Looked::Failed(_)));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_referenced_workload_is_followed() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let mut world = World::over(simulation).await;
    let query = Query::Object(ObjectKey::namespaced(
        "apps/v1",
        "Deployment",
        "shop",
        "legacy",
    ));
    look(&world, &owner, &[&query]).await;
    assert_eq!(looked(&world)[&query], Looked::Object(None));
    world.said().await;
    let mut deployment = replica_set("legacy", None);
    deployment["kind"] = "Deployment".into();
    world.simulation.create(deployment).expect("created");
    let object = ObjectKey::namespaced("apps/v1", "Deployment", "shop", "legacy");
    assert_eq!(
        world.said().await,
        [Changed::Rollout(key("web")), Changed::Object(object)]
    );
    let answers = looked(&world);
    let Looked::Object(Some(found)) = &answers[&query] else {
        panic!("{answers:?}")
    };
    assert_eq!(found["spec"]["replicas"], 2);
    assert!(found["metadata"].get("managedFields").is_none());
    // Its template is a source for a defaulted one.
    let template = Query::DefaultedTemplate {
        namespace: "shop".to_owned(),
        source: hash::template_source(&found["spec"]["template"]),
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
    };
    look(&world, &owner, &[&template]).await;
    assert!(matches!(
        looked(&world)[&template],
        Looked::Template(Defaulted::Identity(_))
    ));
    // What is known of a Rollout goes with it.
    world.gone_from("Rollout", "web");
    world.said().await;
    assert_eq!(world.cluster.looked_at(&subject(&owner)), BTreeMap::new());
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn what_is_read_past_the_watches_lives_for_one_pass_and_absence_until_a_write() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let mut set = replica_set("web-1", Some(&owner));
    let labels = set["metadata"]["labels"].take();
    set["metadata"]["labels"] = json!({ "app": "web" });
    simulation.create(set).expect("created");
    let mut world = World::over(simulation).await;
    let query =
        |name: &str| Query::Uncached(ObjectKey::namespaced("apps/v1", "ReplicaSet", "shop", name));
    let (there, absent) = (query("web-1"), query("web-2"));
    look(&world, &owner, &[&there, &absent]).await;
    assert_eq!(
        world.said().await,
        [],
        "the pass that looked is followed by another anyway"
    );
    let answers = looked(&world);
    let Looked::Object(Some(found)) = &answers[&there] else {
        panic!("{answers:?}")
    };
    assert_eq!(found["metadata"]["name"], "web-1");
    assert_eq!(answers[&absent], Looked::Object(None));
    // A set without its hash label is no view of ours.
    assert!(
        world
            .cluster
            .replica_sets_of(&subject(&owner).uid)
            .is_empty()
    );
    // With its label it is one as soon as it was read, whatever the watch does.
    let labels = json!({ "metadata": { "labels": labels } });
    world
        .simulation
        .patch_merge(&gvk("apps/v1", "ReplicaSet"), "shop", "web-1", labels)
        .expect("patched");
    look(&world, &owner, &[&there]).await;
    assert_eq!(world.cluster.replica_sets_of(&subject(&owner).uid).len(), 1);
    look(&world, &owner, &[]).await;
    let answers = looked(&world);
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&absent]);
    let target = ObjectKey::namespaced("apps/v1", "ReplicaSet", "shop", "web-2");
    let create = write(target, Edit::Create(replica_set("web-2", Some(&owner))));
    world.cluster.write(&subject(&owner), &create).await;
    assert_eq!(looked(&world), BTreeMap::new());
}

// REC-011
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_dry_run_that_is_denied_says_nothing_of_the_template() {
    let rows = [
        (400, Some(true)),
        (403, Some(true)),
        (422, Some(false)),
        (500, None),
        (429, None),
    ];
    for (code, denied) in rows {
        let simulation = simulation();
        let owner = simulation.create(rollout("web")).expect("created");
        let world = World::over(simulation).await;
        let observed = world.cluster.rollout(&key("web")).expect("there");
        let query = Query::DefaultedTemplate {
            namespace: "shop".to_owned(),
            source: hash::template_source(observed.spec.template.as_ref().expect("one").as_value()),
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        };
        let which = Match::any()
            .client("controller")
            .writes()
            .resource("replicasets");
        world
            .simulation
            .faults()
            .add(Rule::new(which, Fault::Status(code)));
        let looking = plan(vec![(Action::Look(query.clone()), vec![])]);
        let done = world.cluster.execute(&subject(&owner), &looking).await.done;
        let answers = looked(&world);
        let answer = match &answers[&query] {
            Looked::Template(Defaulted::Denied(_)) => Some(true),
            Looked::Template(Defaulted::Invalid(_)) => Some(false),
            Looked::Failed(_) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(answer, denied, "{code}");
        // No answer is a failure of the pass, so that the next one waits a little.
        assert_eq!(
            matches!(done[..], [Done::Failed(_)]),
            denied.is_none(),
            "{code}"
        );
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn that_there_is_no_object_is_believed_only_when_the_answer_is_about_it() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let world = World::over(simulation).await;
    let set = ObjectKey::namespaced("apps/v1", "ReplicaSet", "shop", "web-1");
    let query = Query::Uncached(set);
    let reads = Match::any().resource("replicasets").verbs([Verb::Get]);
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(reads, Fault::Status(404)));
    look(&world, &owner, &[&query]).await;
    let answers = looked(&world);
    assert!(matches!(answers[&query], Looked::Failed(_)), "{answers:?}");
    world.simulation.faults().remove(rule);
    look(&world, &owner, &[&query]).await;
    assert_eq!(looked(&world)[&query], Looked::Object(None));
}

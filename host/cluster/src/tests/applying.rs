//! Plans on their way to the API server.

use sluice_engine::plan::{Done, Outcome, Propagation, Query, WriteErrorKind};
use sluice_simulation::{Fault, Match, Rule, Verb};

use super::*;

fn set_key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("apps/v1", "ReplicaSet", "shop", name)
}

fn scale(name: &str, replicas: i32) -> Action {
    Action::Write(write(
        set_key(name),
        Edit::MergePatch(json!({ "spec": { "replicas": replicas } })),
    ))
}

/// Each action's fate in a word.
fn fates(outcome: &Outcome) -> Vec<String> {
    let fate = |done: &Done| match done {
        Done::Applied { .. } => "applied".to_owned(),
        Done::Asked => "asked".to_owned(),
        Done::Skipped => "skipped".to_owned(),
        Done::Failed(error) => format!("{:?}", error.kind),
    };
    outcome.done.iter().map(fate).collect()
}

async fn world_with_set() -> (World, Value, Value) {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let set = simulation
        .create(replica_set("web-1", Some(&owner)))
        .expect("created");
    (World::over(simulation).await, owner, set)
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_plan_is_carried_out_in_order_and_failures_hold_up_only_what_builds_on_them() {
    let (world, owner, _) = world_with_set().await;
    let create = write(
        set_key("web-2"),
        Edit::Create(replica_set("web-2", Some(&owner))),
    );
    let annotate = Edit::MergePatch(json!({ "metadata": { "annotations": { "x": "1" } } }));
    let plan = plan(vec![
        (scale("web-1", 4), vec![]),
        (scale("nobody", 4), vec![0]),
        (scale("web-1", 9), vec![0, 1]),
        (Action::Write(create.clone()), vec![]),
        (Action::Write(write(set_key("web-2"), annotate)), vec![3]),
        (Action::Write(create), vec![]),
        (
            Action::Write(write(
                set_key("web-1"),
                Edit::MergePatch(json!({ "spec": { "replicas": "x" } })),
            )),
            vec![],
        ),
    ]);
    world.simulation.clear_request_log();
    let outcome = world.cluster.execute(&subject(&owner), &plan).await;
    assert_eq!(
        fates(&outcome),
        [
            "applied",
            "NotFound",
            "skipped",
            "applied",
            "applied",
            "AlreadyExists",
            "Invalid"
        ]
    );
    let writes: Vec<String> = world
        .simulation
        .request_log()
        .iter()
        .filter(|entry| entry.is_write())
        .map(|entry| entry.path.clone())
        .collect();
    assert_eq!(writes.len(), 6);
    assert!(
        writes
            .iter()
            .all(|path| path.contains("fieldManager=rollouts-controller")),
        "{writes:?}"
    );
    let Done::Applied { object } = &outcome.done[0] else {
        panic!("applied")
    };
    assert_eq!((object.name.as_str(), object.generation), ("web-1", 2));
}

// REC-005
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_own_write_is_a_fact_before_the_watch_says_so() {
    let (mut world, owner, _) = world_with_set().await;
    // The watch is silent from now on.
    let sets = Match::any().resource("replicasets");
    assert_eq!(world.simulation.faults().stall_watches(&sets), 1);
    let create = write(
        set_key("web-2"),
        Edit::Create(replica_set("web-2", Some(&owner))),
    );
    let delete = write(set_key("web-2"), Edit::Delete(Propagation::Background));
    let sizes = |world: &World| -> Vec<(String, i32)> {
        let sets = world.cluster.replica_sets_of(&subject(&owner).uid);
        sets.iter()
            .map(|set| (set.metadata.name.clone(), set.replicas))
            .collect()
    };
    let plan_one = plan(vec![
        (scale("web-1", 7), vec![]),
        (Action::Write(create), vec![]),
    ]);
    world.cluster.execute(&subject(&owner), &plan_one).await;
    assert_eq!(
        sizes(&world),
        [("web-1".to_owned(), 7), ("web-2".to_owned(), 2)]
    );
    world
        .cluster
        .execute(
            &subject(&owner),
            &plan(vec![(Action::Write(delete), vec![])]),
        )
        .await;
    assert_eq!(sizes(&world), [("web-1".to_owned(), 7)]);
    // An own write is also a reason to look again.
    let said = world.said().await;
    assert!(said.contains(&Changed::Rollout(key("web"))), "{said:?}");
    // When the watch comes back it changes nothing.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(sizes(&world), [("web-1".to_owned(), 7)]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn later_writes_of_a_pass_build_on_earlier_ones() {
    let (world, owner, set) = world_with_set().await;
    let conditional = |edit: Edit| {
        let mut write = write(set_key("web-1"), edit);
        write.precondition = Some(version(&set));
        Action::Write(write)
    };
    let three = || {
        plan(vec![
            (
                conditional(Edit::MergePatch(json!({ "spec": { "replicas": 5 } }))),
                vec![],
            ),
            (
                conditional(Edit::JsonPatch(
                    json!([{ "op": "add", "path": "/metadata/annotations", "value": { "x": "1" } }]),
                )),
                vec![],
            ),
            (
                conditional(Edit::MergePatch(json!({ "spec": { "replicas": 6 } }))),
                vec![],
            ),
        ])
    };
    let outcome = world.cluster.execute(&subject(&owner), &three()).await;
    assert_eq!(fates(&outcome), ["applied", "applied", "applied"]);
    // In the next pass the same precondition is stale.
    let outcome = world.cluster.execute(&subject(&owner), &three()).await;
    assert_eq!(fates(&outcome), ["Conflict", "Conflict", "Conflict"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn after_a_conflict_the_newer_version_that_was_read_counts() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let world = World::over(simulation).await;
    let me = subject(&owner);
    let mut annotate = write(
        me.key.clone(),
        Edit::MergePatch(json!({ "metadata": { "annotations": { "x": "1" } } })),
    );
    annotate.precondition = Some(version(&owner));
    world
        .cluster
        .execute(&me, &plan(vec![(Action::Write(annotate), vec![])]))
        .await;
    let gvk = gvk(ARGO, "Rollout");
    let user = json!({ "metadata": { "annotations": { "y": "2" } } });
    let promoted = world
        .simulation
        .patch_merge(&gvk, "shop", "web", user)
        .expect("patched");
    let mut status = write(
        me.key.clone(),
        Edit::MergePatch(json!({ "status": { "abort": true } })),
    );
    status.subresource = Subresource::Status;
    status.precondition = Some(version(&owner));
    let Done::Failed(error) = world.cluster.write(&me, &status).await else {
        panic!("a conflict")
    };
    assert_eq!(error.kind, WriteErrorKind::Conflict);
    status.precondition = Some(version(&promoted));
    assert!(matches!(
        world.cluster.write(&me, &status).await,
        Done::Applied { .. }
    ));
    let rollout = world.cluster.rollout(&key("web")).expect("there");
    assert!(rollout.status.abort);
    assert_eq!(rollout.metadata.annotations["y"], "2");
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_object_is_deleted_only_if_it_is_still_the_same() {
    let (world, owner, _) = world_with_set().await;
    world
        .simulation
        .faults()
        .stall_watches(&Match::any().resource("replicasets"));
    world.gone_from("ReplicaSet", "web-1");
    world
        .simulation
        .create(replica_set("web-1", Some(&owner)))
        .expect("created");
    let delete = write(set_key("web-1"), Edit::Delete(Propagation::Orphan));
    let outcome = world
        .cluster
        .execute(
            &subject(&owner),
            &plan(vec![(Action::Write(delete), vec![])]),
        )
        .await;
    assert_eq!(fates(&outcome), ["Conflict"]);
    assert!(
        world
            .simulation
            .get(&gvk("apps/v1", "ReplicaSet"), "shop", "web-1")
            .is_some()
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_time_out_is_unavailable_even_if_the_write_took_effect() {
    let (world, owner, _) = world_with_set().await;
    let patches = Match::any().resource("replicasets").verbs([Verb::Patch]);
    let fault = Fault::TimeoutAfterEffect(Duration::from_secs(3600));
    world
        .simulation
        .faults()
        .add(Rule::new(patches, fault).once());
    let before = world.simulation.now();
    let outcome = world
        .cluster
        .execute(&subject(&owner), &plan(vec![(scale("web-1", 8), vec![])]))
        .await;
    assert_eq!(fates(&outcome), ["Unavailable"]);
    assert_eq!(world.simulation.now().duration_since(before).as_secs(), 15);
    // The watch tells the truth.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sets = world.cluster.replica_sets_of(&subject(&owner).uid);
    assert_eq!(sets[0].replicas, 8);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn the_server_s_answer_decides_the_class_of_an_error() {
    let (world, owner, _) = world_with_set().await;
    for (code, expected, seconds) in [
        (500, "Unavailable", None),
        (504, "Unavailable", None),
        (429, "Unavailable", Some(1)),
        (503, "Unavailable", Some(1)),
        // About no object: the kind may not be served yet.
        (404, "Unavailable", None),
    ] {
        let patches = Match::any().resource("replicasets").verbs([Verb::Patch]);
        let rule = world
            .simulation
            .faults()
            .add(Rule::new(patches, Fault::Status(code)));
        let outcome = world
            .cluster
            .execute(&subject(&owner), &plan(vec![(scale("web-1", 8), vec![])]))
            .await;
        assert_eq!(fates(&outcome), [expected], "{code}");
        let pause = outcome
            .first_error()
            .and_then(|(_, error)| error.retry_after);
        assert_eq!(pause, seconds.map(Duration::from_secs), "{code}");
        world.simulation.faults().remove(rule);
    }
    let unknown = ObjectKey::namespaced("example.com/v1", "Widget", "shop", "x");
    let widget = Action::Write(write(unknown, Edit::MergePatch(json!({}))));
    let outcome = world
        .cluster
        .execute(&subject(&owner), &plan(vec![(widget, vec![])]))
        .await;
    assert_eq!(fates(&outcome), ["NotFound"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_pod_is_evicted_and_a_disruption_budget_holds_it_up() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web-x", "namespace": "shop", "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "main", "image": "x" }] },
    });
    simulation.create(pod).expect("created");
    let world = World::over(simulation).await;
    let mut evict = write(
        ObjectKey::namespaced("v1", "Pod", "shop", "web-x"),
        Edit::Create(json!({})),
    );
    evict.subresource = Subresource::Eviction;
    let evictions = Match::any().resource("pods/eviction");
    let rule = world
        .simulation
        .faults()
        .add(Rule::new(evictions, Fault::Status(429)));
    let plan = plan(vec![(Action::Write(evict), vec![])]);
    let outcome = world.cluster.execute(&subject(&owner), &plan).await;
    assert_eq!(fates(&outcome), ["Refused"]);
    world.simulation.faults().remove(rule);
    let outcome = world.cluster.execute(&subject(&owner), &plan).await;
    assert_eq!(fates(&outcome), ["applied"]);
    assert!(
        world
            .simulation
            .get(&gvk("v1", "Pod"), "shop", "web-x")
            .is_none()
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_look_is_asked_even_when_it_finds_nothing() {
    let (world, owner, _) = world_with_set().await;
    let look = Action::Look(Query::Pods {
        namespace: "shop".to_owned(),
        replica_set: "nobody".to_owned(),
    });
    let outcome = world
        .cluster
        .execute(&subject(&owner), &plan(vec![(look, vec![])]))
        .await;
    assert_eq!(fates(&outcome), ["asked"]);
}

//! Services that no Rollout claims any more.

use sluice_engine::plan::Done;
use sluice_simulation::{Fault, Match, Rule, Verb};

use super::*;

fn selector_of(world: &World, name: &str) -> Value {
    let service = world
        .simulation
        .get(&gvk("v1", "Service"), "shop", name)
        .expect("there");
    json!([
        service["spec"]["selector"],
        service["metadata"]["annotations"].get(keys::MANAGED_BY)
    ])
}

// SVC-005
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_service_of_a_deleted_rollout_is_given_back() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    simulation
        .create(service("web-stable", Some("1a"), Some("web")))
        .expect("created");
    simulation
        .create(service("web-canary", None, None))
        .expect("created");
    let mut world = World::over(simulation).await;
    assert!(
        world
            .cluster
            .release_service(&key("web-stable"))
            .await
            .is_none(),
        "it is claimed"
    );
    world.gone_from("Rollout", "web");
    let said = world.said().await;
    assert!(
        said.contains(&Changed::Service(key("web-stable"))),
        "{said:?}"
    );
    assert!(
        !said.contains(&Changed::Service(key("web-canary"))),
        "{said:?}"
    );
    let done = world.cluster.release_service(&key("web-stable")).await;
    assert!(matches!(done, Some(Done::Applied { .. })), "{done:?}");
    assert_eq!(
        selector_of(&world, "web-stable"),
        json!([{ "app": "web" }, null])
    );
    assert!(
        world
            .cluster
            .release_service(&key("web-stable"))
            .await
            .is_none()
    );
}

// SVC-005
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_service_that_a_rollout_names_no_more_is_said_to_be_abandoned() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    simulation
        .create(service("web-stable", Some("1a"), Some("web")))
        .expect("created");
    let mut world = World::over(simulation).await;
    let patch = json!({ "spec": { "strategy": { "canary": { "stableService": "web-main" } } } });
    world
        .simulation
        .patch_merge(&gvk(ARGO, "Rollout"), "shop", "web", patch)
        .expect("patched");
    let said = world.said().await;
    assert_eq!(
        said,
        [
            Changed::Rollout(key("web")),
            Changed::Service(key("web-stable"))
        ]
    );
    world.cluster.release_service(&key("web-stable")).await;
    assert_eq!(
        selector_of(&world, "web-stable"),
        json!([{ "app": "web" }, null])
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn what_was_abandoned_before_the_start_is_found_and_the_business_of_others_is_left() {
    let simulation = simulation();
    let mut foreign = rollout("foreign");
    foreign["metadata"]["labels"] = json!({ (keys::INSTANCE_ID): "blue" });
    simulation.create(foreign).expect("created");
    // Another instance's Rollout claims this one.
    simulation
        .create(service("web-stable", Some("1a"), Some("foreign")))
        .expect("created");
    simulation
        .create(service("left", Some("1b"), Some("gone")))
        .expect("created");
    // An Experiment selects by hash too.
    let mut experiments = service("probe", Some("1c"), None);
    experiments["metadata"]["ownerReferences"] = json!([{
        "apiVersion": ARGO, "kind": "Experiment", "name": "probe", "uid": "e1", "controller": true,
    }]);
    simulation.create(experiments).expect("created");
    let settings = settings(&simulation);
    let mut world = World::start(simulation, settings, Gate::open());
    let said = world.said().await;
    assert!(said.contains(&Changed::Service(key("left"))), "{said:?}");
    assert!(!said.contains(&Changed::Service(key("probe"))), "{said:?}");
    for name in ["left", "web-stable", "probe"] {
        world.cluster.release_service(&key(name)).await;
    }
    assert_eq!(selector_of(&world, "left"), json!([{ "app": "web" }, null]));
    assert_eq!(selector_of(&world, "web-stable")[1], "foreign");
    assert_eq!(
        selector_of(&world, "probe")[0][keys::POD_TEMPLATE_HASH],
        "1c"
    );
}

// SVC-005
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn nothing_looks_abandoned_before_the_rollouts_could_be_listed() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    for name in ["web-stable", "left"] {
        simulation
            .create(service(name, Some("1a"), None))
            .expect("created");
    }
    // What an API server that is starting up says of a kind that it will serve.
    let lists = Match::any().resource("rollouts").verbs([Verb::List]);
    let rule = simulation
        .faults()
        .add(Rule::new(lists, Fault::Status(404)));
    let settings = settings(&simulation);
    let mut world = World::start(simulation, settings, Gate::open());
    world.cluster.wait_synced().await;
    let said = world.said().await;
    for name in ["web-stable", "left"] {
        assert!(!said.contains(&Changed::Service(key(name))), "{said:?}");
        let done = world.cluster.release_service(&key(name)).await;
        assert!(done.is_none(), "{name}: {done:?}");
    }
    world.simulation.faults().remove(rule);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let said = world.said().await;
    assert!(said.contains(&Changed::Service(key("left"))), "{said:?}");
    assert!(
        !said.contains(&Changed::Service(key("web-stable"))),
        "{said:?}"
    );
    world.cluster.release_service(&key("left")).await;
    assert_eq!(selector_of(&world, "left"), json!([{ "app": "web" }, null]));
}

// SVC-005
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_service_stays_as_it_is_while_nobody_says_whether_its_rollout_is_there() {
    let simulation = simulation();
    let mut foreign = rollout("foreign");
    foreign["metadata"]["labels"] = json!({ (keys::INSTANCE_ID): "blue" });
    simulation.create(foreign).expect("created");
    simulation
        .create(service("web-stable", Some("1a"), Some("foreign")))
        .expect("created");
    let world = World::over(simulation).await;
    for code in [403, 404, 500] {
        let reads = Match::any().resource("rollouts").verbs([Verb::Get]);
        let rule = world
            .simulation
            .faults()
            .add(Rule::new(reads, Fault::Status(code)));
        let done = world.cluster.release_service(&key("web-stable")).await;
        // A failure is tried again.
        assert!(matches!(done, Some(Done::Failed(_))), "{code}: {done:?}");
        assert_eq!(selector_of(&world, "web-stable")[1], "foreign", "{code}");
        world.simulation.faults().remove(rule);
    }
    let done = world.cluster.release_service(&key("web-stable")).await;
    assert!(done.is_none(), "it is claimed: {done:?}");
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn nothing_is_remembered_of_a_service_that_was_given_back() {
    let simulation = simulation();
    let left = simulation
        .create(service("left", Some("1b"), None))
        .expect("created");
    let world = World::over(simulation).await;
    let done = world.cluster.release_service(&key("left")).await;
    assert!(matches!(done, Some(Done::Applied { .. })), "{done:?}");
    let given_back = subject(&left);
    let looks = &world.cluster.shared.looks;
    assert_eq!(looks.written(&given_back, &given_back.key), None);
}

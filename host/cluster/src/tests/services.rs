//! Services that no Rollout claims any more.

use sluice_engine::plan::Done;

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

//! Facts for a pass.

use super::*;

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_pass_sees_everything_that_the_rollout_owns_and_names() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let other = simulation.create(rollout("other")).expect("created");
    for (name, owner) in [("web-2", &owner), ("web-1", &owner), ("other-1", &other)] {
        simulation
            .create(replica_set(name, Some(owner)))
            .expect("created");
    }
    simulation
        .create(replica_set("lost", None))
        .expect("created");
    let mut foreign = replica_set("foreign", None);
    foreign["metadata"]["labels"]["app"] = "db".into();
    foreign["spec"]["selector"]["matchLabels"]["app"] = "db".into();
    foreign["spec"]["template"]["metadata"]["labels"]["app"] = "db".into();
    simulation.create(foreign).expect("created");
    simulation
        .create(service("web-stable", Some("web-1"), Some("web")))
        .expect("created");
    let template = |name: &str, nested: Value| {
        json!({
            "apiVersion": ARGO, "kind": "AnalysisTemplate",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "metrics": [], "templates": nested },
        })
    };
    let nested =
        json!([{ "templateName": "base", "clusterScope": true }, { "templateName": "errors" }]);
    simulation
        .create(template("errors", nested))
        .expect("created");
    let world = World::over(simulation).await;

    let now = world.simulation.now();
    let seen = world
        .cluster
        .observe_rollout(&key("web"), now)
        .expect("observed");
    assert_eq!(seen.now, now);
    let names = |sets: &[std::sync::Arc<sluice_engine::observed::ReplicaSet>]| -> Vec<String> {
        sets.iter().map(|set| set.metadata.name.clone()).collect()
    };
    // Of the same second, so by name.
    assert_eq!(names(&seen.replica_sets), ["web-1", "web-2"]);
    assert_eq!(names(&seen.orphans), ["lost"]);
    assert_eq!(seen.services["web-canary"], None);
    let stable = seen.services["web-stable"].as_ref().expect("found");
    assert_eq!(stable.selected_hash(), Some("web-1"));
    assert!(seen.analysis_templates["errors"].is_some());
    assert_eq!(seen.cluster_analysis_templates["base"], None);
    // KEY-019
    let annotations = &seen.rollout.metadata.annotations;
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["team"]);
    assert!(world.cluster.observe_rollout(&key("nobody"), now).is_none());
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_set_is_known_by_what_its_template_means() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    for (name, image) in [("a", "web:1"), ("b", "web:1"), ("c", "web:2")] {
        let mut set = replica_set(name, Some(&owner));
        set["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        simulation.create(set).expect("created");
    }
    let sets = gvk("apps/v1", "ReplicaSet");
    let status = json!({ "status": { "replicas": 2, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1,
        "conditions": [{ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota" }] } });
    simulation
        .patch_status(&sets, "shop", "a", status)
        .expect("patched");
    let mut world = World::over(simulation).await;
    let uid = subject(&owner).uid;
    let sets_of = |world: &World| world.cluster.replica_sets_of(&uid);
    let [a, b, c] = sets_of(&world).try_into().expect("three");
    assert_eq!(a.template, b.template, "the hash label does not count");
    assert_ne!(a.template, c.template);
    assert_eq!(
        (
            a.replicas,
            a.status_replicas,
            a.ready,
            a.available,
            a.observed_generation
        ),
        (2, 2, 1, 1, 1)
    );
    assert_eq!(
        a.failure.as_ref().map(|failure| failure.reason.as_str()),
        Some("FailedCreate")
    );
    assert_eq!(b.failure, None);

    // A new image is a new generation, so the identity is computed again.
    let image = json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:2" }]);
    let set = ObjectKey::namespaced("apps/v1", "ReplicaSet", "shop", "a");
    world
        .cluster
        .write(&subject(&owner), &write(set, Edit::JsonPatch(image)))
        .await;
    world.said().await;
    let [a, _, c] = sets_of(&world).try_into().expect("three");
    assert_eq!(a.template, c.template);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_subject_can_be_read_past_a_silent_watch() {
    let simulation = simulation();
    simulation.create(rollout("web")).expect("created");
    let world = World::over(simulation).await;
    let rollouts = sluice_simulation::Match::any().resource("rollouts");
    world.simulation.faults().stall_watches(&rollouts);
    let patch = json!({ "spec": { "paused": true } });
    let gvk = gvk(ARGO, "Rollout");
    world
        .simulation
        .patch_merge(&gvk, "shop", "web", patch)
        .expect("patched");
    assert!(
        !world
            .cluster
            .rollout(&key("web"))
            .expect("there")
            .spec
            .paused
    );
    assert!(
        world
            .cluster
            .refresh_rollout(&key("web"))
            .await
            .expect("there")
            .spec
            .paused
    );
    assert!(world.cluster.refresh_run(&key("nobody")).await.is_none());
}

// ENG-060
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn runs_of_others_are_known_by_their_names_also_where_no_watch_shows_them() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let run = |name: &str, labels: Value, owners: Value| {
        json!({
            "apiVersion": ARGO, "kind": "AnalysisRun",
            "metadata": { "name": name, "namespace": "shop", "labels": labels, "ownerReferences": owners },
            "spec": { "metrics": [] },
        })
    };
    let ours = json!([{
        "apiVersion": ARGO, "kind": "Rollout", "name": "web", "uid": owner["metadata"]["uid"], "controller": true,
    }]);
    let shared_out = json!({ (keys::INSTANCE_ID): "other" });
    for (name, labels, owners) in [
        ("web-abc-1", json!({}), json!([])),
        ("web-abc-2", json!({}), ours.clone()),
        // Of a time when another controller worked on this Rollout.
        ("web-abc-3", shared_out, ours.clone()),
        ("webs-abc-1", json!({}), json!([])),
    ] {
        simulation
            .create(run(name, labels, owners))
            .expect("created");
    }
    let world = World::over(simulation).await;
    let foreign = || {
        let seen = world
            .cluster
            .observe_rollout(&key("web"), world.simulation.now());
        seen.expect("observed").foreign_runs
    };
    assert_eq!(foreign(), ["web-abc-1".to_owned()].into());
    let create = |name: &str| {
        write(
            ObjectKey::namespaced(ARGO, "AnalysisRun", "shop", name),
            Edit::Create(run(name, json!({}), ours.clone())),
        )
    };
    for name in ["web-abc-3", "web-abc-2"] {
        let done = world.cluster.write(&subject(&owner), &create(name)).await;
        assert!(
            matches!(&done, sluice_engine::plan::Done::Failed(error) if error.kind == sluice_engine::plan::WriteErrorKind::AlreadyExists),
            "{done:?}"
        );
    }
    let both = ["web-abc-1", "web-abc-3"].map(str::to_owned);
    assert_eq!(foreign(), both.into());
    // The next passes still know.
    world.cluster.execute(&subject(&owner), &plan(vec![])).await;
    assert_eq!(foreign().len(), 2);
}

// ENG-060
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_run_whose_creation_was_answered_by_nobody_is_ours_at_the_second_try() {
    let simulation = simulation();
    let owner = simulation.create(rollout("web")).expect("created");
    let world = World::over(simulation).await;
    world
        .simulation
        .faults()
        .stall_watches(&sluice_simulation::Match::any().resource("analysisruns"));
    let body = json!({
        "apiVersion": ARGO, "kind": "AnalysisRun",
        "metadata": { "name": "web-abc-1", "namespace": "shop", "ownerReferences": [{
            "apiVersion": ARGO, "kind": "Rollout", "name": "web", "uid": owner["metadata"]["uid"], "controller": true,
        }] },
        "spec": { "metrics": [] },
    });
    world.simulation.create(body.clone()).expect("created");
    let target = ObjectKey::namespaced(ARGO, "AnalysisRun", "shop", "web-abc-1");
    world
        .cluster
        .write(&subject(&owner), &write(target, Edit::Create(body)))
        .await;
    let seen = world
        .cluster
        .observe_rollout(&key("web"), world.simulation.now())
        .expect("observed");
    assert_eq!(seen.analysis_runs.len(), 1);
    assert_eq!(seen.foreign_runs, [].into());
}

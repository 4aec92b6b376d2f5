use super::*;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_created_object_gets_what_only_the_server_can_give_it() {
    let simulation = Simulation::new(1);
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let mut wanted: ReplicaSet = typed(replica_set("shop", 3));
    wanted.status = Some(typed(json!({"replicas": 9})));
    let created = sets.create(&PostParams::default(), &wanted).await.unwrap();

    assert_eq!(created.metadata.generation, Some(1));
    assert_eq!(created.metadata.uid.as_deref().map(str::len), Some(36));
    assert_eq!(
        created
            .metadata
            .creation_timestamp
            .map(|time| time.0.to_string()),
        Some("2030-01-01T00:00:00Z".to_owned())
    );
    // A status in a create is not the creator's to set.
    assert_eq!(created.status.unwrap().replicas, 0);
    let read = sets.get("shop").await.unwrap();
    assert_eq!(
        read.metadata.resource_version,
        created.metadata.resource_version
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn refusals_carry_the_code_reason_and_details_of_the_real_server() {
    let simulation = Simulation::new(1);
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let wanted: ReplicaSet = typed(replica_set("shop", 3));
    sets.create(&PostParams::default(), &wanted).await.unwrap();

    let status = refused(sets.create(&PostParams::default(), &wanted).await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (409, "replicasets.apps \"shop\" already exists")
    );
    assert!(status.is_already_exists());

    let status = refused(sets.get("absent").await);
    assert_eq!(
        (status.code, status.message.as_str()),
        (404, "replicasets.apps \"absent\" not found")
    );
    let details = status.details.unwrap();
    assert_eq!(
        (
            details.name.as_str(),
            details.group.as_str(),
            details.kind.as_str()
        ),
        ("absent", "apps", "replicasets")
    );

    let mut other = wanted.clone();
    other.metadata.name = Some("other".to_owned());
    other.spec.as_mut().unwrap().selector = typed(json!({"matchLabels": {"app": "elsewhere"}}));
    let status = refused(sets.create(&PostParams::default(), &other).await);
    assert_eq!(
        status.message,
        "ReplicaSet.apps \"other\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"shop\"}: \
         `selector` does not match template `labels`"
    );
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));

    let elsewhere: Api<ReplicaSet> = Api::namespaced(simulation.client(), "nowhere");
    let mut astray = wanted.clone();
    astray.metadata.namespace = Some("nowhere".to_owned());
    let status = refused(elsewhere.create(&PostParams::default(), &astray).await);
    assert_eq!(status.message, "namespaces \"nowhere\" not found");
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn wrong_json_types_are_refused_by_field() {
    let simulation = Simulation::new(1);
    let mut wrong = replica_set("shop", 3);
    wrong["spec"]["replicas"] = json!("three");
    let status = simulation.create(wrong).unwrap_err();
    assert_eq!(status.code, 400);
    assert!(
        status.message.contains("spec.replicas"),
        "{}",
        status.message
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_update_needs_the_version_that_it_was_made_from() {
    let simulation = Simulation::new(1);
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let mut one = sets
        .create(&PostParams::default(), &typed(replica_set("shop", 3)))
        .await
        .unwrap();
    let mut other = one.clone();

    one.spec.as_mut().unwrap().replicas = Some(4);
    let updated = sets
        .replace("shop", &PostParams::default(), &one)
        .await
        .unwrap();
    assert_eq!(updated.metadata.generation, Some(2));

    other.spec.as_mut().unwrap().replicas = Some(5);
    let status = refused(sets.replace("shop", &PostParams::default(), &other).await);
    assert!(status.is_conflict());
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on replicasets.apps \"shop\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn generation_counts_changes_of_the_spec_alone_and_nothing_writes_nothing() {
    let simulation = Simulation::new(1);
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let mut set = sets
        .create(&PostParams::default(), &typed(replica_set("shop", 3)))
        .await
        .unwrap();

    set.metadata.annotations = Some([("note".to_owned(), "x".to_owned())].into());
    let annotated = sets
        .replace("shop", &PostParams::default(), &set)
        .await
        .unwrap();
    assert_eq!(annotated.metadata.generation, Some(1));

    let mut status = annotated.clone();
    status.status = Some(typed(json!({"replicas": 2})));
    status.spec.as_mut().unwrap().replicas = Some(77);
    let written = sets
        .replace_status("shop", &PostParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(written.metadata.generation, Some(1));
    assert_eq!(written.spec.as_ref().unwrap().replicas, Some(3));
    assert_eq!(written.status.as_ref().unwrap().replicas, 2);

    let version = simulation.checkpoint();
    let same = sets
        .replace("shop", &PostParams::default(), &written)
        .await
        .unwrap();
    assert_eq!(
        same.metadata.resource_version,
        written.metadata.resource_version
    );
    assert_eq!(simulation.checkpoint(), version);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn generated_names_end_in_five_characters_of_the_seed() {
    let name_with = async |seed| {
        let simulation = Simulation::new(seed);
        let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
        let wanted = ConfigMap {
            metadata: ObjectMeta {
                generate_name: Some("settings-".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        let created = maps.create(&PostParams::default(), &wanted).await.unwrap();
        created.metadata.name.unwrap()
    };
    let name = name_with(7).await;
    assert!(name.starts_with("settings-") && name.len() == 14, "{name}");
    assert_eq!(name, name_with(7).await);
    assert_ne!(name, name_with(8).await);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn pages_of_one_list_agree_even_if_objects_change_in_between() {
    let simulation = Simulation::new(1);
    for name in ["a", "b", "c", "d", "e"] {
        simulation.create(config_map(name, json!({}))).unwrap();
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    let token = first.metadata.continue_.clone().unwrap();

    let map = gvk("", "v1", "ConfigMap");
    simulation.delete(&map, "default", "c").unwrap();
    simulation.create(config_map("cc", json!({}))).unwrap();
    simulation
        .patch_merge(&map, "default", "d", json!({"data": {"colour": "red"}}))
        .unwrap();

    let second = maps
        .list(&ListParams::default().continue_token(&token))
        .await
        .unwrap();
    let names: Vec<String> = second
        .items
        .iter()
        .map(|map| map.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(names, ["c", "d", "e"]);
    assert_eq!(second.items[1].data.as_ref().unwrap()["colour"], "teal");
    assert_eq!(
        second.metadata.resource_version,
        first.metadata.resource_version
    );

    simulation.faults().forget_history(&map);
    let status = refused(
        maps.list(&ListParams::default().continue_token(&token))
            .await,
    );
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn selectors_pick_by_labels_and_fields() {
    let simulation = Simulation::new(1);
    simulation
        .create(config_map("a", json!({"tier": "web", "track": "canary"})))
        .unwrap();
    simulation
        .create(config_map("b", json!({"tier": "web", "track": "stable"})))
        .unwrap();
    simulation
        .create(config_map("c", json!({"tier": "store"})))
        .unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());

    let cases = [
        ("tier=web", "", vec!["a", "b"]),
        ("tier==web,track!=canary", "", vec!["b"]),
        ("track", "", vec!["a", "b"]),
        ("!track", "", vec!["c"]),
        ("track in (canary, stable)", "", vec!["a", "b"]),
        (
            "track notin (canary),tier in (web,store)",
            "",
            vec!["b", "c"],
        ),
        ("", "metadata.name=b", vec!["b"]),
        (
            "tier=web",
            "metadata.name!=b,metadata.namespace=default",
            vec!["a"],
        ),
    ];
    for (labels, fields, expected) in cases {
        let params = ListParams::default().labels(labels).fields(fields);
        let found = maps.list(&params).await.unwrap();
        let names: Vec<String> = found
            .items
            .iter()
            .map(|map| map.metadata.name.clone().unwrap())
            .collect();
        assert_eq!(names, expected, "{labels} {fields}");
    }
    for (labels, fields) in [
        ("tier=(", ""),
        ("a b", ""),
        ("", "data.colour=teal"),
        ("", "metadata.name"),
    ] {
        let params = ListParams::default().labels(labels).fields(fields);
        assert_eq!(
            refused(maps.list(&params).await).code,
            400,
            "{labels} {fields}"
        );
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_dry_run_answers_like_the_real_thing_and_writes_nothing() {
    let simulation = Simulation::new(1);
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let version = simulation.checkpoint();
    let created = sets
        .create(&dry, &typed(replica_set("shop", 3)))
        .await
        .unwrap();
    let template = created.spec.unwrap().template.unwrap().spec.unwrap();
    assert_eq!(template.dns_policy.as_deref(), Some("ClusterFirst"));
    assert_eq!(created.metadata.resource_version, None);
    assert_eq!(sets.get_opt("shop").await.unwrap(), None);

    let mut invalid = replica_set("shop", 3);
    invalid["spec"]["template"]["spec"]["containers"] = json!([]);
    let status = refused(sets.create(&dry, &typed(invalid)).await);
    assert!(
        status
            .message
            .contains("spec.template.spec.containers: Required value"),
        "{status}"
    );

    assert_eq!(simulation.checkpoint(), version);
    simulation.create(replica_set("shop", 3)).unwrap();
    let version = simulation.checkpoint();
    let patch = kube::api::Patch::Merge(json!({"spec": {"replicas": 8}}));
    let params = kube::api::PatchParams {
        dry_run: true,
        ..Default::default()
    };
    let patched = sets.patch("shop", &params, &patch).await.unwrap();
    assert_eq!(patched.spec.unwrap().replicas, Some(8));
    sets.delete("shop", &DeleteParams::default().dry_run())
        .await
        .unwrap();
    assert_eq!(
        sets.get("shop").await.unwrap().spec.unwrap().replicas,
        Some(3)
    );
    assert_eq!(simulation.checkpoint(), version);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn deletion_respects_preconditions_and_finalizers() {
    let simulation = Simulation::new(1);
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let created = simulation.create(held).unwrap();

    let wrong = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: Some("somebody-else".to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    assert!(refused(maps.delete("held", &wrong).await).is_conflict());

    let right = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: created["metadata"]["uid"].as_str().map(str::to_owned),
            resource_version: created["metadata"]["resourceVersion"]
                .as_str()
                .map(str::to_owned),
        }),
        ..DeleteParams::default()
    };
    let terminating = maps.delete("held", &right).await.unwrap().left().unwrap();
    assert!(terminating.metadata.deletion_timestamp.is_some());

    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let patch = kube::api::Patch::Merge(more);
    let status = refused(maps.patch("held", &Default::default(), &patch).await);
    assert_eq!(status.code, 422);

    let patch = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &Default::default(), &patch)
        .await
        .unwrap();
    assert_eq!(maps.get_opt("held").await.unwrap(), None);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_collection_is_deleted_by_selector() {
    let simulation = Simulation::new(1);
    for (name, tier) in [("a", "web"), ("b", "web"), ("c", "store")] {
        simulation
            .create(config_map(name, json!({"tier": tier})))
            .unwrap();
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let deleted = maps
        .delete_collection(
            &DeleteParams::default(),
            &ListParams::default().labels("tier=web"),
        )
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(deleted.items.len(), 2);
    let left = maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn kinds_that_are_not_served_are_not_found() {
    let simulation = Simulation::new(1);
    let error = widgets(&simulation.client())
        .list(&ListParams::default())
        .await
        .unwrap_err();
    let kube::Error::Api(status) = error else {
        panic!("{error}");
    };
    assert_eq!(status.code, 404);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn the_scale_subresource_reads_and_writes_replicas() {
    let simulation = Simulation::new(1);
    simulation.create(replica_set("shop", 3)).unwrap();
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let scale = sets.get_scale("shop").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=shop"));

    let patch = kube::api::Patch::Merge(json!({"spec": {"replicas": 5}}));
    let scale = sets
        .patch_scale("shop", &Default::default(), &patch)
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(5));
    let set = sets.get("shop").await.unwrap();
    assert_eq!(
        (set.spec.unwrap().replicas, set.metadata.generation),
        (Some(5), Some(2))
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn metadata_alone_can_be_asked_for() {
    let simulation = Simulation::new(1);
    simulation
        .create(config_map("a", json!({"tier": "web"})))
        .unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let listed = maps.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(
        listed.items[0].metadata.labels.as_ref().unwrap()["tier"],
        "web"
    );
    assert_eq!(
        maps.get_metadata("a")
            .await
            .unwrap()
            .metadata
            .name
            .as_deref(),
        Some("a")
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_object_without_a_name_is_refused() {
    let simulation = Simulation::new(1);
    let status = simulation
        .create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}))
        .unwrap_err();
    assert_eq!(status.code, 422);
    let status = simulation
        .create(config_map(
            "Not_A_Name",
            json!({"": "x", "ok": "no spaces"}),
        ))
        .unwrap_err();
    let fields: Vec<&str> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| cause.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["metadata.name", "metadata.labels", "metadata.labels"]
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn counts_in_a_status_cannot_exceed_the_whole() {
    let simulation = Simulation::new(1);
    simulation.create(replica_set("shop", 3)).unwrap();
    let patch = json!({"status": {"replicas": 2, "readyReplicas": 3}});
    let status = simulation
        .patch_status(&gvk("apps", "v1", "ReplicaSet"), "default", "shop", patch)
        .unwrap_err();
    assert_eq!(
        status.message,
        "ReplicaSet.apps \"shop\" is invalid: status.readyReplicas: Invalid value: 3: \
         cannot be greater than status.replicas"
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_lease_can_be_created_by_replacing_it() {
    use k8s_openapi::api::coordination::v1::Lease;
    let simulation = Simulation::new(1);
    let leases: Api<Lease> = Api::default_namespaced(simulation.client());
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lock"},
        "spec": {"holderIdentity": "me"},
    });
    leases
        .replace("lock", &PostParams::default(), &typed(lease))
        .await
        .unwrap();
    let quiet = simulation.checkpoint();
    simulation
        .settle(std::time::Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(simulation.checkpoint(), quiet);
}

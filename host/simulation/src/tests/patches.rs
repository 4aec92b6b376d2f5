use super::*;
use kube::api::{Patch, PatchParams};

async fn patched<P: serde::Serialize + std::fmt::Debug>(patch: Patch<P>) -> kube::Result<Value> {
    let simulation = Simulation::new(1);
    simulation.create(replica_set("shop", 3)).unwrap();
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let set = sets.patch("shop", &PatchParams::default(), &patch).await?;
    Ok(serde_json::to_value(set).unwrap())
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_merge_patch_removes_what_is_null_and_replaces_lists() {
    let patch = json!({
        "metadata": {"labels": {"app": null, "track": "canary"}},
        "spec": {"template": {"spec": {"containers": [{"name": "only", "image": "example.com/other:1"}]}}},
    });
    let set = patched(Patch::Merge(patch)).await.unwrap();
    assert_eq!(set["metadata"]["labels"], json!({"track": "canary"}));
    let containers = set["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    assert_eq!(
        (containers.len(), &containers[0]["name"]),
        (1, &json!("only"))
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_json_patch_that_tests_wrong_is_refused() {
    let patch = |value: Value| -> json_patch::Patch { typed(value) };
    let good = patch(json!([
        {"op": "test", "path": "/spec/replicas", "value": 3},
        {"op": "replace", "path": "/spec/replicas", "value": 4},
    ]));
    assert_eq!(
        patched(Patch::Json::<()>(good)).await.unwrap()["spec"]["replicas"],
        4
    );
    let bad = patch(json!([
        {"op": "replace", "path": "/spec/replicas", "value": 4},
        {"op": "test", "path": "/spec/replicas", "value": 9},
    ]));
    let status = refused(patched(Patch::Json::<()>(bad)).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_strategic_patch_merges_lists_by_their_keys() {
    let patch = json!({
        "metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "own", "uid": "u-1"},
        ]},
        "spec": {"template": {"spec": {
            "containers": [
                {"name": "side", "image": "example.com/side:2"},
                {"name": "main", "env": [{"name": "MODE", "value": "fast"}]},
            ],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        }}},
    });
    let set = patched(Patch::Strategic(patch)).await.unwrap();
    let containers = set["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    let named: Vec<(&str, &str)> = containers
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["image"].as_str().unwrap(),
            )
        })
        .collect();
    // In the patch's order, and the container that was there keeps what the patch does not name.
    assert_eq!(
        named,
        [
            ("side", "example.com/side:2"),
            ("main", "example.com/shop:7")
        ]
    );
    assert_eq!(
        containers[1]["env"],
        json!([{"name": "MODE", "value": "fast"}])
    );
}

#[test]
fn strategic_directives_delete_replace_and_order() {
    use crate::patch::strategic::merge;
    let cases = [
        (
            json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}}),
            json!({"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}),
            json!({"spec": {"ports": [{"port": 81, "name": "b"}]}}),
        ),
        (
            json!({"spec": {"ports": [{"port": 80}], "selector": {"app": "x"}}}),
            json!({"spec": {"selector": {"$patch": "replace", "tier": "y"}, "ports": [{"$patch": "replace"}, {"port": 9}]}}),
            json!({"spec": {"ports": [{"port": 9}], "selector": {"tier": "y"}}}),
        ),
        (
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
            json!({"metadata": {"finalizers": ["c", "b"]}}),
        ),
        (
            json!({"env": [{"name": "one"}, {"name": "two"}]}),
            json!({"$setElementOrder/env": [{"name": "two"}, {"name": "one"}], "env": [{"name": "one", "value": "1"}]}),
            json!({"env": [{"name": "two"}, {"name": "one", "value": "1"}]}),
        ),
        (
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        ),
        (
            json!({"spec": {"tolerations": [{"key": "a"}, {"key": "b"}], "hostNetwork": true}}),
            json!({"spec": {"tolerations": [{"key": "c"}], "hostNetwork": null}}),
            json!({"spec": {"tolerations": [{"key": "c"}]}}),
        ),
    ];
    for (mut object, patch, expected) in cases {
        merge(&mut object, &patch).unwrap();
        assert_eq!(object, expected, "{patch}");
    }
    let mut object = json!({"spec": {"ports": []}});
    assert_eq!(
        merge(
            &mut object,
            &json!({"spec": {"ports": [{"name": "keyless"}]}})
        )
        .unwrap_err()
        .code,
        500
    );
    assert_eq!(
        merge(&mut object, &json!({"spec": {"$patch": "explode"}}))
            .unwrap_err()
            .code,
        400
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_version_in_a_patch_is_a_precondition_and_identity_cannot_be_patched() {
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 4}});
    assert!(refused(patched(Patch::Merge(stale)).await).is_conflict());
    let uid = json!({"metadata": {"uid": "another"}, "spec": {"replicas": 4}});
    assert_eq!(refused(patched(Patch::Merge(uid)).await).code, 422);
    let name = json!({"metadata": {"name": "another"}});
    assert_eq!(refused(patched(Patch::Merge(name)).await).code, 400);
    let selector = json!({"spec": {"selector": {"matchLabels": {"more": "labels"}}}});
    assert_eq!(refused(patched(Patch::Merge(selector)).await).code, 422);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_body_of_an_unknown_form_is_415() {
    let apply = Patch::Apply(
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "shop"}}),
    );
    let simulation = Simulation::new(1);
    simulation.create(replica_set("shop", 3)).unwrap();
    let sets: Api<ReplicaSet> = Api::default_namespaced(simulation.client());
    let status = refused(sets.patch("shop", &PatchParams::apply("me"), &apply).await);
    assert_eq!(
        (status.code, status.reason.as_str()),
        (415, "UnsupportedMediaType")
    );
}

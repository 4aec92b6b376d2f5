//! The three kinds of patches, and what none of them may do.

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use super::ground::{APPLY, Ground, JSON, JSON_PATCH, MERGE, STRATEGIC, entries, text};
use super::objects::{map, set};

const MAPS: &str = "v1/configmaps";
const SETS: &str = "apps/v1/replicasets";

pub async fn a_merge_patch_removes_what_is_null(on: &Ground) -> Result<()> {
    let mut wanted = map("a");
    wanted["metadata"]["annotations"] = json!({"one": "1", "two": "2"});
    wanted["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    on.create(MAPS, &wanted).await?;
    let patch = json!({"data": {"colour": null, "size": "7"}, "metadata": {"annotations": {"one": null}, "finalizers": ["example.com/b"]}});
    let patched = on.merge(MAPS, "a", &patch).await?;
    on.eq("a field", patched["data"].clone(), json!({"size": "7"}));
    on.eq(
        "an entry of a map",
        patched["metadata"]["annotations"].clone(),
        json!({"two": "2"}),
    );
    on.eq(
        "a list is replaced",
        patched["metadata"]["finalizers"].clone(),
        json!(["example.com/b"]),
    );
    let patched = on
        .merge(
            MAPS,
            "a",
            &json!({"data": null, "metadata": {"finalizers": null, "annotations": null}}),
        )
        .await?;
    on.eq("all of a map", patched.get("data"), None);
    on.eq(
        "all annotations",
        patched["metadata"].get("annotations"),
        None,
    );
    on.eq("a whole list", patched["metadata"].get("finalizers"), None);
    Ok(())
}

pub async fn a_version_in_a_patch_is_a_precondition(on: &Ground) -> Result<()> {
    let made = on.create(MAPS, &map("a")).await?;
    let version = text(&made, "/metadata/resourceVersion");
    let patch = |colour: &str| json!({"metadata": {"resourceVersion": version}, "data": {"colour": colour}});
    let path = on.at(MAPS, "a");
    let fits = on.patch(&path, MERGE, &patch("ochre")).await?;
    on.eq("that fits", fits.code, 200);
    let late = on.patch(&path, MERGE, &patch("teal")).await?;
    on.eq("that is old", late.outcome(), "409 Conflict");
    on.says("that is old: the words", late.message(), "the object has been modified; please apply your changes to the latest version and try again");
    let late = on.patch(&path, STRATEGIC, &patch("teal")).await?;
    on.eq("that is old, strategic", late.outcome(), "409 Conflict");
    let uid = json!({"metadata": {"uid": "01234567-0123-0123-0123-0123456789ab"}, "data": {"colour": "teal"}});
    let refused = on.patch(&path, MERGE, &uid).await?;
    on.holds(
        "a uid of another object",
        refused.code == 409 || refused.code == 422,
        refused.outcome(),
    );
    let test = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": "/data/colour", "value": "teal"},
    ]);
    let refused = on.patch(&path, JSON_PATCH, &test).await?;
    on.eq(
        "a test that fails is no conflict",
        refused.outcome(),
        "422 Invalid",
    );
    on.eq(
        "and nothing happened",
        text(&on.object(MAPS, "a").await?, "/data/colour"),
        "ochre",
    );
    Ok(())
}

pub async fn a_json_patch_does_what_it_says_or_nothing(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let path = on.at(MAPS, "a");
    let patch = json!([
        {"op": "add", "path": "/data/size", "value": "7"},
        {"op": "remove", "path": "/data/colour"},
        {"op": "add", "path": "/metadata/annotations", "value": {"example.com/a": "1"}},
        {"op": "copy", "from": "/data/size", "path": "/data/height"},
    ]);
    let patched = on.patch(&path, JSON_PATCH, &patch).await?;
    on.eq(
        "adds, removes, copies",
        patched.at("/data"),
        json!({"size": "7", "height": "7"}),
    );
    let escaped =
        json!([{"op": "replace", "path": "/metadata/annotations/example.com~1a", "value": "2"}]);
    let patched = on.patch(&path, JSON_PATCH, &escaped).await?;
    on.eq(
        "a slash in a name",
        patched.at("/metadata/annotations"),
        json!({"example.com/a": "2"}),
    );
    let missing = json!([{"op": "remove", "path": "/data/nothing"}, {"op": "add", "path": "/data/x", "value": "y"}]);
    let refused = on.patch(&path, JSON_PATCH, &missing).await?;
    on.eq("what is not there", refused.outcome(), "422 Invalid");
    on.eq(
        "what is not there: the words",
        refused.message(),
        "the server rejected our request due to an error in our request",
    );
    let refused = on.patch(&path, JSON_PATCH, &json!({"op": "add"})).await?;
    on.eq("no list", refused.outcome(), "400 BadRequest");
    let refused = on
        .patch(&path, JSON_PATCH, &json!([{"op": "swap", "path": "/data"}]))
        .await?;
    on.eq("no such operation", refused.outcome(), "422 Invalid");
    Ok(())
}

pub async fn a_strategic_patch_merges_lists_by_their_keys(on: &Ground) -> Result<()> {
    let mut wanted = set("a", 0);
    wanted["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "main", "image": "shop:7", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "ports": [{"containerPort": 80}]},
        {"name": "side", "image": "side:1"},
    ]);
    on.create(SETS, &wanted).await?;
    let path = on.at(SETS, "a");
    let names = |set: &Value, pointer: &str| -> Vec<String> {
        entries(set, pointer)
            .iter()
            .map(|one| text(one, "/name").to_owned())
            .collect()
    };
    let containers = "/spec/template/spec/containers";
    let patch =
        |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let patched = on.patch(&path, STRATEGIC, &patch(json!([{"name": "main", "image": "shop:8", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]))).await?;
    on.eq(
        "an entry changes",
        patched.at("/spec/template/spec/containers/0/image"),
        json!("shop:8"),
    );
    on.eq(
        "others stay",
        names(&patched.body, containers),
        ["main", "side"],
    );
    on.eq(
        "inner lists merge, the patch's order first",
        patched.at("/spec/template/spec/containers/0/env"),
        json!([
            {"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"},
        ]),
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &patch(json!([{"name": "new", "image": "new:1"}])),
        )
        .await?;
    on.eq(
        "a new entry",
        names(&patched.body, containers),
        ["new", "main", "side"],
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &patch(json!([{"name": "side", "$patch": "delete"}])),
        )
        .await?;
    on.eq(
        "an entry is deleted",
        names(&patched.body, containers),
        ["new", "main"],
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &json!({"spec": {"template": {"spec": {
                "$setElementOrder/containers": [{"name": "main"}, {"name": "new"}],
                "containers": [{"name": "main", "image": "shop:9"}],
            }}}}),
        )
        .await?;
    on.eq(
        "an order is set",
        names(&patched.body, containers),
        ["main", "new"],
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &json!({"spec": {"template": {"spec": {
                "containers": [{"$patch": "replace"}, {"name": "only", "image": "only:1"}],
            }}}}),
        )
        .await?;
    on.eq(
        "a list is replaced",
        names(&patched.body, containers),
        ["only"],
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &json!({"metadata": {"labels": {"app": null, "x": "y"}}}),
        )
        .await?;
    on.eq(
        "a map merges",
        patched.at("/metadata/labels"),
        json!({"x": "y"}),
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &json!({"metadata": {"labels": {"$patch": "replace", "z": "1"}}}),
        )
        .await?;
    on.eq(
        "a map is replaced",
        patched.at("/metadata/labels"),
        json!({"z": "1"}),
    );
    let refused = on
        .patch(&path, STRATEGIC, &patch(json!([{"image": "x"}])))
        .await?;
    on.eq("an entry without its key", refused.code, 500);
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &json!({"metadata": {"finalizers": ["example.com/a"]}}),
        )
        .await?;
    on.eq(
        "a finalizer",
        patched.at("/metadata/finalizers"),
        json!(["example.com/a"]),
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &json!({"metadata": {"finalizers": ["example.com/b"]}}),
        )
        .await?;
    on.eq(
        "another finalizer",
        patched.at("/metadata/finalizers"),
        json!(["example.com/b", "example.com/a"]),
    );
    let patched = on
        .patch(
            &path,
            STRATEGIC,
            &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}}),
        )
        .await?;
    on.eq(
        "one finalizer less",
        patched.at("/metadata/finalizers"),
        json!(["example.com/b"]),
    );
    on.patch(
        &path,
        STRATEGIC,
        &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/b"]}}),
    )
    .await?
    .success()?;
    Ok(())
}

pub async fn ports_of_a_service_merge_by_number(on: &Ground) -> Result<()> {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {
        "selector": {"app": "a"}, "ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}],
    }});
    on.create("v1/services", &service).await?;
    let patch = json!({"spec": {"ports": [{"port": 443, "targetPort": 8443}]}});
    let patched = on
        .patch(&on.at("v1/services", "a"), STRATEGIC, &patch)
        .await?;
    let ports: Vec<_> = entries(&patched.body, "/spec/ports")
        .iter()
        .map(|port| (text(port, "/name").to_owned(), port["targetPort"].clone()))
        .collect();
    on.eq(
        "the one that is named changes",
        ports,
        [
            ("http".to_owned(), json!(80)),
            ("https".to_owned(), json!(8443)),
        ],
    );
    let patch = json!({"spec": {"selector": {"app": null, "hash": "7"}}});
    let patched = on
        .patch(&on.at("v1/services", "a"), STRATEGIC, &patch)
        .await?;
    on.eq(
        "a selector is re-pointed",
        patched.at("/spec/selector"),
        json!({"hash": "7"}),
    );
    Ok(())
}

pub async fn a_patch_cannot_change_what_an_object_is(on: &Ground) -> Result<()> {
    let made = on.create(MAPS, &map("a")).await?;
    let path = on.at(MAPS, "a");
    let refused = on
        .patch(&path, MERGE, &json!({"metadata": {"name": "b"}}))
        .await?;
    on.eq("its name", refused.outcome(), "400 BadRequest");
    let refused = on.patch(&path, MERGE, &json!({"kind": "Secret"})).await?;
    on.eq("its kind", refused.outcome(), "422 Invalid");
    let patched = on
        .patch(
            &path,
            MERGE,
            &json!({"metadata": {"creationTimestamp": null}}),
        )
        .await?;
    on.eq(
        "its time of creation",
        patched.at("/metadata/creationTimestamp"),
        made["metadata"]["creationTimestamp"].clone(),
    );
    let patched = on
        .patch(&path, MERGE, &json!({"metadata": {"uid": null}}))
        .await?;
    on.eq(
        "its uid",
        patched.at("/metadata/uid"),
        made["metadata"]["uid"].clone(),
    );
    let refused = on
        .patch(&path, MERGE, &json!({"data": {"count": 7}}))
        .await?;
    on.eq("to a wrong type", refused.code, 422);
    let refused = on.patch(&path, JSON, &json!({"data": {}})).await?;
    on.eq(
        "by no kind of patch",
        refused.outcome(),
        "415 UnsupportedMediaType",
    );
    on.eq(
        "by no kind of patch: the words",
        refused.message(),
        "415: Unsupported Media Type",
    );
    let refused = on
        .send_text(
            Method::PATCH,
            &path,
            &[("content-type", MERGE)],
            "{".to_owned(),
        )
        .await?;
    on.eq("by no JSON", refused.outcome(), "400 BadRequest");
    Ok(())
}

pub async fn server_side_apply_creates_and_owns_fields(on: &Ground) -> Result<()> {
    let path = on.at(MAPS, "a");
    let applied = on
        .patch(&format!("{path}?fieldManager=one"), APPLY, &map("a"))
        .await?;
    on.eq("it creates", applied.code, 201);
    let mut other = map("a");
    other["data"]["colour"] = json!("ochre");
    let refused = on
        .patch(&format!("{path}?fieldManager=two"), APPLY, &other)
        .await?;
    on.eq(
        "another manager is refused",
        refused.outcome(),
        "409 Conflict",
    );
    let forced = on
        .patch(
            &format!("{path}?fieldManager=two&force=true"),
            APPLY,
            &other,
        )
        .await?;
    on.eq(
        "unless it insists",
        (forced.code, forced.text("/data/colour")),
        (200, "ochre"),
    );
    Ok(())
}

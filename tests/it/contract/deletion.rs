//! Deletion: what is answered, what waits, and what becomes of the things that the object owned.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::{Ground, entries, short, text};
use super::objects::map;

const MAPS: &str = "v1/configmaps";

pub async fn a_deletion_tells_what_it_did(on: &Ground) -> Result<()> {
    let made = on.create(MAPS, &map("a")).await?;
    let gone = on.delete(&on.at(MAPS, "a"), None).await?;
    on.eq("it answers", gone.code, 200);
    on.eq(
        "with a Status",
        (gone.text("/kind"), gone.text("/status")),
        ("Status", "Success"),
    );
    on.eq(
        "that names the object",
        gone.at("/details"),
        json!({"name": "a", "kind": "configmaps", "uid": text(&made, "/metadata/uid")}),
    );
    on.eq("it is gone", on.get(&on.at(MAPS, "a")).await?.code, 404);
    let service = json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}});
    on.create("v1/services", &service).await?;
    let gone = on.delete(&on.at("v1/services", "a"), None).await?;
    on.eq(
        "a Service is answered with itself",
        (gone.text("/kind"), gone.text("/metadata/name")),
        ("Service", "a"),
    );
    Ok(())
}

pub async fn a_deletion_has_preconditions(on: &Ground) -> Result<()> {
    let made = on.create(MAPS, &map("a")).await?;
    let path = on.at(MAPS, "a");
    let refused = on
        .delete(&path, Some(&json!({"preconditions": {"uid": "another"}})))
        .await?;
    on.eq("another uid", refused.outcome(), "409 Conflict");
    on.says(
        "another uid: the words",
        refused.message(),
        "the UID in the precondition (another) does not match the UID in record (",
    );
    let refused = on
        .delete(
            &path,
            Some(&json!({"preconditions": {"resourceVersion": "1"}})),
        )
        .await?;
    on.eq("an old version", refused.outcome(), "409 Conflict");
    on.says("an old version: the words", refused.message(), "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (");
    let options = json!({"preconditions": {"uid": text(&made, "/metadata/uid"), "resourceVersion": text(&made, "/metadata/resourceVersion")}});
    on.eq(
        "those that fit",
        on.delete(&path, Some(&options)).await?.code,
        200,
    );
    on.create(MAPS, &map("b")).await?;
    let refused = on
        .delete(
            &on.at(MAPS, "b"),
            Some(&json!({"propagationPolicy": "Somehow"})),
        )
        .await?;
    on.eq("no such policy", refused.outcome(), "422 Invalid");
    Ok(())
}

pub async fn finalizers_hold_an_object(on: &Ground) -> Result<()> {
    let mut held = map("a");
    held["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    let made = on.create(MAPS, &held).await?;
    let path = on.at(MAPS, "a");
    let marked = on.delete(&path, None).await?;
    on.eq(
        "it is answered with the object",
        (marked.code, marked.text("/kind")),
        (200, "ConfigMap"),
    );
    on.holds(
        "marked",
        marked.at("/metadata/deletionTimestamp").is_string(),
        &marked.body,
    );
    on.eq(
        "without grace",
        marked.at("/metadata/deletionGracePeriodSeconds"),
        json!(0),
    );
    on.holds(
        "at a new version",
        marked.version() != text(&made, "/metadata/resourceVersion"),
        marked.version(),
    );
    let again = on.delete(&path, None).await?;
    on.eq(
        "a second deletion changes nothing",
        again.body,
        marked.body.clone(),
    );
    let patched = on.merge(MAPS, "a", &json!({"data": {"x": "1"}})).await?;
    on.eq("it can be changed", text(&patched, "/data/x"), "1");
    let more =
        json!({"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}});
    let refused = on.patch(&path, super::ground::MERGE, &more).await?;
    on.eq("no new finalizers", refused.outcome(), "422 Invalid");
    on.says("no new finalizers: the words", refused.message(), "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/c\"}");
    let revived = on
        .merge(MAPS, "a", &json!({"metadata": {"deletionTimestamp": null}}))
        .await?;
    on.holds(
        "it cannot be revived",
        revived["metadata"]["deletionTimestamp"].is_string(),
        &revived,
    );
    on.merge(
        MAPS,
        "a",
        &json!({"metadata": {"finalizers": ["example.com/b"]}}),
    )
    .await?;
    on.eq("one holds it still", on.get(&path).await?.code, 200);
    let last = on
        .patch(
            &path,
            super::ground::MERGE,
            &json!({"metadata": {"finalizers": null}}),
        )
        .await?;
    on.eq(
        "the last one lets it go",
        (last.code, on.get(&path).await?.code),
        (200, 404),
    );
    Ok(())
}

pub async fn a_collection_is_deleted_by_selector(on: &Ground) -> Result<()> {
    for (name, track) in [("a", "stable"), ("b", "canary"), ("c", "stable")] {
        let mut one = map(name);
        one["metadata"]["labels"] = json!({"track": track});
        on.create(MAPS, &one).await?;
    }
    let dry = on
        .delete(
            &format!("{}?labelSelector=track%3Dstable&dryRun=All", on.path(MAPS)),
            None,
        )
        .await?;
    on.eq("in a dry run", dry.code, 200);
    on.eq(
        "nothing goes",
        on.get(&on.path(MAPS)).await?.names().len(),
        3,
    );
    let gone = on
        .delete(
            &format!("{}?labelSelector=track%3Dstable", on.path(MAPS)),
            None,
        )
        .await?;
    on.eq(
        "it answers with what went",
        (gone.text("/kind"), gone.names()),
        ("ConfigMapList", vec!["a".to_owned(), "c".to_owned()]),
    );
    on.eq(
        "the rest stays",
        on.get(&on.path(MAPS)).await?.names(),
        ["b"],
    );
    Ok(())
}

fn owned(name: &str, owner: &Value, blocks: bool) -> Value {
    let mut one = map(name);
    one["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap",
        "name": text(owner, "/metadata/name"), "uid": text(owner, "/metadata/uid"),
        "controller": true, "blockOwnerDeletion": blocks,
    }]);
    one
}

pub async fn in_the_background_the_owner_goes_first(on: &Ground) -> Result<()> {
    let owner = on.create(MAPS, &map("owner")).await?;
    let child = on.create(MAPS, &owned("child", &owner, true)).await?;
    on.create(MAPS, &owned("grandchild", &child, true)).await?;
    let mut watch = on.follow(MAPS, "").await?;
    let gone = on
        .delete(
            &on.at(MAPS, "owner"),
            Some(&json!({"propagationPolicy": "Background"})),
        )
        .await?;
    on.eq("it is answered", gone.text("/status"), "Success");
    on.eq(
        "the owner is gone at once",
        on.get(&on.at(MAPS, "owner")).await?.code,
        404,
    );
    on.eq(
        "and all that it owned after it",
        short(&watch.take(3).await?),
        ["DELETED owner", "DELETED child", "DELETED grandchild"],
    );
    Ok(())
}

pub async fn in_the_foreground_the_owner_waits(on: &Ground) -> Result<()> {
    let owner = on.create(MAPS, &map("owner")).await?;
    let mut child = owned("child", &owner, true);
    child["metadata"]["finalizers"] = json!(["example.com/held"]);
    on.create(MAPS, &child).await?;
    on.create(MAPS, &owned("free", &owner, false)).await?;
    let marked = on
        .delete(
            &on.at(MAPS, "owner"),
            Some(&json!({"propagationPolicy": "Foreground"})),
        )
        .await?;
    on.eq(
        "it is answered with the object",
        marked.text("/kind"),
        "ConfigMap",
    );
    on.eq(
        "that waits",
        marked.at("/metadata/finalizers"),
        json!(["foregroundDeletion"]),
    );
    on.holds(
        "marked",
        marked.at("/metadata/deletionTimestamp").is_string(),
        &marked.body,
    );
    on.becomes(MAPS, "child", "marked for deletion", |child| {
        child["metadata"]["deletionTimestamp"].is_string()
    })
    .await?;
    on.is_gone(MAPS, "free").await?;
    on.pause(Duration::from_millis(500)).await;
    on.eq(
        "as long as one is left that blocks it",
        on.get(&on.at(MAPS, "owner")).await?.code,
        200,
    );
    let mut watch = on.follow(MAPS, "").await?;
    on.merge(MAPS, "child", &json!({"metadata": {"finalizers": null}}))
        .await?;
    on.eq(
        "then it goes",
        short(&watch.take(2).await?),
        ["DELETED child", "DELETED owner"],
    );
    Ok(())
}

pub async fn orphans_stay_without_their_owner(on: &Ground) -> Result<()> {
    let owner = on.create(MAPS, &map("owner")).await?;
    on.create(MAPS, &owned("child", &owner, true)).await?;
    let marked = on
        .delete(
            &on.at(MAPS, "owner"),
            Some(&json!({"propagationPolicy": "Orphan"})),
        )
        .await?;
    on.eq(
        "the owner waits until they are free",
        marked.at("/metadata/finalizers"),
        json!(["orphan"]),
    );
    on.is_gone(MAPS, "owner").await?;
    let child = on.object(MAPS, "child").await?;
    on.eq(
        "nobody owns the child",
        child["metadata"].get("ownerReferences"),
        None,
    );
    on.pause(Duration::from_millis(500)).await;
    on.eq("it stays", on.get(&on.at(MAPS, "child")).await?.code, 200);
    Ok(())
}

pub async fn garbage_is_collected_when_no_owner_is_left(on: &Ground) -> Result<()> {
    let owner = on.create(MAPS, &map("owner")).await?;
    let ghost =
        json!({"metadata": {"name": "ghost", "uid": "01234567-0123-0123-0123-0123456789ab"}});
    on.create(MAPS, &owned("orphan", &ghost, false)).await?;
    let mut both = owned("both", &owner, false);
    let gone = owned("x", &ghost, false)["metadata"]["ownerReferences"][0].clone();
    let mut references = entries(&both, "/metadata/ownerReferences").to_vec();
    references.push(gone);
    references[1]["controller"] = json!(false);
    both["metadata"]["ownerReferences"] = json!(references);
    on.create(MAPS, &both).await?;
    on.is_gone(MAPS, "orphan").await?;
    let both = on
        .becomes(MAPS, "both", "freed from the owner that is gone", |both| {
            entries(both, "/metadata/ownerReferences").len() == 1
        })
        .await?;
    on.eq(
        "the living owner stays",
        text(&both, "/metadata/ownerReferences/0/name"),
        "owner",
    );
    on.eq(
        "so does the object",
        on.get(&on.at(MAPS, "both")).await?.code,
        200,
    );
    Ok(())
}

pub async fn an_object_has_one_controller(on: &Ground) -> Result<()> {
    let one = on.create(MAPS, &map("one")).await?;
    let other = on.create(MAPS, &map("other")).await?;
    let mut child = owned("child", &one, true);
    let mut references = entries(&child, "/metadata/ownerReferences").to_vec();
    references.extend(entries(&owned("x", &other, true), "/metadata/ownerReferences").to_vec());
    child["metadata"]["ownerReferences"] = json!(references);
    let refused = on.post(&on.path(MAPS), &child).await?;
    on.eq("two are refused", refused.outcome(), "422 Invalid");
    on.says("two are refused: the words", refused.message(), "Only one reference can have Controller set to true. Found \"true\" in references for ConfigMap/one and ConfigMap/other");
    Ok(())
}

pub async fn a_namespace_is_emptied_before_it_goes(on: &Ground) -> Result<()> {
    let name = format!("{}-more", on.namespace);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let made = on.post("/api/v1/namespaces", &namespace).await?;
    on.eq("created", made.code, 201);
    on.eq(
        "with its name as a label",
        made.at("/metadata/labels"),
        json!({"kubernetes.io/metadata.name": name}),
    );
    on.eq("held", made.at("/spec/finalizers"), json!(["kubernetes"]));
    on.eq("active", made.text("/status/phase"), "Active");
    let inside = format!("/api/v1/namespaces/{name}");
    let mut held = map("held");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    on.post(&format!("{inside}/configmaps"), &held)
        .await?
        .success()?;
    on.post(&format!("{inside}/configmaps"), &map("free"))
        .await?
        .success()?;
    let marked = on.delete(&inside, None).await?;
    on.eq(
        "it is answered with itself",
        (marked.text("/kind"), marked.text("/status/phase")),
        ("Namespace", "Terminating"),
    );
    let refused = on
        .post(&format!("{inside}/configmaps"), &map("late"))
        .await?;
    on.eq("nothing new", refused.outcome(), "403 Forbidden");
    on.says("nothing new: the words", refused.message(), &format!("configmaps \"late\" is forbidden: unable to create new content in namespace {name} because it is being terminated"));
    on.eq(
        "nothing new: the cause",
        refused.at("/details/causes/0/reason"),
        json!("NamespaceTerminating"),
    );
    on.until("the end of what is free", async || {
        Ok((on.get(&format!("{inside}/configmaps/free")).await?.code == 404).then_some(()))
    })
    .await?;
    on.eq(
        "what is held holds the namespace",
        on.get(&inside).await?.code,
        200,
    );
    let release = json!({"metadata": {"finalizers": null}});
    on.patch(
        &format!("{inside}/configmaps/held"),
        super::ground::MERGE,
        &release,
    )
    .await?
    .success()?;
    on.until("the end of the namespace", async || {
        Ok((on.get(&inside).await?.code == 404).then_some(()))
    })
    .await?;
    let left = on.get(&format!("{inside}/configmaps")).await?;
    on.eq(
        "then it goes, and leaves nothing",
        (left.code, left.names()),
        (200, Vec::<String>::new()),
    );
    Ok(())
}

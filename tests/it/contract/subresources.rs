//! Status and scale: which part of an object a write reaches.

use anyhow::Result;
use serde_json::{Value, json};

use super::custom;
use super::ground::{Ground, MERGE, text};
use super::objects::set;

const SETS: &str = "apps/v1/replicasets";

/// A ReplicaSet that no controller touches, as it is of a kind that nobody runs.
fn stateful(name: &str) -> Value {
    let mut made = set(name, 3);
    made["kind"] = json!("Deployment");
    made["spec"]["paused"] = json!(true);
    made
}

pub async fn status_is_written_through_its_subresource(on: &Ground) -> Result<()> {
    let mut wanted = custom::widget("a", json!({"colour": "teal"}));
    wanted["status"] = json!({"replicas": 7});
    let made = on.create(custom::WIDGETS, &wanted).await?;
    on.eq("none at its creation", made.get("status"), None);
    let patched = on
        .merge(custom::WIDGETS, "a", &json!({"status": {"replicas": 7}}))
        .await?;
    on.eq("none through the object", patched.get("status"), None);
    let path = format!("{}/status", on.at(custom::WIDGETS, "a"));
    let patch = json!({"status": {"replicas": 7}, "spec": {"colour": "ochre"}, "metadata": {"labels": {"x": "y"}, "annotations": {"x": "y"}, "finalizers": ["example.com/x"]}});
    let patched = on.patch(&path, MERGE, &patch).await?;
    on.eq(
        "it is written",
        patched.at("/status"),
        json!({"replicas": 7}),
    );
    on.eq(
        "and nothing else: the spec",
        patched.text("/spec/colour"),
        "teal",
    );
    on.eq("labels", patched.at("/metadata/labels"), Value::Null);
    on.eq(
        "annotations",
        patched.at("/metadata/annotations"),
        Value::Null,
    );
    on.eq(
        "finalizers",
        patched.at("/metadata/finalizers"),
        Value::Null,
    );
    on.eq(
        "the generation",
        patched.at("/metadata/generation"),
        json!(1),
    );
    let patched = on
        .merge(
            custom::WIDGETS,
            "a",
            &json!({"spec": {"colour": "ochre"}, "status": null}),
        )
        .await?;
    on.eq(
        "it survives a change of the rest",
        patched["status"].clone(),
        json!({"replicas": 7}),
    );
    on.eq(
        "which raises the generation",
        patched["metadata"]["generation"].clone(),
        json!(2),
    );
    let read = on.get(&path).await?;
    on.eq("it is read as the whole object", read.body, patched.clone());
    let mut stale = patched;
    stale["metadata"]["resourceVersion"] = json!("1");
    let refused = on.put(&path, &stale).await?;
    on.eq("an old version", refused.outcome(), "409 Conflict");
    let cleared = on.patch(&path, MERGE, &json!({"status": null})).await?;
    on.eq("it can be cleared", cleared.at("/status"), Value::Null);
    Ok(())
}

pub async fn a_built_in_status_takes_labels_along(on: &Ground) -> Result<()> {
    on.create(SETS, &set("a", 0)).await?;
    on.becomes(SETS, "a", "observed", |set| {
        set["status"]["observedGeneration"] == 1
    })
    .await?;
    let path = format!("{}/status", on.at(SETS, "a"));
    let patch = json!({
        "metadata": {"annotations": {"note": "x"}},
        "spec": {"minReadySeconds": 9},
        "status": {"conditions": [{"type": "example.com/Judged", "status": "True"}]},
    });
    let patched = on.patch(&path, MERGE, &patch).await?;
    on.eq(
        "a condition",
        patched.at("/status/conditions/0/type"),
        json!("example.com/Judged"),
    );
    on.eq(
        "not the spec",
        patched.at("/spec/minReadySeconds"),
        Value::Null,
    );
    on.eq(
        "an annotation, as of all built-in kinds",
        patched.at("/metadata/annotations"),
        json!({"note": "x"}),
    );
    let refused = on
        .patch(&path, MERGE, &json!({"status": {"readyReplicas": 3}}))
        .await?;
    on.eq("counts that cannot be", refused.outcome(), "422 Invalid");
    on.says(
        "counts that cannot be: the words",
        refused.message(),
        "status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas",
    );
    let patched = on
        .merge(SETS, "a", &json!({"status": {"replicas": 5}}))
        .await?;
    on.eq(
        "not through the object",
        patched["status"]["replicas"].clone(),
        json!(0),
    );
    let made = on.create("apps/v1/deployments", &stateful("b")).await?;
    on.eq(
        "a paused Deployment's status at first",
        made["status"].clone(),
        json!({}),
    );
    Ok(())
}

pub async fn the_scale_of_a_set_is_its_replicas(on: &Ground) -> Result<()> {
    let made = on.create(SETS, &set("a", 0)).await?;
    on.becomes(SETS, "a", "observed", |set| {
        set["status"]["observedGeneration"] == 1
    })
    .await?;
    let path = format!("{}/scale", on.at(SETS, "a"));
    let scale = on.get(&path).await?.success()?;
    on.eq(
        "a Scale",
        (
            scale.text("/apiVersion"),
            scale.text("/kind"),
            scale.text("/metadata/name"),
        ),
        ("autoscaling/v1", "Scale", "a"),
    );
    on.eq(
        "of that object",
        scale.text("/metadata/uid"),
        text(&made, "/metadata/uid"),
    );
    on.eq("zero is left out", scale.at("/spec"), json!({}));
    on.eq(
        "with its selector",
        scale.at("/status"),
        json!({"replicas": 0, "selector": "app=a"}),
    );
    let mut wanted = scale.body.clone();
    wanted["spec"]["replicas"] = json!(2);
    let scaled = on.put(&path, &wanted).await?;
    on.eq(
        "scaled",
        (scaled.code, scaled.at("/spec/replicas")),
        (200, json!(2)),
    );
    let read = on.object(SETS, "a").await?;
    on.eq(
        "so is the object",
        (
            read["spec"]["replicas"].clone(),
            read["metadata"]["generation"].clone(),
        ),
        (json!(2), json!(2)),
    );
    let late = on.put(&path, &wanted).await?;
    on.eq("at an old version", late.outcome(), "409 Conflict");
    let scaled = on
        .patch(&path, MERGE, &json!({"spec": {"replicas": 1}}))
        .await?;
    on.eq(
        "by a patch",
        (scaled.code, scaled.at("/spec/replicas")),
        (200, json!(1)),
    );
    wanted["spec"]["replicas"] = json!(-1);
    if let Some(metadata) = wanted["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let refused = on.put(&path, &wanted).await?;
    on.eq("to less than nothing", refused.outcome(), "422 Invalid");
    on.says(
        "to less than nothing: the words",
        refused.message(),
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    );
    let refused = on
        .put(
            &path,
            &json!({"metadata": {"name": "a"}, "spec": {"replicas": 3}}),
        )
        .await?;
    on.eq(
        "without a version",
        (refused.code, refused.at("/spec/replicas")),
        (200, json!(3)),
    );
    on.eq(
        "of nothing",
        on.get(&format!("{}/scale", on.at(SETS, "nobody")))
            .await?
            .code,
        404,
    );
    on.eq(
        "of a kind without",
        on.get(&format!(
            "{}/scale",
            on.at("v1/configmaps", "kube-root-ca.crt")
        ))
        .await?
        .code,
        404,
    );
    Ok(())
}

pub async fn the_scale_of_a_custom_kind_is_where_its_definition_says(on: &Ground) -> Result<()> {
    on.create(
        custom::WIDGETS,
        &custom::widget("a", json!({"colour": "teal", "replicas": 3})),
    )
    .await?;
    let status = json!({"status": {"replicas": 2, "selector": "app=a"}});
    on.patch(
        &format!("{}/status", on.at(custom::WIDGETS, "a")),
        MERGE,
        &status,
    )
    .await?
    .success()?;
    let path = format!("{}/scale", on.at(custom::WIDGETS, "a"));
    let scale = on.get(&path).await?;
    on.eq(
        "read",
        (scale.at("/spec"), scale.at("/status")),
        (
            json!({"replicas": 3}),
            json!({"replicas": 2, "selector": "app=a"}),
        ),
    );
    let scaled = on
        .patch(&path, MERGE, &json!({"spec": {"replicas": 5}}))
        .await?;
    on.eq("written", scaled.at("/spec/replicas"), json!(5));
    let read = on.object(custom::WIDGETS, "a").await?;
    on.eq(
        "so is the object",
        (
            read["spec"]["replicas"].clone(),
            read["status"]["replicas"].clone(),
            read["metadata"]["generation"].clone(),
        ),
        (json!(5), json!(2), json!(2)),
    );
    let refused = on
        .patch(&path, MERGE, &json!({"spec": {"replicas": -5}}))
        .await?;
    on.eq("to less than nothing", refused.outcome(), "422 Invalid");
    let dry = on
        .patch(
            &format!("{path}?dryRun=All"),
            MERGE,
            &json!({"spec": {"replicas": 7}}),
        )
        .await?;
    on.eq(
        "in a dry run",
        (
            dry.at("/spec/replicas"),
            on.object(custom::WIDGETS, "a").await?["spec"]["replicas"].clone(),
        ),
        (json!(7), json!(5)),
    );
    Ok(())
}

//! Controllers of workloads: sets, Deployments, Jobs, and the slices of Services.

use std::cmp::Ordering;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ground::{Answer, Ground, STRATEGIC, Watching, entries, number, text, version_of};
use super::objects::{map, set};
use super::pods::{is_ready, pod};

const MAPS: &str = "v1/configmaps";
const PODS: &str = "v1/pods";
const SETS: &str = "apps/v1/replicasets";
const DEPLOYMENTS: &str = "apps/v1/deployments";
const JOBS: &str = "batch/v1/jobs";

async fn labelled(on: &Ground, resource: &str, label: &str) -> Result<Answer> {
    on.get(&format!(
        "{}?labelSelector={}",
        on.path(resource),
        label.replace('=', "%3D")
    ))
    .await?
    .success()
}

fn owner(object: &Value) -> (&str, &str, bool, bool) {
    let at = |field: &str| object.pointer(&format!("/metadata/ownerReferences/0/{field}"));
    let flag = |field: &str| at(field) == Some(&json!(true));
    (
        text(object, "/metadata/ownerReferences/0/kind"),
        text(object, "/metadata/ownerReferences/0/name"),
        flag("controller"),
        flag("blockOwnerDeletion"),
    )
}

pub async fn a_set_makes_and_counts_its_pods(on: &Ground) -> Result<()> {
    let made = on.create(SETS, &set("a", 2)).await?;
    on.eq(
        "no pods at first",
        made["status"].clone(),
        json!({"replicas": 0}),
    );
    let ready = on
        .becomes(SETS, "a", "ready", |set| {
            number(set, "/status/availableReplicas") == 2
        })
        .await?;
    let mut status = ready["status"].clone();
    if let Some(status) = status.as_object_mut() {
        status.remove("terminatingReplicas");
    }
    on.eq("its status", status, json!({"replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 1}));
    on.eq(
        "how many are on their way out",
        ready["status"]["terminatingReplicas"].clone(),
        json!(0),
    );
    let pods = labelled(on, PODS, "app=a").await?;
    on.eq("two pods", pods.names().len(), 2);
    let one = pods.at("/items/0");
    on.eq("that it owns", owner(&one), ("ReplicaSet", "a", true, true));
    on.holds(
        "with names from its own",
        text(&one, "/metadata/name").starts_with("a-") && text(&one, "/metadata/name").len() == 7,
        text(&one, "/metadata/name"),
    );
    on.eq("generated", text(&one, "/metadata/generateName"), "a-");
    on.eq(
        "with the template's labels",
        one["metadata"]["labels"].clone(),
        json!({"app": "a"}),
    );
    on.merge(SETS, "a", &json!({"spec": {"replicas": 0}}))
        .await?;
    let empty = on
        .becomes(SETS, "a", "empty", |set| {
            set["status"]["replicas"] == 0 && set["status"]["observedGeneration"] == 2
        })
        .await?;
    on.eq(
        "zeroes are left out",
        (
            empty["status"].get("readyReplicas"),
            empty["status"].get("availableReplicas"),
        ),
        (None, None),
    );
    Ok(())
}

pub async fn a_set_that_shrinks_keeps_pods_that_serve(on: &Ground) -> Result<()> {
    let mut wanted = set("a", 3);
    wanted["spec"]["template"]["metadata"]["annotations"] =
        json!({"simulation.sluice.dev/gone-after": "100ms"});
    on.create(SETS, &wanted).await?;
    on.becomes(SETS, "a", "ready", |set| {
        number(set, "/status/readyReplicas") == 3
    })
    .await?;
    let pods = labelled(on, PODS, "app=a").await?.names();
    on.merge(
        PODS,
        &pods[1],
        &json!({"metadata": {"annotations": {"simulation.sluice.dev/never-ready": "true"}}}),
    )
    .await?;
    on.becomes(SETS, "a", "one pod short", |set| {
        number(set, "/status/readyReplicas") == 2
    })
    .await?;
    on.merge(SETS, "a", &json!({"spec": {"replicas": 2}}))
        .await?;
    on.is_gone(PODS, &pods[1]).await?;
    let left = labelled(on, PODS, "app=a").await?.names();
    on.eq(
        "the one that is not ready goes",
        left,
        [pods[0].clone(), pods[2].clone()],
    );
    on.merge(
        PODS,
        &pods[0],
        &json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "10"}}}),
    )
    .await?;
    on.pause(std::time::Duration::from_millis(500)).await;
    on.merge(SETS, "a", &json!({"spec": {"replicas": 1}}))
        .await?;
    on.is_gone(PODS, &pods[2]).await?;
    on.eq(
        "then the cheaper",
        labelled(on, PODS, "app=a").await?.names(),
        [pods[0].clone()],
    );
    Ok(())
}

pub async fn a_set_adopts_and_releases_pods(on: &Ground) -> Result<()> {
    let mut orphan = pod("orphan", json!({}));
    orphan["metadata"]["labels"] = json!({"app": "a"});
    on.create(PODS, &orphan).await?;
    on.create(SETS, &set("a", 2)).await?;
    let adopted = on
        .becomes(PODS, "orphan", "adopted", |pod| {
            !entries(pod, "/metadata/ownerReferences").is_empty()
        })
        .await?;
    on.eq(
        "what matches is adopted",
        owner(&adopted),
        ("ReplicaSet", "a", true, true),
    );
    on.becomes(SETS, "a", "ready", |set| {
        number(set, "/status/readyReplicas") == 2
    })
    .await?;
    on.eq(
        "and counts",
        labelled(on, PODS, "app=a").await?.names().len(),
        2,
    );
    on.merge(
        PODS,
        "orphan",
        &json!({"metadata": {"labels": {"app": "b"}}}),
    )
    .await?;
    let released = on
        .becomes(PODS, "orphan", "released", |pod| {
            entries(pod, "/metadata/ownerReferences").is_empty()
        })
        .await?;
    on.eq(
        "what does not match any more is released",
        released["metadata"].get("deletionTimestamp"),
        None,
    );
    let pods = on
        .until("a pod in its place", async || {
            let pods = labelled(on, PODS, "app=a").await?;
            Ok((pods.names().len() == 2).then_some(pods))
        })
        .await?;
    let owners: Vec<_> = entries(&pods.body, "/items")
        .iter()
        .map(|pod| owner(pod).1)
        .collect();
    on.eq("and replaced by one of the set's", owners, ["a", "a"]);
    Ok(())
}

/// The second that a time is in.
fn second(time: &str) -> Result<i64> {
    let time: Timestamp = time.parse().with_context(|| format!("{time:?}"))?;
    Ok(time.as_second())
}

pub async fn a_set_waits_until_pods_are_available(on: &Ground) -> Result<()> {
    let mut wanted = set("a", 1);
    wanted["spec"]["minReadySeconds"] = json!(2);
    on.create(SETS, &wanted).await?;
    let ready = on
        .becomes(SETS, "a", "ready", |set| {
            number(set, "/status/readyReplicas") == 1
        })
        .await?;
    on.eq(
        "ready is not available",
        number(&ready, "/status/availableReplicas"),
        0,
    );
    on.becomes(SETS, "a", "available", |set| {
        number(set, "/status/availableReplicas") == 1
    })
    .await?;
    // By the clock of the server, in whole seconds: a map that is made now says what it reads.
    let made = on.create(MAPS, &map("now")).await?;
    let now = second(text(&made, "/metadata/creationTimestamp"))?;
    let pod = labelled(on, PODS, "app=a").await?.at("/items/0");
    let readiness = entries(&pod, "/status/conditions")
        .iter()
        .find(|one| text(one, "/type") == "Ready")
        .with_context(|| format!("never ready: {pod}"))?;
    let since = second(text(readiness, "/lastTransitionTime"))?;
    on.holds(
        "but becomes so, two seconds later at the earliest",
        now - since >= 2,
        (since, now),
    );
    Ok(())
}

/// The version at which the one object that is watched went.
async fn end_of(mut watch: Watching) -> Result<u64> {
    let events = watch.up_to(|event| event.kind == "DELETED").await?;
    let last = events.last().context("the watch told nothing")?;
    let version = version_of(&last.object);
    ensure!(version > 0, "no version in {last:?}");
    Ok(version)
}

pub async fn a_set_that_is_deleted_takes_its_pods_along(on: &Ground) -> Result<()> {
    for (name, policy, status, order) in [
        ("a", json!(null), "Success", Ordering::Less),
        ("b", json!("Foreground"), "", Ordering::Greater),
    ] {
        on.create(SETS, &set(name, 1)).await?;
        on.becomes(SETS, name, "ready", |set| {
            number(set, "/status/readyReplicas") == 1
        })
        .await?;
        let selection = format!("labelSelector=app%3D{name}");
        let of_set = on.follow(SETS, &selection).await?;
        let of_pod = on.follow(PODS, &selection).await?;
        let gone = on
            .delete(
                &on.at(SETS, name),
                Some(&json!({"propagationPolicy": policy})),
            )
            .await?;
        on.eq(
            &format!("{name}: it is answered"),
            gone.text("/status"),
            status,
        );
        let (set, pod) = (end_of(of_set).await?, end_of(of_pod).await?);
        on.eq(
            &format!("{name}: its end, by its pod's"),
            set.cmp(&pod),
            order,
        );
    }
    on.create(SETS, &set("c", 1)).await?;
    on.becomes(SETS, "c", "ready", |set| {
        number(set, "/status/readyReplicas") == 1
    })
    .await?;
    let pod = labelled(on, PODS, "app=c")
        .await?
        .names()
        .pop()
        .unwrap_or_default();
    on.delete(
        &on.at(SETS, "c"),
        Some(&json!({"propagationPolicy": "Orphan"})),
    )
    .await?
    .success()?;
    on.is_gone(SETS, "c").await?;
    let left = on.object(PODS, &pod).await?;
    on.eq(
        "c: its pod stays",
        (
            left["metadata"].get("deletionTimestamp"),
            entries(&left, "/metadata/ownerReferences").len(),
        ),
        (None, 0),
    );
    on.create(SETS, &set("c", 1)).await?;
    let adopted = on
        .becomes(PODS, &pod, "adopted", |pod| {
            !entries(pod, "/metadata/ownerReferences").is_empty()
        })
        .await?;
    on.eq("c: and is adopted by the next", owner(&adopted).1, "c");
    Ok(())
}

fn deployment(name: &str, replicas: i64) -> Value {
    let mut made = set(name, replicas);
    made["kind"] = json!("Deployment");
    made
}

fn condition<'a>(object: &'a Value, name: &str) -> (&'a str, &'a str) {
    let found = entries(object, "/status/conditions")
        .iter()
        .find(|one| text(one, "/type") == name);
    found
        .map(|one| (text(one, "/status"), text(one, "/reason")))
        .unwrap_or_default()
}

pub async fn a_deployment_rolls_from_set_to_set(on: &Ground) -> Result<()> {
    on.create(DEPLOYMENTS, &deployment("a", 2)).await?;
    let complete = |deployment: &Value| {
        let count = |field: &str| number(deployment, &format!("/status/{field}"));
        count("observedGeneration") == number(deployment, "/metadata/generation")
            && [
                count("replicas"),
                count("updatedReplicas"),
                count("availableReplicas"),
            ] == [2; 3]
            && condition(deployment, "Progressing").1 == "NewReplicaSetAvailable"
    };
    let done = on.becomes(DEPLOYMENTS, "a", "complete", complete).await?;
    on.eq(
        "it is available",
        condition(&done, "Available"),
        ("True", "MinimumReplicasAvailable"),
    );
    on.eq(
        "and done",
        condition(&done, "Progressing"),
        ("True", "NewReplicaSetAvailable"),
    );
    on.eq(
        "revision 1",
        text(
            &done,
            "/metadata/annotations/deployment.kubernetes.io~1revision",
        ),
        "1",
    );
    let sets = labelled(on, SETS, "app=a").await?;
    let first = sets.at("/items/0");
    let hash = text(&first, "/metadata/labels/pod-template-hash").to_owned();
    on.eq(
        "its set's name",
        text(&first, "/metadata/name"),
        format!("a-{hash}"),
    );
    on.eq(
        "its set selects by the hash",
        first["spec"]["selector"]["matchLabels"].clone(),
        json!({"app": "a", "pod-template-hash": hash}),
    );
    on.eq(
        "its set has its revision",
        text(
            &first,
            "/metadata/annotations/deployment.kubernetes.io~1revision",
        ),
        "1",
    );
    on.eq(
        "its set is owned",
        owner(&first),
        ("Deployment", "a", true, true),
    );
    on.patch(&on.at(DEPLOYMENTS, "a"), STRATEGIC, &json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "shop:8"}]}}}})).await?.success()?;
    let second = on
        .becomes(DEPLOYMENTS, "a", "complete again", |one| {
            complete(one) && number(one, "/metadata/generation") >= 2
        })
        .await?;
    on.eq(
        "revision 2",
        text(
            &second,
            "/metadata/annotations/deployment.kubernetes.io~1revision",
        ),
        "2",
    );
    let sets = labelled(on, SETS, "app=a").await?;
    let mut counts: Vec<i64> = entries(&sets.body, "/items")
        .iter()
        .map(|set| number(set, "/spec/replicas"))
        .collect();
    counts.sort_unstable();
    on.eq("two sets, one empty", counts, [0, 2]);
    on.patch(&on.at(DEPLOYMENTS, "a"), STRATEGIC, &json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "shop:7"}]}}}})).await?.success()?;
    on.becomes(DEPLOYMENTS, "a", "back", |one| {
        complete(one) && number(one, "/metadata/generation") >= 3
    })
    .await?;
    let back = on.object(SETS, text(&first, "/metadata/name")).await?;
    on.eq(
        "the old set returns, with a new revision",
        (
            number(&back, "/spec/replicas"),
            text(
                &back,
                "/metadata/annotations/deployment.kubernetes.io~1revision",
            ),
        ),
        (2, "3"),
    );
    on.delete(&on.at(DEPLOYMENTS, "a"), None).await?.success()?;
    on.until("the end of everything", async || {
        Ok((labelled(on, SETS, "app=a").await?.names().is_empty()
            && labelled(on, PODS, "app=a").await?.names().is_empty())
        .then_some(()))
    })
    .await?;
    on.eq(
        "it goes, and all with it",
        on.get(&on.at(DEPLOYMENTS, "a")).await?.code,
        404,
    );
    Ok(())
}

fn job(name: &str, spec: Value, annotations: Value) -> Value {
    let mut made = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {
            "metadata": {"annotations": annotations},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "smoke:1"}]},
        }},
    });
    if let (Some(made), Some(spec)) = (made["spec"].as_object_mut(), spec.as_object()) {
        made.extend(spec.clone());
    }
    made
}

pub async fn a_job_ends_as_its_pods_do(on: &Ground) -> Result<()> {
    let made = on.create(JOBS, &job("good", json!({}), json!({}))).await?;
    let uid = text(&made, "/metadata/uid");
    on.eq(
        "it selects by its uid",
        made["spec"]["selector"].clone(),
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    let mut spec = made["spec"].clone();
    spec["selector"].take();
    spec["template"].take();
    on.eq("its defaults", spec, json!({
        "selector": null, "template": null, "parallelism": 1, "completions": 1, "backoffLimit": 6,
        "completionMode": "NonIndexed", "suspend": false, "manualSelector": false, "podReplacementPolicy": "TerminatingOrFailed",
    }));
    let ended = |name: &'static str| move |job: &Value| condition(job, name).0 == "True";
    let good = on
        .becomes(JOBS, "good", "complete", ended("Complete"))
        .await?;
    on.eq(
        "complete",
        (
            number(&good, "/status/succeeded"),
            condition(&good, "SuccessCriteriaMet").0,
        ),
        (1, "True"),
    );
    on.eq(
        "with a reason",
        condition(&good, "Complete").1,
        "CompletionsReached",
    );
    on.holds(
        "and a time",
        good["status"]["completionTime"].is_string(),
        &good["status"],
    );
    on.eq("none is active", good["status"].get("active"), None);
    on.create(
        JOBS,
        &job(
            "bad",
            json!({"backoffLimit": 0}),
            json!({"simulation.sluice.dev/exit-code": "2"}),
        ),
    )
    .await?;
    let bad = on.becomes(JOBS, "bad", "failed", ended("Failed")).await?;
    on.eq(
        "failed",
        (number(&bad, "/status/failed"), condition(&bad, "Failed").1),
        (1, "BackoffLimitExceeded"),
    );
    on.eq(
        "the target of failure, too",
        condition(&bad, "FailureTarget"),
        ("True", "BackoffLimitExceeded"),
    );
    on.eq(
        "no time of completion",
        bad["status"].get("completionTime"),
        None,
    );
    let refused = on
        .post(
            &on.path(JOBS),
            &job(
                "c",
                json!({"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}),
                json!({}),
            ),
        )
        .await?;
    on.eq("a job that never ends", refused.outcome(), "422 Invalid");
    let pods = labelled(on, PODS, "job-name=good").await?;
    on.eq(
        "its pod succeeded",
        pods.at("/items/0/status/phase"),
        json!("Succeeded"),
    );
    let marked = on.delete(&on.at(JOBS, "good"), None).await?;
    on.eq(
        "pods of a deleted job are released",
        marked.at("/metadata/finalizers"),
        json!(["orphan"]),
    );
    on.is_gone(JOBS, "good").await?;
    on.eq(
        "and stay",
        labelled(on, PODS, "job-name=good").await?.names().len(),
        1,
    );
    on.delete(
        &on.at(JOBS, "bad"),
        Some(&json!({"propagationPolicy": "Background"})),
    )
    .await?
    .success()?;
    on.until("the end of the other's pods", async || {
        Ok(labelled(on, PODS, "job-name=bad")
            .await?
            .names()
            .is_empty()
            .then_some(()))
    })
    .await?;
    on.eq(
        "unless told otherwise: both go",
        on.get(&on.at(JOBS, "bad")).await?.code,
        404,
    );
    Ok(())
}

pub async fn a_slice_follows_the_pods_of_its_service(on: &Ground) -> Result<()> {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
    let made = on.create("v1/services", &service).await?;
    let mut pods = set("a", 2);
    pods["spec"]["template"]["metadata"]["annotations"] =
        json!({"simulation.sluice.dev/gone-after": "100ms"});
    on.create(SETS, &pods).await?;
    let slices = "discovery.k8s.io/v1/endpointslices";
    let ready = |slice: &Value| {
        entries(slice, "/endpoints")
            .iter()
            .filter(|one| one["conditions"]["ready"] == true)
            .count()
    };
    let one_slice = async |wanted: usize| {
        on.until("a slice with as many endpoints", async || {
            let found = labelled(on, slices, "kubernetes.io/service-name=shop")
                .await?
                .at("/items/0");
            Ok((ready(&found) == wanted && (wanted > 0 || found.is_object())).then_some(found))
        })
        .await
    };
    let slice = one_slice(2).await?;
    on.eq(
        "it is the Service's",
        (
            owner(&slice).0,
            owner(&slice).1,
            text(&slice, "/addressType"),
        ),
        ("Service", "shop", "IPv4"),
    );
    on.eq(
        "it is managed",
        text(
            &slice,
            "/metadata/labels/endpointslice.kubernetes.io~1managed-by",
        ),
        "endpointslice-controller.k8s.io",
    );
    on.eq(
        "its ports",
        slice["ports"].clone(),
        json!([{"name": "http", "port": 8080, "protocol": "TCP"}]),
    );
    on.eq(
        "its endpoints are pods",
        text(&slice, "/endpoints/0/targetRef/kind"),
        "Pod",
    );
    let names = labelled(on, PODS, "app=a").await?.names();
    let mut targets: Vec<_> = entries(&slice, "/endpoints")
        .iter()
        .map(|one| text(one, "/targetRef/name").to_owned())
        .collect();
    targets.sort();
    on.eq("by their names", targets, names.clone());
    on.merge(
        PODS,
        &names[0],
        &json!({"metadata": {"annotations": {"simulation.sluice.dev/never-ready": "true"}}}),
    )
    .await?;
    let slice = one_slice(1).await?;
    on.eq(
        "who is not ready stays, without being so",
        entries(&slice, "/endpoints").len(),
        2,
    );
    on.merge(
        "v1/services",
        "shop",
        &json!({"spec": {"selector": {"app": "b"}}}),
    )
    .await?;
    one_slice(0).await?;
    on.becomes(PODS, &names[1], "ready still", is_ready).await?;
    on.eq(
        "the Service keeps its address",
        on.object("v1/services", "shop").await?["spec"]["clusterIP"].clone(),
        made["spec"]["clusterIP"].clone(),
    );
    on.delete(&on.at("v1/services", "shop"), None)
        .await?
        .success()?;
    on.until("the end of its slices", async || {
        Ok(labelled(on, slices, "kubernetes.io/service-name=shop")
            .await?
            .names()
            .is_empty()
            .then_some(()))
    })
    .await?;
    on.eq(
        "they go with it, its pods do not",
        labelled(on, PODS, "app=a").await?.names(),
        names,
    );
    Ok(())
}

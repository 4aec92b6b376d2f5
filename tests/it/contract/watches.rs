//! Watches: where they begin, what they tell in which order, and how they end.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::ground::{Event, Ground, short, text, version_of};
use super::objects::map;

const MAPS: &str = "v1/configmaps";
/// Long enough for anything that is on its way.
const A_WHILE: Duration = Duration::from_millis(500);

pub async fn a_watch_tells_what_came_after_its_version(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("before")).await?;
    let from = on.now(MAPS).await?;
    // Some of it happens before the watch begins.
    on.create(MAPS, &map("a")).await?;
    on.merge(MAPS, "a", &json!({"data": {"x": "1"}})).await?;
    let mut watch = on
        .watch(&on.path(MAPS), &format!("resourceVersion={from}"))
        .await?;
    on.eq("it is answered", watch.code, 200);
    let second = on.merge(MAPS, "a", &json!({"data": {"x": "2"}})).await?;
    on.merge(MAPS, "a", &json!({"data": {"x": "2"}})).await?;
    on.delete(&on.at(MAPS, "a"), None).await?.success()?;
    on.create(MAPS, &map("b")).await?;
    let events = watch.take(5).await?;
    on.eq(
        "all of it, in order, and nothing else",
        short(&events),
        [
            "ADDED a",
            "MODIFIED a",
            "MODIFIED a",
            "DELETED a",
            "ADDED b",
        ],
    );
    on.eq(
        "objects are whole",
        events[2].object.clone(),
        second.clone(),
    );
    let versions: Vec<u64> = events
        .iter()
        .map(|event| version_of(&event.object))
        .collect();
    on.holds(
        "versions grow",
        versions.is_sorted_by(|a, b| a < b),
        &versions,
    );
    on.eq(
        "what is deleted is as it was last",
        events[3].object["data"].clone(),
        second["data"].clone(),
    );
    on.holds(
        "at the version of its end",
        version_of(&events[3].object) > version_of(&second),
        "",
    );
    on.eq(
        "and there is no more",
        short(
            &watch
                .next_within(A_WHILE)
                .await?
                .into_iter()
                .collect::<Vec<_>>(),
        ),
        Vec::<String>::new(),
    );
    Ok(())
}

pub async fn a_watch_goes_on_where_another_ended(on: &Ground) -> Result<()> {
    let from = on.now(MAPS).await?;
    let path = on.path(MAPS);
    let mut seen = Vec::new();
    let mut version = from;
    for round in 0..4 {
        on.create(MAPS, &map(&format!("a{round}"))).await?;
        let mut watch = on
            .watch(&path, &format!("resourceVersion={version}"))
            .await?;
        for event in watch.take(1).await? {
            version = text(&event.object, "/metadata/resourceVersion").to_owned();
            seen.push(event);
        }
    }
    on.eq(
        "nothing lost, nothing twice",
        short(&seen),
        ["ADDED a0", "ADDED a1", "ADDED a2", "ADDED a3"],
    );
    Ok(())
}

pub async fn a_watch_without_a_version_tells_what_is_there(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("b")).await?;
    on.create(MAPS, &map("a")).await?;
    on.merge(MAPS, "b", &json!({"data": {"x": "1"}})).await?;
    for (what, query) in [
        ("without a version", ""),
        ("at version 0", "resourceVersion=0"),
    ] {
        let mut watch = on.watch(&on.path(MAPS), query).await?;
        let mut told = short(&watch.take(2).await?);
        told.sort();
        on.eq(what, told, ["ADDED a", "ADDED b"]);
        let name = if query.is_empty() { "c" } else { "d" };
        on.create(MAPS, &map(name)).await?;
        on.eq(
            &format!("{what}: and what comes"),
            short(&watch.take(1).await?),
            [format!("ADDED {name}")],
        );
        on.delete(&on.at(MAPS, name), None).await?.success()?;
        on.eq(
            &format!("{what}: and goes"),
            short(&watch.take(1).await?),
            [format!("DELETED {name}")],
        );
    }
    Ok(())
}

pub async fn what_leaves_a_selection_is_deleted_for_its_watch(on: &Ground) -> Result<()> {
    let mut watch = on.follow(MAPS, "labelSelector=track%3Dcanary").await?;
    let label = |track: Value| json!({"metadata": {"labels": {"track": track}}});
    on.create(MAPS, &map("a")).await?;
    let entered = on.merge(MAPS, "a", &label(json!("canary"))).await?;
    on.merge(MAPS, "a", &json!({"data": {"x": "1"}})).await?;
    let left = on
        .merge(
            MAPS,
            "a",
            &json!({"metadata": {"labels": {"track": "stable"}}, "data": {"x": "2"}}),
        )
        .await?;
    on.merge(MAPS, "a", &json!({"data": {"x": "3"}})).await?;
    on.merge(MAPS, "a", &label(json!("canary"))).await?;
    on.delete(&on.at(MAPS, "a"), None).await?.success()?;
    let events = watch.take(5).await?;
    on.eq(
        "it comes, changes, goes, comes, goes",
        short(&events),
        ["ADDED a", "MODIFIED a", "DELETED a", "ADDED a", "DELETED a"],
    );
    on.eq("it comes as it is", events[0].object.clone(), entered);
    on.eq(
        "it goes as it was while it belonged",
        (
            events[2].object["data"]["x"].clone(),
            events[2].object["metadata"]["labels"].clone(),
        ),
        (json!("1"), json!({"track": "canary"})),
    );
    on.eq(
        "at the version of its leaving",
        version_of(&events[2].object),
        version_of(&left),
    );
    on.eq(
        "with what was before its end",
        events[4].object["data"]["x"].clone(),
        json!("3"),
    );
    Ok(())
}

pub async fn one_object_can_be_watched(on: &Ground) -> Result<()> {
    let from = on.now(MAPS).await?;
    let query = format!("resourceVersion={from}&fieldSelector=metadata.name%3Da");
    let mut watch = on.watch(&on.path(MAPS), &query).await?;
    on.create(MAPS, &map("b")).await?;
    on.create(MAPS, &map("a")).await?;
    on.delete(&on.at(MAPS, "b"), None).await?.success()?;
    on.delete(&on.at(MAPS, "a"), None).await?.success()?;
    on.eq(
        "by its name",
        short(&watch.take(2).await?),
        ["ADDED a", "DELETED a"],
    );
    on.create(MAPS, &map("c")).await?;
    let read = on.get(&format!("{}?watch=1", on.at(MAPS, "c"))).await?;
    on.eq(
        "its path is no collection, and only read",
        (read.code, read.text("/kind")),
        (200, "ConfigMap"),
    );
    Ok(())
}

pub async fn a_watch_ends_when_it_was_told_to_with_a_bookmark_before(on: &Ground) -> Result<()> {
    let from = on.now(MAPS).await?;
    let began = tokio::time::Instant::now();
    let query = format!("resourceVersion={from}&timeoutSeconds=4&allowWatchBookmarks=true");
    let mut watch = on.watch(&on.path(MAPS), &query).await?;
    let made = on.create(MAPS, &map("a")).await?;
    let events = watch.rest().await?;
    on.holds(
        "not before four seconds, give or take one",
        began.elapsed().as_secs() >= 3,
        began.elapsed(),
    );
    let (bookmarks, others): (Vec<Event>, Vec<Event>) = events
        .into_iter()
        .partition(|event| event.kind == "BOOKMARK");
    on.eq("what happened", short(&others), ["ADDED a"]);
    on.holds("at least one bookmark", !bookmarks.is_empty(), "");
    let last = bookmarks
        .last()
        .map(|event| event.object.clone())
        .unwrap_or_default();
    on.holds(
        "as new as what was told",
        version_of(&last) >= version_of(&made),
        &last,
    );
    on.eq(
        "a bookmark is of the kind that is watched",
        (text(&last, "/kind"), text(&last, "/metadata/name")),
        ("ConfigMap", ""),
    );
    let query = format!("resourceVersion={from}&timeoutSeconds=3");
    let events = on.watch(&on.path(MAPS), &query).await?.rest().await?;
    on.eq(
        "no bookmarks for who did not ask",
        short(&events),
        ["ADDED a"],
    );
    Ok(())
}

pub async fn a_version_that_is_too_old_is_gone(on: &Ground) -> Result<()> {
    // Of a kind that is served since later than that: what was there from the beginning may be remembered.
    let path = on.path(super::custom::WIDGETS);
    let mut watch = on.watch(&path, "resourceVersion=1").await?;
    on.eq("it is said in the stream", watch.code, 200);
    let events = watch.rest().await?;
    on.eq(
        "by an error, and the watch ends",
        short(&events),
        ["ERROR 410"],
    );
    let status = events
        .first()
        .map(|event| event.object.clone())
        .unwrap_or_default();
    on.eq(
        "its reason",
        (text(&status, "/reason"), text(&status, "/status")),
        ("Expired", "Failure"),
    );
    on.says(
        "its words",
        text(&status, "/message"),
        "too old resource version: 1 (",
    );
    let mut watch = on.watch(&on.path(MAPS), "resourceVersion=soon").await?;
    // The real server takes that for a mistake of its own.
    on.eq("no number", watch.code, 500);
    on.eq(
        "no number is refused at once",
        short(&watch.rest().await?).len(),
        1,
    );
    Ok(())
}

pub async fn a_list_can_be_a_watch_that_says_when_it_is_complete(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let newest = on.create(MAPS, &map("b")).await?;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = on.watch(&on.path(MAPS), query).await?;
    let mut told = Vec::new();
    let bookmark = loop {
        match watch.next().await? {
            Some(event) if event.kind == "BOOKMARK" => break event,
            Some(event) => told.push(event),
            None => anyhow::bail!("the watch ended after {told:?}"),
        }
    };
    let mut told = short(&told);
    told.sort();
    on.holds(
        "everything first",
        told.len() >= 2
            && told.contains(&"ADDED a".to_owned())
            && told.contains(&"ADDED b".to_owned()),
        &told,
    );
    on.eq(
        "then the mark",
        bookmark.object["metadata"]["annotations"].clone(),
        json!({"k8s.io/initial-events-end": "true"}),
    );
    on.holds(
        "at a version that covers it",
        version_of(&bookmark.object) >= version_of(&newest),
        &bookmark.object,
    );
    on.create(MAPS, &map("c")).await?;
    on.eq("then what comes", short(&watch.take(1).await?), ["ADDED c"]);
    let watch = on
        .watch(
            &on.path(MAPS),
            "sendInitialEvents=true&allowWatchBookmarks=true",
        )
        .await?;
    on.eq("without saying how new", watch.code, 422);
    let watch = on
        .watch(
            &on.path(MAPS),
            "resourceVersion=0&resourceVersionMatch=NotOlderThan",
        )
        .await?;
    on.eq("a match without initial events", watch.code, 422);
    Ok(())
}

pub async fn a_deletion_with_finalizers_is_a_change_first(on: &Ground) -> Result<()> {
    let mut watch = on.follow(MAPS, "").await?;
    let mut held = map("a");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    on.create(MAPS, &held).await?;
    on.delete(&on.at(MAPS, "a"), None).await?.success()?;
    on.merge(MAPS, "a", &json!({"metadata": {"finalizers": null}}))
        .await?;
    let events = watch.take(3).await?;
    on.eq(
        "then it goes",
        short(&events),
        ["ADDED a", "MODIFIED a", "DELETED a"],
    );
    on.holds(
        "marked",
        events[1].object["metadata"]["deletionTimestamp"].is_string(),
        &events[1].object,
    );
    on.holds(
        "in the end, too",
        events[2].object["metadata"]["deletionTimestamp"].is_string(),
        &events[2].object,
    );
    Ok(())
}

pub async fn two_watches_are_told_the_same(on: &Ground) -> Result<()> {
    let from = on.now(MAPS).await?;
    let query = format!("resourceVersion={from}");
    let mut one = on.watch(&on.path(MAPS), &query).await?;
    let mut other = on.watch(&on.path(MAPS), &query).await?;
    for round in 0..10 {
        on.create(MAPS, &map(&format!("a{round}"))).await?;
        on.merge(
            MAPS,
            &format!("a{}", round / 2),
            &json!({"data": {"round": round.to_string()}}),
        )
        .await?;
    }
    let (one, other) = (one.take(20).await?, other.take(20).await?);
    on.eq("in the same order", short(&one), short(&other));
    let versions = |events: &[Event]| {
        events
            .iter()
            .map(|event| version_of(&event.object))
            .collect::<Vec<_>>()
    };
    on.holds(
        "in the order of versions",
        versions(&one).is_sorted_by(|a, b| a < b),
        versions(&one),
    );
    let all = on
        .watch(
            "/api/v1/configmaps",
            &format!("{query}&labelSelector=nobody"),
        )
        .await?;
    on.eq("over all namespaces", all.code, 200);
    Ok(())
}

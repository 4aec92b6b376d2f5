use std::time::Duration;

use super::*;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::{Instant, sleep, timeout};

use crate::{Fault, Match, Rule, Verb};

/// Type and name of each event; a bookmark's version instead of a name.
fn describe(event: &WatchEvent<ConfigMap>) -> String {
    let name = |map: &ConfigMap| map.metadata.name.clone().unwrap();
    match event {
        WatchEvent::Added(map) => format!("ADDED {}", name(map)),
        WatchEvent::Modified(map) => format!("MODIFIED {}", name(map)),
        WatchEvent::Deleted(map) => format!("DELETED {}", name(map)),
        WatchEvent::Bookmark(bookmark) => {
            format!("BOOKMARK {}", bookmark.metadata.resource_version)
        }
        WatchEvent::Error(status) => format!("ERROR {}", status.code),
    }
}

/// All events until the watch ends.
async fn events(maps: &Api<ConfigMap>, params: &WatchParams, version: &str) -> Vec<String> {
    let stream = maps.watch(params, version).await.unwrap();
    let events: Vec<WatchEvent<ConfigMap>> = stream.try_collect().await.unwrap();
    events.iter().map(describe).collect()
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_watch_resumes_after_the_version_that_it_is_given() {
    let simulation = Simulation::new(1);
    let map = gvk("", "v1", "ConfigMap");
    simulation.create(config_map("a", json!({}))).unwrap();
    let from = simulation.checkpoint().to_string();
    simulation.create(config_map("b", json!({}))).unwrap();
    simulation
        .patch_merge(&map, "default", "a", json!({"data": {"x": "y"}}))
        .unwrap();
    simulation.delete(&map, "default", "b").unwrap();

    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let params = WatchParams::default().timeout(5).disable_bookmarks();
    assert_eq!(
        events(&maps, &params, &from).await,
        ["ADDED b", "MODIFIED a", "DELETED b"]
    );
    // Without a version the present state comes first.
    assert_eq!(events(&maps, &params, "0").await, ["ADDED a"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_object_that_starts_or_stops_matching_is_added_or_deleted() {
    let simulation = Simulation::new(1);
    let map = gvk("", "v1", "ConfigMap");
    let from = simulation.checkpoint().to_string();
    simulation
        .create(config_map("a", json!({"track": "stable"})))
        .unwrap();
    let relabel = |track: &str| {
        let patch = json!({"metadata": {"labels": {"track": track}}});
        simulation.patch_merge(&map, "default", "a", patch).unwrap();
    };
    relabel("canary");
    simulation
        .patch_merge(&map, "default", "a", json!({"data": {"x": "y"}}))
        .unwrap();
    relabel("stable");

    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let params = WatchParams::default()
        .timeout(5)
        .disable_bookmarks()
        .labels("track=canary");
    assert_eq!(
        events(&maps, &params, &from).await,
        ["ADDED a", "MODIFIED a", "DELETED a"]
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_version_that_is_too_old_is_refused_inside_the_stream() {
    let simulation = Simulation::builder().history(2).build();
    let from = simulation.checkpoint().to_string();
    for name in ["a", "b", "c"] {
        simulation.create(config_map(name, json!({}))).unwrap();
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let stream = maps.watch(&WatchParams::default(), &from).await.unwrap();
    let events: Vec<_> = stream.collect().await;
    let [Ok(WatchEvent::Error(status))] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn bookmarks_come_every_minute_and_before_the_end_and_the_watch_ends_when_it_is_told_to() {
    let simulation = Simulation::new(1);
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let from = simulation.checkpoint();
    let started = Instant::now();
    let seen = events(
        &maps,
        &WatchParams::default().timeout(150),
        &from.to_string(),
    )
    .await;
    assert_eq!(seen, vec![format!("BOOKMARK {from}"); 3]);
    assert_eq!(started.elapsed().as_secs(), 150);

    let without = WatchParams::default().timeout(150).disable_bookmarks();
    assert!(events(&maps, &without, &from.to_string()).await.is_empty());
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_bookmark_never_overtakes_an_event() {
    // Events take two minutes to arrive, bookmarks are due every minute.
    let simulation = Simulation::builder().latency(Latency::NONE).build();
    let slow = Rule::new(
        Match::any().verbs([Verb::Watch]),
        Fault::Latency(Duration::from_secs(120)),
    );
    simulation.faults().add(slow);
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let from = simulation.checkpoint();
    let stream = maps
        .watch(&WatchParams::default().timeout(290), &from.to_string())
        .await
        .unwrap();
    let mut stream = std::pin::pin!(stream);
    let writer = simulation.clone();
    tokio::spawn(async move {
        for round in 0..20 {
            sleep(Duration::from_secs(7)).await;
            writer
                .create(config_map(&format!("map-{round}"), json!({})))
                .unwrap();
        }
    });
    let mut newest = from;
    let mut seen = 0;
    while let Some(event) = stream.try_next().await.unwrap() {
        let version = match &event {
            WatchEvent::Added(map) => {
                seen += 1;
                map.metadata.resource_version.clone().unwrap()
            }
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version.clone(),
            other => panic!("{other:?}"),
        };
        let version: u64 = version.parse().unwrap();
        assert!(
            version > newest || matches!(event, WatchEvent::Bookmark(_)) && version == newest,
            "{event:?} after {newest}"
        );
        newest = version;
    }
    assert_eq!(seen, 20);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn kubes_watcher_loses_nothing_over_clean_ends_breaks_and_silence() {
    let simulation = Simulation::new(1);
    let maps: Api<ConfigMap> = Api::all(simulation.client_named("controller"));
    let mut stream = std::pin::pin!(
        watcher(maps, watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .boxed()
    );
    let mine = Match::any().client("controller");
    let faults = simulation.faults();
    let strikes: [(&str, &dyn Fn() -> usize); 4] = [
        ("close", &|| faults.close_watches(&mine)),
        ("break", &|| faults.break_watches(&mine)),
        ("expire", &|| faults.expire_watches(&mine)),
        ("stall", &|| faults.stall_watches(&mine)),
    ];
    simulation.create(config_map("first", json!({}))).unwrap();
    let mut next = async || loop {
        match timeout(Duration::from_secs(600), stream.next()).await {
            Ok(Some(Ok(map))) => return map.metadata.name.unwrap(),
            Ok(Some(Err(_))) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next().await, "first");
    for (name, strike) in strikes {
        // The watch is live once it has carried something.
        let live = format!("before-{name}");
        simulation.create(config_map(&live, json!({}))).unwrap();
        while next().await != live {}
        assert_eq!(strike(), 1, "{name}");
        simulation.create(config_map(name, json!({}))).unwrap();
        while next().await != name {}
    }
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn kubes_streaming_list_works_as_well() {
    let simulation = Simulation::new(1);
    simulation.create(config_map("a", json!({}))).unwrap();
    let maps: Api<ConfigMap> = Api::all(simulation.client());
    let stream = watcher(maps, watcher::Config::default().streaming_lists());
    let mut stream = std::pin::pin!(stream);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(match stream.try_next().await.unwrap().unwrap() {
            watcher::Event::Init => "init".to_owned(),
            watcher::Event::InitApply(map) => map.metadata.name.unwrap(),
            watcher::Event::InitDone => "done".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["init", "a", "done"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_half_open_watch_is_noticed_after_295_seconds() {
    let simulation = Simulation::new(1);
    let rule = Rule::new(
        Match::any().verbs([Verb::Watch]),
        Fault::StallWatch(Duration::ZERO),
    )
    .once();
    simulation.faults().add(rule);
    let maps: Api<ConfigMap> = Api::all(simulation.client());
    let mut stream = std::pin::pin!(
        watcher(maps, watcher::Config::default())
            .applied_objects()
            .boxed()
    );
    let started = Instant::now();
    let late = simulation.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        late.create(config_map("late", json!({}))).unwrap();
    });
    assert_eq!(
        stream
            .try_next()
            .await
            .unwrap()
            .unwrap()
            .metadata
            .name
            .as_deref(),
        Some("late")
    );
    assert_eq!(started.elapsed().as_secs(), 295);
}

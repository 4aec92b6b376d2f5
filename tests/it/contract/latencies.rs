//! Time: what may be relied on, and how long things take.
//!
//! The figures that a run on the real control plane prints are where the simulation's defaults come from.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sluice_simulation::Latency;
use tokio::time::Instant;

use super::ground::{Event, Ground, number, text, version_of};
use super::objects::{map, set};
use super::pods::is_ready;

const MAPS: &str = "v1/configmaps";
/// How many watches hear of writes, one after the other: the simulation draws for each how late its events are.
const WATCHES: usize = 25;
/// How many writes each of them hears of.
const WRITES: usize = 4;

/// The most that any request or event takes in virtual time, which is exact: what all the parts of both may take.
fn at_most() -> Duration {
    let latency = Latency::measured();
    let parts = [latency.request, latency.answer, latency.event];
    parts.iter().map(|part| *part.end()).sum()
}

/// Half, nine tenths, and the most of some durations.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| {
        let place = (times.len() * share / 10).min(times.len().saturating_sub(1));
        times.get(place).copied().unwrap_or_default()
    };
    format!("{:.1?} (p90 {:.1?}, most {:.1?})", at(5), at(9), at(10))
}

pub async fn a_write_and_its_event_are_close(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let (mut reads, mut writes, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let (mut early, mut late) = (0, 0);
    let mut delivered = Vec::new();
    for _ in 0..WATCHES {
        let mut watch = on.follow(MAPS, "").await?;
        for _ in 0..WRITES {
            let began = Instant::now();
            on.object(MAPS, "a").await?;
            reads.push(began.elapsed());
            let began = Instant::now();
            let patch = json!({"data": {"round": writes.len().to_string()}});
            let writing = async {
                let written = on.merge(MAPS, "a", &patch).await?;
                Ok::<_, anyhow::Error>((version_of(&written), Instant::now()))
            };
            // The event is read while the write is under way: it may be the first to arrive.
            let hearing = async { watch.next().await?.context("the watch ended") };
            let ((written, answered), event) = futures::try_join!(writing, hearing)?;
            delivered.push((written, version_of(&event.object)));
            writes.push(answered - began);
            early += usize::from(event.heard < answered);
            late += usize::from(event.heard > answered);
            events.push(event.heard.saturating_duration_since(answered));
        }
    }
    on.holds(
        "each event is of its write",
        delivered.iter().all(|(written, heard)| written == heard),
        &delivered,
    );
    if on.virtual_time {
        on.holds(
            "some events come before the write's answer, some after it",
            early > 0 && late > 0,
            (early, late),
        );
        let most = at_most();
        let takes_time = |times: &[Duration]| {
            let fits = |time: &Duration| !time.is_zero() && *time <= most;
            times.iter().all(fits)
        };
        on.holds("a read takes a little time", takes_time(&reads), &reads);
        on.holds("so does a write", takes_time(&writes), &writes);
        on.holds(
            "an event is soon there",
            events.iter().all(|time| *time <= most),
            &events,
        );
    }
    println!(
        "read {}; write {}; from a write's answer to its event {}; event first in {early} of {}",
        spread(reads),
        spread(writes),
        spread(events),
        WATCHES * WRITES
    );
    Ok(())
}

pub async fn events_of_many_writers_keep_the_order_of_versions(on: &Ground) -> Result<()> {
    let mut watch = on.follow(MAPS, "").await?;
    let names: Vec<String> = (0..5).map(|number| format!("a{number}")).collect();
    let writers = names.iter().map(|name| async move {
        let mut versions = vec![version_of(&on.create(MAPS, &map(name)).await?)];
        for round in 0..9 {
            let patched = on
                .merge(MAPS, name, &json!({"data": {"round": round.to_string()}}))
                .await?;
            versions.push(version_of(&patched));
        }
        Ok::<_, anyhow::Error>(versions)
    });
    let written = futures::future::try_join_all(writers).await?;
    let events = watch.take(50).await?;
    let heard: Vec<u64> = events
        .iter()
        .map(|event| version_of(&event.object))
        .collect();
    on.holds(
        "one order for all",
        heard.is_sorted_by(|a, b| a < b),
        &heard,
    );
    for (name, written) in names.iter().zip(written) {
        let of_one: Vec<u64> = events
            .iter()
            .filter(|event| text(&event.object, "/metadata/name") == name)
            .map(|event| version_of(&event.object))
            .collect();
        on.eq(
            "every write of an object is told, in order",
            of_one,
            written,
        );
    }
    Ok(())
}

pub async fn a_read_sees_what_was_answered_before(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let mut stale = 0;
    for round in 0..20 {
        let patched = on
            .merge(MAPS, "a", &json!({"data": {"round": round.to_string()}}))
            .await?;
        stale += usize::from(on.object(MAPS, "a").await? != patched);
    }
    on.eq("a get is never behind", stale, 0);
    let written: Vec<Value> = futures::future::try_join_all((0..10).map(|number| {
        let name = format!("b{number}");
        async move { on.create(MAPS, &map(&name)).await }
    }))
    .await?;
    let list = on.get(&on.path(MAPS)).await?;
    on.eq("nor is a list", list.names().len(), written.len() + 1);
    Ok(())
}

pub async fn conflicting_writers_take_turns(on: &Ground) -> Result<()> {
    on.create(MAPS, &map("a")).await?;
    let attempts = (0..8).map(|number| async move {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut object = on.object(MAPS, "a").await?;
            let count = text(&object, "/data/count")
                .parse::<u32>()
                .unwrap_or_default();
            object["data"]["count"] = json!((count + 1).to_string());
            object["data"][format!("by{number}")] = json!("1");
            let written = on.put(&on.at(MAPS, "a"), &object).await?;
            match written.code {
                200 => return Ok::<_, anyhow::Error>(tries),
                409 => {}
                _ => anyhow::bail!("{}: {}", written.outcome(), written.message()),
            }
        }
    });
    let tries: Vec<u32> = futures::future::try_join_all(attempts).await?;
    let end = on.object(MAPS, "a").await?;
    on.eq("no update is lost", text(&end, "/data/count"), "8");
    on.holds(
        "some had to try again",
        tries.iter().any(|tries| *tries > 1),
        &tries,
    );
    Ok(())
}

/// The first of these events whose object fits.
fn first(events: &[Event], fits: impl Fn(&Value) -> bool) -> Result<&Event> {
    let found = events.iter().find(|event| fits(&event.object));
    found.with_context(|| format!("it never happened: {events:?}"))
}

pub async fn pods_of_a_set_take_their_time(on: &Ground) -> Result<()> {
    let sets = "apps/v1/replicasets";
    let is_placed = |pod: &Value| !text(pod, "/spec/nodeName").is_empty();
    let is_counted = |set: &Value| number(set, "/status/readyReplicas") == 1;
    let mut times: [Vec<Duration>; 4] = Default::default();
    for round in 0..5 {
        let name = format!("a{round}");
        let selection = format!("labelSelector=app%3D{name}");
        let mut pod_watch = on.follow("v1/pods", &selection).await?;
        let mut set_watch = on.follow(sets, &selection).await?;
        let began = Instant::now();
        let made = on.create(sets, &set(&name, 1)).await?;
        // Neither watch waits for the other: what was first is what the versions say, not who was heard first.
        let (pod_events, set_events) = futures::try_join!(
            pod_watch.up_to(|event| is_ready(&event.object)),
            set_watch.up_to(|event| is_counted(&event.object)),
        )?;
        let created = first(&pod_events, |_| true)?;
        on.holds(
            "a new pod is neither placed nor ready",
            created.kind == "ADDED" && !is_placed(&created.object) && !is_ready(&created.object),
            created,
        );
        let steps = [
            created,
            first(&pod_events, is_placed)?,
            first(&pod_events, is_ready)?,
            first(&set_events, is_counted)?,
        ];
        let mut versions = vec![version_of(&made)];
        versions.extend(steps.iter().map(|event| version_of(&event.object)));
        on.holds(
            "set, pod, its place, its readiness, its count: each in a later version",
            versions.is_sorted_by(|a, b| a < b),
            &versions,
        );
        for (of_step, event) in times.iter_mut().zip(steps) {
            of_step.push(event.heard.saturating_duration_since(began));
        }
    }
    let [created, placed, ready, counted] = times.map(spread);
    println!(
        "from a set's creation: pod created {created}, placed {placed}, ready {ready}, counted {counted}"
    );
    Ok(())
}

pub async fn a_watch_that_is_late_is_told_what_it_missed(on: &Ground) -> Result<()> {
    let from = on.now(MAPS).await?;
    let mut newest = 0;
    for round in 0..30 {
        newest = version_of(&on.create(MAPS, &map(&format!("a{round}"))).await?);
    }
    let mut watch = on
        .watch(&on.path(MAPS), &format!("resourceVersion={from}"))
        .await?;
    let missed = watch.take(30).await?;
    let versions: Vec<_> = missed
        .iter()
        .map(|event| version_of(&event.object))
        .collect();
    on.holds("in order", versions.is_sorted(), &versions);
    on.eq("all of it", versions.last(), Some(&newest));
    let made = on.create(MAPS, &map("b")).await?;
    let next = watch.take(1).await?;
    on.eq(
        "and then what is new",
        version_of(&next[0].object),
        version_of(&made),
    );
    Ok(())
}

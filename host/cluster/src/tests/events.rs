//! Events as client-go would have written them.

use jiff::{SignedDuration, Timestamp};
use sluice_engine::plan::{Event, Severity};
use sluice_simulation::{Fault, Match, Rule, Verb};

use super::*;
use crate::events::Correlator;

fn about(name: &str) -> Subject {
    Subject {
        key: ObjectKey::namespaced(ARGO, "Rollout", "shop", name),
        uid: format!("uid-{name}"),
    }
}

fn event(name: &str, reason: &str, message: &str) -> Event {
    Event {
        about: about(name),
        severity: Severity::Normal,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

#[test]
fn the_same_event_is_counted_and_after_ten_minutes_it_is_a_new_one() {
    let mut correlator = Correlator::default();
    let paused = event("web", "RolloutPaused", "Rollout is paused");
    let mut see = |seconds| correlator.see(&paused, at(seconds)).expect("seen");
    let first = see(0);
    assert_eq!((first.count, first.name.as_str()), (1, "web.1"));
    let again = see(500);
    assert_eq!(
        (again.count, &again.name, again.first, again.last),
        (2, &first.name, at(0), at(500))
    );
    assert_eq!(
        see(1100).count,
        3,
        "each sighting counts from the one before"
    );
    let new = see(1701);
    assert_eq!(new.count, 1);
    assert_ne!(new.name, first.name);
}

#[test]
fn events_of_one_instant_have_different_names() {
    let mut correlator = Correlator::default();
    let names: Vec<String> = ["a", "b", "c"]
        .iter()
        .map(|message| {
            correlator
                .see(&event("web", "Scaling", message), at(16))
                .expect("seen")
                .name
        })
        .collect();
    assert_eq!(names, ["web.3b9aca000", "web.3b9aca001", "web.3b9aca002"]);
}

#[test]
fn many_similar_events_are_combined() {
    let mut correlator = Correlator::default();
    let mut see = |number: u32| {
        let seen = correlator.see(
            &event("web", "Scaling", &format!("to {number}")),
            at(i64::from(number)),
        );
        seen.map(|seen| (seen.message, seen.count))
    };
    for number in 1..10 {
        assert_eq!(see(number), Some((format!("to {number}"), 1)));
    }
    assert_eq!(
        see(10),
        Some(("(combined from similar events): to 10".to_owned(), 1))
    );
    assert_eq!(
        see(11),
        Some(("(combined from similar events): to 11".to_owned(), 2))
    );
    let other = correlator
        .see(&event("web", "Paused", "x"), at(12))
        .expect("seen");
    assert_eq!(other.message, "x");
}

#[test]
fn what_was_seen_longest_ago_is_forgotten_first() {
    let mut correlator = Correlator::default();
    let mut see = |number: i64| {
        let event = event(&format!("web-{number}"), "Paused", "Rollout is paused");
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(number);
        correlator.see(&event, now).map(|seen| seen.count)
    };
    for number in 0..4097 {
        assert_eq!(see(number), Some(1));
    }
    // There is room for 4096.
    assert_eq!(see(4096), Some(2), "the latest is remembered");
    assert_eq!(see(0), Some(1), "the first is not");
    assert_eq!(see(600), Some(2), "no more than an eighth goes at once");
}

#[test]
fn an_object_has_a_budget_of_its_own() {
    let mut correlator = Correlator::default();
    let mut see = |name: &str, seconds| {
        correlator
            .see(&event(name, "R", "m"), at(seconds))
            .is_some()
    };
    assert_eq!((0..140).filter(|_| see("web", 1)).count(), 100);
    assert!(see("other", 1));
    assert!(!see("web", 300));
    assert!(see("web", 302));
    assert!(!see("web", 303));
}

// EVT-062
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn events_are_written_in_order_and_counted_up() {
    let simulation = simulation();
    let world = World::over(simulation).await;
    let mut warning = event("web", "RolloutAborted", "why");
    warning.severity = Severity::Warning;
    world
        .cluster
        .record(vec![event("web", "RolloutUpdated", "to 2"), warning]);
    tokio::time::sleep(Duration::from_secs(30)).await;
    world
        .cluster
        .record(vec![event("web", "RolloutUpdated", "to 2")]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let events = world.simulation.list(&gvk("v1", "Event"), Some("shop"));
    let shown: Vec<Value> = events
        .iter()
        .map(|event| {
            json!([
                event["reason"],
                event["type"],
                event["count"],
                event["involvedObject"]["uid"],
                event["source"]["component"]
            ])
        })
        .collect();
    assert_eq!(
        shown,
        [
            json!([
                "RolloutUpdated",
                "Normal",
                2,
                "uid-web",
                "rollouts-controller"
            ]),
            json!([
                "RolloutAborted",
                "Warning",
                1,
                "uid-web",
                "rollouts-controller"
            ]),
        ]
    );
    assert_ne!(events[0]["firstTimestamp"], events[0]["lastTimestamp"]);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_event_that_the_server_has_forgotten_is_created_again() {
    let world = World::over(simulation()).await;
    let record = || {
        world
            .cluster
            .record(vec![event("web", "RolloutUpdated", "to 2")])
    };
    record();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let events = gvk("v1", "Event");
    let name = |world: &World| {
        world.simulation.list(&events, None)[0]["metadata"]["name"]
            .as_str()
            .map(str::to_owned)
    };
    world
        .simulation
        .delete(&events, "shop", &name(&world).expect("named"))
        .expect("deleted");
    record();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.simulation.list(&events, None)[0]["count"], 2);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn what_is_waiting_at_the_end_is_written() {
    let world = World::over(simulation()).await;
    let events = Match::any().resource("events").verbs([Verb::Create]);
    world.simulation.faults().add(Rule::new(
        events,
        Fault::Latency(Duration::from_millis(300)),
    ));
    world.cluster.record(vec![
        event("web", "A", "1"),
        event("web", "B", "2"),
        event("web", "C", "3"),
    ]);
    world.stop.cancel();
    world.task.await.expect("ended");
    assert_eq!(world.simulation.list(&gvk("v1", "Event"), None).len(), 3);
}

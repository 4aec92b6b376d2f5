use std::time::Duration;

use super::*;
use kube::api::{ListParams, PostParams};
use tokio::time::{Instant, timeout};

use crate::{Fault, Match, Rule, Verb};

fn outcomes(simulation: &Simulation) -> Vec<String> {
    simulation
        .request_log()
        .iter()
        .map(|entry| format!("{} {} {}", entry.client, entry.verb, entry.outcome))
        .collect()
}

fn parsed(name: &str) -> ConfigMap {
    typed(config_map(name, json!({})))
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_rule_strikes_what_it_matches_and_only_so_often() {
    let simulation = Simulation::new(1);
    let rule = Rule::new(
        Match::any()
            .client("controller")
            .writes()
            .resource("configmaps"),
        Fault::Conflict,
    )
    .skip(1)
    .times(2);
    let id = simulation.faults().add(rule);
    let post = PostParams::default();
    let other: Api<ConfigMap> = Api::default_namespaced(simulation.client_named("user"));
    other.create(&post, &parsed("by-user")).await.unwrap();
    let own: Api<ConfigMap> = Api::default_namespaced(simulation.client_named("controller"));
    own.create(&post, &parsed("first")).await.unwrap();
    for _ in 0..2 {
        assert!(refused(own.create(&post, &parsed("second")).await).is_conflict());
    }
    own.create(&post, &parsed("second")).await.unwrap();
    assert_eq!(simulation.faults().struck(id), 2);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn an_answer_can_be_lost_after_the_write_took_effect() {
    let simulation = Simulation::new(1);
    let lost = Fault::TimeoutAfterEffect(Duration::from_secs(30));
    simulation
        .faults()
        .add(Rule::new(Match::any().writes(), lost).once());
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let started = Instant::now();
    let error = maps
        .create(&PostParams::default(), &parsed("a"))
        .await
        .unwrap_err();
    assert!(matches!(error, kube::Error::Service(_)), "{error:?}");
    assert_eq!(started.elapsed().as_secs(), 30);
    assert!(refused(maps.create(&PostParams::default(), &parsed("a")).await).is_already_exists());
    assert_eq!(
        outcomes(&simulation),
        [
            "client create 201, answer lost",
            "client create 409 AlreadyExists"
        ]
    );
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_gateway_timeout_after_the_effect_is_retried_into_already_exists() {
    let simulation = Simulation::new(1);
    simulation
        .faults()
        .add(Rule::new(Match::any().writes(), Fault::StatusAfterEffect(504)).once());
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    assert!(refused(maps.create(&PostParams::default(), &parsed("a")).await).is_already_exists());
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_server_that_stays_unavailable_is_asked_sixteen_times() {
    let simulation = Simulation::new(1);
    simulation
        .faults()
        .add(Rule::new(Match::any(), Fault::Status(503)));
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    assert_eq!(refused(maps.get("a").await).code, 503);
    assert_eq!(simulation.request_log().len(), 16);

    simulation.faults().clear();
    simulation
        .faults()
        .add(Rule::new(Match::any(), Fault::Status(429)).once());
    let started = Instant::now();
    assert!(refused(maps.get("a").await).is_not_found());
    // It waited as long as Retry-After said.
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_list_can_be_stale() {
    let simulation = Simulation::new(1);
    for name in ["a", "b", "c"] {
        simulation.create(config_map(name, json!({}))).unwrap();
    }
    let stale = Fault::StaleList { changes: 2 };
    simulation
        .faults()
        .add(Rule::new(Match::any().verbs([Verb::List]), stale).once());
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let old = maps.list(&ListParams::default()).await.unwrap();
    let new = maps.list(&ListParams::default()).await.unwrap();
    assert_eq!((old.items.len(), new.items.len()), (1, 3));
    let version = |list: &kube::api::ObjectList<ConfigMap>| -> u64 {
        list.metadata
            .resource_version
            .as_ref()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert_eq!(version(&new) - version(&old), 2);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_watch_can_be_refused_with_410_at_its_start() {
    let simulation = Simulation::new(1);
    simulation
        .faults()
        .add(Rule::new(Match::any(), Fault::Gone).once());
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let started = maps.watch(&Default::default(), "1").await;
    assert_eq!(refused(started.map(|_| ())).code, 410);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_cut_client_hears_nothing_and_does_nothing_any_more() {
    let simulation = Simulation::new(1);
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client_named("controller"));
    simulation.faults().add(
        Rule::new(
            Match::any().client("controller").writes().name("a"),
            Fault::Conflict,
        )
        .chance(0),
    );
    simulation
        .faults()
        .add(Rule::new(Match::any().client("controller").writes(), Fault::CutAfter).once());
    let minute = Duration::from_secs(60);
    assert!(
        timeout(minute, maps.create(&PostParams::default(), &parsed("a")))
            .await
            .is_err()
    );
    assert!(
        timeout(minute, maps.create(&PostParams::default(), &parsed("b")))
            .await
            .is_err()
    );
    let map = gvk("", "v1", "ConfigMap");
    assert!(simulation.get(&map, "default", "a").is_some());
    assert!(simulation.get(&map, "default", "b").is_none());

    simulation.restore("controller");
    maps.create(&PostParams::default(), &parsed("b"))
        .await
        .unwrap();

    simulation.cut("controller");
    assert!(timeout(minute, maps.get("a")).await.is_err());
    let other: Api<ConfigMap> = Api::default_namespaced(simulation.client_named("user"));
    other.get("a").await.unwrap();
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn the_log_tells_when_a_slow_request_was_sent() {
    let simulation = Simulation::new(1);
    let slow = Fault::Latency(Duration::from_secs(7));
    simulation.faults().add(Rule::new(Match::any(), slow));
    let maps: Api<ConfigMap> = Api::default_namespaced(simulation.client());
    let sent = simulation.now();
    maps.create(&PostParams::default(), &parsed("a"))
        .await
        .unwrap();
    let log = simulation.request_log();
    let [request] = log.as_slice() else {
        panic!("{log:?}")
    };
    assert_eq!(request.sent, sent);
    assert!(request.at.duration_since(sent).as_secs() >= 7);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn the_same_seed_tells_the_same_story() {
    let story = async |seed: u64| {
        let simulation = Simulation::new(seed);
        let rule = Rule::new(Match::any().writes(), Fault::Status(503)).chance(300);
        simulation.faults().add(rule);
        let rule = Rule::new(Match::any(), Fault::Latency(Duration::from_millis(70))).chance(200);
        simulation.faults().add(rule);
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let maps: Api<ConfigMap> =
                    Api::default_namespaced(simulation.client_named(&format!("client-{number}")));
                tokio::spawn(async move {
                    for round in 0..10 {
                        // Refusals are part of the story.
                        let _ = maps
                            .create(
                                &PostParams::default(),
                                &parsed(&format!("map-{number}-{round}")),
                            )
                            .await;
                        let _ = maps.list(&ListParams::default()).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let log = simulation.request_log();
        log.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let log = story(42).await;
    assert!(log.len() > 80, "{}", log.len());
    assert_eq!(log, story(42).await);
    assert_ne!(log, story(43).await);
}

#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn settling_waits_for_quiet_and_says_who_never_stops() {
    let simulation = Simulation::new(1);
    let started = Instant::now();
    let busy = simulation.clone();
    let writer = tokio::spawn(async move {
        for round in 0.. {
            tokio::time::sleep(Duration::from_secs(3)).await;
            busy.create(config_map(&format!("map-{round}"), json!({})))
                .unwrap();
        }
    });
    let never = simulation
        .settle_within(Duration::from_secs(5), Duration::from_secs(60))
        .await
        .unwrap_err();
    assert!(never.last.contains("map-"), "{never}");
    writer.abort();
    simulation.settle(Duration::from_secs(5)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(70));
}

//! The life of a job: started, kept, repeated, followed, cancelled, forgotten.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_engine::object::Subject;
use sluice_engine::plugin::{Ask, Function, JobState, PluginCall, Reply, Traffic};

use super::guest::{Does, Guest, get, more, no_effects, plan, read_named, usable};
use super::world::{World, key, subject};

fn granted() -> Value {
    json!({
        "reads": [{ "group": "example.com", "kinds": ["Route", "Rule"], "namespaces": "subject" }],
        "http": ["http://metrics"],
    })
}

/// Reads the Route `web`, then has nothing to change.
fn reader() -> Guest {
    let answers = vec![
        more(json!([read_named("route", "Route", "web")]), json!([])),
        plan(no_effects()),
    ];
    Guest::router(Does::Answers(answers)).with("grants", granted())
}

/// Asks a server that takes a minute.
fn slow() -> Guest {
    let mut request = get("page", "http://metrics/slow");
    request["timeout"] = json!(3_600_000);
    let answers = vec![more(json!([]), json!([request])), plan(no_effects())];
    Guest::router(Does::Answers(answers)).with("grants", granted())
}

async fn slow_world() -> World {
    let world = World::new().load(&slow()).await;
    world.server.slow_page("/slow", "", Duration::from_secs(60));
    world
}

fn weight(world: &World, weight: u32) -> PluginCall {
    let mut traffic = Traffic::default();
    traffic.canary.weight = weight;
    world.call(Function::Reconcile, Ask::Route(Some(traffic)))
}

fn fresh(world: &World, call: &PluginCall) -> bool {
    match world.job(call).expect("a job").state {
        JobState::Finished { fresh, .. } => fresh,
        JobState::Running => panic!("still at work"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_runs_once_and_its_answer_is_kept() {
    let mut world = slow_world().await;
    let call = weight(&world, 20);
    world.start(&call);
    world.start(&call);
    let job = world.job(&call).unwrap();
    assert_eq!(
        (job.state, job.key, job.due),
        (JobState::Running, call.key(), 0)
    );
    assert_eq!(world.finished.recv().await, Some(subject()));
    let job = world.job(&call).unwrap();
    assert_eq!(job.started.to_string(), "2026-03-09T10:15:00Z");
    let JobState::Finished { at, reply, fresh } = job.state else {
        panic!("at work")
    };
    assert!(matches!(*reply, Reply::Routed(_)) && fresh && !job.reported);
    // tokio's timers have a resolution of a millisecond.
    assert_eq!(at.as_second(), job.started.as_second() + 60);
    world.start(&call);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.server.received().len(), 1);
    world.host.reported(&call.subject, &call.slot, &call.key());
    assert!(world.job(&call).unwrap().reported);
}

#[tokio::test(start_paused = true)]
async fn an_answer_gets_stale_when_what_it_read_changes_and_is_then_repeated() {
    let mut world = World::new().load(&reader()).await;
    world.objects.put("Route", "web", "1", json!({}));
    let call = world.route();
    world.answer(&call).await;
    assert!(fresh(&world, &call));
    world.objects.put("Route", "web", "2", json!({}));
    assert!(!fresh(&world, &call));
    let before = world.objects.log.lock().unwrap().len();
    world.answer(&call).await;
    assert!(fresh(&world, &call));
    // The second pass was handed the object at once: one round, one read.
    assert_eq!(world.objects.log.lock().unwrap().len(), before + 1);
    world.objects.put("Rule", "other", "1", json!({}));
    assert!(fresh(&world, &call));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_appears_makes_its_absence_stale() {
    let mut world = World::new().load(&reader()).await;
    let call = world.route();
    world.answer(&call).await;
    assert!(fresh(&world, &call));
    world.objects.put("Route", "web", "1", json!({}));
    assert!(!fresh(&world, &call));
}

#[tokio::test(start_paused = true)]
async fn one_call_waits_for_the_end_of_another_and_only_the_newest() {
    let mut world = slow_world().await;
    let [first, second, third] = [10, 20, 30].map(|number| weight(&world, number));
    world.start(&first);
    world.start(&second);
    world.start(&third);
    assert_eq!(world.job(&first).unwrap().key, first.key());
    tokio::time::sleep(Duration::from_secs(61)).await;
    // The first has ended, and the third is at work.
    let job = world.job(&first).unwrap();
    assert_eq!((job.key, job.state), (third.key(), JobState::Running));
    assert_eq!(world.finished.recv().await, Some(subject()));
    assert!(world.finished.try_recv().is_err());
    assert_eq!(world.server.received().len(), 2);
    assert!(matches!(world.reply(&third), Reply::Routed(_)));
}

#[tokio::test(start_paused = true)]
async fn going_back_to_the_call_at_work_lets_nothing_wait() {
    let mut world = slow_world().await;
    let [first, second] = [10, 20].map(|number| weight(&world, number));
    world.start(&first);
    world.start(&second);
    world.start(&first);
    world.finished.recv().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.server.received().len(), 1);
    assert_eq!(world.job(&first).unwrap().key, first.key());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_slot_left_the_plan_is_cancelled() {
    let mut world = slow_world().await;
    let call = weight(&world, 20);
    let check = world.call(Function::Check, Ask::Check);
    world.start(&call);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.host.retain(&call.subject, &[&call]);
    assert!(world.job(&call).is_some());
    world.host.retain(&call.subject, &[&check]);
    assert_eq!(world.job(&call), None);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.job(&call), None);
    assert!(world.finished.try_recv().is_err());
    // Asked again, it begins anew.
    world.start(&call);
    world.finished.recv().await;
    assert_eq!(world.server.received().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn answers_outlast_their_call_until_they_are_settled() {
    let mut world = World::new().load(&reader()).await;
    let call = world.route();
    world.answer(&call).await;
    world.host.retain(&call.subject, &[]);
    assert!(world.job(&call).is_some());
    let mut other = call.clone();
    other.due = 1;
    world.host.settled(&call.subject, &call.slot, &other.key());
    assert!(world.job(&call).is_some());
    world.host.settled(&call.subject, &call.slot, &call.key());
    assert_eq!(world.job(&call), None);
}

#[tokio::test(start_paused = true)]
async fn jobs_of_one_subject_have_a_slot_each() {
    let mut world = slow_world().await;
    let call = weight(&world, 20);
    let check = world.call(Function::Check, Ask::Check);
    world.start(&call);
    let answer = world.answer(&check).await;
    assert_eq!(answer, Reply::Usable);
    let jobs = world.host.jobs(&call.subject);
    let functions: Vec<Function> = jobs.iter().map(|job| job.slot.function).collect();
    assert_eq!(functions, [Function::Check, Function::Reconcile]);
    assert_eq!(jobs[1].state, JobState::Running);
}

#[tokio::test(start_paused = true)]
async fn who_has_read_an_object_or_watches_it_is_affected_by_it() {
    let mut watch_all = read_named("all", "Rule", "");
    watch_all["select"] = json!({ "labels": [] });
    let checked = json!({ "ok": { "usable": { "watch": [watch_all] } } });
    let mut world = World::new()
        .load(&reader().checking(Does::Answers(vec![checked])))
        .await;
    let call = world.route();
    let check = world.call(Function::Check, Ask::Check);
    world.answer(&call).await;
    world.answer(&check).await;
    let affected =
        |kind: &str, name: &str| -> Vec<Subject> { world.host.affected_by(&key(kind, name)) };
    assert_eq!(affected("Route", "web"), [subject()]);
    assert_eq!(affected("Route", "other"), []);
    assert_eq!(affected("Rule", "any"), [subject()]);
    assert_eq!(affected("Gate", "web"), []);
    let mut elsewhere = key("Rule", "any");
    elsewhere.namespace = Some("bank".to_owned());
    assert_eq!(world.host.affected_by(&elsewhere), []);
    let kinds = ["Route", "Rule"].map(|kind| ("example.com/v1".to_owned(), kind.to_owned()));
    assert_eq!(world.host.kinds_in_use(), kinds.into());
    let mut of_cluster = key("Rule", "any");
    of_cluster.namespace = None;
    assert_eq!(world.host.affected_by(&of_cluster), [subject()]);
    let mut other_version = key("Route", "web");
    other_version.api_version = "example.com/v1beta1".to_owned();
    assert_eq!(world.host.affected_by(&other_version), [subject()]);
    world.host.forget(&subject());
    assert_eq!(world.host.affected_by(&key("Route", "web")), []);
    assert_eq!(world.host.kinds_in_use(), [].into());
    assert_eq!(world.host.jobs(&subject()), []);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_a_measurement_waits_for_makes_it_stale() {
    let mut effects = no_effects();
    effects["watch"] = json!([read_named("rule", "Rule", "judge")]);
    let waiting = json!({ "ok": { "wait": { "effects": effects, "metadata": [{ "name": "id", "value": "7" }], "message": null } } });
    let mut world = World::new()
        .load(&Guest::provider(Does::Answers(vec![waiting])).with("grants", granted()))
        .await;
    let call = world.measure();
    let Reply::Waiting(waiting) = world.answer(&call).await else {
        panic!("not waiting")
    };
    assert_eq!(waiting.metadata["id"], "7");
    assert!(fresh(&world, &call));
    world.objects.put("Rule", "judge", "1", json!({}));
    assert!(!fresh(&world, &call));
    assert_eq!(
        world.host.affected_by(&key("Rule", "judge")),
        [call.subject]
    );
}

#[tokio::test(start_paused = true)]
async fn a_measurement_that_is_settled_leaves_nothing_behind() {
    let needs = json!({ "needs": { "reads": [read_named("rule", "Rule", "judge")], "http": [], "state": null }, "samples": [] });
    let measured = json!({ "ok": { "measured": {
        "measurement": { "value": { "number": 0.5 }, "shown": "0.5", "phase": null, "message": null, "metadata": [], "metric-metadata": [] },
        "effects": no_effects(),
    } } });
    let answers = vec![json!({ "ok": { "more": needs } }), measured];
    let mut world = World::new()
        .load(&Guest::provider(Does::Answers(answers)).with("grants", granted()))
        .await;
    let call = world.measure();
    assert!(matches!(world.answer(&call).await, Reply::Measured(_)));
    assert_eq!(world.host.affected_by(&key("Rule", "judge")).len(), 1);
    world.host.settled(&call.subject, &call.slot, &call.key());
    assert_eq!(world.host.affected_by(&key("Rule", "judge")), []);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_read_ends_its_own_job_only() {
    let mut world = World::new()
        .load(&slow().checking(Does::Answers(vec![usable()])))
        .await;
    world
        .server
        .slow_page("/slow", "", Duration::from_secs(1_000_000));
    let call = weight(&world, 20);
    world.start(&call);
    let check = world.call(Function::Check, Ask::Check);
    assert_eq!(world.answer(&check).await, Reply::Usable);
    // The plugin names an hour, of which it gets the most that there is; then it has been told.
    assert_eq!(world.finished.recv().await, Some(subject()));
    assert!(matches!(world.reply(&call), Reply::Routed(_)));
}

#[tokio::test(start_paused = true)]
async fn jobs_end_with_the_last_handle() {
    let world = slow_world().await;
    let call = weight(&world, 20);
    world.start(&call);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let World {
        host, mut finished, ..
    } = world;
    drop(host);
    assert_eq!(finished.recv().await, None);
}

// I11
#[tokio::test(start_paused = true)]
async fn a_closed_host_ends_its_jobs_and_begins_none() {
    let world = slow_world().await;
    let call = weight(&world, 20);
    world.start(&call);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.server.received.lock().unwrap().len(), 1);
    world.host.close();
    assert!(world.job(&call).is_none());
    world.start(&weight(&world, 30));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(world.host.jobs(&subject()).is_empty());
    assert_eq!(
        world.server.received.lock().unwrap().len(),
        1,
        "nothing more is asked"
    );
}

//! Rounds of needs, what the guest is told, and what becomes of its decision.

use serde_json::{Value, json};
use sluice_engine::plan::{Edit, Propagation, Severity};
use sluice_engine::plugin::{Disposition, MeasuredValue, Notice, Reply, Verification, Wish};
use sluice_engine::read::ReadOutcome;

use super::guest::{Does, Guest, get, more, no_effects, plan, read_named};
use super::world::{World, key};
use crate::SubjectBody;

fn granted() -> Value {
    json!({
        "reads": [{ "group": "example.com", "kinds": ["Route"], "namespaces": "subject" }],
        "changes": [{ "group": "example.com", "kinds": ["Route"], "verbs": ["create", "patch", "delete"], "namespaces": "subject" }],
        "http": ["http://metrics"],
    })
}

fn router(answers: Vec<Value>) -> Guest {
    Guest::router(Does::Answers(answers)).with("grants", granted())
}

fn change(name: &str, edit: Value) -> Value {
    json!({
        "target": { "api-version": "example.com/v1", "kind": "Route", "namespace": null, "name": name },
        "edit": edit,
        "precondition": "7",
        "reason": "shift 20 of 100",
    })
}

fn changing(changes: Value) -> Value {
    let mut effects = no_effects();
    effects["changes"] = changes;
    plan(effects)
}

/// The writes of a router that reads the Routes `web` and `gone`, of which the first exists, and makes these changes. Its
/// configuration names the Route `named`.
async fn writes(changes: Value) -> Result<Vec<sluice_engine::plan::Write>, (String, String)> {
    let reads = json!([
        read_named("web", "Route", "web"),
        read_named("gone", "Route", "gone")
    ]);
    let mut world = World::new()
        .load(&router(vec![more(reads, json!([])), changing(changes)]))
        .await;
    world.objects.put(
        "Route",
        "web",
        "7",
        json!({ "spec": { "weight": 10, "hosts": ["a"] } }),
    );
    let mut call = world.route();
    call.config = json!({ "routes": [{ "name": "named" }] });
    match world.answer(&call).await {
        Reply::Routed(routed) => Ok(routed.effects.writes),
        Reply::Broken { reason, message } => Err((reason, message)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_becomes_a_write_in_the_subjects_namespace() {
    let patch = json!({ "merge-patch": "{\"spec\":{\"weight\":20}}" });
    let made = writes(json!([change("web", patch)])).await.unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].target, key("Route", "web"));
    assert_eq!(
        made[0].edit,
        Edit::MergePatch(json!({ "spec": { "weight": 20 } }))
    );
    assert_eq!(made[0].precondition.as_deref(), Some("7"));
    assert_eq!(made[0].reason, "shift 20 of 100");
}

#[tokio::test(start_paused = true)]
async fn changes_that_change_nothing_are_dropped() {
    for (edit, kept) in [
        (
            json!({ "merge-patch": "{\"spec\":{\"weight\":10}}" }),
            false,
        ),
        (
            json!({ "merge-patch": "{\"spec\":{\"absent\":null}}" }),
            false,
        ),
        (
            json!({ "merge-patch": "{\"spec\":{\"hosts\":[\"b\"]}}" }),
            true,
        ),
        (
            json!({ "json-patch": "[{\"op\":\"replace\",\"path\":\"/spec/weight\",\"value\":10}]" }),
            false,
        ),
        (
            json!({ "json-patch": "[{\"op\":\"replace\",\"path\":\"/spec/weight\",\"value\":11}]" }),
            true,
        ),
        (json!({ "json-patch": "[]" }), false),
        (json!({ "delete": "background" }), true),
    ] {
        let made = writes(json!([change("web", edit.clone())])).await.unwrap();
        assert_eq!(made.len(), usize::from(kept), "{edit}");
    }
    // What was looked for and is not there need not be deleted; what was not looked for may be there.
    let delete = json!({ "delete": "orphan" });
    assert_eq!(
        writes(json!([change("gone", delete.clone())]))
            .await
            .unwrap(),
        []
    );
    let made = writes(json!([change("named", delete)])).await.unwrap();
    assert_eq!(made[0].edit, Edit::Delete(Propagation::Orphan));
    let patch = json!({ "merge-patch": "{\"spec\":{\"weight\":10}}" });
    assert_eq!(
        writes(json!([change("named", patch)])).await.unwrap().len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn later_changes_see_the_earlier_ones_of_the_same_answer() {
    let set = |weight: u32| {
        change(
            "web",
            json!({ "merge-patch": json!({ "spec": { "weight": weight } }).to_string() }),
        )
    };
    let made = writes(json!([set(20), set(20), set(10)])).await.unwrap();
    let edits: Vec<_> = made.into_iter().map(|write| write.edit).collect();
    let expected = [20, 10].map(|weight| Edit::MergePatch(json!({ "spec": { "weight": weight } })));
    assert_eq!(edits, expected);
    let delete = change("web", json!({ "delete": "background" }));
    let (reason, message) = writes(json!([delete, set(5)])).await.unwrap_err();
    assert_eq!(
        (reason.as_str(), message.as_str()),
        (
            "ChangeRefused",
            "Route shop/web: is patched after it was deleted"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_not_granted_breaks_the_answer() {
    let patch = json!({ "merge-patch": "{\"metadata\":{\"finalizers\":[]}}" });
    let (reason, message) = writes(json!([change("web", patch)])).await.unwrap_err();
    assert_eq!(reason, "ChangeRefused");
    assert_eq!(
        message,
        "Route shop/web: metadata.finalizers: plugins must not edit it"
    );
    let misplaced = json!({ "json-patch": "[{\"op\":\"replace\",\"path\":\"/spec/http/3/weight\",\"value\":1}]" });
    let (reason, message) = writes(json!([change("web", misplaced)])).await.unwrap_err();
    assert_eq!(reason, "ChangeRefused");
    assert!(
        message.starts_with("Route shop/web: the JSON patch does not fit the object"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_nobody_told_the_plugin_about_is_not_changed() {
    for edit in [
        json!({ "merge-patch": "{\"spec\":{\"weight\":10}}" }),
        json!({ "json-patch": "[]" }),
        json!({ "delete": "background" }),
    ] {
        let (reason, message) = writes(json!([change("unknown", edit)])).await.unwrap_err();
        assert_eq!(reason, "ChangeRefused");
        assert_eq!(
            message,
            "Route shop/unknown: neither does the configuration name it, nor has the plugin read it in this pass"
        );
    }
    // What an earlier change of the answer creates is known.
    let body =
        json!({ "apiVersion": "example.com/v1", "kind": "Route", "metadata": { "name": "new" } });
    let create = change(
        "new",
        json!({ "create": { "body": body.to_string(), "owned": true } }),
    );
    let patch = change(
        "new",
        json!({ "merge-patch": "{\"spec\":{\"weight\":10}}" }),
    );
    assert_eq!(writes(json!([create, patch])).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_created_is_labelled_and_owned_by_the_subject() {
    let body = json!({ "apiVersion": "example.com/v1", "kind": "Route", "metadata": { "name": "new", "labels": { "a": "b" } } });
    let create = |owned: bool| json!({ "create": { "body": body.to_string(), "owned": owned } });
    let made = writes(json!([change("new", create(true))])).await.unwrap();
    let Edit::Create(body) = &made[0].edit else {
        panic!("not created")
    };
    assert_eq!(
        body["metadata"],
        json!({
            "name": "new",
            "namespace": "shop",
            "labels": { "a": "b", "sluice.dev/subject-uid": "u-1" },
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "u-1",
                "controller": true, "blockOwnerDeletion": true,
            }],
        })
    );
    let made = writes(json!([change("new", create(false))])).await.unwrap();
    let Edit::Create(body) = &made[0].edit else {
        panic!("not created")
    };
    assert_eq!(body["metadata"].get("ownerReferences"), None);
}

// KEY-015
#[tokio::test(start_paused = true)]
async fn what_a_provider_creates_carries_the_run_and_the_metric() {
    let body =
        json!({ "apiVersion": "example.com/v1", "kind": "Route", "metadata": { "name": "new" } });
    let mut effects = no_effects();
    effects["changes"] = json!([change(
        "new",
        json!({ "create": { "body": body.to_string(), "owned": true } })
    )]);
    let wait = json!({ "ok": { "wait": { "effects": effects, "metadata": [], "message": null } } });
    let mut world = World::new()
        .load(&Guest::provider(Does::Answers(vec![wait])).with("grants", granted()))
        .await;
    let call = world.measure();
    let Reply::Waiting(waiting) = world.answer(&call).await else {
        panic!("not waiting")
    };
    let Edit::Create(body) = &waiting.effects.writes[0].edit else {
        panic!("not created")
    };
    assert_eq!(
        body["metadata"]["labels"],
        json!({ "analysisrun.argoproj.io/uid": "u-1" })
    );
    assert_eq!(
        body["metadata"]["annotations"],
        json!({ "analysisrun.argoproj.io/metric-name": "latency" })
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_waits_for_nothing_is_asked_again() {
    let wait = |watch: serde_json::Value, again: serde_json::Value| {
        let mut effects = no_effects();
        effects["watch"] = watch;
        effects["again-after"] = again;
        json!({ "ok": { "wait": { "effects": effects, "metadata": [], "message": null } } })
    };
    let nothing = json!([]);
    for (watch, again, expected) in [
        (nothing.clone(), json!(null), Some("2026-03-09T10:15:10Z")),
        (nothing, json!(2000), Some("2026-03-09T10:15:02Z")),
        (
            json!([read_named("route", "Route", "web")]),
            json!(null),
            None,
        ),
    ] {
        let answers = vec![wait(watch, again)];
        let guest = Guest::provider(Does::Answers(answers)).with("grants", granted());
        let mut world = World::new().load(&guest).await;
        let call = world.measure();
        let Reply::Waiting(waiting) = world.answer(&call).await else {
            panic!("not waiting")
        };
        let found = waiting.effects.again_at.map(|time| time.to_string());
        assert_eq!(found.as_deref(), expected);
    }
}

/// When a plugin is called again that watches this and says no time. It may read Routes and Rules.
async fn called_again(guest: fn(Value) -> Guest, watch: &[Value]) -> Option<String> {
    let mut effects = no_effects();
    effects["watch"] = json!(watch);
    let mut grants = granted();
    grants["reads"][0]["kinds"] = json!(["Route", "Rule"]);
    let guest = guest(effects).with("grants", grants);
    let mut world = World::new().load(&guest).await;
    // As Pods are, or what is in a namespace that the controller does not see.
    let unfollowed = &world.objects.unfollowed;
    unfollowed.lock().unwrap().insert("Rule".to_owned());
    let call = if guest.manifest["kinds"] == json!(["traffic-router"]) {
        world.route()
    } else {
        world.measure()
    };
    let effects = match world.answer(&call).await {
        Reply::Waiting(waiting) => waiting.effects,
        Reply::Routed(routed) => routed.effects,
        other => panic!("{other:?}"),
    };
    effects.again_at.map(|time| time.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_watches_what_nobody_follows_is_called_again() {
    let waiting: fn(Value) -> Guest = |effects| {
        let wait =
            json!({ "ok": { "wait": { "effects": effects, "metadata": [], "message": null } } });
        Guest::provider(Does::Answers(vec![wait]))
    };
    let routing: fn(Value) -> Guest = |effects| Guest::router(Does::Answers(vec![plan(effects)]));
    let followed = read_named("route", "Route", "web");
    let unfollowed = read_named("rule", "Rule", "web");
    let refused = read_named("gate", "Gate", "web");
    for (watch, expected) in [
        (vec![followed.clone()], false),
        (vec![unfollowed.clone()], true),
        (vec![followed.clone(), unfollowed], true),
        (vec![followed, refused], true),
    ] {
        let expected = expected.then_some("2026-03-09T10:15:10Z");
        for guest in [waiting, routing] {
            let found = called_again(guest, &watch).await;
            assert_eq!(found.as_deref(), expected, "{watch:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn asking_without_end_ends_after_eight_rounds() {
    let answers = (0..9)
        .map(|round| {
            more(
                json!([read_named(&format!("r{round}"), "Route", "web")]),
                json!([]),
            )
        })
        .collect();
    let mut world = World::new().load(&router(answers)).await;
    let call = world.route();
    let (reason, message) = world.broken(&call).await;
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("TooManyRounds", "still asks for more after 8 rounds")
    );
    let calls: u64 = world
        .host
        .metrics()
        .calls
        .values()
        .map(|counts| counts.count)
        .sum();
    assert_eq!(calls, 8);
}

#[tokio::test(start_paused = true)]
async fn asking_again_for_what_is_answered_ends_at_once() {
    let same = more(json!([read_named("r", "Route", "web")]), json!([]));
    let mut world = World::new().load(&router(vec![same])).await;
    let call = world.route();
    let (reason, message) = world.broken(&call).await;
    assert_eq!(reason, "TooManyRounds");
    assert_eq!(
        message,
        "asks in round 1 for nothing that is not answered already"
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_not_granted_is_answered_with_why() {
    // The guest goes on with the answer, as it would with any other.
    let forbidden = more(json!([read_named("r", "Gate", "web")]), json!([]));
    let mut world = World::new()
        .load(&router(vec![forbidden, plan(no_effects())]))
        .await;
    let call = world.route();
    assert!(matches!(world.answer(&call).await, Reply::Routed(_)));
    assert!(world.objects.log.lock().unwrap().is_empty());
    assert!(world.host.affected_by(&key("Gate", "web")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn objects_that_cannot_be_read_now_make_the_plugin_unavailable() {
    let asks = more(json!([read_named("r", "Route", "web")]), json!([]));
    let mut world = World::new()
        .load(&router(vec![asks, plan(no_effects())]))
        .await;
    let trouble = ReadOutcome::Unavailable("connection refused".to_owned());
    world
        .objects
        .instead
        .lock()
        .unwrap()
        .insert("Route".to_owned(), trouble);
    let call = world.route();
    let (reason, message) = world.broken(&call).await;
    assert_eq!(reason, "Unavailable");
    assert_eq!(message, "Route could not be read: connection refused");
}

#[tokio::test(start_paused = true)]
async fn an_annotation_narrows_a_read() {
    let mut marked = read_named("marked", "Route", "");
    marked["select"] = json!({ "annotated": { "name": "managed-by", "value": "web" } });
    let asks = more(json!([marked]), json!([]));
    let mut world = World::new()
        .load(&router(vec![asks, plan(no_effects())]))
        .await;
    let annotated = |value: &str| json!({ "metadata": { "annotations": { "managed-by": value } } });
    world.objects.put("Route", "a", "1", annotated("web"));
    world.objects.put("Route", "b", "1", annotated("other"));
    let call = world.route();
    world.answer(&call).await;
    let fresh = |world: &World| match world.job(&call).unwrap().state {
        sluice_engine::plugin::JobState::Finished { fresh, .. } => fresh,
        sluice_engine::plugin::JobState::Running => panic!("at work"),
    };
    assert!(fresh(&world));
    // Objects without the mark are none of its business.
    world.objects.put("Route", "b", "2", annotated("other"));
    assert!(fresh(&world));
    world.objects.put("Route", "b", "3", annotated("web"));
    assert!(!fresh(&world));
}

/// What a router sees in its context at this offset.
async fn sees(offset: usize, prepare: impl FnOnce(Guest) -> Guest) -> String {
    let guest = prepare(Guest::router(Does::Echoes(offset, None)));
    let mut world = World::with(|settings| {
        settings.setting_values = [
            ("probe-url".to_owned(), "http://x".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "s3cret".to_owned()),
        ]
        .into();
    })
    .load(&guest)
    .await;
    let mut call = world.route();
    call.config = json!({ "virtualService": { "name": "web" } });
    world.host.start(
        &call,
        SubjectBody::new(json!({
            "kind": "Rollout",
            "metadata": { "name": "web", "managedFields": [{ "manager": "kubectl" }] },
            "spec": { "replicas": 3, "template": { "spec": {} } },
        })),
    );
    world.finished.recv().await;
    match world.reply(&call) {
        Reply::Refused(refusal) => refusal.message,
        other => panic!("{other:?}"),
    }
}

const NOW: usize = 0;
const SUBJECT_KIND: usize = 20;
const SUBJECT_BODY: usize = 48;
const CONFIG: usize = 56;
const SETTINGS: usize = 64;
const STATE: usize = 76;

#[tokio::test(start_paused = true)]
async fn a_guest_sees_the_clock_the_subject_its_config_and_its_settings() {
    assert_eq!(sees(NOW, |guest| guest).await, "2026-03-09T10:15:00Z");
    assert_eq!(sees(SUBJECT_KIND, |guest| guest).await, "Rollout");
    assert_eq!(
        sees(CONFIG, |guest| guest).await,
        r#"{"virtualService":{"name":"web"}}"#
    );
    // Credentials of the host are no settings.
    let settings = json!({
        "url": { "flag": "probe-url", "description": "" },
        "key": { "environment": "AWS_SECRET_ACCESS_KEY", "description": "" },
    });
    assert_eq!(
        sees(SETTINGS, |guest| guest.with("settings", settings)).await,
        r#"{"url":"http://x"}"#
    );
    let body: Value = serde_json::from_str(&sees(SUBJECT_BODY, |guest| guest).await).unwrap();
    assert_eq!(
        body,
        json!({ "kind": "Rollout", "metadata": { "name": "web" }, "spec": { "replicas": 3 } })
    );
    let whole = sees(SUBJECT_BODY, |guest| {
        guest.with("subjectBody", json!("with-template"))
    })
    .await;
    assert!(
        whole.contains("\"template\"") && !whole.contains("managedFields"),
        "{whole}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_routers_state_comes_back_in_its_next_call() {
    let mut first = plan(no_effects());
    first["ok"]["done"]["state"] = json!("{\"seen\":1}");
    let mut world = World::new()
        .load(&Guest::router(Does::Echoes(STATE, Some(first))))
        .await;
    let mut call = world.route();
    assert!(matches!(world.answer(&call).await, Reply::Routed(_)));
    // An error leaves the state as it was, so the third call sees it, too.
    for due in 1..3 {
        call.due = due;
        let Reply::Refused(refusal) = world.answer(&call).await else {
            panic!("no state")
        };
        assert_eq!(refusal.message, "{\"seen\":1}");
    }
    // Another slot has its own.
    call.slot.part = "other".to_owned();
    assert!(matches!(world.answer(&call).await, Reply::Routed(_)));
}

#[tokio::test(start_paused = true)]
async fn failed_changes_are_told_in_the_next_call() {
    // The number of failed changes.
    let guest = Guest::router(Does::TrapsIf(104, plan(no_effects())));
    let mut world = World::new().load(&guest).await;
    let mut call = world.route();
    assert!(matches!(world.answer(&call).await, Reply::Routed(_)));
    let failed = vec![(key("Route", "web"), "forbidden".to_owned())];
    world.host.failed_changes(&call.subject, &call.slot, failed);
    call.due = 1;
    assert_eq!(world.broken(&call).await.0, "Trapped");
    world
        .host
        .failed_changes(&call.subject, &call.slot, Vec::new());
    call.due = 2;
    assert!(matches!(world.answer(&call).await, Reply::Routed(_)));
}

#[tokio::test(start_paused = true)]
async fn notices_and_times_reach_the_reply() {
    let mut effects = no_effects();
    effects["notices"] =
        json!([{ "severity": "warning", "reason": "Odd", "message": "it is odd" }]);
    effects["again-after"] = json!(1500);
    let mut world = World::new().load(&router(vec![plan(effects)])).await;
    let call = world.route();
    let Reply::Routed(routed) = world.answer(&call).await else {
        panic!("not routed")
    };
    assert_eq!(routed.verification, Verification::InEffect);
    let notice = Notice {
        severity: Severity::Warning,
        reason: "Odd".to_owned(),
        message: "it is odd".to_owned(),
    };
    assert_eq!(routed.effects.notices, [notice]);
    assert_eq!(
        routed.effects.again_at.unwrap().to_string(),
        "2026-03-09T10:15:01.5Z"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_its_field_and_is_woken_by_what_it_watches() {
    let error = json!({ "err": {
        "disposition": "invalid-config",
        "field": "virtualService.name",
        "reason": "NotFound",
        "message": "there is no such VirtualService",
        "retry-after": 2000,
        "watch": [read_named("route", "Route", "web")],
        "notices": [],
        "metadata": [{ "name": "a", "value": "b" }],
    } });
    let mut world = World::new().load(&router(vec![error])).await;
    let call = world.route();
    let Reply::Refused(refusal) = world.answer(&call).await else {
        panic!("not refused")
    };
    assert_eq!(refusal.disposition, Disposition::InvalidConfig);
    assert_eq!(refusal.field.as_deref(), Some("virtualService.name"));
    assert_eq!(refusal.message, "there is no such VirtualService");
    assert_eq!(
        refusal.again_at.unwrap().to_string(),
        "2026-03-09T10:15:02Z"
    );
    assert_eq!(refusal.metadata["a"], "b");
    assert_eq!(world.host.affected_by(&key("Route", "web")).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_has_only_declared_keys() {
    let with_status = |status: &str| {
        let mut plan = plan(no_effects());
        plan["ok"]["done"]["status"] = json!(status);
        router(vec![plan]).with("statusKeys", json!(["alb"]))
    };
    let mut world = World::new().load(&with_status("{\"alb\":{\"x\":1}}")).await;
    let call = world.route();
    let Reply::Routed(routed) = world.answer(&call).await else {
        panic!("not routed")
    };
    assert_eq!(routed.status, Some(json!({ "alb": { "x": 1 } })));
    for (status, expected) in [
        (
            "{\"replicas\":3}",
            "status.replicas: the manifest does not declare it under statusKeys",
        ),
        ("3", "status: must be an object"),
        (
            "{",
            "status: EOF while parsing an object at line 1 column 1",
        ),
    ] {
        let mut world = World::new().load(&with_status(status)).await;
        let call = world.route();
        assert_eq!(
            world.broken(&call).await,
            ("AnswerInvalid".to_owned(), expected.to_owned())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_too_large_or_no_json_is_refused() {
    for (state, expected) in [
        (
            json!("x".repeat(5000)),
            "state: is 5002 bytes; at most 4096 are kept",
        ),
        (json!(null), ""),
    ] {
        let mut plan = plan(no_effects());
        plan["ok"]["done"]["state"] = if state.is_null() {
            json!("{")
        } else {
            json!(state.to_string())
        };
        let mut world = World::new().load(&router(vec![plan])).await;
        let call = world.route();
        let (reason, message) = world.broken(&call).await;
        assert_eq!(reason, "AnswerInvalid");
        assert!(
            message.starts_with(expected) && message.starts_with("state: "),
            "{message}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn measurements_of_every_type_arrive() {
    for (value, expected) in [
        (json!({ "number": 0.25 }), Some(MeasuredValue::Number(0.25))),
        (
            json!({ "numbers": [1.0, 2.0] }),
            Some(MeasuredValue::Numbers(vec![1.0, 2.0])),
        ),
        (
            json!({ "text": "up" }),
            Some(MeasuredValue::Text("up".to_owned())),
        ),
        (
            json!({ "document": "{\"a\":1}" }),
            Some(MeasuredValue::Document(json!({ "a": 1 }))),
        ),
        (json!(null), None),
    ] {
        let measured = json!({ "ok": { "measured": {
            "measurement": {
                "value": value, "shown": "shown", "phase": "inconclusive", "message": "m",
                "metadata": [{ "name": "job-name", "value": "j" }],
                "metric-metadata": [{ "name": "query", "value": "up" }],
            },
            "effects": no_effects(),
        } } });
        let mut world = World::new()
            .load(&Guest::provider(Does::Answers(vec![measured])))
            .await;
        let call = world.measure();
        let Reply::Measured(measured) = world.answer(&call).await else {
            panic!("not measured")
        };
        assert_eq!(measured.value, expected);
        assert_eq!(measured.shown, "shown");
        assert_eq!(measured.phase.as_deref(), Some("Inconclusive"));
        assert_eq!(measured.metadata["job-name"], "j");
        assert_eq!(measured.metric_metadata["query"], "up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_says_how_far_it_is_and_what_it_wants() {
    let outcome = json!({ "ok": { "done": {
        "phase": "running", "message": "waiting for approval", "status": "{\"asked\":true}", "weight": 30,
        "wish": "promote-full", "effects": no_effects(),
    } } });
    let mut world = World::new()
        .load(&Guest::step(Does::Answers(vec![outcome])))
        .await;
    let call = world.execute();
    let Reply::Stepped(stepped) = world.answer(&call).await else {
        panic!("not stepped")
    };
    assert_eq!(stepped.phase, "Running");
    assert_eq!(stepped.status, Some(json!({ "asked": true })));
    assert_eq!(
        (stepped.weight, stepped.wish),
        (Some(30), Wish::PromoteFull)
    );
}

fn measured(shown: &str) -> Value {
    json!({ "ok": { "measured": {
        "measurement": { "value": { "number": 1.0 }, "shown": shown, "phase": null, "message": null, "metadata": [], "metric-metadata": [] },
        "effects": no_effects(),
    } } })
}

fn asking_for_samples(providers: &[Value]) -> Value {
    let samples: Vec<Value> = providers
        .iter()
        .enumerate()
        .map(|(index, provider)| json!({ "id": format!("s{index}"), "provider": provider.to_string() }))
        .collect();
    json!({ "ok": { "more": { "needs": { "reads": [], "http": [], "state": null }, "samples": samples } } })
}

#[tokio::test(start_paused = true)]
async fn a_provider_takes_samples_of_others_but_not_of_samples() {
    let judge = |providers: &[Value]| {
        Guest::provider(Does::Answers(vec![
            asking_for_samples(providers),
            measured("judged"),
        ]))
        .with("name", json!("judge"))
    };
    let meter = Guest::provider(Does::Answers(vec![
        {
            let needs =
                json!({ "reads": [], "http": [get("q", "http://metrics/q")], "state": null });
            json!({ "ok": { "more": { "needs": needs, "samples": [] } } })
        },
        measured("1"),
    ]))
    .with("grants", granted())
    .with("name", json!("meter"))
    .with("aliases", json!(["vendor/meter"]));
    let world = World::new();
    world.host.load("meter.wasm", meter.build()).await.unwrap();
    let providers = [
        json!({ "meter": {} }),
        json!({ "plugin": { "vendor/meter": {} } }),
        json!({ "judge": {} }),
        json!({ "nobody": {} }),
        json!({}),
    ];
    world
        .host
        .load("judge.wasm", judge(&providers).build())
        .await
        .unwrap();
    world.server.page("/q", "1");
    let mut world = world;
    let mut call = world.measure();
    call.slot.plugin.name = "judge".to_owned();
    call.digest = world.host.registry()[&call.slot.plugin].digest.clone();
    let Reply::Measured(answer) = world.answer(&call).await else {
        panic!("not measured: {:?}", world.reply(&call))
    };
    assert_eq!(answer.shown, "judged");
    // Both names of the meter were asked; the judge within the judge got no samples, and went on without.
    assert_eq!(world.server.received().len(), 2);
}

//! Guests that mean no good, or were not written with care: each costs its own call, and says why.

use std::time::Duration;

use serde_json::json;
use sluice_engine::plugin::Reply;

use super::guest::{Does, Guest, LAST_WORDS, no_effects, plan};
use super::world::World;

fn runs(instructions: &str) -> Guest {
    Guest::router(Does::Runs(instructions.to_owned()))
}

async fn check(guest: Guest, reason: &str, says: &str) {
    let mut world = World::new().load(&guest).await;
    let call = world.route();
    let (broken, message) = world.broken(&call).await;
    assert_eq!(broken, reason, "{message}");
    assert!(message.contains(says), "{message:?} should say {says:?}");
}

#[tokio::test]
async fn a_guest_that_never_returns_ends_when_its_processor_time_is_used_up() {
    let mut world = World::with(|settings| {
        settings.ticker = true;
        settings.limits.cpu = Duration::from_millis(30);
    })
    .load(&runs("(loop $for_ever (br $for_ever)) unreachable"))
    .await;
    let call = world.route();
    let (reason, message) = world.broken(&call).await;
    assert_eq!(reason, "CpuExhausted");
    assert!(
        message.starts_with("used up its 30 ms of processor time"),
        "{message}"
    );
}

#[tokio::test]
async fn a_guest_that_never_returns_ends_when_its_time_is_over() {
    let mut world = World::with(|settings| {
        settings.ticker = true;
        settings.limits.cpu = Duration::from_secs(3600);
        settings.limits.wall = Duration::from_millis(50);
    })
    .load(&runs("(loop $for_ever (br $for_ever)) unreachable"))
    .await;
    let call = world.route();
    let (reason, message) = world.broken(&call).await;
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("TimedOut", "did not answer within 0.05 s")
    );
}

#[tokio::test]
async fn others_go_on_while_a_guest_computes() {
    let world = World::with(|settings| {
        settings.ticker = true;
        settings.limits.cpu = Duration::from_secs(3600);
        settings.limits.wall = Duration::from_secs(3600);
    })
    .load(&runs("(loop $for_ever (br $for_ever)) unreachable"))
    .await;
    let call = world.route();
    world.start(&call);
    // The same thread runs the guest and this timer.
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.host.retain(&call.subject, &[]);
    assert_eq!(world.job(&call), None);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_takes_memory_without_end_is_stopped_by_the_cap() {
    check(
        runs("(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable"),
        "OutOfMemory",
        "needs more than 64 MiB of memory",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_trap_is_told_with_the_last_words_of_the_guest() {
    check(runs("(call $log_error) unreachable"), "Trapped", LAST_WORDS).await;
}

#[tokio::test(start_paused = true)]
async fn a_trap_without_words_is_told_with_its_function() {
    let mut guest = runs("(call $shift_weight) (i32.const 0)");
    guest.extra = "(func $shift_weight unreachable)".to_owned();
    check(
        guest,
        "Trapped",
        "wasm `unreachable` instruction executed in shift_weight",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_outside_of_the_guests_memory_is_a_trap() {
    check(runs("(i32.const 0x7ffffff0)"), "Trapped", "").await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_not_taken() {
    let mut effects = no_effects();
    effects["notices"] =
        json!([{ "severity": "normal", "reason": "Long", "message": "x".repeat(2 << 20) }]);
    check(
        Guest::router(Does::Answers(vec![plan(effects)])),
        "AnswerTooLarge",
        "handed over more than 1048576 bytes at once",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn deep_recursion_ends_in_a_trap() {
    let mut guest = runs("(call $deeper) (i32.const 0)");
    guest.extra = "(func $deeper (call $deeper) (call $deeper))".to_owned();
    check(guest, "Trapped", "call stack exhausted").await;
}

#[tokio::test(start_paused = true)]
async fn text_that_is_not_json_is_named_by_its_field() {
    let mut effects = no_effects();
    effects["changes"] = json!([{
        "target": { "api-version": "example.com/v1", "kind": "Route", "namespace": null, "name": "web" },
        "edit": { "merge-patch": "{" },
        "precondition": null,
        "reason": "",
    }]);
    check(
        Guest::router(Does::Answers(vec![plan(effects)])),
        "AnswerInvalid",
        "effects.changes[0].edit.merge-patch: EOF while parsing",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn log_lines_over_the_budget_are_dropped_and_counted() {
    let chatter = "(local $left i32)
        (local.set $left (i32.const 5000))
        (loop $again
          (call $log_error)
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $again (local.get $left)))
        unreachable";
    let mut world = World::new().load(&runs(chatter)).await;
    let call = world.route();
    world.broken(&call).await;
    let fit = (64 << 10) / LAST_WORDS.len() as u64;
    assert_eq!(world.host.metrics().dropped_log_lines["probe"], 5000 - fit);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_keeps_failing_rests_and_is_tried_again_later() {
    let mut world = World::new().load(&runs("unreachable")).await;
    let mut call = world.route();
    for due in 0..5 {
        call.due = due;
        assert_eq!(world.broken(&call).await.0, "Trapped");
    }
    call.due = 5;
    let (reason, message) = world.broken(&call).await;
    assert_eq!(reason, "Unavailable");
    assert!(
        message
            .starts_with("the plugin rests until 2026-03-09T10:15:30Z after 5 failures in a row"),
        "{message}"
    );
    tokio::time::sleep(Duration::from_secs(31)).await;
    call.due = 6;
    assert_eq!(world.broken(&call).await.0, "Trapped");
    // The second rest is twice as long.
    tokio::time::sleep(Duration::from_secs(31)).await;
    call.due = 7;
    assert_eq!(world.broken(&call).await.0, "Unavailable");
    tokio::time::sleep(Duration::from_secs(30)).await;
    call.due = 8;
    assert_eq!(world.broken(&call).await.0, "Trapped");
}

#[tokio::test(start_paused = true)]
async fn every_call_gets_a_fresh_instance() {
    let answer = plan(no_effects());
    let mut guest = Guest::router(Does::Answers(vec![answer]));
    guest.extra = "(global $entered (mut i32) (i32.const 0))
        (func $once
          (if (global.get $entered) (then unreachable))
          (global.set $entered (i32.const 1)))
        (start $once)"
        .to_owned();
    let mut world = World::new().load(&guest).await;
    for due in 0..3 {
        let mut call = world.route();
        call.due = due;
        assert!(matches!(world.answer(&call).await, Reply::Routed(_)));
    }
}

#[cfg(feature = "wasi")]
#[tokio::test(start_paused = true)]
async fn what_a_guest_with_wasi_prints_before_it_traps_is_told() {
    let mut guest = runs("(call $print) unreachable");
    guest.wasi = true;
    check(guest, "Trapped", LAST_WORDS).await;
}

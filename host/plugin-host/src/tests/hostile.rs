//! Guests that mean no good, or were not written with care: each costs its own call, and says why.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use sluice_engine::plugin::{PluginCall, Reply};

use super::guest::{Does, Guest, LAST_WORDS, more, no_effects, plan, read_named};
use super::world::World;
use crate::Mishap;

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
async fn a_plugin_that_asks_for_something_before_it_traps_rests_too() {
    let entered = AtomicU64::new(0);
    let world = World::with(|settings| {
        settings.mishaps = Some(Arc::new(move |_: &PluginCall| {
            let second = entered.fetch_add(1, Ordering::Relaxed) % 2 == 1;
            second.then_some(Mishap::Trap)
        }));
    });
    let asks = more(json!([read_named("route", "Route", "web")]), json!([]));
    let guest = Guest::router(Does::Answers(vec![asks, plan(no_effects())]));
    let mut world = world.load(&guest).await;
    let mut call = world.route();
    for due in 0..5 {
        call.due = due;
        assert_eq!(world.broken(&call).await.0, "Trapped");
    }
    call.due = 5;
    let (reason, message) = world.broken(&call).await;
    assert_eq!(reason, "Unavailable", "{message}");
}

// A process whose runtime goes away while a guest is at work, and something else was asked meanwhile, ends all the same.
#[test]
fn a_runtime_that_goes_away_is_not_held_up_by_what_waits_behind_a_job() {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let world = runtime.block_on(async {
            let world = World::with(|settings| {
                settings.mishaps = Some(Arc::new(|_: &PluginCall| Some(Mishap::Hang)));
            });
            let world = world.load(&runs("unreachable")).await;
            let mut call = world.route();
            world.start(&call);
            // The job has begun.
            tokio::time::sleep(Duration::from_millis(10)).await;
            call.config = json!({ "other": true });
            world.start(&call);
            world
        });
        drop(runtime);
        drop(world);
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(60)).expect("it ends");
}

/// A router that works, and traps for whoever asks for that in its configuration.
struct Trapping {
    world: World,
    due: u64,
}

impl Trapping {
    async fn new() -> Self {
        let world = World::with(|settings| {
            settings.mishaps = Some(Arc::new(|call: &PluginCall| {
                (call.config == json!("trap")).then_some(Mishap::Trap)
            }));
        });
        let guest = Guest::router(Does::Answers(vec![plan(no_effects())]));
        Self {
            world: world.load(&guest).await,
            due: 0,
        }
    }

    /// Another call for the Rollout of this name.
    fn call(&mut self, name: &str, config: &str) -> PluginCall {
        self.due += 1;
        let mut call = self.world.route();
        call.subject.key.name = name.to_owned();
        call.subject.uid = format!("u-{name}");
        call.config = json!(config);
        call.due = self.due;
        call
    }

    async fn works(&mut self, name: &str) {
        let call = self.call(name, "work");
        let reply = self.world.answer(&call).await;
        assert!(matches!(reply, Reply::Routed(_)), "{name}: {reply:?}");
    }

    async fn traps(&mut self, name: &str) {
        let call = self.call(name, "trap");
        assert_eq!(self.world.broken(&call).await.0, "Trapped", "{name}");
    }

    /// What is said to one for whom the plugin rests, whatever its configuration.
    async fn rests(&mut self, name: &str) -> String {
        let call = self.call(name, "work");
        let (reason, message) = self.world.broken(&call).await;
        assert_eq!(reason, "Unavailable", "{name}: {message}");
        message
    }

    /// After so many seconds.
    async fn after(&mut self, seconds: u64) -> &mut Self {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self
    }
}

// I7
#[tokio::test(start_paused = true)]
async fn a_plugin_rests_for_the_subject_whose_calls_fail_and_for_no_other() {
    let mut router = Trapping::new().await;
    for _ in 0..5 {
        router.traps("odd").await;
    }
    let message = router.rests("odd").await;
    let expected = "the plugin rests until 2026-03-09T10:15:30Z after 5 failures in a row, the last: Trapped: ";
    assert!(message.starts_with(expected), "{message}");
    router.works("web").await;
    // Nor does the success of another end the rest.
    router.rests("odd").await;
    // Once it is forgotten, it begins anew.
    let gone = router.call("odd", "trap").subject;
    router.world.host.forget(&gone);
    router.traps("odd").await;
    router.works("odd").await;
    // The success has ended the row: four failures more are no five.
    for _ in 0..4 {
        router.traps("odd").await;
    }
    router.works("odd").await;
}

#[tokio::test(start_paused = true)]
async fn two_subjects_do_not_take_a_plugin_from_others() {
    let mut router = Trapping::new().await;
    for _ in 0..5 {
        router.traps("odd").await;
        router.traps("copy").await;
    }
    router.rests("odd").await;
    router.works("web").await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_fails_for_several_subjects_rests_for_all() {
    let mut router = Trapping::new().await;
    for name in ["a", "a", "b", "b", "c"] {
        router.traps(name).await;
    }
    assert_eq!(
        router.rests("web").await,
        "the plugin rests for everybody until 2026-03-09T10:15:30Z: it failed 5 times in a row, whoever asked"
    );
    // After the rest others go first, and one success is enough for all of them.
    router.after(31).await.rests("a").await;
    router.works("web").await;
    router.traps("a").await;
    router.works("web").await;
}

#[tokio::test(start_paused = true)]
async fn a_rest_of_all_gets_longer_only_by_who_has_not_failed_before() {
    let mut router = Trapping::new().await;
    for name in ["a", "a", "b", "b", "c"] {
        router.traps(name).await;
    }
    // Behind the others by the length of the shortest rest.
    router.after(61).await.traps("a").await;
    router.after(29).await.rests("d").await;
    router.after(2).await.traps("d").await;
    // That was another, so this rest is twice as long.
    router.after(31).await.rests("web").await;
    router.after(30).await.works("web").await;
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

#[cfg(feature = "wasi")]
#[tokio::test(start_paused = true)]
async fn what_a_guest_prints_without_an_end_of_the_line_is_told_and_logged() {
    let printing = || {
        let mut guest = runs("(call $print_unfinished) unreachable");
        guest.wasi = true;
        guest
    };
    check(printing(), "Trapped", LAST_WORDS).await;
    // A line that is over the budget of the log is counted, and so it was handed to the log.
    let mut world = World::with(|settings| settings.limits.log = 5)
        .load(&printing())
        .await;
    let call = world.route();
    world.broken(&call).await;
    assert_eq!(world.host.metrics().dropped_log_lines["probe"], 1);
}

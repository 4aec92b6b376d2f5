use std::time::Duration;

use tokio::time::Instant;

use crate::queue::{Queue, QueueName, Reading, Work};

impl Work for &'static str {
    const NAMES: &'static [&'static str] = &["Words", "Others"];

    fn name(&self) -> &'static str {
        if self.starts_with("other") {
            "Others"
        } else {
            "Words"
        }
    }
}

#[tokio::test(start_paused = true)]
async fn items_come_out_by_time_and_then_by_arrival() {
    let queue = Queue::new();
    let now = Instant::now();
    queue.add_at("late", now + Duration::from_secs(5));
    queue.add("first");
    queue.add("second");
    assert_eq!(queue.next().await, "first");
    assert_eq!(queue.next().await, "second");
    assert_eq!(queue.next().await, "late");
    assert_eq!(now.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_item_waits_once_and_at_its_earliest_time() {
    let queue = Queue::new();
    let now = Instant::now();
    queue.add_at("x", now + Duration::from_secs(9));
    queue.add_at("x", now + Duration::from_secs(2));
    queue.add_at("x", now + Duration::from_secs(4));
    assert_eq!(queue.next().await, "x");
    assert_eq!(now.elapsed(), Duration::from_secs(2));
    queue.done(&"x", None);
    assert_eq!(queue.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_added_while_it_is_worked_on_comes_again_afterwards() {
    let queue = Queue::new();
    queue.add("x");
    assert_eq!(queue.next().await, "x");
    queue.add("x");
    queue.add("y");
    assert_eq!(queue.next().await, "y");
    assert_eq!(queue.len(), 2);
    queue.done(&"x", None);
    assert_eq!(queue.next().await, "x");
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_until_ten_seconds_and_success_forgets_them() {
    let queue = Queue::new();
    queue.add("x");
    let mut waits = Vec::new();
    for _ in 0..16 {
        let before = Instant::now();
        queue.next().await;
        waits.push(before.elapsed().as_millis());
        queue.failed(&"x", Duration::ZERO, None);
    }
    // REC-001: 1 ms doubled each time. Tokio rounds timers up to whole milliseconds.
    assert_eq!(waits[..6], [0, 1, 2, 4, 8, 16]);
    assert_eq!(waits[15], 10_000);
    queue.next().await;
    queue.done(&"x", None);
    queue.add("x");
    let before = Instant::now();
    queue.next().await;
    queue.failed(&"x", Duration::ZERO, None);
    queue.next().await;
    assert_eq!(before.elapsed().as_millis(), 1);
}

// What a router's webhook refuses for ever must not put off the progress deadline.
#[tokio::test(start_paused = true)]
async fn failures_put_off_no_deadline() {
    let queue = Queue::new();
    queue.add("x");
    for _ in 0..16 {
        queue.next().await;
        queue.failed(&"x", Duration::ZERO, None);
    }
    queue.next().await;
    let before = Instant::now();
    queue.failed(&"x", Duration::ZERO, Some(before + Duration::from_secs(3)));
    queue.next().await;
    assert_eq!(before.elapsed().as_secs(), 3);
    // A later one changes nothing.
    let before = Instant::now();
    queue.failed(&"x", Duration::ZERO, Some(before + Duration::from_secs(30)));
    queue.next().await;
    assert_eq!(before.elapsed().as_secs(), 10);
    // One that came while the work was done is not too late.
    queue.failed(&"x", Duration::ZERO, Some(Instant::now()));
    let before = Instant::now();
    queue.next().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_be_left_alone_is_and_no_longer_than_any_failure_may_take() {
    let queue = Queue::new();
    let second = Duration::from_secs(1);
    queue.add("x");
    for (pause, latest, waited) in [
        (second, None, second),
        (second * 600, None, second * 10),
        (second * 5, Some(second * 2), second * 2),
    ] {
        queue.next().await;
        let before = Instant::now();
        queue.failed(&"x", pause, latest.map(|latest| before + latest));
        queue.add("y");
        assert_eq!(queue.next().await, "y");
        queue.done(&"y", None);
        queue.next().await;
        assert_eq!(before.elapsed(), waited);
        queue.done(&"x", Some(Instant::now()));
    }
    // Whoever changes it is heard at once.
    queue.next().await;
    let before = Instant::now();
    queue.failed(&"x", second * 5, None);
    queue.add("x");
    queue.next().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

// A restart without the right to evict: every second pass lists pods, which is no success.
#[tokio::test(start_paused = true)]
async fn work_that_goes_on_remembers_its_failures() {
    let queue = Queue::new();
    queue.add("x");
    let mut waits = Vec::new();
    for _ in 0..16 {
        let before = Instant::now();
        queue.next().await;
        waits.push(before.elapsed().as_millis());
        queue.again(&"x");
        queue.next().await;
        queue.failed(&"x", Duration::ZERO, None);
    }
    assert_eq!(waits[..6], [0, 1, 2, 4, 8, 16]);
    assert_eq!(waits[15], 10_000);
}

// MET-013
#[tokio::test(start_paused = true)]
async fn work_is_counted_as_client_go_does() {
    let queue = Queue::new();
    let words = QueueName { name: "Words" };
    let counts = |queue: &Queue<&'static str>| {
        let figures = queue.figures();
        let adds = figures.adds.get_or_create(&words).get();
        (adds, figures.retries.get_or_create(&words).get())
    };
    let reading = |queue: &Queue<&'static str>, name: &str| queue.read()[name];
    let second = Duration::from_secs(1);
    queue.add("x");
    queue.add("x");
    queue.add("other");
    assert_eq!(counts(&queue), (1, 0), "it waits already");
    assert_eq!(reading(&queue, "Words").depth, 1);
    tokio::time::advance(second).await;
    assert_eq!(queue.next().await, "x");
    assert_eq!(queue.next().await, "other");
    tokio::time::advance(second).await;
    let busy = Reading {
        depth: 0,
        unfinished: second,
        longest: second,
    };
    assert_eq!(reading(&queue, "Words"), busy);
    queue.add("x");
    assert_eq!(counts(&queue), (2, 0), "once more, afterwards");
    queue.done(&"x", None);
    assert_eq!(queue.next().await, "x");
    queue.failed(&"x", Duration::ZERO, None);
    assert_eq!(counts(&queue), (2, 1), "put off");
    assert_eq!(reading(&queue, "Words"), Reading::default(), "not due yet");
    assert_eq!(queue.next().await, "x");
    queue.done(&"x", Some(Instant::now()));
    assert_eq!(counts(&queue), (3, 1), "at once");
    assert_eq!(queue.next().await, "x");
    queue.done(&"x", Some(Instant::now() + second));
    assert_eq!(counts(&queue), (3, 2), "put off");
    let mut text = String::new();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register("waited", "", queue.figures().waited.clone());
    registry.register("worked", "", queue.figures().worked.clone());
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    let waited = text
        .lines()
        .find_map(|line| line.strip_prefix(r#"waited_sum{name="Words"} "#))
        .and_then(|sum| sum.parse::<f64>().ok());
    // A second, and what timers of whole milliseconds add.
    assert!(
        waited.is_some_and(|waited| (1.0..1.1).contains(&waited)),
        "{text}"
    );
    for line in [
        r#"waited_count{name="Words"} 4"#,
        r#"worked_sum{name="Words"} 1.0"#,
        r#"worked_count{name="Words"} 4"#,
        r#"waited_count{name="Others"} 1"#,
        r#"worked_count{name="Others"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
}

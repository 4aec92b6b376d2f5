use std::time::Duration;

use tokio::time::Instant;

use crate::queue::Queue;

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
        queue.failed(&"x");
    }
    // REC-001: 1 ms doubled each time. Tokio rounds timers up to whole milliseconds.
    assert_eq!(waits[..6], [0, 1, 2, 4, 8, 16]);
    assert_eq!(waits[15], 10_000);
    queue.next().await;
    queue.done(&"x", None);
    queue.add("x");
    let before = Instant::now();
    queue.next().await;
    queue.failed(&"x");
    queue.next().await;
    assert_eq!(before.elapsed().as_millis(), 1);
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
        queue.failed(&"x");
    }
    assert_eq!(waits[..6], [0, 1, 2, 4, 8, 16]);
    assert_eq!(waits[15], 10_000);
}

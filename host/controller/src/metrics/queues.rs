//! The work queue, under the names that client-go gives such figures (MET-013). Upstream has one queue for each kind of
//! work; here one queue holds them all, and the kinds are told apart.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::Item;
use crate::queue::{Figures, Queue, QueueName};

pub(super) fn register(queue: &Queue<Item>, registry: &mut Registry) {
    let depth = Family::<QueueName, Gauge>::default();
    let unfinished = Family::<QueueName, Gauge<f64, AtomicU64>>::default();
    let longest = Family::<QueueName, Gauge<f64, AtomicU64>>::default();
    for (name, reading) in queue.read() {
        let labels = QueueName { name };
        let waiting = i64::try_from(reading.depth).unwrap_or(i64::MAX);
        depth.get_or_create(&labels).set(waiting);
        unfinished
            .get_or_create(&labels)
            .set(reading.unfinished.as_secs_f64());
        longest
            .get_or_create(&labels)
            .set(reading.longest.as_secs_f64());
    }
    let Figures {
        adds,
        retries,
        waited,
        worked,
    } = queue.figures().clone();
    registry.register("workqueue_depth", "Items that are due", depth);
    registry.register("workqueue_adds", "Items that were added", adds);
    registry.register(
        "workqueue_queue_duration_seconds",
        "Seconds that an item was due before it was worked on",
        waited,
    );
    registry.register(
        "workqueue_work_duration_seconds",
        "Seconds of work on an item",
        worked,
    );
    registry.register(
        "workqueue_unfinished_work_seconds",
        "Seconds spent so far on items that are being worked on",
        unfinished,
    );
    registry.register(
        "workqueue_longest_running_processor_seconds",
        "The longest time that an item has been worked on so far",
        longest,
    );
    registry.register("workqueue_retries", "Items that were put off", retries);
}

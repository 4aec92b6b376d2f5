//! What a queue counts, under the names that client-go gives it (MET-013).

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// client-go's buckets, in seconds.
const BUCKETS: [f64; 10] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0];

/// Work that is counted by what it is.
pub(crate) trait Work: Ord + Clone {
    /// Every name that `name` gives.
    const NAMES: &'static [&'static str];

    /// What upstream calls the queue of such work.
    fn name(&self) -> &'static str;
}

/// The name of a queue.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct QueueName {
    pub name: &'static str,
}

/// What has happened in a queue so far. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub adds: Family<QueueName, Counter>,
    pub retries: Family<QueueName, Counter>,
    pub waited: Family<QueueName, Histogram>,
    pub worked: Family<QueueName, Histogram>,
}

/// How a queue is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Items that are due and that nobody works on yet.
    pub depth: usize,
    /// The time spent so far on all that is being worked on.
    pub unfinished: Duration,
    /// The longest of these times.
    pub longest: Duration,
}

impl Figures {
    /// Nothing has happened yet, and that can be read.
    pub fn new(names: &[&'static str]) -> Self {
        let figures = Self {
            adds: Family::default(),
            retries: Family::default(),
            waited: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            worked: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        for &name in names {
            let queue = QueueName { name };
            drop(figures.adds.get_or_create(&queue));
            drop(figures.retries.get_or_create(&queue));
            drop(figures.waited.get_or_create(&queue));
            drop(figures.worked.get_or_create(&queue));
        }
        figures
    }

    pub fn added(&self, name: &'static str) {
        self.adds.get_or_create(&QueueName { name }).inc();
    }

    /// To be done again, later.
    pub fn retried(&self, name: &'static str) {
        self.retries.get_or_create(&QueueName { name }).inc();
    }

    pub fn taken(&self, name: &'static str, waited: Duration) {
        let queue = QueueName { name };
        let histogram = self.waited.get_or_create(&queue);
        histogram.observe(waited.as_secs_f64());
    }

    pub fn finished(&self, name: &'static str, worked: Duration) {
        let queue = QueueName { name };
        let histogram = self.worked.get_or_create(&queue);
        histogram.observe(worked.as_secs_f64());
    }
}

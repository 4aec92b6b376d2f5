//! How long to wait after failures: doubling, with jitter from a seed, so that a story can be repeated exactly.

use std::time::Duration;

use tokio::time::Instant;

/// After this long without a failure the next one counts as the first: a watch that breaks every second must not start
/// from the shortest delay each time just because its list succeeded in between.
const FORGET: Duration = Duration::from_secs(60);

/// Delays of one loop. Every loop has its own: a broken watch must not slow down the others.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: Random,
    shortest: Duration,
    longest: Duration,
    failures: u32,
    last: Option<Instant>,
}

impl Backoff {
    /// From a tenth of a second to half a minute.
    pub(crate) fn new(seed: u64) -> Self {
        Self::between(seed, Duration::from_millis(100), Duration::from_secs(30))
    }

    /// With bounds of one's own, before jitter.
    pub(crate) fn between(seed: u64, shortest: Duration, longest: Duration) -> Self {
        Self {
            random: Random(seed),
            shortest,
            longest,
            failures: 0,
            last: None,
        }
    }

    /// The delay after one more failure: the doubled one before, plus up to as much again.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let now = Instant::now();
        if self
            .last
            .is_some_and(|last| now.duration_since(last) > FORGET + self.longest)
        {
            self.failures = 0;
        }
        self.last = Some(now);
        let doubled = self
            .shortest
            .saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.random.stretch(doubled.min(self.longest), 1.0)
    }
}

/// SplitMix64: enough for jitter, and the same on every machine.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The duration plus a random part of up to `factor` times itself.
    pub(crate) fn stretch(&mut self, duration: Duration, factor: f64) -> Duration {
        // 53 bits: what a float holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
        let part = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        duration + duration.mul_f64(part * factor)
    }
}

/// A seed of its own for each named loop, so that adding a loop does not change the others.
pub(crate) fn seed_for(seed: u64, name: &str) -> u64 {
    let mut random = Random(seed ^ u64::from(sluice_engine::hash::fnv32a(name.as_bytes())));
    random.next()
}

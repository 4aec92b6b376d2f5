//! The simulation's clock: a start instant plus what tokio's clock measured since.
//!
//! Under a paused tokio clock that is virtual time; in `sluice demo` it is real time.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Where virtual time begins, and when on tokio's clock that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Timestamp,
    origin: Instant,
}

impl Clock {
    /// A clock that reads `start` now.
    pub(crate) fn starting_at(start: Timestamp) -> Self {
        Self {
            start,
            origin: Instant::now(),
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// What the clock reads, read or will read at an instant of tokio's clock.
    pub(crate) fn at(&self, instant: Instant) -> Timestamp {
        let elapsed = instant.saturating_duration_since(self.origin);
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
        self.start.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// A `metav1.Time`: RFC 3339 in whole seconds, as the API server writes it.
pub(crate) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second())
        .unwrap_or(at)
        .to_string()
}

/// Reads a `metav1.Time`; nothing if it is not one.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

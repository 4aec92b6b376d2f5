//! Lets a plugin rest that keeps failing, so that a broken one costs nothing.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;
use crate::limits::Limits;

/// The record of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_a_row: u32,
    rests_until: Option<Timestamp>,
    rest: Duration,
    last: String,
}

impl Breaker {
    /// Whether the plugin may be called now.
    ///
    /// After its rest one call at a time is let through: the first that comes moves the end of the rest by the length
    /// of the shortest one, until that call has an outcome.
    ///
    /// # Errors
    /// Until when it rests and why, for the user.
    pub(crate) fn admit(&mut self, now: Timestamp, limits: &Limits) -> Result<(), String> {
        let Some(until) = self.rests_until else {
            return Ok(());
        };
        if now >= until {
            self.rests_until = Some(after(now, limits.rest));
            return Ok(());
        }
        Err(format!(
            "rests until {until} after {} failures in a row, the last: {}",
            self.in_a_row, self.last
        ))
    }

    /// A call has ended as it should, its answer good or bad.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call has ended in a way that counts.
    pub(crate) fn failed(&mut self, now: Timestamp, why: &str, limits: &Limits) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        why.clone_into(&mut self.last);
        if self.in_a_row < limits.failures {
            return;
        }
        self.rest = if self.rest.is_zero() {
            limits.rest
        } else {
            self.rest.saturating_mul(2).min(limits.longest_rest)
        };
        self.rests_until = Some(after(now, self.rest));
    }
}

//! Lets a plugin rest that keeps failing, so that a broken one costs nothing: for a subject whose calls fail, and for all
//! only when those of several do. What one user asks for must not take the plugin from others (I7).

use std::time::Duration;

use jiff::Timestamp;
use sluice_engine::object::Subject;

use crate::bounded::Bounded;
use crate::clock::after;
use crate::limits::Limits;

/// Different subjects that must be in a row of failures before the plugin rests for all. One may have a configuration that
/// no other has, and a second may be its copy; when a third fails as well and nobody succeeds, it is the plugin.
const SUBJECTS: usize = 3;
/// Failing subjects that are remembered, so that a plugin that fails for everybody costs no memory without end. One that
/// makes room for another is called as if it had never failed.
const REMEMBERED: usize = 1024;

/// The record of one plugin.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Subjects whose last call failed.
    failing: Bounded<Subject, Failing>,
    /// The failures of all.
    all: Row,
    /// Tells the row of all from earlier ones: each success begins another.
    number: u64,
}

/// A subject whose last call failed.
#[derive(Debug, Default)]
struct Failing {
    own: Row,
    /// The number of the row of all in which it failed last.
    within: Option<u64>,
    /// Why it failed last.
    last: String,
}

/// Failures in a row, and the rest that they led to.
#[derive(Debug, Default)]
struct Row {
    failures: u32,
    until: Option<Timestamp>,
    rest: Duration,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            failing: Bounded::new(REMEMBERED),
            all: Row::default(),
            number: 0,
        }
    }

    /// Whether the plugin may be called for this subject now.
    ///
    /// After a rest one call at a time is let through: the first that comes moves the end of the rest by the length of the
    /// shortest one, until that call has an outcome. After a rest of all, subjects go first whose calls have not failed:
    /// only they show that the plugin works, and the others must not take their turn.
    ///
    /// # Errors
    /// Until when it rests and why, for the user. What the plugin said on behalf of others is not theirs to see.
    pub(crate) fn admit(
        &mut self,
        subject: &Subject,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(), String> {
        let failing = self.failing.get(subject);
        let mut behind = Duration::ZERO;
        if let Some(failing) = &failing {
            if let Some(until) = failing.own.end(now, Duration::ZERO) {
                return Err(format!(
                    "rests until {until} after {} failures in a row, the last: {}",
                    failing.own.failures, failing.last
                ));
            }
            if failing.within == Some(self.number) {
                behind = limits.rest;
            }
        }
        if let Some(until) = self.all.end(now, behind) {
            return Err(format!(
                "rests for everybody until {until}: it failed {} times in a row, whoever asked",
                self.all.failures
            ));
        }
        if let Some(failing) = failing {
            failing.own.try_again(now, limits);
        }
        self.all.try_again(now, limits);
        Ok(())
    }

    /// A call for this subject has ended as it should, its answer good or bad.
    pub(crate) fn succeeded(&mut self, subject: &Subject) {
        self.failing.remove(subject);
        self.all = Row::default();
        self.number = self.number.wrapping_add(1);
    }

    /// A call for this subject has ended in a way that counts.
    pub(crate) fn failed(&mut self, subject: &Subject, now: Timestamp, why: &str, limits: &Limits) {
        let mut failing = self.failing.remove(subject).unwrap_or_default();
        let is_another = failing.within.replace(self.number) != Some(self.number);
        why.clone_into(&mut failing.last);
        failing.own.count();
        if failing.own.failures >= limits.failures {
            failing.own.rest(now, limits, true);
        }
        self.failing.insert(subject.clone(), failing);
        self.all.count();
        if self.all.failures >= limits.failures && self.subjects_in_row() >= SUBJECTS {
            // A subject that fails once more says nothing new about the plugin, and keeps nobody waiting for longer.
            self.all.rest(now, limits, is_another);
        }
    }

    /// Forgets a subject that is gone.
    pub(crate) fn forget(&mut self, subject: &Subject) {
        self.failing.remove(subject);
    }

    /// Different subjects that have failed since anybody succeeded.
    fn subjects_in_row(&self) -> usize {
        self.failing
            .values()
            .filter(|failing| failing.within == Some(self.number))
            .count()
    }
}

impl Row {
    /// When the rest ends, for who waits so much longer; None where that is over.
    fn end(&self, now: Timestamp, longer: Duration) -> Option<Timestamp> {
        let end = after(self.until?, longer);
        (now < end).then_some(end)
    }

    fn try_again(&mut self, now: Timestamp, limits: &Limits) {
        if self.until.is_some() {
            self.until = Some(after(now, limits.rest));
        }
    }

    fn count(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    fn rest(&mut self, now: Timestamp, limits: &Limits, longer: bool) {
        if self.rest.is_zero() {
            self.rest = limits.rest;
        } else if longer {
            self.rest = self.rest.saturating_mul(2).min(limits.longest_rest);
        }
        self.until = Some(after(now, self.rest));
    }
}

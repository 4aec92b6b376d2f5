//! What a plugin wants to know about objects, and what the answer looked like when it was given.
//!
//! Freshness is decided here: an answer is unchanged as long as the same objects in the same versions are found.

use std::sync::Arc;

use sluice_engine::object::ObjectKey;
use sluice_engine::read::{Read, ReadOutcome};

use crate::limits::Limits;
use crate::ports::Reads;

/// A read of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    pub read: Read,
}

/// The identity of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Found(Vec<(ObjectKey, String)>),
    NotServed,
    Forbidden,
    TooMany,
    Unavailable,
}

impl Question {
    /// The namespace that a plugin leaves out is the subject's.
    pub(crate) fn within(mut self, subject_namespace: Option<&str>) -> Self {
        if self.read.namespace.is_none() {
            self.read.namespace = subject_namespace.map(str::to_owned);
        }
        self
    }

    /// Asks.
    pub(crate) async fn ask(&self, reads: &Arc<dyn Reads>, limits: &Limits) -> ReadOutcome {
        match tokio::time::timeout(limits.read_timeout, reads.read(self.read.clone())).await {
            Ok(outcome) => bounded(outcome, limits),
            Err(_) => ReadOutcome::Unavailable(format!(
                "no answer within {} s",
                limits.read_timeout.as_secs()
            )),
        }
    }

    /// What the answer would be now; None where nobody can tell without asking.
    pub(crate) fn peek(&self, reads: &Arc<dyn Reads>, limits: &Limits) -> Option<Seen> {
        let outcome = reads.peek(&self.read)?;
        Some(Seen::of(&bounded(outcome, limits)))
    }
}

/// What a guest gets to see of an answer.
fn bounded(outcome: ReadOutcome, limits: &Limits) -> ReadOutcome {
    let ReadOutcome::Found(objects) = outcome else {
        return outcome;
    };
    let bytes = objects.iter().fold(0_usize, |bytes, object| {
        bytes.saturating_add(object.body.len())
    });
    if objects.len() > limits.objects || bytes > limits.object_bytes {
        return ReadOutcome::TooMany(u32::try_from(objects.len()).unwrap_or(u32::MAX));
    }
    ReadOutcome::Found(objects)
}

impl Seen {
    pub(crate) fn of(outcome: &ReadOutcome) -> Self {
        match outcome {
            ReadOutcome::Found(_) => Self::Found(outcome.fingerprint()),
            ReadOutcome::NotServed(_) => Self::NotServed,
            ReadOutcome::Forbidden(_) => Self::Forbidden,
            ReadOutcome::TooMany(_) => Self::TooMany,
            ReadOutcome::Unavailable(_) => Self::Unavailable,
        }
    }
}

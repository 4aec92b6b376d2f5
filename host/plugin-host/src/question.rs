//! What a plugin wants to know about objects, and what the answer looked like when it was given.
//!
//! Freshness is decided here: an answer is unchanged as long as the same objects in the same versions are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use sluice_engine::object::ObjectKey;
use sluice_engine::read::{Read, ReadOutcome};

use crate::limits::Limits;
use crate::ports::Reads;

/// A read, narrowed further by an annotation where the plugin asked for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    pub read: Read,
    /// Name and value.
    pub annotation: Option<(String, String)>,
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
            Ok(outcome) => self.narrowed(outcome, limits),
            Err(_) => ReadOutcome::Unavailable(format!(
                "no answer within {} s",
                limits.read_timeout.as_secs()
            )),
        }
    }

    /// What the answer would be now; None where nobody can tell without asking.
    pub(crate) fn peek(&self, reads: &Arc<dyn Reads>, limits: &Limits) -> Option<Seen> {
        let outcome = reads.peek(&self.read)?;
        Some(Seen::of(&self.narrowed(outcome, limits)))
    }

    fn narrowed(&self, outcome: ReadOutcome, limits: &Limits) -> ReadOutcome {
        let ReadOutcome::Found(mut objects) = outcome else {
            return outcome;
        };
        if let Some((name, value)) = &self.annotation {
            objects.retain(|object| annotated(&object.body, name, value));
        }
        let bytes = objects.iter().fold(0_usize, |bytes, object| {
            bytes.saturating_add(object.body.len())
        });
        if objects.len() > limits.objects || bytes > limits.object_bytes {
            return ReadOutcome::TooMany(u32::try_from(objects.len()).unwrap_or(u32::MAX));
        }
        ReadOutcome::Found(objects)
    }
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

fn annotated(body: &str, name: &str, value: &str) -> bool {
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    // Most objects do not have the name anywhere, which is quicker to see than to decode.
    body.contains(name)
        && serde_json::from_str::<Object>(body).is_ok_and(|object| {
            object
                .metadata
                .annotations
                .get(name)
                .is_some_and(|found| found == value)
        })
}

//! The request log: what every client asked for, in order, and what it was told.
//!
//! Two runs from the same seed have equal logs; a story's transcript is made from it.

use std::collections::VecDeque;
use std::fmt;

use jiff::Timestamp;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Virtual time at which it was sent.
    pub sent: Timestamp,
    /// Virtual time at which it took effect, or was refused or lost.
    pub at: Timestamp,
    /// The client's name, as given to [`crate::Simulation::client_named`].
    pub client: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; or a lower-case HTTP method.
    pub verb: String,
    /// Path and query.
    pub path: String,
    /// Status code and reason, or what a fault made of it.
    pub outcome: String,
}

impl LoggedRequest {
    /// Whether the request asked for a change.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }
}

impl fmt::Display for LoggedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} -> {}",
            self.at, self.client, self.verb, self.path, self.outcome
        )
    }
}

/// The newest requests, up to a limit.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<LoggedRequest>,
    limit: usize,
}

impl Log {
    /// An empty log.
    pub(crate) fn keeping(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            limit,
        }
    }

    /// Adds a request and forgets the oldest beyond the limit.
    pub(crate) fn push(&mut self, entry: LoggedRequest) {
        tracing::trace!(%entry, "request");
        self.entries.push_back(entry);
        while self.entries.len() > self.limit {
            self.entries.pop_front();
        }
    }

    /// Everything that is still known.
    pub(crate) fn entries(&self) -> Vec<LoggedRequest> {
        self.entries.iter().cloned().collect()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

//! Why a decision is what it is: what was done, what is waited for and until when.
//!
//! Whoever explains a decision prints these lines.

use jiff::Timestamp;
use serde::Serialize;

/// The lines of a report, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What is waited for.
    pub waits: Vec<Wait>,
    /// Facts worth a line in a log or an explanation.
    pub notes: Vec<String>,
}

/// Something that is not done yet, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// What waits.
    pub what: String,
    /// For what.
    pub for_what: String,
    /// Until when at the latest; None where only a change ends it.
    pub until: Option<Timestamp>,
}

impl Report {
    /// Adds a wait that only a change ends.
    pub fn wait(&mut self, what: impl Into<String>, for_what: impl Into<String>) {
        self.waits.push(Wait {
            what: what.into(),
            for_what: for_what.into(),
            until: None,
        });
    }

    /// Adds a wait with an end.
    pub fn wait_until(
        &mut self,
        what: impl Into<String>,
        for_what: impl Into<String>,
        until: Timestamp,
    ) {
        self.waits.push(Wait {
            what: what.into(),
            for_what: for_what.into(),
            until: Some(until),
        });
    }

    /// Adds a note.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

//! A guest's call and its answer in the host's own words, the same for every version of the WIT package.
//!
//! Nothing here is checked against a grant yet; `wit` fills these types, `pass` works on them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sluice_engine::object::ObjectKey;
use sluice_engine::plan::Propagation;
use sluice_engine::plugin::{Ask, Measured, Notice, Reply};
use sluice_engine::read::ReadOutcome;

use crate::http::{HttpFailure, HttpRequest, HttpResponse};
use crate::question::Question;

/// Everything that one call hands to the guest.
pub(crate) struct Facts<'a> {
    pub now: Timestamp,
    pub round: u32,
    pub subject: &'a ObjectKey,
    pub subject_body: &'a str,
    pub config: &'a str,
    pub settings: &'a str,
    pub state: Option<&'a str>,
    pub reads: &'a BTreeMap<String, Asked>,
    pub responses: &'a BTreeMap<String, Result<HttpResponse, HttpFailure>>,
    pub samples: &'a BTreeMap<String, Result<Measured, String>>,
    pub failed_changes: &'a [(ObjectKey, String)],
    pub ask: &'a Ask,
}

/// A read with its answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub question: Question,
    pub outcome: ReadOutcome,
}

/// What a guest says.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Call again with these answers.
    More(Needs),
    /// A decision.
    Done(Box<Draft>),
}

/// What a guest must know before it can decide.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub reads: Vec<(String, Question)>,
    pub http: Vec<(String, HttpRequest)>,
    pub samples: Vec<(String, Value)>,
    pub state: Option<String>,
}

/// A decision as the guest gave it.
#[derive(Debug)]
pub(crate) struct Draft {
    /// With empty effects; `wanted` becomes them.
    pub reply: Reply,
    pub wanted: Wanted,
    /// The state of the next pass; None clears it.
    pub state: Option<String>,
}

/// Effects as the guest wants them.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub changes: Vec<Change>,
    pub watch: Vec<(String, Question)>,
    pub notices: Vec<Notice>,
    /// Milliseconds.
    pub again_after: Option<u32>,
}

/// A write as the guest wants it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub target: ObjectKey,
    pub edit: ChangeEdit,
    pub precondition: Option<String>,
    pub reason: String,
}

/// What the write does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ChangeEdit {
    Create { body: Value, owned: bool },
    MergePatch(Value),
    JsonPatch(Value),
    Delete(Propagation),
}

//! Labels and annotations: those of the contract, which `sluice_api` names, and what only decisions add to them.

pub use sluice_api::keys::*;

/// Ours, on a set: hash of the template as the user wrote it, so that a later pass needs no comparison.
pub const TEMPLATE_SOURCE: &str = "sluice.dev/template-source";
/// Ours, on a set of blue-green whose update was aborted: to go back to it is no rollback to what has been live.
pub const ABORTED: &str = "sluice.dev/aborted";
/// Ours, on an AnalysisRun that was stopped because nobody needed it any more: what it says then is no verdict.
pub const STOPPED: &str = "sluice.dev/stopped";
/// Ours, on a Rollout: the routers that may have something of it, with their blocks, as JSON.
pub const ROUTERS: &str = "sluice.dev/routers";
/// Ours, label on what a plugin creates for a subject that is no AnalysisRun: the subject's UID.
pub const SUBJECT_UID: &str = "sluice.dev/subject-uid";

/// Annotations of the Rollout that are not copied to its sets (KEY-019).
pub const NOT_COPIED: [&str; 6] = [
    LAST_APPLIED,
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    NOTIFIED,
    ROUTERS,
];

//! Why a component is not taken, and whether it may be another time.

/// Why a component is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unusable {
    /// For the administrator.
    pub reason: String,
    /// Whether the same component may be taken another time: it was not refused for what it is.
    pub again: bool,
}

impl Unusable {
    /// It is refused for what it is, and will be the same another time.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            again: false,
        }
    }

    /// It could not be tried: there was no time for it, or something else was in the way.
    pub fn for_now(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            again: true,
        }
    }
}

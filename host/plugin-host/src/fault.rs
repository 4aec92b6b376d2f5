//! Why a call has no answer that counts: the plugin's fault, or the host's. What a plugin finds wrong with its
//! configuration is a refusal.

use std::fmt;

use sluice_engine::plugin::{Reply, UNAVAILABLE};

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub kind: FaultKind,
    pub message: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// A trap: a panic, an abort, an access outside of memory.
    Trapped,
    /// Wall time.
    TimedOut,
    /// Processor time.
    CpuExhausted,
    /// The memory cap.
    OutOfMemory,
    /// An answer over the size that the host takes.
    AnswerTooLarge,
    /// An answer that means nothing, or is not what the interface says.
    AnswerInvalid,
    /// A change that the grant does not allow.
    ChangeRefused,
    /// The last round asked for more, or a round for nothing new.
    TooManyRounds,
    /// A Secret that the configuration refers to is not there, or has no such key.
    SecretMissing,
    /// Not the plugin's fault, or it rests after too many of its own.
    Unavailable,
}

impl FaultKind {
    /// As `Reply::Broken` names it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Trapped => "Trapped",
            Self::TimedOut => "TimedOut",
            Self::CpuExhausted => "CpuExhausted",
            Self::OutOfMemory => "OutOfMemory",
            Self::AnswerTooLarge => "AnswerTooLarge",
            Self::AnswerInvalid => "AnswerInvalid",
            Self::ChangeRefused => "ChangeRefused",
            Self::TooManyRounds => "TooManyRounds",
            Self::SecretMissing => "SecretMissing",
            Self::Unavailable => UNAVAILABLE,
        }
    }

    /// Whether it counts towards the plugin's rest: defects that cost something each time.
    pub(crate) fn counts(self) -> bool {
        match self {
            Self::Trapped
            | Self::TimedOut
            | Self::CpuExhausted
            | Self::OutOfMemory
            | Self::AnswerTooLarge => true,
            Self::AnswerInvalid
            | Self::ChangeRefused
            | Self::TooManyRounds
            | Self::SecretMissing
            | Self::Unavailable => false,
        }
    }
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::AnswerInvalid, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unavailable, message)
    }

    pub(crate) fn into_reply(self) -> Reply {
        Reply::Broken {
            reason: self.kind.reason().to_owned(),
            message: self.message,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.reason(), self.message)
    }
}

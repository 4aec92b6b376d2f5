//! Histories: what users, the world and fate do to one Rollout, drawn from a seed.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::dice::Dice;
use super::draw;
use super::scene::Scene;

/// A whole history. Events that were taken out are told by those that are left: the rest of it does not change.
#[derive(Clone, Debug)]
pub struct History {
    /// Where all chance comes from.
    pub seed: u64,
    /// What is there at the beginning.
    pub scene: Scene,
    /// In order of time.
    pub events: Vec<Event>,
}

/// Something happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the whole history, by which a shorter one names it.
    pub number: usize,
    /// Since the beginning.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A new template, or an old one again.
    Release {
        /// The image's tag.
        version: u32,
        /// What becomes of its pods.
        fate: Fate,
    },
    /// Other steps.
    Steps(Value),
    /// As an autoscaler does.
    Scale(i32),
    /// As `kubectl argo rollouts` writes it, like those below.
    Promote,
    PromoteFull,
    SkipAll,
    SkipOne,
    Abort,
    Retry,
    RestartPods,
    /// `spec.paused`
    Hold(bool),
    /// A pod is deleted: one of the so-manieth, by name.
    KillPod(u32),
    /// A pod is not ready for so long.
    SickPod(u32, Duration),
    /// The metrics backend from now on.
    Metrics(Mood),
    /// By hand.
    DeleteSet(Role),
    ResizeSet(Role, i32),
    Repoint(Role),
    LoseService(Duration),
    LoseRoutes(Duration),
    EditWeight(i32),
    DeleteRun,
    Unannotate(Role),
    /// Requests of controllers go wrong.
    Requests(Trouble, Target, Duration, u32),
    /// Watches of controllers go wrong.
    Watches(WatchTrouble, &'static str),
    /// Plugin calls go wrong.
    Plugin(&'static str, Misbehaviour, Duration),
    /// The leader dies: at once, or before or after its so-manieth write from now.
    Crash(CrashAt),
    /// The leader is told to stop; another takes over.
    Replace,
    /// The lease cannot be renewed for so long.
    LeaseUnreachable(Duration),
    /// Somebody else writes himself into the lease.
    LeaseStolen,
}

/// What becomes of the pods of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Ready after so many seconds.
    Good(u64),
    /// They answer half of the requests.
    Erring,
    /// Never ready.
    Unready,
    /// They crash.
    Crashing,
}

/// How the metrics backend behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Answers,
    Fails,
    Hangs,
    Raves,
    Unreachable,
}

/// Which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    New,
    Stable,
    Old,
}

/// What goes wrong with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Conflict,
    Refused500,
    Overloaded,
    Lost,
    AnswerLost,
    ToldFailure,
    Slow(Duration),
    StaleLists,
}

/// Whose requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every request.
    Everything,
    /// Every write.
    Writes,
    /// Writes of one kind.
    WritesOf(&'static str),
}

/// What goes wrong with watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchTrouble {
    Closed,
    Broken,
    /// It stays open and carries nothing.
    HalfOpen,
    Expired,
    /// Broken, and the history is gone: an event with 410 on the way back.
    Forgotten,
    /// The same, with the request itself answered 410.
    Refused,
    /// The same, and then a list from the past.
    Outdated,
}

/// What goes wrong with a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    Traps,
    Hangs,
    Raves,
}

/// When a controller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashAt {
    Now,
    BeforeWrite(u32),
    AfterWrite(u32),
}

impl History {
    /// Draws a history.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let scene = Scene::draw(&mut dice);
        let events = draw::events(&mut dice, &scene);
        Self {
            seed,
            scene,
            events,
        }
    }

    /// The same with only those events.
    #[must_use]
    pub fn only(&self, kept: &[usize]) -> Self {
        Self {
            events: self
                .events
                .iter()
                .filter(|event| kept.contains(&event.number))
                .cloned()
                .collect(),
            ..self.clone()
        }
    }

    /// The numbers of its events.
    pub fn numbers(&self) -> Vec<usize> {
        self.events.iter().map(|event| event.number).collect()
    }
}

impl What {
    /// Whether this is something that nobody wants, and not part of the story itself.
    pub fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Requests(..)
                | Self::Watches(..)
                | Self::Plugin(..)
                | Self::Crash(_)
                | Self::Replace
                | Self::LeaseUnreachable(_)
                | Self::LeaseStolen
        )
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release { version, fate } => write!(f, "release v{version}, whose pods {fate}"),
            Self::Steps(steps) => write!(f, "set the steps to {steps}"),
            Self::Scale(count) => write!(f, "scale to {count}"),
            Self::Promote => f.write_str("promote"),
            Self::PromoteFull => f.write_str("promote --full"),
            Self::SkipAll => f.write_str("promote --skip-all-steps"),
            Self::SkipOne => f.write_str("promote --skip-current-step"),
            Self::Abort => f.write_str("abort"),
            Self::Retry => f.write_str("retry"),
            Self::RestartPods => f.write_str("restart the pods"),
            Self::Hold(true) => f.write_str("set spec.paused"),
            Self::Hold(false) => f.write_str("clear spec.paused"),
            Self::KillPod(which) => write!(f, "pod {which} is deleted"),
            Self::SickPod(which, time) => write!(f, "pod {which} is not ready for {time:?}"),
            Self::Metrics(mood) => write!(f, "the metrics backend {}", mood.words()),
            Self::DeleteSet(role) => write!(f, "by hand: delete the {role} set"),
            Self::ResizeSet(role, to) => write!(f, "by hand: scale the {role} set to {to}"),
            Self::Repoint(role) => write!(f, "by hand: the {role} Service loses its hash"),
            Self::LoseService(time) => write!(f, "by hand: a Service is gone for {time:?}"),
            Self::LoseRoutes(time) => write!(f, "by hand: the VirtualService is gone for {time:?}"),
            Self::EditWeight(weight) => {
                write!(f, "by hand: the canary's weight is set to {weight}")
            }
            Self::DeleteRun => f.write_str("by hand: delete the newest AnalysisRun"),
            Self::Unannotate(role) => {
                write!(f, "by hand: the {role} set loses its annotations")
            }
            Self::Requests(trouble, target, time, percent) => {
                write!(
                    f,
                    "for {time:?}, {percent} % of {target} {}",
                    trouble.words()
                )
            }
            Self::Watches(trouble, plural) => write!(f, "watches of {plural} {}", trouble.words()),
            Self::Plugin(name, misbehaviour, time) => {
                write!(f, "for {time:?}, plugin {name} {}", misbehaviour.words())
            }
            Self::Crash(CrashAt::Now) => f.write_str("the leader is killed"),
            Self::Crash(CrashAt::BeforeWrite(count)) => {
                write!(f, "the leader is killed before its write {count} from now")
            }
            Self::Crash(CrashAt::AfterWrite(count)) => {
                write!(f, "the leader is killed after its write {count} from now")
            }
            Self::Replace => f.write_str("the leader is stopped"),
            Self::LeaseUnreachable(time) => write!(f, "the lease is unreachable for {time:?}"),
            Self::LeaseStolen => f.write_str("somebody else takes the lease"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(seconds) => write!(f, "are ready after {seconds} s"),
            Self::Erring => f.write_str("answer half of the requests"),
            Self::Unready => f.write_str("never get ready"),
            Self::Crashing => f.write_str("crash"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Stable => "stable",
            Self::Old => "oldest",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("requests"),
            Self::Writes => f.write_str("writes"),
            Self::WritesOf(plural) => write!(f, "writes of {plural}"),
        }
    }
}

impl Mood {
    fn words(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::Fails => "answers 503",
            Self::Hangs => "never answers",
            Self::Raves => "answers nonsense",
            Self::Unreachable => "cannot be reached",
        }
    }
}

impl Trouble {
    fn words(self) -> String {
        match self {
            Self::Conflict => "meet a conflict".to_owned(),
            Self::Refused500 => "are answered 500".to_owned(),
            Self::Overloaded => "are answered 429".to_owned(),
            Self::Lost => "are lost".to_owned(),
            Self::AnswerLost => "take effect and are never answered".to_owned(),
            Self::ToldFailure => "take effect and are answered 504".to_owned(),
            Self::Slow(time) => format!("take {time:?} longer"),
            Self::StaleLists => "are answered from the past, if they are lists".to_owned(),
        }
    }
}

impl WatchTrouble {
    fn words(self) -> &'static str {
        match self {
            Self::Closed => "end",
            Self::Broken => "break",
            Self::HalfOpen => "carry nothing more",
            Self::Expired => "end with 410",
            Self::Forgotten => "break, and cannot be resumed",
            Self::Refused => "break, and are refused with 410",
            Self::Outdated => "break, and lists are from the past",
        }
    }
}

impl Misbehaviour {
    fn words(self) -> &'static str {
        match self {
            Self::Traps => "traps",
            Self::Hangs => "hangs",
            Self::Raves => "answers nonsense",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_secs_f64();
        write!(f, "{seconds:8.3} s  {}", self.what)
    }
}

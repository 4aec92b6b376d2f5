//! The language of stories, parsed.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A story.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its lines: comments as they stand, commands parsed.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug)]
pub enum Line {
    /// Prose, or nothing.
    Text(String),
    /// Something happens. The text is for the transcript.
    Command(String, Command),
}

/// What can happen in a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `apply FILE`: creates or replaces the objects of a manifest.
    Apply(String),
    /// `delete KIND NAME`
    Delete(String, String),
    /// `release IMAGE [ANNOTATION=VALUE …]`: a new template.
    Release(String, Vec<(String, String)>),
    /// `set PATH VALUE`: a field of the Rollout's specification, as JSON.
    Set(String, serde_json::Value),
    /// `scale N`: what an autoscaler does.
    Scale(i32),
    /// `promote`, as `kubectl argo rollouts` writes it (CLI-005).
    Promote,
    /// `promote full` (CLI-006)
    PromoteFull,
    /// `skip`: the current step (CLI-007)
    Skip,
    /// `skip all` (CLI-007)
    SkipAll,
    /// `abort` (CLI-001)
    Abort,
    /// `retry` (CLI-002)
    Retry,
    /// `undo`, to the revision before this one (CLI-009)
    Undo,
    /// `edit set N PATCH`: somebody edits the ReplicaSet of a revision, by a merge patch.
    EditSet(i64, serde_json::Value),
    /// `delete set N`
    DeleteSet(i64),
    /// `pause` (CLI-004)
    Pause,
    /// `restart pods` (CLI-008)
    RestartPods,
    /// `metrics answer|fail|hang`
    Metrics(String),
    /// `fail writes RESOURCE [NAME]`: the API server refuses them until `heal`.
    FailWrites(String, Option<String>),
    /// `fail lists RESOURCE`: the same for lists.
    FailLists(String),
    /// `heal`: no more failures.
    Heal,
    /// `wait DURATION`
    Wait(Duration),
    /// `until CONDITION`
    Until(Condition),
    /// `expect CONDITION`: now.
    Expect(Condition),
    /// `plugin NAME`: it is put into the directory of plugins, and the controller starts with it.
    Plugin(String),
    /// `no plugin FILE`: it is taken away, and the controller starts without it.
    NoPlugin(String),
    /// `rollout NAME`: what follows is about this one.
    Rollout(String),
    /// `restart controller`: it is killed, and a new one starts.
    Restart,
    /// `stop controller`: it is killed, and none runs until `start controller`.
    Stop,
}

/// What can be waited for or expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `phase NAME`
    Phase(String),
    /// `message TEXT`: the message contains it.
    Message(String),
    /// `step N`: so many steps are done.
    Step(i64),
    /// `weight N`: the canary's share in the router's object.
    Weight(i64),
    /// `event REASON`: it has been recorded since the last `until` or command.
    Event(String),
    /// `revision N stable`
    Stable(i64),
    /// `revision N gone`: it has no pods.
    Gone(i64),
    /// `watched RESOURCE`: the controller follows its objects.
    Watched(String),
    /// `unwatched RESOURCE`
    Unwatched(String),
    /// `service NAME selects N`
    Selects(String, i64),
    /// `subset NAME selects N`, or `selects all`: of a DestinationRule.
    Subset(String, Option<i64>),
    /// `pods N AVAILABLE/WANTED`: of this revision.
    Pods(i64, String),
}

impl Script {
    /// Parses a story.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    return Ok(Line::Text(line.to_owned()));
                }
                let command =
                    command(line).with_context(|| format!("line {}: `{line}`", index + 1))?;
                Ok(Line::Command(line.to_owned(), command))
            })
            .collect::<Result<_>>()?;
        Ok(Self { lines })
    }
}

fn command(line: &str) -> Result<Command> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    Ok(match (verb, words.as_slice()) {
        ("apply", [file]) => Command::Apply((*file).to_owned()),
        ("delete", ["set", revision]) => Command::DeleteSet(revision.parse()?),
        ("delete", [kind, name]) => Command::Delete((*kind).to_owned(), (*name).to_owned()),
        ("release", [image, annotations @ ..]) => {
            let annotations = annotations
                .iter()
                .map(|pair| {
                    let (name, value) =
                        pair.split_once('=').context("expected ANNOTATION=VALUE")?;
                    Ok((name.to_owned(), value.to_owned()))
                })
                .collect::<Result<_>>()?;
            Command::Release((*image).to_owned(), annotations)
        }
        ("set", [path, ..]) => {
            let value = rest.strip_prefix(path).unwrap_or_default().trim();
            Command::Set(
                (*path).to_owned(),
                serde_json::from_str(value).context("the value must be JSON")?,
            )
        }
        ("scale", [count]) => Command::Scale(count.parse()?),
        ("promote", []) => Command::Promote,
        ("promote", ["full"]) => Command::PromoteFull,
        ("skip", []) => Command::Skip,
        ("skip", ["all"]) => Command::SkipAll,
        ("abort", []) => Command::Abort,
        ("retry", []) => Command::Retry,
        ("undo", []) => Command::Undo,
        ("edit", ["set", revision, ..]) => {
            let patch = rest.splitn(3, ' ').nth(2).unwrap_or_default();
            Command::EditSet(
                revision.parse()?,
                serde_json::from_str(patch).context("the patch must be JSON")?,
            )
        }
        ("metrics", [mood]) => Command::Metrics((*mood).to_owned()),
        ("fail", ["writes", resource]) => Command::FailWrites((*resource).to_owned(), None),
        ("fail", ["lists", resource]) => Command::FailLists((*resource).to_owned()),
        ("fail", ["writes", resource, name]) => {
            Command::FailWrites((*resource).to_owned(), Some((*name).to_owned()))
        }
        ("heal", []) => Command::Heal,
        ("wait", [duration]) => Command::Wait(duration_of(duration)?),
        ("until", _) => Command::Until(condition(rest, &words)?),
        ("expect", _) => Command::Expect(condition(rest, &words)?),
        ("plugin", [name]) => Command::Plugin((*name).to_owned()),
        ("no", ["plugin", file]) => Command::NoPlugin((*file).to_owned()),
        ("rollout", [name]) => Command::Rollout((*name).to_owned()),
        ("restart" | "start", ["controller"]) => Command::Restart,
        ("stop", ["controller"]) => Command::Stop,
        ("pause", []) => Command::Pause,
        ("restart", ["pods"]) => Command::RestartPods,
        _ => bail!("no such command"),
    })
}

fn condition(rest: &str, words: &[&str]) -> Result<Condition> {
    Ok(match words {
        ["phase", name] => Condition::Phase((*name).to_owned()),
        ["message", ..] => Condition::Message(rest.trim_start_matches("message").trim().to_owned()),
        ["step", number] => Condition::Step(number.parse()?),
        ["weight", number] => Condition::Weight(number.parse()?),
        ["event", reason] => Condition::Event((*reason).to_owned()),
        ["revision", number, "stable"] => Condition::Stable(number.parse()?),
        ["revision", number, "gone"] => Condition::Gone(number.parse()?),
        ["watched", resource] => Condition::Watched((*resource).to_owned()),
        ["unwatched", resource] => Condition::Unwatched((*resource).to_owned()),
        ["service", name, "selects", number] => {
            Condition::Selects((*name).to_owned(), number.parse()?)
        }
        ["subset", name, "selects", "all"] => Condition::Subset((*name).to_owned(), None),
        ["subset", name, "selects", number] => {
            Condition::Subset((*name).to_owned(), Some(number.parse()?))
        }
        ["pods", number, pods] => Condition::Pods(number.parse()?, (*pods).to_owned()),
        _ => bail!("no such condition"),
    })
}

fn duration_of(text: &str) -> Result<Duration> {
    let parsed = sluice_api::parse_duration(text)?;
    Ok(Duration::try_from(parsed)?)
}

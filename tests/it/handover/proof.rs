//! Reads the history of a hand-over: what must not have happened, and what is worth a line in the table. How traffic may
//! move is in `traffic`.

mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sluice_tests::control_plane::WriteRequest;
use sluice_tests::{Change, History};

use super::points::{Kind, Point};
use super::sight::{self, Sight, belongs, text};

/// Versions of the history.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    /// The first controller is gone.
    pub stopped: u64,
    /// The second has seen everything, and nobody has asked for anything.
    pub looked: u64,
    /// Everything is over.
    pub end: u64,
}

/// What was seen of one hand-over.
pub(super) struct Verdict {
    who: String,
    kind: Kind,
    place: &'static str,
    step: String,
    weight: String,
    pods: String,
    writes: String,
    runs: String,
    end: String,
    problems: Vec<String>,
}

type Events = [(String, String, String, i32)];

impl Verdict {
    pub fn of(
        point: &'static Point,
        name: &str,
        history: &History,
        moments: Moments,
        events: &Events,
        first_writes: &[WriteRequest],
        second: &str,
    ) -> Self {
        let before = Sight::of(history, moments.stopped, name);
        let looked = Sight::of(history, moments.looked, name);
        let after = Sight::of(history, moments.end, name);
        let view = View {
            point,
            name,
            history,
            moments,
            before: &before,
            looked: &looked,
            after: &after,
        };
        let mut problems = Vec::new();
        view.end(&mut problems);
        view.pods(&mut problems);
        view.first_look(&mut problems);
        view.traffic(&mut problems);
        view.steps(&mut problems);
        view.runs(&mut problems);
        view.identity(&mut problems);
        view.times(&mut problems);
        if !point.begins_anew() {
            repeated_events(name, events, &mut problems);
        }

        let steps = view.step_indices();
        let weights = view.weights_seen();
        Self {
            who: name.to_owned(),
            kind: point.kind,
            place: point.place,
            step: row(&steps),
            weight: row(&weights),
            pods: format!(
                "{} of {}",
                before
                    .pods_of(&before.hash())
                    .intersection(&after.pods_of(&after.hash()))
                    .count(),
                before.pods_of(&before.hash()).len()
            ),
            writes: view.writes(first_writes, second).to_string(),
            runs: format!("{} → {}", before.runs.len(), after.runs.len()),
            end: after.phase(),
            problems,
        }
    }

    pub fn complaints(&self) -> impl Iterator<Item = String> + '_ {
        self.problems
            .iter()
            .map(move |problem| format!("{} ({}, {}): {problem}", self.who, self.kind, self.place))
    }
}

/// The table of all of them.
pub(super) fn table(verdicts: &[Verdict]) -> String {
    let mut text = format!(
        "{:<13} {:<42} {:<13} {:<14} {:<8} {:<7} {:<12} {:<8} {}\n",
        "strategy",
        "handed over at",
        "steps",
        "weights",
        "pods",
        "runs",
        "then written",
        "end",
        "verdict"
    );
    for one in verdicts {
        let verdict = match one.problems.len() {
            0 => "carried on".to_owned(),
            count => format!("{count} problems"),
        };
        text += &format!(
            "{:<13} {:<42} {:<13} {:<14} {:<8} {:<7} {:<12} {:<8} {verdict}\n",
            one.kind, one.place, one.step, one.weight, one.pods, one.runs, one.writes, one.end
        );
    }
    text
}

/// No controller wrote anything but the lease while it was the other's turn.
pub(super) fn one_at_a_time(writes: &[WriteRequest], first: &str, second: &str) -> Vec<String> {
    let of = |user: &str| {
        let user = user.to_owned();
        writes
            .iter()
            .enumerate()
            .filter(move |(_, write)| write.user == user && write.resource != "leases")
    };
    let last = of(first).next_back();
    let next = of(second).next();
    match (last, next) {
        (Some((last, _)), Some((next, _))) if last < next => Vec::new(),
        (Some((last, one)), Some((next, other))) => vec![format!(
            "both wrote: {first} {one:?} as number {last}, {second} {other:?} as number {next}"
        )],
        (None, _) => vec![format!("{first} wrote nothing")],
        (_, None) => vec![format!("{second} wrote nothing")],
    }
}

struct View<'a> {
    point: &'static Point,
    name: &'a str,
    history: &'a History,
    moments: Moments,
    before: &'a Sight,
    looked: &'a Sight,
    after: &'a Sight,
}

impl View<'_> {
    fn end(&self, problems: &mut Vec<String>) {
        if !self.after.is_complete() {
            problems.push(format!(
                "not at its end: {:#}",
                self.after.rollout["status"]
            ));
        }
        let astray = self.after.astray().into_iter();
        problems.extend(astray.map(|what| format!("in the end {what}")));
    }

    /// What became of its objects of a kind from the hand-over to the end.
    fn since(&self, kind: &str) -> impl Iterator<Item = Change> {
        let span = self.moments.stopped + 1..=self.moments.end;
        self.history
            .changes(kind, |name| belongs(self.name, name))
            .into_iter()
            .filter(move |change| span.contains(&change.version))
    }

    /// Pods of the new version stay to the end, those that come later, too, and no old pod is made anew. That holds where
    /// the update begins anew as well: an aborted one has no pods of the new version, or all of them.
    fn pods(&self, problems: &mut Vec<String>) {
        let hash = self.before.hash();
        let known: BTreeSet<String> = self.before.pods.iter().map(sight::uid).collect();
        let (new, old): (Vec<Value>, Vec<Value>) = self
            .since("Pod")
            .map(|change| change.object)
            .filter(|pod| !known.contains(&sight::uid(pod)))
            .partition(|pod| sight::hash_of(pod) == hash);
        let kept = self.after.pods_of(&hash);
        let lost: BTreeSet<String> = self
            .before
            .staying()
            .filter(|pod| sight::hash_of(pod) == hash)
            .chain(&new)
            .filter(|pod| !kept.contains(&sight::uid(pod)))
            .map(sight::name_of)
            .collect();
        if !lost.is_empty() {
            problems.push(format!("pods of the new version did not stay: {lost:?}"));
        }
        let renewed: BTreeSet<String> = old.iter().map(sight::name_of).collect();
        if !renewed.is_empty() {
            problems.push(format!("old pods were made anew: {renewed:?}"));
        }
    }

    /// While nobody asks for anything, nothing that serves traffic changes.
    fn first_look(&self, problems: &mut Vec<String>) {
        if self.point.is_timed() {
            return;
        }
        let all =
            |sight: &Sight| -> BTreeSet<String> { sight.pods.iter().map(sight::uid).collect() };
        if all(self.before) != all(self.looked) {
            problems.push("pods came or went at the first look".to_owned());
        }
        if self.before.traffic != self.looked.traffic {
            problems.push(format!(
                "traffic changed at the first look: {:?}, then {:?}",
                self.before.traffic, self.looked.traffic
            ));
        }
        let sizes = |sight: &Sight| -> BTreeMap<String, Value> {
            let size = |set: &Value| (sight::uid(set), set["spec"]["replicas"].clone());
            sight.sets.iter().map(size).collect()
        };
        if sizes(self.before) != sizes(self.looked) {
            problems.push(format!(
                "sets changed their size at the first look: {:?}, then {:?}",
                sizes(self.before),
                sizes(self.looked)
            ));
        }
        for field in [
            "phase",
            "currentStepIndex",
            "abort",
            "pauseConditions",
            "stableRS",
        ] {
            if self.before.status(field) != self.looked.status(field) {
                problems.push(format!(
                    "status.{field} changed at the first look: {}, then {}",
                    self.before.status(field),
                    self.looked.status(field)
                ));
            }
        }
    }

    fn step_indices(&self) -> Vec<i64> {
        let mut steps: Vec<i64> = self.before.step().into_iter().collect();
        steps.extend(
            self.since("Rollout")
                .filter_map(|change| change.object["status"]["currentStepIndex"].as_i64()),
        );
        steps.dedup();
        steps
    }

    fn steps(&self, problems: &mut Vec<String>) {
        let steps = self.step_indices();
        if !steps.is_sorted() {
            problems.push(format!("a step was repeated: {steps:?}"));
        }
    }

    fn runs(&self, problems: &mut Vec<String>) {
        let before: Vec<_> = self.before.runs.keys().collect();
        let after: Vec<_> = self.after.runs.keys().collect();
        if before != after {
            problems.push(format!("other AnalysisRuns: {before:?}, then {after:?}"));
        }
    }

    /// The same sets under the same names, and the same revision.
    fn identity(&self, problems: &mut Vec<String>) {
        let names =
            |sight: &Sight| -> BTreeSet<String> { sight.sets.iter().map(sight::name_of).collect() };
        if names(self.before) != names(self.after) {
            problems.push(format!(
                "other sets: {:?}, then {:?}",
                names(self.before),
                names(self.after)
            ));
        }
        for field in ["currentPodHash", "currentStepHash"] {
            if self.before.status(field) != self.after.status(field) {
                problems.push(format!(
                    "status.{field} changed: {}, then {}",
                    self.before.status(field),
                    self.after.status(field)
                ));
            }
        }
        let revision = "rollout.argoproj.io/revision";
        let of = |sight: &Sight| text(&sight.rollout["metadata"]["annotations"][revision]);
        if of(self.before) != of(self.after) {
            problems.push("another revision".to_owned());
        }
    }

    /// What waits for a time waits for the same time as before.
    fn times(&self, problems: &mut Vec<String>) {
        if !self.point.is_timed() {
            return;
        }
        let later: Vec<(Timestamp, Sight)> = self
            .since("Rollout")
            .map(|change| {
                (
                    change.seen,
                    Sight::of(self.history, change.version, self.name),
                )
            })
            .collect();
        let (pauses, deadlines) = (self.before.pauses(), self.before.deadlines());
        for (seen, sight) in &later {
            for (what, then, now, lasts) in [
                (
                    "pause",
                    &pauses,
                    sight.pauses(),
                    SignedDuration::from_secs(30),
                ),
                (
                    "deadline",
                    &deadlines,
                    sight.deadlines(),
                    SignedDuration::ZERO,
                ),
            ] {
                let Some(first) = then.first() else { continue };
                match now.first() {
                    // The old set of the promotion that follows a pause gets a deadline of its own.
                    Some(_) if what == "deadline" && !pauses.is_empty() => {}
                    Some(other) if other != first => {
                        problems.push(format!("another {what}: {first}, then {other}"));
                    }
                    Some(_) => {}
                    None => {
                        let end = first.parse::<Timestamp>().map(|time| time + lasts);
                        if end.is_ok_and(|end| *seen < end) {
                            problems.push(format!("the {what} of {first} was over at {seen}"));
                        }
                    }
                }
            }
        }
        problems.dedup();
    }

    /// How much the second controller wrote about it before anybody asked for anything, without events and analysis.
    fn writes(&self, first_writes: &[WriteRequest], second: &str) -> usize {
        first_writes
            .iter()
            .filter(|write| write.user == second && belongs(self.name, &write.name))
            .filter(|write| !write.resource.starts_with("analysisruns"))
            .count()
    }
}

/// An event that says that a step is over is not written again.
fn repeated_events(name: &str, events: &Events, problems: &mut Vec<String>) {
    let mut seen = BTreeMap::new();
    for (about, reason, message, count) in events {
        if about == name && reason == "RolloutStepCompleted" {
            *seen.entry(message).or_insert(0) += count;
        }
    }
    for (message, count) in seen {
        if count > 1 {
            problems.push(format!("{count} times: {message}"));
        }
    }
}

fn row(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    if numbers.is_empty() {
        "-".to_owned()
    } else {
        numbers.join(" ")
    }
}

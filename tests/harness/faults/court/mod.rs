//! Hears of every request and every change, and judges what controllers did by what was true then.
//!
//! A controller acts on what it has been shown, which is older than the truth by the length of a pass, and by much more
//! while watches are broken. So nothing is held against it that was in order at some moment since the beginning of the
//! `Window` of the request: laws ask for the best value of that time, and a wrong decision is one that no moment of it
//! excuses.

mod allowed;
mod analysis;
mod conditions;
mod evictions;
mod lease;
mod mirror;
mod pods;
mod status;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sluice_simulation::{Changed, Deed, LoggedRequest};

use super::controllers::PREFIX;
use super::guests;
use super::history::What;
use super::scene::{NAME, NAMESPACE, Scene, Strategy};

pub(super) use allowed::share_at;
pub(super) use analysis::{ENDED, is_endless};
use mirror::Mirror;
pub(super) use mirror::steps_of;
pub(super) use status::asks_for_no_pods;

/// From what a pass has seen to its last write, when nothing is slow.
const PASS: SignedDuration = SignedDuration::from_millis(2500);
/// Where the Rollout is, and its status.
const ROLLOUT_PATH: &str = "/namespaces/shop/rollouts/shop";
/// How long what users ask for may wait: less than a guest that hangs is waited for.
const HEARD: SignedDuration = SignedDuration::from_secs(4);

/// Something that should not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Virtual time since the beginning.
    pub at: Duration,
    /// Which law was broken: two failures with the same law count as the same.
    pub law: &'static str,
    /// How.
    pub text: String,
}

impl Violation {
    pub(super) fn new(at: Duration, law: &'static str, text: impl Into<String>) -> Self {
        Self {
            at,
            law,
            text: text.into(),
        }
    }
}

/// The judge of a history.
pub(super) struct Court {
    start: Timestamp,
    pub strategy: Strategy,
    leased: bool,
    pub mirror: Mirror,
    pods: evictions::Pods,
    /// Times in which controllers cannot know what is true.
    disturbances: Vec<(Timestamp, Timestamp)>,
    /// Lists were from the past in one of them.
    pub sent_back: bool,
    /// What users and the world did.
    pub acts: Vec<(Timestamp, What)>,
    lease: lease::Record,
    steps: status::Progress,
    /// Where the last write took effect and its client was told otherwise, or nothing, and when: it may do so again.
    unheard: BTreeMap<String, Timestamp>,
    /// Sets whose creation took effect likewise, and that their creator has not changed since; with its name.
    unheard_of: BTreeMap<String, String>,
    /// Who changed the Rollout last.
    changed_by: String,
    /// Since when an abort waits to be taken up.
    abort_asked: Option<Timestamp>,
    /// Releases, by index in `acts`, made while an abort waited to be taken up.
    pub abort_met: BTreeSet<usize>,
    /// Since when a specification waits for a status.
    spec_asked: Option<Timestamp>,
    violations: Vec<Violation>,
    silent: bool,
    /// What guests were asked since nothing is to be written.
    idle: guests::Idle,
}

/// A request, and since when the controller may have known what it acted upon.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Timestamp,
    at: Timestamp,
}

impl Court {
    pub fn new(start: Timestamp, scene: &Scene) -> Self {
        Self {
            start,
            strategy: scene.strategy,
            leased: scene.leased.is_some(),
            mirror: Mirror::default(),
            pods: evictions::Pods::default(),
            disturbances: Vec::new(),
            sent_back: false,
            acts: Vec::new(),
            lease: lease::Record::default(),
            steps: status::Progress::default(),
            unheard: BTreeMap::new(),
            unheard_of: BTreeMap::new(),
            changed_by: String::new(),
            abort_asked: None,
            abort_met: BTreeSet::new(),
            spec_asked: None,
            violations: Vec::new(),
            silent: false,
            idle: guests::Idle::default(),
        }
    }

    /// Virtual time since the beginning.
    pub fn since(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.start)).unwrap_or_default()
    }

    /// From now on for so long, controllers may act on what is no longer true.
    pub fn disturbed(&mut self, now: Timestamp, time: Duration) {
        let time = SignedDuration::try_from(time).unwrap_or_default();
        let end = now.checked_add(time).unwrap_or(now);
        self.disturbances.push((now, end));
    }

    /// The same, and what they act on may be as old as the history.
    pub fn sent_back(&mut self, now: Timestamp, time: Duration) {
        let start = self.start;
        let age = Duration::try_from(now.duration_since(start)).unwrap_or_default();
        self.disturbed(start, age + time);
        self.sent_back = true;
    }

    /// From when on nothing hides the truth from controllers any more.
    pub fn seeing_from(&self) -> Timestamp {
        let ends = self.disturbances.iter().map(|(_, end)| *end);
        ends.max().unwrap_or(self.start)
    }

    /// Somebody does something.
    pub fn note_act(&mut self, now: Timestamp, what: &What) {
        if matches!(what, What::Release { .. }) && self.abort_asked.is_some() {
            self.abort_met.insert(self.acts.len());
        }
        self.acts.push((now, what.clone()));
    }

    /// Who holds the lease, as the API server has it.
    pub fn lease_holder(&self) -> String {
        self.lease.holder.clone()
    }

    /// From now on nothing is to be written.
    pub fn expect_no_writes(&mut self) {
        self.silent = true;
    }

    /// Whether there is something to report already.
    pub fn is_decided(&self) -> bool {
        !self.violations.is_empty()
    }

    /// What was found.
    pub fn verdict(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// Adds a finding.
    pub fn accuse(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// Hears of a request.
    pub fn hear(&mut self, deed: &Deed) {
        let at = deed.request.at;
        let ours = deed.request.client.starts_with(PREFIX);
        let window = self.window(at);
        let untold = ours && self.judge_request(window, deed);
        for change in &deed.changes {
            if change.plural == "leases" {
                self.lease.note(at, change);
                continue;
            }
            if change.namespace != NAMESPACE {
                continue;
            }
            if ours {
                let client = &deed.request.client;
                // Whoever comes later lists what there is.
                self.unheard_of.retain(|_, creator| creator == client);
                self.judge_change(window, untold, change);
                if change.plural == "replicasets" {
                    let name = change.name.clone();
                    if change.before.is_none() && !is_heard(&deed.request) {
                        self.unheard_of.insert(name, client.clone());
                    } else {
                        self.unheard_of.remove(&name);
                    }
                }
            }
            // Pods that crash for ever come back after minutes; whoever sees that has something to say.
            self.silent &= ours || change.plural != "replicasets";
            self.mirror.apply(at, change);
            if change.plural == "pods" {
                self.pods.note(at, change, ours);
            }
            if change.plural == "rollouts" && change.name == NAME {
                self.changed_by.clone_from(&deed.request.client);
                self.steps.note(at, change, ours);
            }
        }
        self.expect_answers(at);
    }

    /// Hears of what a guest does.
    pub fn hear_guest(&mut self, done: &guests::Done) {
        match &done.what {
            guests::What::Asked if self.leased => {
                if let Some(why) = self
                    .lease
                    .forbids(&done.client, done.at, lease::RENEW_DEADLINE)
                {
                    let text = format!("a guest of {} asks the network: {why}", done.client);
                    self.find(done.at, "I11 lease", text);
                }
            }
            guests::What::Entered(call) if self.silent => {
                let ended = self.mirror.rollout.as_ref().is_some_and(|rollout| {
                    let hash = mirror::text(rollout, "/status/stableRS");
                    let split =
                        self.strategy == Strategy::Routed && self.mirror.traffic.share(hash) < 100;
                    mirror::text(rollout, "/status/phase") == "Healthy" && !split
                });
                if let Some(text) = self.idle.forbids(done.at, call, ended) {
                    self.find(done.at, "I9 further call", text);
                }
            }
            guests::What::Asked | guests::What::Entered(..) => {}
        }
    }

    /// What users ask for is taken up whatever hangs, as long as a controller is there that can see and write.
    fn expect_answers(&mut self, at: Timestamp) {
        let (mut abort, mut specification) = (false, false);
        if let Some(rollout) = &self.mirror.rollout {
            abort = rollout.pointer("/status/abort") == Some(&Value::Bool(true))
                && rollout.pointer("/status/abortedAt").is_none();
            specification = !mirror::is_observed(rollout);
        }
        let since = self.abort_asked;
        self.abort_asked = self.overdue(at, abort, since, "an abort is heard");
        let since = self.spec_asked;
        self.spec_asked = self.overdue(at, specification, since, "a specification is heard");
    }

    /// Since when somebody waits who still does; whoever has waited for too long is heard here, and waits anew.
    fn overdue(
        &mut self,
        at: Timestamp,
        waits: bool,
        since: Option<Timestamp>,
        law: &'static str,
    ) -> Option<Timestamp> {
        let Some(since) = since.filter(|_| waits) else {
            return waits.then_some(at);
        };
        // Nobody can be blamed for what was out of sight.
        if at.duration_since(since.max(self.seeing_from())) <= HEARD {
            return Some(since);
        }
        let waited = at.duration_since(since).as_secs();
        self.find(at, law, format!("nothing has come of it for {waited} s"));
        Some(at)
    }

    /// Returns whether the controller was not told what became of its last write to this object.
    fn judge_request(&mut self, window: Window, deed: &Deed) -> bool {
        let request = &deed.request;
        if !request.is_write() || request.path.contains("/leases") {
            return false;
        }
        let took_effect = request.outcome.starts_with("20");
        if let Some(why) = self.forbids_write(request, took_effect) {
            let text = format!("{} {}: {why}", request.verb, request.path);
            self.find(request.at, "I11 lease", text);
        }
        if request.path.contains("/events") || request.path.contains("dryRun") {
            return false;
        }
        let measures = self.mirror.runs.iter().any(|(name, run)| {
            is_endless(run) && request.path.contains(&format!("/analysisruns/{name}"))
        });
        if self.silent && !measures {
            let text = format!("a fresh controller wrote: {request}");
            self.find(request.at, "I9 further pass", text);
        }
        // Passes over a Rollout come one after the other, and each knows what the one before was answered.
        let own = request.client == self.changed_by && request.path.contains(ROLLOUT_PATH);
        if own && request.outcome.starts_with("409") && self.sees(request.at) {
            let text = format!("its own write was not seen: {request}");
            self.find(request.at, "a cache not stale", text);
        }
        let untold = self.unheard.remove(&request.path);
        let untold = untold.is_some_and(|then| then >= window.from);
        if took_effect && !is_heard(request) {
            self.unheard.insert(request.path.clone(), request.at);
        }
        let changes_something = matches!(request.verb.as_str(), "patch" | "update");
        if took_effect && changes_something && deed.changes.is_empty() && !untold {
            let text = format!("changes nothing: {request}");
            self.find(request.at, "I4 empty write", text);
        }
        untold
    }

    /// Why the lease forbade a write: it begins on a lease that is relied upon, and is done before others may have it.
    fn forbids_write(&self, request: &LoggedRequest, took_effect: bool) -> Option<String> {
        let LoggedRequest {
            client, sent, at, ..
        } = request;
        if !self.leased {
            return None;
        }
        if let Some(why) = self.lease.expired(client, *sent, lease::RENEW_DEADLINE) {
            return Some(format!("when it began, {why}"));
        }
        let forbidden = self.lease.forbids(client, *at, lease::DURATION);
        forbidden.filter(|_| took_effect)
    }

    fn judge_change(&mut self, window: Window, untold: bool, change: &Changed) {
        let found = match change.plural.as_str() {
            "services" | "virtualservices" | "destinationrules" => {
                self.judge_traffic(window, untold, change)
            }
            "replicasets" => self.judge_pods(window, change),
            "rollouts" => self.judge_status(window, change),
            "analysisruns" => self.judge_run(change),
            "pods" => self.judge_eviction(window, change),
            _ => Vec::new(),
        };
        for (law, text) in found {
            self.find(window.at, law, text);
        }
    }

    fn find(&mut self, at: Timestamp, law: &'static str, text: String) {
        let at = self.since(at);
        self.violations.push(Violation::new(at, law, text));
    }

    /// Whether nothing has hidden the truth for the time of a pass.
    fn sees(&self, at: Timestamp) -> bool {
        let from = at.checked_sub(PASS).unwrap_or(at);
        let hidden = |(begin, end): &(Timestamp, Timestamp)| *begin <= at && *end >= from;
        !self.disturbances.iter().any(hidden)
    }

    /// Since when a controller may have known what it acts upon now.
    fn window(&self, at: Timestamp) -> Window {
        let mut from = at.checked_sub(PASS).unwrap_or(at);
        // A disturbance that reaches into the time in question makes all of it uncertain.
        loop {
            let earlier = self
                .disturbances
                .iter()
                .filter(|(begin, end)| *begin < from && *end >= from)
                .map(|(begin, _)| begin.checked_sub(PASS).unwrap_or(*begin))
                .min();
            match earlier {
                Some(earlier) if earlier < from => from = earlier,
                _ => return Window { from, at },
            }
        }
    }

    /// Whether a list from the past may be what is acted upon.
    fn is_sent_back(&self, window: Window) -> bool {
        self.sent_back && window.from <= self.start
    }

    /// Whether somebody did one of these since then.
    fn acted(&self, since: Timestamp, which: impl Fn(&What) -> bool) -> bool {
        self.acts
            .iter()
            .any(|(at, what)| *at >= since && which(what))
    }
}

/// Of a request that took effect: whether its client was told so.
fn is_heard(request: &LoggedRequest) -> bool {
    request.outcome.len() == "200".len()
}

/// A finding of a law: its name, and what was wrong.
type Finding = (&'static str, String);

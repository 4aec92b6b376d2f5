//! Faults: what a test, or a seed, wants to go wrong between a client and the server.
//!
//! A rule says which requests it is about, what happens to them, and how often.
//! The first rule that matches and strikes decides; the dice are the simulation's, so a seed repeats its faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::seed::Seeded;

/// What a request wants, as rules and the log name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change an object.
    Patch,
    /// Delete an object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
}

impl Verb {
    /// The verb as RBAC and the audit log write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it asks for a change.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection
        )
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which requests a rule is about; what is not said matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    client: Option<String>,
    verbs: Option<BTreeSet<Verb>>,
    resource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Only requests of one client.
    #[must_use]
    pub fn client(mut self, name: impl Into<String>) -> Self {
        self.client = Some(name.into());
        self
    }

    /// Only these verbs.
    #[must_use]
    pub fn verbs(mut self, verbs: impl IntoIterator<Item = Verb>) -> Self {
        self.verbs = Some(verbs.into_iter().collect());
        self
    }

    /// Only requests that ask for a change.
    #[must_use]
    pub fn writes(self) -> Self {
        self.verbs([
            Verb::Create,
            Verb::Update,
            Verb::Patch,
            Verb::Delete,
            Verb::DeleteCollection,
        ])
    }

    /// Only one resource, by plural name; a subresource after a slash, as in `rollouts/status`.
    /// Without a slash the object itself and all its subresources match.
    #[must_use]
    pub fn resource(mut self, plural: impl Into<String>) -> Self {
        self.resource = Some(plural.into());
        self
    }

    /// Only one namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only one object name; requests without a name do not match.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(crate) fn covers(&self, request: &Facts<'_>) -> bool {
        let same = |wanted: &Option<String>, given: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == given)
        };
        let resource = match &self.resource {
            None => true,
            Some(wanted) => match wanted.split_once('/') {
                Some((plural, sub)) => plural == request.resource && sub == request.subresource,
                None => wanted == request.resource,
            },
        };
        resource
            && same(&self.client, request.client)
            && self
                .verbs
                .as_ref()
                .is_none_or(|verbs| verbs.contains(&request.verb))
            && same(&self.namespace, request.namespace)
            && same(&self.name, request.name)
    }

    /// Whether a live watch is meant; names and verbs do not apply to it.
    pub(crate) fn covers_watch(&self, client: &str, plural: &str, namespace: Option<&str>) -> bool {
        let same = |wanted: &Option<String>, given: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == given)
        };
        same(&self.client, client)
            && same(&self.resource, plural)
            && (self.namespace.is_none() || self.namespace.as_deref() == namespace)
    }
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub client: &'a str,
    pub verb: Verb,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 409, as if somebody else had written the object first. Nothing takes effect.
    Conflict,
    /// An error of the server by HTTP code: 429, 500, 503, 504. Nothing takes effect.
    /// 429 and 503 carry `Retry-After: 1`.
    Status(u16),
    /// The same, but the request did take effect.
    StatusAfterEffect(u16),
    /// The connection breaks before the server reads the request.
    Disconnect,
    /// The request takes effect; its answer never arrives, and the client gives up after so long.
    TimeoutAfterEffect(Duration),
    /// The request takes so much longer to arrive; of a watch, every event does.
    Latency(Duration),
    /// A list answers as a cache would that has missed the last so many changes of the collection.
    StaleList {
        /// Changes missed.
        changes: usize,
    },
    /// A watch is refused with HTTP 410 at its start.
    Gone,
    /// A watch ends cleanly after so long.
    CloseWatch(Duration),
    /// The connection of a watch breaks after so long.
    BreakWatch(Duration),
    /// A watch carries nothing more after so long, without ending.
    StallWatch(Duration),
    /// A watch gets an ERROR event with code 410 after so long.
    ExpireWatch(Duration),
    /// The client is cut off (see [`crate::Simulation::cut`]) before this request takes effect.
    CutBefore,
    /// The client is cut off after this request took effect and before it hears so.
    CutAfter,
}

/// A fault, the requests that it is about, and how often it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    when: Match,
    fault: Fault,
    skip: u32,
    times: Option<u32>,
    per_mille: u16,
}

impl Rule {
    /// A fault that strikes every matching request.
    pub fn new(when: Match, fault: Fault) -> Self {
        Self {
            when,
            fault,
            skip: 0,
            times: None,
            per_mille: 1000,
        }
    }

    /// Lets the first so many matching requests pass.
    #[must_use]
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Strikes at most so often.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    /// Strikes at most once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Strikes with this chance, in thousandths, by the simulation's dice.
    #[must_use]
    pub fn chance(mut self, per_mille: u16) -> Self {
        self.per_mille = per_mille;
        self
    }
}

/// Names a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u64);

/// The rules in force and what they did so far.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: BTreeMap<RuleId, Active>,
    added: u64,
    dice: Seeded,
    /// Clients that are cut off.
    pub cut: BTreeSet<String>,
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    matched: u32,
    struck: u32,
}

impl Rules {
    /// No rules yet; the dice are thrown from the seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rules: BTreeMap::new(),
            added: 0,
            dice: Seeded::fork(seed, "faults"),
            cut: BTreeSet::new(),
        }
    }

    pub(crate) fn add(&mut self, rule: Rule) -> RuleId {
        self.added += 1;
        let id = RuleId(self.added);
        self.rules.insert(
            id,
            Active {
                rule,
                matched: 0,
                struck: 0,
            },
        );
        id
    }

    pub(crate) fn remove(&mut self, id: RuleId) {
        self.rules.remove(&id);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn struck(&self, id: RuleId) -> u32 {
        self.rules.get(&id).map_or(0, |active| active.struck)
    }

    /// What is to go wrong with a request.
    pub(crate) fn strike(&mut self, request: &Facts<'_>) -> Option<Fault> {
        for active in self.rules.values_mut() {
            if !active.rule.when.covers(request) {
                continue;
            }
            active.matched += 1;
            let spent = active
                .rule
                .times
                .is_some_and(|times| active.struck >= times);
            if spent || active.matched <= active.rule.skip {
                continue;
            }
            if active.rule.per_mille < 1000 && !self.dice.chance(active.rule.per_mille) {
                continue;
            }
            active.struck += 1;
            return Some(active.rule.fault.clone());
        }
        None
    }
}

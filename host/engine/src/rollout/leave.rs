//! Routers that a Rollout names no more: they are asked to let go of it, and no pod goes before they have.
//!
//! A subset that kept the hash of a retired set would have no endpoints, and neither would a canary Service that still has
//! a weight. Which routers these are is in the record, or shown by what they have marked as the Rollout's. One that cannot
//! let go is waited for a while only: somebody took it out because it does not work.

use jiff::SignedDuration;
use serde_json::Value;

use super::pass::Pass;
use super::planner::{Meaning, Planner};
use super::record::{self, Record, Recorded};
use super::traffic::{self, Answered};
use super::valid::subject;
use crate::plan::{Requeue, Role};
use crate::plugin::PluginKind;
use crate::report::Report;

/// How long pods wait for a router to let go.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// What becomes of the routers that a Rollout names no more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leaving {
    /// What the Rollout is to say of its routers from now on.
    pub record: Record,
    /// Whether it says something else so far.
    pub is_news: bool,
    /// Those that have let go.
    pub released: Vec<String>,
    /// Those for which pods wait, and why.
    pub awaited: Vec<(String, String)>,
    /// Those whose time is over in this pass, and why they have not let go.
    pub late: Vec<(String, String)>,
    /// When to ask again although nothing changes.
    pub again: Requeue,
}

impl Leaving {
    /// No router that the specification names no more is waited for.
    pub fn is_over(&self) -> Result<(), String> {
        match self.awaited.first() {
            Some((name, why)) => Err(format!("router {name} has not let go yet: {why}")),
            None => Ok(()),
        }
    }
}

/// Asks the routers that the specification names no more to let go, and plans the changes that they answered with.
pub(crate) fn plan(pass: &Pass<'_>, planner: &mut Planner, report: &mut Report) -> Leaving {
    let mut leaving = Leaving {
        record: record::named(pass.raw),
        ..Leaving::default()
    };
    let kept = record::kept(pass.raw);
    let mut known: Vec<(&String, Recorded)> = kept
        .iter()
        .map(|(name, recorded)| (name, recorded.clone()))
        .collect();
    for name in &pass.seen.plugins.marked {
        // It may be known under another name.
        if !known.iter().any(|(other, _)| is_same(pass, name, other)) {
            known.push((name, Recorded::default()));
        }
    }
    for (name, recorded) in known {
        if !is_named(pass, name) {
            leave(pass, name, recorded, &mut leaving, planner, report);
        }
    }
    if leaving.record != kept {
        leaving.record = record::fitting(leaving.record);
        leaving.is_news = leaving.record != kept;
    }
    leaving
}

/// Whether the specification names the router, under this name or another one of the same plugin.
fn is_named(pass: &Pass<'_>, name: &str) -> bool {
    let mut named = pass.valid.routers.iter();
    named.any(|router| is_same(pass, name, &router.name.name))
}

fn is_same(pass: &Pass<'_>, name: &str, other: &str) -> bool {
    let digest = |name| {
        let info = pass.seen.plugins.find(PluginKind::TrafficRouter, name);
        info.map(|info| &info.digest)
    };
    name == other || digest(name).is_some_and(|of| digest(other) == Some(of))
}

fn leave(
    pass: &Pass<'_>,
    name: &str,
    recorded: Recorded,
    leaving: &mut Leaving,
    planner: &mut Planner,
    report: &mut Report,
) {
    let until = recorded
        .until
        .unwrap_or_else(|| pass.after(pass.now(), PATIENCE));
    let is_late = recorded.late || until <= pass.now();
    // A stable set that was scaled down cannot take all of the traffic. Its subset and that of the canary may select every
    // pod meanwhile, but the weights stay.
    let all_to_stable = pass
        .sets
        .stable
        .is_some_and(|stable| stable.available >= pass.replicas());
    let config = if all_to_stable {
        recorded.config.clone()
    } else {
        Value::Null
    };
    let subject = subject(pass.raw);
    let plugins = &pass.seen.plugins;
    let answered = match traffic::release_call(plugins, &subject, pass.now(), name, config) {
        None => Err("no loaded plugin provides it".to_owned()),
        Some((call, again)) => {
            let (answered, writes) = traffic::answered(plugins, &call, true);
            for write in writes {
                planner.write(Role::Route, write, Meaning::Released(name.to_owned()));
            }
            planner.call(call);
            // Whoever is late is asked again whenever there is something to do anyway.
            if let Some(time) = again.filter(|_| !is_late) {
                leaving.again = leaving.again.or_at(time);
            }
            has_let_go(answered)
        }
    };
    let has_weights = !recorded.config.is_null() && !all_to_stable;
    match answered {
        Ok(()) if has_weights => {
            report.wait(
                format!("the weights that router {name} has set"),
                "the stable ReplicaSet to have all of its pods",
            );
            // What is asked then has its own time.
            leaving.keep(
                name,
                Recorded {
                    until: None,
                    late: false,
                    ..recorded
                },
            );
        }
        Ok(()) => leaving.released.push(name.to_owned()),
        Err(why) if is_late => {
            report.note(format!("router {name} has not let go in time: {why}"));
            if !recorded.late {
                leaving.late.push((name.to_owned(), why));
            }
            leaving.keep(
                name,
                Recorded {
                    until: Some(until),
                    late: true,
                    ..recorded
                },
            );
        }
        Err(why) => {
            report.wait_until(
                format!("router {name}, which is not named any more"),
                why.clone(),
                until,
            );
            leaving.again = leaving.again.or_at(until);
            leaving.awaited.push((name.to_owned(), why));
            leaving.keep(
                name,
                Recorded {
                    until: Some(until),
                    ..recorded
                },
            );
        }
    }
}

impl Leaving {
    fn keep(&mut self, name: &str, recorded: Recorded) {
        self.record.insert(name.to_owned(), recorded);
    }
}

/// Whether the answer to such a call says that nothing is left to be done.
pub(super) fn has_let_go(answered: Answered) -> Result<(), String> {
    use crate::plugin::Verification;
    match answered {
        Answered::NotYet => Err("it has not answered yet".to_owned()),
        Answered::Failed(message) => Err(message),
        Answered::Plan { changes: true, .. } => Err("its changes are not applied yet".to_owned()),
        Answered::Plan {
            verification: Verification::Pending(why),
            ..
        } => Err(why),
        Answered::Plan { .. } => Ok(()),
    }
}

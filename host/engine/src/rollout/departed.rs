//! A Rollout that is gone: its routers let go of it. There is no finalizer to wait for that, so it happens
//! afterwards, with what was known of the Rollout last, or with nothing but its name where only marks are left of it.

use jiff::Timestamp;

use super::Decision;
use super::leave::has_let_go;
use super::planner::{Meaning, Planner};
use super::record::Record;
use super::traffic;
use crate::object::Subject;
use crate::plan::{Event, Outcome, Requeue, Role, Severity};
use crate::plugin::Plugins;
use crate::report::Report;

/// Everything that one pass over a Rollout that is gone may know.
#[derive(Clone, Debug)]
pub struct Departed {
    /// The clock of this pass.
    pub now: Timestamp,
    /// Who it was; without a UID where nobody knows it any more.
    pub subject: Subject,
    /// The routers that may still have something of it.
    pub routers: Record,
    /// When to give up.
    pub until: Timestamp,
    /// Whether there is a Rollout of this name again: whatever carries the name is that one's.
    pub replaced: bool,
    /// Loaded plugins, and the jobs of this subject.
    pub plugins: Plugins,
}

/// What remains to be done after such a plan has been carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted {
    /// Nothing is left to be done, or nothing more is tried.
    pub over: bool,
    /// Events, in order.
    pub events: Vec<Event>,
    /// When to look again although nothing changes.
    pub requeue: Requeue,
}

/// Decides what is to be done for a Rollout that is gone. Total.
pub fn decide_departed(seen: &Departed) -> Decision {
    let mut planner = Planner::default();
    let mut report = Report::default();
    let mut again = Requeue::OnChange;
    if !seen.replaced {
        for (name, why) in ask(seen, &mut planner, &mut again) {
            report.wait_until(format!("router {name}"), why, seen.until);
        }
    }
    let (plan, meanings) = planner.finish(true);
    Decision {
        plan,
        report,
        course: super::Course {
            meanings,
            again,
            ..super::Course::default()
        },
    }
}

/// Settles such a pass. What the plan wanted written was not yet known to be written, so that is never the last pass.
pub fn settle_departed(seen: &Departed, made: &Decision, got: &Outcome) -> Parted {
    let mut parted = Parted {
        over: true,
        events: Vec::new(),
        requeue: made.course.again,
    };
    if seen.replaced {
        return parted;
    }
    let mut again = Requeue::OnChange;
    let waiting = ask(seen, &mut Planner::default(), &mut again);
    let refused = got.first_error().map(|(_, error)| &error.message);
    if seen.now < seen.until {
        parted.over = waiting.is_empty();
        return parted;
    }
    for (name, why) in waiting {
        let why = refused.unwrap_or(&why);
        parted.events.push(Event {
            about: seen.subject.clone(),
            severity: Severity::Warning,
            reason: traffic::TRAFFIC_ROUTING_ERROR.to_owned(),
            message: format!("Router {name} has not let go of the deleted Rollout: {why}"),
        });
    }
    parted
}

/// Asks every router. Returned are those that have not let go, and why.
fn ask(seen: &Departed, planner: &mut Planner, again: &mut Requeue) -> Vec<(String, String)> {
    let mut waiting = Vec::new();
    for (name, recorded) in &seen.routers {
        let call = traffic::release_call(
            &seen.plugins,
            &seen.subject,
            seen.now,
            name,
            recorded.config.clone(),
        );
        let let_go = match call {
            None => Err("no loaded plugin provides it".to_owned()),
            Some((call, next)) => {
                let (answered, writes) = traffic::answered(&seen.plugins, &call, true);
                for write in writes {
                    planner.write(Role::Route, write, Meaning::Released(name.clone()));
                }
                planner.call(call);
                if let Some(time) = next {
                    *again = again.or_at(time);
                }
                has_let_go(answered)
            }
        };
        if let Err(why) = let_go {
            *again = again.or_at(seen.until);
            waiting.push((name.clone(), why));
        }
    }
    waiting
}

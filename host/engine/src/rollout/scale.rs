//! Sizes and metadata of ReplicaSets: creation, scaling, deadlines, history.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::counts;
use super::goal::{Goal, Others};
use super::leave::Leaving;
use super::order::{self, Move, Need};
use super::pass::Pass;
use super::planner::{Meaning, Planner};
use super::restart;
use super::sets::{self, NewSet};
use super::traffic::Routing;
use super::valid::Strategy;
use crate::keys;
use crate::observed::ReplicaSet;
use crate::plan::{Edit, Propagation, Requeue, Role, Subresource, Write};
use crate::planted::{self, Bug};
use crate::report::Report;

/// Plans what becomes of the sets. Returns when to look again although nothing changes: the next deadline.
pub(crate) fn plan(
    pass: &Pass<'_>,
    goal: &Goal,
    routing: Option<&Routing>,
    leaving: &Leaving,
    planner: &mut Planner,
    report: &mut Report,
) -> Requeue {
    let mut work = Work {
        pass,
        goal,
        routing,
        leaving,
        evictions_shown: restart::is_shown(pass),
        between: active_between(pass),
        planner,
        report,
        again: Requeue::OnChange,
    };
    work.new_set();
    for set in pass.sets.distinct_stable().into_iter().chain(work.between) {
        work.kept_set(set);
    }
    work.old_sets();
    work.history();
    work.again
}

struct Work<'a, 'b> {
    pass: &'b Pass<'a>,
    goal: &'b Goal,
    routing: Option<&'b Routing>,
    leaving: &'b Leaving,
    /// Whether the numbers of the sets show every pod that a restart has taken.
    evictions_shown: Result<(), String>,
    /// The set in between that is still active.
    between: Option<&'a ReplicaSet>,
    planner: &'b mut Planner,
    report: &'b mut Report,
    again: Requeue,
}

/// Changes of one set that go into one write.
#[derive(Default)]
struct Edits {
    replicas: Option<i32>,
    min_ready_seconds: Option<i32>,
    annotations: BTreeMap<String, Option<String>>,
}

impl Edits {
    /// No end of the set is announced any more.
    fn end_is_off(&mut self, set: &ReplicaSet) {
        for name in [keys::SCALE_DOWN_DEADLINE, keys::ABORTED] {
            if set.metadata.annotations.contains_key(name) {
                self.annotations.insert(name.to_owned(), None);
            }
        }
    }
}

impl<'a> Work<'a, '_> {
    fn new_set(&mut self) {
        let pass = self.pass;
        match &pass.sets.new {
            NewSet::Unknown(_) | NewSet::Refused(_) => {}
            NewSet::Missing { hash, source, .. } => {
                let replicas = if self.goal.sizes_halted.is_some() {
                    0
                } else {
                    self.goal.new
                };
                let body = sets::body(
                    pass.raw,
                    &super::affinity::with_anti_affinity(pass),
                    hash,
                    source,
                    pass.revision,
                    replicas,
                );
                let name = sets::name(pass.raw, hash);
                self.planner.write(
                    Role::CreateSet,
                    Write {
                        target: set_key(pass, &name),
                        edit: Edit::Create(body),
                        subresource: Subresource::None,
                        precondition: None,
                        reason: format!("revision {}", pass.revision),
                    },
                    Meaning::Created { name, replicas },
                );
            }
            NewSet::Found { set, source } => {
                let mut edits = match pass.held {
                    None => self.metadata(set, source.as_deref()),
                    Some(_) => Edits::default(),
                };
                let to = self.new_size(set, &mut edits);
                self.mark_aborted(set, to, &mut edits);
                self.apply(set, to, edits, Move::ShrinkNew);
            }
        }
    }

    /// The size of the new set now; an abort announces its end first (ABT-011).
    fn new_size(&mut self, set: &ReplicaSet, edits: &mut Edits) -> i32 {
        let pass = self.pass;
        let deadline = sets::scale_down_deadline(set);
        let Some(abort) = self.goal.new_after_abort else {
            if deadline.is_some() && self.goal.sizes_halted.is_none() && !pass.switches_back() {
                edits.end_is_off(set);
            }
            return self.goal.new;
        };
        match deadline {
            Some(Ok(time)) if time <= pass.now() => 0,
            Some(Ok(time)) => {
                self.again = self.again.or_at(time);
                self.report.wait_until(
                    format!("ReplicaSet {}", set.metadata.name),
                    "its scale-down deadline",
                    time,
                );
                set.replicas
            }
            Some(Err(_)) | None => {
                if set.replicas == 0 {
                    return 0;
                }
                // Its time begins once sizes may change.
                if self.goal.sizes_halted.is_some() {
                    return set.replicas;
                }
                match order::blocked(Move::EndAborted, |need| self.holds(set, 0, need)) {
                    None => {
                        let time = pass.after(pass.now(), abort.delay);
                        self.announce(edits, time);
                    }
                    Some(why) => self
                        .report
                        .wait(format!("the end of ReplicaSet {}", set.metadata.name), why),
                }
                set.replicas
            }
        }
    }

    /// An aborted set of blue-green says so for as long as it has pods: its end may be announced later, when it is an old
    /// one, and with a canary no end makes a rollback fast.
    fn mark_aborted(&self, set: &ReplicaSet, to: i32, edits: &mut Edits) {
        let pass = self.pass;
        if !matches!(pass.valid.strategy, Strategy::BlueGreen(_)) {
            return;
        }
        let marked = set.metadata.annotations.contains_key(keys::ABORTED);
        let aborted = pass.aborted() && pass.sets.distinct_stable().is_some() && to > 0;
        if aborted != marked {
            let value = aborted.then(|| "true".to_owned());
            edits.annotations.insert(keys::ABORTED.to_owned(), value);
        }
    }

    /// A set that serves users while another one is new: it has its size, and no end is announced of it.
    fn kept_set(&mut self, set: &ReplicaSet) {
        let mut edits = Edits::default();
        if sets::scale_down_deadline(set).is_some() && self.goal.sizes_halted.is_none() {
            edits.end_is_off(set);
        }
        self.apply(set, self.goal.stable, edits, Move::ShrinkStable);
    }

    /// What every pass keeps up to date on the new set: copied annotations, revision, minReadySeconds (REC-015, KEY-019).
    fn metadata(&self, set: &ReplicaSet, source: Option<&str>) -> Edits {
        let pass = self.pass;
        let mut edits = Edits::default();
        for (name, value) in sets::copied_annotations(pass.raw) {
            if set.metadata.annotations.get(&name) != Some(&value) {
                edits.annotations.insert(name, Some(value));
            }
        }
        let revision = sets::revision(&set.metadata.annotations);
        if revision != pass.revision {
            edits
                .annotations
                .insert(keys::REVISION.to_owned(), Some(pass.revision.to_string()));
            if revision > 0 {
                let history = match set.metadata.annotations.get(keys::REVISION_HISTORY) {
                    Some(history) if !history.is_empty() => format!("{history},{revision}"),
                    Some(_) | None => revision.to_string(),
                };
                edits
                    .annotations
                    .insert(keys::REVISION_HISTORY.to_owned(), Some(history));
            }
        }
        if let Some(source) = source {
            edits
                .annotations
                .insert(keys::TEMPLATE_SOURCE.to_owned(), Some(source.to_owned()));
        }
        if set.min_ready_seconds != pass.raw.spec.min_ready_seconds {
            edits.min_ready_seconds = Some(pass.raw.spec.min_ready_seconds);
        }
        edits
    }

    /// One write for a set, if anything differs. `desired-replicas` follows the Rollout with every size (KEY-007).
    fn apply(&mut self, set: &ReplicaSet, to: i32, mut edits: Edits, shrinking: Move) {
        let pass = self.pass;
        let mut to = to.max(0);
        // An abort needs the pods of the stable set, whoever has stopped the update.
        let saves = shrinking == Move::ShrinkStable && pass.aborted() && to > set.replicas;
        if let Some(why) = self.goal.sizes_halted
            && to != set.replicas
            && !saves
        {
            self.report.note(format!(
                "ReplicaSet {} keeps its size: {why}",
                set.metadata.name
            ));
            to = set.replicas;
        }
        if to < set.replicas
            && let Some(why) = order::blocked(shrinking, |need| self.holds(set, to, need))
        {
            self.report.wait(
                format!("fewer pods of ReplicaSet {}", set.metadata.name),
                why,
            );
            to = set.replicas;
        }
        if to != set.replicas {
            edits.replicas = Some(to);
        }
        if to == 0 && sets::scale_down_deadline(set).is_some() {
            edits.end_is_off(set);
        }
        let active = to > 0 || set.replicas > 0;
        if active
            && self.goal.sizes_halted.is_none()
            && sets::desired_replicas(set) != Some(pass.replicas())
        {
            edits.annotations.insert(
                keys::DESIRED_REPLICAS.to_owned(),
                Some(pass.replicas().to_string()),
            );
        }
        self.write(set, edits);
    }

    fn write(&mut self, set: &ReplicaSet, edits: Edits) {
        let mut patch = serde_json::Map::new();
        if !edits.annotations.is_empty() {
            patch.insert(
                "metadata".to_owned(),
                json!({ "annotations": edits.annotations }),
            );
        }
        let mut spec = serde_json::Map::new();
        if let Some(replicas) = edits.replicas {
            spec.insert("replicas".to_owned(), json!(replicas));
        }
        if let Some(seconds) = edits.min_ready_seconds {
            spec.insert("minReadySeconds".to_owned(), json!(seconds));
        }
        if !spec.is_empty() {
            patch.insert("spec".to_owned(), Value::Object(spec));
        }
        if patch.is_empty() {
            return;
        }
        let (role, meaning, reason) = match edits.replicas {
            Some(to) => (
                if to > set.replicas {
                    Role::ScaleUp
                } else {
                    Role::ScaleDown
                },
                Meaning::Scaled {
                    name: set.metadata.name.clone(),
                    revision: self.revision_of(set),
                    from: set.replicas,
                    to,
                },
                format!("scale from {} to {to}", set.replicas),
            ),
            None => (Role::Annotate, Meaning::Other, "annotations".to_owned()),
        };
        // The announcement of an end is as good as the end: it has the same prerequisites.
        let announces = edits
            .annotations
            .get(keys::SCALE_DOWN_DEADLINE)
            .is_some_and(Option::is_some);
        self.planner.write(
            if announces { Role::ScaleDown } else { role },
            Write {
                target: set_key(self.pass, &set.metadata.name),
                edit: Edit::MergePatch(Value::Object(patch)),
                subresource: Subresource::None,
                precondition: Some(set.metadata.resource_version.clone()),
                reason,
            },
            meaning,
        );
    }

    /// The revision that a set has once this pass has written it.
    fn revision_of(&self, set: &ReplicaSet) -> i64 {
        let is_new = self
            .pass
            .new_set()
            .is_some_and(|new| new.metadata.uid == set.metadata.uid);
        if is_new {
            self.pass.revision
        } else {
            super::runs::revision_of(set)
        }
    }

    fn announce(&mut self, edits: &mut Edits, time: Timestamp) {
        let time = Timestamp::from_second(time.as_second()).unwrap_or(time);
        edits
            .annotations
            .insert(keys::SCALE_DOWN_DEADLINE.to_owned(), Some(time.to_string()));
        self.again = self.again.or_at(time);
    }

    /// Whether the split that this pass asks for is in force; without a router there is none to wait for.
    fn confirmed(&self) -> Result<(), String> {
        // A router that the specification names no more lets go first.
        self.leaving.is_over()?;
        match (&self.goal.weights, self.routing) {
            (Some(_), Some(routing)) => routing.in_force(),
            (Some(_), None) => Err("no router has been asked yet".to_owned()),
            (None, _) => Ok(()),
        }
    }

    /// Whether a need of a set holds that is to have so many pods.
    fn holds(&self, set: &ReplicaSet, to: i32, need: Need) -> Result<(), String> {
        match need {
            // A router may wait for the sizes.
            Need::WeightConfirmed if self.pass.serves_nobody() => Ok(()),
            // What keeps every pod that the Rollout asks for can carry any share: an autoscaler waits for no router.
            Need::WeightConfirmed if to >= self.pass.replicas() => Ok(()),
            Need::WeightConfirmed => self.confirmed().map_err(|why| {
                let weights = self.pass.raw.status.canary.weights.as_ref();
                let weight = weights.map_or(0, |weights| weights.canary.weight);
                format!("weight {weight} is unconfirmed: {why}")
            }),
            Need::StableComplete => {
                let stable = self.pass.sets.stable.map_or(0, |stable| stable.available);
                let wanted = self.pass.replicas();
                (stable >= wanted).then_some(()).ok_or_else(|| {
                    format!("the stable ReplicaSet has {stable} of {wanted} available pods")
                })
            }
            Need::EvictionsShown => self.evictions_shown.clone(),
            Need::NoTraffic => self.no_traffic(set),
            Need::Unreferenced => self.unreferenced(set),
            Need::TargetReady
            | Need::ShareFits
            | Need::ShareReturned
            | Need::Spare
            | Need::SpareBesides
            | Need::AnotherServes
            | Need::ActiveSelects => Ok(()),
        }
    }

    /// The status records no weight for the set.
    fn no_traffic(&self, set: &ReplicaSet) -> Result<(), String> {
        let Some(weights) = &self.pass.raw.status.canary.weights else {
            return Ok(());
        };
        for destination in [&weights.canary, &weights.stable] {
            if destination.pod_template_hash == set.hash() && destination.weight > 0 {
                return Err(format!(
                    "ReplicaSet {} is known to take {} of the traffic",
                    set.metadata.name, destination.weight
                ));
            }
        }
        Ok(())
    }

    /// Nothing selects the set, by the status and by the Services themselves (SCD-010).
    fn unreferenced(&self, set: &ReplicaSet) -> Result<(), String> {
        // Without a router or a blue-green Service pods take traffic by being there: they are to go.
        let selectors_matter = self.goal.weights.is_some() || self.pass.has_active_set();
        if !selectors_matter {
            return Ok(());
        }
        let hash = set.hash();
        let selecting = self
            .pass
            .seen
            .services
            .iter()
            .filter_map(|(name, service)| Some((name, service.as_ref()?)))
            .find(|(_, service)| service.selected_hash() == Some(hash));
        match selecting {
            Some((name, _)) => Err(format!(
                "Service {name} still selects ReplicaSet {}",
                set.metadata.name
            )),
            None => Ok(()),
        }
    }

    /// Sets that are neither new nor stable (CAN-011, CAN-027, SCD-001).
    fn old_sets(&mut self) {
        if let Some(why) = self.goal.sizes_halted {
            self.report
                .note(format!("old ReplicaSets are left as they are: {why}"));
            return;
        }
        let mut old: Vec<&'a ReplicaSet> = self
            .pass
            .sets
            .others()
            .filter(|set| set.replicas > 0)
            .filter(|set| {
                self.between
                    .is_none_or(|active| active.hash() != set.hash())
            })
            .collect();
        if old.is_empty() {
            return;
        }
        old.sort_by_key(|set| std::cmp::Reverse(super::runs::revision_of(set)));
        // Pods that a set has beyond its size are on their way out.
        let all = self.pass.sets.all.iter();
        let available = counts::sum(all.map(|set| set.available.min(set.replicas)));
        match self.goal.others {
            Others::Keep(why) => self.report.wait("the end of old ReplicaSets", why),
            Others::WithinAvailability { min_available } => {
                let mut budget = available.saturating_sub(min_available);
                for set in old {
                    budget = self.shrink_within(set, budget);
                }
            }
            Others::AfterDelay {
                delay,
                limit,
                keep,
                min_available,
                announced_only,
            } => {
                let mut budget = available.saturating_sub(min_available);
                let mut announced = 0;
                for set in old {
                    if announced_only && sets::scale_down_deadline(set).is_none() {
                        budget = self.shrink_within(set, budget);
                    } else {
                        self.delay(set, delay, limit, keep, &mut announced);
                    }
                }
            }
        }
    }

    /// Pods that are not available go at once, others as far as the budget allows. Returns what is left of it.
    fn shrink_within(&mut self, set: &ReplicaSet, budget: i32) -> i32 {
        let available = set.available.min(set.replicas);
        let removable = budget.max(0).min(available);
        let to = available.saturating_sub(removable);
        self.apply(set, to, Edits::default(), Move::RetireOld);
        budget.saturating_sub(removable)
    }

    /// Announces the end of a set, waits for it, and carries it out (SCD-001).
    fn delay(
        &mut self,
        set: &ReplicaSet,
        delay: SignedDuration,
        limit: i32,
        keep: Option<i32>,
        announced: &mut i32,
    ) {
        let pass = self.pass;
        *announced = announced.saturating_add(1);
        let mut edits = Edits::default();
        let size = keep.unwrap_or(set.replicas);
        let to = match sets::scale_down_deadline(set) {
            _ if *announced > limit => 0,
            Some(Ok(_)) if planted::is(Bug::DeadlineIgnored) => 0,
            Some(Ok(_)) if planted::is(Bug::DeadlineNeverComes) => size,
            Some(Ok(time)) if time > pass.now() => {
                self.again = self.again.or_at(time);
                size
            }
            Some(Ok(_)) => 0,
            Some(Err(text)) => {
                self.report.note(format!(
                    "ReplicaSet {} has an unreadable scale-down deadline \"{text}\"",
                    set.metadata.name
                ));
                0
            }
            None if delay.is_zero() => 0,
            None => {
                if let Some(why) = order::blocked(Move::RetireOld, |need| self.holds(set, 0, need))
                {
                    self.report
                        .wait(format!("the end of ReplicaSet {}", set.metadata.name), why);
                    // A set that is still needed does not count against the limit.
                    *announced = announced.saturating_sub(1);
                    return;
                }
                let time = pass.after(pass.now(), delay);
                self.announce(&mut edits, time);
                set.replicas
            }
        };
        self.apply(set, to, edits, Move::RetireOld);
    }

    /// Deletes the oldest empty sets beyond the limit (REC-026).
    fn history(&mut self) {
        let limit = usize::try_from(self.pass.raw.spec.revision_history_limit()).unwrap_or(0);
        let old: Vec<&ReplicaSet> = self
            .pass
            .sets
            .others()
            .filter(|set| set.metadata.deletion_timestamp.is_none())
            .collect();
        let surplus = old.len().saturating_sub(limit);
        for set in old.into_iter().take(surplus) {
            let empty = (set.replicas == 0 && set.status_replicas == 0)
                || planted::is(Bug::HistoryTakesPods);
            if !empty || set.metadata.generation > set.observed_generation {
                continue;
            }
            self.planner.write(
                Role::Retire,
                Write {
                    target: set_key(self.pass, &set.metadata.name),
                    edit: Edit::Delete(Propagation::Background),
                    subresource: Subresource::None,
                    precondition: Some(set.metadata.resource_version.clone()),
                    reason: "beyond revisionHistoryLimit".to_owned(),
                },
                Meaning::Other,
            );
        }
    }
}

/// The set that the active Service of blue-green selects, where it is neither new nor stable: the next revision came before
/// this one was promoted, and it has all of the traffic.
fn active_between<'a>(pass: &Pass<'a>) -> Option<&'a ReplicaSet> {
    let Strategy::BlueGreen(blue_green) = &pass.valid.strategy else {
        return None;
    };
    let hash = pass.selected_hash(&blue_green.active_service);
    pass.sets.others().find(|set| set.hash() == hash)
}

fn set_key(pass: &Pass<'_>, name: &str) -> crate::object::ObjectKey {
    crate::object::ObjectKey::namespaced(
        "apps/v1",
        "ReplicaSet",
        &pass.raw.metadata.namespace,
        name,
    )
}

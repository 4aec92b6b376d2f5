//! I8, for ReplicaSets: no pods taken away that something needs; one set for a template, one revision for a set.

use jiff::SignedDuration;
use serde_json::{Value, json};
use sluice_simulation::Changed;

use super::mirror::{Set, number, text};
use super::{Court, Finding, Window};
use crate::faults::history::What;
use crate::faults::scene::{NAME, Strategy};

/// History takes sets, and never pods.
fn judge_deletion(change: &Changed, set: &Value) -> Option<Finding> {
    let count = |path: &str| number(set, path).unwrap_or(0);
    let (wanted, present) = (count("/spec/replicas"), count("/status/replicas"));
    (wanted > 0 || present > 0).then(|| {
        (
            "history takes no pods",
            format!(
                "{} is deleted with {present} pods, {wanted} wanted",
                change.name
            ),
        )
    })
}

impl Court {
    pub(super) fn judge_pods(&self, window: Window, change: &Changed) -> Vec<Finding> {
        match (&change.before, &change.after) {
            (None, Some(created)) => self.judge_creation(window, change, created),
            (Some(before), Some(after)) => {
                let (from, to) = (
                    number(before, "/spec/replicas").unwrap_or(0),
                    number(after, "/spec/replicas").unwrap_or(0),
                );
                if text(before, "/metadata/ownerReferences/0/name") != NAME {
                    Vec::new()
                } else if to < from {
                    self.judge_shrinking(window, change, from, to)
                } else if to > from {
                    self.judge_growth(window, change, to).into_iter().collect()
                } else {
                    Vec::new()
                }
            }
            (Some(before), None) => judge_deletion(change, before).into_iter().collect(),
            (None, None) => Vec::new(),
        }
    }

    fn judge_creation(&self, window: Window, change: &Changed, created: &Value) -> Vec<Finding> {
        if text(created, "/metadata/ownerReferences/0/name") != NAME {
            return Vec::new();
        }
        let annotation =
            |name: &str| text(created, &format!("/metadata/annotations/{name}")).to_owned();
        let source = annotation("sluice.dev~1template-source");
        let revision: i64 = annotation("rollout.argoproj.io~1revision")
            .parse()
            .unwrap_or(0);
        // What somebody has changed by hand is not recognised any more, and that is in order.
        let tampered = self.acted(self.start, |what| {
            matches!(what, What::Unannotate(_) | What::DeleteSet(_))
        });
        let mut found = Vec::new();
        for (name, set) in self.mirror.living().filter(|_| !tampered) {
            if set.source == source && !set.going {
                found.push((
                    "one set for a template",
                    format!(
                        "{} is created although {name} has the template",
                        change.name
                    ),
                ));
            }
            // Whoever begins with a list from the past cannot know what has been numbered since, nor can its creator who
            // was not told.
            let unknown = self.is_sent_back(window)
                || (self.unheard_of.contains_key(name) && set.begins(window));
            if !unknown && set.revision == revision && set.source != source {
                found.push((
                    "one revision for a set",
                    format!(
                        "{} gets revision {revision}, which is {name}'s",
                        change.name
                    ),
                ));
            }
        }
        found
    }

    fn judge_shrinking(
        &self,
        window: Window,
        change: &Changed,
        from: i64,
        to: i64,
    ) -> Vec<Finding> {
        let mirror = &self.mirror;
        let replicas = mirror.least_replicas(window);
        let mut found = Vec::new();
        let Some(set) = mirror.sets.get(&change.name) else {
            return found;
        };
        if replicas == 0 || self.traffic_in_doubt(window) {
            return found;
        }
        if self.strategy == Strategy::Basic {
            found.extend(self.judge_availability(window, change, to, replicas));
        } else {
            let share = mirror.traffic.share(&set.hash);
            let mut needed = share * replicas / 100;
            if mirror.sizes_apart(window) {
                needed = needed.min(1);
            }
            if share > 0 {
                needed = needed.max(1);
            }
            // The step's spec may ask for less than the share, once.
            if to < needed.min(from) {
                found.push((
                    "I8 pods below the share",
                    format!(
                        "{} is scaled from {from} to {to}, and {share} % of the traffic of \
                         {replicas} pods goes there",
                        change.name
                    ),
                ));
            }
        }
        let early = set
            .deadline
            .filter(|deadline| *deadline > window.at + SignedDuration::from_secs(1));
        let dynamic = mirror.strategy("dynamicStableScale") == Some(&json!(true));
        if let Some(deadline) = early
            && to == 0
            && !dynamic
            && !self.is_beyond_limit(set)
            // The steps have the set of the present revision, whatever was announced before it was that.
            && !self.is_current(window, set)
            && self.strategy != Strategy::Basic
        {
            found.push((
                "scale-down deadline",
                format!(
                    "{} goes {} s before its deadline",
                    change.name,
                    deadline.duration_since(window.at).as_secs()
                ),
            ));
        }
        found
    }

    /// Whether so many newer sets are announced that this one need not wait (SCD-001).
    fn is_beyond_limit(&self, set: &Set) -> bool {
        let limit = self.mirror.strategy("scaleDownDelayRevisionLimit");
        let newer = self
            .mirror
            .living()
            .filter(|(_, other)| other.deadline.is_some() && other.revision > set.revision);
        limit
            .and_then(Value::as_u64)
            .is_some_and(|limit| u64::try_from(newer.count()).is_ok_and(|newer| newer >= limit))
    }

    /// Of the present revision, and not aborted; a change of mind may not have come into the status yet.
    fn is_current(&self, window: Window, set: &Set) -> bool {
        let aborted = self.mirror.aborted.last() == Some(&true);
        let newest = self.mirror.living().map(|(_, set)| set.revision).max();
        let changed = self.acted(window.from, |what| {
            matches!(what, What::Release { .. } | What::Steps(_) | What::Retry)
        });
        changed || (!aborted && newest == Some(set.revision))
    }

    /// Without a router: never more pods than the Rollout asks for and `maxSurge` allows on top.
    fn judge_growth(&self, window: Window, change: &Changed, to: i64) -> Option<Finding> {
        let by_hand = self.acted(window.from, |what| {
            matches!(
                what,
                What::ResizeSet(..) | What::DeleteSet(_) | What::Unannotate(_)
            )
        });
        if self.strategy != Strategy::Basic || by_hand {
            return None;
        }
        let mirror = &self.mirror;
        let replicas = mirror.most_replicas(window);
        // Shares of a surge are rounded up, and the surge may have to stand in for what may not be missing.
        let surge = match mirror.strategy("maxSurge") {
            Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
            _ => (replicas * 25).div_euclid(100) + 1,
        };
        let others: i64 = mirror
            .living()
            .filter(|(name, _)| **name != change.name)
            .map(|(_, set)| set.least_wanted(window))
            .sum();
        let limit = replicas + surge.max(1);
        (others + to > limit).then(|| {
            (
                "surge",
                format!(
                    "{} is scaled to {to} beside {others} others, where {limit} pods may be",
                    change.name
                ),
            )
        })
    }

    /// Without a router pods take traffic by being there: not fewer than the specification says may be available.
    fn judge_availability(
        &self,
        window: Window,
        change: &Changed,
        to: i64,
        replicas: i64,
    ) -> Option<Finding> {
        let mirror = &self.mirror;
        let floor = mirror.must_be_available(replicas);
        // Pods that were not available at some moment may have been taken for such.
        let set = mirror.sets.get(&change.name)?;
        if set.least_available(window).min(set.now().wanted) <= to {
            return None;
        }
        let left = |(name, set): (&String, &super::mirror::Set)| {
            let wanted = if *name == change.name {
                to
            } else {
                set.now().wanted
            };
            set.most_available(window).min(wanted)
        };
        let after: i64 = mirror.living().map(left).sum();
        (after < floor).then(|| {
            (
                "I8 availability",
                format!(
                    "{} is scaled to {to}: {after} pods are left available where {floor} must be",
                    change.name
                ),
            )
        })
    }
}

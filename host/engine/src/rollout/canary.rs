//! The canary strategy: what it wants of a pass.

use jiff::SignedDuration;
use sluice_api as api;

use super::counts::{self, Basic, Counts, Routed, Size};
use super::goal::{
    AbortDelay, Goal, Others, Pause, Promotion, Readiness, Selector, StepEnd, Weights,
};
use super::pass::Pass;
use super::runs;
use super::steps::{self, Step};
use super::valid::Canary;
use crate::observed::ReplicaSet;

pub(crate) fn goal(pass: &Pass<'_>, canary: &Canary) -> Goal {
    let view = View {
        pass,
        canary,
        spec: spec(pass),
    };
    let sizes = view.sizes();
    let weights = (!pass.valid.routers.is_empty()).then(|| view.weights());
    Goal {
        halted: pass.halted(),
        new: sizes.canary,
        new_after_abort: view.abort_delay(),
        stable: sizes.stable,
        others: view.others(),
        selectors: view.selectors(weights.as_ref()),
        pause: view.pause(),
        runs: runs::wanted_by_canary(pass, view.spec),
        step: view.step_end(),
        promotion: view.promotion(weights.as_ref()),
        weights,
    }
}

/// The specification of the strategy. Validation has seen that it is there.
fn spec<'a>(pass: &Pass<'a>) -> &'a api::CanaryStrategy {
    static NONE: std::sync::LazyLock<api::CanaryStrategy> =
        std::sync::LazyLock::new(api::CanaryStrategy::default);
    pass.raw.spec.strategy.canary.as_ref().unwrap_or(&NONE)
}

struct View<'a, 'b> {
    pass: &'b Pass<'a>,
    canary: &'b Canary,
    spec: &'a api::CanaryStrategy,
}

impl<'a> View<'a, '_> {
    /// Canary and stable share that routers are known to apply.
    fn recorded(&self) -> Option<&'a api::TrafficWeights> {
        self.pass.raw.status.canary.weights.as_ref()
    }

    /// The share that the steps ask for (CAN-002).
    fn step_weight(&self) -> i32 {
        let pass = self.pass;
        if pass.status.promote_full || pass.is_initial() || pass.fully_promoted() {
            return self.canary.max_weight;
        }
        if pass.aborted() {
            return self.abort_target();
        }
        if self.steps_done() {
            return self.canary.max_weight;
        }
        steps::weight_at(pass.steps(), pass.step_index())
    }

    fn steps_done(&self) -> bool {
        self.pass.step_index() >= self.pass.steps().len()
    }

    /// The sizes for this pass: those that the steps ask for, and the pods of a share that the canary still has.
    fn sizes(&self) -> Counts {
        let wanted = self.step_sizes();
        if !self.canary.routed || self.scale().is_some() {
            return wanted;
        }
        let carried =
            counts::ceil_share(self.pass.replicas(), self.carried(), self.canary.max_weight);
        Counts {
            canary: wanted.canary.max(carried),
            ..wanted
        }
    }

    /// The share that routers are known to send to the new set.
    fn carried(&self) -> i32 {
        self.recorded()
            .filter(|weights| weights.canary.pod_template_hash == self.pass.hash)
            .filter(|_| !self.pass.fully_promoted() && !self.pass.aborted())
            .map_or(0, |weights| weights.canary.weight)
    }

    /// The sizes that the steps ask for.
    fn step_sizes(&self) -> Counts {
        let pass = self.pass;
        if !self.canary.routed {
            return self.basic_sizes(self.step_weight());
        }
        let wanted = if pass.fully_promoted() && pass.sets.distinct_stable().is_none() {
            Counts {
                canary: pass.replicas(),
                stable: 0,
            }
        } else {
            self.routed_sizes(self.step_weight())
        };
        // An abort without a deadline for the canary leaves it as it is.
        let keeps_canary =
            pass.aborted() && self.pass.raw.spec.abort_scale_down_delay().delay.is_none();
        match pass.new_set() {
            Some(new) if keeps_canary => Counts {
                canary: new.replicas,
                ..wanted
            },
            Some(_) | None => wanted,
        }
    }

    fn basic_sizes(&self, weight: i32) -> Counts {
        let pass = self.pass;
        let replicas = pass.replicas();
        let (max_surge, max_unavailable) = counts::surge_and_unavailable(
            &pass.raw.spec.max_surge(),
            &pass.raw.spec.max_unavailable(),
            replicas,
        );
        let size = |set: &ReplicaSet| Size {
            spec: set.replicas,
            available: set.available,
        };
        counts::basic(&Basic {
            replicas,
            max_surge,
            max_unavailable,
            weight,
            max_weight: self.canary.max_weight,
            new: Some(pass.new_set().map(size).unwrap_or_default()),
            stable: pass.sets.distinct_stable().map(size),
            others: pass.sets.others().map(|set| set.replicas).sum(),
        })
    }

    /// The `setCanaryScale` in force (CAN-021).
    fn scale(&self) -> Option<steps::CanaryScale> {
        let pass = self.pass;
        let past_steps = self.steps_done() || pass.status.promote_full;
        let explicit_zero = pass.raw.spec.abort_scale_down_delay().delay.is_none();
        (!past_steps && (!pass.aborted() || explicit_zero))
            .then(|| steps::scale_at(pass.steps(), pass.step_index()))
            .flatten()
    }

    fn routed_sizes(&self, weight: i32) -> Counts {
        let pass = self.pass;
        counts::routed(&Routed {
            replicas: pass.replicas(),
            weight,
            max_weight: self.canary.max_weight,
            scale: self.scale(),
            dynamic: self.spec.dynamic_stable_scale,
            aborted: pass.aborted(),
            actual: self
                .recorded()
                .map(|weights| (weights.canary.weight, weights.stable.weight)),
            min_pods: self.spec.min_pods_per_replica_set,
        })
    }

    /// Whether the sets have the sizes that the current step asks for (CAN-026).
    fn at_counts(&self) -> bool {
        let pass = self.pass;
        let sizes = self.sizes();
        let Some(new) = pass.new_set() else {
            return false;
        };
        if new.replicas != sizes.canary || !self.threshold_met(new, sizes.canary) {
            return false;
        }
        if !self.stable_at_count(sizes.stable) {
            return false;
        }
        self.canary.routed || pass.sets.others().all(|set| set.available == 0)
    }

    /// Whether a stable set that keeps its size has it.
    fn stable_at_count(&self, wanted: i32) -> bool {
        self.spec.dynamic_stable_scale
            || self
                .pass
                .sets
                .distinct_stable()
                .is_none_or(|stable| stable.replicas == wanted && stable.status_replicas == wanted)
    }

    /// Whether the new set has the pods for the share that the step asks for. More of them do no harm: a share that gets
    /// smaller goes before its pods.
    fn enough_for_weight(&self) -> bool {
        let wanted = self.step_sizes().canary;
        let more = self.spec.replica_progress_threshold.is_none()
            && self
                .pass
                .new_set()
                .is_some_and(|new| new.available >= wanted && new.replicas > wanted);
        self.at_counts() || (more && self.stable_at_count(self.step_sizes().stable))
    }

    /// Enough pods for a step to go on (CA-015): all of them unless the threshold says otherwise.
    fn threshold_met(&self, set: &ReplicaSet, wanted: i32) -> bool {
        let Some(threshold) = self
            .spec
            .replica_progress_threshold
            .as_ref()
            .filter(|threshold| threshold.value >= 0)
        else {
            return set.available == wanted;
        };
        if threshold.type_ == api::ProgressType::Percent {
            wanted == 0
                || i64::from(set.available) * 100 >= i64::from(threshold.value) * i64::from(wanted)
        } else {
            set.available >= threshold.value.min(wanted)
        }
    }

    /// The share that an abort makes room for next (CAN-025). A stable set that was scaled down grows by the steps in
    /// reverse, so that an abort does not ask for all of its pods at once.
    fn abort_target(&self) -> i32 {
        let pass = self.pass;
        let (true, Some(new), Some(stable)) = (
            self.spec.dynamic_stable_scale,
            pass.new_set(),
            pass.sets.stable,
        ) else {
            return 0;
        };
        let replicas = pass.replicas();
        let missing = replicas.saturating_sub(stable.available);
        // A canary that is kept on purpose must not hold the stable set back.
        let kept = pass.raw.spec.abort_scale_down_delay().explicit;
        let room = if kept {
            missing
        } else {
            missing.max(new.available)
        };
        let smallest = |pods: i32| {
            self.spec
                .min_pods_per_replica_set
                .map_or(pods, |min| pods.max(min))
        };
        pass.steps()
            .iter()
            .rev()
            .find_map(|step| match step {
                Step::Weight(weight) => {
                    let pods = counts::ceil_share(replicas, *weight, self.canary.max_weight);
                    // Nor one that is as small as this step lets it be.
                    let reached = missing <= pods && new.replicas <= smallest(pods);
                    (pods < room && !reached).then_some(*weight)
                }
                Step::Pause(_)
                | Step::Scale(_)
                | Step::Analysis(_)
                | Step::HeaderRoute(_)
                | Step::MirrorRoute(_) => None,
            })
            .unwrap_or(0)
    }

    /// The canary's share while an abort or a rollback takes traffic back (TRR-003). Zero at once unless the stable set
    /// was scaled down meanwhile.
    fn abort_weight(&self) -> i32 {
        let pass = self.pass;
        let max = self.canary.max_weight;
        let replicas = pass.replicas();
        let (true, Some(stable), true) = (
            self.spec.dynamic_stable_scale,
            pass.sets.stable,
            replicas > 0,
        ) else {
            return 0;
        };
        let capacity = counts::floor_share(max, stable.available, replicas);
        let needed = max.saturating_sub(capacity).max(0);
        // What stable cannot carry yet stays on the canary, and never more than it has now.
        match self.recorded() {
            Some(weights) => needed.min(weights.canary.weight),
            None => needed,
        }
    }

    /// How the traffic is to be split now (TRR-002), held back where a set could not carry its share.
    fn weights(&self) -> Weights {
        let pass = self.pass;
        let max = self.canary.max_weight;
        let recorded = self.recorded();
        let recorded_weight = recorded.map_or(0, |weights| weights.canary.weight);
        let stable_hash = pass
            .sets
            .stable
            .map(|set| set.hash().to_owned())
            .unwrap_or_default();
        let mut canary_hash = pass.hash.clone();
        let mut held = None;
        let mut managed_routes = false;

        let mut canary = if pass.is_rolling_back_dynamically() {
            canary_hash = recorded
                .map(|weights| weights.canary.pod_template_hash.clone())
                .unwrap_or_default();
            self.abort_weight()
        } else if pass.fully_promoted() || pass.is_initial() {
            0
        } else if pass.aborted() {
            self.abort_weight()
        } else if pass.new_available() == 0 {
            0
        } else if pass.status.promote_full {
            if self.spec.dynamic_stable_scale {
                counts::floor_share(max, pass.new_available(), pass.replicas()).min(max)
            } else {
                recorded_weight
            }
        } else {
            managed_routes = true;
            if self.enough_for_weight() {
                if self.steps_done() {
                    max
                } else {
                    steps::weight_at(pass.steps(), pass.step_index())
                }
            } else {
                held =
                    Some("the new ReplicaSet has not the pods that the step asks for".to_owned());
                let before = match pass.step_index().checked_sub(1) {
                    Some(before) => steps::weight_at(pass.steps(), before),
                    None => 0,
                };
                // A step that somebody skipped has not brought its pods, so its share is not for them yet.
                let capacity =
                    counts::floor_share(max, pass.new_available(), pass.replicas().max(1));
                if before > capacity {
                    before.min(self.carried())
                } else {
                    before
                }
            }
        };

        // A set in between carries traffic: its share goes to zero under its own name before the name changes (TRR-006).
        if let Some(weights) = recorded
            && (weights.canary.weight > 0 || weights.verified == Some(false))
            && !weights.canary.pod_template_hash.is_empty()
            && weights.canary.pod_template_hash != canary_hash
            && weights.stable.pod_template_hash == stable_hash
        {
            canary_hash.clone_from(&weights.canary.pod_template_hash);
            canary = if self.spec.dynamic_stable_scale {
                self.abort_weight()
            } else {
                0
            };
            held = Some("traffic leaves the previous canary first".to_owned());
        }

        // Stable takes more only when it can carry more. Taking less never needs its pods: a good canary must be able to
        // replace a broken stable set.
        if let (Some(stable), true) = (pass.sets.stable, recorded_weight > canary) {
            let wanted = max.saturating_sub(canary);
            let needed = counts::floor_share(wanted, pass.replicas(), max);
            if stable.available < needed
                && !self.threshold_met(stable, needed)
                && !self.gives_way(stable)
            {
                held = Some(format!(
                    "the stable ReplicaSet has {} of {needed} available pods",
                    stable.available
                ));
                canary = recorded_weight;
                if let Some(weights) = recorded {
                    canary_hash.clone_from(&weights.canary.pod_template_hash);
                }
            }
        }
        let (header_routes, mirror_routes) = if managed_routes && pass.revision > 1 {
            self.managed_routes()
        } else {
            (Vec::new(), Vec::new())
        };
        Weights {
            canary,
            max,
            canary_hash,
            stable_hash,
            canary_service: self.canary.canary_service.clone(),
            stable_service: self.canary.stable_service.clone(),
            header_routes,
            mirror_routes,
            held,
        }
    }

    /// After promotion the set that carries the canary's share is the stable one, and an abort without dynamic scaling
    /// goes back to stable whatever its pods do: the share moves between sets that have what they are going to have.
    fn gives_way(&self, stable: &ReplicaSet) -> bool {
        let same = self
            .recorded()
            .is_some_and(|weights| weights.canary.pod_template_hash == stable.hash());
        let aborted =
            self.pass.aborted() && !self.spec.dynamic_stable_scale && stable.available > 0;
        same || aborted
    }

    /// The header and mirror routes that the steps up to the current one have set and not removed.
    fn managed_routes(&self) -> (Vec<serde_json::Value>, Vec<serde_json::Value>) {
        let mut header = Vec::new();
        let mut mirror = Vec::new();
        let upto = self.pass.step_index().saturating_add(1);
        for step in self.pass.steps().iter().take(upto) {
            match step {
                Step::HeaderRoute(route) => replace_route(&mut header, route),
                Step::MirrorRoute(route) => replace_route(&mut mirror, route),
                Step::Pause(_) | Step::Scale(_) | Step::Weight(_) | Step::Analysis(_) => {}
            }
        }
        (header, mirror)
    }

    fn selectors(&self, weights: Option<&Weights>) -> Vec<Selector> {
        let pass = self.pass;
        let max_weight = self.canary.max_weight;
        let recorded = self.recorded();
        let mut selectors = Vec::new();
        let Some(stable) = pass.sets.stable else {
            return selectors;
        };
        if let Some(service) = &self.canary.stable_service {
            selectors.push(Selector {
                service: service.clone(),
                hash: stable.hash().to_owned(),
                readiness: Readiness::Available,
                carries: recorded.map_or(0, |weights| weights.stable.weight),
                max_weight,
            });
        }
        let Some(service) = &self.canary.canary_service else {
            return selectors;
        };
        let carries = recorded.map_or(0, |weights| weights.canary.weight);
        let back_to_stable = pass.aborted() && weights.is_none_or(|weights| weights.canary == 0);
        // The set in between keeps its Service until its share is known to be gone: the next revision must not get it.
        let shared = weights.is_some_and(|weights| weights.canary_hash != pass.hash);
        let between = shared && !pass.aborted() && !pass.fully_promoted();
        if between || pass.is_rolling_back_dynamically() || (pass.aborted() && !back_to_stable) {
            return selectors;
        }
        selectors.push(if pass.aborted() && !pass.fully_promoted() {
            Selector {
                service: service.clone(),
                hash: stable.hash().to_owned(),
                readiness: Readiness::None,
                carries: if self.spec.dynamic_stable_scale {
                    carries
                } else {
                    0
                },
                max_weight,
            }
        } else {
            Selector {
                service: service.clone(),
                hash: pass.hash.clone(),
                readiness: Readiness::Available,
                carries,
                max_weight,
            }
        });
        selectors
    }

    fn abort_delay(&self) -> Option<AbortDelay> {
        let pass = self.pass;
        if !pass.aborted() || pass.sets.distinct_stable().is_none() || !self.canary.routed {
            return None;
        }
        let abort = pass.raw.spec.abort_scale_down_delay();
        if self.spec.dynamic_stable_scale && !abort.explicit {
            return None;
        }
        abort.delay.map(|delay| AbortDelay { delay })
    }

    fn others(&self) -> Others {
        let pass = self.pass;
        let (_, max_unavailable) = counts::surge_and_unavailable(
            &pass.raw.spec.max_surge(),
            &pass.raw.spec.max_unavailable(),
            pass.replicas(),
        );
        let min_available = pass.replicas().saturating_sub(max_unavailable);
        if !self.canary.routed || (pass.fully_promoted() && self.spec.dynamic_stable_scale) {
            return Others::WithinAvailability { min_available };
        }
        Others::AfterDelay {
            delay: pass.raw.spec.scale_down_delay(),
            limit: pass.raw.spec.scale_down_delay_revision_limit(),
            keep: None,
            min_available,
            announced_only: !pass.fully_promoted(),
        }
    }

    fn pause(&self) -> Pause {
        let pass = self.pass;
        if pass.raw.spec.paused {
            return Pause::AsIs;
        }
        if pass.aborted() || pass.status.promote_full || pass.fully_promoted() || pass.is_initial()
        {
            return Pause::None;
        }
        match pass.step() {
            Some(Step::Pause(duration)) => Pause::Wanted {
                reason: api::PauseReason::CanaryPauseStep,
                duration: *duration,
            },
            Some(
                Step::Scale(_)
                | Step::Weight(_)
                | Step::Analysis(_)
                | Step::HeaderRoute(_)
                | Step::MirrorRoute(_),
            )
            | None => Pause::None,
        }
    }

    fn step_end(&self) -> StepEnd {
        let pass = self.pass;
        if pass.raw.spec.paused
            || pass.aborted()
            || pass.is_initial()
            || pass.changed
            || pass.inconclusive
        {
            return StepEnd::Not;
        }
        match pass.step() {
            None => StepEnd::Not,
            Some(Step::Pause(_)) => StepEnd::WithPause,
            Some(Step::Scale(_)) if self.at_counts() => StepEnd::Now,
            Some(Step::Weight(weight)) if self.at_counts() => StepEnd::WithWeight(*weight),
            Some(Step::Scale(_) | Step::Weight(_)) => StepEnd::Not,
            Some(Step::Analysis(_)) if runs::step_successful(pass) => StepEnd::Now,
            Some(Step::Analysis(_)) => StepEnd::Not,
            // Set with the weights of this step; upstream goes on at once (PAU-003).
            Some(Step::HeaderRoute(_) | Step::MirrorRoute(_)) => StepEnd::Now,
        }
    }

    fn promotion(&self, weights: Option<&Weights>) -> Option<Promotion> {
        let pass = self.pass;
        let at_once = |reason: &str| {
            Some(Promotion {
                reason: reason.to_owned(),
                weight: None,
                active_service: None,
            })
        };
        if pass.sets.stable.is_none() {
            return at_once("Initial deploy");
        }
        if pass.aborted() || pass.fully_promoted() || pass.changed {
            return None;
        }
        let new = pass.new_set()?;
        if new.available < pass.replicas() && !self.promotion_threshold(new) {
            return None;
        }
        if pass.status.promote_full {
            return at_once("Full promotion requested");
        }
        if pass.is_within_window() {
            return at_once("Rollback within window");
        }
        if self.steps_done() && pass.halted().is_none() {
            return Some(Promotion {
                reason: format!("Completed all {} canary steps", pass.steps().len()),
                weight: weights.map(|_| self.canary.max_weight),
                active_service: None,
            });
        }
        None
    }

    fn promotion_threshold(&self, new: &ReplicaSet) -> bool {
        self.spec.replica_progress_threshold.is_some()
            && self.threshold_met(new, self.pass.replicas())
    }
}

/// A later step replaces or removes an earlier route of the same name.
fn replace_route(routes: &mut Vec<serde_json::Value>, route: &serde_json::Value) {
    let name = route.get("name").cloned();
    routes.retain(|present| present.get("name") != name.as_ref());
    let matches = route.get("match").and_then(serde_json::Value::as_array);
    if matches.is_some_and(|matches| !matches.is_empty()) {
        routes.push(route.clone());
    }
}

/// How long until a timed pause ends.
pub(crate) fn remaining(
    pause: &api::PauseCondition,
    duration: SignedDuration,
    now: jiff::Timestamp,
) -> Option<jiff::Timestamp> {
    let end = pause
        .start_time
        .0
        .checked_add(duration)
        .unwrap_or(jiff::Timestamp::MAX);
    (end > now).then_some(end)
}

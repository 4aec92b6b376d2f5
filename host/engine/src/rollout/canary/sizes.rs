//! How many pods the sets of a canary are to have now, and whether they have them.

use sluice_api as api;

use super::View;
use crate::keys;
use crate::observed::ReplicaSet;
use crate::planted::{self, Bug};
use crate::rollout::counts::{self, Basic, Counts, Routed, Size};
use crate::rollout::steps;

impl<'a> View<'a, '_> {
    /// The sizes for this pass: those that the steps ask for, and the pods of a share that the canary still has.
    pub(super) fn sizes(&self) -> Counts {
        let wanted = self.step_sizes();
        Counts {
            canary: self.canary_with(wanted.canary, self.carried()),
            ..wanted
        }
    }

    /// Pods of the canary with such a share, where the steps ask for so many. Somebody who says how many pods a canary has
    /// may give it fewer than its share, but none only without a share.
    pub(super) fn canary_with(&self, wanted: i32, share: i32) -> i32 {
        let as_stable = self.carried_as_stable();
        let explicit = self.scale().is_some() && wanted > 0 && as_stable == 0;
        if !self.canary.routed || explicit {
            return wanted;
        }
        wanted.max(self.pods_of(share.saturating_add(as_stable)))
    }

    /// Pods for such a share.
    pub(super) fn pods_of(&self, share: i32) -> i32 {
        counts::ceil_share(self.pass.replicas(), share, self.canary.max_weight)
    }

    /// Pods of the stable set for a share: that which this pass leaves to it, since what is recorded may be of a moment at
    /// which the canary could carry more, and a canary whose pods are gone gives back nothing until these are there.
    pub(super) fn pods_of_stable(&self, share: i32) -> i32 {
        if planted::is(Bug::DynamicStableTooSmall) {
            return 0;
        }
        self.pods_of(share)
    }

    /// Pods that must be available: all but those that may be unavailable.
    pub(super) fn min_available(&self) -> i32 {
        let (spec, replicas) = (&self.pass.raw.spec, self.pass.replicas());
        let (_, unavailable) =
            counts::surge_and_unavailable(&spec.max_surge(), &spec.max_unavailable(), replicas);
        replicas.saturating_sub(unavailable.max(0))
    }

    /// Available pods with which a stable set may serve all of the traffic: routers send to sets, and a pod that never comes
    /// must not keep the traffic of all others where it is. It may miss a quarter, which is `maxUnavailable` by default. One
    /// that keeps its size may miss what the Rollout says, too, and a pod at least. With `dynamicStableScale` a set is smaller
    /// for a while, and what the Rollout says is not about that.
    pub(super) fn enough_for_all(&self) -> i32 {
        let replicas = self.pass.replicas();
        let most = counts::most(replicas);
        let enough = if self.spec.dynamic_stable_scale {
            most
        } else {
            most.min(self.min_available())
                .min(replicas.saturating_sub(1))
        };
        enough.max(1)
    }

    /// The share that routers are known to send to the new set.
    pub(super) fn carried(&self) -> i32 {
        self.recorded()
            .filter(|weights| weights.canary.pod_template_hash == self.pass.hash)
            .filter(|_| !self.pass.fully_promoted() && !self.pass.aborted())
            .map_or(0, |weights| weights.canary.weight)
    }

    /// The share that comes to the new set because the stable Service still selects it: the set was the stable one, and the
    /// one that replaced it has not had the pods for all of the traffic yet.
    fn carried_as_stable(&self) -> i32 {
        let pass = self.pass;
        let selects = |service: &String| pass.selected_hash(service) == pass.hash;
        if pass.fully_promoted() || !self.canary.stable_service.as_ref().is_some_and(selects) {
            return 0;
        }
        let elsewhere = self.recorded().map_or(0, |weights| weights.canary.weight);
        self.canary.max_weight.saturating_sub(elsewhere)
    }

    /// The sizes that the steps ask for.
    pub(super) fn step_sizes(&self) -> Counts {
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

    pub(super) fn basic_sizes(&self, weight: i32) -> Counts {
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
            others: counts::sum(pass.sets.others().map(|set| set.replicas)),
        })
    }

    /// The `setCanaryScale` in force (CAN-021).
    pub(super) fn scale(&self) -> Option<steps::CanaryScale> {
        let pass = self.pass;
        let past_steps = self.steps_done() || pass.status.promote_full;
        let explicit_zero = pass.raw.spec.abort_scale_down_delay().delay.is_none();
        (!past_steps && !pass.is_initial() && (!pass.aborted() || explicit_zero))
            .then(|| steps::scale_at(pass.steps(), pass.step_index()))
            .flatten()
    }

    pub(super) fn routed_sizes(&self, weight: i32) -> Counts {
        let pass = self.pass;
        let counts = counts::routed(&Routed {
            replicas: pass.replicas(),
            weight,
            max_weight: self.canary.max_weight,
            scale: self.scale(),
            dynamic: self.spec.dynamic_stable_scale,
            aborted: pass.aborted(),
            actual: self.recorded().map(|weights| self.shares(weights)),
            min_pods: self.spec.min_pods_per_replica_set,
        });
        match self.left_over() {
            // All of it goes back to the stable set before this revision gets its own.
            Some(_) => Counts {
                stable: pass.replicas(),
                ..counts
            },
            None => counts,
        }
    }

    /// The recorded shares of the new and the stable set. After a promotion the record is of other sets for a moment: what
    /// it does not say of the stable set is all of the traffic.
    fn shares(&self, weights: &api::TrafficWeights) -> (i32, i32) {
        let of = |hash: &str| {
            [&weights.canary, &weights.stable]
                .into_iter()
                .filter(|destination| !hash.is_empty() && destination.pod_template_hash == hash)
                .map(|destination| destination.weight)
                .reduce(i32::saturating_add)
        };
        let stable = self.pass.sets.stable.and_then(|set| of(set.hash()));
        (
            of(&self.pass.hash).unwrap_or(0),
            stable.unwrap_or(self.canary.max_weight),
        )
    }

    /// A share that neither this revision nor an abort of it may inherit: recorded, or not known to be gone. It is that of a
    /// set in between, of the stable set in the moment after its promotion, or this revision's own from before an abort.
    pub(super) fn left_over(&self) -> Option<&api::TrafficWeights> {
        let weights = self.recorded()?;
        let set = &weights.canary.pod_template_hash;
        let of_another = !set.is_empty() && (*set != self.pass.hash || self.is_taken_away());
        (of_another && (weights.canary.weight > 0 || weights.verified == Some(false)))
            .then_some(weights)
    }

    /// An abort has pointed the canary Service away from this revision, which starts over.
    pub(super) fn is_taken_away(&self) -> bool {
        let pass = self.pass;
        let to_stable = |name: &String| {
            let stable = pass.sets.distinct_stable();
            let service = pass.seen.services.get(name).and_then(Option::as_ref);
            // What no controller has pointed there, none has taken away.
            let managed = service
                .is_some_and(|service| service.metadata.annotations.contains_key(keys::MANAGED_BY));
            managed && stable.is_some_and(|stable| pass.selected_hash(name) == stable.hash())
        };
        !pass.aborted() && self.canary.canary_service.as_ref().is_some_and(to_stable)
    }

    /// Whether the sets have the sizes that the current step asks for (CAN-026).
    pub(super) fn at_counts(&self) -> bool {
        let pass = self.pass;
        let sizes = match self.scale() {
            Some(_) => self.step_sizes(),
            None => self.sizes(),
        };
        let Some(new) = pass.new_set() else {
            return false;
        };
        if new.replicas != sizes.canary || !self.threshold_met(new, sizes.canary) {
            return false;
        }
        if !self.stable_at_count(sizes.stable) {
            return false;
        }
        self.canary.routed
            || pass
                .sets
                .others()
                .all(|set| set.available == 0 && set.replicas == 0)
    }

    /// Whether a stable set that keeps its size has it.
    pub(super) fn stable_at_count(&self, wanted: i32) -> bool {
        self.spec.dynamic_stable_scale
            || self
                .pass
                .sets
                .distinct_stable()
                .is_none_or(|stable| stable.replicas == wanted && stable.status_replicas == wanted)
    }

    /// Whether the new set has the pods for the share that the step asks for. More of them do no harm: a share that gets
    /// smaller goes before its pods.
    pub(super) fn has_enough_for_weight(&self) -> bool {
        let wanted = self.step_sizes().canary;
        let more = self
            .pass
            .new_set()
            .is_some_and(|new| new.available >= self.enough(wanted) && new.replicas > wanted);
        self.at_counts() || (more && self.stable_at_count(self.step_sizes().stable))
    }

    /// Enough pods for a step to go on (CA-015): all of them unless the threshold says otherwise.
    pub(super) fn threshold_met(&self, set: &ReplicaSet, wanted: i32) -> bool {
        if self.threshold().is_none() {
            set.available == wanted
        } else {
            set.available >= self.enough(wanted)
        }
    }

    /// Of so many pods, those that have to be available for a step to go on.
    pub(super) fn enough(&self, wanted: i32) -> i32 {
        match self.threshold() {
            None => wanted,
            Some(threshold) if threshold.type_ == api::ProgressType::Percent => {
                counts::ceil_share(threshold.value, wanted, 100).min(wanted)
            }
            Some(threshold) => threshold.value.min(wanted),
        }
    }

    fn threshold(&self) -> Option<&api::ReplicaProgressThreshold> {
        let threshold = self.spec.replica_progress_threshold.as_ref();
        threshold.filter(|threshold| threshold.value >= 0)
    }

    /// The share that an abort makes room for next (CAN-025). A stable set that was scaled down grows by the steps in
    /// reverse, so that an abort does not ask for all of its pods at once. Only its own pods count: it must not wait for a
    /// canary that shrinks as slowly as its router answers.
    pub(super) fn abort_target(&self) -> i32 {
        let pass = self.pass;
        let (true, Some(stable)) = (self.spec.dynamic_stable_scale, pass.sets.stable) else {
            return 0;
        };
        let replicas = pass.replicas();
        let missing = replicas.saturating_sub(stable.available);
        pass.steps()
            .iter()
            .rev()
            .filter_map(|step| step.weight)
            .find(|weight| counts::ceil_share(replicas, *weight, self.canary.max_weight) < missing)
            .unwrap_or(0)
    }
}

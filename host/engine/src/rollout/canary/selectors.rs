//! Which Services of a canary select which set, and how many pods the set needs for it.

use super::View;
use crate::observed::ReplicaSet;
use crate::planted::{self, Bug};
use crate::rollout::goal::{Readiness, Selector};

impl View<'_, '_> {
    pub(super) fn selectors(&self) -> Vec<Selector> {
        let Some(stable) = self.pass.sets.stable else {
            return Vec::new();
        };
        let for_stable = self.canary.stable_service.as_ref();
        let for_stable = for_stable.map(|service| Selector {
            service: service.clone(),
            hash: stable.hash().to_owned(),
            readiness: Readiness::Available,
            enough: self.enough_for_stable_service(service, stable),
            shared: false,
        });
        let for_canary = self.canary.canary_service.as_ref();
        let for_canary = for_canary.and_then(|service| self.for_canary(service, stable));
        for_stable.into_iter().chain(for_canary).collect()
    }

    fn for_canary(&self, service: &str, stable: &ReplicaSet) -> Option<Selector> {
        let pass = self.pass;
        if pass.aborted() && planted::is(Bug::CanaryServiceLeft) {
            return None;
        }
        Some(if pass.aborted() && !pass.fully_promoted() {
            Selector {
                service: service.to_owned(),
                hash: stable.hash().to_owned(),
                readiness: Readiness::Serving,
                // One that keeps its size has the pods that it is going to have.
                enough: if self.spec.dynamic_stable_scale {
                    self.enough_for_both(service)
                } else {
                    0
                },
                shared: false,
            }
        } else {
            Selector {
                service: service.to_owned(),
                hash: pass.hash.clone(),
                // What is enough for a share is enough for the Service that it goes through.
                readiness: if self.at_counts() {
                    Readiness::Serving
                } else {
                    Readiness::Available
                },
                enough: if !self.spec.dynamic_stable_scale && self.user_goes_back() {
                    0
                } else {
                    self.enough_for_canary_service(service)
                },
                // The set in between keeps its Service until its share is known to be gone.
                shared: !pass.fully_promoted() && self.waits_for_share(),
            }
        })
    }

    /// The stable set needs the pods for what the stable Service carries, and for the canary's share where it has that.
    fn enough_for_stable_service(&self, service: &str, stable: &ReplicaSet) -> i32 {
        let Some(carried) = self.recorded().filter(|carried| carried.stable.weight > 0) else {
            return 0;
        };
        let besides = if carried.canary.pod_template_hash == stable.hash() {
            carried.canary.weight
        } else {
            0
        };
        let share = carried.stable.weight.saturating_add(besides);
        let needed = self.enough_for_share(self.pods_of(share));
        self.enough_behind(service, needed.min(self.enough_for_all()), besides)
    }

    /// The new set needs the pods for what the canary Service carries.
    fn enough_for_canary_service(&self, service: &str) -> i32 {
        if self.pass.fully_promoted() {
            return self.enough_for_both(service);
        }
        let share = self.recorded().map_or(0, |carried| carried.canary.weight);
        // Somebody may give a canary fewer pods than its share asks for.
        let has = self.canary_with(self.step_sizes().canary, share);
        let needed = self.enough(self.pods_of(share).min(has));
        self.enough_behind(service, needed, 0)
    }

    /// The stable set gets the canary's share on top of its own.
    fn enough_for_both(&self, service: &str) -> i32 {
        let Some(carried) = self.recorded().filter(|carried| carried.canary.weight > 0) else {
            return 0;
        };
        let stable = carried.stable.weight;
        let needed = self.pods_of(carried.canary.weight.saturating_add(stable));
        self.enough_behind(service, needed.min(self.enough_for_all()), stable)
    }

    /// Enough for what a Service carries is what the set needs that gets it, or as many pods as serve it now besides those
    /// for the share that this set has already: a few are better than fewer.
    fn enough_behind(&self, service: &str, needed: i32, besides: i32) -> i32 {
        let selected = self.pass.selected_hash(service);
        // One without a hash selects any pod there is.
        if selected.is_empty() {
            return needed;
        }
        let serving = self.pass.sets.by_hash(selected).map_or(0, |set| set.ready);
        needed.min(self.pods_of(besides).saturating_add(serving))
    }
}

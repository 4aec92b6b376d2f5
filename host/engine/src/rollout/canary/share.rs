//! How the traffic of a canary is to be split now (TRR-002), and what holds a share back.

use sluice_api as api;

use super::View;
use crate::observed::ReplicaSet;
use crate::planted::{self, Bug};
use crate::rollout::counts;
use crate::rollout::goal::Weights;
use crate::rollout::order::{self, Move, Need};
use crate::rollout::sets;
use crate::rollout::steps;

/// The canary's share, and the set that takes it.
struct Share {
    canary: i32,
    hash: String,
    /// Header and mirror routes are in force.
    managed_routes: bool,
    /// Why it is not yet what the steps ask for.
    held: Option<String>,
}

impl<'a> View<'a, '_> {
    /// How the traffic is to be split now (TRR-002), held back where a set could not carry its share.
    pub(super) fn weights(&self) -> Weights {
        let pass = self.pass;
        let max = self.canary.max_weight;
        let mut share = self.wanted_share();
        self.hand_over(&mut share);
        let stable = max.saturating_sub(share.canary);
        self.give_back(&mut share);
        let stable_hash = pass
            .sets
            .stable
            .map(|set| set.hash().to_owned())
            .unwrap_or_default();
        let (canary_pods, stable_pods) = self.enough_pods(&share, stable, &stable_hash);
        let (header_routes, mirror_routes) = if share.managed_routes && pass.revision > 1 {
            self.managed_routes()
        } else {
            (Vec::new(), Vec::new())
        };
        Weights {
            canary: share.canary,
            stable,
            max,
            canary_pods,
            stable_pods,
            canary_hash: share.hash,
            stable_hash,
            canary_service: self.canary.canary_service.clone(),
            stable_service: self.canary.stable_service.clone(),
            header_routes,
            mirror_routes,
            held: share.held,
        }
    }

    /// Available pods that are enough for the canary's share and for the rest; None: all that the set has. No router waits
    /// where Services are pointed once their pods are there, and another number would only have it asked anew.
    fn enough_pods(&self, share: &Share, rest: i32, stable: &str) -> (Option<i32>, Option<i32>) {
        if self.canary.canary_service.is_some() || self.canary.stable_service.is_some() {
            return (None, None);
        }
        // After a promotion the stable set has both shares.
        let rest = if share.hash == stable {
            self.canary.max_weight
        } else {
            rest
        };
        let current = share.hash == self.pass.hash;
        (
            current.then(|| self.enough_for_canary(share)),
            Some(self.enough_for_stable(self.pods_of_stable(rest))),
        )
    }

    /// The share of a step waits for the step's pods; one that is held, or of a promotion in full, for its own.
    fn enough_for_canary(&self, share: &Share) -> i32 {
        let step = share.held.is_none() && !self.pass.status.promote_full;
        self.enough(if step {
            self.canary_with(self.step_sizes().canary, share.canary)
        } else {
            // One for requests by header.
            self.pods_of(share.canary).max(1)
        })
    }

    /// A stable set that keeps its size may miss some pods, but not every one.
    fn enough_for_stable(&self, pods: i32) -> i32 {
        if self.spec.dynamic_stable_scale {
            return pods;
        }
        pods.min(self.enough_for_all())
    }

    /// Available pods with which the stable set takes a share that asks for so many: no more than the threshold asks for of
    /// a step, and one at least.
    pub(super) fn enough_for_share(&self, pods: i32) -> i32 {
        let enough = self.enough(pods).min(self.enough_for_stable(pods));
        enough.max(1.min(pods))
    }

    /// The canary's share by what is going on, whatever other sets still carry.
    fn wanted_share(&self) -> Share {
        let pass = self.pass;
        let max = self.canary.max_weight;
        let of_current = |canary: i32| Share {
            canary,
            hash: pass.hash.clone(),
            managed_routes: false,
            held: None,
        };
        let recorded = self.recorded();
        if pass.is_rolling_back_dynamically() {
            return Share {
                hash: recorded
                    .map(|weights| weights.canary.pod_template_hash.clone())
                    .unwrap_or_default(),
                ..of_current(self.share_while_it_goes())
            };
        }
        if pass.fully_promoted() || pass.is_initial() {
            return of_current(0);
        }
        if pass.aborted() {
            return of_current(self.share_while_it_goes());
        }
        // A step may have given the canary pods of its own though the Rollout serves nobody, or take them all: their share
        // goes first.
        let no_pods = pass.new_available() == 0 || self.step_sizes().canary == 0;
        if no_pods || pass.serves_nobody() {
            return of_current(0);
        }
        if pass.status.promote_full {
            return of_current(if self.spec.dynamic_stable_scale {
                counts::floor_share(max, pass.new_available(), pass.replicas()).min(max)
            } else {
                recorded.map_or(0, |weights| weights.canary.weight)
            });
        }
        let held = order::blocked(Move::GiveToCanary, |need| match need {
            Need::ShareFits if !self.has_enough_for_weight() => {
                Err("the new ReplicaSet has not the pods that the step asks for".to_owned())
            }
            _ => Ok(()),
        });
        let canary = if held.is_some() {
            self.share_before()
        } else if self.steps_done() {
            max
        } else {
            self.weight_of_step()
        };
        Share {
            // With every step over all traffic goes to the canary, and steps that were skipped must not be made up for.
            managed_routes: !self.steps_done(),
            held,
            ..of_current(canary)
        }
    }

    /// The share of the steps before this one. One that somebody skipped has not brought its pods, so its share is not for
    /// them yet; and one that this step has made smaller is not for what is left of them.
    fn share_before(&self) -> i32 {
        let pass = self.pass;
        let before = match pass.step_index().checked_sub(1) {
            Some(before) => steps::weight_at(pass.steps(), before),
            None => 0,
        };
        let before = before.min(self.carried().max(self.step_weight()));
        let capacity = counts::floor_share(
            self.canary.max_weight,
            pass.new_available(),
            pass.replicas().max(1),
        );
        if before > capacity {
            before.min(self.carried())
        } else {
            before
        }
    }

    /// A set in between carries traffic: its share goes to zero under its own name before the name changes (TRR-006).
    fn hand_over(&self, share: &mut Share) {
        let own = |weights: &api::TrafficWeights| weights.canary.pod_template_hash == share.hash;
        let Some(weights) = self
            .left_over()
            .filter(|weights| !own(weights) || self.is_taken_away())
        else {
            return;
        };
        let held = order::blocked(Move::HandOverShare, |need| match need {
            Need::ShareReturned => Err("traffic leaves the previous canary first".to_owned()),
            _ => Ok(()),
        });
        if held.is_some() {
            share.hash.clone_from(&weights.canary.pod_template_hash);
            // A route would lead to pods that are not this revision's.
            share.managed_routes = false;
            share.canary = if self.spec.dynamic_stable_scale {
                self.share_while_it_goes()
            } else {
                0
            };
            share.held = held;
        }
    }

    /// Stable takes more once it has enough pods for it, or where somebody asks for it whatever pods it has. Taking less never
    /// needs its pods: a good canary must be able to replace a broken stable set.
    fn give_back(&self, share: &mut Share) {
        let pass = self.pass;
        let max = self.canary.max_weight;
        let (Some(weights), Some(stable)) = (self.recorded(), pass.sets.stable) else {
            return;
        };
        if weights.canary.weight <= share.canary {
            return;
        }
        let wanted = max.saturating_sub(share.canary);
        // However small the share is, somebody must be there to serve it.
        let needed = counts::floor_share(wanted, pass.replicas(), max).max(1.min(pass.replicas()));
        let enough = if self.stable_is_selected() {
            self.enough_for_share(needed)
        } else {
            needed
        };
        let held = order::blocked(Move::GiveToStable, |need| {
            let fits =
                need != Need::ShareFits || stable.available >= enough || self.gives_way(stable);
            fits.then_some(()).ok_or_else(|| {
                format!(
                    "the stable ReplicaSet has {} of {enough} available pods",
                    stable.available
                )
            })
        });
        if held.is_some() {
            share.canary = weights.canary.weight;
            share.hash.clone_from(&weights.canary.pod_template_hash);
            share.held = held;
        }
    }

    /// Whether the stable set gets a share without all of the pods for it. One that keeps its size has what it is going to
    /// have: it takes what an abort or a user who goes back takes from the canary, or what nobody serves, once it serves at
    /// all.
    fn gives_way(&self, stable: &ReplicaSet) -> bool {
        let serves = !self.spec.dynamic_stable_scale && stable.available > 0;
        let taken = self.pass.aborted() || self.is_taken_away() || self.user_goes_back();
        self.moves_nothing() || self.may_let_go() || (serves && (taken || self.is_unserved()))
    }

    /// Whether the stable share goes to the stable set, and not to another one that the Service still selects.
    fn stable_is_selected(&self) -> bool {
        let Some(stable) = self.pass.sets.stable else {
            return false;
        };
        let service = self.canary.stable_service.as_ref();
        service.is_none_or(|service| self.pass.selected_hash(service) == stable.hash())
    }

    /// Whether both shares go to the stable set already, since it was promoted.
    fn moves_nothing(&self) -> bool {
        let (Some(weights), Some(stable)) = (self.recorded(), self.pass.sets.stable) else {
            return false;
        };
        self.stable_is_selected() && weights.canary.pod_template_hash == stable.hash()
    }

    /// Whether a user has gone back to the stable set from which the update began. One that came after the update, since
    /// somebody deleted the one before, still gets its pods.
    pub(super) fn user_goes_back(&self) -> bool {
        let began = self
            .carrier()
            .zip(self.pass.sets.stable)
            .is_some_and(|(carrier, stable)| sets::is_older(stable, carrier));
        began && self.pass.fully_promoted() && self.stable_is_selected()
    }

    /// Whether a share that is left over, or that nobody serves, goes before a stable set that was scaled down has all of its
    /// pods back: neither a next revision nor a request waits for the last ones.
    fn may_let_go(&self) -> bool {
        let available = self.pass.sets.stable.map_or(0, |stable| stable.available);
        self.stable_is_selected()
            && (self.left_over().is_some() || self.is_unserved())
            && available >= self.enough_for_all()
    }

    /// Whether no pod serves the canary's share.
    fn is_unserved(&self) -> bool {
        let service = self.canary.canary_service.as_ref();
        // A Service without a hash selects any pod there is.
        let by_any = service.is_some_and(|service| self.pass.selected_hash(service).is_empty());
        !by_any && self.carrier().is_none_or(|set| set.ready == 0)
    }

    /// The set that has the canary's share, as far as anybody knows.
    fn carrier(&self) -> Option<&ReplicaSet> {
        let weights = self.recorded()?;
        self.pass.sets.by_hash(&weights.canary.pod_template_hash)
    }

    /// What a revision that is to go keeps for now, where the stable set was scaled down.
    fn share_while_it_goes(&self) -> i32 {
        if self.moves_nothing() || self.may_let_go() {
            return 0;
        }
        self.abort_weight()
    }

    /// The canary's share while an abort or a rollback takes traffic back (TRR-003). Zero at once unless the stable set
    /// was scaled down meanwhile.
    fn abort_weight(&self) -> i32 {
        if planted::is(Bug::AbortKeepsWeight) {
            return self.recorded().map_or(0, |weights| weights.canary.weight);
        }
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
        let now = self.recorded().map_or(0, |weights| weights.canary.weight);
        needed.min(now)
    }

    /// The header and mirror routes that the steps up to the current one have set and not removed.
    fn managed_routes(&self) -> (Vec<serde_json::Value>, Vec<serde_json::Value>) {
        let mut header = Vec::new();
        let mut mirror = Vec::new();
        let upto = self.pass.step_index().saturating_add(1);
        for step in self.pass.steps().iter().take(upto) {
            for (routes, route) in [
                (&mut header, &step.header_route),
                (&mut mirror, &step.mirror_route),
            ] {
                if let Some(route) = route {
                    replace_route(routes, route);
                }
            }
        }
        (header, mirror)
    }
}

/// A later step replaces or removes an earlier route of the same name.
fn replace_route(routes: &mut Vec<serde_json::Value>, route: &serde_json::Value) {
    let name = route.get("name").cloned();
    routes.retain(|present| present.get("name") != name.as_ref());
    if steps::is_set(route) {
        routes.push(route.clone());
    }
}

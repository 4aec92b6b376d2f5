//! How many pods each set of a canary is to have: arithmetic only (ledger CAN rows).

use sluice_api as api;

use crate::planted::{self, Bug};

/// Desired sizes of the new and the stable set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Pods of the new set.
    pub canary: i32,
    /// Pods of the stable set.
    pub stable: i32,
}

/// `maxSurge` or `maxUnavailable` of this many pods. A text without `%` is a percentage all the same (CA-005).
pub fn share_of(value: &api::IntOrString, replicas: i32, round_up: bool) -> i32 {
    let percent = match value {
        api::IntOrString::Int(number) => return *number,
        api::IntOrString::String(text) => text
            .trim_end_matches('%')
            .trim()
            .parse::<i64>()
            .unwrap_or(0),
    };
    let product = percent.saturating_mul(i64::from(replicas));
    let share = if round_up {
        product.saturating_add(99).div_euclid(100)
    } else {
        product.div_euclid(100)
    };
    i32::try_from(share).unwrap_or(i32::MAX)
}

/// Pods altogether. Saturates: sets edited by hand may ask for more than anybody can count.
pub fn sum(pods: impl IntoIterator<Item = i32>) -> i32 {
    pods.into_iter().fold(0, i32::saturating_add)
}

/// Pods that may exist beside `others`: what is left of the replicas and the surge. Negative where there are too many.
pub fn room(replicas: i32, max_surge: i32, others: i32) -> i32 {
    replicas.saturating_add(max_surge).saturating_sub(others)
}

/// Surge and unavailability in pods (CAN-001): both zero means one may be unavailable.
pub fn surge_and_unavailable(
    surge: &api::IntOrString,
    unavailable: &api::IntOrString,
    replicas: i32,
) -> (i32, i32) {
    let surge = share_of(surge, replicas, true);
    let mut unavailable = share_of(unavailable, replicas, false);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    (surge, unavailable.min(replicas))
}

/// `ceil(part * whole / of)`
pub fn ceil_share(part: i32, whole: i32, of: i32) -> i32 {
    let product = i64::from(part).saturating_mul(i64::from(whole));
    let of = i64::from(of.max(1));
    let up = product.saturating_add(of.saturating_sub(1)).div_euclid(of);
    i32::try_from(up).unwrap_or(i32::MAX)
}

/// Three quarters: what is left with the default of `maxUnavailable`.
pub fn most(replicas: i32) -> i32 {
    ceil_share(75, replicas, 100)
}

/// `floor(part * whole / of)`
pub fn floor_share(part: i32, whole: i32, of: i32) -> i32 {
    let product = i64::from(part).saturating_mul(i64::from(whole));
    i32::try_from(product.div_euclid(i64::from(of.max(1)))).unwrap_or(i32::MAX)
}

/// Splits `replicas` pods so that the canary's share comes closest to `weight` of `max` (CAN-004).
pub fn approximate(replicas: i32, weight: i32, max: i32, max_surge: i32) -> Counts {
    if replicas == 0 {
        return Counts {
            canary: 0,
            stable: 0,
        };
    }
    let ceil = ceil_share(replicas, weight, max);
    let floor = floor_share(replicas, weight, max);
    let tied = is_tied(replicas, weight, max);
    let zero_allowed = weight == max || weight == 0 || (replicas == 1 && max_surge == 0);

    let mut candidates = Vec::with_capacity(4);
    if ceil < replicas || zero_allowed {
        candidates.push((ceil, replicas));
    }
    if !tied && (floor != 0 || zero_allowed) {
        candidates.push((floor, replicas));
    }
    if max_surge > 0 {
        // Upstream offers the counts of the unsurged total here too; the examples of CAN-005 depend on it.
        let surged = replicas.saturating_add(1);
        let surged_tied = is_tied(surged, weight, max);
        candidates.push((ceil, surged));
        if !surged_tied && (floor != 0 || zero_allowed) {
            candidates.push((floor, surged));
        }
    }
    // |canary * max / total - weight|, as a fraction over `total` so that no rounding decides.
    let distance = |&(canary, total): &(i32, i32)| -> (i64, i64) {
        let off = i64::from(canary)
            .saturating_mul(i64::from(max))
            .saturating_sub(i64::from(weight).saturating_mul(i64::from(total)))
            .abs();
        (off, i64::from(total.max(1)))
    };
    let best = candidates.iter().copied().reduce(|best, candidate| {
        let (best_off, best_total) = distance(&best);
        let (off, total) = distance(&candidate);
        if off.saturating_mul(best_total) < best_off.saturating_mul(total) {
            candidate
        } else {
            best
        }
    });
    best.map_or(
        Counts {
            canary: 0,
            stable: replicas,
        },
        |(canary, total)| Counts {
            canary,
            stable: total.saturating_sub(canary),
        },
    )
}

/// Whether the exact count lies half way between two numbers: upstream then picks the larger.
fn is_tied(total: i32, weight: i32, max: i32) -> bool {
    let max = i64::from(max.max(1));
    let rest = i64::from(total)
        .saturating_mul(i64::from(weight))
        .rem_euclid(max);
    rest.saturating_mul(2) == max
}

/// One set as the arithmetic sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// `spec.replicas`.
    pub spec: i32,
    /// `status.availableReplicas`.
    pub available: i32,
}

/// Facts for a canary without a router.
#[derive(Clone, Copy, Debug)]
pub struct Basic {
    /// `spec.replicas` of the Rollout.
    pub replicas: i32,
    /// Pods above `replicas` that may exist.
    pub max_surge: i32,
    /// Pods below `replicas` that may be missing.
    pub max_unavailable: i32,
    /// The share that the steps ask for.
    pub weight: i32,
    /// The whole.
    pub max_weight: i32,
    /// The new set.
    pub new: Option<Size>,
    /// The stable set, where it is another one.
    pub stable: Option<Size>,
    /// Pods wanted by the other sets.
    pub others: i32,
}

/// The next sizes within surge and unavailability (CAN-003, CAN-006 to CAN-010). Called again after each change of pods,
/// it converges to what `approximate` says.
pub fn basic(facts: &Basic) -> Counts {
    let new = facts.new.unwrap_or_default();
    let Some(stable) = facts.stable else {
        return without_stable(facts, new);
    };
    let wanted = approximate(
        facts.replicas,
        facts.weight,
        facts.max_weight,
        facts.max_surge,
    );

    let mut counts = Counts {
        canary: new.spec,
        stable: stable.spec,
    };
    let total = sum([new.spec, stable.spec, facts.others]);
    let mut budget = room(facts.replicas, facts.max_surge, total);
    if counts.stable < wanted.stable && budget > 0 {
        let up = budget.min(wanted.stable.saturating_sub(counts.stable));
        counts.stable = counts.stable.saturating_add(up);
        budget = budget.saturating_sub(up);
    }
    if counts.canary < wanted.canary && budget > 0 {
        let up = budget.min(wanted.canary.saturating_sub(counts.canary));
        counts.canary = counts.canary.saturating_add(up);
    }
    if facts.others > 0 {
        // The sets of neither revision serve traffic without weight; they go first. Pods that the canary is to lose and
        // that are not available serve nobody, and take the place of those that the stable set needs.
        if counts.canary > wanted.canary {
            counts.canary = wanted.canary.max(new.available.min(counts.canary));
        }
        return counts;
    }

    let min_available = if planted::is(Bug::AvailabilityIgnored) {
        0
    } else {
        facts.replicas.saturating_sub(facts.max_unavailable)
    };
    let increasing = facts.new.is_none() || wanted.canary >= new.spec;
    let removable = countable(new, !increasing).saturating_add(countable(stable, increasing));
    let scale_down = removable.saturating_sub(min_available);
    if scale_down <= 0 {
        return counts;
    }
    if increasing {
        if counts.stable > wanted.stable {
            counts.stable = wanted.stable.max(stable.spec.saturating_sub(scale_down));
            let (drained, adjusted) = adjust(
                facts,
                counts.stable,
                stable,
                counts.canary,
                facts.new.map(|_| new),
            );
            counts.stable = drained;
            counts.canary = adjusted;
        }
    } else if counts.canary > wanted.canary {
        counts.canary = wanted.canary.max(new.spec.saturating_sub(scale_down));
        let (drained, adjusted) = adjust(facts, counts.canary, new, counts.stable, Some(stable));
        counts.canary = drained;
        counts.stable = adjusted;
    }
    hold_growth(facts, new, stable, counts)
}

/// A set grows before another one shrinks, so both have to fit meanwhile: what does not comes with the next sizes.
fn hold_growth(facts: &Basic, new: Size, stable: Size, counts: Counts) -> Counts {
    let room = room(facts.replicas, facts.max_surge, facts.others);
    let held = |to: i32, own: Size, other: i32| to.min(own.spec.max(room.saturating_sub(other)));
    let stable_to = held(counts.stable, stable, new.spec.max(counts.canary));
    Counts {
        canary: held(counts.canary, new, stable.spec.max(stable_to)),
        stable: stable_to,
    }
}

/// No stable set of its own: the steps mean nothing, everything goes to the new one within the surge.
fn without_stable(facts: &Basic, new: Size) -> Counts {
    let room = room(
        facts.replicas,
        facts.max_surge,
        sum([new.spec, facts.others]),
    );
    let canary = if new.spec < facts.replicas {
        new.spec
            .saturating_add(room.max(0))
            .min(facts.replicas)
            .max(new.spec)
    } else if facts.others > 0 {
        // As with a stable set: the others go first (CAN-007).
        new.spec
    } else {
        facts.replicas
    };
    Counts { canary, stable: 0 }
}

/// Pods of a set that count as removable (CAN-008).
fn countable(size: Size, ignore_availability: bool) -> i32 {
    if size.spec < size.available || ignore_availability {
        size.spec
    } else {
        size.available
    }
}

/// Keeps the sum within the surge and the available pods above the minimum (CAN-010).
fn adjust(
    facts: &Basic,
    mut drain: i32,
    drain_set: Size,
    mut other: i32,
    other_set: Option<Size>,
) -> (i32, i32) {
    let ceiling = room(facts.replicas, facts.max_surge, 0);
    let min_available = facts.replicas.saturating_sub(facts.max_unavailable);
    let over = |drain: i32, other: i32| drain.saturating_add(other).saturating_sub(ceiling).max(0);
    if let Some(set) = other_set {
        other = other.saturating_sub(over(drain, other));
        let available = drain_set
            .available
            .min(drain)
            .saturating_add(set.available.min(other));
        let extra = set.available.saturating_sub(other).max(0);
        let need = min_available.saturating_sub(available).max(0);
        other = other.saturating_add(extra.min(need));
        drain = drain.saturating_sub(over(drain, other));
    }
    (drain.max(0), other.max(0))
}

/// Facts for a canary with a router.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    /// `spec.replicas` of the Rollout.
    pub replicas: i32,
    /// The share that the steps ask for.
    pub weight: i32,
    /// The whole.
    pub max_weight: i32,
    /// The `setCanaryScale` in force.
    pub scale: Option<super::steps::CanaryScale>,
    /// `dynamicStableScale`.
    pub dynamic: bool,
    /// Whether the update is aborted.
    pub aborted: bool,
    /// Canary and stable weight that the router is known to apply.
    pub actual: Option<(i32, i32)>,
    /// `minPodsPerReplicaSet`.
    pub min_pods: Option<i32>,
}

/// Sizes of a canary with a router (CAN-020 to CAN-023).
pub fn routed(facts: &Routed) -> Counts {
    use super::steps::CanaryScale;
    let r = facts.replicas;
    let floor = |count: i32| match facts.min_pods {
        Some(min) if count > 0 => count.max(min.min(r)),
        Some(_) | None => count,
    };
    let mut canary = match facts.scale {
        Some(CanaryScale::Replicas(replicas)) => replicas,
        Some(CanaryScale::Weight(weight)) => floor(ceil_share(r, weight, facts.max_weight)),
        Some(CanaryScale::MatchTrafficWeight) | None => {
            floor(ceil_share(r, facts.weight, facts.max_weight))
        }
    };
    if !facts.dynamic {
        return Counts { canary, stable: r };
    }
    // A canary of a fixed size says nothing about the share that stable keeps; upstream lets stable follow that size, so
    // it is never smaller than there either (CAN-023).
    let sized = match facts.scale {
        Some(CanaryScale::Replicas(_)) => 0,
        Some(CanaryScale::Weight(weight)) => weight.min(facts.weight),
        Some(CanaryScale::MatchTrafficWeight) | None => facts.weight,
    };
    let mut stable = ceil_share(r, facts.max_weight.saturating_sub(sized), facts.max_weight);
    // As long as nobody knows better, all of the traffic goes to the stable set.
    let (canary_weight, stable_weight) = facts.actual.unwrap_or((0, facts.max_weight));
    if !planted::is(Bug::DynamicStableTooSmall) {
        stable = stable.max(ceil_share(r, stable_weight, facts.max_weight));
        if facts.aborted {
            canary = canary.max(ceil_share(r, canary_weight, facts.max_weight));
        }
    }
    Counts {
        canary: floor(canary),
        stable: floor(stable),
    }
}

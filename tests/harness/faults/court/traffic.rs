//! I8, for what carries traffic: no share without ready pods, and none above what the pods can serve.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_simulation::Changed;

use super::mirror::Traffic;
use super::{Court, Finding, Window};
use crate::faults::history::What;

impl Court {
    pub(super) fn judge_traffic(
        &self,
        window: Window,
        untold: bool,
        change: &Changed,
    ) -> Vec<Finding> {
        let mirror = &self.mirror;
        let before = &mirror.traffic;
        let after = before.after(change);
        let replicas = mirror.least_replicas(window);
        let mut found = Vec::new();
        // What a split gave of which nobody was told is not known to whoever follows other steps now: all of the traffic to a
        // canary beside a dead stable set, and then the share of its first step.
        let resplit = untold && change.plural == "virtualservices";
        let unknown = resplit && self.acted(window.from, |what| matches!(what, What::Steps(_)));
        if replicas == 0 || self.traffic_in_doubt(window) || unknown {
            return found;
        }
        found.extend(self.judge_step_share(window, change, &after));
        found.extend(self.judge_switch(window, &after));
        let lost = after.selected.values().filter(|hash| !hash.is_empty());
        for hash in lost.filter(|hash| mirror.by_hash(hash).is_none()) {
            let (was, is) = (before.share(hash), after.share(hash));
            if is > was {
                let text = format!(
                    "{} {} gives {is} % of the traffic to {hash}, and there is no such ReplicaSet",
                    change.plural, change.name
                );
                found.push(("I8 traffic without pods", text));
            }
        }
        let givers = Givers::of(self, window, &after);
        for (name, set) in mirror.living() {
            let (was, is) = (before.share(&set.hash), after.share(&set.hash));
            if is <= was {
                continue;
            }
            let stable = mirror.stable.during(window).any(|hash| *hash == set.hash);
            let dynamic = mirror.strategy("dynamicStableScale") == Some(&json!(true));
            let ready = set.most_ready(window);
            if ready == 0 {
                found.push((
                    "I8 traffic without pods",
                    format!(
                        "{} {} gives {name} {is} % of the traffic, and it has no ready pod",
                        change.plural, change.name
                    ),
                ));
                continue;
            }
            let wanted = mirror.enough(is * replicas / 100);
            // What a revision that is to go gives back, what nobody serves, and a Service wait for the pods that must be
            // available.
            let wanted =
                if stable && (givers.to_go || givers.unserved || change.plural == "services") {
                    wanted.min(mirror.must_be_available(replicas))
                } else {
                    wanted
                };
            let available = set.most_available(window);
            // A Service goes where as many pods are as serve it now.
            let has = (was * replicas + 99) / 100;
            let as_many = change.plural == "services"
                && givers.ready.is_some_and(|ready| available >= has + ready);
            // Back to a stable set that has its size goes whatever some of its pods do. Where sets were deleted by hand, a
            // share of few pods is better than one of none.
            let deleted = self.acted(self.start, |what| matches!(what, What::DeleteSet(_)));
            // And an abort takes what a subset without a hash sends everywhere to the stable set, as large as that is.
            let everywhere = change.plural == "destinationrules"
                && before.selected.get("stable").is_some_and(String::is_empty);
            let gathered = everywhere && mirror.aborted.during(window).any(|aborted| *aborted);
            let judged = !stable || (dynamic && !deleted && !gathered);
            if available < wanted && !as_many && !mirror.sizes_apart(window) && judged {
                found.push((
                    "I8 weight above capacity",
                    format!(
                        "{} {} gives {name} {is} % of the traffic, and {available} of its pods \
                         are available where {wanted} of {replicas} are needed",
                        change.plural, change.name
                    ),
                ));
            }
        }
        found
    }

    /// Whether somebody has changed routes or Services by hand, and a controller may not have seen it yet.
    pub(super) fn traffic_in_doubt(&self, window: Window) -> bool {
        self.acted(window.from, |what| {
            matches!(
                what,
                What::EditWeight(_)
                    | What::Repoint(_)
                    | What::LoseRoutes(_)
                    | What::LoseService(_)
                    | What::DeleteSet(_)
                    | What::Unannotate(_)
            )
        })
    }
}

/// The sets that lose a share to others.
struct Givers {
    /// The fewest pods that were ready at some moment; None where nobody gives, or any revision serves.
    ready: Option<i64>,
    /// None of them is the present revision's.
    to_go: bool,
    /// They had no ready pod at some moment since they have the share.
    unserved: bool,
}

impl Givers {
    fn of(court: &Court, window: Window, after: &Traffic) -> Self {
        let mirror = &court.mirror;
        let hashes: BTreeSet<&String> = mirror
            .traffic
            .selected
            .values()
            .filter(|hash| after.share(hash) < mirror.traffic.share(hash))
            .collect();
        let named = !hashes.is_empty() && !hashes.iter().any(|hash| hash.is_empty());
        let least_ready = |window: Window| -> i64 {
            let sets = hashes.iter().map(|hash| mirror.by_hash(hash));
            sets.map(|set| set.map_or(0, |set| set.least_ready(window)))
                .sum()
        };
        let carried = mirror
            .weights
            .since(|weight| weight.is_some_and(|weight| weight > 0));
        let carrying = Window {
            from: window.from.max(carried.unwrap_or(window.from)),
            ..window
        };
        // A release may not have come into the status yet.
        let released = court.acted(window.from, |what| matches!(what, What::Release { .. }));
        let superseded = |hash: &&String| mirror.allowed.during(window).any(|now| !now.is_of(hash));
        Self {
            ready: named.then(|| least_ready(window)),
            unserved: named && least_ready(carrying) == 0,
            to_go: named && (released || hashes.iter().all(superseded)),
        }
    }
}

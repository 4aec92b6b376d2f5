//! I8, for what carries traffic: no share without ready pods, and none above what the pods can serve.

use serde_json::json;
use sluice_simulation::Changed;

use super::{Court, Finding, Window};
use crate::faults::history::What;

impl Court {
    pub(super) fn judge_traffic(&self, window: Window, change: &Changed) -> Vec<Finding> {
        let mirror = &self.mirror;
        let before = &mirror.traffic;
        let after = before.after(change);
        let replicas = mirror.least_replicas(window);
        let mut found = Vec::new();
        if replicas == 0 || self.traffic_in_doubt(window) {
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
            let available = set.most_available(window);
            // Back to a stable set that has its size goes whatever some of its pods do. Where sets were deleted by hand, a
            // share of few pods is better than one of none.
            let deleted = self.acted(self.start, |what| matches!(what, What::DeleteSet(_)));
            // And an abort takes what a subset without a hash sends everywhere to the stable set, as large as that is.
            let everywhere = change.plural == "destinationrules"
                && before.selected.get("stable").is_some_and(String::is_empty);
            let gathered = everywhere && mirror.aborted.during(window).any(|aborted| *aborted);
            let judged = !stable || (dynamic && !deleted && !gathered);
            if available < wanted && !mirror.sizes_apart() && judged {
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

//! Which of the older pods go now: every eviction stands at the gates of `Move::Evict`.

use jiff::SignedDuration;
use serde_json::json;

use super::Listed;
use crate::object::ObjectKey;
use crate::observed::ReplicaSet;
use crate::plan::{Edit, Requeue, Role, Subresource, Write};
use crate::report::Report;
use crate::rollout::counts;
use crate::rollout::goal::Goal;
use crate::rollout::order::{self, Move, Need};
use crate::rollout::pass::Pass;
use crate::rollout::planner::{Meaning, Planner};
use crate::rollout::valid::Strategy;

/// When pods are listed again that are fewer than their sets count. A set that is late says so itself; a list that was
/// made just before the set's last change is followed by nothing.
const DIFFERENT_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// Evicts as many pods as may be missing now.
pub(super) fn plan(
    pass: &Pass<'_>,
    goal: &Goal,
    listed: &[Listed<'_>],
    planner: &mut Planner,
    report: &mut Report,
) -> Requeue {
    let sets: Vec<InPass<'_>> = listed
        .iter()
        .map(|listed| InPass::of(listed, planner))
        .collect();
    let mut spare = Spare::of(pass, &sets);
    let (mut evicted, mut waits) = (false, None);
    for InPass { listed, to } in sets.iter().filter(|set| set.to > 0) {
        let mut left = listed.available.min(*to);
        for pod in &listed.old {
            let last = pod.available && left <= 1 && listed.set.replicas.max(*to) > 1;
            let blocked = order::blocked(Move::Evict, |need| match need {
                Need::AnotherServes if last && serves(pass, goal, listed.set) => Err(format!(
                    "another available pod of ReplicaSet {}",
                    listed.set.metadata.name
                )),
                Need::Spare if spare.now <= 0 => {
                    Err("restarted pods to become available".to_owned())
                }
                Need::SpareBesides if spare.besides <= 0 => {
                    Err("pods that go with the sizes of their sets".to_owned())
                }
                _ => Ok(()),
            });
            if let Some(why) = blocked {
                waits = waits.or(Some(why));
                continue;
            }
            evicted = true;
            spare.take();
            left = left.saturating_sub(i32::from(pod.available));
            planner.write(Role::Restart, eviction(&pod.key), Meaning::Other);
        }
    }
    let shown = listed.iter().all(Listed::is_shown);
    if !evicted {
        let why =
            waits.unwrap_or_else(|| "the ReplicaSets to count the pods that are left".to_owned());
        report.wait("the restart", why);
    }
    if shown {
        Requeue::OnChange
    } else {
        Requeue::At(pass.after(pass.now(), DIFFERENT_AGAIN))
    }
}

/// A set with the size that this pass gives it.
struct InPass<'l> {
    listed: &'l Listed<'l>,
    to: i32,
}

impl<'l> InPass<'l> {
    fn of(listed: &'l Listed<'l>, planner: &Planner) -> Self {
        let set = listed.set;
        Self {
            listed,
            to: planner.size(&set.metadata.name).unwrap_or(set.replicas),
        }
    }
}

/// How many pods may go, of those that the sets are to have (RST-002).
struct Spare {
    /// With the sizes that the sets have.
    now: i32,
    /// Besides those that the sets lose in this pass.
    besides: i32,
}

impl Spare {
    fn of(pass: &Pass<'_>, sets: &[InPass<'_>]) -> Self {
        let unavailable = max_unavailable(pass).max(1);
        let spare = |size: &dyn Fn(&InPass<'_>) -> i32| {
            let (mut available, mut wanted) = (0_i32, 0_i32);
            for set in sets {
                let size = size(set);
                // What a set has beyond its size is on its way out.
                available = available.saturating_add(set.listed.available.min(size));
                wanted = wanted.saturating_add(size);
            }
            let floor = pass.replicas().max(wanted).saturating_sub(unavailable);
            available.saturating_sub(floor)
        };
        let shrinks = sets.iter().any(|set| set.to < set.listed.set.replicas);
        Self {
            now: spare(&|set| set.listed.set.replicas),
            besides: if shrinks {
                spare(&|set| set.to.min(set.listed.set.replicas))
            } else {
                i32::MAX
            },
        }
    }

    fn take(&mut self) {
        self.now = self.now.saturating_sub(1);
        self.besides = self.besides.saturating_sub(1);
    }
}

/// Whether anybody reaches the set: a Service other than a preview selects it, or routers send it a share.
///
/// The last pod of such a set stays until another one can serve. Unless it is the only one that the set is to have: then
/// nothing but a second pod, which nobody asked for, could take its place, and a restart that never ends would be worse
/// than the moment without it. A router takes the share of a canary of one pod back meanwhile.
fn serves(pass: &Pass<'_>, goal: &Goal, set: &ReplicaSet) -> bool {
    let hash = set.hash();
    let services = match &pass.valid.strategy {
        Strategy::Canary(canary) => {
            [&canary.stable_service, &canary.canary_service].map(|service| service.as_deref())
        }
        Strategy::BlueGreen(blue_green) => [Some(blue_green.active_service.as_str()), None],
    };
    let mut services = services.into_iter().flatten();
    if services.any(|service| pass.selected_hash(service) == hash) {
        return true;
    }
    let recorded = pass
        .raw
        .status
        .canary
        .weights
        .as_ref()
        .is_some_and(|weights| {
            [&weights.canary, &weights.stable]
                .iter()
                .any(|part| part.weight > 0 && part.pod_template_hash == hash)
        });
    recorded
        || goal.weights.as_ref().is_some_and(|weights| {
            (weights.canary > 0 && weights.canary_hash == hash)
                || (weights.canary < weights.max && weights.stable_hash == hash)
        })
}

fn eviction(pod: &ObjectKey) -> Write {
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": pod.name, "namespace": pod.namespace },
    });
    Write {
        target: pod.clone(),
        edit: Edit::Create(body),
        subresource: Subresource::Eviction,
        precondition: None,
        reason: "older than spec.restartAt".to_owned(),
    }
}

/// Never more than there are to be: pods beyond those serve, too, while an update is half-way.
fn max_unavailable(pass: &Pass<'_>) -> i32 {
    let replicas = pass.replicas();
    counts::share_of(&pass.raw.spec.max_unavailable(), replicas, false).min(replicas)
}

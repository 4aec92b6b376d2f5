//! A DestinationRule whose subsets get other pods while weights are shifted: what happens before, and what after.

use serde_json::Value;
use sluice_plugin_sdk::edit::{Operation, difference};
use sluice_plugin_sdk::router::{Destination, Traffic};
use sluice_plugin_sdk::{Change, Notice, Object, PluginError};

use crate::config::DestinationRule;
use crate::destination_rule::{self, Hashes};
use crate::virtual_service::Shares;

/// What happens to a DestinationRule around a shift of weights.
#[derive(Debug, Default)]
pub struct Around {
    /// Before it.
    pub first: Option<Change>,
    /// After it.
    pub last: Option<Change>,
    /// What the user is told, if anything changes.
    pub notice: Option<Notice>,
}

/// A subset whose label cannot change yet.
#[derive(Debug)]
pub struct Waits {
    /// The stable subset is one of them.
    pub stable: bool,
    /// For whom.
    pub why: String,
}

const REASON: &str = "select the pods of each subset";

/// A DestinationRule whose subsets get other pods.
pub struct Switch<'a> {
    /// The rule as it was read.
    pub object: &'a Object,
    /// The same as JSON.
    pub before: &'a Value,
    /// Which subsets are meant.
    pub rule: &'a DestinationRule,
    /// The pods that they are to select.
    pub hashes: Hashes<'a>,
    /// The name of the Rollout.
    pub rollout: &'a str,
}

impl Switch<'_> {
    /// Which subset has to wait for pods of its set before its label changes; the text is Argo Rollouts'.
    ///
    /// Where Services select the pods, they are switched with care already.
    pub fn waits(&self, desired: &Traffic, shares: Shares) -> Option<Waits> {
        if desired.stable.service.is_some() || desired.canary.service.is_some() {
            return None;
        }
        let stable = self.stable_waits(desired, shares);
        let stable = stable.then_some(&desired.stable);
        let canary = self.canary_waits(desired, shares);
        let set = canary.then_some(&desired.canary).or(stable)?;
        let (rollout, hash) = (self.rollout, set.pod_hash.as_deref()?);
        Some(Waits {
            stable: stable.is_some(),
            why: format!(
                "delaying destination rule switch: ReplicaSet {rollout}-{hash} not fully available"
            ),
        })
    }

    /// A subset that gets no request may select what is not there yet; one that loses its share in this plan still gets
    /// some.
    fn canary_waits(&self, desired: &Traffic, shares: Shares) -> bool {
        let gets_some = desired.canary.weight > 0
            || shares.canary_shrinks
            || !desired.header_routes.is_empty()
            || !desired.mirror_routes.is_empty();
        let switches = self.switches(&self.rule.canary_subset_name, self.hashes.canary);
        switches && gets_some && !desired.returning_to_stable && !is_available(&desired.canary)
    }

    /// Pods that have these requests already are not waited for: those of a promoted set that the canary's subset sends all
    /// of them to, or, on the way back, those of a subset without a label, which selects every pod.
    fn stable_waits(&self, desired: &Traffic, shares: Shares) -> bool {
        let selected = |subset: &str| destination_rule::hash_of(self.before, subset);
        let stable = &self.rule.stable_subset_name;
        let promoted =
            !shares.stable_serves && selected(&self.rule.canary_subset_name) == self.hashes.stable;
        let gathers = desired.returning_to_stable
            && selected(stable).is_none()
            && desired.stable.available_pods > 0;
        self.switches(stable, self.hashes.stable)
            && !is_available(&desired.stable)
            && !promoted
            && !gathers
    }

    fn switches(&self, subset: &str, wanted: Option<&str>) -> bool {
        destination_rule::switches(self.before, subset, wanted)
    }

    /// The stable subset gets its pods, and the canary's keeps what it selects.
    pub fn stable_alone(&self) -> Result<Around, PluginError> {
        if !self.switches(&self.rule.stable_subset_name, self.hashes.stable) {
            return Ok(Around::default());
        }
        let hashes = Hashes {
            canary: destination_rule::hash_of(self.before, &self.rule.canary_subset_name),
            ..self.hashes.clone()
        };
        let after = self.edited(&hashes);
        Ok(Around {
            first: Change::patching(self.object, &after, REASON)?,
            last: None,
            notice: Some(self.told(&hashes)),
        })
    }

    /// What must happen before weights are shifted, what after, and what the user is told.
    ///
    /// A subset that loses weight is pointed elsewhere only afterwards, so that no request goes where none should yet; one
    /// that gets weight is pointed there first. Subsets of experiments appear first and go last.
    pub fn around(&self, shares: Shares) -> Result<Around, PluginError> {
        let (rule, hashes) = (self.rule, &self.hashes);
        let after = self.edited(hashes);
        if after == *self.before {
            return Ok(Around::default());
        }
        let kept = |shrinks: bool, subset: &str, wanted| {
            if shrinks {
                destination_rule::hash_of(self.before, subset)
            } else {
                wanted
            }
        };
        let first_hashes = Hashes {
            canary: kept(
                shares.canary_shrinks,
                &rule.canary_subset_name,
                hashes.canary,
            ),
            stable: kept(
                shares.stable_shrinks,
                &rule.stable_subset_name,
                hashes.stable,
            ),
            additional: hashes.additional.clone(),
        };
        let between = self.edited(&first_hashes);
        let first = Change::patching(self.object, &between, REASON)?;
        let last = if between == after {
            None
        } else if first.is_none() {
            Change::patching(self.object, &after, REASON)?
        } else {
            // The first change gives the object a new version, so the last one cannot name its own.
            let path = "/spec/subsets".to_owned();
            let value = between.pointer(&path).cloned().unwrap_or_default();
            let test = Operation::Test { path, value };
            let operations: Vec<_> = std::iter::once(test)
                .chain(difference(&between, &after))
                .collect();
            Some(Change::operations(
                self.object.key.clone(),
                &operations,
                REASON,
            ))
        };
        Ok(Around {
            first,
            last,
            notice: Some(self.told(hashes)),
        })
    }

    fn edited(&self, hashes: &Hashes<'_>) -> Value {
        let mut edited = self.before.clone();
        destination_rule::edit(&mut edited, self.rollout, self.rule, hashes);
        edited
    }

    fn told(&self, hashes: &Hashes<'_>) -> Notice {
        let rule = self.rule;
        let shown = |hash: Option<&str>| hash.unwrap_or_default().to_owned();
        Notice::normal(
            "UpdatedDestinationRule",
            format!(
                "DestinationRule {} subset updated ({}: {}, {}: {})",
                rule.name,
                rule.canary_subset_name,
                shown(hashes.canary),
                rule.stable_subset_name,
                shown(hashes.stable)
            ),
        )
    }
}

fn is_available(set: &Destination) -> bool {
    set.available_pods >= set.desired_pods
}

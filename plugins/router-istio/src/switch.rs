//! A DestinationRule whose subsets get other pods while weights are shifted: what happens before, and what after.

use serde_json::Value;
use sluice_plugin_sdk::edit::{Operation, difference};
use sluice_plugin_sdk::{Change, Notice, Object, PluginError};

use crate::config::DestinationRule;
use crate::destination_rule::{self, Hashes};

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
    /// What must happen before weights are shifted, what after, and what the user is told.
    ///
    /// A subset that loses weight is pointed elsewhere only afterwards, so that no request goes where none should yet; one
    /// that gets weight is pointed there first. Subsets of experiments appear first and go last.
    pub fn around(
        &self,
        canary_shrinks: bool,
        stable_shrinks: bool,
    ) -> Result<Around, PluginError> {
        let (rule, hashes) = (self.rule, &self.hashes);
        let mut after = self.before.clone();
        destination_rule::edit(&mut after, self.rollout, rule, hashes);
        if after == *self.before {
            return Ok(Around::default());
        }
        let shown = |hash: Option<&str>| hash.unwrap_or_default().to_owned();
        let told = Notice::normal(
            "UpdatedDestinationRule",
            format!(
                "DestinationRule {} subset updated ({}: {}, {}: {})",
                rule.name,
                rule.canary_subset_name,
                shown(hashes.canary),
                rule.stable_subset_name,
                shown(hashes.stable)
            ),
        );

        let kept = |shrinks: bool, subset: &str, wanted| {
            if shrinks {
                destination_rule::hash_of(self.before, subset)
            } else {
                wanted
            }
        };
        let first_hashes = Hashes {
            canary: kept(canary_shrinks, &rule.canary_subset_name, hashes.canary),
            stable: kept(stable_shrinks, &rule.stable_subset_name, hashes.stable),
            additional: hashes.additional.clone(),
        };
        let mut between = self.before.clone();
        destination_rule::edit(&mut between, self.rollout, rule, &first_hashes);
        let reason = "select the pods of each subset";
        let first = Change::patching(self.object, &between, reason)?;
        let last = if between == after {
            None
        } else if first.is_none() {
            Change::patching(self.object, &after, reason)?
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
                reason,
            ))
        };
        Ok(Around {
            first,
            last,
            notice: Some(told),
        })
    }
}

//! Traffic moves to the new version and never back.

use std::collections::BTreeMap;

use super::View;
use crate::handover::sight::{self, SELECTING, Sight, belongs};

impl View<'_> {
    pub(super) fn traffic(&self, problems: &mut Vec<String>) {
        self.weights(problems);
        self.targets(problems);
        self.selections(problems);
        self.routes(problems);
    }

    /// The canary's share from the hand-over on.
    pub(super) fn weights_seen(&self) -> Vec<i64> {
        let mut weights: Vec<i64> = self.before.traffic.weight.into_iter().collect();
        weights.extend(
            self.since("VirtualService")
                .filter_map(|change| sight::weight(&change.object)),
        );
        weights.dedup();
        weights
    }

    /// The share grows, and falls once: to nothing, when the new version has become the stable one.
    fn weights(&self, problems: &mut Vec<String>) {
        let mut weights = self.weights_seen();
        if weights.len() > 1 && weights.last() == Some(&0) {
            weights.pop();
            if weights.last() != Some(&100) {
                let seen = self.weights_seen();
                problems.push(format!("the weight fell before it was whole: {seen:?}"));
            }
        }
        if !weights.is_sorted() {
            problems.push(format!("the weight moved back: {:?}", self.weights_seen()));
        }
    }

    /// The split route always has the same shares in the same order: weights say nothing otherwise.
    fn targets(&self, problems: &mut Vec<String>) {
        let mut seen: Vec<_> = self
            .history
            .changes("VirtualService", |name| belongs(self.name, name))
            .iter()
            .map(|change| sight::split_targets(&change.object))
            .collect();
        seen.dedup();
        if seen.len() > 1 {
            problems.push(format!("the split route led elsewhere: {seen:?}"));
        }
    }

    /// What each Service and each subset selected, one after the other, from the hand-over on.
    fn selections_seen(&self) -> BTreeMap<String, Vec<String>> {
        let before = self.before.traffic.selectors.clone();
        let later = SELECTING
            .into_iter()
            .flat_map(|kind| self.since(kind))
            .flat_map(|change| sight::selected(&change.name, &change.object));
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, hash) in before.into_iter().chain(later) {
            seen.entry(name).or_default().push(hash);
        }
        seen.values_mut().for_each(Vec::dedup);
        seen
    }

    /// What the strategy names goes to the new version once and stays there, and what it does not name is let alone. That
    /// holds where the update begins anew as well: an aborted canary's Service is back before the first controller goes.
    fn selections(&self, problems: &mut Vec<String>) {
        let (hash, ways) = (self.before.hash(), self.before.ways());
        for (name, seen) in self.selections_seen() {
            let fine = match seen.as_slice() {
                [_] => true,
                [_, last] => *last == hash && ways.contains(&name),
                _ => false,
            };
            if !fine {
                problems.push(format!(
                    "{name} selected {seen:?}, one after the other; the new version is {hash:?}"
                ));
            }
        }
    }

    /// Routes that steps have set stay until the last step is over, and do not come back. When they go then is not the same
    /// with both: ours go with the last step, upstream's with the promotion.
    fn routes(&self, problems: &mut Vec<String>) {
        let before = &self.before.traffic.routes;
        let mut seen = vec![before.clone()];
        for change in self.since("VirtualService") {
            let then = Sight::of(self.history, change.version, self.name);
            if then.traffic.routes != *before && !then.is_past_steps() {
                problems.push(format!(
                    "at step {:?} the routes {before:?} became {:?}",
                    then.step(),
                    then.traffic.routes
                ));
            }
            seen.push(then.traffic.routes);
        }
        seen.dedup();
        if !seen.iter().skip(1).all(Vec::is_empty) {
            problems.push(format!("other routes came: {seen:?}"));
        }
    }
}

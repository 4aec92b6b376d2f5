//! I11: nothing is asked by a controller whose lease is not valid.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sluice_simulation::Changed;

use super::mirror::text;
use crate::faults::controllers::PREFIX;

/// As long as others keep off after a renewal. What a write was begun with may be older than its effect.
pub(super) const DURATION: SignedDuration = SignedDuration::from_secs(15);
/// As long as whoever has the lease relies on a renewal.
pub(super) const RENEW_DEADLINE: SignedDuration = SignedDuration::from_secs(10);

/// The lease as the API server has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub holder: String,
    /// When each holder's last renewal took effect.
    renewed: BTreeMap<String, Timestamp>,
}

impl Record {
    pub fn note(&mut self, at: Timestamp, change: &Changed) {
        let holder = change
            .after
            .as_deref()
            .map_or("", |lease| text(lease, "/spec/holderIdentity"));
        self.holder = holder.to_owned();
        self.renewed.insert(self.holder.clone(), at);
    }

    /// Why this client must do nothing now, with a lease that was renewed so long ago at most.
    pub fn forbids(&self, client: &str, at: Timestamp, valid: SignedDuration) -> Option<String> {
        let Some(renewed) = self.renewed.get(client) else {
            return Some("it never had the lease".to_owned());
        };
        let age = at.duration_since(*renewed);
        if age > valid {
            return Some(format!("its lease is {} s old", age.as_secs()));
        }
        // Somebody who keeps no rule is noticed with the next renewal only.
        let taken =
            self.holder != client && (self.holder.is_empty() || self.holder.starts_with(PREFIX));
        taken.then(|| format!("the lease is held by '{}'", self.holder))
    }
}

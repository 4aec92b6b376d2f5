//! I11: a controller begins nothing once its lease is not valid, and nothing of it takes effect once the lease may be
//! another's.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sluice_simulation::Changed;

use super::mirror::text;
use crate::faults::controllers::PREFIX;

/// As long as others keep off after a renewal: what a write was begun with may be so old when it takes effect.
pub(super) const DURATION: SignedDuration = SignedDuration::from_secs(15);
/// As long as whoever has the lease relies on a renewal: nothing is begun later.
pub(super) const RENEW_DEADLINE: SignedDuration = SignedDuration::from_secs(10);

/// The lease as the API server has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub holder: String,
    /// When each holder's renewals took effect.
    renewed: BTreeMap<String, Vec<Timestamp>>,
}

impl Record {
    pub fn note(&mut self, at: Timestamp, change: &Changed) {
        let holder = change
            .after
            .as_deref()
            .map_or("", |lease| text(lease, "/spec/holderIdentity"));
        self.holder = holder.to_owned();
        let renewed = self.renewed.entry(self.holder.clone()).or_default();
        renewed.push(at);
    }

    /// Why this client could not rely on its lease at this time, where a renewal is good for so long.
    pub fn expired(&self, client: &str, at: Timestamp, valid: SignedDuration) -> Option<String> {
        let renewed = self.renewed.get(client).map_or(&[][..], Vec::as_slice);
        let before = renewed.partition_point(|renewed| *renewed <= at);
        let Some(last) = renewed.get(..before).and_then(<[Timestamp]>::last) else {
            return Some("it has not had the lease".to_owned());
        };
        let age = at.duration_since(*last);
        (age > valid).then(|| format!("its lease is {:.3} s old", age.as_secs_f64()))
    }

    /// The same now, when nobody else may have the lease either.
    pub fn forbids(&self, client: &str, now: Timestamp, valid: SignedDuration) -> Option<String> {
        let expired = self.expired(client, now, valid);
        expired.or_else(|| self.taken(client))
    }

    fn taken(&self, client: &str) -> Option<String> {
        // Somebody who keeps no rule is noticed with the next renewal only.
        let taken =
            self.holder != client && (self.holder.is_empty() || self.holder.starts_with(PREFIX));
        taken.then(|| format!("the lease is held by '{}'", self.holder))
    }
}

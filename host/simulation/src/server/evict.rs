//! The eviction subresource of pods: a delete that asks first.
//!
//! There are no PodDisruptionBudgets here, so an eviction is never refused for one.

use std::sync::Arc;

use serde_json::Value;

use super::Server;
use super::delete::{DeleteOptions, Deleted};
use crate::json;
use crate::kinds::{Kind, built_in};
use crate::refusal::{self, Refusal};
use crate::store::Key;

impl Server {
    /// Evicts a pod.
    pub(crate) fn evict(
        &mut self,
        kind: &Arc<Kind>,
        key: &Key,
        body: Value,
        dry_run: bool,
    ) -> Result<Deleted, Refusal> {
        let eviction = built_in::decode_eviction(body).map_err(|why| {
            refusal::bad_request(format!("the body cannot be handled as an Eviction: {why}"))
        })?;
        let name = json::text(&eviction, "/metadata/name");
        if name != key.1 {
            return Err(refusal::bad_request(format!(
                "name in URL does not match name in Eviction object: {name:?}"
            )));
        }
        let text = |pointer: &str| match json::text(&eviction, pointer) {
            "" => None,
            text => Some(text.to_owned()),
        };
        let options = DeleteOptions {
            propagation: None,
            uid: text("/deleteOptions/preconditions/uid"),
            version: text("/deleteOptions/preconditions/resourceVersion"),
            dry_run,
            grace: json::number(&eviction, "/deleteOptions/gracePeriodSeconds"),
        };
        self.delete(kind, key, &options)
    }
}

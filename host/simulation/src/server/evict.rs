//! The eviction subresource of pods: a delete that asks the pod's budget first.

use std::sync::Arc;

use serde_json::Value;

use super::delete::{DeleteOptions, Deleted};
use super::{Part, Server, WriteOptions, is_terminating};
use crate::clock;
use crate::json;
use crate::kinds::{Kind, built_in};
use crate::refusal::{self, Refusal};
use crate::selectors::LabelSelector;
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
        let eviction = built_in::decode_eviction(&body).map_err(|why| {
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
        let dry_run = dry_run || !json::entries(&eviction, "/deleteOptions/dryRun").is_empty();
        let options = DeleteOptions {
            propagation: None,
            uid: text("/deleteOptions/preconditions/uid"),
            version: text("/deleteOptions/preconditions/resourceVersion"),
            dry_run,
            grace: json::number(&eviction, "/deleteOptions/gracePeriodSeconds"),
        };
        let pod = self.get(kind, key)?;
        // What serves nobody, or goes anyway, is no disruption.
        let serves = !matches!(
            json::text(&pod, "/status/phase"),
            "Succeeded" | "Failed" | "Pending"
        );
        if serves && !is_terminating(&pod) {
            self.charge_budget(&pod, dry_run)?;
        }
        self.delete(kind, key, &options)
    }

    /// Takes one disruption from the pod's budget, if it has one.
    fn charge_budget(&mut self, pod: &Value, dry_run: bool) -> Result<(), Refusal> {
        let Some(kind) = self.kinds.by_kind("policy", "v1", "PodDisruptionBudget") else {
            return Ok(());
        };
        let namespace = json::text(pod, "/metadata/namespace");
        let budgets: Vec<(Key, Arc<Value>)> = self
            .store
            .list(&kind.key(), Some(namespace))
            .filter(|(_, budget)| {
                budget
                    .pointer("/spec/selector")
                    .and_then(LabelSelector::from_object)
                    .is_some_and(|selector| selector.matches(pod))
            })
            .map(|(key, budget)| (key.clone(), Arc::clone(budget)))
            .collect();
        let (key, budget) = match budgets.as_slice() {
            [] => return Ok(()),
            [(key, budget)] => (key, budget),
            _ => {
                return Err(refusal::plain(
                    500,
                    "InternalError",
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        let count = |field: &str| json::number(budget, &format!("/status/{field}"));
        let (healthy, desired) = (
            count("currentHealthy").unwrap_or_default(),
            count("desiredHealthy").unwrap_or_default(),
        );
        if !is_ready(pod) {
            let always = json::text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
            if always || (healthy >= desired && desired > 0) {
                return Ok(());
            }
        }
        let observed = count("observedGeneration").unwrap_or_default();
        if observed < json::number(budget, "/metadata/generation").unwrap_or_default() {
            return Err(would_violate(
                &format!(
                    "The disruption budget {} is still being processed by the server.",
                    key.1
                ),
                10,
            ));
        }
        let allowed = count("disruptionsAllowed").unwrap_or_default();
        if allowed <= 0 {
            return Err(would_violate(
                &format!(
                    "The disruption budget {} needs {desired} healthy pods and has {healthy} currently",
                    key.1
                ),
                0,
            ));
        }
        if dry_run {
            return Ok(());
        }
        let mut charged = budget.as_ref().clone();
        let at = clock::seconds(self.clock.now());
        let status = json::child(&mut charged, "status");
        json::set(status, "disruptionsAllowed", allowed - 1);
        json::set(
            json::child(status, "disruptedPods"),
            json::text(pod, "/metadata/name"),
            at,
        );
        self.update(
            &kind,
            "v1",
            key,
            Part::Status,
            charged,
            WriteOptions::default(),
        )?;
        Ok(())
    }
}

fn is_ready(pod: &Value) -> bool {
    json::entries(pod, "/status/conditions")
        .iter()
        .any(|condition| {
            json::text(condition, "/type") == "Ready" && json::text(condition, "/status") == "True"
        })
}

fn would_violate(why: &str, retry_after: u32) -> Refusal {
    let refusal = refusal::plain(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    refusal::caused(refusal, "DisruptionBudget", why, "", retry_after)
}

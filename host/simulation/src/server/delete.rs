//! Deletion: preconditions, propagation, finalizers, graceful deletion of pods.
//!
//! What happens to dependents afterwards is the garbage collector's work, in [`crate::workloads`].

use std::sync::Arc;

use serde_json::Value;

use super::{Server, is_terminating};
use crate::clock;
use crate::json;
use crate::kinds::Kind;
use crate::refusal::{self, Refusal};
use crate::store::{Key, version_of};

/// Finalizer of an object that waits for its dependents to go first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents must be released first.
pub(crate) const ORPHAN: &str = "orphan";

/// What becomes of what the object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// The collector deletes it afterwards.
    Background,
    /// The collector deletes it first.
    Foreground,
    /// It is released.
    Orphan,
}

impl Propagation {
    /// Reads `propagationPolicy`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "Background" => Ok(Self::Background),
            "Foreground" => Ok(Self::Foreground),
            "Orphan" => Ok(Self::Orphan),
            other => Err(refusal::plain(
                422,
                "Invalid",
                format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: \
                     supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                ),
            )),
        }
    }
}

/// What a deletion asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub propagation: Option<Propagation>,
    pub uid: Option<String>,
    pub version: Option<String>,
    pub dry_run: bool,
    /// Only 0 matters here: a pod goes at once.
    pub grace: Option<i64>,
}

/// What a deletion did.
#[derive(Clone, Debug)]
pub(crate) enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Arc<Value>),
    /// The object is marked and waits for its finalizers, or for its kubelet.
    Terminating(Arc<Value>),
}

impl Server {
    /// Deletes an object, or marks it.
    pub(crate) fn delete(
        &mut self,
        kind: &Arc<Kind>,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<Deleted, Refusal> {
        let old = self.get(kind, key)?;
        check_preconditions(kind, key, &old, options)?;
        if options.dry_run {
            return Ok(Deleted::Gone(old));
        }
        let mut object = old.as_ref().clone();
        let propagation = options
            .propagation
            .unwrap_or_else(|| default_propagation(kind, &old));
        add_finalizer(&mut object, propagation);
        let grace = self.grace_seconds(kind, &object, options);
        let waits = grace > 0
            || !json::entries(&object, "/metadata/finalizers").is_empty()
            || !json::entries(&object, "/spec/finalizers").is_empty() && kind.is("", "Namespace");
        if !waits {
            return Ok(match self.remove(kind, key) {
                Some(last) => Deleted::Gone(last),
                None => Deleted::Gone(old),
            });
        }
        let metadata = json::child(&mut object, "metadata");
        if !is_terminating(&old) {
            json::set(metadata, "deletionTimestamp", self.end_of(grace));
            if !kind.is("", "Namespace") {
                json::set(metadata, "deletionGracePeriodSeconds", grace);
            }
            if let Some(generation) = json::number(metadata, "/generation") {
                json::set(metadata, "generation", generation + 1);
            }
        }
        let granted = json::number(metadata, "/deletionGracePeriodSeconds").unwrap_or_default();
        if grace < granted {
            json::set(metadata, "deletionGracePeriodSeconds", grace);
            json::set(metadata, "deletionTimestamp", self.end_of(grace));
        }
        if kind.is("", "Namespace") {
            json::set(json::child(&mut object, "status"), "phase", "Terminating");
        }
        if object == *old {
            return Ok(Deleted::Terminating(old));
        }
        Ok(Deleted::Terminating(self.put(kind, key.clone(), object)))
    }

    /// A deletion's time is when the grace ends, not when it was asked for.
    fn end_of(&self, grace: i64) -> String {
        let now = self.clock.now();
        let end = now.checked_add(jiff::SignedDuration::from_secs(grace));
        clock::seconds(end.unwrap_or(now))
    }

    /// How long the object's kubelet gets; 0 for what has none.
    fn grace_seconds(&self, kind: &Kind, object: &Value, options: &DeleteOptions) -> i64 {
        let runs = kind.is("", "Pod")
            && !json::text(object, "/spec/nodeName").is_empty()
            && !matches!(json::text(object, "/status/phase"), "Succeeded" | "Failed");
        if !runs {
            return 0;
        }
        options
            .grace
            .or_else(|| json::number(object, "/metadata/deletionGracePeriodSeconds"))
            .or_else(|| json::number(object, "/spec/terminationGracePeriodSeconds"))
            .unwrap_or(30)
    }
}

fn check_preconditions(
    kind: &Kind,
    key: &Key,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Refusal> {
    let refuse = |what: &str, wanted: &str, present: &str, why: &str| {
        // Said of the kind, not of the resource, by the real server too.
        let message = format!(
            "Operation cannot be fulfilled on {} {:?}: the {what} in the precondition ({wanted}) \
             does not match the {what} in record ({present}). The object might have been {why}",
            kind.kind, key.1
        );
        let mut refusal = refusal::conflict(kind, &key.1, "");
        refusal.message = message;
        refusal
    };
    let present = json::text(old, "/metadata/uid");
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != present) {
        return Err(refuse("UID", uid, present, "deleted and then recreated"));
    }
    let present = version_of(old).to_string();
    if let Some(version) = options
        .version
        .as_deref()
        .filter(|version| *version != present)
    {
        return Err(refuse("ResourceVersion", version, &present, "modified"));
    }
    Ok(())
}

/// Jobs release their pods unless told otherwise; a finalizer set earlier decides for a repeated delete.
fn default_propagation(kind: &Kind, object: &Value) -> Propagation {
    let finalizers = json::entries(object, "/metadata/finalizers");
    if finalizers.iter().any(|finalizer| finalizer == ORPHAN) {
        Propagation::Orphan
    } else if finalizers.iter().any(|finalizer| finalizer == FOREGROUND) {
        Propagation::Foreground
    } else if kind.is("batch", "Job") {
        Propagation::Orphan
    } else {
        Propagation::Background
    }
}

fn add_finalizer(object: &mut Value, propagation: Propagation) {
    let mut finalizers: Vec<Value> = json::entries(object, "/metadata/finalizers")
        .iter()
        .filter(|finalizer| **finalizer != FOREGROUND && **finalizer != ORPHAN)
        .cloned()
        .collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(Value::from(FOREGROUND)),
        Propagation::Orphan => finalizers.push(Value::from(ORPHAN)),
    }
    let metadata = json::child(object, "metadata");
    if finalizers.is_empty() {
        json::take(metadata, "finalizers");
    } else {
        json::set(metadata, "finalizers", finalizers);
    }
}

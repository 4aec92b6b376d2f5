//! Sets that belong to a Rollout and do not show it: their owner reference or their hash label was removed by hand, or
//! an answer to their creation was lost.
//!
//! They are brought back before anything else is decided: a Rollout that takes its stable set for deleted would promote
//! whatever it has at once.

use serde_json::{Value, json};
use sluice_api as api;

use super::planner::{Meaning, Planner};
use super::{sets, valid};
use crate::keys;
use crate::observed::{Looked, Observed, ReplicaSet};
use crate::plan::{Edit, Query, Role, Subresource, Write};
use crate::report::Report;

/// What has to be known or written before it is known which sets there are.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    looks: Vec<Query>,
    writes: Vec<Write>,
    waits: Vec<(String, &'static str)>,
}

impl Claims {
    /// What is open.
    pub fn of(seen: &Observed) -> Self {
        let mut claims = Self::default();
        claims.adopt(seen);
        for hash in named(&seen.rollout) {
            claims.uncover(seen, hash);
        }
        claims
    }

    /// Nothing is open.
    pub fn are_settled(&self) -> bool {
        self.waits.is_empty()
    }

    /// Plans what is open.
    pub fn plan(self, planner: &mut Planner, report: &mut Report) {
        for (what, for_what) in self.waits {
            report.wait(what, for_what);
        }
        for query in self.looks {
            planner.look(query);
        }
        for write in self.writes {
            planner.write(Role::Annotate, write, Meaning::Claimed);
        }
    }

    /// Takes sets back that the Rollout selects and nobody controls (REC-007).
    ///
    /// The Rollout is read past the watch first, as Kubernetes' controllers do: a set that was orphaned on purpose, while
    /// its Rollout is deleted and made anew, would be collected together with the old one.
    fn adopt(&mut self, seen: &Observed) {
        let rollout = &seen.rollout;
        let orphans: Vec<_> = seen
            .orphans
            .iter()
            .filter(|set| set.metadata.deletion_timestamp.is_none())
            .collect();
        let Some(first) = orphans.first() else {
            return;
        };
        let what = format!("ReplicaSet {}", first.metadata.name);
        let query = Query::Uncached(valid::subject(rollout).key);
        match seen.looked.get(&query) {
            Some(Looked::Object(now)) if now.as_deref().is_some_and(|now| lives(rollout, now)) => {
                self.writes
                    .extend(orphans.iter().map(|set| adoption(rollout, set)));
                self.waits.push((what, "its adoption"));
            }
            Some(Looked::Object(_)) => {
                self.waits
                    .push((what, "the Rollout, which is no longer what was read"));
            }
            Some(Looked::Failed(_) | Looked::Pods(_) | Looked::Template(_)) | None => {
                self.looks.push(query);
                self.waits.push((what, "the Rollout as it is now"));
            }
        }
    }

    /// A set that the status names and nobody sees counts as gone only when the API server says so. One that has lost its
    /// hash label gets it back: pods, Services and routers still go by it.
    fn uncover(&mut self, seen: &Observed, hash: &str) {
        let rollout = &seen.rollout;
        let visible = |set: &std::sync::Arc<ReplicaSet>| set.hash() == hash;
        if seen.replica_sets.iter().any(visible) || seen.orphans.iter().any(visible) {
            return;
        }
        let name = sets::name(rollout, hash);
        let query = query_of(rollout, hash);
        let what = format!("ReplicaSet {name}");
        match seen.looked.get(&query) {
            Some(Looked::Object(Some(body))) if is_controlled_by(body, rollout) => {
                if label_of(body) == Some(hash) {
                    self.looks.push(query);
                    self.waits.push((what, "the watch to show it"));
                } else {
                    self.writes.push(relabelling(rollout, &name, hash, body));
                    self.waits.push((what, "its hash label"));
                }
            }
            // Gone, or something else has its name.
            Some(Looked::Object(_)) => {}
            Some(Looked::Failed(_) | Looked::Pods(_) | Looked::Template(_)) | None => {
                self.looks.push(query);
                self.waits.push((what, "whether it is gone"));
            }
        }
    }
}

/// Whether the name that goes with this hash is known to be taken by something that the Rollout does not control.
pub(crate) fn is_foreign(seen: &Observed, hash: &str) -> bool {
    let looked = seen.looked.get(&query_of(&seen.rollout, hash));
    matches!(looked, Some(Looked::Object(Some(body))) if !is_controlled_by(body, &seen.rollout))
}

/// The hashes of the stable and the current set, as far as the status has them.
fn named(rollout: &api::Rollout) -> impl Iterator<Item = &str> {
    let status = &rollout.status;
    let current = &status.current_pod_hash;
    [
        (!status.stable_rs.is_empty()).then_some(status.stable_rs.as_str()),
        (!current.is_empty() && *current != status.stable_rs).then_some(current.as_str()),
    ]
    .into_iter()
    .flatten()
}

fn query_of(rollout: &api::Rollout, hash: &str) -> Query {
    Query::Uncached(sets::key(rollout, &sets::name(rollout, hash)))
}

/// Whether this is the Rollout that was read, and nobody deletes it.
fn lives(rollout: &api::Rollout, now: &Value) -> bool {
    let uid = now.pointer("/metadata/uid").and_then(Value::as_str);
    let deleted = now.pointer("/metadata/deletionTimestamp");
    uid == Some(rollout.metadata.uid.as_str()) && deleted.is_none_or(Value::is_null)
}

fn is_controlled_by(body: &Value, rollout: &api::Rollout) -> bool {
    let owners = body
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| {
        owner.get("controller") == Some(&Value::Bool(true))
            && owner.get("uid").and_then(Value::as_str) == Some(rollout.metadata.uid.as_str())
    })
}

fn label_of(body: &Value) -> Option<&str> {
    let labels = body.pointer("/metadata/labels")?;
    labels.get(keys::POD_TEMPLATE_HASH)?.as_str()
}

fn adoption(rollout: &api::Rollout, set: &ReplicaSet) -> Write {
    let mut owners: Vec<Value> = set
        .metadata
        .owner_references
        .iter()
        .filter_map(|owner| serde_json::to_value(owner).ok())
        .filter(|owner| {
            owner.get("uid").and_then(Value::as_str) != Some(rollout.metadata.uid.as_str())
        })
        .collect();
    owners.push(sets::owner(rollout));
    Write {
        target: sets::key(rollout, &set.metadata.name),
        // The UID makes sure that it is this set, and no namesake that was made since.
        edit: Edit::MergePatch(json!({
            "metadata": { "uid": set.metadata.uid, "ownerReferences": owners },
        })),
        subresource: Subresource::None,
        precondition: Some(set.metadata.resource_version.clone()),
        reason: "adopt".to_owned(),
    }
}

fn relabelling(rollout: &api::Rollout, name: &str, hash: &str, body: &Value) -> Write {
    let version = body.pointer("/metadata/resourceVersion");
    Write {
        target: sets::key(rollout, name),
        edit: Edit::MergePatch(json!({
            "metadata": { "labels": { (keys::POD_TEMPLATE_HASH): hash } },
        })),
        subresource: Subresource::None,
        precondition: version.and_then(Value::as_str).map(str::to_owned),
        reason: "the hash label again".to_owned(),
    }
}

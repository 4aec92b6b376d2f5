//! The garbage collector: what becomes of objects whose owners go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::hands::Hands;
use crate::json;
use crate::kinds::Resource;
use crate::server::delete::{FOREGROUND, ORPHAN, Propagation};
use crate::server::is_terminating;
use crate::store::{Change, Key};

const ACTOR: &str = "generic-garbage-collector";

/// Who owns whom, by UID.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Every object that exists, and where.
    alive: BTreeMap<String, (Resource, Key)>,
    /// The dependents of each owner, existing or not.
    dependents: BTreeMap<String, BTreeSet<(Resource, Key, String)>>,
}

impl Owners {
    /// Learns of a change.
    pub(super) fn note(&mut self, resource: &Resource, change: &Change) {
        let entry = |object: &Arc<Value>| {
            let uid = json::text(object, "/metadata/uid").to_owned();
            (resource.clone(), change.key.clone(), uid)
        };
        if let Some(before) = &change.before {
            let dependent = entry(before);
            for owner in json::entries(before, "/metadata/ownerReferences") {
                let uid = json::text(owner, "/uid");
                if let Some(dependents) = self.dependents.get_mut(uid) {
                    dependents.remove(&dependent);
                    if dependents.is_empty() {
                        self.dependents.remove(uid);
                    }
                }
            }
            if change.after.is_none() {
                self.alive.remove(&dependent.2);
            }
        }
        if let Some(after) = &change.after {
            let dependent = entry(after);
            for owner in json::entries(after, "/metadata/ownerReferences") {
                self.dependents
                    .entry(json::text(owner, "/uid").to_owned())
                    .or_default()
                    .insert(dependent.clone());
            }
            let (resource, key, uid) = dependent;
            self.alive.insert(uid, (resource, key));
        }
    }

    /// What an owner owns.
    pub(super) fn dependents(&self, uid: &str) -> Vec<(Resource, Key, String)> {
        self.dependents
            .get(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// What may have to follow when an object is gone: its dependents, and owners that waited for it.
    pub(super) fn left_by(&self, object: &Value) -> Vec<(Resource, Key, String)> {
        let mut left = self.dependents(json::text(object, "/metadata/uid"));
        for owner in json::entries(object, "/metadata/ownerReferences") {
            let uid = json::text(owner, "/uid");
            if let Some((resource, key)) = self.alive.get(uid) {
                left.push((resource.clone(), key.clone(), uid.to_owned()));
            }
        }
        left
    }

    /// Whether an object has an owner that is gone, or waits for its dependents.
    pub(super) fn concerns(&self, object: &Value) -> bool {
        let waits = is_terminating(object)
            && (has_finalizer(object, FOREGROUND) || has_finalizer(object, ORPHAN));
        let owners = json::entries(object, "/metadata/ownerReferences");
        waits || owners.iter().any(|owner| !self.is_alive(owner))
    }

    fn is_alive(&self, reference: &Value) -> bool {
        self.alive.contains_key(json::text(reference, "/uid"))
    }
}

/// Deletes, releases or lets go of one object, as its owners and its finalizers ask.
pub(super) fn reconcile(
    hands: &mut Hands<'_>,
    owners: &Owners,
    resource: &Resource,
    key: &Key,
    uid: &str,
) -> Option<Duration> {
    let object = hands.get(&resource.0, &resource.1, key)?;
    if json::text(&object, "/metadata/uid") != uid {
        return None;
    }
    if !is_terminating(&object) {
        collect(hands, owners, &object);
    } else if has_finalizer(&object, ORPHAN) {
        orphan_dependents(hands, owners, &object);
    } else if has_finalizer(&object, FOREGROUND) {
        delete_dependents(hands, owners, &object);
    }
    None
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    json::entries(object, "/metadata/finalizers")
        .iter()
        .any(|finalizer| finalizer == name)
}

/// Deletes an object all of whose owners are gone; otherwise forgets those that are.
fn collect(hands: &mut Hands<'_>, owners: &Owners, object: &Value) {
    let references = json::entries(object, "/metadata/ownerReferences");
    let (solid, dangling): (Vec<&Value>, Vec<&Value>) =
        references.iter().partition(|owner| owners.is_alive(owner));
    if dangling.is_empty() {
        return;
    }
    if solid.is_empty() {
        hands.delete(ACTOR, object, Some(Propagation::Background), None);
    } else {
        let patch = json!({"metadata": {"ownerReferences": solid}});
        // Whoever changed it in between causes another look.
        let _ = hands.patch(ACTOR, object, patch);
    }
}

/// Takes the owner out of its dependents' references, then its finalizer away.
fn orphan_dependents(hands: &mut Hands<'_>, owners: &Owners, owner: &Value) {
    let uid = json::text(owner, "/metadata/uid");
    for (resource, key, _) in owners.dependents(uid) {
        if let Some(dependent) = hands.get(&resource.0, &resource.1, &key) {
            let left: Vec<&Value> = json::entries(&dependent, "/metadata/ownerReferences")
                .iter()
                .filter(|reference| json::text(reference, "/uid") != uid)
                .collect();
            let patch = json!({"metadata": {"ownerReferences": left}});
            // Whoever changed it in between causes another look.
            let _ = hands.patch(ACTOR, &dependent, patch);
        }
    }
    remove_finalizer(hands, owner, ORPHAN);
}

/// Deletes the dependents first; lets the owner go once none is left that blocks it.
fn delete_dependents(hands: &mut Hands<'_>, owners: &Owners, owner: &Value) {
    let uid = json::text(owner, "/metadata/uid");
    let mut blocked = false;
    for (resource, key, _) in owners.dependents(uid) {
        let Some(dependent) = hands.get(&resource.0, &resource.1, &key) else {
            continue;
        };
        if !is_terminating(&dependent) {
            hands.delete(ACTOR, &dependent, Some(Propagation::Foreground), None);
        }
        let still_there = hands.get(&resource.0, &resource.1, &key).is_some();
        blocked |= still_there && blocks(&dependent, uid);
    }
    if !blocked {
        remove_finalizer(hands, owner, FOREGROUND);
    }
}

/// Whether a dependent keeps its owner from going.
fn blocks(dependent: &Value, uid: &str) -> bool {
    json::entries(dependent, "/metadata/ownerReferences")
        .iter()
        .any(|reference| {
            json::text(reference, "/uid") == uid && json::flag(reference, "/blockOwnerDeletion")
        })
}

fn remove_finalizer(hands: &mut Hands<'_>, object: &Value, name: &str) {
    let left = json::entries(object, "/metadata/finalizers")
        .iter()
        .filter(|finalizer| *finalizer != name)
        .cloned()
        .collect();
    hands.set_finalizers(ACTOR, object, left);
}

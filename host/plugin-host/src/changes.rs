//! Turns what a plugin wants changed into writes: grant, ownership, labels, and nothing that would change nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sluice_engine::keys;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::plan::{Edit, Subresource, Write};
use sluice_engine::read::{RawObject, ReadOutcome, Select};

use crate::answer::{Asked, Change, ChangeEdit};
use crate::fault::{Fault, FaultKind};
use crate::grants;
use crate::manifest::Grants;

/// For whom changes are made.
pub(crate) struct Author<'a> {
    pub grants: &'a Grants,
    pub subject: &'a Subject,
    /// The plugin's block of the specification: the user means the objects that it names.
    pub config: &'a Value,
    /// The metric's name for providers, otherwise empty.
    pub part: &'a str,
}

/// The changes as writes, in order. `reads` are the objects as the plugin saw them.
///
/// # Errors
/// The first change that the grant refuses, or that cannot be applied to the object that it names.
pub(crate) fn writes(
    author: &Author<'_>,
    changes: Vec<Change>,
    reads: &BTreeMap<String, Asked>,
) -> Result<Vec<Write>, Fault> {
    let mut seen = Seen::of(reads);
    let mut writes = Vec::with_capacity(changes.len());
    for mut change in changes {
        if change.target.namespace.is_none() {
            change
                .target
                .namespace
                .clone_from(&author.subject.key.namespace);
        }
        let refuse = |why: String| {
            Fault::new(
                FaultKind::ChangeRefused,
                format!("{}: {why}", change.target),
            )
        };
        grants::check_change(author.grants, &change, &author.subject.key).map_err(refuse)?;
        if !seen.knows(&change.target) {
            grants::check_name(author.config, &change, &author.subject.key).map_err(refuse)?;
        }
        if !seen.apply(&change).map_err(refuse)? {
            continue;
        }
        writes.push(write(author, change));
    }
    Ok(writes)
}

fn write(author: &Author<'_>, change: Change) -> Write {
    let edit = match change.edit {
        ChangeEdit::Create { mut body, owned } => {
            complete(author, &mut body, &change.target, owned);
            Edit::Create(body)
        }
        ChangeEdit::MergePatch(patch) => Edit::MergePatch(patch),
        ChangeEdit::JsonPatch(patch) => Edit::JsonPatch(patch),
        ChangeEdit::Delete(propagation) => Edit::Delete(propagation),
    };
    Write {
        target: change.target,
        edit,
        subresource: Subresource::None,
        precondition: change.precondition,
        reason: change.reason,
    }
}

/// Adds to a new object what the host owes it: its namespace, the labels by which it is found again, its owner.
fn complete(author: &Author<'_>, body: &mut Value, target: &ObjectKey, owned: bool) {
    let subject = author.subject;
    let of_run = subject.key.kind == "AnalysisRun";
    let Some(metadata) = object_at(body, "metadata") else {
        return;
    };
    if let Some(namespace) = &target.namespace {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    if owned {
        metadata.insert(
            "ownerReferences".to_owned(),
            json!([{
                "apiVersion": subject.key.api_version,
                "kind": subject.key.kind,
                "name": subject.key.name,
                "uid": subject.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }]),
        );
    }
    let label = if of_run {
        keys::JOB_ANALYSIS_RUN_UID
    } else {
        keys::SUBJECT_UID
    };
    if let Some(labels) = object_at_map(metadata, "labels") {
        labels.insert(label.to_owned(), json!(subject.uid));
    }
    if of_run
        && !author.part.is_empty()
        && let Some(annotations) = object_at_map(metadata, "annotations")
    {
        annotations.insert(keys::JOB_METRIC_NAME.to_owned(), json!(author.part));
    }
}

fn object_at<'a>(value: &'a mut Value, field: &str) -> Option<&'a mut Map<String, Value>> {
    object_at_map(value.as_object_mut()?, field)
}

fn object_at_map<'a>(
    map: &'a mut Map<String, Value>,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    let value = map.entry(field).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

/// The objects as the plugin saw them, with its own earlier changes of the same answer applied.
struct Seen<'a> {
    read: BTreeMap<Identity, &'a RawObject>,
    /// Names that were looked for and not there.
    absent: Vec<Identity>,
    changed: BTreeMap<Identity, Option<Value>>,
}

/// An object whatever version of its API it was read in.
type Identity = (String, String, Option<String>, String);

fn identity(key: &ObjectKey) -> Identity {
    (
        key.group().to_owned(),
        key.kind.clone(),
        key.namespace.clone(),
        key.name.clone(),
    )
}

impl<'a> Seen<'a> {
    fn of(reads: &'a BTreeMap<String, Asked>) -> Self {
        let mut read = BTreeMap::new();
        let mut absent = Vec::new();
        for asked in reads.values() {
            let ReadOutcome::Found(objects) = &asked.outcome else {
                continue;
            };
            for object in objects {
                read.insert(identity(&object.key), object.as_ref());
            }
            if let (Select::Name(name), true) = (&asked.question.read.select, objects.is_empty()) {
                absent.push(identity(&ObjectKey {
                    api_version: asked.question.read.api_version.clone(),
                    kind: asked.question.read.kind.clone(),
                    namespace: asked.question.read.namespace.clone(),
                    name: name.clone(),
                }));
            }
        }
        Self {
            read,
            absent,
            changed: BTreeMap::new(),
        }
    }

    /// Whether the plugin has asked for this object in this pass, or has changed it before in this answer.
    fn knows(&self, target: &ObjectKey) -> bool {
        let identity = self.known(target);
        self.read.contains_key(&identity)
            || self.changed.contains_key(&identity)
            || self.absent.contains(&identity)
    }

    /// Applies a change to what is known of its target; false when it would change nothing.
    fn apply(&mut self, change: &Change) -> Result<bool, String> {
        let identity = self.known(&change.target);
        match &change.edit {
            ChangeEdit::Create { body, .. } => {
                self.changed.insert(identity, Some(body.clone()));
                Ok(true)
            }
            ChangeEdit::Delete(_) => {
                let gone = match self.changed.get(&identity) {
                    Some(now) => now.is_none(),
                    None => self.absent.contains(&identity),
                };
                self.changed.insert(identity, None);
                Ok(!gone)
            }
            ChangeEdit::MergePatch(patch) => self.patch(identity, |body| {
                json_patch::merge(body, patch);
                Ok(())
            }),
            ChangeEdit::JsonPatch(patch) => {
                let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                    .map_err(|error| format!("the JSON patch: {error}"))?;
                self.patch(identity, |body| {
                    json_patch::patch(body, &operations)
                        .map_err(|error| format!("the JSON patch does not fit the object: {error}"))
                })
            }
        }
    }

    /// The identity under which a target was read: objects of the cluster have no namespace there.
    fn known(&self, target: &ObjectKey) -> Identity {
        let namespaced = identity(target);
        if self.read.contains_key(&namespaced) || self.changed.contains_key(&namespaced) {
            return namespaced;
        }
        let (group, kind, _, name) = namespaced.clone();
        let of_cluster = (group, kind, None, name);
        if self.read.contains_key(&of_cluster) {
            of_cluster
        } else {
            namespaced
        }
    }

    fn patch(
        &mut self,
        identity: Identity,
        apply: impl FnOnce(&mut Value) -> Result<(), String>,
    ) -> Result<bool, String> {
        let before = match self.changed.get(&identity) {
            Some(Some(body)) => body.clone(),
            Some(None) => return Err("is patched after it was deleted".to_owned()),
            None => match self.read.get(&identity) {
                Some(object) => {
                    serde_json::from_str(&object.body).map_err(|error| error.to_string())?
                }
                // Not read in this pass: only the API server can tell what the patch does.
                None => return Ok(true),
            },
        };
        let mut after = before.clone();
        apply(&mut after)?;
        let different = after != before;
        if different {
            self.changed.insert(identity, Some(after));
        }
        Ok(different)
    }
}

//! How the API server answers writes and questions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_api as api;

use super::{Disturbance, How, World};
use crate::hash;
use crate::keys;
use crate::object::ObjectKey;
use crate::observed::{Defaulted, Looked};
use crate::plan::{
    Action, Done, Edit, Outcome, Plan, Query, Role, Subresource, Write, WriteError, WriteErrorKind,
    Written,
};
use crate::template;

impl World {
    pub(super) fn carry_out(&mut self, plan: &Plan, lines: &mut Vec<String>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut done_in_pass: BTreeMap<ObjectKey, String> = BTreeMap::new();
        for planned in &plan.actions {
            let ready = planned.after.iter().all(|index| {
                assert!(
                    *index < outcome.done.len(),
                    "an action waits for a later one"
                );
                outcome.succeeded(*index)
            });
            let done = match &planned.action {
                Action::Write(_) if !ready => Done::Skipped,
                Action::Call(_) => Done::Asked,
                Action::Look(query) => match self.look(query) {
                    Looked::Failed(message) => {
                        Done::Failed(error(WriteErrorKind::Unavailable, &message))
                    }
                    _ => Done::Asked,
                },
                Action::Write(write) => {
                    assert_ne!(
                        write.subresource,
                        Subresource::Status,
                        "the status is written last, and once (I4)"
                    );
                    let mut write = write.clone();
                    if let (Some(_), Some(newer)) =
                        (&write.precondition, done_in_pass.get(&write.target))
                    {
                        write.precondition = Some(newer.clone());
                    }
                    let before = self.harm();
                    let ready_pods = self.available();
                    let evicts = write.subresource == Subresource::Eviction;
                    match self.write(&write, Some(planned.role)) {
                        Ok(object) => {
                            self.kill_pods(&write);
                            if evicts {
                                self.assert_evictable(&before, ready_pods);
                            } else {
                                self.assert_harmless(&before, ready_pods, &write);
                            }
                            done_in_pass
                                .insert(write.target.clone(), object.resource_version.clone());
                            Done::Applied { object }
                        }
                        Err(error) => Done::Failed(error),
                    }
                }
            };
            if let Action::Write(write) = &planned.action {
                let result = match &done {
                    Done::Applied { .. } | Done::Asked => "write",
                    Done::Failed(_) => "failed",
                    Done::Skipped => "skipped",
                };
                let target = format!("{} {}", write.target.kind, write.target.name);
                lines.push(self.readable(&format!("{result} {target}: {}", write.reason)));
            }
            outcome.done.push(done);
        }
        outcome
    }

    pub(super) fn write(
        &mut self,
        write: &Write,
        role: Option<Role>,
    ) -> Result<Written, WriteError> {
        let result = self.write_disturbed(write, role);
        let has_no_effect = |error: &WriteError| {
            matches!(
                error.kind,
                WriteErrorKind::Invalid | WriteErrorKind::NotLeading
            )
        };
        if !result.as_ref().is_err_and(has_no_effect) {
            self.looked.remove(&Query::Uncached(write.target.clone()));
        }
        result
    }

    pub(super) fn write_disturbed(
        &mut self,
        write: &Write,
        role: Option<Role>,
    ) -> Result<Written, WriteError> {
        self.writes += 1;
        match self.disturbance {
            Some(Disturbance {
                at,
                how: How::Crash,
            }) if self.writes >= at => {
                return Err(error(WriteErrorKind::NotLeading, "crashed"));
            }
            Some(Disturbance { at, how: How::Fail }) if self.writes == at => {
                return Err(error(WriteErrorKind::Unavailable, "no answer"));
            }
            Some(Disturbance { at, how: How::Lose }) if self.writes == at => {
                let _ = self.write_undisturbed(write, role);
                return Err(error(WriteErrorKind::Unavailable, "no answer"));
            }
            Some(_) | None => {}
        }
        self.write_undisturbed(write, role)
    }

    pub(super) fn write_undisturbed(
        &mut self,
        write: &Write,
        role: Option<Role>,
    ) -> Result<Written, WriteError> {
        if let Some(fault) = self
            .faults
            .iter_mut()
            .find(|fault| fault.role == role && fault.times > 0)
        {
            fault.times -= 1;
            return Err(error(fault.kind, "on purpose"));
        }
        if write.subresource == Subresource::Eviction {
            return self.evict(&write.target.name);
        }
        let key = (write.target.kind.clone(), write.target.name.clone());
        if let (Some(version), Some(object)) = (&write.precondition, self.objects.get(&key))
            && object["metadata"]["resourceVersion"] != json!(version)
        {
            return Err(error(
                WriteErrorKind::Conflict,
                "the object has been modified",
            ));
        }
        match &write.edit {
            Edit::Create(body) => {
                if self.objects.contains_key(&key) {
                    return Err(error(WriteErrorKind::AlreadyExists, "already exists"));
                }
                self.create(&key, body);
            }
            Edit::MergePatch(patch) => {
                if !self.objects.contains_key(&key) {
                    return Err(error(WriteErrorKind::NotFound, "not found"));
                }
                let changed = self.patch(
                    &key.0,
                    &key.1,
                    patch,
                    write.subresource == Subresource::Status,
                );
                assert!(changed, "a write that changes nothing: {write:?}");
            }
            Edit::Delete(_) => {
                if self.objects.remove(&key).is_none() {
                    return Err(error(WriteErrorKind::NotFound, "not found"));
                }
                return Ok(Written::default());
            }
            Edit::JsonPatch(_) => panic!("no part of a Rollout writes JSON patches"),
        }
        let metadata = &self.objects[&key]["metadata"];
        Ok(Written {
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            resource_version: metadata["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            ..Written::default()
        })
    }

    pub(super) fn create(&mut self, key: &(String, String), body: &Value) {
        self.created += 1;
        let mut object = body.clone();
        let created = api::Time(self.now).truncated();
        object["metadata"]["uid"] = json!(format!("uid-{}-{}", key.1, self.created));
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = json!(created.to_string());
        if key.0 == "ReplicaSet" {
            let hash = object["metadata"]["labels"][keys::POD_TEMPLATE_HASH]
                .as_str()
                .unwrap()
                .to_owned();
            if !self.hashes.contains(&hash) {
                self.hashes.push(hash);
            }
            let defaulted = default_template(&object["spec"]["template"]);
            object["spec"]["template"] = defaulted;
        }
        self.objects.insert(key.clone(), object);
        self.touch(key);
    }

    pub(super) fn look(&mut self, query: &Query) -> Looked {
        let answer = match query {
            Query::DefaultedTemplate { source, .. } => {
                let template = self.spec()["template"].clone();
                assert_eq!(
                    *source,
                    hash::template_source(&template),
                    "asked for another template"
                );
                self.looked
                    .retain(|other, _| !matches!(other, Query::DefaultedTemplate { .. }));
                if self.look_fails {
                    Looked::Failed("the API server is away".to_owned())
                } else if self.template_refused {
                    let message = "spec.template.spec.containers[0].image: Required value";
                    Looked::Template(Defaulted::Invalid(message.to_owned()))
                } else if self.dry_run_denied {
                    let message = "admission webhook \"policy\" does not support dry run";
                    Looked::Template(Defaulted::Denied(message.to_owned()))
                } else {
                    let identity = template::identity(&default_template(&template), None);
                    Looked::Template(Defaulted::Identity(identity))
                }
            }
            Query::Uncached(_) if self.reads_fail => {
                Looked::Failed("the API server is away".to_owned())
            }
            Query::Uncached(object) => {
                let key = (object.kind.clone(), object.name.clone());
                Looked::Object(self.objects.get(&key).cloned().map(Arc::new))
            }
            Query::Pods { replica_set, .. } => self.list_pods(replica_set),
            Query::Object(_) => panic!("nobody asks for {query:?} yet"),
        };
        self.looked.insert(query.clone(), answer.clone());
        answer
    }
}

pub(super) fn error(kind: WriteErrorKind, message: &str) -> WriteError {
    WriteError::new(kind, message.to_owned())
}

/// A pod template as an API server completes it.
pub(in crate::rollout::tests) fn default_template(template: &Value) -> Value {
    let mut template = template.clone();
    let spec = template["spec"].as_object_mut().unwrap();
    for (name, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        spec.entry(name).or_insert(value);
    }
    for container in spec["containers"].as_array_mut().unwrap() {
        let container = container.as_object_mut().unwrap();
        for (name, value) in [
            ("imagePullPolicy", json!("IfNotPresent")),
            ("resources", json!({})),
            ("terminationMessagePath", json!("/dev/termination-log")),
        ] {
            container.entry(name).or_insert(value);
        }
    }
    template["metadata"]["creationTimestamp"] = Value::Null;
    template
}

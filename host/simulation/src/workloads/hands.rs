//! What a controller does its work with: reads and writes at the server, each write with a line in the log.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{State, outcome_of};
use crate::clock;
use crate::faults::Verb;
use crate::json;
use crate::kinds::Kind;
use crate::patch::Patch;
use crate::refusal::{Refusal, no_such_path};
use crate::server::delete::{DeleteOptions, Propagation};
use crate::server::{Part, Server, WriteOptions};
use crate::simulation::path_of;
use crate::store::Key;

/// A controller's access to the server, under its lock.
pub(super) struct Hands<'a> {
    state: &'a mut State,
}

impl<'a> Hands<'a> {
    pub(super) fn new(state: &'a mut State) -> Self {
        Self { state }
    }

    /// The present.
    pub(super) fn now(&self) -> Timestamp {
        self.state.server.clock.now()
    }

    /// The present, as objects carry it.
    pub(super) fn timestamp(&self) -> String {
        clock::seconds(self.now())
    }

    /// Every kind.
    pub(super) fn kinds(&self) -> Vec<Arc<Kind>> {
        self.state.server.kinds.all().cloned().collect()
    }

    /// One object.
    pub(super) fn get(&self, group: &str, plural: &str, key: &Key) -> Option<Arc<Value>> {
        self.state
            .server
            .store
            .get(&(group.to_owned(), plural.to_owned()), key)
    }

    /// The objects of a namespace, in order.
    pub(super) fn list(&self, group: &str, plural: &str, namespace: &str) -> Vec<Arc<Value>> {
        self.state
            .server
            .store
            .list(&(group.to_owned(), plural.to_owned()), Some(namespace))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Creates an object.
    pub(super) fn create(
        &mut self,
        actor: &'static str,
        object: Value,
    ) -> Result<Arc<Value>, Refusal> {
        let api_version = json::text(&object, "/apiVersion").to_owned();
        let name = json::text(&object, "/kind").to_owned();
        let kind = self
            .state
            .server
            .kinds
            .by_object(&api_version, &name)
            .ok_or_else(no_such_path)?;
        let namespace = json::text(&object, "/metadata/namespace").to_owned();
        let result = self.state.server.create(
            &kind,
            kind.storage_version(),
            Some(&namespace),
            object,
            WriteOptions::default(),
        );
        let made = result
            .as_ref()
            .map(|made| json::text(made, "/metadata/name"))
            .unwrap_or_default();
        let path = path_of(&kind, &(namespace, made.to_owned()));
        self.log(actor, Verb::Create, &path, &result.as_ref().map(|_| ()));
        result
    }

    /// Replaces the status of an object, if that changes anything.
    pub(super) fn set_status(
        &mut self,
        actor: &'static str,
        object: &Value,
        status: Value,
    ) -> Result<Arc<Value>, Refusal> {
        let mut changed = object.clone();
        json::set(&mut changed, "status", status);
        self.write(actor, object, "/status", |server, kind, key| {
            server.update(
                kind,
                kind.storage_version(),
                key,
                Part::Status,
                changed,
                WriteOptions::default(),
            )
        })
    }

    /// Changes an object by a merge patch.
    pub(super) fn patch(
        &mut self,
        actor: &'static str,
        object: &Value,
        patch: Value,
    ) -> Result<Arc<Value>, Refusal> {
        self.write(actor, object, "", |server, kind, key| {
            server.patch(
                kind,
                kind.storage_version(),
                key,
                Part::Main,
                &Patch::Merge(patch),
                WriteOptions::default(),
            )
        })
    }

    /// Gives an object these finalizers and no others.
    pub(super) fn set_finalizers(
        &mut self,
        actor: &'static str,
        object: &Value,
        finalizers: Vec<Value>,
    ) {
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": json::text(object, "/metadata/resourceVersion"),
        }});
        // Whoever changed it in between causes another look.
        let _ = self.patch(actor, object, patch);
    }

    /// Takes a namespace's own finalizers away.
    pub(super) fn finalize(&mut self, actor: &'static str, namespace: &Value) {
        // Whoever changed it in between causes another look.
        let _ = self.write(actor, namespace, "/finalize", |server, kind, key| {
            server.finalize(kind, key, &json!({"spec": {"finalizers": []}}))
        });
    }

    /// Deletes an object.
    pub(super) fn delete(
        &mut self,
        actor: &'static str,
        object: &Value,
        propagation: Option<Propagation>,
        grace: Option<i64>,
    ) {
        let Some((kind, key)) = self.locate(object) else {
            return;
        };
        let options = DeleteOptions {
            propagation,
            uid: Some(json::text(object, "/metadata/uid").to_owned()),
            version: None,
            dry_run: false,
            grace,
        };
        let result = self.state.server.delete(&kind, &key, &options);
        self.log(
            actor,
            Verb::Delete,
            &path_of(&kind, &key),
            &result.as_ref().map(|_| ()),
        );
    }

    fn write(
        &mut self,
        actor: &'static str,
        object: &Value,
        subresource: &str,
        work: impl FnOnce(&mut Server, &Arc<Kind>, &Key) -> Result<Arc<Value>, Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let (kind, key) = self.locate(object).ok_or_else(no_such_path)?;
        let version = self.state.server.version();
        let result = work(&mut self.state.server, &kind, &key);
        if result.is_err() || self.state.server.version() != version {
            let path = format!("{}{subresource}", path_of(&kind, &key));
            self.log(actor, Verb::Update, &path, &result.as_ref().map(|_| ()));
        }
        result
    }

    fn locate(&self, object: &Value) -> Option<(Arc<Kind>, Key)> {
        let kind = self.state.server.kinds.by_object(
            json::text(object, "/apiVersion"),
            json::text(object, "/kind"),
        )?;
        let key = (
            json::text(object, "/metadata/namespace").to_owned(),
            json::text(object, "/metadata/name").to_owned(),
        );
        Some((kind, key))
    }

    fn log(&mut self, actor: &str, verb: Verb, path: &str, result: &Result<(), &Refusal>) {
        let outcome = match result {
            Ok(()) => "ok".to_owned(),
            Err(refusal) => outcome_of(refusal),
        };
        self.state.note(actor, verb.as_str(), path, outcome);
    }
}

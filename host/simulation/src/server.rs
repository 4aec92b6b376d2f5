//! The API server's rules: what a get, list, create, update, patch or delete does to the store.
//!
//! Synchronous and free of HTTP: [`crate::api`] calls it under a lock and adds time, faults and logging.
//! [`admit`] decides what an object looks like when it is stored, [`delete`] what a deletion does,
//! [`scale`] and [`evict`] serve subresources.

pub(crate) mod admit;
pub(crate) mod delete;
pub(crate) mod evict;
pub(crate) mod scale;

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use crate::clock::{self, Clock};
use crate::json;
use crate::kinds::{Generation, Kind, Registry, custom};
use crate::patch::Patch;
use crate::refusal::{self, FieldError, Refusal};
use crate::seed::Seeded;
use crate::snapshot::Snapshot;
use crate::store::{Key, Store, version_of};
use crate::watch::Scope;

/// How often a generated name that is taken is drawn again; the API server tries eight times too.
const NAME_ATTEMPTS: usize = 8;

/// Objects, kinds and rules.
#[derive(Debug)]
pub(crate) struct Server {
    pub store: Store,
    pub kinds: Registry,
    pub clock: Clock,
    pub seeded: Seeded,
    /// When something other than a Lease or an Event was last written.
    pub last_change: Instant,
    /// What the client of the present request is to be warned of.
    pub warnings: Vec<String>,
    /// How many Service addresses were given out.
    addresses: u32,
    /// How many node ports were given out.
    node_ports: u32,
}

/// What a write asks for beside its object.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WriteOptions {
    /// Everything but the write itself.
    pub dry_run: bool,
    /// What becomes of fields that the kind does not have.
    pub unknown: UnknownFields,
    /// The object is the result of a patch; what is wrong with its form is then wrong with the patch.
    pub patched: bool,
}

/// What becomes of fields that the kind does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    /// They are dropped in silence.
    #[default]
    Drop,
    /// They are dropped, and the client is warned.
    Warn,
    /// They are an error.
    Refuse,
}

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but status, where status is a subresource.
    Main,
    /// Status alone.
    Status,
}

/// What a list asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    pub scope: Scope,
    pub limit: Option<usize>,
    /// Where a former page ended: its version and its last key.
    pub after: Option<(u64, Key)>,
    /// The state at exactly this version.
    pub exactly: Option<u64>,
    /// The state at this version or a newer one.
    pub at_least: Option<u64>,
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub items: Vec<Arc<Value>>,
    pub version: u64,
    /// The last key, if more follow.
    pub next: Option<Key>,
    /// How many follow, where that is known without selectors.
    pub remaining: Option<usize>,
}

impl Server {
    /// A server with the namespaces that every cluster has.
    pub(crate) fn new(clock: Clock, seed: u64, history_limit: usize) -> Self {
        let mut server = Self {
            store: Store::new(history_limit),
            kinds: Registry::of_kubernetes(),
            clock,
            seeded: Seeded::fork(seed, "names"),
            last_change: Instant::now(),
            warnings: Vec::new(),
            addresses: 0,
            node_ports: 0,
        };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            if let Some(kind) = server.kinds.by_kind("", "v1", "Namespace") {
                let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
                if let Err(refusal) =
                    server.create(&kind, "v1", None, namespace, WriteOptions::default())
                {
                    tracing::error!(%refusal, name, "a namespace of every cluster was refused");
                }
            }
        }
        // A cluster has a past that nobody remembers.
        server.store.forget_the_past();
        server
    }

    /// A server that begins with what another held.
    pub(crate) fn of(snapshot: &Snapshot, clock: Clock, seed: u64, history_limit: usize) -> Self {
        Self {
            store: snapshot.store.present(history_limit),
            kinds: snapshot.kinds.clone(),
            clock,
            seeded: Seeded::fork(seed, "names"),
            last_change: Instant::now(),
            warnings: Vec::new(),
            addresses: snapshot.addresses,
            node_ports: snapshot.node_ports,
        }
    }

    /// What it holds now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            store: Arc::new(self.store.present(0)),
            kinds: self.kinds.clone(),
            addresses: self.addresses,
            node_ports: self.node_ports,
        }
    }

    /// The newest resourceVersion.
    pub(crate) fn version(&self) -> u64 {
        self.store.version()
    }

    /// One object.
    pub(crate) fn get(&self, kind: &Kind, key: &Key) -> Result<Arc<Value>, Refusal> {
        self.store
            .get(&kind.key(), key)
            .ok_or_else(|| refusal::not_found(kind, &key.1))
    }

    /// Objects in order of namespace and name.
    pub(crate) fn list(&self, kind: &Kind, options: &ListOptions) -> Result<Page, Refusal> {
        let resource = kind.key();
        let version = options
            .after
            .as_ref()
            .map(|(version, _)| *version)
            .or(options.exactly)
            .unwrap_or_else(|| self.version());
        let wanted = options.at_least.unwrap_or_default().max(version);
        if wanted > self.version() {
            return Err(refusal::from_the_future(wanted, self.version()));
        }
        let past;
        let objects: Box<dyn Iterator<Item = (&Key, &Arc<Value>)> + '_> = if version
            == self.version()
        {
            Box::new(
                self.store
                    .list(&resource, options.scope.namespace.as_deref()),
            )
        } else {
            past = self.store.list_at(&resource, version).ok_or_else(|| {
                refusal::expired(
                    "The provided continue parameter is too old to display a consistent list result. \
                     You can start a new list without the continue parameter.",
                )
            })?;
            Box::new(past.iter())
        };
        let mut matching = objects
            .filter(|(_, object)| options.scope.contains(object))
            .filter(|(key, _)| options.after.as_ref().is_none_or(|(_, last)| *key > last));
        let limit = options.limit.unwrap_or(usize::MAX);
        let mut items = Vec::new();
        let mut last = None;
        for (key, object) in matching.by_ref().take(limit) {
            last = Some(key.clone());
            items.push(Arc::clone(object));
        }
        let remaining = matching.count();
        let selective = !options.scope.labels.is_empty() || !options.scope.fields.is_empty();
        Ok(Page {
            items,
            version,
            next: last.filter(|_| remaining > 0),
            remaining: (remaining > 0 && !selective).then_some(remaining),
        })
    }

    /// Creates an object.
    pub(crate) fn create(
        &mut self,
        kind: &Arc<Kind>,
        version: &str,
        namespace: Option<&str>,
        mut object: Value,
        options: WriteOptions,
    ) -> Result<Arc<Value>, Refusal> {
        check_identity(kind, version, namespace, None, &mut object)?;
        let metadata = json::child(&mut object, "metadata");
        if !json::text(metadata, "/resourceVersion").is_empty() {
            // The real server answers so too: it takes this for an error of its own.
            return Err(refusal::plain(
                500,
                "",
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let namespace = if kind.namespaced {
            let namespace = namespace.unwrap_or_default().to_owned();
            json::set(metadata, "namespace", namespace.clone());
            namespace
        } else {
            json::take(metadata, "namespace");
            String::new()
        };
        let name = self.name_for(kind, metadata, &namespace)?;
        let key = (namespace, name);
        json::set(metadata, "name", key.1.clone());
        for system_owned in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "managedFields",
        ] {
            json::take(metadata, system_owned);
        }
        json::set(metadata, "uid", self.seeded.uid());
        json::set(
            metadata,
            "creationTimestamp",
            clock::seconds(self.clock.now()),
        );
        // Where nobody counts, what the client says stays.
        if kind.generation != Generation::Absent {
            json::set(metadata, "generation", 1);
        }
        if kind.status && kind.is_custom() {
            json::take(&mut object, "status");
        }
        let object = self.admit(kind, version, object, None, options)?;
        self.check_namespace(kind, &key)?;
        if self.store.get(&kind.key(), &key).is_some() {
            return Err(refusal::already_exists(kind, &key.1));
        }
        if options.dry_run {
            return Ok(Arc::new(object));
        }
        Ok(self.put(kind, key, object))
    }

    /// Replaces an object, or its status.
    pub(crate) fn update(
        &mut self,
        kind: &Arc<Kind>,
        version: &str,
        key: &Key,
        part: Part,
        mut object: Value,
        options: WriteOptions,
    ) -> Result<Arc<Value>, Refusal> {
        check_identity(kind, version, Some(&key.0), Some(&key.1), &mut object)?;
        let old = match self.get(kind, key) {
            Ok(old) => old,
            // Leases may be created by replacing them, unlike everything else here.
            Err(_) if kind.is("coordination.k8s.io", "Lease") && part == Part::Main => {
                return self.create(kind, version, Some(&key.0), object, options);
            }
            Err(refusal) => return Err(refusal),
        };
        if kind.is_custom() && json::text(&object, "/metadata/resourceVersion").is_empty() {
            return Err(refusal::invalid_resource(
                kind,
                &key.1,
                &[FieldError::invalid(
                    "metadata.resourceVersion",
                    &Value::from(0),
                    "must be specified for an update",
                )],
            ));
        }
        self.commit(kind, version, key, part, &old, object, options)
    }

    /// Patches an object, or its status.
    pub(crate) fn patch(
        &mut self,
        kind: &Arc<Kind>,
        version: &str,
        key: &Key,
        part: Part,
        patch: &Patch,
        options: WriteOptions,
    ) -> Result<Arc<Value>, Refusal> {
        let old = self.get(kind, key)?;
        let mut current = old.as_ref().clone();
        json::set(&mut current, "apiVersion", kind.api_version(version));
        let mut object = patch.apply(&current)?;
        for field in ["kind", "apiVersion"] {
            if object.get(field) != current.get(field) {
                return Err(refusal::unprocessable(format!(
                    " \"\" is invalid: patch: Invalid value: {:?}: {field} may not change",
                    object.to_string()
                )));
            }
        }
        check_identity(kind, version, Some(&key.0), Some(&key.1), &mut object)?;
        for field in ["uid", "deletionTimestamp"] {
            let pointer = format!("/metadata/{field}");
            let wanted = object.pointer(&pointer).unwrap_or(&Value::Null);
            if *wanted != Value::Null && Some(wanted) != old.pointer(&pointer) {
                let error =
                    FieldError::invalid(format!("metadata.{field}"), wanted, "field is immutable");
                return Err(refusal::invalid(kind, &key.1, &[error]));
            }
        }
        let options = WriteOptions {
            patched: true,
            ..options
        };
        self.commit(kind, version, key, part, &old, object, options)
    }

    /// Writes the new state of an object after checking it against the old.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a separate fact about the one write"
    )]
    fn commit(
        &mut self,
        kind: &Arc<Kind>,
        version: &str,
        key: &Key,
        part: Part,
        old: &Arc<Value>,
        mut object: Value,
        options: WriteOptions,
    ) -> Result<Arc<Value>, Refusal> {
        check_preconditions(kind, key, old, &object)?;
        keep_system_fields(&mut object, old);
        match part {
            Part::Main if kind.status => json::restore(&mut object, old, "status"),
            Part::Main => {}
            Part::Status => keep_all_but_status(kind, &mut object, old),
        }
        let mut object = self.admit(kind, version, object, Some(old), options)?;
        let added: Vec<String> = json::entries(&object, "/metadata/finalizers")
            .iter()
            .filter(|finalizer| !json::entries(old, "/metadata/finalizers").contains(finalizer))
            .map(Value::to_string)
            .collect();
        if is_terminating(old) && !added.is_empty() {
            return Err(refusal::invalid(
                kind,
                &key.1,
                &[FieldError::forbidden(
                    "metadata.finalizers",
                    &format!(
                        "no new finalizers can be added if the object is being deleted, \
                         found new finalizers []string{{{}}}",
                        added.join(", ")
                    ),
                )],
            ));
        }
        if part == Part::Main && raises_generation(kind, old, &object) {
            let generation = json::number(old, "/metadata/generation").unwrap_or_default();
            json::set(
                json::child(&mut object, "metadata"),
                "generation",
                generation + 1,
            );
        }
        if object == **old {
            // The API server does not write what changes nothing.
            return Ok(Arc::clone(old));
        }
        if options.dry_run {
            return Ok(Arc::new(object));
        }
        if is_terminating(&object)
            && json::entries(&object, "/metadata/finalizers").is_empty()
            && json::number(&object, "/metadata/deletionGracePeriodSeconds").unwrap_or_default()
                == 0
        {
            self.remove(kind, key);
            return Ok(Arc::new(object));
        }
        Ok(self.put(kind, key.clone(), object))
    }

    /// Sets a namespace's own finalizers; without any, a namespace that is being deleted goes.
    pub(crate) fn finalize(
        &mut self,
        kind: &Kind,
        key: &Key,
        body: &Value,
    ) -> Result<Arc<Value>, Refusal> {
        let old = self.get(kind, key)?;
        check_preconditions(kind, key, &old, body)?;
        let mut object = old.as_ref().clone();
        json::restore(
            json::child(&mut object, "spec"),
            body.get("spec").unwrap_or(&Value::Null),
            "finalizers",
        );
        let left = json::entries(&object, "/spec/finalizers").len()
            + json::entries(&object, "/metadata/finalizers").len();
        if is_terminating(&object) && left == 0 {
            self.remove(kind, key);
            return Ok(Arc::new(object));
        }
        Ok(self.put(kind, key.clone(), object))
    }

    /// The name of a new object, drawn if only a prefix is given.
    fn name_for(
        &mut self,
        kind: &Kind,
        metadata: &Value,
        namespace: &str,
    ) -> Result<String, Refusal> {
        let name = json::text(metadata, "/name");
        if !name.is_empty() {
            return Ok(name.to_owned());
        }
        let prefix = json::text(metadata, "/generateName");
        if prefix.is_empty() {
            return Err(refusal::invalid(
                kind,
                "",
                &[FieldError::required(
                    "metadata.name",
                    "name or generateName is required",
                )],
            ));
        }
        let mut name = String::new();
        for _ in 0..NAME_ATTEMPTS {
            name = format!("{prefix}{}", self.seeded.name_suffix());
            let key = (namespace.to_owned(), name.clone());
            if self.store.get(&kind.key(), &key).is_none() {
                break;
            }
        }
        Ok(name)
    }

    /// Objects live in namespaces that exist and are not going away.
    fn check_namespace(&self, kind: &Kind, key: &Key) -> Result<(), Refusal> {
        if !kind.namespaced {
            return Ok(());
        }
        let Some(namespaces) = self.kinds.by_kind("", "v1", "Namespace") else {
            return Ok(());
        };
        let namespace = self.get(&namespaces, &(String::new(), key.0.clone()))?;
        if is_terminating(&namespace) {
            let refusal = refusal::forbidden(
                kind,
                &key.1,
                &format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    key.0
                ),
            );
            let why = format!("namespace {} is being terminated", key.0);
            return Err(refusal::caused(
                refusal,
                "NamespaceTerminating",
                &why,
                "metadata.namespace",
                0,
            ));
        }
        Ok(())
    }

    /// Stores an object and does what its being stored entails.
    pub(crate) fn put(&mut self, kind: &Kind, key: Key, object: Value) -> Arc<Value> {
        self.touch(kind);
        let stored = self.store.put(&kind.key(), key, object);
        if kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
            && let Ok(defined) = custom::kind(&stored)
        {
            self.kinds.insert(defined);
        }
        stored
    }

    /// Removes an object and does what its being gone entails.
    pub(crate) fn remove(&mut self, kind: &Kind, key: &Key) -> Option<Arc<Value>> {
        self.touch(kind);
        let removed = self.store.remove(&kind.key(), key)?;
        if kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
            && let Ok(defined) = custom::kind(&removed)
        {
            let resource = defined.key();
            let left: Vec<Key> = self
                .store
                .list(&resource, None)
                .map(|(key, _)| key.clone())
                .collect();
            for key in left {
                self.store.remove(&resource, &key);
            }
            self.kinds.remove(&resource);
        }
        Some(removed)
    }

    fn touch(&mut self, kind: &Kind) {
        // Heartbeats and reports are not activity: a story that waits for quiet would wait for ever.
        if !kind.is("coordination.k8s.io", "Lease") && !kind.is("", "Event") {
            self.last_change = Instant::now();
        }
    }

    /// The next free Service address.
    pub(crate) fn next_address(&mut self) -> String {
        self.addresses += 1;
        let number = self.addresses + 9;
        format!("10.96.{}.{}", (number / 254) % 254, number % 254 + 1)
    }

    /// The next free node port.
    pub(crate) fn next_node_port(&mut self) -> u32 {
        self.node_ports += 1;
        30000 + (self.node_ports - 1) % 2768
    }
}

/// Whether an object is being deleted.
pub(crate) fn is_terminating(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(Value::is_string)
}

/// The body must be of the kind, name and namespace that the path says.
fn check_identity(
    kind: &Kind,
    version: &str,
    namespace: Option<&str>,
    name: Option<&str>,
    object: &mut Value,
) -> Result<(), Refusal> {
    if !object.is_object() {
        return Err(refusal::bad_request(
            "the body of the request must be a JSON object",
        ));
    }
    let expected = kind.api_version(version);
    for (field, expected) in [
        ("kind", kind.kind.as_str()),
        ("apiVersion", expected.as_str()),
    ] {
        let given = json::text(object, &format!("/{field}"));
        if given.is_empty() && kind.is_custom() {
            return Err(refusal::bad_request(format!(
                "Object '{field}' is missing in the body of the request"
            )));
        }
        if !given.is_empty() && given != expected {
            return Err(refusal::bad_request(format!(
                "the {field} in the body ({given}) does not match that of the URL ({expected})"
            )));
        }
        json::set(object, field, expected);
    }
    if let (true, Some(namespace)) = (kind.namespaced, namespace) {
        let metadata = json::child(object, "metadata");
        let given = json::text(metadata, "/namespace");
        if given.is_empty() {
            json::set(metadata, "namespace", namespace);
        } else if given != namespace {
            return Err(refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    if let Some(name) = name {
        let given = json::text(object, "/metadata/name");
        if given != name {
            return Err(refusal::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
    }
    Ok(())
}

/// A version or UID in the body is a precondition.
fn check_preconditions(kind: &Kind, key: &Key, old: &Value, object: &Value) -> Result<(), Refusal> {
    let version = json::text(object, "/metadata/resourceVersion");
    if !version.is_empty() && version != "0" && version != version_of(old).to_string() {
        return Err(refusal::modified(kind, &key.1));
    }
    let (wanted, present) = (
        json::text(object, "/metadata/uid"),
        json::text(old, "/metadata/uid"),
    );
    if !wanted.is_empty() && wanted != present {
        return Err(refusal::conflict(
            kind,
            &key.1,
            &format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {present}",
                kind.plural, key.0, key.1
            ),
        ));
    }
    Ok(())
}

/// What only the server may change stays as it was.
fn keep_system_fields(object: &mut Value, old: &Value) {
    let old_metadata = old.get("metadata").unwrap_or(&Value::Null);
    let metadata = json::child(object, "metadata");
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "generateName",
        "selfLink",
        "managedFields",
    ] {
        json::restore(metadata, old_metadata, field);
    }
}

/// A write to the status subresource changes status; of a built-in kind also labels and annotations.
fn keep_all_but_status(kind: &Kind, object: &mut Value, old: &Value) {
    let status = json::take(object, "status");
    let mut kept = old.clone();
    if !kind.is_custom() {
        let metadata = json::child(&mut kept, "metadata");
        // A Deployment's labels are not to be changed through its status, says its strategy.
        let fields: &[&str] = if kind.is("apps", "Deployment") {
            &["annotations"]
        } else {
            &["labels", "annotations"]
        };
        for field in fields {
            json::restore(
                metadata,
                object.get("metadata").unwrap_or(&Value::Null),
                field,
            );
        }
    }
    match status {
        Some(status) => json::set(&mut kept, "status", status),
        None => {
            json::take(&mut kept, "status");
        }
    }
    json::restore(&mut kept, object, "apiVersion");
    *object = kept;
}

fn raises_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    match kind.generation {
        Generation::Absent => false,
        Generation::Spec => {
            let counted = |object: &Value| {
                let mut spec = object.get("spec").cloned().unwrap_or_default();
                // Being placed on a node is no change of what a pod is to be.
                if kind.is("", "Pod") {
                    json::take(&mut spec, "nodeName");
                }
                (spec, object.get("template").cloned())
            };
            counted(old) != counted(new)
        }
        Generation::AnythingElse => {
            let rest = |object: &Value| {
                let mut rest = object.clone();
                json::take(&mut rest, "metadata");
                json::take(&mut rest, "apiVersion");
                if kind.status {
                    json::take(&mut rest, "status");
                }
                rest
            };
            rest(old) != rest(new)
        }
    }
}

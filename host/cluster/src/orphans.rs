//! Services that carry what a Rollout put there although no Rollout claims them any more (SVC-005): the hash in the
//! selector would keep them on pods that are about to go.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_api as api;
use sluice_engine::keys;
use sluice_engine::object::{ObjectKey, Subject};
use sluice_engine::observed::Service;
use sluice_engine::plan::{Done, Edit, Subresource, Write, WriteError, WriteErrorKind};

use crate::Key;
use crate::cluster::{Cluster, Shared};
use crate::feed::Trouble;
use crate::outbox::Changed;
use crate::references::{self, Reference};
use crate::triggers::is_ours;

/// The writes that give Services back: those with a hash in their selector that no Rollout of these names. Rollouts are
/// by namespace and name.
pub fn orphaned_services<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    rollouts: &BTreeMap<Key, Arc<api::Rollout>>,
) -> Vec<Write> {
    let orphaned = services.into_iter().filter(|service| {
        let metadata = &service.metadata;
        let in_namespace = rollouts.range(Key::new(&metadata.namespace, "")..);
        let mut in_namespace =
            in_namespace.take_while(|(key, _)| key.namespace == metadata.namespace);
        is_ours(service)
            && !in_namespace
                .any(|(_, rollout)| references::services(&rollout.spec).contains(&metadata.name))
    });
    orphaned.map(give_back).collect()
}

fn give_back(service: &Service) -> Write {
    let metadata = &service.metadata;
    let mut patch = json!({ "spec": { "selector": { (keys::POD_TEMPLATE_HASH): null } } });
    if metadata.annotations.contains_key(keys::MANAGED_BY)
        && let Some(fields) = patch.as_object_mut()
    {
        fields.insert(
            "metadata".to_owned(),
            json!({ "annotations": { (keys::MANAGED_BY): null } }),
        );
    }
    Write {
        target: service_key(&Key::of(metadata)),
        edit: Edit::MergePatch(patch),
        subresource: Subresource::None,
        precondition: Some(metadata.resource_version.clone()),
        reason: "no Rollout names this Service any more".to_owned(),
    }
}

fn service_key(key: &Key) -> ObjectKey {
    ObjectKey::namespaced("v1", "Service", &key.namespace, &key.name)
}

impl Cluster {
    /// Gives a Service back if no Rollout claims it. None when there is nothing to do, or not before it is known which
    /// Rollouts there are.
    ///
    /// With instance ids the Rollout that manages the Service may be another controller's, so it is asked for by name. As
    /// long as the API server does not say whether it is there, the Service stays as it is, and this fails.
    pub async fn release_service(&self, key: &Key) -> Option<Done> {
        let shared = &self.shared;
        if !shared.knows_rollouts() {
            return None;
        }
        let service = shared.services.get(key)?;
        let rollouts = shared.rollouts.in_namespace(&key.namespace);
        let rollouts = rollouts
            .into_iter()
            .map(|rollout| (Key::of(&rollout.metadata), rollout))
            .collect();
        let write = orphaned_services([&*service], &rollouts).pop()?;
        if let Some(manager) = service.metadata.annotations.get(keys::MANAGED_BY) {
            let manager = Key::new(&key.namespace, manager);
            match self.claims(&manager, &key.name).await {
                Ok(true) => return None,
                Ok(false) => {}
                Err(trouble) => return Some(Done::Failed(unanswered(&manager, trouble))),
            }
        }
        let subject = Subject {
            key: write.target.clone(),
            uid: service.metadata.uid.clone(),
        };
        Some(self.write(&subject, &write).await)
    }

    /// Whether the Rollout names the Service, asked of the API server. One that cannot be decoded counts as naming it.
    async fn claims(&self, rollout: &Key, service: &str) -> Result<bool, Trouble> {
        let served = crate::kinds::of::<api::Rollout>();
        // What cannot be the name of an object is none.
        let Ok(path) = served.path(Some(&rollout.namespace), Some(&rollout.name)) else {
            return Ok(false);
        };
        let found = self.get_object(path, &rollout.name).await?;
        Ok(found.is_some_and(|body| names(body, service)))
    }
}

fn unanswered(rollout: &Key, trouble: Trouble) -> WriteError {
    WriteError::new(
        WriteErrorKind::Unavailable,
        format!("Rollout {rollout}: {}", trouble.into_message()),
    )
}

fn names(rollout: Value, service: &str) -> bool {
    match api::decode::<api::Rollout>(rollout) {
        Ok(decoded) => references::services(&decoded.object.spec).contains(service),
        Err(_) => true,
    }
}

impl Shared {
    /// Whether it is known which Rollouts there are. Their list counts as read, too, while the API server does not serve the
    /// kind, or not yet; every Service would look abandoned then.
    pub(crate) fn knows_rollouts(&self) -> bool {
        self.is_synced() && self.rollouts.was_listed()
    }

    /// What was abandoned while nobody was watching.
    pub(crate) fn announce_abandoned_services(&self) {
        if !self.knows_rollouts() {
            return;
        }
        for service in self.services.all() {
            let key = Key::of(&service.metadata);
            if is_ours(&service)
                && self
                    .references()
                    .holders(&Reference::Service(key.clone()))
                    .is_empty()
            {
                self.outbox.put(Changed::Service(key));
            }
        }
    }
}

//! Reads again what a write has met and the watch has not delivered: the subject after a conflict, and whatever has the
//! name of a new object.

use std::sync::Arc;

use sluice_api as api;
use sluice_engine::object::{ObjectKey, Subject};

use crate::Key;
use crate::cluster::Cluster;

const ARGO: &str = "argoproj.io/v1alpha1";
const RUN: &str = "AnalysisRun";

impl Cluster {
    /// The Rollout as the API server has it now. None when it is gone or cannot be read.
    pub async fn refresh_rollout(&self, key: &Key) -> Option<Arc<api::Rollout>> {
        self.refresh("Rollout", key).await?;
        self.rollout(key)
    }

    /// The AnalysisRun as the API server has it now. None when it is gone or cannot be read.
    pub async fn refresh_run(&self, key: &Key) -> Option<Arc<api::AnalysisRun>> {
        self.refresh(RUN, key).await?;
        self.observe_run(key)
    }

    /// Finds out what has the name of a run that was to be created (ENG-060). It may be ours, from a creation whose answer
    /// was lost; it may belong to somebody else, or to a share of another controller, which no watch of ours would show.
    pub(crate) async fn meet(&self, subject: &Subject, target: &ObjectKey) {
        let key = Key::from(target);
        if target.kind != RUN || self.refresh(RUN, &key).await.is_none() {
            return;
        }
        if self.observe_run(&key).is_none() {
            self.shared.looks.remember_in_the_way(subject, &target.name);
        }
    }

    async fn refresh(&self, kind: &str, key: &Key) -> Option<()> {
        let target = ObjectKey::namespaced(ARGO, kind, &key.namespace, &key.name);
        let served = self.shared.discovery.find(ARGO, kind).await.ok()?;
        let path = served.path(Some(&key.namespace), Some(&key.name)).ok()?;
        let body = self.get(path).await.ok()?;
        self.shared.absorb(&target, body);
        Some(())
    }
}

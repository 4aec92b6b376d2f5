//! Reads a subject again after a status write met a conflict: the watch may not have delivered yet what was in the way.

use std::sync::Arc;

use sluice_api as api;
use sluice_engine::object::ObjectKey;

use crate::Key;
use crate::cluster::Cluster;

const ARGO: &str = "argoproj.io/v1alpha1";

impl Cluster {
    /// The Rollout as the API server has it now. None when it is gone or cannot be read.
    pub async fn refresh_rollout(&self, key: &Key) -> Option<Arc<api::Rollout>> {
        self.refresh("Rollout", key).await?;
        self.rollout(key)
    }

    /// The AnalysisRun as the API server has it now. None when it is gone or cannot be read.
    pub async fn refresh_run(&self, key: &Key) -> Option<Arc<api::AnalysisRun>> {
        self.refresh("AnalysisRun", key).await?;
        self.observe_run(key)
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

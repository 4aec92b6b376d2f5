//! The plugin host's reads, answered by the cluster. The two do not know each other.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sluice_cluster::Cluster;
use sluice_engine::read::{Read, ReadOutcome};
use sluice_plugin_host::{NoSecret, Reads};

/// Reads from the cluster's views, and from the API server where no view serves.
#[derive(Clone)]
pub struct ClusterReads(Cluster);

impl ClusterReads {
    /// Reads from this cluster.
    pub fn new(cluster: Cluster) -> Self {
        Self(cluster)
    }
}

impl Reads for ClusterReads {
    fn read(&self, read: Read) -> BoxFuture<'static, ReadOutcome> {
        let cluster = self.0.clone();
        async move { cluster.read(read).await }.boxed()
    }

    fn peek(&self, read: &Read) -> Option<ReadOutcome> {
        self.0.peek(read)
    }

    fn secret(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> BoxFuture<'static, Result<String, NoSecret>> {
        let cluster = self.0.clone();
        let (namespace, name, key) = (namespace.to_owned(), name.to_owned(), key.to_owned());
        async move {
            let found = cluster.secret(&namespace, &name, &key).await;
            match found.map_err(NoSecret::Unavailable)? {
                Some(bytes) => String::from_utf8(bytes)
                    .map_err(|_| format!("key '{key}' of secret '{name}' is not text")),
                None => Err(format!("key '{key}' does not exist in secret '{name}'")),
            }
            .map_err(NoSecret::Wrong)
        }
        .boxed()
    }
}

//! Which API server, and as whom: the flags that upstream shares with kubectl (CTL-001).

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Kubeconfig to use. Default: $KUBECONFIG, ~/.kube/config, or the pod's service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Cluster of the kubeconfig, in place of the context's.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// User of the kubeconfig, in place of the context's.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Address of the API server.
    #[arg(long, short = 's', value_name = "URL")]
    server: Option<http::Uri>,
    /// Bearer token.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Act as this user.
    #[arg(long = "as", value_name = "USER")]
    impersonate: Option<String>,
    /// Act as this group; may be given several times.
    #[arg(long = "as-group", value_name = "GROUP")]
    impersonate_groups: Vec<String>,
}

impl Connection {
    /// The client's configuration.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) async fn config(&self) -> Result<kube::Config> {
        let mut config = self.found().await?;
        if let Some(server) = &self.server {
            config.cluster_url = server.clone();
        }
        if let Some(token) = &self.token {
            config.auth_info.token = Some(token.clone().into());
        }
        if let Some(user) = &self.impersonate {
            config.auth_info.impersonate = Some(user.clone());
        }
        if !self.impersonate_groups.is_empty() {
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        Ok(config)
    }

    async fn found(&self) -> Result<kube::Config> {
        let options = kube::config::KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let chosen = [&self.context, &self.cluster, &self.user]
            .into_iter()
            .any(Option::is_some);
        match &self.kubeconfig {
            Some(file) => {
                let what = || format!("failed to read kubeconfig {}", file.display());
                // The system's reason once; the client would say it twice.
                std::fs::File::open(file).with_context(what)?;
                let kubeconfig =
                    kube::config::Kubeconfig::read_from(file).with_context(what)?;
                kube::Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .with_context(|| format!("failed to use kubeconfig {}", file.display()))
            }
            None if chosen => kube::Config::from_kubeconfig(&options)
                .await
                .context("failed to use the kubeconfig"),
            None => match (kube::Config::infer().await, &self.server) {
                (Ok(config), _) => Ok(config),
                (Err(_), Some(server)) => Ok(kube::Config::new(server.clone())),
                (Err(error), None) => Err(error).context(
                    "found neither a kubeconfig nor a pod's service account; name one with --kubeconfig",
                ),
            },
        }
    }
}

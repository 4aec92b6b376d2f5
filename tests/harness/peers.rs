//! Upstream's client, as a user runs it.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::control_plane::{ControlPlane, Output, Peers, User, build_peers};

/// Upstream's programs, built on first use.
pub async fn peers() -> Result<Peers> {
    tokio::task::spawn_blocking(|| build_peers(|step| eprintln!("{step}"))).await?
}

/// `kubectl argo rollouts` of the administrator in one namespace.
#[derive(Debug)]
pub struct ArgoClient<'a> {
    plane: &'a ControlPlane,
    namespace: String,
    program: PathBuf,
}

impl<'a> ArgoClient<'a> {
    /// For a namespace.
    pub fn new(plane: &'a ControlPlane, namespace: &str, peers: &Peers) -> Self {
        Self {
            plane,
            namespace: namespace.to_owned(),
            program: peers.kubectl_argo_rollouts.clone(),
        }
    }

    /// Runs it. That it complains is part of the output.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let arguments = [arguments, &["--namespace", &self.namespace]].concat();
        self.plane
            .run_as(User::Admin, &self.program, &arguments, None)
            .await
    }

    /// Runs it, and returns what it prints if it ends well.
    pub async fn says(&self, arguments: &[&str]) -> Result<String> {
        self.run(arguments)
            .await?
            .success()
            .with_context(|| format!("kubectl argo rollouts {}", arguments.join(" ")))
    }

    /// Starts it, for a command that goes on until something happens. Killed when it is dropped.
    pub fn start(&self, arguments: &[&str]) -> Result<tokio::process::Child> {
        Command::new(&self.program)
            .env("KUBECONFIG", self.plane.kubeconfig(User::Admin))
            .args(arguments)
            .args(["--namespace", &self.namespace])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start kubectl-argo-rollouts")
    }
}

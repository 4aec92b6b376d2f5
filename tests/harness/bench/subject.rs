//! Who is measured.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use sluice_tests::control_plane::{ControlPlane, Peers, User};
use tokio::process::{Child, Command};

/// A controller that can be started on a control plane.
pub struct Subject {
    pub name: &'static str,
    pub user: User,
    binary: PathBuf,
    arguments: Vec<String>,
}

impl Subject {
    /// Ours, as it is released.
    pub fn sluice() -> Result<Self> {
        let plugins = sluice_tests::guest_plugins()?;
        Ok(Self {
            name: "sluice",
            user: User::Controller,
            binary: sluice_tests::sluice_binary()?,
            arguments: [
                "controller",
                "--metricsPort",
                "0",
                "--healthzPort",
                "0",
                "--loglevel",
                "warn",
                "--plugin-dir",
            ]
            .into_iter()
            .map(str::to_owned)
            .chain([plugins.to_string_lossy().into_owned()])
            .collect(),
        })
    }

    /// Upstream's.
    pub fn upstream(peers: &Peers) -> Result<Self> {
        Ok(Self {
            name: "upstream",
            user: User::Peer,
            binary: peers.rollouts_controller.clone(),
            arguments: [
                "--loglevel",
                "warn",
                "--metricsPort",
                "18090",
                "--healthzPort",
                "18080",
            ]
            .into_iter()
            .map(str::to_owned)
            .collect(),
        })
    }

    /// Starts it.
    pub fn start(&self, plane: &ControlPlane) -> Result<Child> {
        let log = plane.folder().join(format!("{}.log", self.name));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?;
        Command::new(&self.binary)
            .args(&self.arguments)
            .arg("--kubeconfig")
            .arg(plane.kubeconfig(self.user))
            .env("POD_NAMESPACE", "argo-rollouts")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", self.binary.display()))
    }
}

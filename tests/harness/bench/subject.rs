//! Who is measured.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_tests::control_plane::{ControlPlane, Peers, User};
use tokio::process::{Child, Command};

use crate::work::LEASE_NAMESPACE;

/// A controller that can be started on a control plane.
pub struct Subject {
    pub name: &'static str,
    pub user: User,
    binary: PathBuf,
    arguments: Vec<String>,
    /// Keeps compiled plugins where its container would find them again.
    keeps_plugins: bool,
}

impl Subject {
    /// Ours, as `deploy/` starts it.
    pub fn sluice() -> Result<Self> {
        let plugins = sluice_tests::guest_plugins()?;
        let mut arguments = words("controller --metricsPort 0 --healthzPort 0 --loglevel warn");
        arguments.extend([
            "--plugin-dir".to_owned(),
            plugins.to_string_lossy().into_owned(),
        ]);
        Ok(Self {
            name: "Sluice",
            user: User::Controller,
            binary: sluice_tests::sluice_binary()?,
            arguments,
            keeps_plugins: true,
        })
    }

    /// Upstream's. Its client allows itself 40 requests each second, which is all that a burst would measure; here it
    /// may have as many as it can use.
    pub fn upstream(peers: &Peers) -> Self {
        Self {
            name: "Argo Rollouts",
            user: User::Peer,
            binary: peers.rollouts_controller.clone(),
            arguments: words(
                "--loglevel warn --metricsPort 18090 --healthzPort 18080 --qps 1000 --burst 1000",
            ),
            keeps_plugins: false,
        }
    }

    /// Its name as that of a file.
    pub fn slug(&self) -> String {
        self.name.replace(' ', "-").to_lowercase()
    }

    /// Starts it.
    pub fn start(&self, plane: &ControlPlane) -> Result<Running> {
        let folder = plane.logs().unwrap_or_else(|| plane.folder());
        let log = folder.join(format!("{}.log", self.slug()));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?;
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        if self.keeps_plugins {
            command
                .arg("--plugin-cache-dir")
                .arg(plane.folder().join("compiled-plugins"));
        }
        let child = command
            .arg("--kubeconfig")
            .arg(plane.kubeconfig(self.user))
            .env("POD_NAMESPACE", LEASE_NAMESPACE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", self.binary.display()))?;
        let pid = child.id().context("it has ended")?;
        Ok(Running { child, pid })
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A controller at work.
pub struct Running {
    child: Child,
    pub pid: u32,
}

impl Running {
    /// Asks it to end, as a kubelet does, and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(self.pid)?).context("no such process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

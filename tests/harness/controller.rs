//! The real controller binary, at work on a real control plane for one test.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::process::{Child, Command};

use crate::control_plane::{ControlPlane, Peers, User, workspace};
use crate::guests::{cargo, guest_plugins};

/// A running `sluice controller`, or upstream's, killed when it is dropped.
#[derive(Debug)]
pub struct RunningController {
    child: Child,
    log: PathBuf,
}

/// The binary of this workspace, built on first use.
pub fn sluice_binary() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn build() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("SLUICE_BINARY") {
        return Ok(binary.into());
    }
    // Not `--package`: with the features that all crates together ask for, everything below it is built already.
    cargo(&["build", "--quiet", "--workspace", "--bin", "sluice"])?;
    Ok(workspace().join("target/debug/sluice"))
}

impl RunningController {
    /// Starts the controller for one namespace, which is also where its lease is, with the rights that `deploy/` gives it. `arguments` come last.
    pub async fn start(plane: &ControlPlane, namespace: &str, arguments: &[&str]) -> Result<Self> {
        plane.apply_shipped().await?;
        let mut command = Command::new(sluice_binary()?);
        command
            .arg("controller")
            .arg("--kubeconfig")
            .arg(plane.kubeconfig(User::Controller))
            .arg("--plugin-dir")
            .arg(guest_plugins()?)
            .args(["--namespaced", "--namespace", namespace])
            .args([
                "--metricsPort",
                "0",
                "--healthzPort",
                "0",
                "--loglevel",
                "debug",
            ])
            .args(arguments)
            .env("POD_NAMESPACE", namespace);
        Self::spawn(plane, command, &format!("sluice-{namespace}"))
    }

    /// Starts upstream's controller for one namespace, which is also where its lease is. `arguments` come last.
    pub async fn start_upstream(
        plane: &ControlPlane,
        namespace: &str,
        peers: &Peers,
        arguments: &[&str],
    ) -> Result<Self> {
        plane.apply_shipped().await?;
        let mut command = Command::new(&peers.rollouts_controller);
        command
            .arg("--kubeconfig")
            .arg(plane.kubeconfig(User::Peer))
            .args(["--namespaced", "--namespace", namespace])
            .args(["--metricsPort", "0", "--healthzPort", "0"])
            .args(arguments)
            .env("POD_NAMESPACE", namespace);
        Self::spawn(plane, command, &format!("upstream-{namespace}"))
    }

    fn spawn(plane: &ControlPlane, mut command: Command, name: &str) -> Result<Self> {
        let log = plane
            .logs()
            .map_or_else(std::env::temp_dir, std::path::Path::to_owned);
        let log = log.join(format!("{name}.log"));
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        Ok(Self { child, log })
    }

    /// The process.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where it logs.
    pub fn log(&self) -> &std::path::Path {
        &self.log
    }

    /// Asks it to end, as a kubelet does, and waits until it has. Returns whether it ended well.
    pub async fn stop(mut self) -> Result<bool> {
        let pid = self
            .child
            .id()
            .context("the controller has ended already")?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("no such process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = tokio::time::timeout(Duration::from_secs(20), self.child.wait())
            .await
            .context("the controller did not end in 20 seconds")??;
        Ok(status.success())
    }
}

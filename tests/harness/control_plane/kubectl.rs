//! Runs command lines that talk to the control plane: `kubectl` and its plugins.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::credentials::User;
use super::plane::ControlPlane;

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// Its complaints.
    pub stderr: String,
}

impl Output {
    /// What the command printed, if it ended well.
    ///
    /// # Errors
    /// If it did not, with its complaints.
    pub fn success(self) -> Result<String> {
        ensure!(
            self.status.success(),
            "the command ended with {}: {}{}",
            self.status,
            self.stderr,
            self.stdout
        );
        Ok(self.stdout)
    }
}

impl ControlPlane {
    /// Runs `kubectl` as the administrator, with `stdin` as its input.
    ///
    /// # Errors
    /// If it cannot be run. That it complains is part of the output.
    pub async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<Output> {
        self.kubectl_as(User::Admin, arguments, stdin).await
    }

    /// Runs `kubectl` as a user.
    ///
    /// # Errors
    /// As [`ControlPlane::kubectl`].
    pub async fn kubectl_as(
        &self,
        user: User,
        arguments: &[&str],
        stdin: Option<&str>,
    ) -> Result<Output> {
        self.run_as(user, Path::new("kubectl"), arguments, stdin)
            .await
    }

    /// Runs any program that finds its cluster by `KUBECONFIG`, such as a plugin of `kubectl`, as a user.
    ///
    /// # Errors
    /// As [`ControlPlane::kubectl`].
    pub async fn run_as(
        &self,
        user: User,
        program: &Path,
        arguments: &[&str],
        stdin: Option<&str>,
    ) -> Result<Output> {
        let what = program.display();
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig(user));
        // What it caches belongs to this cluster, not to the home folder.
        command.env("KUBECACHEDIR", self.folder().join("kubectl"));
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = command
            .spawn()
            .with_context(|| format!("failed to run {what}; this test needs it"))?;
        if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // It may end without reading all; what it printed then tells more than an error here.
            let _closed = pipe.write_all(text.as_bytes()).await;
        }
        let output = child
            .wait_with_output()
            .await
            .with_context(|| format!("failed to wait for {what}"))?;
        Ok(Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

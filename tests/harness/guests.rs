//! The plugins of this repository as components.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::control_plane::workspace;

/// The directory with the built plugins; builds them with `cargo xtask build-plugins` where they are missing or older
/// than their sources. `SLUICE_PLUGIN_DIR` names one that is taken as it is.
pub fn guest_plugins() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn build() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("SLUICE_PLUGIN_DIR") {
        return Ok(directory.into());
    }
    let directory = workspace().join("target/guest-plugins");
    let built = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(["xtask", "build-plugins"])
        .output()
        .context("failed to start cargo")?;
    if !built.status.success() {
        bail!(
            "failed to build the plugins:\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
    }
    Ok(directory)
}

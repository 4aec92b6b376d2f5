//! Where the control plane's files are: all below the workspace's target folder.
//!
//! Nothing here creates a folder; whoever writes does.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The folder for everything that can be made again: `target/control-plane`.
pub fn target() -> PathBuf {
    // Cargo does not tell a test where its target folder is, but a user who moves it says so here.
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace().join("target"),
        |folder| workspace().join(folder),
    );
    target.join("control-plane")
}

/// Where the logs of a control plane stay that was part of a failure.
pub fn kept_logs(name: &str) -> PathBuf {
    target().join("logs").join(name)
}

/// The parent of the folders of running control planes.
pub fn runs() -> PathBuf {
    target().join("run")
}

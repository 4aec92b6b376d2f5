//! House rules that can be checked: the arrows between crates, the invariants of `ARCHITECTURE.md` that show in the text of
//! the code, and what is where. Each failure names the place and what to do.
//!
//! What needs a compiler or the network is in `cargo xtask check`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use sluice_tests::control_plane::workspace;

mod arrows;
mod files;
mod invariants;
mod layout;
mod source;
mod wording;

/// Fails with all problems at once.
fn none_of(problems: &[String], rule: &str) -> Result<()> {
    ensure!(problems.is_empty(), "{rule}\n  {}\n", problems.join("\n  "));
    Ok(())
}

/// What cargo prints, at the root of the repository.
fn cargo(arguments: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("failed to start cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "cargo {arguments:?} failed:\n{said}"
    );
    String::from_utf8(output.stdout).context("cargo printed what is not UTF-8")
}

/// The folders in a folder of the repository, without hidden ones, as paths from the root.
fn folders_in(folder: &str) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in workspace()
        .join(folder)
        .read_dir()
        .with_context(|| format!("failed to list {folder}"))?
    {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() && !name.to_string_lossy().starts_with('.') {
            found.insert(Path::new(folder).join(name));
        }
    }
    Ok(found)
}

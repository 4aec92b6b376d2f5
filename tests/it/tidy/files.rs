//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sluice_tests::control_plane::workspace;

/// Every file below a folder, as paths from the root, in order. What is built, and what only tools look at, is left out.
pub fn below(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(folder.as_ref(), &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = workspace().join(folder).read_dir();
    for entry in entries.with_context(|| format!("failed to list {}", folder.display()))? {
        let entry = entry?;
        // In a second working tree `.git` is a file.
        if matches!(entry.file_name().to_str(), Some("target" | ".git")) {
            continue;
        }
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_file() {
            files.push(path);
        } else if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        }
    }
    Ok(())
}

/// The text of a file; none if it is no text.
pub fn text(file: &Path) -> Result<Option<String>> {
    let bytes = fs::read(workspace().join(file))
        .with_context(|| format!("failed to read {}", file.display()))?;
    Ok(String::from_utf8(bytes).ok())
}

/// The Rust files below a folder that are not tests.
pub fn code_below(folder: &str) -> Result<Vec<PathBuf>> {
    let mut files = below(Path::new(folder))?;
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "rs") && !is_test(file)
    });
    Ok(files)
}

/// Tests are in files of their own: `tests.rs`, and what is below a folder `tests`.
fn is_test(file: &Path) -> bool {
    file.components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

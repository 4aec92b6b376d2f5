//! A version of the plugin contract that a release carries is never edited (I10): plugins out there were built for it.
//!
//! Releases are the repository's tags. Where a tag has `wit/` in the version that it has now, the two must be the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::bail;

use crate::cargo;

/// The folder of the contract.
const FOLDER: &str = "wit";
/// What its files end in; the README beside them may get better.
const EXTENSION: &str = ".wit";

/// The files of a version by path, with their texts.
type Files = BTreeMap<String, String>;

/// Fails with the files that are not what a release has.
///
/// # Errors
/// When there are such files, or git does not say.
pub(crate) fn check() -> anyhow::Result<()> {
    let root = cargo::root();
    if !root.join(".git").exists() {
        println!("no history here, and so no releases to compare with");
        return Ok(());
    }
    let edited = edited(&root)?;
    if !edited.is_empty() {
        bail!(
            "a released version of the contract is not edited; begin the next one instead:\n{}",
            edited.join("\n")
        );
    }
    Ok(())
}

/// What differs from a release of the same version, in words.
fn edited(root: &Path) -> anyhow::Result<Vec<String>> {
    let now = present(root)?;
    let mut problems = Vec::new();
    for tag in git(root, &["tag", "--list"])?.lines() {
        let then = released(root, tag)?;
        let files = differences(&now, &then);
        problems.extend(files.into_iter().map(|file| {
            let version = version(&then).unwrap_or_default();
            format!("{file} is not what {tag} has, which released {version}")
        }));
    }
    Ok(problems)
}

/// The files that differ between two texts of the same version; none between two versions.
fn differences(now: &Files, then: &Files) -> BTreeSet<String> {
    if version(now).is_none() || version(now) != version(then) {
        return BTreeSet::new();
    }
    let names = now.keys().chain(then.keys());
    names
        .filter(|name| now.get(*name) != then.get(*name))
        .cloned()
        .collect()
}

/// The version that the files say they are: `package sluice:plugin@VERSION;`.
fn version(files: &Files) -> Option<&str> {
    let mut lines = files.values().flat_map(|text| text.lines());
    lines.find_map(|line| line.strip_prefix("package ")?.strip_suffix(';'))
}

fn present(root: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(root.join(FOLDER))? {
        let entry = entry?;
        let name = format!("{FOLDER}/{}", entry.file_name().to_string_lossy());
        if name.ends_with(EXTENSION) {
            files.insert(name, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

fn released(root: &Path, tag: &str) -> anyhow::Result<Files> {
    let names = git(root, &["ls-tree", "-r", "--name-only", tag, "--", FOLDER])?;
    let names = names.lines().filter(|name| name.ends_with(EXTENSION));
    names
        .map(|name| {
            let text = git(root, &["show", &format!("{tag}:{name}")])?;
            Ok((name.to_owned(), text))
        })
        .collect()
}

fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command.current_dir(root).stdin(Stdio::null());
    cargo::output(command.args(arguments))
}

#[cfg(test)]
mod tests;

//! What is where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sluice_tests::control_plane::workspace;

use super::{files, folders_in, none_of};

/// All that the root shows. Dot-files belong to tools, `target` is what is built.
const ROOT: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "deploy",
    "examples",
    "host",
    "plugins",
    "rust-toolchain.toml",
    "tests",
    "wit",
];

#[test]
fn the_root_holds_what_a_newcomer_needs_and_no_more() -> Result<()> {
    let mut problems = Vec::new();
    let mut missing: BTreeSet<&str> = ROOT.iter().copied().collect();
    for entry in workspace().read_dir()? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !missing.remove(name.as_str()) && !name.starts_with('.') && name != "target" {
            problems.push(format!("{name}: belongs elsewhere"));
        }
    }
    problems.extend(
        missing
            .into_iter()
            .map(|name| format!("{name}: is missing")),
    );
    none_of(&problems, "the root of the repository:")
}

/// Folders of the root whose folders are opened on their own.
const OPENED: &[&str] = &["host", "plugins", "examples", "tests"];

/// Modules of the package of tests, which one reads from its own README.
const MODULES: &[&str] = &["tests/harness", "tests/it"];

/// Longer ones are not read. The contract of plugins is what a stranger writes one from, alone.
const LINES: usize = 40;
const LONGER: &[(&str, usize)] = &[("wit", 120), (".", 150)];

#[test]
fn every_folder_that_a_newcomer_opens_has_a_short_readme() -> Result<()> {
    let mut folders: BTreeSet<PathBuf> = [PathBuf::from(".")].into();
    folders.extend(
        ROOT.iter()
            .map(PathBuf::from)
            .filter(|path| workspace().join(path).is_dir()),
    );
    for folder in OPENED {
        folders.extend(folders_in(folder)?);
    }
    folders.retain(|folder| !MODULES.iter().any(|module| folder == Path::new(module)));

    let mut problems = Vec::new();
    for folder in folders {
        let Ok(Some(text)) = files::text(&folder.join("README.md")) else {
            problems.push(format!("{}: has none", folder.display()));
            continue;
        };
        let longer = LONGER
            .iter()
            .find(|(exempt, _)| folder == Path::new(exempt));
        let allowed = longer.map_or(LINES, |(_, lines)| *lines);
        match text.lines().count() {
            lines if lines > allowed => problems.push(format!(
                "{}: has {lines} lines, more than {allowed}",
                folder.display()
            )),
            lines if lines < 3 => problems.push(format!("{}: says nothing", folder.display())),
            _ if !text.starts_with("# ") => {
                problems.push(format!("{}: has no heading", folder.display()))
            }
            _ => {}
        }
    }
    none_of(&problems, "README.md of a folder:")
}

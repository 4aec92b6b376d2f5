//! Cargo as the tasks use it: from the root of the repository, and always with the whole workspace in view, so that
//! features are the same whatever is built and nothing heavy is compiled twice.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The root of the repository: tasks work from any folder in it.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_path_buf()
}

/// Another program of the toolchain that this cargo belongs to.
pub(crate) fn beside_cargo(program: &str) -> PathBuf {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name(&file));
    // One that does not live beside cargo is found like any other.
    path.filter(|path| path.is_file())
        .unwrap_or_else(|| file.into())
}

/// The cargo that runs this task, at the root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_this_package) {
            command.env_remove(name);
        }
    }
    command
}

/// What `cargo run` tells a program about its own package. Build scripts that look at these variables (that of ring does)
/// would run anew each time that a build is started from here and not by hand.
fn is_of_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_")
        || variable.starts_with("CARGO_MANIFEST_")
        || matches!(
            variable,
            "CARGO_PRIMARY_PACKAGE" | "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "OUT_DIR"
        )
}

/// Runs a command whose output is read here; what it says on standard error is part of the error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("failed to start {}", line(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed:\n{}", line(command), said.trim_end());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed what is not UTF-8", line(command)))
}

/// A command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// The workspace, as far as tasks need it.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    /// Where everything is built, `target` unless the user has moved it.
    pub(crate) target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let text = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        serde_json::from_str(&text).context("failed to decode what `cargo metadata` printed")
    }

    /// The crates that become components: those below `plugins/` that link to a module.
    pub(crate) fn plugins(&self) -> Vec<&str> {
        let folder = root().join("plugins");
        let plugins = self.packages.iter().filter(|package| {
            let mut kinds = package.targets.iter().flat_map(|target| &target.kind);
            package.manifest_path.starts_with(&folder) && kinds.any(|kind| kind == "cdylib")
        });
        let mut names: Vec<_> = plugins.map(|package| package.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// A program of this workspace that was built by the `dev` profile.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.program_in("debug", name)
    }

    /// The same, built by the `release` profile.
    pub(crate) fn released(&self, name: &str) -> PathBuf {
        self.program_in("release", name)
    }

    fn program_in(&self, profile: &str, name: &str) -> PathBuf {
        let file = format!("{name}{}", env::consts::EXE_SUFFIX);
        self.target_directory.join(profile).join(file)
    }
}

/// How many crates a build has, for its progress. Downloads what is missing.
pub(crate) fn count_crates(arguments: &[&str]) -> anyhow::Result<usize> {
    let mut command = cargo();
    command.args(["tree", "--edges", "normal,build", "--prefix", "none"]);
    command.args(["--format", "{p}"]).args(arguments);
    let text = output(&mut command)?;
    let crates: std::collections::BTreeSet<_> = text
        .lines()
        .map(|line| {
            line.trim_end_matches(" (*)")
                .trim_end_matches(" (proc-macro)")
        })
        .filter(|line| !line.is_empty())
        .collect();
    Ok(crates.len())
}

//! `fuzz`: builds the program of the fault runs and runs it.
//!
//! Our own crates are optimised for it, without a profile of its own: everything else is there already.

use std::process::{ExitCode, Stdio};

use anyhow::Context as _;

use crate::{
    cargo::{self, Workspace},
    compile, demo, plugins,
    progress::Stage,
};

/// The crates in which a history spends its time.
const OPTIMISED: &[&str] = &[
    "sluice-api",
    "sluice-engine",
    "sluice-plugin-host",
    "sluice-cluster",
    "sluice-simulation",
    "sluice-controller",
    "sluice-tests",
];

/// With deliberate bugs, which no other build knows.
const PLANTED: &str = "--planted";

/// Builds, then runs; the exit code is that of the program.
///
/// # Errors
/// When something does not build, or the program cannot be started.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::read()?;
    let mut stage = Stage::new("plugins");
    let built = plugins::build(&workspace, None, &mut stage)?;
    stage.done(&plugins::summary(&built));

    let mut build: Vec<String> = ["--workspace", "--bin", "fuzz"].map(str::to_owned).into();
    for name in OPTIMISED {
        build.push("--config".to_owned());
        build.push(format!("profile.dev.package.{name}.opt-level=2"));
    }
    if arguments
        .iter()
        .any(|argument| argument.starts_with(PLANTED))
    {
        build.extend(["--features", "sluice-tests/planted"].map(str::to_owned));
    }
    let mut stage = Stage::new("fuzz");
    let total = cargo::count_crates(&["--package", "sluice-tests"])?;
    let build: Vec<&str> = build.iter().map(String::as_str).collect();
    compile::build(&mut stage, &build, total)?;
    stage.done("built");

    let status = std::process::Command::new(workspace.program("fuzz"))
        .args(arguments)
        .env("SLUICE_PLUGIN_DIR", plugins::folder(&workspace))
        .stdin(Stdio::null())
        .status()
        .context("failed to start fuzz")?;
    Ok(demo::exit_code(status.code()))
}

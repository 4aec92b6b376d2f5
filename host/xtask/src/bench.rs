//! `bench`: builds what is measured and what it is measured with, then measures.
//!
//! Everything is built as it is released; the measuring itself is the program `bench` of `tests/`.

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};

use crate::{
    cargo::{self, Workspace},
    compile, demo, plugins,
    progress::Stage,
};

/// What is measured, what measures, and what starts the control plane for both.
const PROGRAMS: [&str; 3] = ["sluice", "bench", "control-plane"];

/// Builds, then measures; `arguments` are for `bench`, and so is the exit code its.
///
/// # Errors
/// When something does not build, or a program cannot be started.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::read()?;

    let mut stage = Stage::new("plugins");
    let built = plugins::build(&workspace, None, &mut stage)?;
    stage.done(&plugins::summary(&built));

    let mut stage = Stage::new("sluice and bench, optimised");
    let total = cargo::count_crates(&["--package", "sluice-tests", "--package", "sluice"])?;
    let programs = PROGRAMS.iter().flat_map(|name| ["--bin", name]);
    let mut build = vec!["--workspace", "--release"];
    build.extend(programs);
    compile::build(&mut stage, &build, total)?;
    stage.done("built");

    let with_peer = !arguments.iter().any(|argument| argument == "--no-peer");
    let mut control_plane = Command::new(workspace.released("control-plane"));
    control_plane
        .arg("build")
        .args(with_peer.then_some("--peers"));
    control_plane.stdin(Stdio::null()).stdout(Stdio::null());
    if !compile::run(&mut control_plane)? {
        bail!("the control plane does not build");
    }

    let status = measuring(&workspace, &plugins::folder(&workspace))
        .args(arguments)
        .status()
        .context("failed to start bench")?;
    Ok(demo::exit_code(status.code()))
}

fn measuring(workspace: &Workspace, plugin_dir: &Path) -> Command {
    let mut bench = Command::new(workspace.released("bench"));
    bench
        .env("SLUICE_BINARY", workspace.released("sluice"))
        .env("SLUICE_PLUGIN_DIR", plugin_dir)
        .stdin(Stdio::null());
    bench
}

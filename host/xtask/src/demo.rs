//! `demo`: builds what it needs and plays the example, so that nothing but Rust has to be there.
//!
//! The story itself is `sluice demo`.

use std::{
    convert::Infallible,
    env,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::Context as _;

use crate::{
    cargo::{self, Workspace},
    compile, plugins,
    progress::Stage,
};

/// The example to play, if the user names no other.
const SCENARIO: &str = "examples/canary";

/// Builds, then becomes `sluice demo`.
///
/// # Errors
/// When something does not build, or the program cannot be started.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<Infallible> {
    let workspace = Workspace::read()?;

    let mut stage = Stage::new("plugins");
    let built = plugins::build(&workspace, None, &mut stage)?;
    stage.done(&plugins::summary(&built));
    let sluice = build_program(&workspace, "sluice", "sluice")?;

    let mut demo = Command::new(sluice);
    demo.arg("demo");
    for (option, path) in [
        ("--plugin-dir", plugins::folder(&workspace)),
        ("--scenario", cargo::root().join(SCENARIO)),
    ] {
        if !names(arguments, option) {
            demo.arg(option).arg(from_here(&path));
        }
    }
    // In place of this process: whoever presses Ctrl-C talks to the demo alone, and its exit code is ours.
    Err(demo.args(arguments).exec()).context("failed to start sluice")
}

/// Builds a program of this workspace as the tests build it, and says where it is.
pub(crate) fn build_program(
    workspace: &Workspace,
    package: &str,
    name: &str,
) -> anyhow::Result<PathBuf> {
    let mut stage = Stage::new(name);
    // Not `--package`: with the features that all crates together ask for, the tests find everything built.
    let total = cargo::count_crates(&["--package", package])?;
    compile::build(&mut stage, &["--workspace", "--bin", name], total)?;
    stage.done("built");
    Ok(workspace.program(name))
}

/// Runs the tests' own program for their control plane, with what follows on the command line.
pub(crate) fn control_plane(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let program = build_program(&Workspace::read()?, "sluice-tests", "control-plane")?;
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .context("failed to start control-plane")?;
    Ok(exit_code(status.code()))
}

/// A program that a signal ended has no code.
pub(crate) fn exit_code(code: Option<i32>) -> ExitCode {
    let code = code.and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Does the user give this option, which the program takes once?
fn names(arguments: &[String], option: &str) -> bool {
    arguments.iter().any(|argument| {
        let rest = argument.strip_prefix(option);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// A path as the user would type it, since the program prints it as a hint.
fn from_here(path: &Path) -> &Path {
    let here = env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok());
    short
        .filter(|short| !short.as_os_str().is_empty())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_recognised_in_both_forms_only() {
        for (arguments, expected) in [
            (&["--scenario", "x"][..], true),
            (&["--plain", "--scenario=x"], true),
            (&["--scenarios"], false),
            (&[], false),
        ] {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            assert_eq!(names(&arguments, "--scenario"), expected, "{arguments:?}");
        }
    }
}

//! `check`: what a change has to satisfy beside its tests.

use std::time::Instant;

use anyhow::bail;

use crate::{cargo, codegen, compile, contract, dependencies, table};

/// A check.
struct Check {
    name: &'static str,
    run: fn() -> anyhow::Result<()>,
}

/// From the quickest to the slowest.
const CHECKS: &[Check] = &[
    Check {
        name: "format",
        run: format,
    },
    Check {
        name: "generated",
        run: || codegen::run(true),
    },
    Check {
        name: "dependencies",
        run: dependencies::check,
    },
    Check {
        name: "contract",
        run: contract::check,
    },
    Check {
        name: "clippy",
        run: clippy,
    },
];

/// Runs every check, or those that are named; also after one has failed.
///
/// # Errors
/// When one has failed, or does not exist.
pub(crate) fn run(names: &[String]) -> anyhow::Result<()> {
    let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no check `{unknown}`, but {}", known.join(", "));
    }
    let wanted = CHECKS
        .iter()
        .filter(|check| names.is_empty() || names.iter().any(|name| name == check.name));

    let mut lines = vec![["check", "result", "seconds"].map(str::to_owned).to_vec()];
    let mut failed = Vec::new();
    for Check { name, run } in wanted {
        println!("\n== {name}");
        let start = Instant::now();
        let result = match run() {
            Ok(()) => "ok",
            Err(error) => {
                eprintln!("error: {error:#}");
                failed.push(*name);
                "failed"
            }
        };
        let seconds = format!("{:.1}", start.elapsed().as_secs_f64());
        lines.push([name, result, &seconds].map(str::to_owned).to_vec());
    }
    println!("\n{}", table::render(&lines));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format() -> anyhow::Result<()> {
    if !compile::run(cargo::cargo().args(["fmt", "--all", "--check", "--", "-l"]))? {
        bail!("these are not formatted: run `cargo fmt --all`");
    }
    Ok(())
}

/// As `cargo clippy --workspace --all-targets -- -D warnings`, but on top of a build. `cargo clippy` checks all dependencies
/// a second time, in a form that nothing else uses, which takes longer than everything else here; so the dependencies are
/// those that the tests are built with, and only our crates are compiled again.
fn clippy() -> anyhow::Result<()> {
    let mut build = cargo::cargo();
    build.args(["build", "--workspace", "--all-targets", "--keep-going"]);
    // This is how `cargo clippy` calls cargo, and how it separates what follows `--`.
    build.env(
        "RUSTC_WORKSPACE_WRAPPER",
        cargo::beside_cargo("clippy-driver"),
    );
    build.env(
        "CLIPPY_ARGS",
        "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__",
    );
    if !compile::run(&mut build)? {
        bail!("clippy has something to say");
    }
    Ok(())
}

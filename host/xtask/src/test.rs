//! `test`: every level of tests, each with its numbers.
//!
//! Levels differ in what they need and how long they take; the tests themselves do not know about them. Everything is
//! built once, by a command that has the features of the whole workspace in view, as all others here.

mod needs;
mod tally;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use self::tally::Tally;
use crate::{
    cargo::{self, Workspace},
    compile, plugins,
    progress::Stage,
    table,
};

/// What is left out by `--fast`, and needs Go and kubectl.
const TRUTH: &str = "truth";

/// A level of tests.
struct Level {
    name: &'static str,
    /// What is tested there, for the heading.
    about: &'static str,
    /// Runs of `cargo test`: which targets, and which of their tests.
    runs: &'static [Run],
}

struct Run {
    targets: &'static [&'static str],
    tests: &'static [&'static str],
}

/// From the quickest answer to the slowest.
const LEVELS: &[Level] = &[
    Level {
        name: "rules",
        about: "what one function decides",
        runs: &[
            Run {
                targets: &["--lib", "--bins"],
                tests: &[],
            },
            Run {
                targets: &["--doc"],
                tests: &[],
            },
        ],
    },
    Level {
        name: "stories",
        about: "many passes on a simulated cluster",
        runs: &[Run {
            targets: &["--test", "it"],
            tests: &["stories::"],
        }],
    },
    Level {
        name: "faults",
        about: "histories in which everything goes wrong that can",
        runs: &[Run {
            targets: &["--test", "it"],
            tests: &["faults::"],
        }],
    },
    Level {
        name: "boundary",
        about: "built plugins, the command line, generated files, house rules",
        runs: &[Run {
            targets: &["--test", "it"],
            tests: &[
                "--skip",
                "stories::",
                "--skip",
                "faults::",
                "--skip",
                "control_plane::",
                "--skip",
                "flows::",
                "--skip",
                "handover::",
                "--skip",
                "hashes::",
                "--skip",
                "contract::the_real_api_server",
            ],
        }],
    },
    Level {
        name: TRUTH,
        about: "on a real control plane",
        runs: &[Run {
            targets: &["--test", "it"],
            tests: &[
                "control_plane::",
                "flows::",
                "handover::",
                "hashes::",
                "contract::the_real_api_server",
            ],
        }],
    },
];

/// The levels for tests whose name the user has given: which level has them is not known before.
const FILTERED: &[Level] = &[
    Level {
        name: "beside the code",
        about: "in the crates",
        runs: &[
            Run {
                targets: &["--lib", "--bins"],
                tests: &[],
            },
            Run {
                targets: &["--doc"],
                tests: &[],
            },
        ],
    },
    Level {
        name: "across crates",
        about: "in tests/",
        runs: &[Run {
            targets: &["--test", "it"],
            tests: &[],
        }],
    },
];

/// Builds what is tested and runs the tests, or those whose names contain `filter`.
///
/// # Errors
/// When something is missing that cannot be installed, when something does not build, or when a test fails.
pub(crate) fn run(fast: bool, filter: Option<&str>) -> anyhow::Result<()> {
    // Before anything that takes minutes.
    if !fast && filter.is_none() {
        needs::check()?;
    }
    let workspace = Workspace::read()?;
    let mut lines = vec![
        ["level", "passed", "failed", "ignored", "seconds"]
            .map(str::to_owned)
            .to_vec(),
    ];

    let start = Instant::now();
    let mut stage = Stage::new("plugins");
    let built = plugins::build(&workspace, None, &mut stage)?;
    stage.done(&plugins::summary(&built));
    lines.push(build_line("build: plugins", start.elapsed()));

    let start = Instant::now();
    heading("build", "everything that is tested");
    // In terms of features the same as every `cargo test` below; programs, too, since tests start them.
    if !compile::run(cargo::cargo().args(["build", "--workspace", "--all-targets"]))? {
        bail!("the workspace does not build");
    }
    lines.push(build_line("build: host and tests", start.elapsed()));

    if !fast && filter.is_none() && needs::own_control_plane() {
        let start = Instant::now();
        heading("build", "the control plane, once for each version");
        let mut programs = Command::new(workspace.program("control-plane"));
        programs
            .args(["build", "--peers"])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if !compile::run(&mut programs)? {
            bail!("the control plane does not build; `cargo xtask test --fast` does without it");
        }
        lines.push(build_line("build: control plane", start.elapsed()));
    }

    let plugin_dir = plugins::folder(&workspace);
    let mut total = Tally::default();
    for level in if filter.is_some() { FILTERED } else { LEVELS } {
        if fast && level.name == TRUTH {
            lines.push(
                [TRUTH, "–", "–", "–", "left out"]
                    .map(str::to_owned)
                    .to_vec(),
            );
            continue;
        }
        heading(level.name, level.about);
        let start = Instant::now();
        let mut tally = Tally::default();
        for run in level.runs {
            let mut command = cargo::cargo();
            command
                .args(["test", "--workspace", "--no-fail-fast"])
                .args(run.targets);
            command.arg("--").args(run.tests).args(filter);
            // Built already: a test that called cargo for it would have crates compiled anew whose build scripts look at
            // the environment, which cargo fills for tests.
            command.env("SLUICE_BINARY", workspace.program("sluice"));
            command.env("SLUICE_PLUGIN_DIR", &plugin_dir);
            if fast {
                command.env("SLUICE_TEST_FAST", "1");
            }
            stream(&mut command, &mut tally)?;
        }
        lines.push(tally.line(level.name, start.elapsed()));
        total.add(tally);
    }

    println!("\n{}", table::render(&lines));
    for test in &total.names_of_failed {
        println!("failed: {test}");
    }
    if total.is_bad() {
        bail!("{}", total.verdict());
    }
    if total.passed == 0 {
        bail!("no test has `{}` in its name", filter.unwrap_or_default());
    }
    Ok(())
}

fn heading(name: &str, about: &str) {
    println!("\n== {name}: {about}");
}

fn build_line(name: &str, took: Duration) -> Vec<String> {
    let seconds = format!("{:.1}", took.as_secs_f64());
    [name, "", "", "", &seconds].map(str::to_owned).to_vec()
}

/// Runs tests, passing on what they print while counting them.
fn stream(command: &mut Command, tally: &mut Tally) -> anyhow::Result<()> {
    let what = cargo::line(command);
    let mut running = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {what}"))?;
    let stdout = running
        .stdout
        .take()
        .context("cargo has no standard output")?;
    // What tests print need not be UTF-8.
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.with_context(|| format!("failed to read what {what} prints"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    let status = running
        .wait()
        .with_context(|| format!("failed to wait for {what}"))?;
    tally.end(&what, status.success());
    Ok(())
}

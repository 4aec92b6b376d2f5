//! Tasks of this repository. One module does the work of each.

mod bench;
mod cargo;
mod check;
mod codegen;
mod compile;
mod component;
mod contract;
mod demo;
mod dependencies;
mod fuzz;
mod plugins;
mod progress;
mod table;
mod test;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Play the example on a simulated cluster: builds what it needs, needs nothing but Rust
    Demo {
        /// For `sluice demo`, after `--`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build and run all tests, level by level
    Test {
        /// Leave out the real control plane, and so the need for Go and kubectl
        #[arg(long)]
        fast: bool,
        /// Only tests that have this in their names
        filter: Option<String>,
    },
    /// Measure what Rollouts cost Sluice and upstream's controller, on a real control plane; needs Go
    Bench {
        /// For the program `bench`: `--rollouts N`, `--no-peer`, `--quick`, `--help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check everything else that a change has to satisfy: format, generated files, dependencies, the contract, clippy
    Check {
        /// Only these: `format`, `generated`, `dependencies`, `contract`, `clippy`
        names: Vec<String>,
    },
    /// Build every plugin as a component
    BuildPlugins {
        /// The folder for them, `target/guest-plugins` by default
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Write the files that are generated: CRDs, RBAC, what the plugins' manifests add to them, and the page about compatibility
    Codegen {
        /// Write nothing; fail and name the files that are not what they should be
        #[arg(long)]
        check: bool,
    },
    /// Play histories drawn from seeds while everything goes wrong that can: `fuzz --seeds 1000`
    Fuzz {
        /// For the program `fuzz`; `fuzz -- --help` shows them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build or start the control plane of the tests: `control-plane up`
    ControlPlane {
        /// For the program `control-plane`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let result = match Task::parse() {
        Task::Demo { arguments } => demo::run(&arguments).map(|never| match never {}),
        Task::Test { fast, filter } => test::run(fast, filter.as_deref()).map(done),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Check { names } => check::run(&names).map(done),
        Task::BuildPlugins { out } => plugins::run(out.as_deref()).map(done),
        Task::Codegen { check } => codegen::run(check).map(done),
        Task::Fuzz { arguments } => fuzz::run(&arguments),
        Task::ControlPlane { arguments } => demo::control_plane(&arguments),
    };
    result.unwrap_or_else(|error| {
        // Without a backtrace, whatever the environment asks for: these messages are for whoever runs the task.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

//! Tasks of this repository. One module does the work of each.

mod codegen;

use std::process::ExitCode;

use clap::Parser;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Write the files that are generated: CRDs, RBAC, and what the plugins' manifests add to them
    Codegen {
        /// Write nothing; fail and name the files that are not what they should be
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Codegen { check } => codegen::run(check),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace, whatever the environment asks for: these messages are for whoever runs the task.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

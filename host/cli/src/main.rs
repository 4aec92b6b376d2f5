//! The binary `sluice`.

mod controller;
mod demo;
mod logging;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Progressive delivery for Kubernetes: a drop-in replacement for Argo Rollouts whose traffic routers and metric
/// providers are sandboxed Wasm components.
#[derive(Parser)]
#[command(
    name = "sluice",
    version,
    propagate_version = true,
    after_help = "Examples:\n  \
        sluice demo --plugin-dir target/guest-plugins\n      watch a canary be promoted and another be taken back, without a cluster\n  \
        sluice controller --plugin-dir /plugins --kubeconfig ~/.kube/config\n      run the controller against a cluster"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller against a cluster.
    Controller(Box<controller::Arguments>),
    /// Play a canary on a simulated cluster, with the real controller and the real plugins.
    Demo(demo::Arguments),
    /// Print the version.
    Version,
    /// Compile a component in a process of its own. The controller calls this; it is of no use to people.
    #[command(hide = true)]
    CompilePlugin {
        /// Where the component is and where the machine code goes.
        #[arg(num_args = 0.., allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Controller(arguments) => controller::run(*arguments).map(|()| ExitCode::SUCCESS),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Version => {
            println!("sluice {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        Command::CompilePlugin { arguments } => {
            Ok(sluice_plugin_host::compile_child_main(arguments))
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("sluice: {error:#}");
        ExitCode::FAILURE
    })
}

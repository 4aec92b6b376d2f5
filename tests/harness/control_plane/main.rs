//! `control-plane`: builds the real control plane of the tests, or has one up for a person to use.
//! `cargo xtask control-plane` calls it.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use sluice_tests::control_plane::{self, ControlPlane, Options, User};

/// The control plane that the tests run against: etcd, the Kubernetes API server and so on, without a
/// cluster.
#[derive(Parser)]
#[command(name = "control-plane")]
enum Task {
    /// Build what is not built yet and print where the programs are.
    Build {
        /// Upstream's controller and client too.
        #[arg(long)]
        peers: bool,
    },
    /// Start a control plane, print the path of its kubeconfig, and end it on interrupt.
    Up {
        /// Names its logs, kept in target/control-plane/logs.
        #[arg(long, default_value = "up")]
        name: String,
    },
    /// Run a control plane for the process at the other end of standard input.
    #[command(hide = true)]
    Supervise,
    /// Become a part of a control plane.
    #[command(hide = true)]
    Component {
        /// The process to die with.
        parent: u32,
        /// The program and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    match Task::parse() {
        Task::Build { peers } => build(peers)?,
        Task::Up { name } => up(name)?,
        Task::Supervise => return Ok(control_plane::supervise()),
        Task::Component { parent, command } => control_plane::become_component(parent, &command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn build(peers: bool) -> Result<()> {
    let binaries = control_plane::build(note)?;
    let mut programs = vec![
        binaries.etcd,
        binaries.kube_apiserver,
        binaries.kube_controller_manager,
        binaries.kube_scheduler,
        binaries.kwok,
    ];
    if peers {
        let peers = control_plane::build_peers(note)?;
        programs.extend([peers.kubectl_argo_rollouts, peers.rollouts_controller]);
    }
    for program in programs {
        writeln!(io::stdout(), "{}", program.display())?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn up(name: String) -> Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let plane = tokio::select! {
        plane = ControlPlane::start(Options { name }) => plane?,
        // At once: the start goes on in a thread that nobody would wait for.
        _ = tokio::signal::ctrl_c() => std::process::exit(130),
        _ = terminated.recv() => std::process::exit(143),
    };
    // A person who ends it with an interrupt may still want to look at the logs.
    plane.keep_logs();
    writeln!(io::stdout(), "{}", plane.kubeconfig(User::Admin).display())?;
    note(
        "use it with `export KUBECONFIG=` that path, or SLUICE_TEST_KUBECONFIG; end it with an interrupt",
    );
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("failed to wait for an interrupt"),
        _ = terminated.recv() => Ok(()),
    }
}

fn note(line: &str) {
    let _nobody_reads = writeln!(io::stderr(), "{line}");
}

//! `bench`: puts upstream's controller and Sluice through the same work, and prints what it costs each.
//! `cargo xtask bench` calls it.
//!
//! The work is in `work`, the objects that it is done on in `mix`, and what the table shows in `figures`. Nothing here
//! fails because of a figure: how long something takes depends on the machine, and only ratios of one run mean anything.

mod calls;
mod figures;
mod measure;
mod mix;
mod requests;
mod subject;
mod work;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use sluice_tests::control_plane::{self, ControlPlane, Options};

use crate::figures::Figures;
use crate::mix::Mix;
use crate::subject::Subject;
use crate::work::Size;

/// What it costs to have Rollouts, and to update them.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Rollouts that exist.
    #[arg(long, default_value_t = 500)]
    rollouts: usize,
    /// Rollouts that are updated one after the other.
    #[arg(long, default_value_t = 100)]
    updates: usize,
    /// Leave upstream's controller out, and with it every ratio.
    #[arg(long)]
    no_peer: bool,
    /// A tenth of the Rollouts: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Only with this kind of Rollouts.
    #[arg(long, value_enum)]
    only: Option<Mix>,
    /// No bursts and no updates: what it costs to have Rollouts.
    #[arg(long)]
    idle: bool,
    /// Leave plugin calls out.
    #[arg(long)]
    no_calls: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Measure plugin calls in this process and print them as JSON.
    #[command(hide = true)]
    Calls,
    /// Compile a component in a process of its own.
    #[command(hide = true, name = sluice_plugin_host::SUBCOMMAND)]
    CompilePlugin {
        #[arg(num_args = 0.., allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Calls) => calls::measure_and_print()?,
        Some(Part::CompilePlugin { arguments }) => {
            return Ok(sluice_plugin_host::compile_child_main(arguments));
        }
        None => measure(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn measure(arguments: &Arguments) -> Result<()> {
    let divisor = if arguments.quick { 10 } else { 1 };
    let size = Size {
        rollouts: (arguments.rollouts / divisor).max(1),
        updates: (arguments.updates / divisor).max(1),
        idle_only: arguments.idle,
    };
    let ours = Subject::sluice()?;
    let theirs = if arguments.no_peer {
        None
    } else {
        let peers =
            tokio::task::spawn_blocking(|| control_plane::build_peers(|line| eprintln!("{line}")));
        Some(Subject::upstream(&peers.await??))
    };
    let mut texts = Vec::new();
    let mixes = [Mix::Plain, Mix::Istio];
    for mix in mixes
        .into_iter()
        .filter(|mix| arguments.only.is_none_or(|only| only == *mix))
    {
        let theirs = match &theirs {
            Some(subject) => Some(run(subject, mix, size).await?),
            None => None,
        };
        let ours = run(&ours, mix, size).await?;
        let heading = format!("{} Rollouts {}", size.rollouts, mix.title());
        texts.push(figures::table(&heading, theirs.as_ref(), &ours));
    }
    if !arguments.no_calls {
        texts.push(calls::table(&calls::in_a_process_of_its_own().await?));
    }
    println!("{}", texts.join("\n"));
    Ok(())
}

/// One controller, one kind of Rollouts, on a control plane of their own: the second must not be slower because of what
/// the first has left behind.
async fn run(subject: &Subject, mix: Mix, size: Size) -> Result<Figures> {
    let plane = ControlPlane::start(Options {
        name: format!("bench-{}", subject.slug()),
    })
    .await?;
    let what = format!(
        "{}, {} Rollouts {}",
        subject.name,
        size.rollouts,
        mix.title()
    );
    let say = |step: &str| eprintln!("{what}: {step}");
    work::measure(&plane, subject, mix, size, say)
        .await
        .inspect_err(|_| plane.keep_logs())
        .with_context(|| what.clone())
}

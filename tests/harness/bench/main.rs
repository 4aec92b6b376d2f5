//! `bench`: puts Sluice, and upstream's controller, through the same work on the same API server, and prints a table.
//! `cargo xtask bench` calls it.

mod measure;
mod subject;
mod work;

use anyhow::Result;
use clap::Parser;
use sluice_tests::control_plane::{self, ControlPlane, Options};

use subject::Subject;
use work::Figures;

/// What it costs to have Rollouts, and to update them.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Rollouts that exist.
    #[arg(long, default_value_t = 500)]
    rollouts: usize,
    /// Rollouts that are updated, one after the other.
    #[arg(long, default_value_t = 30)]
    updates: usize,
    /// Measure upstream's controller too (built on first use).
    #[arg(long)]
    peer: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut rows = Vec::new();
    let mut subjects = vec![Subject::sluice()?];
    if arguments.peer {
        subjects.push(Subject::upstream(&control_plane::build_peers(|line| {
            eprintln!("{line}")
        })?)?);
    }
    for subject in subjects {
        // A control plane of its own for each: the second must not be slower because of what the first has left.
        let plane = ControlPlane::start(Options {
            name: format!("bench-{}", subject.name),
        })
        .await?;
        eprintln!(
            "{}: {} Rollouts, {} updates",
            subject.name, arguments.rollouts, arguments.updates
        );
        rows.push((
            subject.name,
            work::measure(&plane, &subject, arguments.rollouts, arguments.updates).await?,
        ));
    }
    print_table(&rows);
    Ok(())
}

fn print_table(rows: &[(&'static str, Figures)]) {
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    println!(
        "{:<46} {}",
        "",
        names
            .iter()
            .map(|name| format!("{name:>12}"))
            .collect::<String>()
    );
    let peer = rows.get(1).map(|(_, figures)| figures);
    for (label, of) in Figures::ROWS {
        let cells: String = rows
            .iter()
            .map(|(_, figures)| format!("{:>12.1}", of(figures)))
            .collect();
        let ratio = match (rows.first(), peer) {
            (Some((_, ours)), Some(theirs)) if of(theirs) > 0.0 => {
                format!("   {:.2}", of(ours) / of(theirs))
            }
            _ => String::new(),
        };
        println!("{label:<46} {cells}{ratio}");
    }
}

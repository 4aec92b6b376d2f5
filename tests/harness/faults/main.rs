//! The program behind `cargo xtask fuzz`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use sluice_tests::faults::{History, Told, Violation, Volume, play, shrink};
use sluice_tests::guest_plugins;

/// How often a failing history is played to make it shorter.
const SHRINKING: usize = 200;

/// Plays histories that are drawn from seeds, while everything goes wrong that can
#[derive(Parser)]
#[command(name = "cargo xtask fuzz")]
struct Arguments {
    /// How many histories
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The seed of the first of them
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Tell the history of this seed
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "first_seed"])]
    replay: Option<u64>,
    /// Only with these of its events, by number: `0,2-4`
    #[arg(long, requires = "replay", value_name = "NUMBERS")]
    keep: Option<String>,
    /// With every write of the controllers
    #[arg(long, requires = "replay")]
    requests: bool,
    /// Threads, one history on each; as many as there are cores by default
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Stop after so many distinct failures
    #[arg(long, default_value_t = 20)]
    failures: usize,
    /// Plant deliberate bugs, those with this in their names or all, and see whether each is found
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    planted: Option<String>,
    /// Leave out the bugs that show in few histories only, and take most of the time
    #[arg(long, requires = "planted")]
    common: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let plugins = guest_plugins()?;
    if let Some(named) = &arguments.planted {
        return hunt(named, arguments, &plugins);
    }
    match arguments.replay {
        Some(seed) => replay(seed, arguments, &plugins),
        None => many(arguments, &plugins),
    }
}

/// Tells one history.
fn replay(seed: u64, arguments: &Arguments, plugins: &Path) -> Result<bool> {
    let mut history = History::draw(seed);
    if let Some(numbers) = &arguments.keep {
        history = history.only(&parse(numbers)?);
    }
    let volume = if arguments.requests {
        Volume::Requests
    } else {
        Volume::Story
    };
    let told = play(&history, plugins, volume)?;
    println!("seed {seed}: {}\n\n{}", history.scene, told.text);
    print_violations(&told.violations);
    println!(
        "{} requests in {:.1} s of virtual time; hash of the log {:016x}",
        told.requests,
        told.simulated.as_secs_f64(),
        told.log_hash
    );
    Ok(told.violations.is_empty())
}

fn print_violations(violations: &[Violation]) {
    for violation in violations {
        let seconds = violation.at.as_secs_f64();
        println!(
            "BROKEN at {seconds:.3} s: {}: {}",
            violation.law, violation.text
        );
    }
}

#[cfg(not(feature = "planted"))]
fn hunt(_: &str, _: &Arguments, _: &Path) -> Result<bool> {
    bail!(
        "this program was built without deliberate bugs: `cargo xtask fuzz --planted` builds one with them"
    )
}

/// Looks for each deliberate bug, and prints a table.
#[cfg(feature = "planted")]
fn hunt(named: &str, arguments: &Arguments, plugins: &Path) -> Result<bool> {
    use sluice_tests::faults::planted;
    const MOST: u64 = 10_000;

    let bugs = planted::bugs(Some(named), arguments.common);
    let jobs = jobs(arguments);
    println!("{:28} {:>6} {:>8}  law", "bug", "seeds", "seconds");
    let mut missed = 0;
    for bug in &bugs {
        let hunt = planted::hunt(*bug, arguments.first_seed, MOST, jobs, plugins)?;
        let name = format!("{bug:?}");
        match hunt.found {
            Some((_, seeds, violation)) => {
                println!(
                    "{name:28} {seeds:6} {:8.1}  {}",
                    hunt.seconds, violation.law
                );
            }
            None => {
                missed += 1;
                println!("{name:28} {:>6} {:8.1}  NOT FOUND", MOST, hunt.seconds);
            }
        }
    }
    println!(
        "{} bugs, {missed} not found within {MOST} histories",
        bugs.len()
    );
    Ok(missed == 0)
}

/// Numbers and ranges, separated by commas.
fn parse(text: &str) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().context("expected a number");
        numbers.extend(number(low)?..=number(high)?);
    }
    Ok(numbers)
}

fn jobs(arguments: &Arguments) -> usize {
    let cores = || std::thread::available_parallelism().ok().map(Into::into);
    let asked = arguments.jobs.map(NonZeroUsize::get);
    asked.or_else(cores).unwrap_or(1)
}

/// What all threads share.
struct Progress {
    next: AtomicU64,
    played: AtomicU64,
    simulated_millis: AtomicU64,
    hash: AtomicU64,
    failures: Mutex<BTreeMap<&'static str, Vec<(u64, Violation)>>>,
}

fn many(arguments: &Arguments, plugins: &Path) -> Result<bool> {
    let jobs = jobs(arguments);
    let progress = Progress {
        next: AtomicU64::new(arguments.first_seed),
        played: AtomicU64::new(0),
        simulated_millis: AtomicU64::new(0),
        hash: AtomicU64::new(0),
        failures: Mutex::default(),
    };
    let end = arguments.first_seed.saturating_add(arguments.seeds);
    let began = Instant::now();
    let outcome: Vec<Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|_| scope.spawn(|| work(&progress, end, arguments.failures, plugins)))
            .collect();
        report(&progress, arguments.seeds, began, || {
            workers.iter().all(|worker| worker.is_finished())
        });
        let ends = workers.into_iter().map(|worker| match worker.join() {
            Ok(end) => end,
            Err(_) => bail!("a thread panicked"),
        });
        ends.collect()
    });
    for end in outcome {
        end?;
    }
    summary(&progress, began.elapsed());
    let failures = lock(&progress.failures).clone();
    for (law, seeds) in &failures {
        explain(law, seeds, plugins)?;
    }
    Ok(failures.is_empty())
}

fn work(progress: &Progress, end: u64, most: usize, plugins: &Path) -> Result<()> {
    loop {
        let seed = progress.next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || lock(&progress.failures).len() >= most {
            return Ok(());
        }
        let history = History::draw(seed);
        let told = play(&history, plugins, Volume::Silent)
            .with_context(|| format!("seed {seed} could not be played"))?;
        note(progress, seed, &told);
    }
}

fn note(progress: &Progress, seed: u64, told: &Told) {
    progress.played.fetch_add(1, Ordering::Relaxed);
    let millis = u64::try_from(told.simulated.as_millis()).unwrap_or(0);
    progress
        .simulated_millis
        .fetch_add(millis, Ordering::Relaxed);
    // The order in which threads finish must not matter.
    let mixed = told.log_hash.wrapping_mul(seed | 1);
    progress.hash.fetch_xor(mixed, Ordering::Relaxed);
    if let Some(violation) = told.violations.first() {
        let mut failures = lock(&progress.failures);
        let seeds = failures.entry(violation.law).or_default();
        // At once: a long run may be ended before its summary.
        if seeds.len() < 3 {
            println!("seed {seed}: {}: {}", violation.law, violation.text);
        }
        seeds.push((seed, violation.clone()));
        seeds.sort_by_key(|(seed, _)| *seed);
    }
}

fn report(progress: &Progress, seeds: u64, began: Instant, is_over: impl Fn() -> bool) {
    let terminal = std::io::stdout().is_terminal();
    let mut said = Instant::now();
    while !is_over() {
        std::thread::sleep(Duration::from_millis(50));
        let pause = if terminal { 1 } else { 30 };
        if said.elapsed() < Duration::from_secs(pause) {
            continue;
        }
        said = Instant::now();
        let played = progress.played.load(Ordering::Relaxed);
        let rate = played as f64 / began.elapsed().as_secs_f64();
        let failures = lock(&progress.failures).len();
        let line = format!(
            "{played} of {seeds} histories, {rate:.1} a second, {failures} distinct failures"
        );
        if terminal {
            print!("\r\x1b[2K{line}");
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
    }
    if terminal {
        print!("\r\x1b[2K");
    }
}

fn summary(progress: &Progress, took: Duration) {
    let played = progress.played.load(Ordering::Relaxed);
    let simulated = progress.simulated_millis.load(Ordering::Relaxed) as f64 / 1000.0;
    let real = took.as_secs_f64();
    let failures = lock(&progress.failures);
    let failed: usize = failures.values().map(Vec::len).sum();
    println!(
        "{played} histories in {real:.1} s: {:.1} a second; {simulated:.0} s of virtual time, \
         {:.0} for each real second; {failed} failed, in {} distinct ways; hash {:016x}",
        played as f64 / real,
        simulated / real,
        failures.len(),
        progress.hash.load(Ordering::Relaxed)
    );
    for (law, seeds) in failures.iter() {
        let named: Vec<String> = seeds
            .iter()
            .take(8)
            .map(|(seed, _)| seed.to_string())
            .collect();
        println!("  {:5}  {law}: seeds {}", seeds.len(), named.join(" "));
    }
}

/// Makes the first failure of a kind short, and tells it.
fn explain(law: &str, seeds: &[(u64, Violation)], plugins: &Path) -> Result<()> {
    let Some((seed, violation)) = seeds.first() else {
        return Ok(());
    };
    let short = shrink(&History::draw(*seed), law, plugins, SHRINKING)?;
    let told = play(&short, plugins, Volume::Story)?;
    println!("\n== {law}\n{}", violation.text);
    println!("seed {seed}: {}\n\n{}", short.scene, told.text);
    print_violations(&told.violations);
    let numbers: Vec<String> = short.numbers().iter().map(ToString::to_string).collect();
    println!(
        "\ncargo xtask fuzz --replay {seed} --keep '{}'",
        numbers.join(",")
    );
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Fault runs: histories drawn from seeds. `cargo xtask fuzz` plays many more, and tells those that fail.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use sluice_tests::faults::{History, Volume, play};

/// Seeds from 1 on that every change has to stand.
const SEEDS: u64 = 2000;

#[test]
fn histories_break_no_law() {
    let plugins = sluice_tests::guest_plugins().unwrap();
    let next = AtomicU64::new(1);
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS || failed.lock().unwrap().len() >= 5 {
                        return;
                    }
                    let told = play(&History::draw(seed), &plugins, Volume::Silent).unwrap();
                    if let Some(violation) = told.violations.first() {
                        let line = format!(
                            "{}: {}\n  cargo xtask fuzz --seeds 1 --first-seed {seed}",
                            violation.law, violation.text
                        );
                        failed.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_seed_has_the_same_log_in_every_process() -> Result<()> {
    let plugins = sluice_tests::guest_plugins()?;
    let hash = |jobs: &str| -> Result<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
            .env("SLUICE_PLUGIN_DIR", &plugins)
            .args(["--first-seed", "5000", "--seeds", "24", "--jobs", jobs])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{text}");
        let (_, hash) = text.split_once("; hash ").context("no hash")?;
        Ok(hash.trim().to_owned())
    };
    assert_eq!(hash("1")?, hash("2")?);
    Ok(())
}

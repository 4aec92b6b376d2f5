//! Fault runs: histories drawn from seeds. `cargo xtask fuzz` plays many more.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// Seeds from 1 on that every change has to stand.
const SEEDS: &str = "2000";

/// Plays histories with the program of `cargo xtask fuzz`, which tells those that fail, shortened.
fn fuzz(arguments: &[&str]) -> Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .env("SLUICE_PLUGIN_DIR", sluice_tests::guest_plugins()?)
        .args(arguments)
        .output()
        .context("failed to start fuzz")
}

#[test]
fn histories_break_no_law() -> Result<()> {
    let played = fuzz(&["--seeds", SEEDS, "--failures", "5"])?;
    let text = String::from_utf8_lossy(&played.stdout);
    let errors = String::from_utf8_lossy(&played.stderr);
    ensure!(played.status.success(), "{text}{errors}");
    Ok(())
}

#[test]
fn a_seed_has_the_same_log_in_every_process() -> Result<()> {
    let hash = |jobs: &str| -> Result<String> {
        let played = fuzz(&["--first-seed", "5000", "--seeds", "24", "--jobs", jobs])?;
        let text = String::from_utf8_lossy(&played.stdout).into_owned();
        ensure!(played.status.success(), "{text}");
        let (_, hash) = text.split_once("; hash ").context("no hash")?;
        Ok(hash.trim().to_owned())
    };
    assert_eq!(hash("1")?, hash("2")?);
    Ok(())
}

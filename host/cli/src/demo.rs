//! `sluice demo`: a canary that is promoted and one that is taken back, on a simulated cluster, with the real controller
//! and the real plugins.

mod scene;
mod story;
mod view;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Directory with the plugins (`*.wasm`) that the scenario uses.
    #[arg(long, value_name = "DIR", default_value = "target/guest-plugins")]
    plugin_dir: PathBuf,
    /// Directory with the manifests to play.
    #[arg(long, value_name = "DIR", default_value = "examples/canary")]
    scenario: PathBuf,
    /// Print plain lines even on a terminal.
    #[arg(long)]
    plain: bool,
    /// Write the controller's log to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    check_plugins(&arguments.plugin_dir)?;
    if let Some(file) = &arguments.log {
        let file = std::fs::File::create(file)
            .with_context(|| format!("failed to create {}", file.display()))?;
        tracing_subscriber::fmt()
            .with_writer(std::sync::Mutex::new(file))
            .with_ansi(false)
            .with_env_filter("info,sluice_controller=debug")
            .init();
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(story::tell(&arguments))
}

/// Without plugins the story would wait in vain.
fn check_plugins(directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("failed to read {}", directory.display()))?;
    let is_plugin = |path: PathBuf| path.extension().is_some_and(|ending| ending == "wasm");
    if !entries.flatten().any(|entry| is_plugin(entry.path())) {
        bail!(
            "{} holds no plugin (*.wasm); build them with `cargo xtask build-plugins`",
            directory.display()
        );
    }
    Ok(())
}

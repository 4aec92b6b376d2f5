//! `sluice demo`: a canary that is promoted and one that is taken back, on a simulated cluster, with the real controller
//! and the real plugins.

mod scene;
mod story;
mod view;
mod world;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
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

pub(crate) fn run(arguments: Arguments) -> Result<()> {
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

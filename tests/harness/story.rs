//! Stories: scripts of what users and the world do, played against the real controller on a simulated cluster in virtual
//! time, and the transcripts of what came of it.
//!
//! A story is a file `scenarios/<name>.story`; beside it lies `<name>.transcript`. The language is in
//! `scenarios/README.md`. After the last line the controller is restarted, and must find nothing to write.

mod plugins;
mod script;
mod transcript;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub use plugins::{Component, Workshop};
pub use script::{Command, Condition, Script};
pub(crate) use transcript::Moment;
pub use world::{Told, World};

/// Plays a story and returns what came of it. Plugins that it calls by a name come from the workshop.
pub fn play(file: &Path, plugins: &Path, workshop: Workshop) -> Result<Told> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("failed to read {}", file.display()))?;
    let script = Script::parse(&text).with_context(|| format!("in {}", file.display()))?;
    let manifests = file.with_file_name("manifests");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?
        .block_on(world::tell(&script, &manifests, plugins, workshop))
}

/// Every story of a directory, by name.
pub fn stories(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .with_context(|| format!("failed to read {}", directory.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "story")
        })
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("no stories in {}", directory.display());
    }
    Ok(files)
}

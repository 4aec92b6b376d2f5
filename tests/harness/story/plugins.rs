//! The plugins of a story that has plugins of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// A plugin that a story calls by a name.
#[derive(Clone, Debug)]
pub struct Component {
    /// The name of its file, without the ending. It takes the place of what has the same.
    pub file: &'static str,
    /// The component.
    pub bytes: Vec<u8>,
    /// It computes for ever.
    pub computes: bool,
}

/// Finds the plugin of a name.
pub type Workshop = fn(&str) -> Result<Component>;

/// A directory for plugins that belongs to one story.
pub struct Directory {
    folder: TempDir,
    /// Whether a guest in it computes for ever.
    pub computes: bool,
}

impl Directory {
    /// With the plugins of another directory.
    pub fn like(other: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for entry in std::fs::read_dir(other)
            .with_context(|| format!("failed to read {}", other.display()))?
        {
            let entry = entry?;
            std::fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
        }
        Ok(Self {
            folder,
            computes: false,
        })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Puts a plugin into it.
    pub fn put(&mut self, component: &Component) -> Result<()> {
        self.computes |= component.computes;
        std::fs::write(self.file(component.file), &component.bytes)?;
        Ok(())
    }

    /// Takes a plugin away.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let file = self.file(name);
        std::fs::remove_file(&file).with_context(|| format!("failed to remove {}", file.display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.wasm"))
    }
}

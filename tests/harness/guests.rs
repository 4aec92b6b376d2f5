//! The plugins of this repository as components.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sluice_plugin_host::{Compiler, InProcess, Unusable};

use crate::control_plane::workspace;

/// The directory with the built plugins; builds them with `cargo xtask build-plugins` where they are missing or older
/// than their sources. `SLUICE_PLUGIN_DIR` names one that is taken as it is.
pub fn guest_plugins() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn build() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("SLUICE_PLUGIN_DIR") {
        return Ok(directory.into());
    }
    cargo(&["xtask", "build-plugins"])?;
    Ok(workspace().join("target/guest-plugins"))
}

/// Runs cargo at the root of the repository, for what a test needs and nobody has built.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    let ran = Command::new(env!("CARGO"))
        .current_dir(workspace())
        .args(arguments)
        .output()
        .context("failed to start cargo")?;
    if !ran.status.success() {
        bail!(
            "cargo {} failed:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    Ok(())
}

/// Compiles each component once in this process: every story starts controllers of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompileOnce;

impl Compiler for CompileOnce {
    fn compile(&self, component: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>> {
        static COMPILED: Mutex<BTreeMap<Bytes, Vec<u8>>> = Mutex::new(BTreeMap::new());
        async move {
            // Held while compiling, and the thread is held too: a story whose clock is paused must not see time pass.
            let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(code) = compiled.get(&component) {
                return Ok(code.clone());
            }
            let code = compile_elsewhere(component.clone())?;
            compiled.insert(component, code.clone());
            Ok(code)
        }
        .boxed()
    }
}

/// On a thread with a runtime of its own.
fn compile_elsewhere(component: Bytes) -> Result<Vec<u8>, Unusable> {
    let compiling = std::thread::spawn(|| {
        tokio::runtime::Runtime::new()
            .map_err(|error| Unusable::for_now(error.to_string()))?
            .block_on(InProcess.compile(component))
    });
    compiling
        .join()
        .map_err(|_| Unusable::for_now("the compiler panicked"))?
}

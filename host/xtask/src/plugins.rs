//! `build-plugins`: every plugin of this repository as a component.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use anyhow::{Context as _, bail};

use crate::{
    cargo::{self, Workspace},
    compile::{self, Artifact},
    component,
    progress::Stage,
};

/// What guests are compiled for: without WASI, so that they import nothing.
const TARGET: &str = "wasm32-unknown-unknown";

/// A plugin that was built.
pub(crate) struct Built {
    /// Its crate without our prefix, like `router-istio`.
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: u64,
}

/// The folder for plugins, if the user names no other.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target_directory.join("guest-plugins")
}

/// Builds all plugins and prints a line for each.
///
/// # Errors
/// When the Wasm target cannot be installed, or a plugin does not build or is not a component of ours.
pub(crate) fn run(out: Option<&Path>) -> anyhow::Result<()> {
    let workspace = Workspace::read()?;
    let mut stage = Stage::new("plugins");
    let built = build(&workspace, out, &mut stage)?;
    stage.done(&format!("{} built", built.len()));
    let width = built
        .iter()
        .map(|plugin| plugin.name.len())
        .max()
        .unwrap_or_default();
    for Built { name, size } in built {
        println!("  {name:width$}  {:>5} KiB", size.div_ceil(1024));
    }
    Ok(())
}

/// Builds all plugins into `out`, or into the folder that the demo and the tests read.
pub(crate) fn build(
    workspace: &Workspace,
    out: Option<&Path>,
    stage: &mut Stage,
) -> anyhow::Result<Vec<Built>> {
    let ours = folder(workspace);
    // A relative path is meant from where the user is.
    let out = match out {
        Some(out) => std::path::absolute(out).context("failed to find the folder for plugins")?,
        None => ours.clone(),
    };
    let crates = workspace.plugins();
    if crates.is_empty() {
        bail!("no crate below plugins/ has the crate type `cdylib`");
    }
    install_target(stage)?;

    let packages = crates.iter().flat_map(|name| ["--package", name]);
    let mut arguments = vec!["--target", TARGET];
    arguments.extend(packages);
    let total = cargo::count_crates(&arguments)?;
    arguments.extend(["--profile", "guest"]);
    let artifacts = compile::build(stage, &arguments, total)?;

    fs::create_dir_all(&out).with_context(|| format!("failed to create {}", out.display()))?;
    let mut built = Vec::new();
    for name in crates {
        let module =
            module(&artifacts, name).with_context(|| format!("{name} became no Wasm module"))?;
        let short = name.strip_prefix("sluice-").unwrap_or(name);
        let file = out.join(format!("{short}.wasm"));
        if is_older(&file, module)? {
            let bytes =
                fs::read(module).with_context(|| format!("failed to read {}", module.display()))?;
            let component =
                component::encode(&bytes).with_context(|| format!("{name} is no plugin"))?;
            replace(&file, &component)?;
        }
        let size =
            fs::metadata(&file).with_context(|| format!("failed to read {}", file.display()))?;
        built.push(Built {
            name: short.to_owned(),
            size: size.len(),
        });
    }
    // A folder that the user named may hold more than ours.
    if out == ours {
        remove_others(&out, &built)?;
    }
    Ok(built)
}

/// Installs the Wasm target where it is missing. `rust-toolchain.toml` lists it, but only a rustup that installs
/// toolchains by itself follows that.
fn install_target(stage: &mut Stage) -> anyhow::Result<()> {
    let sysroot = cargo::output(rustc().args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .is_dir()
    {
        return Ok(());
    }
    stage.is_at(&format!("installing the target {TARGET}"));
    let mut rustup = Command::new("rustup");
    rustup
        .args(["target", "add", TARGET])
        .current_dir(cargo::root())
        .stdin(Stdio::null());
    match rustup.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => bail!(
            "`rustup target add {TARGET}` failed:\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        ),
        Err(error) => bail!(
            "plugins are compiled for {TARGET}, which this Rust does not have, and rustup, which would install it, \
             cannot be started ({error}): install Rust from https://rustup.rs, or the target by the means that Rust came by"
        ),
    }
}

fn rustc() -> Command {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(cargo::root()).stdin(Stdio::null());
    rustc
}

/// The module that a crate was linked to.
fn module<'a>(artifacts: &'a [Artifact], package: &str) -> Option<&'a Path> {
    let target = package.replace('-', "_");
    let files = artifacts
        .iter()
        .filter(|artifact| artifact.target.name == target);
    let mut files = files.flat_map(|artifact| &artifact.filenames);
    let module = files.find(|file| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    });
    module.map(PathBuf::as_path)
}

/// Is the component to be made again: because of a new module, or because the encoder, this program, is new?
fn is_older(component: &Path, module: &Path) -> anyhow::Result<bool> {
    let Ok(made) = modified(component) else {
        return Ok(true);
    };
    let encoder = std::env::current_exe().context("failed to find this program")?;
    Ok(made < modified(module)? || made < modified(&encoder)?)
}

fn modified(file: &Path) -> anyhow::Result<SystemTime> {
    let time = fs::metadata(file).and_then(|metadata| metadata.modified());
    time.with_context(|| format!("failed to read the age of {}", file.display()))
}

/// Writes a file as a whole: a controller that watches the folder sees the old plugin or the new one, and two tasks that
/// run at the same time do not mix theirs.
fn replace(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = file.parent().context("a plugin has no folder")?;
    let write = || {
        // Under a name that no reader of plugins looks at, readable by others as built files are.
        let mut partial = tempfile::Builder::new()
            .suffix(".partial")
            .permissions(readable())
            .tempfile_in(folder)?;
        partial.write_all(content)?;
        partial.persist(file).map_err(|error| error.error)
    };
    write().with_context(|| format!("failed to write {}", file.display()))?;
    Ok(())
}

fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

/// Removes the plugins of crates that are no more.
fn remove_others(folder: &Path, built: &[Built]) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    for entry in entries {
        let file = entry
            .with_context(|| format!("failed to list {}", folder.display()))?
            .path();
        let name = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        let is_plugin = file
            .extension()
            .is_some_and(|extension| extension == "wasm");
        if is_plugin
            && !built
                .iter()
                .any(|plugin| Some(&plugin.name) == name.as_ref())
        {
            fs::remove_file(&file)
                .with_context(|| format!("failed to remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// What a stage says at its end: each plugin with its size.
pub(crate) fn summary(built: &[Built]) -> String {
    let plugins = built
        .iter()
        .map(|plugin| format!("{} {} KiB", plugin.name, plugin.size.div_ceil(1024)));
    plugins.collect::<Vec<_>>().join(", ")
}

//! Builds the programs of a Go module of this repository, once for every state of the module.
//!
//! Nothing is downloaded but Go modules, pinned by `go.sum`. Which modules there are is told in `binaries`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::binaries::ASSETS;
use super::folders;

/// A Go module of this repository that has only `tool` directives.
pub struct GoModule {
    /// Its folder, from the root of the repository.
    pub folder: &'static str,
    /// The programs by the name that they get, with the package to build.
    pub tools: &'static [(&'static str, &'static str)],
    /// The module whose version the programs report.
    pub product: &'static str,
    /// The variables, as `package.name=value`, that tell the programs this version.
    pub variables: fn(&str) -> Vec<String>,
}

impl GoModule {
    /// Builds what is not there yet and says where all programs are, by name. `progress` hears one line
    /// before each.
    pub fn build(
        &self,
        progress: &mut impl FnMut(&str),
    ) -> Result<BTreeMap<&'static str, PathBuf>> {
        let source = folders::workspace().join(self.folder);
        let read = |name: &str| {
            let path = source.join(name);
            fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let version = required_version(&go_mod, self.product).with_context(|| {
            format!(
                "{}/go.mod requires no version of {}",
                self.folder, self.product
            )
        })?;
        let flags = linker_flags(&(self.variables)(version));

        let folder = folders::target()
            .join(digest(&[&go_mod, &go_sum, &flags]))
            .join("bin");
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        // Two test processes may get here at the same time; the second finds everything built.
        let lock =
            File::create(folder.join(".lock")).context("failed to create the lock of a build")?;
        lock.lock().context("failed to lock a build")?;

        let programs: BTreeMap<_, _> = self
            .tools
            .iter()
            .map(|(name, _)| (*name, folder.join(name)))
            .collect();
        if programs.values().all(|program| program.is_file()) {
            return Ok(programs);
        }
        check_go(&go_mod, self.folder)?;
        for (name, package) in self.tools {
            let program = folder.join(name);
            if !program.is_file() {
                progress(&format!(
                    "building {name} {version} for the tests, only this once"
                ));
                compile(&source, package, &flags, &program)?;
            }
        }
        Ok(programs)
    }
}

fn compile(source: &Path, package: &str, flags: &str, program: &Path) -> Result<()> {
    let partial = program.with_extension("partial");
    let output = Command::new("go")
        .current_dir(source)
        .args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            flags,
            "-o",
        ])
        .arg(&partial)
        .arg(package)
        // What the user set for his own Go work must not change what is built here.
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local")
        // Static programs, and no C compiler needed.
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .output()
        .context("failed to start `go build`")?;
    ensure!(
        output.status.success(),
        "`go build {package}` in {} failed:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    // Whole or not at all: an interrupted build leaves no program.
    fs::rename(&partial, program)
        .with_context(|| format!("failed to put {} in place", program.display()))
}

/// Programs without what only debuggers read, that report their version.
fn linker_flags(variables: &[String]) -> String {
    let variables: Vec<String> = variables
        .iter()
        .map(|variable| format!(" -X {variable}"))
        .collect();
    format!("-s -w{}", variables.concat())
}

/// The version of a module in the `require` directives of a `go.mod`.
pub(super) fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let line = line.trim_start();
        let mut words = line
            .strip_prefix("require ")
            .unwrap_or(line)
            .split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
            .filter(|version| version.starts_with('v'))
    })
}

fn check_go(go_mod: &str, folder: &str) -> Result<()> {
    let advice = format!(
        "install Go, or point {ASSETS} at a folder with the programs, or SLUICE_TEST_KUBECONFIG at a cluster, \
         or leave these tests out with SLUICE_TEST_FAST=1"
    );
    let wanted = go_mod
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .map(str::trim);
    let wanted = wanted.with_context(|| format!("{folder}/go.mod names no version of Go"))?;
    let output = match Command::new("go")
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output()
    {
        Ok(output) => output,
        Err(error) => bail!(
            "Go {wanted} or newer is needed to build {folder}, and `go` cannot be run ({error}): {advice}"
        ),
    };
    let found = String::from_utf8_lossy(&output.stdout);
    let found = found.trim().trim_start_matches("go");
    ensure!(
        newer_or_same(found, wanted),
        "Go {wanted} or newer is needed to build {folder}, and `go` is {found}: {advice}"
    );
    Ok(())
}

/// Whether a Go version, such as `1.26.8` or `1.27rc1`, is at least the wanted one.
pub(super) fn newer_or_same(found: &str, wanted: &str) -> bool {
    let numbers = |version: &str| -> Vec<u32> {
        version
            .split('.')
            .map(|part| {
                part.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
                    .parse()
                    .unwrap_or(0)
            })
            .collect()
    };
    let mut wanted = numbers(wanted);
    // Any 1.26 is at least 1.26.0.
    while wanted.last() == Some(&0) {
        wanted.pop();
    }
    numbers(found) >= wanted
}

fn digest(files: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(Sha256::digest(file));
    }
    hasher
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

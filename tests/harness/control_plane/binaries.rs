//! Builds the programs of the control plane with Go, once for every state of the two Go modules.
//!
//! Nothing is downloaded but Go modules, pinned by `go.sum`. How the programs are started is the business
//! of `components`.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::folders;

/// The folder of programs that a user brings, as `setup-envtest` lays it out: its etcd, kube-apiserver and
/// so on are used, and only what it lacks is built.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The programs of a control plane, ready to run.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The controllers of Deployments, ReplicaSets, Jobs, namespaces and so on.
    pub kube_controller_manager: PathBuf,
    /// Binds pods to the node.
    pub kube_scheduler: PathBuf,
    /// Plays the kubelet.
    pub kwok: PathBuf,
}

/// A Go module of this repository that has only `tool` directives.
struct GoModule {
    /// Its folder, from the root of the repository.
    folder: &'static str,
    /// The programs by the name that they get, with the package to build.
    tools: &'static [(&'static str, &'static str)],
    /// The module whose version the programs report.
    product: &'static str,
}

const CONTROL_PLANE: GoModule = GoModule {
    folder: "tests/control-plane",
    tools: &[
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        (
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
        ),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ],
    product: "k8s.io/kubernetes",
};

const KWOK: GoModule = GoModule {
    folder: "tests/kwok",
    tools: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
    product: "sigs.k8s.io/kwok",
};

/// Builds what is not there yet and says where everything is.
///
/// `progress` hears one line before each step that takes long. The first build takes some minutes.
///
/// # Errors
/// If Go is missing or too old, or a build fails; the message says what to do.
pub fn build(mut progress: impl FnMut(&str)) -> Result<Binaries> {
    let mut programs = BTreeMap::new();
    if let Some(assets) = env::var_os(ASSETS).map(PathBuf::from) {
        ensure!(
            assets.is_dir(),
            "{ASSETS} is {}, which is not a folder",
            assets.display()
        );
        for (name, _) in CONTROL_PLANE.tools.iter().chain(KWOK.tools) {
            let program = assets.join(name);
            if program.is_file() {
                programs.insert(*name, program);
            }
        }
    }
    for module in [&CONTROL_PLANE, &KWOK] {
        if module
            .tools
            .iter()
            .any(|(name, _)| !programs.contains_key(name))
        {
            for (name, program) in module.build(&mut progress)? {
                programs.entry(name).or_insert(program);
            }
        }
    }
    let mut program = |name| {
        programs
            .remove(name)
            .with_context(|| format!("no program {name} was built"))
    };
    Ok(Binaries {
        etcd: program("etcd")?,
        kube_apiserver: program("kube-apiserver")?,
        kube_controller_manager: program("kube-controller-manager")?,
        kube_scheduler: program("kube-scheduler")?,
        kwok: program("kwok")?,
    })
}

impl GoModule {
    fn build(&self, progress: &mut impl FnMut(&str)) -> Result<BTreeMap<&'static str, PathBuf>> {
        let source = folders::workspace().join(self.folder);
        let read = |name: &str| {
            let path = source.join(name);
            fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let folder = folders::target()
            .join(digest(&[&go_mod, &go_sum]))
            .join("bin");
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        // Two test processes may get here at the same time; the second finds everything built.
        let lock =
            File::create(folder.join(".lock")).context("failed to create the lock of a build")?;
        lock.lock().context("failed to lock a build")?;

        let mut programs = BTreeMap::new();
        let mut checked = false;
        for (name, package) in self.tools {
            let program = folder.join(name);
            if !program.is_file() {
                if !checked {
                    check_go(&go_mod, self.folder)?;
                    checked = true;
                }
                let version = required_version(&go_mod, self.product).with_context(|| {
                    format!(
                        "{}/go.mod requires no version of {}",
                        self.folder, self.product
                    )
                })?;
                progress(&format!(
                    "building {name} for the tests' control plane, only this once"
                ));
                compile(&source, package, version, &program)?;
            }
            programs.insert(*name, program);
        }
        Ok(programs)
    }
}

fn compile(source: &Path, package: &str, version: &str, program: &Path) -> Result<()> {
    let partial = program.with_extension("partial");
    let output = Command::new("go")
        .current_dir(source)
        .args([
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            &linker_flags(version),
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

/// Without these the API server reports version 0.0.0, and clients that look at the version refuse it.
pub(super) fn linker_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitMajor={major} -X {package}.gitMinor={minor} -X {package}.gitVersion={version}"
    )
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
    numbers(found) >= numbers(wanted)
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

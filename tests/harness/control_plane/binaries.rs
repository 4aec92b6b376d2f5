//! The programs of the control plane and of the peers, and the Go modules that they come from.
//!
//! How they are built is told in `go_module`, how they are started in `components`.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::go_module::GoModule;

/// The folder of programs that a user brings, as `setup-envtest` lays it out: its etcd, kube-apiserver and
/// so on are used, and only what it lacks is built.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

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

/// Upstream's programs, ready to run.
#[derive(Debug, Clone)]
pub struct Peers {
    /// The client that users drive upstream and us with, a plugin of kubectl that runs without it too.
    pub kubectl_argo_rollouts: PathBuf,
    /// The controller that ours is compared with.
    pub rollouts_controller: PathBuf,
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
    variables: kubernetes_version,
};

const KWOK: GoModule = GoModule {
    folder: "tests/kwok",
    tools: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
    product: "sigs.k8s.io/kwok",
    // Its version is in its source.
    variables: |_| Vec::new(),
};

const PEERS: GoModule = GoModule {
    folder: "tests/peers",
    tools: &[
        (
            "kubectl-argo-rollouts",
            "github.com/argoproj/argo-rollouts/cmd/kubectl-argo-rollouts",
        ),
        (
            "rollouts-controller",
            "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
        ),
    ],
    product: "github.com/argoproj/argo-rollouts",
    variables: |version| {
        let version = version.trim_start_matches('v');
        vec![format!(
            "github.com/argoproj/argo-rollouts/utils/version.version={version}"
        )]
    },
};

/// Without these the API server reports version 0.0.0, and clients that look at the version refuse it.
pub(super) fn kubernetes_version(version: &str) -> Vec<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    let package = "k8s.io/component-base/version";
    vec![
        format!("{package}.gitMajor={major}"),
        format!("{package}.gitMinor={minor}"),
        format!("{package}.gitVersion={version}"),
    ]
}

/// Builds the programs of the control plane that are not there yet and says where all are.
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
    let mut program = |name| take(&mut programs, name);
    Ok(Binaries {
        etcd: program("etcd")?,
        kube_apiserver: program("kube-apiserver")?,
        kube_controller_manager: program("kube-controller-manager")?,
        kube_scheduler: program("kube-scheduler")?,
        kwok: program("kwok")?,
    })
}

/// Builds upstream's programs, if they are not there yet, and says where they are.
///
/// # Errors
/// As [`build`].
pub fn build_peers(mut progress: impl FnMut(&str)) -> Result<Peers> {
    let mut programs = PEERS.build(&mut progress)?;
    let mut program = |name| take(&mut programs, name);
    Ok(Peers {
        kubectl_argo_rollouts: program("kubectl-argo-rollouts")?,
        rollouts_controller: program("rollouts-controller")?,
    })
}

fn take(programs: &mut BTreeMap<&'static str, PathBuf>, name: &'static str) -> Result<PathBuf> {
    programs
        .remove(name)
        .with_context(|| format!("no program {name} was built"))
}

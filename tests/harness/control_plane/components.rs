//! The command line of every component, and why each flag is there. Starts nothing.

use std::path::{Path, PathBuf};

use super::binaries::Binaries;
use super::credentials::{Credentials, User};

/// The name of the one node.
pub const NODE: &str = "node";

/// Counts every request of users that tests act as, once: a watch when it begins, others when they end.
/// The control plane's own requests would only hide them.
pub const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "rules": [
    {"level": "None", "users": ["sluice:control-plane", "system:apiserver"]},
    {"level": "Metadata", "verbs": ["watch"], "omitStages": ["ResponseComplete"]},
    {"level": "Metadata"}
  ]
}
"#;

/// A program to run, with what it is called in messages and log files.
pub struct Component {
    pub name: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// The files of one control plane.
pub struct Files {
    /// Kept only while the control plane runs.
    pub folder: PathBuf,
    pub logs: PathBuf,
    /// etcd listens here; not always in `folder`, because the path of a socket must be short.
    pub socket: PathBuf,
}

impl Files {
    /// Where the API server notes the requests.
    pub fn audit_log(logs: &Path) -> PathBuf {
        logs.join("audit.jsonl")
    }

    pub fn audit_policy(&self) -> PathBuf {
        self.folder.join("audit-policy.json")
    }

    pub fn stages(&self) -> PathBuf {
        self.folder.join("stages.yaml")
    }
}

/// Flags as `--name=value`.
fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

pub fn etcd(binaries: &Binaries, files: &Files) -> Component {
    let data = text(&files.folder.join("etcd"));
    let socket = format!("unix://{}", files.socket.display());
    let peers = format!("{socket}-peers");
    Component {
        name: "etcd",
        program: binaries.etcd.clone(),
        arguments: flags(&[
            ("name", "sluice"),
            ("data-dir", &data),
            // The data lives as long as the test.
            ("unsafe-no-fsync", "true"),
            ("listen-client-urls", &socket),
            // There is no second member: nobody ever calls these.
            ("listen-peer-urls", &peers),
            ("advertise-client-urls", "http://localhost:1"),
            ("initial-advertise-peer-urls", "http://localhost:2"),
            ("initial-cluster", "sluice=http://localhost:2"),
            ("log-level", "warn"),
        ]),
    }
}

pub fn kube_apiserver(
    binaries: &Binaries,
    files: &Files,
    credentials: &Credentials,
    port: u16,
) -> Component {
    Component {
        name: "kube-apiserver",
        program: binaries.kube_apiserver.clone(),
        arguments: flags(&[
            (
                "etcd-servers",
                &format!("unix://{}", files.socket.display()),
            ),
            ("bind-address", "127.0.0.1"),
            ("secure-port", &port.to_string()),
            // Must not be a loopback address, and without a network there is no other. Nobody reads it,
            // because the endpoints of the service `kubernetes` are not maintained.
            ("advertise-address", "192.0.2.1"),
            ("endpoint-reconciler-type", "none"),
            ("tls-cert-file", &text(&credentials.certificate)),
            ("tls-private-key-file", &text(&credentials.certificate_key)),
            ("token-auth-file", &text(&credentials.tokens)),
            ("authorization-mode", "RBAC"),
            // It would hold back every pod until a token for its service account is mounted.
            ("disable-admission-plugins", "ServiceAccount"),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            (
                "service-account-key-file",
                &text(&credentials.service_account_public_key),
            ),
            (
                "service-account-signing-key-file",
                &text(&credentials.service_account_key),
            ),
            // The default has room for 254 services only.
            ("service-cluster-ip-range", "10.96.0.0/12"),
            ("allow-privileged", "true"),
            ("profiling", "false"),
            ("audit-policy-file", &text(&files.audit_policy())),
            ("audit-log-path", &text(&Files::audit_log(&files.logs))),
            // Written before the next request of the same client, so that counts are exact.
            ("audit-log-mode", "blocking"),
        ]),
    }
}

/// The controllers that a workload needs; the others would only use the processor.
const CONTROLLERS: &[&str] = &[
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    // Removes the taint that a new node has.
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
];

pub fn kube_controller_manager(binaries: &Binaries, files: &Files) -> Component {
    Component {
        name: "kube-controller-manager",
        program: binaries.kube_controller_manager.clone(),
        arguments: flags(&[
            ("kubeconfig", &text(&User::System.kubeconfig(&files.folder))),
            ("controllers", &CONTROLLERS.join(",")),
            ("leader-elect", "false"),
            ("use-service-account-credentials", "false"),
            ("secure-port", "0"),
            // The defaults, 20 and 30, would be what a test with many pods measures.
            ("kube-api-qps", "1000"),
            ("kube-api-burst", "1000"),
        ]),
    }
}

pub fn kube_scheduler(binaries: &Binaries, files: &Files) -> Component {
    Component {
        name: "kube-scheduler",
        program: binaries.kube_scheduler.clone(),
        arguments: flags(&[
            ("kubeconfig", &text(&User::System.kubeconfig(&files.folder))),
            ("leader-elect", "false"),
            ("secure-port", "0"),
            ("kube-api-qps", "1000"),
            ("kube-api-burst", "1000"),
        ]),
    }
}

pub fn kwok(binaries: &Binaries, files: &Files) -> Component {
    Component {
        name: "kwok",
        program: binaries.kwok.clone(),
        arguments: flags(&[
            ("kubeconfig", &text(&User::System.kubeconfig(&files.folder))),
            ("config", &text(&files.stages())),
            ("manage-all-nodes", "true"),
            // The lease of the node keeps it alive in the eyes of the node lifecycle controller.
            ("node-lease-duration-seconds", "40"),
            ("node-ip", "10.0.0.1"),
            // The default has room for 254 pods only.
            ("cidr", "10.200.0.0/16"),
        ]),
    }
}

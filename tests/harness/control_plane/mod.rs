//! A real control plane for tests, without a cluster: etcd, the Kubernetes API server, its controller
//! manager and scheduler, and kwok in the kubelet's place, built from Go modules of this repository.
//!
//! Most tests need one line, [`in_namespace`]: it starts the control plane that all tests of the process
//! share, gives the test a namespace of its own, and keeps everything of interest when the test fails.
//!
//! The processes are children of a supervisor, the program `control-plane` of this package, which ends
//! them and removes their files as soon as the pipe from the test process closes, however that process
//! ended. What pods do is decided by `tests/control-plane/stages.yaml`.

mod apply;
mod binaries;
mod components;
mod credentials;
mod folders;
mod go_module;
mod kubectl;
mod namespace;
mod plane;
mod process;
mod requests;
mod run;
mod shared;
mod stages;
mod startup;
mod supervisor;
#[cfg(test)]
mod tests;

pub use apply::apply_files;
pub use binaries::{Binaries, Peers, build, build_peers};
pub use credentials::User;
pub use folders::{kept_logs, workspace};
pub use kubectl::Output;
pub use namespace::Namespace;
pub use plane::{ControlPlane, Options};
pub use process::become_component;
pub use requests::{Requests, WriteRequest};
pub use shared::{in_namespace, is_left_out};
pub use supervisor::supervise;

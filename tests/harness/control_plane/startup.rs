//! The order in which a control plane starts, and when it counts as ready.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Request;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Client, Config};
use serde_json::json;
use tokio::time::sleep;

use super::binaries::Binaries;
use super::components::{self, AUDIT_POLICY, NODE};
use super::credentials::{Credentials, User, write_private};
use super::run::Run;
use super::stages;

/// Between two questions whether the API server is there. Nothing can be watched before that.
const PAUSE: Duration = Duration::from_millis(30);

/// Starts all components; returns when a pod would get ready.
pub async fn start(run: &Run, binaries: &Binaries) -> Result<()> {
    let files = &run.files;
    let credentials = Credentials::create(&files.folder)?;
    // Another process may take the port in between. Then the API server says so and ends.
    let port = TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .context("failed to find a free port")?
        .port();
    credentials.write_kubeconfigs(&files.folder, &format!("https://127.0.0.1:{port}"))?;
    write_private(&files.audit_policy(), AUDIT_POLICY)?;
    write_private(&files.stages(), &stages::configuration()?)?;

    run.start(&components::etcd(binaries, files))?;
    run.start(&components::kube_apiserver(
        binaries,
        files,
        &credentials,
        port,
    ))?;
    let client = client(&User::System.kubeconfig(&files.folder)).await?;
    while !is_ready(&client).await {
        sleep(PAUSE).await;
    }
    run.start(&components::kube_controller_manager(binaries, files))?;
    run.start(&components::kube_scheduler(binaries, files))?;
    run.start(&components::kwok(binaries, files))?;

    let nodes = Api::<Node>::all(client.clone());
    let node = serde_json::from_value(json!({
        "metadata": {"name": NODE, "labels": {
            "kubernetes.io/hostname": NODE,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }}
    }))?;
    nodes
        .create(&PostParams::default(), &node)
        .await
        .context("failed to create the node")?;
    await_condition(nodes, NODE, takes_pods)
        .await
        .context("failed to watch the node")?;
    let exists = |namespace: Option<&Namespace>| namespace.is_some();
    await_condition(Api::<Namespace>::all(client), "default", exists)
        .await
        .context("failed to watch namespaces")?;
    Ok(())
}

/// A client with the credentials of a kubeconfig, for the runtime that it is called in.
pub async fn client(kubeconfig: &std::path::Path) -> Result<Client> {
    let context = || format!("failed to use {}", kubeconfig.display());
    let file = Kubeconfig::read_from(kubeconfig).with_context(context)?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .with_context(context)?;
    Client::try_from(config).with_context(context)
}

async fn is_ready(client: &Client) -> bool {
    match Request::get("/readyz").body(Vec::new()) {
        Ok(question) => client
            .request_text(question)
            .await
            .is_ok_and(|answer| answer == "ok"),
        Err(_) => false,
    }
}

/// The node said that it is well, and the node lifecycle controller believed it and took the taint away.
fn takes_pods(node: Option<&Node>) -> bool {
    let Some(node) = node else { return false };
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let well = conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one.type_ == "Ready" && one.status == "True")
    });
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    well && taints.is_none_or(Vec::is_empty)
}

//! Upstream's client, `kubectl argo rollouts`, against our controller: what it prints and what comes of it (ledger CLI
//! rows).

use serde_json::json;
use sluice_tests::{ArgoClient, istio_definitions, peers};

use super::*;

mod blue_green;
mod canary;
mod lint;
mod manifests;
mod reads;

/// The lines of what a command printed, with single spaces.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

/// Each of these begins a line, in this order.
#[track_caller]
fn assert_shows(text: &str, expected: &[&str]) {
    let lines = lines(text);
    let mut rest = lines.iter();
    for wanted in expected {
        assert!(
            rest.any(|line| line.starts_with(wanted)),
            "no further line begins with {wanted:?} in\n{text}"
        );
    }
}

/// Asks until what the client prints shows all of these.
async fn shows(argo: &ArgoClient<'_>, arguments: &[&str], expected: &[&str]) -> Result<String> {
    let began = Instant::now();
    loop {
        let text = argo.says(arguments).await?;
        let all = lines(&text);
        let mut rest = all.iter();
        if expected
            .iter()
            .all(|wanted| rest.any(|line| line.starts_with(wanted)))
        {
            return Ok(text);
        }
        if began.elapsed() > PATIENCE {
            assert_shows(&text, expected);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Applies what a test is about and starts the controller for it.
async fn begin(
    plane: &ControlPlane,
    namespace: &str,
    objects: &Value,
) -> Result<RunningController> {
    plane.apply_shipped().await?;
    let client = plane.client(User::Admin).await?;
    let kinds = istio_definitions();
    apply_files(&client, "default", &[kinds]).await?;
    plane
        .kubectl(
            &["apply", "-n", namespace, "-f", "-"],
            Some(&objects.to_string()),
        )
        .await?
        .success()?;
    let arguments = ["--leader-elect=false", "--allow-loopback"];
    RunningController::start(plane, namespace, &arguments).await
}

const GET: &[&str] = &["get", "rollout", "shop", "--no-color"];

/// ReplicaSets of the namespace: name, revision, replicas; oldest revision first.
async fn sets(plane: &ControlPlane, namespace: &str) -> Result<Vec<(i64, String, i64)>> {
    let client = plane.client(User::Admin).await?;
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, namespace, &resource("apps", "v1", "ReplicaSet"));
    let mut sets = Vec::new();
    for set in api.list(&Default::default()).await?.items {
        let revision = set
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get("rollout.argoproj.io/revision"))
            .context("a set has no revision")?
            .parse()?;
        let replicas = set.data["spec"]["replicas"].as_i64().unwrap_or_default();
        sets.push((revision, set.metadata.name.unwrap_or_default(), replicas));
    }
    sets.sort();
    Ok(sets)
}

/// Names of the pods of the namespace that stay.
async fn pods(plane: &ControlPlane, namespace: &str) -> Result<Vec<String>> {
    let client = plane.client(User::Admin).await?;
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, namespace, &resource("", "v1", "Pod"));
    Ok(api
        .list(&Default::default())
        .await?
        .items
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| pod.metadata.name)
        .collect())
}

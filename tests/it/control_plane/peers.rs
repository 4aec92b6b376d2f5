//! Upstream's client runs, and drives objects of our definitions.

use anyhow::Result;
use serde_json::{Value, json};
use sluice_tests::control_plane::{User, build_peers, in_namespace};

#[tokio::test]
async fn upstreams_client_reads_and_writes_a_rollout() -> Result<()> {
    in_namespace("peers", async |plane, namespace| {
        plane.apply_shipped().await?;
        let peers =
            tokio::task::spawn_blocking(|| build_peers(|step| eprintln!("{step}"))).await??;
        let client = async |arguments: &[&str]| {
            let arguments = [arguments, &["-n", namespace]].concat();
            plane
                .run_as(User::Admin, &peers.kubectl_argo_rollouts, &arguments, None)
                .await?
                .success()
        };
        let rollout = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": "shop", "namespace": namespace.name()},
            "spec": {
                "replicas": 4,
                "selector": {"matchLabels": {"app": "shop"}},
                "template": {
                    "metadata": {"labels": {"app": "shop"}},
                    "spec": {"containers": [{"name": "web", "image": "shop:1"}]},
                },
                "strategy": {"canary": {"steps": [{"setWeight": 25}, {"pause": {}}]}},
            },
        });
        plane
            .kubectl(&["create", "-f", "-"], Some(&rollout.to_string()))
            .await?
            .success()?;

        // CLI-028
        let version = client(&["version", "--short"]).await?;
        assert!(version.contains("v1.10.0"), "{version}");
        let shown = client(&["get", "rollout", "shop", "--no-color"]).await?;
        for line in [
            "Name:            shop",
            "Strategy:        Canary",
            "Desired:       4",
        ] {
            assert!(shown.contains(line), "{line} is not in {shown}");
        }
        client(&["set", "image", "shop", "web=shop:2"]).await?;
        client(&["pause", "shop"]).await?;
        let stored = plane
            .kubectl(
                &["get", "rollout", "shop", "-n", namespace, "-o", "json"],
                None,
            )
            .await?;
        let stored: Value = serde_json::from_str(&stored.success()?)?;
        assert_eq!(
            stored["spec"]["template"]["spec"]["containers"][0]["image"],
            "shop:2"
        );
        assert_eq!(stored["spec"]["paused"], true);
        Ok(())
    })
    .await
}

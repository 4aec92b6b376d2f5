//! A blue-green switch, asked for by a user.

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn blue_green_switches_when_somebody_promotes() -> Result<()> {
    in_namespace("bluegreen", async |plane, namespace| {
        plane.apply_shipped().await?;
        let client = plane.client(User::Admin).await?;
        let manifest = workspace().join("tests/scenarios/manifests/blue-green.yaml");
        apply_files(&client, namespace, &[manifest]).await?;
        let _controller = RunningController::start(
            plane,
            namespace,
            &["--leader-elect=false", "--allow-loopback"],
        )
        .await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        let first = shop.phase("Healthy").await?;
        let blue = first["status"]["stableRS"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(selected(plane, namespace, "active").await?, blue);

        shop.release("shop:v2").await?;
        let paused = shop.phase("Paused").await?;
        let green = paused["status"]["currentPodHash"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(paused["status"]["message"], "BlueGreenPause");
        assert_eq!(selected(plane, namespace, "active").await?, blue);
        assert_eq!(selected(plane, namespace, "preview").await?, green);

        shop.patch_status(json!({ "pauseConditions": null }))
            .await?;
        shop.until("green to be stable", |rollout| {
            rollout["status"]["stableRS"] == json!(green)
        })
        .await?;
        assert_eq!(selected(plane, namespace, "active").await?, green);
        Ok(())
    })
    .await
}

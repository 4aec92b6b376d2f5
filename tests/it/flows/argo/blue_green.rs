//! Blue-green from the client's side.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_blue_green_switch_is_led_by_the_client() -> Result<()> {
    in_namespace("argo-bluegreen", async |plane, namespace| {
        let argo = ArgoClient::new(plane, namespace, &peers().await?);
        let _controller = begin(plane, namespace, &manifests::blue_green()).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        let first = shop.phase("Healthy").await?;
        let shown = argo.says(GET).await?;
        assert_shows(
            &shown,
            &[
                "Status: ✔ Healthy",
                "Strategy: BlueGreen",
                "Images: shop:1 (stable, active)",
                "└──# revision:1",
            ],
        );
        argo.says(&["set", "image", "shop", "web=shop:2"]).await?;
        let shown = shows(&argo, GET, &["Status: ॥ Paused", "⟳ shop"]).await?;
        assert_shows(
            &shown,
            &[
                "Message: BlueGreenPause",
                "Images: shop:1 (stable, active)",
                "shop:2 (preview)",
                "Desired: 4",
                "Current: 8",
                "Updated: 4",
                "├──# revision:2",
                "└──# revision:1",
            ],
        );
        assert_eq!(
            lines(&argo.says(&["list", "rollouts"]).await?)[1],
            "shop BlueGreen Paused - - 4/8 4 4 4"
        );
        // CLI-007
        let refused = argo
            .run(&["promote", "shop", "--skip-current-step"])
            .await?;
        assert!(
            refused
                .stderr
                .contains("Cannot skip steps of a bluegreen rollout"),
            "{refused:?}"
        );

        argo.says(&["abort", "shop"]).await?;
        let aborted = shop.phase("Degraded").await?;
        assert_eq!(aborted["status"]["stableRS"], first["status"]["stableRS"]);
        argo.says(&["retry", "rollout", "shop"]).await?;
        shop.phase("Paused").await?;
        argo.says(&["promote", "shop"]).await?;
        let shown = shows(
            &argo,
            GET,
            &[
                "Status: ✔ Healthy",
                "Images: shop:1",
                "shop:2 (stable, active)",
            ],
        )
        .await?;
        assert!(
            shown.contains("delay:9m") || shown.contains("delay:10m"),
            "{shown}"
        );
        let old = sets(plane, namespace).await?;
        assert!(
            matches!(&old[..], [(1, _, 4), (2, _, 4)]),
            "both have their pods: {old:?}"
        );

        // Within the delay, the way back needs no new pod.
        let before = pods(plane, namespace).await?;
        argo.says(&["undo", "shop"]).await?;
        shop.until("the first version to be stable again", |rollout| {
            rollout["status"]["stableRS"] == first["status"]["stableRS"]
                && rollout["status"]["phase"] == "Healthy"
        })
        .await?;
        assert_eq!(pods(plane, namespace).await?, before);
        let now = sets(plane, namespace).await?;
        assert_eq!(now[1].1, old[0].1, "the old set is revision 3: {now:?}");

        // CLI-006: nobody has to look at the preview.
        argo.says(&["set", "image", "shop", "web=shop:3"]).await?;
        let third = shop.phase("Paused").await?;
        let said = argo.says(&["promote", "shop", "--full"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' fully promoted");
        let said = argo.says(&["status", "shop"]).await?;
        assert_eq!(
            lines(&said).last().map(String::as_str),
            Some("Healthy"),
            "{said}"
        );
        let promoted = shop.phase("Healthy").await?;
        assert_eq!(
            promoted["status"]["stableRS"],
            third["status"]["currentPodHash"]
        );
        assert_eq!(
            json!(selected(plane, namespace, "active").await?),
            promoted["status"]["stableRS"]
        );
        Ok(())
    })
    .await
}

//! The example canary: promoted, then taken back; aborted and retried; a missing VirtualService.

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_canary_is_promoted_and_a_bad_version_is_taken_back() -> Result<()> {
    in_namespace("canary", async |plane, namespace| {
        let backend = Backend::start().await?;
        plane.apply_shipped().await?;
        apply_example(plane, namespace, "canary", &backend).await?;
        let controller = RunningController::start(
            plane,
            namespace,
            &["--leader-elect=false", "--allow-loopback"],
        )
        .await?;
        let shop = Watched::new(plane, namespace, "shop").await?;

        let first = shop.phase("Healthy").await?;
        let stable = first["status"]["stableRS"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(selected(plane, namespace, "shop-stable").await?, stable);

        shop.release("registry.example/shop:v2").await?;
        shop.until("20 % on the canary", |rollout| {
            rollout["status"]["canary"]["weights"]["canary"]["weight"] == 20
        })
        .await?;
        assert_eq!(weights(plane, namespace).await?, (80.0, 20.0));
        // Its traffic follows the promotion.
        let second = shop
            .until("the second version to be stable", |rollout| {
                rollout["status"]["phase"] == "Healthy"
                    && rollout["status"]["stableRS"] != json!(stable)
                    && rollout["status"]["canary"]["weights"]["canary"]["weight"] == 0
            })
            .await?;
        assert_eq!(weights(plane, namespace).await?, (100.0, 0.0));
        let stable = second["status"]["stableRS"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(selected(plane, namespace, "shop-stable").await?, stable);

        backend.set_thousandths(600);
        shop.release("registry.example/shop:v3").await?;
        let degraded = shop.phase("Degraded").await?;
        let message = degraded["status"]["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("Metric \"success-rate\" assessed Failed"),
            "{message}"
        );
        shop.until("weight 0", |rollout| {
            rollout["status"]["canary"]["weights"]["canary"]["weight"] == 0
        })
        .await?;
        assert_eq!(weights(plane, namespace).await?, (100.0, 0.0));
        assert_eq!(degraded["status"]["stableRS"], json!(stable));
        assert_eq!(selected(plane, namespace, "shop-canary").await?, stable);
        assert!(controller.stop().await?, "the controller ends well");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_is_carried_out_and_a_retry_begins_anew() -> Result<()> {
    in_namespace("abort", async |plane, namespace| {
        let backend = Backend::start().await?;
        plane.apply_shipped().await?;
        apply_example(plane, namespace, "canary", &backend).await?;
        let _controller = RunningController::start(
            plane,
            namespace,
            &["--leader-elect=false", "--allow-loopback"],
        )
        .await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;
        shop.release("registry.example/shop:v2").await?;
        shop.until("the first pause", |rollout| {
            rollout["status"]["phase"] == "Paused"
        })
        .await?;
        shop.patch_status(json!({ "abort": true })).await?;
        shop.phase("Degraded").await?;
        shop.until("weight 0", |rollout| {
            rollout["status"]["canary"]["weights"]["canary"]["weight"] == 0
        })
        .await?;
        shop.patch_status(json!({ "abort": false })).await?;
        shop.phase("Healthy").await?;
        let reasons = reasons(plane, namespace).await?;
        assert!(
            reasons.contains(&"RolloutAborted".to_owned()),
            "{reasons:?}"
        );
        assert!(
            reasons.contains(&"RolloutCompleted".to_owned()),
            "{reasons:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_virtual_service_is_a_condition_and_its_return_is_noticed() -> Result<()> {
    in_namespace("missing", async |plane, namespace| {
        let backend = Backend::start().await?;
        plane.apply_shipped().await?;
        apply_example(plane, namespace, "canary", &backend).await?;
        let client = plane.client(User::Admin).await?;
        let kind = resource("networking.istio.io", "v1alpha3", "VirtualService");
        let services: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
        let mut kept = services.get("shop").await?;
        services.delete("shop", &Default::default()).await?;
        let _controller = RunningController::start(
            plane,
            namespace,
            &["--leader-elect=false", "--allow-loopback"],
        )
        .await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        let degraded = shop.phase("Degraded").await?;
        let message = degraded["status"]["message"].as_str().unwrap_or_default();
        assert!(
            message.starts_with("InvalidSpec: The Rollout \"shop\" is invalid: "),
            "{message}"
        );
        assert!(message.contains("shop"), "{message}");
        kept.metadata.resource_version = None;
        kept.metadata.uid = None;
        kept.metadata.managed_fields = None;
        services.create(&Default::default(), &kept).await?;
        shop.phase("Healthy").await?;
        Ok(())
    })
    .await
}

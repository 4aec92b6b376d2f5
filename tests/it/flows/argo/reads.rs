//! What other programs read of a Rollout.

use super::*;

/// Argo CD and autoscalers do.
#[tokio::test(flavor = "multi_thread")]
async fn what_other_programs_read_is_there() -> Result<()> {
    in_namespace("argo-reads", async |plane, namespace| {
        let backend = Backend::start().await?;
        let argo = ArgoClient::new(plane, namespace, &peers().await?);
        let _controller = begin(plane, namespace, &manifests::canary(backend.address())).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;
        argo.says(&["set", "image", "shop", "web=shop:2"]).await?;
        let paused = shop.phase("Paused").await?;
        let status = &paused["status"];
        // Argo CD's health check compares texts.
        assert!(status["observedGeneration"].is_string(), "{status:#}");
        assert_eq!(
            status["observedGeneration"],
            json!(paused["metadata"]["generation"].to_string())
        );
        assert_eq!(status["message"], "CanaryPauseStep");
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/shop/scale");
        let scale = plane.kubectl(&["get", "--raw", &path], None).await?;
        let scale: Value = serde_json::from_str(&scale.success()?)?;
        assert_eq!(scale["spec"]["replicas"], 4);
        assert_eq!(scale["status"]["replicas"], 5);
        // HPA-001: every pod of the Rollout is selected.
        assert_eq!(scale["status"]["selector"], "app=shop");
        argo.says(&["abort", "shop"]).await?;
        let aborted = shop.phase("Degraded").await?;
        assert_eq!(
            aborted["status"]["message"],
            "RolloutAborted: Rollout aborted update to revision 2"
        );
        Ok(())
    })
    .await
}

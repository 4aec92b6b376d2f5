//! One controller at a time, and the lease given back on stop.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_given_back_so_that_the_next_controller_starts_at_once() -> Result<()> {
    in_namespace("lease", async |plane, namespace| {
        plane.apply_shipped().await?;
        let client = plane.client(User::Admin).await?;
        let manifest = workspace().join("tests/scenarios/manifests/basic.yaml");
        let first = RunningController::start(plane, namespace, &[]).await?;
        apply_files(&client, namespace, &[manifest]).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;
        let kind = resource("coordination.k8s.io", "v1", "Lease");
        let leases: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
        // CTL-008
        let held = leases.get("argo-rollouts-controller-lock").await?;
        assert!(
            !held.data["spec"]["holderIdentity"]
                .as_str()
                .unwrap_or_default()
                .is_empty()
        );
        assert!(first.stop().await?, "the controller ends well");
        let free = leases.get("argo-rollouts-controller-lock").await?;
        assert_eq!(
            free.data["spec"]["holderIdentity"]
                .as_str()
                .unwrap_or_default(),
            ""
        );
        let _second = RunningController::start(plane, namespace, &[]).await?;
        shop.release("shop:v2").await?;
        shop.until("the second controller's work", |rollout| {
            rollout["status"]["phase"] == "Paused"
        })
        .await?;
        Ok(())
    })
    .await
}

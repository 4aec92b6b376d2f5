//! Rollouts that are deleted: what their router has marked is free afterwards, be it that nobody watched.

use super::*;

const SUBSETS: &str = "tests/scenarios/manifests/subsets.yaml";

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_rollout_leaves_no_mark_on_a_destination_rule() -> Result<()> {
    in_namespace("deleted", async |plane, namespace| {
        plane.apply_shipped().await?;
        apply_subsets(plane, namespace).await?;
        let controller = start(plane, namespace).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;
        shop.release("shop:v2").await?;
        shop.phase("Paused").await?;
        assert_eq!(marks(plane, namespace).await?, (2, true));
        assert_eq!(weights(plane, namespace).await?, (80.0, 20.0));

        shop.api.delete("shop", &Default::default()).await?;
        until_free(plane, namespace).await?;
        assert_eq!(weights(plane, namespace).await?, (100.0, 0.0));

        // The next one is deleted while no controller runs.
        apply_subsets(plane, namespace).await?;
        shop.phase("Healthy").await?;
        until(plane, namespace, (2, true)).await?;
        assert!(controller.stop().await?, "the controller ends well");
        shop.api.delete("shop", &Default::default()).await?;
        assert_eq!(marks(plane, namespace).await?, (2, true));
        let controller = start(plane, namespace).await?;
        until_free(plane, namespace).await?;
        assert!(controller.stop().await?, "the controller ends well");
        Ok(())
    })
    .await
}

async fn start(plane: &ControlPlane, namespace: &str) -> Result<RunningController> {
    RunningController::start(plane, namespace, &["--leader-elect=false"]).await
}

async fn apply_subsets(plane: &ControlPlane, namespace: &str) -> Result<()> {
    let client = plane.client(User::Admin).await?;
    apply_files(&client, "default", &[istio_definitions()]).await?;
    apply_files(&client, namespace, &[workspace().join(SUBSETS)]).await?;
    Ok(())
}

/// How many subsets of the DestinationRule have a hash, and whether it says whose it is.
async fn marks(plane: &ControlPlane, namespace: &str) -> Result<(usize, bool)> {
    let client = plane.client(User::Admin).await?;
    let kind = resource("networking.istio.io", "v1alpha3", "DestinationRule");
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
    let rule = serde_json::to_value(api.get("shop").await?)?;
    let subsets = rule.pointer("/spec/subsets").and_then(Value::as_array);
    let labelled = subsets
        .into_iter()
        .flatten()
        .filter(|subset| subset["labels"]["rollouts-pod-template-hash"] != json!(null))
        .count();
    let annotation =
        &rule["metadata"]["annotations"]["argo-rollouts.argoproj.io/managed-by-rollouts"];
    Ok((labelled, *annotation == json!("shop")))
}

async fn until_free(plane: &ControlPlane, namespace: &str) -> Result<()> {
    until(plane, namespace, (0, false)).await
}

async fn until(plane: &ControlPlane, namespace: &str, wanted: (usize, bool)) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = marks(plane, namespace).await?;
        if found == wanted {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("the DestinationRule never had {wanted:?}: {found:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

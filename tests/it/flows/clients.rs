//! kubectl as users use it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_gets_and_scales() -> Result<()> {
    in_namespace("kubectl", async |plane, namespace| {
        plane.apply_shipped().await?;
        let manifest = workspace().join("tests/scenarios/manifests/basic.yaml");
        let manifest = manifest.to_string_lossy();
        plane
            .kubectl(&["apply", "-n", namespace, "-f", &manifest], None)
            .await?
            .success()?;
        let _controller = RunningController::start(
            plane,
            namespace,
            &["--leader-elect=false", "--allow-loopback"],
        )
        .await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;
        // BASE-003
        let table = plane
            .kubectl(&["get", "rollouts", "-n", namespace], None)
            .await?
            .success()?;
        let cells: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            cells[0],
            [
                "NAME",
                "DESIRED",
                "CURRENT",
                "UP-TO-DATE",
                "AVAILABLE",
                "AGE"
            ]
        );
        assert_eq!(cells[1][..5], ["shop", "5", "5", "5", "5"]);
        // BASE-002, HPA-001
        plane
            .kubectl(
                &["scale", "rollout", "shop", "--replicas=7", "-n", namespace],
                None,
            )
            .await?
            .success()?;
        shop.until("seven available pods", |rollout| {
            rollout["status"]["availableReplicas"] == 7
        })
        .await?;
        // A second apply of the same file changes what it says, and nothing that the controller wrote.
        plane
            .kubectl(&["apply", "-n", namespace, "-f", &manifest], None)
            .await?
            .success()?;
        let again = shop
            .until("five pods again", |rollout| {
                rollout["status"]["replicas"] == 5
            })
            .await?;
        assert_eq!(
            again["metadata"]["annotations"]["rollout.argoproj.io/revision"],
            "1"
        );
        Ok(())
    })
    .await
}

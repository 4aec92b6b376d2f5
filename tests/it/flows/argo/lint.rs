//! `lint` needs no controller: it shows that what we accept and refuse is what upstream's client does.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn lint_says_what_the_controller_says() -> Result<()> {
    in_namespace("argo-lint", async |plane, namespace| {
        plane.apply_shipped().await?;
        let argo = ArgoClient::new(plane, namespace, &peers().await?);
        let place = plane.folder().join(format!("{namespace}.yaml"));
        let file = place.to_string_lossy().into_owned();

        // CLI-022
        let good = manifests::blue_green();
        let documents: Vec<String> = good["items"]
            .as_array()
            .context("a list has items")?
            .iter()
            .map(Value::to_string)
            .collect();
        std::fs::write(&place, documents.join("\n---\n"))?;
        assert_eq!(argo.says(&["lint", "-f", &file]).await?, "");

        let mut bad = good["items"][2].clone();
        bad["spec"]["strategy"] = json!({ "canary": { "steps": [{ "setWeight": 101 }] } });
        std::fs::write(&place, bad.to_string())?;
        let refused = argo.run(&["lint", "-f", &file]).await?;
        assert!(!refused.status.success());
        let _controller =
            RunningController::start(plane, namespace, &["--leader-elect=false"]).await?;
        plane
            .kubectl(
                &["create", "-n", namespace, "-f", "-"],
                Some(&bad.to_string()),
            )
            .await?
            .success()?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        let degraded = shop.phase("Degraded").await?;
        let message = degraded["status"]["message"].as_str().unwrap_or_default();
        let why = message
            .strip_prefix("InvalidSpec: The Rollout \"shop\" is invalid: ")
            .with_context(|| format!("{message:?}"))?;
        assert!(
            refused.stderr.contains(why) || refused.stdout.contains(why),
            "{why:?} in {refused:?}"
        );
        Ok(())
    })
    .await
}

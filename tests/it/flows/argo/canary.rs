//! A canary from the client's side.

use anyhow::ensure;

use super::*;

// CLI-016, CLI-017
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_led_by_the_client() -> Result<()> {
    in_namespace("argo-canary", async |plane, namespace| {
        let backend = Backend::start().await?;
        let argo = ArgoClient::new(plane, namespace, &peers().await?);
        let _controller =
            begin(plane, namespace, &manifests::canary(backend.address())).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;

        // CLI-012 to CLI-014, CLI-018
        let shown = shows(&argo, GET, &["Status: ✔ Healthy", "└──□ shop-"]).await?;
        assert_shows(
            &shown,
            &[
                "Name: shop",
                &format!("Namespace: {namespace}"),
                "Status: ✔ Healthy",
                "Strategy: Canary",
                "Step: 7/7",
                "SetWeight: 100",
                "ActualWeight: 100",
                "Images: shop:1 (stable)",
                "Replicas:",
                "Desired: 4",
                "Current: 4",
                "Updated: 4",
                "Ready: 4",
                "Available: 4",
                "NAME KIND STATUS AGE INFO",
                "⟳ shop Rollout ✔ Healthy",
                "└──# revision:1",
                "└──⧉ shop-",
            ],
        );
        let set = line(&shown, "⧉ shop-");
        assert!(
            set.contains("ReplicaSet ✔ Healthy") && set.ends_with(" stable"),
            "{set}"
        );
        assert_eq!(shown.matches("Pod").count(), 4, "{shown}");
        assert_eq!(shown.matches("ready:1/1").count(), 4, "{shown}");
        // CLI-011
        assert_eq!(argo.says(&["status", "shop"]).await?.trim(), "Healthy");
        // CLI-020
        let list = argo.says(&["list", "rollouts"]).await?;
        assert_eq!(
            lines(&list),
            [
                "NAME STRATEGY STATUS STEP SET-WEIGHT READY DESIRED UP-TO-DATE AVAILABLE",
                "shop Canary Healthy 7/7 100 4/4 4 4 4",
            ]
        );

        // CLI-010
        let said = argo.says(&["set", "image", "shop", "web=shop:2"]).await?;
        assert_eq!(said.trim(), "rollout \"shop\" image updated");
        let shown = shows(&argo, GET, &["Status: ॥ Paused", "Step: 1/7", "⟳ shop"]).await?;
        assert_shows(
            &shown,
            &[
                "Status: ॥ Paused",
                "Message: CanaryPauseStep",
                "Step: 1/7",
                "SetWeight: 25",
                "ActualWeight: 25",
                "Images: shop:1 (stable)",
                "shop:2 (canary)",
                "Desired: 4",
                "Current: 5",
                "Updated: 1",
                "Ready: 5",
                "Available: 5",
                "⟳ shop Rollout ॥ Paused",
                "├──# revision:2",
                "│ └──⧉ shop-",
                "│ └──□ shop-",
                "└──# revision:1",
                "└──⧉ shop-",
            ],
        );
        let list = argo.says(&["list", "rollouts"]).await?;
        assert_eq!(lines(&list)[1], "shop Canary Paused 1/7 25 5/5 4 1 5");
        let paused = argo.says(&["status", "shop", "--watch=false"]).await?;
        assert_eq!(paused.trim(), "Paused - CanaryPauseStep");
        let waited = argo.run(&["status", "shop", "--timeout", "1s"]).await?;
        assert!(!waited.status.success());
        assert!(
            waited
                .stderr
                .contains("Rollout status watch exceeded timeout"),
            "{waited:?}"
        );

        // CLI-005, CLI-015: the step ends, the next analysis is shown.
        let said = argo.says(&["promote", "shop"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' promoted");
        let shown = shows(&argo, GET, &["Status: ॥ Paused", "Step: 4/7"]).await?;
        assert_shows(&shown, &["SetWeight: 50", "ActualWeight: 50"]);
        let run = line(&shown, "α shop-");
        assert!(
            run.contains("-2-3 AnalysisRun ✔ Successful") && run.ends_with("✔ 1"),
            "{run}"
        );

        // CLI-004: a pause of the user's is in force until it is promoted.
        let said = argo.says(&["pause", "shop"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' paused");
        shop.until("spec.paused observed", |rollout| {
            rollout["spec"]["paused"] == true && observed(rollout)
        })
        .await?;
        assert_shows(&argo.says(GET).await?, &["Status: ॥ Paused"]);
        argo.says(&["promote", "shop"]).await?;
        shows(&argo, GET, &["Status: ॥ Paused", "Step: 6/7", "SetWeight: 75"]).await?;
        assert_eq!(weights(plane, namespace).await?, (25.0, 75.0));

        // CLI-001
        let watching = argo.start(&["status", "shop"])?;
        let said = argo.says(&["abort", "shop"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' aborted");
        let watched = watching.wait_with_output().await?;
        assert!(!watched.status.success());
        let complaint = String::from_utf8_lossy(&watched.stderr);
        assert!(
            complaint.contains(
                "The rollout is in a degraded state with message: RolloutAborted: Rollout aborted update to revision 2"
            ),
            "{complaint}"
        );
        let shown = shows(&argo, GET, &["Status: ✖ Degraded", "ActualWeight: 0"]).await?;
        assert_shows(
            &shown,
            &[
                "Message: RolloutAborted: Rollout aborted update to revision 2",
                "Step: 0/7",
                "SetWeight: 0",
                "ActualWeight: 0",
            ],
        );
        // CLI-014: announced once the router is known to send the canary nothing.
        let began = Instant::now();
        while !argo.says(GET).await?.contains("canary,delay:") {
            ensure!(began.elapsed() < PATIENCE, "the canary's end is never announced");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(weights(plane, namespace).await?, (100.0, 0.0));

        // CLI-002
        let said = argo.says(&["retry", "rollout", "shop"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' retried");
        shows(&argo, GET, &["Status: ॥ Paused", "Step: 1/7"]).await?;
        // CLI-007
        argo.says(&["promote", "shop", "--skip-current-step"]).await?;
        shop.until("step 4", |rollout| {
            rollout["status"]["currentStepIndex"] == 4
        })
        .await?;

        // CLI-006, and what `status` prints on the way.
        let watching = argo.start(&["status", "shop"])?;
        let said = argo.says(&["promote", "shop", "--full"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' fully promoted");
        let watched = watching.wait_with_output().await?;
        let said = String::from_utf8_lossy(&watched.stdout).into_owned();
        assert!(watched.status.success(), "{watched:?}");
        assert_eq!(lines(&said).last().map(String::as_str), Some("Healthy"), "{said}");
        let shown = shows(&argo, GET, &["Status: ✔ Healthy"]).await?;
        assert_shows(&shown, &["Step: 7/7", "SetWeight: 100", "ActualWeight: 100"]);
        assert_eq!(weights(plane, namespace).await?, (100.0, 0.0));

        // CLI-004, where nothing but the user pauses it.
        argo.says(&["pause", "shop"]).await?;
        shows(&argo, GET, &["Status: ॥ Paused", "Message: manually paused"]).await?;
        let paused = argo.says(&["status", "shop", "--watch=false"]).await?;
        assert_eq!(paused.trim(), "Paused - manually paused");
        argo.says(&["promote", "shop"]).await?;
        shows(&argo, GET, &["Status: ✔ Healthy"]).await?;

        // CLI-007
        argo.says(&["set", "image", "shop", "web=shop:3"]).await?;
        shows(&argo, GET, &["Status: ॥ Paused", "Step: 1/7"]).await?;
        let said = argo.says(&["promote", "shop", "--skip-all-steps"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' promoted");
        let wanted = ["Status: ✔ Healthy", "Step: 7/7", "Images: shop:3 (stable)"];
        shows(&argo, GET, &wanted).await?;
        assert_eq!(weights(plane, namespace).await?, (100.0, 0.0));
        Ok(())
    })
    .await
}

// CLI-005, RAN-005: a measurement says neither yes nor no, and somebody decides.
#[tokio::test(flavor = "multi_thread")]
async fn an_inconclusive_analysis_is_promoted_by_the_client() -> Result<()> {
    in_namespace("argo-inconclusive", async |plane, namespace| {
        let backend = Backend::start().await?;
        let argo = ArgoClient::new(plane, namespace, &peers().await?);
        let _controller = begin(plane, namespace, &manifests::canary(backend.address())).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        shop.phase("Healthy").await?;
        argo.says(&["set", "image", "shop", "web=shop:2"]).await?;
        shop.phase("Paused").await?;
        backend.set_thousandths(700);
        argo.says(&["promote", "shop"]).await?;
        let wanted = [
            "Status: ॥ Paused",
            "Message: InconclusiveAnalysisRun",
            "Step: 3/7",
        ];
        let shown = shows(&argo, GET, &wanted).await?;
        assert_shows(&shown, &["SetWeight: 50", "ActualWeight: 50"]);
        let run = line(&shown, "α shop-");
        assert!(
            run.contains("-2-3 AnalysisRun ? Inconclusive") && run.ends_with("? 1"),
            "{run}"
        );
        argo.says(&["promote", "shop"]).await?;
        let wanted = ["Status: ॥ Paused", "Message: CanaryPauseStep", "Step: 4/7"];
        shows(&argo, GET, &wanted).await?;
        argo.says(&["promote", "shop"]).await?;
        shows(
            &argo,
            GET,
            &["Status: ॥ Paused", "Step: 6/7", "SetWeight: 75"],
        )
        .await?;
        assert_eq!(weights(plane, namespace).await?, (25.0, 75.0));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_finds_the_old_set_and_restart_renews_the_pods() -> Result<()> {
    in_namespace("argo-undo", async |plane, namespace| {
        let backend = Backend::start().await?;
        let argo = ArgoClient::new(plane, namespace, &peers().await?);
        let _controller = begin(plane, namespace, &manifests::canary(backend.address())).await?;
        let shop = Watched::new(plane, namespace, "shop").await?;
        let first = shop.phase("Healthy").await?;
        argo.says(&["set", "image", "shop", "web=shop:2"]).await?;
        shop.phase("Paused").await?;
        argo.says(&["promote", "shop", "--full"]).await?;
        let second = shop.phase("Healthy").await?;
        assert_ne!(first["status"]["stableRS"], second["status"]["stableRS"]);
        let [(1, one, _), (2, two, _)] = &sets(plane, namespace).await?[..] else {
            bail!("two sets: {:?}", sets(plane, namespace).await?);
        };
        let (one, two) = (one.clone(), two.clone());

        // CLI-009: the template that is written back is the defaulted one, and means the old set.
        let said = argo.says(&["undo", "shop", "--to-revision=2"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' undo");
        let same = shop.phase("Healthy").await?;
        assert_eq!(same["status"]["stableRS"], second["status"]["stableRS"]);
        let said = argo.says(&["undo", "shop", "--to-revision=2"]).await?;
        assert_eq!(
            said.trim(),
            "skipped rollback (current template already matches revision 2)"
        );
        let said = argo.says(&["undo", "shop"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' undo");
        shop.until("the update back", |rollout| {
            observed(rollout)
                && rollout["status"]["phase"] == "Paused"
                && rollout["status"]["currentPodHash"] == first["status"]["stableRS"]
        })
        .await?;
        let names = |sets: &[(i64, String, i64)]| -> Vec<(i64, String)> {
            sets.iter()
                .map(|(revision, name, _)| (*revision, name.clone()))
                .collect()
        };
        let expected = [(2, two.clone()), (3, one.clone())];
        assert_eq!(names(&sets(plane, namespace).await?), expected);
        argo.says(&["promote", "shop", "--full"]).await?;
        shop.phase("Healthy").await?;
        // And back to the other one.
        argo.says(&["undo", "shop"]).await?;
        shop.until("the update back", |rollout| {
            observed(rollout)
                && rollout["status"]["phase"] == "Paused"
                && rollout["status"]["currentPodHash"] == second["status"]["stableRS"]
        })
        .await?;
        let expected = [(3, one), (4, two)];
        assert_eq!(names(&sets(plane, namespace).await?), expected);
        let missing = argo.run(&["undo", "shop", "--to-revision=9"]).await?;
        assert!(!missing.status.success());
        assert!(
            missing
                .stderr
                .contains("unable to find specified revision 9 in history"),
            "{missing:?}"
        );
        argo.says(&["promote", "shop", "--full"]).await?;
        shop.phase("Healthy").await?;
        shop.until("only four pods", |rollout| {
            rollout["status"]["replicas"] == 4
        })
        .await?;

        // CLI-008, RST rows: whole seconds are compared, so the pods must be older than that.
        let before = pods(plane, namespace).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let said = argo.says(&["restart", "shop"]).await?;
        assert_eq!(said.trim(), "rollout 'shop' restarts in 0s");
        let restarted = shop
            .until("the restart to be over", |rollout| {
                !rollout["status"]["restartedAt"].is_null()
                    && rollout["status"]["availableReplicas"] == 4
                    && rollout["status"]["phase"] == "Healthy"
            })
            .await?;
        assert_eq!(
            restarted["status"]["restartedAt"],
            restarted["spec"]["restartAt"]
        );
        let after = pods(plane, namespace).await?;
        assert!(
            after.iter().all(|pod| !before.contains(pod)),
            "{before:?} {after:?}"
        );
        Ok(())
    })
    .await
}

/// The first line that has this in it.
fn line(text: &str, part: &str) -> String {
    lines(text)
        .into_iter()
        .find(|line| line.contains(part))
        .unwrap_or_default()
}

fn observed(rollout: &Value) -> bool {
    rollout["status"]["observedGeneration"] == json!(rollout["metadata"]["generation"].to_string())
}

//! What `deploy/` ships, as the real API server takes it.

use anyhow::{Result, ensure};
use sluice_tests::control_plane::{User, in_namespace, workspace};

#[tokio::test]
async fn the_api_server_takes_every_manifest_of_an_installation() -> Result<()> {
    in_namespace("deploy", async |plane, namespace| {
        plane.apply_shipped().await?;
        let deploy = workspace().join("deploy");
        let rendered = plane
            .kubectl(&["kustomize", &deploy.to_string_lossy()], None)
            .await?
            .success()?;
        // The test's own namespace stands for the one that whoever installs has made.
        let rendered = rendered.replace(
            "namespace: argo-rollouts\n",
            &format!("namespace: {namespace}\n"),
        );
        let said = plane
            .kubectl(
                &[
                    "apply",
                    "--dry-run=server",
                    "--server-side",
                    "--force-conflicts",
                    "-f",
                    "-",
                ],
                Some(&rendered),
            )
            .await?
            .success()?;
        for object in [
            "customresourcedefinition.apiextensions.k8s.io/rollouts.argoproj.io",
            "customresourcedefinition.apiextensions.k8s.io/analysisruns.argoproj.io",
            "clusterrole.rbac.authorization.k8s.io/argo-rollouts ",
            "clusterrole.rbac.authorization.k8s.io/argo-rollouts-aggregate-to-admin",
            "clusterrolebinding.rbac.authorization.k8s.io/argo-rollouts ",
            "deployment.apps/argo-rollouts ",
            "service/argo-rollouts-metrics ",
            "serviceaccount/argo-rollouts ",
        ] {
            ensure!(said.contains(object), "{object} is missing:\n{said}");
        }
        // A warning is a field that the API server does not know or does not like.
        ensure!(!said.contains("Warning"), "{said}");
        Ok(())
    })
    .await
}

/// The rights that the controller asks for are those that it has been given, no more.
#[tokio::test]
async fn the_controllers_rights_reach_no_secret_of_its_own_making() -> Result<()> {
    in_namespace("rights", async |plane, namespace| {
        plane.apply_shipped().await?;
        for (verb, resource, allowed) in [
            ("patch", "rollouts.argoproj.io", true),
            ("patch", "rollouts.argoproj.io/status", true),
            ("patch", "virtualservices.networking.istio.io", true),
            ("create", "replicasets.apps", true),
            ("create", "events", true),
            ("update", "leases.coordination.k8s.io", true),
            ("create", "secrets", false),
            ("delete", "pods", false),
            (
                "create",
                "clusterrolebindings.rbac.authorization.k8s.io",
                false,
            ),
            ("delete", "virtualservices.networking.istio.io", false),
            ("delete", "rollouts.argoproj.io", false),
        ] {
            let said = plane
                .kubectl_as(
                    User::Controller,
                    &["auth", "can-i", verb, resource, "-n", namespace],
                    None,
                )
                .await?;
            let answer = said.stdout.trim() == "yes";
            ensure!(
                answer == allowed,
                "{verb} {resource}: {}{}",
                said.stdout,
                said.stderr
            );
        }
        Ok(())
    })
    .await
}

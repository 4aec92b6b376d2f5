//! The generated definitions of our kinds, as the real API server takes them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};
use sluice_tests::control_plane::{ControlPlane, User, apply_files, in_namespace, workspace};
use sluice_tests::istio_definitions;
use tokio::time::sleep;

use super::PATIENCE;

/// The kinds of the compatibility contract, and ours.
const KINDS: &[(&str, &str, &str)] = &[
    ("argoproj.io", "v1alpha1", "Rollout"),
    ("argoproj.io", "v1alpha1", "AnalysisTemplate"),
    ("argoproj.io", "v1alpha1", "ClusterAnalysisTemplate"),
    ("argoproj.io", "v1alpha1", "AnalysisRun"),
    ("argoproj.io", "v1alpha1", "Experiment"),
];

fn definitions() -> PathBuf {
    workspace().join("deploy/crds")
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

async fn rollouts(plane: &ControlPlane, namespace: &str) -> Result<Api<DynamicObject>> {
    let client = plane.client(User::Admin).await?;
    Ok(Api::namespaced_with(
        client,
        namespace,
        &resource("argoproj.io", "v1alpha1", "Rollout"),
    ))
}

fn rollout(spec: Value) -> Result<DynamicObject> {
    let meta = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "shop"}, "spec": spec});
    Ok(serde_json::from_value(meta)?)
}

#[tokio::test]
async fn every_kind_is_served_after_a_server_side_apply() -> Result<()> {
    in_namespace("crds", async |plane, _| {
        plane.apply_shipped().await?;
        for (group, version, kind) in KINDS {
            let api = Api::<DynamicObject>::all_with(
                plane.client(User::Admin).await?,
                &resource(group, version, kind),
            );
            api.list(&Default::default())
                .await
                .with_context(|| format!("{kind} is not served"))?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_applies_the_definitions_in_both_ways() -> Result<()> {
    in_namespace("crds", async |plane, _| {
        let folder = definitions().display().to_string();
        for arguments in [
            &["apply", "-k", &folder] as &[&str],
            // A second time, over what the first left.
            &["apply", "-k", &folder],
            &["apply", "--server-side", "--force-conflicts", "-k", &folder],
            &[
                "wait",
                "--for=condition=Established",
                "--timeout=60s",
                "crd/rollouts.argoproj.io",
            ],
        ] {
            let said = plane
                .kubectl(arguments, None)
                .await?
                .success()
                .with_context(|| format!("{arguments:?}"))?;
            assert!(said.contains("rollouts.argoproj.io"), "{said}");
        }
        // What the API server does not like about a schema without refusing it.
        let definitions = plane
            .kubectl(
                &[
                    "get",
                    "crds",
                    "-o",
                    "jsonpath={.items[*].status.conditions}",
                ],
                None,
            )
            .await?
            .success()?;
        assert!(
            !definitions.contains("NonStructuralSchema"),
            "{definitions}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_explains_the_fields_of_a_rollout() -> Result<()> {
    in_namespace("crds", async |plane, _| {
        plane.apply_shipped().await?;
        for (path, fields) in [
            (
                "rollout.spec",
                &[
                    "strategy",
                    "replicas",
                    "workloadRef",
                    "progressDeadlineSeconds",
                ] as &[&str],
            ),
            (
                "rollout.spec.strategy.canary",
                &["steps", "trafficRouting", "canaryService"],
            ),
            ("analysistemplate.spec", &["metrics", "args"]),
        ] {
            // The API server publishes what it serves a moment later.
            let start = Instant::now();
            let explained = loop {
                let output = plane.kubectl(&["explain", path], None).await?;
                if output.status.success() || start.elapsed() > PATIENCE {
                    break output.success()?;
                }
                sleep(Duration::from_millis(200)).await;
            };
            for field in fields {
                assert!(
                    explained
                        .lines()
                        .any(|line| line.trim_start().starts_with(&format!("{field}\t"))),
                    "{field}: {explained}"
                );
            }
        }
        Ok(())
    })
    .await
}

// BASE-002, BASE-016, BASE-017
#[tokio::test]
async fn a_rollout_keeps_its_fields_and_loses_unknown_ones() -> Result<()> {
    in_namespace("rollout", async |plane, namespace| {
        plane.apply_shipped().await?;
        let rollouts = rollouts(plane, namespace).await?;
        let known = json!({
            "replicas": 7,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 321,
            "progressDeadlineAbort": true,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}, "annotations": {"a": "b"}},
                "spec": {"containers": [{
                    "name": "shop",
                    "image": "shop:1",
                    "ports": [{"containerPort": 8080}],
                    "resources": {"requests": {"cpu": "100m"}},
                    // A field of a Kubernetes that is newer than this definition.
                    "fieldOfTomorrow": {"kept": true},
                }]},
            },
            "strategy": {"canary": {
                "canaryService": "shop-canary",
                "stableService": "shop-stable",
                "maxSurge": "25%",
                "maxUnavailable": 0,
                "steps": [
                    {"setWeight": 20},
                    {"pause": {"duration": "10s"}},
                    {"pause": {"duration": 30}},
                    {"pause": {}},
                    {"setCanaryScale": {"weight": 50}},
                    {"analysis": {"templates": [{"templateName": "errors"}], "args": [{"name": "host", "value": "shop"}]}},
                ],
                "trafficRouting": {
                    "istio": {"virtualService": {"name": "shop", "routes": ["primary"]}},
                    "plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "shop", "namespace": "default"}},
                },
            }},
        });
        let mut sent = rollout(known.clone())?;
        sent.data["spec"]["sails"] = json!(3);
        sent.data["spec"]["strategy"]["canary"]["sails"] = json!({"colour": "red"});
        rollouts.create(&PostParams::default(), &sent).await?;
        assert_eq!(rollouts.get("shop").await?.data["spec"], known);

        // The status has a door of its own, and the other does not lead there.
        let status = json!({"status": {"phase": "Paused", "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-01-02T03:04:05Z"}]}});
        rollouts.patch("shop", &PatchParams::default(), &Patch::Merge(&status)).await?;
        assert_eq!(rollouts.get("shop").await?.data["status"]["phase"], Value::Null);
        rollouts.patch_status("shop", &PatchParams::default(), &Patch::Merge(&status)).await?;
        let stored = rollouts.get("shop").await?;
        assert_eq!(stored.data["status"], status["status"]);
        assert_eq!(stored.data["spec"], known);

        // As an autoscaler does.
        plane.kubectl(&["scale", "rollout/shop", "--replicas=5", "-n", namespace], None).await?.success()?;
        assert_eq!(rollouts.get("shop").await?.data["spec"]["replicas"], 5);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_field_of_a_wrong_type_is_refused_by_its_name() -> Result<()> {
    in_namespace("rollout", async |plane, namespace| {
        plane.apply_shipped().await?;
        let rollouts = rollouts(plane, namespace).await?;
        for (spec, field) in [
            (json!({"replicas": "three"}), "spec.replicas"),
            (
                json!({"strategy": {"canary": {"steps": {"setWeight": 1}}}}),
                "spec.strategy.canary.steps",
            ),
            (
                json!({"strategy": {"blueGreen": {"activeService": 1}}}),
                "spec.strategy.blueGreen.activeService",
            ),
        ] {
            let refused = rollouts
                .create(&PostParams::default(), &rollout(spec)?)
                .await;
            let Err(kube::Error::Api(status)) = refused else {
                anyhow::bail!("{field} was taken")
            };
            ensure!(
                status.message.contains(field),
                "{field}: {}",
                status.message
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_istio_kinds_of_the_tests_take_any_spec_in_each_version() -> Result<()> {
    in_namespace("istio", async |plane, namespace| {
        let client = plane.client(User::Admin).await?;
        apply_files(&client, namespace, &[istio_definitions()]).await?;
        for kind in ["VirtualService", "DestinationRule"] {
            let api = |version| Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource("networking.istio.io", version, kind));
            let spec = json!({"hosts": ["shop"], "http": [{"name": "primary", "route": [{"weight": 100, "x": [1]}]}]});
            let sent = serde_json::from_value(json!({
                "apiVersion": "networking.istio.io/v1alpha3", "kind": kind, "metadata": {"name": "shop"}, "spec": spec,
            }))?;
            api("v1alpha3").create(&PostParams::default(), &sent).await?;
            for version in ["v1alpha3", "v1beta1", "v1"] {
                assert_eq!(api(version).get("shop").await?.data["spec"], spec, "{kind} {version}");
            }
        }
        Ok(())
    })
    .await
}

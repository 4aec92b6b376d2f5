//! Who may do what, how requests are counted, and kubectl.

use anyhow::{Context, Result};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchParams};
use serde_json::{Value, json};
use sluice_tests::control_plane::{Requests, User, in_namespace};

fn map(name: &str) -> Result<ConfigMap> {
    Ok(serde_json::from_value(json!({"metadata": {"name": name}}))?)
}

#[tokio::test]
async fn the_requests_of_a_user_are_counted_by_verb_and_resource() -> Result<()> {
    in_namespace("requests", async |plane, namespace| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let key =
            |verb: &str, resource: &str| (verb.to_owned(), resource.to_owned(), String::new());
        let peer = Api::<ConfigMap>::namespaced(plane.client(User::Peer).await?, namespace);
        for name in ["a", "b", "c"] {
            peer.create(&PostParams::default(), &map(name)?).await?;
        }
        peer.get("a").await?;
        peer.patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"data": {"k": "v"}})),
        )
        .await?;
        let listed = peer.list(&ListParams::default()).await?;
        // Still open while it is counted.
        let watch = peer
            .watch(
                &WatchParams::default(),
                &listed.metadata.resource_version.unwrap_or_default(),
            )
            .await?;
        pin_mut!(watch);
        let admin = Api::<ConfigMap>::namespaced(plane.client(User::Admin).await?, namespace);
        admin.create(&PostParams::default(), &map("d")?).await?;
        watch
            .next()
            .await
            .context("the watch shows the new object")??;

        let expected: Requests = [
            ("create", 3),
            ("get", 1),
            ("list", 1),
            ("patch", 1),
            ("watch", 1),
        ]
        .map(|(verb, count)| (key(verb, "configmaps"), count))
        .into();
        assert_eq!(plane.requests_in(User::Peer, namespace).await?, expected);
        assert_eq!(
            plane
                .requests_in(User::Admin, namespace)
                .await?
                .get(&key("create", "configmaps")),
            Some(&1)
        );
        assert_eq!(
            plane.requests_in(User::Peer, "no-such-namespace").await?,
            Requests::new()
        );
        assert!(
            plane
                .requests(User::Peer)
                .await?
                .get(&key("create", "configmaps"))
                >= Some(&3)
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_controller_may_do_only_what_rules_allow() -> Result<()> {
    in_namespace("rules", async |plane, namespace| {
        // Something that the controller's own rules never allow, whatever another test has applied.
        let controller = Api::<LimitRange>::namespaced(plane.client(User::Controller).await?, namespace);
        let refused = controller.list(&ListParams::default()).await;
        assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");
        let rules = json!({"apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "reader", "namespace": namespace.name()},
                "rules": [{"apiGroups": [""], "resources": ["limitranges"], "verbs": ["list"]}],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "reader", "namespace": namespace.name()},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "ServiceAccount", "name": "argo-rollouts", "namespace": "argo-rollouts"}],
            },
        ]});
        plane.kubectl(&["apply", "-f", "-"], Some(&rules.to_string())).await?.success()?;
        let allowed = plane.kubectl_as(User::Controller, &["get", "limitranges", "-n", namespace], None).await?;
        allowed.success()?;
        let refused = plane.kubectl_as(User::Controller, &["get", "resourcequotas", "-n", namespace], None).await?;
        assert!(refused.stderr.contains("forbidden"), "{refused:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_sees_the_version_that_was_built() -> Result<()> {
    in_namespace("kubectl", async |plane, _| {
        if !plane.plays_pods() {
            return Ok(());
        }
        let version: Value = serde_json::from_str(
            &plane
                .kubectl(&["version", "-o", "json"], None)
                .await?
                .success()?,
        )?;
        assert_eq!(version["serverVersion"]["gitVersion"], "v1.35.4");
        let failed = plane.kubectl(&["get", "nothing"], None).await?;
        assert!(
            failed
                .success()
                .is_err_and(|error| error.to_string().contains("nothing"))
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_shipped_rights_allow_the_controllers_work_and_no_more() -> Result<()> {
    in_namespace("rights", async |plane, namespace| {
        plane.apply_shipped().await?;
        for (verb, resource, expected) in [
            ("watch", "rollouts.argoproj.io", true),
            ("patch", "rollouts.argoproj.io/status", true),
            ("create", "analysisruns.argoproj.io", true),
            ("create", "replicasets.apps", true),
            ("patch", "services", true),
            ("create", "pods/eviction", true),
            ("create", "events", true),
            ("update", "leases.coordination.k8s.io", true),
            ("delete", "rollouts.argoproj.io", false),
            ("create", "pods", false),
            ("create", "deployments.apps", false),
            ("patch", "secrets", false),
            ("delete", "namespaces", false),
            (
                "create",
                "clusterrolebindings.rbac.authorization.k8s.io",
                false,
            ),
        ] {
            let (kind, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let subresource = format!("--subresource={subresource}");
            let question = ["auth", "can-i", verb, kind, &subresource, "-n", namespace];
            let answer = plane.kubectl_as(User::Controller, &question, None).await?;
            assert_eq!(
                answer.stdout.trim(),
                if expected { "yes" } else { "no" },
                "{verb} {resource}: {answer:?}"
            );
        }
        Ok(())
    })
    .await
}

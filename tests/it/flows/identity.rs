//! Sets are told apart as the real API server has them: completed templates, lost owners and labels, denied dry runs.

use kube::api::{DeleteParams, ListParams, PostParams};

use super::*;

const HASH: &str = "rollouts-pod-template-hash";
const SOURCE: &str = "sluice.dev/template-source";

/// The ReplicaSets of the test's namespace.
struct Sets(Api<DynamicObject>);

impl Sets {
    async fn new(plane: &ControlPlane, namespace: &str) -> Result<Self> {
        let client = plane.client(User::Admin).await?;
        let kind = resource("apps", "v1", "ReplicaSet");
        Ok(Self(Api::namespaced_with(client, namespace, &kind)))
    }

    async fn all(&self) -> Result<Vec<Value>> {
        let list = self.0.list(&ListParams::default()).await?;
        Ok(list
            .items
            .into_iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?)
    }

    async fn get(&self, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.0.get(name).await?)?)
    }

    async fn patch(&self, name: &str, patch: Value) -> Result<()> {
        self.0
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let began = Instant::now();
        loop {
            if let Some(set) = self.0.get_opt(name).await? {
                let set = serde_json::to_value(set)?;
                if holds(&set) {
                    return Ok(set);
                }
            }
            if began.elapsed() > PATIENCE {
                bail!("waited for {what} of {name}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Applies `basic.yaml` without its steps.
async fn apply_basic(plane: &ControlPlane, namespace: &str) -> Result<Watched> {
    plane.apply_shipped().await?;
    let manifest = workspace().join("tests/scenarios/manifests/basic.yaml");
    apply_files(&plane.client(User::Admin).await?, namespace, &[manifest]).await?;
    let shop = Watched::new(plane, namespace, "shop").await?;
    shop.patch(json!({ "spec": { "strategy": { "canary": { "steps": null } } } }))
        .await?;
    Ok(shop)
}

async fn start(plane: &ControlPlane, namespace: &str) -> Result<RunningController> {
    RunningController::start(plane, namespace, &["--leader-elect=false"]).await
}

fn stable(rollout: &Value) -> String {
    let hash = rollout["status"]["stableRS"].as_str().unwrap_or_default();
    format!("shop-{hash}")
}

/// As the client's `undo` leaves it (CLI-009): the whole template replaced.
async fn undo_to(shop: &Watched, set: &Value) -> Result<()> {
    let mut template = set["spec"]["template"].clone();
    template["metadata"]["labels"]
        .as_object_mut()
        .context("no labels")?
        .remove(HASH);
    let mut rollout = shop.api.get(&shop.name).await?;
    rollout.data["spec"]["template"] = template;
    shop.api
        .replace(&shop.name, &PostParams::default(), &rollout)
        .await?;
    Ok(())
}

// CLI-009, REC-011, REC-015
#[tokio::test(flavor = "multi_thread")]
async fn undo_uses_the_old_set_again() -> Result<()> {
    in_namespace("undo", async |plane, namespace| {
        let shop = apply_basic(plane, namespace).await?;
        let _controller = start(plane, namespace).await?;
        let sets = Sets::new(plane, namespace).await?;
        let first = stable(&shop.phase("Healthy").await?);
        shop.release("shop:v2").await?;
        shop.until("revision 2", |rollout| {
            rollout["status"]["phase"] == "Healthy" && stable(rollout) != first
        })
        .await?;
        undo_to(&shop, &sets.get(&first).await?).await?;
        shop.until("the first set again", |rollout| {
            rollout["status"]["phase"] == "Healthy" && stable(rollout) == first
        })
        .await?;
        assert_eq!(sets.all().await?.len(), 2);
        let again = sets.get(&first).await?;
        let annotations = &again["metadata"]["annotations"];
        assert_eq!(annotations["rollout.argoproj.io/revision"], "3");
        assert_eq!(annotations["rollout.argoproj.io/revision-history"], "1");
        Ok(())
    })
    .await
}

// REC-007, HASH-008, HASH-009
#[tokio::test(flavor = "multi_thread")]
async fn sets_that_lose_owner_or_label_come_back_and_deleted_ones_are_made_again() -> Result<()> {
    in_namespace("hands", async |plane, namespace| {
        let shop = apply_basic(plane, namespace).await?;
        let _controller = start(plane, namespace).await?;
        let sets = Sets::new(plane, namespace).await?;
        let name = stable(&shop.phase("Healthy").await?);
        let uid = sets.get(&name).await?["metadata"]["uid"].clone();
        sets.patch(&name, json!({ "metadata": { "ownerReferences": null } }))
            .await?;
        sets.until(&name, "an owner", |set| {
            set["metadata"]["ownerReferences"][0]["kind"] == "Rollout"
        })
        .await?;
        sets.patch(&name, json!({ "metadata": { "labels": { (HASH): null } } }))
            .await?;
        let back = sets
            .until(&name, "the hash label", |set| {
                set["metadata"]["labels"][HASH].is_string()
            })
            .await?;
        assert_eq!(back["metadata"]["uid"], uid);
        sets.0.delete(&name, &DeleteParams::background()).await?;
        sets.until(&name, "another one", |set| set["metadata"]["uid"] != uid)
            .await?;
        let healthy = shop
            .until("five available pods", |rollout| {
                rollout["status"]["phase"] == "Healthy"
                    && rollout["status"]["availableReplicas"] == 5
            })
            .await?;
        assert_eq!(stable(&healthy), name);
        assert_eq!(healthy["status"]["collisionCount"], Value::Null);
        assert_eq!(sets.all().await?.len(), 1);
        Ok(())
    })
    .await
}

// HASH-009
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_somebody_else_has_is_passed_over() -> Result<()> {
    in_namespace("taken", async |plane, namespace| {
        let shop = apply_basic(plane, namespace).await?;
        let sets = Sets::new(plane, namespace).await?;
        // The name that the first set would get, from a run in which nothing was in the way.
        let controller = start(plane, namespace).await?;
        let name = stable(&shop.phase("Healthy").await?);
        controller.stop().await?;
        let mut theirs = sets.get(&name).await?;
        shop.api.delete("shop", &DeleteParams::foreground()).await?;
        let began = Instant::now();
        while shop.api.get_opt("shop").await?.is_some() && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        theirs["metadata"] = json!({ "name": name, "labels": { "app": "theirs" } });
        theirs["status"] = Value::Null;
        theirs["spec"]["replicas"] = json!(0);
        sets.0
            .create(&PostParams::default(), &serde_json::from_value(theirs)?)
            .await?;
        apply_basic(plane, namespace).await?;
        let _controller = start(plane, namespace).await?;
        let healthy = shop.phase("Healthy").await?;
        assert_eq!(healthy["status"]["collisionCount"], 1);
        assert_ne!(stable(&healthy), name);
        let theirs = sets.get(&name).await?;
        assert_eq!(theirs["metadata"]["ownerReferences"], Value::Null);
        assert_eq!(theirs["spec"]["replicas"], 0);
        Ok(())
    })
    .await
}

// REC-011, REC-012: a policy that refuses dry runs, and a set without our annotation, as Argo Rollouts leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_found_although_no_dry_run_is_allowed() -> Result<()> {
    in_namespace("denied", async |plane, namespace| {
        let shop = apply_basic(plane, namespace).await?;
        let sets = Sets::new(plane, namespace).await?;
        let controller = start(plane, namespace).await?;
        let name = stable(&shop.phase("Healthy").await?);
        controller.stop().await?;
        sets.patch(
            &name,
            json!({ "metadata": { "annotations": { (SOURCE): null } } }),
        )
        .await?;
        deny_dry_runs(plane, namespace).await?;
        let _controller = start(plane, namespace).await?;
        let found = sets
            .until(&name, "its annotation", |set| {
                set["metadata"]["annotations"][SOURCE].is_string()
            })
            .await?;
        assert_eq!(found["spec"]["replicas"], 5);
        assert_eq!(sets.all().await?.len(), 1);
        // A new template is a new set all the same.
        shop.release("shop:v2").await?;
        shop.until("revision 2", |rollout| {
            rollout["status"]["phase"] == "Healthy" && stable(rollout) != name
        })
        .await?;
        assert_eq!(sets.all().await?.len(), 2);
        Ok(())
    })
    .await
}

/// Refuses every dry run that would create a ReplicaSet in this namespace, and waits until that is so.
async fn deny_dry_runs(plane: &ControlPlane, namespace: &str) -> Result<()> {
    let client = plane.client(User::Admin).await?;
    let name = format!("deny-{namespace}");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["replicasets"], "operations": ["CREATE"],
            }] },
            "validations": [{ "expression": "!request.dryRun", "message": "no dry runs here" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } } },
        },
    });
    for object in [policy, binding] {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let kind = resource("admissionregistration.k8s.io", "v1", &kind);
        let api = Api::<DynamicObject>::all_with(client.clone(), &kind);
        api.create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
    }
    let sets = Api::<DynamicObject>::namespaced_with(
        client,
        namespace,
        &resource("apps", "v1", "ReplicaSet"),
    );
    let tried = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": { "name": "tried" },
        "spec": {
            "selector": { "matchLabels": { "app": "tried" } },
            "template": {
                "metadata": { "labels": { "app": "tried" } },
                "spec": { "containers": [{ "name": "main", "image": "tried:1" }] },
            },
        },
    });
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let began = Instant::now();
    while sets
        .create(&dry, &serde_json::from_value(tried.clone())?)
        .await
        .is_ok()
    {
        if began.elapsed() > PATIENCE {
            bail!("the policy does not take effect");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

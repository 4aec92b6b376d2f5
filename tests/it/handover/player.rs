//! Leads one Rollout to its hand-over point, and later to the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use kube::Client;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};
use sluice_tests::{ArgoClient, Backend, History};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::points::{Act, Kind, Point, Sign};
use super::sight::{SPLIT, Sight};
use super::{GLANCE, PATIENCE};

const NEVER_READY: &str = "simulation.sluice.dev/never-ready";

/// One Rollout of the test.
pub(super) struct Player<'a> {
    pub point: &'static Point,
    pub name: String,
    client: Client,
    namespace: String,
    history: &'a History,
    argo: &'a ArgoClient<'a>,
    backend: &'a Backend,
    /// Whether pods to come get ready, too.
    ready: Arc<AtomicBool>,
    helper: JoinHandle<()>,
}

impl<'a> Player<'a> {
    pub fn new(
        point: &'static Point,
        index: usize,
        client: &Client,
        namespace: &str,
        history: &'a History,
        argo: &'a ArgoClient<'a>,
        backend: &'a Backend,
    ) -> Self {
        let name = format!("shop{index:02}");
        let ready = Arc::new(AtomicBool::new(false));
        let helper = tokio::spawn({
            let (client, namespace, name) = (client.clone(), namespace.to_owned(), name.clone());
            let ready = ready.clone();
            async move {
                loop {
                    if ready.load(Ordering::SeqCst) {
                        // Tried again soon.
                        let _ = let_ready(&client, &namespace, &name).await;
                    }
                    tokio::time::sleep(GLANCE * 4).await;
                }
            }
        });
        Self {
            point,
            name,
            client: client.clone(),
            namespace: namespace.to_owned(),
            history,
            argo,
            backend,
            ready,
            helper,
        }
    }

    /// From nothing to the point.
    pub async fn reach(&self) -> Result<()> {
        self.play(self.point.reach).await?;
        for sign in self.point.at {
            self.until(*sign).await?;
        }
        Ok(())
    }

    /// From the point to the end.
    pub async fn go_on(&self) -> Result<()> {
        self.play(self.point.go_on).await
    }

    /// The point is what was meant at this version.
    pub fn must_stand(&self, version: u64) -> Result<()> {
        let sight = Sight::of(self.history, version, &self.name);
        for sign in self.point.at {
            ensure!(
                sign.shows(&sight),
                "{} ({}, {}): no {sign:?} when the first controller was gone: {:?}, {:#}",
                self.name,
                self.point.kind,
                self.point.place,
                sight.traffic,
                sight.rollout["status"]
            );
        }
        Ok(())
    }

    async fn play(&self, acts: &[Act]) -> Result<()> {
        for act in acts {
            self.act(*act).await.with_context(|| {
                format!(
                    "{} ({}, {}): {act:?}",
                    self.name, self.point.kind, self.point.place
                )
            })?;
        }
        Ok(())
    }

    async fn act(&self, act: Act) -> Result<()> {
        match act {
            Act::Create => self.create(template("shop:1", false, &self.name)).await,
            Act::CreateUnready => self.create(template("shop:1", true, &self.name)).await,
            Act::Release => self.release("shop:2", false).await,
            Act::ReleaseUnready => self.release("shop:2", true).await,
            Act::Resume => self.change(json!({ "paused": false })).await,
            Act::LetReady => let_ready(&self.client, &self.namespace, &self.name).await,
            Act::LetAllReady => {
                self.ready.store(true, Ordering::SeqCst);
                Ok(())
            }
            Act::Client(words) => self
                .argo
                .says(&[words, &[self.name.as_str()]].concat())
                .await
                .map(drop),
            Act::Good => {
                self.backend.set_thousandths(1000);
                Ok(())
            }
            Act::Until(sign) => self.until(sign).await,
        }
    }

    async fn until(&self, sign: Sign) -> Result<()> {
        wait_for(self.history, &self.name, sign).await
    }

    async fn create(&self, template: Value) -> Result<()> {
        let name = &self.name;
        let service = |suffix: &str| {
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": format!("{name}-{suffix}") },
                "spec": { "selector": { "app": name }, "ports": [{ "port": 80 }] },
            })
        };
        let mut strategy: Value = serde_saphyr::from_str(self.point.strategy)?;
        let fields = strategy.as_object_mut().context("a strategy is a map")?;
        let strategy = match self.point.kind {
            Kind::Plain => json!({ "canary": strategy }),
            Kind::Istio => {
                fields.insert("stableService".into(), json!(format!("{name}-stable")));
                fields.insert("canaryService".into(), json!(format!("{name}-canary")));
                fields.insert(
                    "trafficRouting".into(),
                    json!({
                        "managedRoutes": [{ "name": "beta" }],
                        "istio": { "virtualService": { "name": name, "routes": [SPLIT] } },
                    }),
                );
                let to = |share: &str| json!({ "host": format!("{name}-{share}") });
                let routes = virtual_service(name, to);
                for object in [service("stable"), service("canary"), routes] {
                    create(&self.client, &self.namespace, object).await?;
                }
                json!({ "canary": strategy })
            }
            Kind::Subsets => {
                fields.insert(
                    "trafficRouting".into(),
                    json!({ "istio": {
                        "virtualService": { "name": name, "routes": [SPLIT] },
                        "destinationRule": { "name": name, "canarySubsetName": "canary", "stableSubsetName": "stable" },
                    } }),
                );
                let to = |share: &str| json!({ "host": name, "subset": share });
                let routes = virtual_service(name, to);
                for object in [service("pods"), destination_rule(name), routes] {
                    create(&self.client, &self.namespace, object).await?;
                }
                json!({ "canary": strategy })
            }
            Kind::BlueGreen => {
                fields.insert("activeService".into(), json!(format!("{name}-active")));
                fields.insert("previewService".into(), json!(format!("{name}-preview")));
                for object in [service("active"), service("preview")] {
                    create(&self.client, &self.namespace, object).await?;
                }
                json!({ "blueGreen": strategy })
            }
        };
        create(
            &self.client,
            &self.namespace,
            rollout(name, 4, template, strategy),
        )
        .await
    }

    async fn release(&self, image: &str, unready: bool) -> Result<()> {
        self.change(json!({ "template": template(image, unready, &self.name) }))
            .await
    }

    async fn change(&self, spec: Value) -> Result<()> {
        let rollouts = api(
            &self.client,
            &self.namespace,
            "argoproj.io/v1alpha1",
            "Rollout",
        );
        let patch = Patch::Merge(json!({ "spec": spec }));
        rollouts
            .patch(&self.name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}

impl Drop for Player<'_> {
    fn drop(&mut self) {
        self.helper.abort();
    }
}

/// Waits until this is to be seen of a Rollout.
pub(super) async fn wait_for(history: &History, name: &str, sign: Sign) -> Result<()> {
    let began = Instant::now();
    loop {
        let sight = Sight::of(history, u64::MAX, name);
        if sign.shows(&sight) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!(
                "waited for {sign:?} of {name}; now: {:?}, {:#}",
                sight.traffic,
                sight.rollout["status"]
            );
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// `ok` needs one good measurement, however many bad ones there were; `bad` judges nothing as long as it runs.
pub(super) async fn create_templates(
    client: &Client,
    namespace: &str,
    address: &str,
) -> Result<()> {
    for (name, condition) in [("ok", "result[0] >= 0.95"), ("bad", "result[0] > 100")] {
        let template = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
            "metadata": { "name": name },
            "spec": { "metrics": [{
                "name": "success-rate",
                "interval": "2s",
                "count": 1000,
                "failureLimit": -1,
                "consecutiveSuccessLimit": 1,
                "successCondition": condition,
                "provider": { "prometheus": { "address": address, "query": "success_rate" } },
            }] },
        });
        create(client, namespace, template).await?;
    }
    Ok(())
}

/// A Rollout that only the second controller can have brought up.
pub(super) async fn create_sentinel(client: &Client, namespace: &str) -> Result<()> {
    let strategy = json!({ "canary": {} });
    let template = template("shop:1", false, "sentinel");
    create(
        client,
        namespace,
        rollout("sentinel", 1, template, strategy),
    )
    .await
}

async fn let_ready(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let pods = api(client, namespace, "v1", "Pod");
    let selector = ListParams::default().labels(&format!("app={name}"));
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { NEVER_READY: null } } }));
    for pod in pods.list(&selector).await?.items {
        let held = pod
            .metadata
            .annotations
            .is_some_and(|annotations| annotations.contains_key(NEVER_READY));
        if let (true, Some(name)) = (held, pod.metadata.name) {
            pods.patch(&name, &PatchParams::default(), &patch).await?;
        }
    }
    Ok(())
}

fn template(image: &str, unready: bool, name: &str) -> Value {
    let mut template = json!({
        "metadata": { "labels": { "app": name } },
        "spec": { "containers": [{
            "name": "web",
            "image": image,
            "ports": [{ "containerPort": 8080 }],
            "resources": { "requests": { "cpu": "0.010", "memory": "1024Ki" } },
        }] },
    });
    if unready {
        template["metadata"]["annotations"] = json!({ NEVER_READY: "true" });
    }
    template
}

fn rollout(name: &str, replicas: u32, template: Value, strategy: Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": template,
            "strategy": strategy,
        },
    })
}

fn virtual_service(name: &str, to: impl Fn(&str) -> Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "VirtualService",
        "metadata": { "name": name },
        "spec": {
            "gateways": [name], "hosts": ["shop.example"],
            "http": [{ "name": SPLIT, "route": [
                { "destination": to("stable"), "weight": 100 },
                { "destination": to("canary"), "weight": 0 },
            ] }],
        },
    })
}

fn destination_rule(name: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "DestinationRule",
        "metadata": { "name": name },
        "spec": { "host": name, "subsets": [
            { "name": "stable", "labels": { "app": name } },
            { "name": "canary", "labels": { "app": name } },
        ] },
    })
}

async fn create(client: &Client, namespace: &str, object: Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object)?;
    let types = object.types.clone().context("an object has no kind")?;
    let what = || format!("failed to create a {}", types.kind);
    api(client, namespace, &types.api_version, &types.kind)
        .create(&PostParams::default(), &object)
        .await
        .with_context(what)?;
    Ok(())
}

fn api(client: &Client, namespace: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

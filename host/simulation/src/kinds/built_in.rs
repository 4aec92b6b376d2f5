//! The kinds of Kubernetes itself, with the typed models that give them their structure.

use k8s_openapi::api::{
    apps, autoscaling, batch, coordination, core, discovery, networking, policy,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Generation, Kind, Scale, Source, Version};

/// A row of the table of built-in kinds.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short_names: &'static [&'static str],
    namespaced: bool,
    status: bool,
    scale: bool,
    generation: Generation,
    delete_returns_object: bool,
    in_all: bool,
    /// Reads an object as its typed model and writes it back: wrong types are refused, unknown fields dropped,
    /// times brought to one form, exactly what decoding into Go types does.
    pub decode: fn(&Value) -> Result<Value, String>,
}

impl BuiltIn {
    const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        decode: fn(&Value) -> Result<Value, String>,
    ) -> Self {
        Self {
            group,
            version,
            kind,
            plural,
            short_names: &[],
            namespaced: true,
            status: false,
            scale: false,
            generation: Generation::Absent,
            delete_returns_object: false,
            in_all: false,
            decode,
        }
    }

    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    const fn cluster_wide(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn with_status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn with_scale(mut self) -> Self {
        self.scale = true;
        self
    }

    const fn with_generation(mut self) -> Self {
        self.generation = Generation::Spec;
        self
    }

    const fn returned_on_delete(mut self) -> Self {
        self.delete_returns_object = true;
        self
    }

    const fn in_all(mut self) -> Self {
        self.in_all = true;
        self
    }

    fn kind(&'static self) -> Kind {
        let owned = |text: &&str| (*text).to_owned();
        Kind {
            group: self.group.to_owned(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            short_names: self.short_names.iter().map(owned).collect(),
            categories: if self.in_all {
                vec!["all".to_owned()]
            } else {
                Vec::new()
            },
            namespaced: self.namespaced,
            versions: vec![Version {
                name: self.version.to_owned(),
                served: true,
                storage: true,
                schema: None,
                structure: Value::Null,
                columns: Vec::new(),
            }],
            status: self.status,
            scale: self.scale.then(|| Scale {
                spec_replicas: "/spec/replicas".to_owned(),
                status_replicas: "/status/replicas".to_owned(),
                selector: Some("/spec/selector".to_owned()),
            }),
            generation: self.generation,
            delete_returns_object: self.delete_returns_object,
            source: Source::BuiltIn(self),
        }
    }
}

/// Every built-in kind.
pub(crate) fn all() -> impl Iterator<Item = Kind> {
    TABLE.iter().map(BuiltIn::kind)
}

/// Brings `metadata` of a custom object to what `ObjectMeta` knows.
pub(crate) fn decode_metadata(metadata: &Value) -> Result<Value, String> {
    typed::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>(metadata)
}

/// Reads the body of a request to a scale subresource.
pub(crate) fn decode_scale(scale: &Value) -> Result<Value, String> {
    typed::<autoscaling::v1::Scale>(scale)
}

/// Reads the body of a request to the eviction subresource of pods.
pub(crate) fn decode_eviction(eviction: &Value) -> Result<Value, String> {
    typed::<policy::v1::Eviction>(eviction)
}

fn typed<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, String> {
    // Paths cost as much as reading does, and are wanted only of what cannot be read.
    let model = T::deserialize(value).or_else(|_| {
        serde_path_to_error::deserialize::<_, T>(value).map_err(|error| {
            let path = error.path().to_string();
            format!("{path}: {}", error.into_inner())
        })
    })?;
    serde_json::to_value(model).map_err(|error| error.to_string())
}

static TABLE: &[BuiltIn] = &[
    BuiltIn::new(
        "",
        "v1",
        "ConfigMap",
        "configmaps",
        typed::<core::v1::ConfigMap>,
    )
    .short(&["cm"]),
    BuiltIn::new("", "v1", "Event", "events", typed::<core::v1::Event>).short(&["ev"]),
    BuiltIn::new(
        "",
        "v1",
        "Namespace",
        "namespaces",
        typed::<core::v1::Namespace>,
    )
    .short(&["ns"])
    .cluster_wide()
    .with_status()
    .returned_on_delete(),
    BuiltIn::new("", "v1", "Node", "nodes", typed::<core::v1::Node>)
        .short(&["no"])
        .cluster_wide()
        .with_status(),
    BuiltIn::new("", "v1", "Pod", "pods", typed::<core::v1::Pod>)
        .short(&["po"])
        .with_status()
        .with_generation()
        .returned_on_delete()
        .in_all(),
    BuiltIn::new(
        "",
        "v1",
        "PodTemplate",
        "podtemplates",
        typed::<core::v1::PodTemplate>,
    )
    .with_generation()
    .returned_on_delete(),
    BuiltIn::new("", "v1", "Secret", "secrets", typed::<core::v1::Secret>),
    BuiltIn::new("", "v1", "Service", "services", typed::<core::v1::Service>)
        .short(&["svc"])
        .with_status()
        .returned_on_delete()
        .in_all(),
    BuiltIn::new(
        "",
        "v1",
        "ServiceAccount",
        "serviceaccounts",
        typed::<core::v1::ServiceAccount>,
    )
    .short(&["sa"])
    .returned_on_delete(),
    BuiltIn::new(
        "apps",
        "v1",
        "DaemonSet",
        "daemonsets",
        typed::<apps::v1::DaemonSet>,
    )
    .short(&["ds"])
    .with_status()
    .with_generation()
    .in_all(),
    BuiltIn::new(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        typed::<apps::v1::Deployment>,
    )
    .short(&["deploy"])
    .with_status()
    .with_scale()
    .with_generation()
    .in_all(),
    BuiltIn::new(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        typed::<apps::v1::ReplicaSet>,
    )
    .short(&["rs"])
    .with_status()
    .with_scale()
    .with_generation()
    .in_all(),
    BuiltIn::new(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        typed::<apps::v1::StatefulSet>,
    )
    .short(&["sts"])
    .with_status()
    .with_scale()
    .with_generation()
    .in_all(),
    BuiltIn::new(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        typed::<apiextensions::v1::CustomResourceDefinition>,
    )
    .short(&["crd", "crds"])
    .cluster_wide()
    .with_status()
    .with_generation(),
    BuiltIn::new("batch", "v1", "Job", "jobs", typed::<batch::v1::Job>)
        .with_status()
        .with_generation()
        .in_all(),
    BuiltIn::new(
        "coordination.k8s.io",
        "v1",
        "Lease",
        "leases",
        typed::<coordination::v1::Lease>,
    ),
    BuiltIn::new(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        typed::<discovery::v1::EndpointSlice>,
    )
    .with_generation(),
    BuiltIn::new(
        "networking.k8s.io",
        "v1",
        "Ingress",
        "ingresses",
        typed::<networking::v1::Ingress>,
    )
    .short(&["ing"])
    .with_status()
    .with_generation(),
    BuiltIn::new(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        typed::<policy::v1::PodDisruptionBudget>,
    )
    .short(&["pdb"])
    .with_status()
    .with_generation(),
];

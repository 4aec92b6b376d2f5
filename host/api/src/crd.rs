//! CustomResourceDefinitions of the five kinds: names, columns, subresources, and the schema of the Rust types.
//! They are small enough for `kubectl apply`, which Argo Rollouts' are not: pod templates are kept, not spelled out.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, AnalysisTemplate, AnalysisTemplateSpec,
    ClusterAnalysisTemplate, Experiment, ExperimentSpec, ExperimentStatus, Kind, MangedRoutes,
    MetricProvider, Rollout, RolloutSpec, RolloutStatus, RolloutTrafficRouting, Scope,
    structural::structural, upstream,
};

/// Schemas of the blocks that plugins give a meaning to, by router or provider name; structural or not. A known name
/// that is not in here keeps every field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigSchemas {
    /// Blocks of `trafficRouting`.
    pub routers: BTreeMap<String, Value>,
    /// Blocks of `provider`.
    pub providers: BTreeMap<String, Value>,
}

impl ConfigSchemas {
    /// Those of the plugins that this version ships with, as collected by `cargo xtask codegen`.
    #[must_use]
    pub fn shipped() -> &'static Self {
        // Part of the binary; a test reads it, so the fallback is never taken.
        static SHIPPED: LazyLock<ConfigSchemas> = LazyLock::new(|| {
            serde_json::from_str(include_str!("../data/config-schemas.json")).unwrap_or_default()
        });
        &SHIPPED
    }
}

/// The five definitions, with the blocks of the plugins that this version ships with.
#[must_use]
pub fn crds() -> Vec<Value> {
    crds_with(ConfigSchemas::shipped())
}

/// The five definitions, with these blocks: Rollout, AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Experiment.
#[must_use]
pub fn crds_with(blocks: &ConfigSchemas) -> Vec<Value> {
    let age = || {
        column(
            "Age",
            "date",
            ".metadata.creationTimestamp",
            "Time since the object was created",
        )
    };
    let phase = || column("Status", "string", ".status.phase", "How far it is");
    let pods = |name, path, description| column(name, "integer", path, description);
    let templates = schema_of::<AnalysisTemplateSpec>;
    vec![
        crd::<Rollout>(
            &[
                pods("Desired", ".spec.replicas", "Wanted number of pods"),
                pods("Current", ".status.replicas", "Pods of all versions"),
                pods(
                    "Up-to-date",
                    ".status.updatedReplicas",
                    "Pods of the wanted version",
                ),
                pods(
                    "Available",
                    ".status.availableReplicas",
                    "Pods that have been ready long enough",
                ),
                age(),
            ],
            json!({
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.HPAReplicas",
                    "labelSelectorPath": ".status.selector",
                },
            }),
            schema_of::<RolloutSpec>(blocks),
            Some(schema_of::<RolloutStatus>(blocks)),
        ),
        crd::<AnalysisRun>(
            &[phase(), age()],
            json!({}),
            schema_of::<AnalysisRunSpec>(blocks),
            Some(schema_of::<AnalysisRunStatus>(blocks)),
        ),
        crd::<AnalysisTemplate>(&[age()], json!({}), templates(blocks), None),
        crd::<ClusterAnalysisTemplate>(&[age()], json!({}), templates(blocks), None),
        crd::<Experiment>(
            &[phase(), age()],
            json!({}),
            schema_of::<ExperimentSpec>(blocks),
            Some(schema_of::<ExperimentStatus>(blocks)),
        ),
    ]
}

fn column(name: &str, type_: &str, path: &str, description: &str) -> Value {
    json!({ "name": name, "type": type_, "jsonPath": path, "description": description })
}

fn crd<K: Kind>(
    columns: &[Value],
    subresources: Value,
    spec: Value,
    status: Option<Value>,
) -> Value {
    let mut properties = json!({
        "apiVersion": {
            "type": "string",
            "description": "Version of the schema that the object is written in.",
        },
        "kind": { "type": "string", "description": "What the object is." },
        "metadata": { "type": "object" },
        "spec": spec,
    });
    if let (Some(status), Value::Object(properties)) = (status, &mut properties) {
        properties.insert("status".to_owned(), status);
    }
    let version = json!({
        "name": K::VERSION,
        "served": true,
        "storage": true,
        "additionalPrinterColumns": columns,
        "subresources": subresources,
        "schema": { "openAPIV3Schema": {
            "type": "object",
            "required": ["spec"],
            "properties": properties,
        } },
    });
    sorted(&json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{}", K::PLURAL, K::GROUP) },
        "spec": {
            "group": K::GROUP,
            "names": {
                "kind": K::KIND,
                "listKind": format!("{}List", K::KIND),
                "plural": K::PLURAL,
                "singular": K::SINGULAR,
                "shortNames": [K::SHORT_NAME],
            },
            "scope": match K::SCOPE {
                Scope::Namespaced => "Namespaced",
                Scope::Cluster => "Cluster",
            },
            "versions": [version],
        },
    }))
}

fn schema_of<T: JsonSchema>(blocks: &ConfigSchemas) -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let derived = settings.into_generator().into_root_schema_for::<T>();
    structural(&with_blocks(derived.as_value(), blocks))
}

/// Stands in a derived schema where the blocks of plugins go. Never part of a definition.
const BLOCKS: &str = "x-sluice-blocks";

/// Puts the blocks of plugins where the derived schema asks for them.
fn with_blocks(node: &Value, blocks: &ConfigSchemas) -> Value {
    match node {
        Value::Object(fields) => {
            let mut copy: Map<String, Value> = fields
                .iter()
                .map(|(name, value)| (name.clone(), with_blocks(value, blocks)))
                .collect();
            let properties = match copy.remove(BLOCKS).as_ref().and_then(Value::as_str) {
                Some("routers") => router_blocks(blocks),
                Some("providers") => provider_blocks(blocks),
                _ => return Value::Object(copy),
            };
            match copy.get_mut("properties") {
                Some(Value::Object(own)) => own.extend(properties),
                _ => drop(copy.insert("properties".to_owned(), Value::Object(properties))),
            }
            Value::Object(copy)
        }
        Value::Array(items) => items.iter().map(|item| with_blocks(item, blocks)).collect(),
        scalar => scalar.clone(),
    }
}

fn router_blocks(blocks: &ConfigSchemas) -> Map<String, Value> {
    let known = upstream::routers()
        .iter()
        .map(|router| (router.name.as_str(), router.by_plugin_name));
    named_blocks(known, &blocks.routers)
}

fn provider_blocks(blocks: &ConfigSchemas) -> Map<String, Value> {
    let known = upstream::providers()
        .iter()
        .map(|provider| (provider.name.as_str(), provider.by_plugin_name));
    named_blocks(known, &blocks.providers)
}

fn named_blocks<'a>(
    known: impl Iterator<Item = (&'a str, bool)>,
    schemas: &BTreeMap<String, Value>,
) -> Map<String, Value> {
    let any = |description: &str| {
        json!({
            "type": "object",
            "description": description,
            "x-kubernetes-preserve-unknown-fields": true,
        })
    };
    let block = |(name, by_plugin_name): (&str, bool)| {
        let schema = if by_plugin_name {
            any("Blocks of further plugins, by plugin name.")
        } else {
            // Made structural here, because references inside a block count from the block.
            schemas
                .get(name)
                .map_or_else(|| any("Not checked; every field is kept."), structural)
        };
        (name.to_owned(), schema)
    };
    known.map(block).collect()
}

/// The same value with its fields in alphabetical order, whatever features `serde_json` was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let ordered: BTreeMap<_, _> = fields
                .iter()
                .map(|(name, value)| (name, sorted(value)))
                .collect();
            ordered
                .into_iter()
                .map(|(name, value)| (name.clone(), value))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

impl JsonSchema for MetricProvider {
    fn schema_name() -> Cow<'static, str> {
        "MetricProvider".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", BLOCKS: "providers" })
    }
}

impl JsonSchema for RolloutTrafficRouting {
    fn schema_name() -> Cow<'static, str> {
        "RolloutTrafficRouting".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut managed_routes = Vec::<MangedRoutes>::json_schema(generator);
        managed_routes.insert(
            "description".to_owned(),
            "Routes that the steps manage, in order of precedence.".into(),
        );
        json_schema!({
            "type": "object",
            "properties": {
                "managedRoutes": managed_routes,
                "maxTrafficWeight": {
                    "type": "integer",
                    "format": "int32",
                    "description": "What weights add up to. Defaults to 100.",
                },
            },
            BLOCKS: "routers",
        })
    }
}

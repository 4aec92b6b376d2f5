//! What a plugin says about itself, readable without running it: the JSON document in the custom section `sluice:plugin`.
//!
//! The format is documented in `wit/README.md`. A plugin crate keeps the document as the file `manifest.json`, which the
//! export macro puts into the module; a native test keeps the file equal to what the code says (see `testing`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the WIT package that this SDK is for.
pub const ABI: &str = "0.1.0";

/// The name of the custom section.
pub const SECTION: &str = "sluice:plugin";

/// A plugin's description of itself. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The key under which a specification names the plugin: `istio` for `trafficRouting.istio`.
    pub name: String,
    /// For people, and where Argo Rollouts shows the type of a router or provider.
    pub display_name: String,
    /// The plugin's own version, semantic.
    pub version: String,
    /// The version of `sluice:plugin` that it was built for.
    pub abi: String,
    /// Further names, `vendor/name`, by which specifications call it under `plugins`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The interfaces that it exports.
    pub kinds: Vec<Kind>,
    /// What it asks to be allowed. What it gets is what the administrator grants of it.
    #[serde(default)]
    pub grants: Grants,
    /// What it can do beyond the minimum of its kind.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Whether `context.subject-body` of a Rollout has the pod template.
    #[serde(default)]
    pub subject_body: SubjectBody,
    /// The keys of the Rollout's status that the `status` of a router's plan may have.
    #[serde(default)]
    pub status_keys: Vec<String>,
    /// The administrator's settings, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
    /// The JSON Schema (as OpenAPI 3.0 has it, without references) of the plugin's block of a specification.
    pub config_schema: Value,
}

/// An interface that a plugin exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `traffic-router`.
    TrafficRouter,
    /// `metric-provider`.
    MetricProvider,
    /// `step`.
    Step,
    /// `endpoint-verifier`.
    EndpointVerifier,
}

/// What a plugin asks to be allowed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Grants {
    /// Objects to read.
    pub reads: Vec<ReadGrant>,
    /// Objects to change.
    pub changes: Vec<ChangeGrant>,
    /// Addresses to send requests to: `configured-address` (the `address` or `url` of the configuration, or the setting of that name),
    /// `https://host[:port]`, or `https://*.suffix`.
    pub http: Vec<String>,
    /// Names of credentials that requests may use with `auth.named`.
    pub secrets: Vec<String>,
    /// Services of AWS, by their signing names, for which requests may be signed with the controller's own identity
    /// (`auth.aws-sigv4`).
    pub aws_services: Vec<String>,
}

/// Kinds of one API group to read, in any version of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadGrant {
    /// The API group; empty for the core group.
    pub group: String,
    /// Kinds in the singular.
    pub kinds: Vec<String>,
    /// In which namespaces.
    pub namespaces: Namespaces,
}

/// Kinds of one API group to change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeGrant {
    /// The API group; empty for the core group.
    pub group: String,
    /// Kinds in the singular.
    pub kinds: Vec<String>,
    /// What may be done to them.
    pub verbs: Vec<Verb>,
    /// In which namespaces.
    pub namespaces: Namespaces,
}

/// What may be done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Create it.
    Create,
    /// Patch it.
    Patch,
    /// Delete it.
    Delete,
}

/// Where a grant holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespaces {
    /// Everywhere.
    Any,
    /// In the subject's namespace only.
    Subject,
}

/// What a plugin can do beyond the minimum of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// A router that knows header routes.
    HeaderRoutes,
    /// A router that knows mirror routes.
    MirrorRoutes,
    /// A router that works with Services that swap their roles.
    PingPong,
    /// A router that knows shares for experiments.
    AdditionalDestinations,
    /// A router that can tell whether a weight is in effect.
    VerifiesWeight,
    /// A router whose total weight need not be 100.
    MaxWeight,
    /// A router that wants to know how many pods each share has.
    PodCounts,
}

/// Whether a Rollout comes with its pod template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectBody {
    /// It does not.
    #[default]
    WithoutTemplate,
    /// It does.
    WithTemplate,
}

/// Where the host takes a setting from: the first of flag, environment and default that has a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setting {
    /// A flag of the controller, without dashes.
    #[serde(default)]
    pub flag: Option<String>,
    /// An environment variable of the controller.
    #[serde(default)]
    pub environment: Option<String>,
    /// What to use without either. None: the setting is left out.
    #[serde(default)]
    pub default: Option<String>,
    /// For people.
    pub description: String,
}

impl Manifest {
    /// The document as text, as it is kept in `manifest.json`: indented, the names of open objects in order.
    ///
    /// # Errors
    /// None that this type can cause; serialisation is fallible by its nature.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        let sorted = Self {
            config_schema: sorted(&self.config_schema),
            ..self.clone()
        };
        serde_json::to_string_pretty(&sorted).map(|text| text + "\n")
    }
}

/// The schema of a configuration as the manifest and the CRDs need it: OpenAPI 3.0, nothing by reference.
///
/// Kubernetes takes null for absent, so `nullable`, which marks every `Option`, says nothing here and is left out.
pub fn config_schema<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<C>()
        .to_value();
    remove_key(&mut schema, "nullable", &Value::Bool(true));
    if let Some(root) = schema.as_object_mut() {
        // The name of a Rust type.
        root.remove("title");
    }
    schema
}

fn remove_key(value: &mut Value, key: &str, only: &Value) {
    match value {
        Value::Object(fields) => {
            if fields.get(key) == Some(only) {
                fields.remove(key);
            }
            fields
                .values_mut()
                .for_each(|field| remove_key(field, key, only));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| remove_key(item, key, only)),
        _ => {}
    }
}

/// The same value with the names of all objects in order, whatever order this build of serde_json keeps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields
                .iter()
                .map(|(name, field)| (name.clone(), sorted(field)))
                .collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

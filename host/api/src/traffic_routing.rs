//! `trafficRouting` of a canary: what the host understands itself, and every router's block as raw JSON.
//! A router's name is only the key under which its plugin is looked up; what a block means is the plugin's business.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap as _};
use serde_json::Value;

use crate::is_default;

/// Splits traffic exactly, by one or several routers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutTrafficRouting {
    /// Blocks by router name, as written. The entry `plugins` is itself a map from plugin name to block. A `null` block
    /// is no block.
    pub routers: BTreeMap<String, Value>,
    /// Routes that the steps manage, in order of precedence.
    pub managed_routes: Vec<MangedRoutes>,
    /// What weights add up to. Defaults to 100.
    pub max_traffic_weight: Option<i32>,
}

/// A route that a step manages. (The name is spelled as in Argo Rollouts.)
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct MangedRoutes {
    /// Name of the route.
    pub name: String,
}

const MANAGED_ROUTES: &str = "managedRoutes";
const MAX_TRAFFIC_WEIGHT: &str = "maxTrafficWeight";

impl Serialize for RolloutTrafficRouting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, block) in &self.routers {
            map.serialize_entry(name, block)?;
        }
        if !is_default(&self.managed_routes) {
            map.serialize_entry(MANAGED_ROUTES, &self.managed_routes)?;
        }
        if let Some(weight) = self.max_traffic_weight {
            map.serialize_entry(MAX_TRAFFIC_WEIGHT, &weight)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RolloutTrafficRouting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Visitor)
    }
}

// By hand and not by `flatten`, which would lose the path of a malformed field.
struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = RolloutTrafficRouting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a block for each router")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut routing = RolloutTrafficRouting::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                MANAGED_ROUTES => routing.managed_routes = map.next_value()?,
                MAX_TRAFFIC_WEIGHT => routing.max_traffic_weight = map.next_value()?,
                _ => match map.next_value()? {
                    Value::Null => {}
                    block => drop(routing.routers.insert(key, block)),
                },
            }
        }
        Ok(routing)
    }
}

//! CustomResourceDefinitions of the five kinds.

use schemars::{Schema, json_schema};

pub(crate) fn provider_blocks() -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
pub(crate) fn router_blocks() -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::manifest::{Manifest, config_schema};

/// What it is.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
struct Config {
    /// Optional.
    routes: Option<Vec<Item>>,
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only described")]
struct Item {
    port: i64,
}

#[test]
fn a_config_schema_is_plain_openapi_without_references() {
    assert_eq!(
        config_schema::<Config>(),
        json!({
            "description": "What it is.",
            "type": "object",
            "properties": {
                "routes": {
                    "description": "Optional.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"port": {"type": "integer", "format": "int64"}},
                        "required": ["port"],
                    },
                },
                "name": {"type": "string"},
            },
            "additionalProperties": false,
            "required": ["name"],
        })
    );
}

#[test]
fn a_manifest_reads_back_as_it_was_written_and_refuses_what_it_does_not_know() {
    let document = json!({
        "name": "istio", "displayName": "Istio", "version": "0.1.0", "abi": "0.1.0", "aliases": ["vendor/name"],
        "kinds": ["traffic-router", "metric-provider", "step", "endpoint-verifier"],
        "grants": {
            "reads": [{"group": "networking.istio.io", "kinds": ["VirtualService"], "namespaces": "any"}],
            "changes": [{"group": "", "kinds": ["Service"], "verbs": ["create", "patch", "delete"], "namespaces": "subject"}],
            "http": ["configured-address", "https://*.example.com"], "secrets": ["token"],
            "awsServices": ["aps"],
        },
        "capabilities": [
            "header-routes", "mirror-routes", "ping-pong", "additional-destinations", "verifies-weight", "max-weight",
        ],
        "subjectBody": "with-template", "statusKeys": ["alb"],
        "settings": {"api-version": {"flag": "f", "environment": null, "default": "v1", "description": "d"}},
        "configSchema": {"type": "object"},
    });
    let manifest: Manifest = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&manifest.to_text().unwrap()).unwrap(),
        document
    );

    let mut unknown = document;
    unknown["grants"]["exec"] = json!([]);
    let error = serde_json::from_value::<Manifest>(unknown)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("unknown field `exec`"), "{error}");
}

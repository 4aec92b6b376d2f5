//! As much of OpenAPI v3 as kubectl needs to apply objects and to explain custom kinds:
//! which kinds can be patched with field validation, and the schemas of custom ones.

use http::Response;
use serde_json::{Map, Value, json};

use crate::kinds::{Kind, Registry};
use crate::respond::{self, Body};

/// Answers a path below `/openapi/v3`.
pub(crate) fn answer(kinds: &Registry, path: &[&str]) -> Option<Response<Body>> {
    let body = match path {
        [] => index(kinds),
        ["api", version] => document(kinds, "", version)?,
        ["apis", group, version] => document(kinds, group, version)?,
        _ => return None,
    };
    Some(respond::json(200, body.to_string(), &[]))
}

fn index(kinds: &Registry) -> Value {
    let mut paths = Map::new();
    for kind in kinds.all() {
        for version in kind.versions.iter().filter(|version| version.served) {
            let path = base(kind, &version.name);
            let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
            paths.insert(path, url);
        }
    }
    json!({"paths": paths})
}

fn base(kind: &Kind, version: &str) -> String {
    if kind.group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{}/{version}", kind.group)
    }
}

fn document(kinds: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in kinds.all().filter(|kind| kind.group == group) {
        let Some(served) = kind.version(version).filter(|version| version.served) else {
            continue;
        };
        let gvk = json!({"group": group, "version": version, "kind": kind.kind});
        let namespace = if kind.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let path = format!(
            "/{}{namespace}/{}/{{name}}",
            base(kind, version),
            kind.plural
        );
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        paths.insert(
            path,
            json!({"patch": {
                "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": gvk,
            }}),
        );
        let mut schema = served.structure.clone();
        if !schema.is_object() {
            schema = json!({"type": "object"});
        }
        crate::json::set(&mut schema, "x-kubernetes-group-version-kind", json!([gvk]));
        schemas.insert(
            format!("{}.{version}.{}", reversed(group), kind.kind),
            schema,
        );
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.35.0-simulation"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// `argoproj.io` as `io.argoproj`.
fn reversed(group: &str) -> String {
    if group.is_empty() {
        return "io.k8s.api.core".to_owned();
    }
    group.split('.').rev().collect::<Vec<_>>().join(".")
}

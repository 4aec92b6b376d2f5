//! Which groups, versions and resources are served, for clients that ask.

use std::collections::BTreeMap;

use http::Response;
use serde_json::{Value, json};

use crate::kinds::{Kind, Registry};
use crate::openapi;
use crate::refusal;
use crate::respond::{self, Body};

/// Answers a path that is about no resource; nothing if it is about nothing at all.
pub(crate) fn answer(kinds: &Registry, parts: &http::request::Parts) -> Option<Response<Body>> {
    if parts.method != http::Method::GET {
        return None;
    }
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let body = match path.as_slice() {
        ["healthz" | "readyz" | "livez"] => {
            return Some(respond::with_type(200, "text/plain; charset=utf-8", "ok"));
        }
        ["openapi", "v3", rest @ ..] => return openapi::answer(kinds, rest),
        ["version"] => version(),
        ["api"] => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        ["api", version] => resources(kinds, "", version)?,
        ["apis"] => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": groups(kinds).into_values().collect::<Vec<_>>(),
        }),
        ["apis", group] => {
            let mut group = groups(kinds).remove(*group)?;
            crate::json::set(&mut group, "kind", "APIGroup");
            crate::json::set(&mut group, "apiVersion", "v1");
            group
        }
        ["apis", group, version] => resources(kinds, group, version)?,
        ["api", version, ..] if is_built_in(kinds, "", version) => return Some(unknown_resource()),
        ["apis", group, version, ..] if is_built_in(kinds, group, version) => {
            return Some(unknown_resource());
        }
        _ => return None,
    };
    Some(respond::json(200, body.to_string(), &[]))
}

/// Whether a group and version are Kubernetes' own, whose server answers unknown resources in JSON.
fn is_built_in(kinds: &Registry, group: &str, version: &str) -> bool {
    kinds
        .all()
        .any(|kind| !kind.is_custom() && kind.group == group && kind.version(version).is_some())
}

fn unknown_resource() -> Response<Body> {
    respond::refused(&refusal::no_such_path())
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "35",
        "gitVersion": "v1.35.0-simulation",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "simulation",
    })
}

/// Every named group with its served versions.
fn groups(kinds: &Registry) -> BTreeMap<String, Value> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in kinds.all().filter(|kind| !kind.group.is_empty()) {
        let known = versions.entry(kind.group.clone()).or_default();
        for version in kind.versions.iter().filter(|version| version.served) {
            if !known.contains(&version.name) {
                known.push(version.name.clone());
            }
        }
    }
    versions
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
                .collect();
            let preferred = versions.first().cloned().unwrap_or_default();
            let value = json!({"name": group, "versions": versions, "preferredVersion": preferred});
            (group, value)
        })
        .collect()
}

/// The resources of a group and version, with their subresources.
fn resources(kinds: &Registry, group: &str, version: &str) -> Option<Value> {
    let served: Vec<&Kind> = kinds
        .all()
        .map(AsRef::as_ref)
        .filter(|kind| {
            kind.group == group && kind.version(version).is_some_and(|version| version.served)
        })
        .collect();
    let first = served.first()?;
    let group_version = first.api_version(version);
    let mut entries = Vec::new();
    for kind in served {
        entries.push(json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            "shortNames": kind.short_names,
            "categories": kind.categories,
        }));
        let mut subresource = |name: &str, of: &str, group: &str, version: &str, verbs: &[&str]| {
            let mut entry = json!({
                "name": format!("{}/{name}", kind.plural),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": of,
                "verbs": verbs,
            });
            if !group.is_empty() {
                crate::json::set(&mut entry, "group", group);
                crate::json::set(&mut entry, "version", version);
            }
            entries.push(entry);
        };
        if kind.status {
            subresource("status", &kind.kind, "", "", &["get", "patch", "update"]);
        }
        if kind.scale.is_some() {
            subresource(
                "scale",
                "Scale",
                "autoscaling",
                "v1",
                &["get", "patch", "update"],
            );
        }
        if kind.is("", "Pod") {
            subresource("eviction", "Eviction", "policy", "v1", &["create"]);
        }
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": entries,
    }))
}

//! What is turned away before anything is compiled.

use serde_json::json;

use super::guest::{Does, Guest, append_section, manifest, no_effects, plan};
use crate::gate;
use crate::limits::Limits;

fn refused(bytes: &[u8], expected: &str) {
    let outcome = gate::inspect(bytes, &Limits::default()).unwrap_err();
    assert!(
        outcome.contains(expected),
        "{outcome:?} should say {expected:?}"
    );
}

fn router() -> Guest {
    Guest::router(Does::Answers(vec![plan(no_effects())]))
}

/// A component in text, with a manifest.
fn component(text: &str) -> Vec<u8> {
    let mut bytes = wat::parse_str(text).unwrap();
    append_section(
        &mut bytes,
        "sluice:plugin",
        manifest("step").to_string().as_bytes(),
    );
    bytes
}

fn importing(import: &str) -> Vec<u8> {
    component(&format!("(component (import \"{import}\" (instance)))"))
}

#[test]
fn a_component_of_our_own_package_passes() {
    let found = gate::inspect(&router().build(), &Limits::default()).unwrap();
    assert_eq!(
        (found.name.as_str(), found.version.as_str()),
        ("probe", "1.2.3")
    );
}

#[test]
fn what_is_no_component_is_refused() {
    refused(b"", "is not a WebAssembly component");
    refused(b"#!/bin/sh\necho hello\n", "is not a WebAssembly component");
    refused(
        &wat::parse_str("(module)").unwrap(),
        "is a core module, not a component",
    );
    let mut cut = router().build();
    cut.truncate(cut.len() / 2);
    refused(&cut, "is not a WebAssembly component");
}

#[test]
fn imports_of_anything_but_our_own_package_are_refused() {
    for allowed in ["sluice:plugin/logging@0.1.0", "sluice:plugin/types@0.1.0"] {
        gate::inspect(&importing(allowed), &Limits::default()).unwrap();
    }
    for name in [
        "wasi:sockets/tcp@0.2.6",
        "wasi:http/outgoing-handler@0.2.6",
        "wasi:keyvalue/store@0.2.0",
        "evil:sluice/logging@0.1.0",
        "host",
    ] {
        refused(
            &importing(name),
            &format!("imports `{name}`: plugins are pure"),
        );
    }
    refused(
        &component("(component (import \"run\" (func)))"),
        "imports `run`",
    );
    refused(
        &component("(component (import \"code\" (core module)))"),
        "imports `code`",
    );
}

#[cfg(feature = "wasi")]
#[test]
fn inert_wasi_is_let_in_at_version_0_2() {
    for allowed in [
        "wasi:cli/stderr@0.2.6",
        "wasi:io/streams@0.2.12",
        "wasi:filesystem/preopens@0.2.0",
    ] {
        gate::inspect(&importing(allowed), &Limits::default()).unwrap();
    }
    refused(
        &importing("wasi:cli/stderr@0.3.0"),
        "only version 0.2 of WASI is available",
    );
}

#[test]
fn imports_inside_of_a_component_are_its_own_affair() {
    let nested = component("(component (component (import \"host\" (instance))))");
    gate::inspect(&nested, &Limits::default()).unwrap();
}

#[test]
fn imported_types_have_no_behaviour() {
    let typed = component("(component (import \"t\" (type (sub resource))))");
    gate::inspect(&typed, &Limits::default()).unwrap();
}

#[test]
fn the_manifest_may_sit_in_the_module_inside() {
    let mut module = wat::parse_str("(module)").unwrap();
    append_section(
        &mut module,
        "sluice:plugin",
        manifest("step").to_string().as_bytes(),
    );
    let data: String = module.iter().map(|byte| format!("\\{byte:02x}")).collect();
    // A component in binary that embeds the module: header, then section 1 with its bytes.
    let mut component = wat::parse_str("(component)").unwrap();
    assert!(module.len() < 0x4000, "{data}");
    component.push(1);
    component.extend([
        (module.len() & 0x7f) as u8 | 0x80,
        (module.len() >> 7) as u8,
    ]);
    component.extend_from_slice(&module);
    assert_eq!(
        gate::inspect(&component, &Limits::default()).unwrap().name,
        "probe"
    );
}

#[test]
fn there_is_one_manifest() {
    refused(
        &router().component(),
        "has no custom section `sluice:plugin`",
    );
    let mut twice = router().build();
    append_section(&mut twice, "sluice:plugin", b"{}");
    refused(&twice, "has several custom sections");
}

#[test]
fn a_manifest_that_cannot_be_meant_is_refused_by_its_field() {
    for (field, value, expected) in [
        ("nickname", json!("x"), "unknown field `nickname`"),
        ("name", json!(""), "name: must not be empty"),
        ("name", json!(null), "invalid type: null"),
        ("aliases", json!([""]), "aliases"),
        ("kinds", json!([]), "kinds: must name at least one"),
        ("kinds", json!(["cloud"]), "unknown variant `cloud`"),
        (
            "grants",
            json!({ "http": ["gopher://x"] }),
            "only http and https have grants",
        ),
        ("grants", json!({ "exec": [] }), "unknown field `exec`"),
        (
            "grants",
            json!({ "reads": [{ "group": "", "kinds": ["Secret"], "namespaces": "subject" }] }),
            "grants.reads: Secrets are never granted",
        ),
        (
            "grants",
            json!({ "changes": [{ "group": "*", "kinds": ["X"], "verbs": ["patch"], "namespaces": "any" }] }),
            "grants.changes",
        ),
        (
            "grants",
            json!({ "changes": [{ "group": "a", "kinds": ["X"], "verbs": ["update"], "namespaces": "any" }] }),
            "unknown variant `update`",
        ),
    ] {
        refused(&router().with(field, value).build(), expected);
    }
}

#[test]
fn components_over_a_limit_are_refused() {
    let small = Limits {
        component: 100,
        ..Limits::default()
    };
    let outcome = gate::inspect(&router().build(), &small).unwrap_err();
    assert!(outcome.ends_with("at most 100 are taken"), "{outcome}");
    let few = Limits {
        functions: 2,
        ..Limits::default()
    };
    let outcome = gate::inspect(&router().build(), &few).unwrap_err();
    assert_eq!(outcome, "has more than 2 functions");
}

//! What is decided about a component before anything of it is compiled: its size, its imports, its manifest.

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use crate::limits::Limits;
use crate::manifest::{Manifest, SECTION};

/// Interfaces of WASI 0.2 that a standard toolchain imports without being asked. They are linked to nothing: no files, no
/// environment, no sockets, a fixed clock.
#[cfg(feature = "wasi")]
const INERT_WASI: [&str; 5] = ["cli", "io", "clocks", "random", "filesystem"];

/// Reads a component's imports and manifest.
///
/// # Errors
/// Why the component is not taken, for the one who put it there.
pub(crate) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Manifest, String> {
    if bytes.len() > limits.component {
        return Err(format!(
            "is {} bytes; at most {} are taken",
            bytes.len(),
            limits.component
        ));
    }
    let mut found = Found::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload =
            payload.map_err(|error| format!("is not a WebAssembly component: {error}"))?;
        match payload {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding != Encoding::Component {
                    return Err("is a core module, not a component: wrap it with `wasm-tools component new`".to_owned());
                }
                depth = depth.saturating_add(1);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            // Imports of nested components are satisfied by the component around them.
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import
                        .map_err(|error| format!("is not a WebAssembly component: {error}"))?;
                    check_import(import.name.name, import.ty)?;
                }
            }
            Payload::CustomSection(section) if section.name() == SECTION => {
                found.manifests.push(section.data().to_vec())
            }
            Payload::FunctionSection(section) => {
                found.functions = found.functions.saturating_add(section.count());
                if found.functions > limits.functions {
                    return Err(format!("has more than {} functions", limits.functions));
                }
            }
            _ => {}
        }
    }
    found.manifest()
}

#[derive(Default)]
struct Found {
    manifests: Vec<Vec<u8>>,
    functions: u32,
}

impl Found {
    fn manifest(self) -> Result<Manifest, String> {
        let mut manifests = self.manifests.into_iter();
        let Some(json) = manifests.next() else {
            return Err(format!(
                "has no custom section `{SECTION}`: a plugin says there who it is and what it asks for"
            ));
        };
        if manifests.next().is_some() {
            return Err(format!(
                "has several custom sections `{SECTION}`; there must be one"
            ));
        }
        Manifest::parse(&json).map_err(|error| format!("custom section `{SECTION}`: {error}"))
    }
}

fn check_import(name: &str, kind: ComponentTypeRef) -> Result<(), String> {
    // A type has no behaviour.
    if matches!(kind, ComponentTypeRef::Type(_)) {
        return Ok(());
    }
    let interface = name
        .split_once('@')
        .map_or(name, |(interface, _)| interface);
    if interface == "sluice:plugin/logging" || interface == "sluice:plugin/types" {
        return Ok(());
    }
    // An instance that has only types passes later on: wasmtime asks the linker for nothing then, but the interfaces of
    // our own package are the only ones that are known to be such.
    if matches!(kind, ComponentTypeRef::Instance(_)) && interface.starts_with("sluice:plugin/") {
        return Ok(());
    }
    #[cfg(feature = "wasi")]
    if let Some(rest) = interface.strip_prefix("wasi:") {
        let package = rest.split('/').next().unwrap_or_default();
        if INERT_WASI.contains(&package) {
            return if name
                .split_once('@')
                .is_some_and(|(_, version)| version.starts_with("0.2."))
            {
                Ok(())
            } else {
                Err(format!(
                    "imports `{name}`: only version 0.2 of WASI is available to plugins"
                ))
            };
        }
    }
    Err(format!(
        "imports `{name}`: plugins are pure and import nothing but `sluice:plugin/logging`; the host reads objects and \
         makes requests for them"
    ))
}

//! A linked core module becomes a component, with its manifest where everybody can read it: at the top.
//!
//! Which modules there are, and where components go, is the business of `plugins`.

use anyhow::{Context as _, bail};
use serde_json::Value;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// The custom section that holds the manifest; `wit/README.md` describes it.
const SECTION: &str = "sluice:plugin";

/// The magic number and the version, before the first section of a module.
const PREAMBLE: usize = 8;

/// The component of a core module that was linked with the guest SDK.
///
/// The manifest is moved from the module to the top of the component, since there must be exactly one, and readers other
/// than ours need not look into nested modules.
///
/// # Errors
/// When the bytes are no module, when it has no manifest, or when its types are not those of `wit/`.
pub(crate) fn encode(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (module, manifest) = without_manifest(module)?;
    let mut component = ComponentEncoder::default()
        .module(&module)
        .context("failed to read its types")?
        .validate(true)
        .encode()
        .context("failed to encode it")?;
    push_section(&mut component, 0, &[&named(SECTION), &manifest]);
    Ok(component)
}

/// The module without its manifest, and the manifest.
fn without_manifest(module: &[u8]) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let mut rest = module
        .get(..PREAMBLE)
        .context("it is too short for a module")?
        .to_vec();
    let mut manifest = None;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.context("it is no module")?;
        if let Payload::CustomSection(section) = &payload
            && section.name() == SECTION
        {
            if manifest.replace(section.data().to_vec()).is_some() {
                bail!("it has several custom sections `{SECTION}`");
            }
            continue;
        }
        // Code is announced as a whole before it comes function by function.
        if let Some((id, range)) = payload.as_section() {
            let content = module
                .get(range)
                .context("a section is longer than the module")?;
            push_section(&mut rest, id, &[content]);
        }
    }
    let Some(manifest) = manifest else {
        bail!("it has no custom section `{SECTION}`: an export macro of the SDK writes it");
    };
    // Two exports in one crate would have put two documents into the section.
    let document: Value =
        serde_json::from_slice(&manifest).context("its manifest is not one JSON document")?;
    if !document.is_object() {
        bail!("its manifest is no JSON object");
    }
    Ok((rest, manifest))
}

fn push_section(wasm: &mut Vec<u8>, id: u8, parts: &[&[u8]]) {
    wasm.push(id);
    wasm.extend(leb128(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        wasm.extend_from_slice(part);
    }
}

/// A name as sections have it.
fn named(name: &str) -> Vec<u8> {
    let mut bytes = leb128(name.len());
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// The unsigned variable-length encoding of WebAssembly.
fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests;

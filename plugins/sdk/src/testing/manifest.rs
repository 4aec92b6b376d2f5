//! Keeps the committed `manifest.json` equal to what the code says.

use std::path::Path;

use serde_json::Value;

use crate::manifest::Manifest;

/// Fails the test when `manifest.json` in the folder of the crate is not what the code says; with `UPDATE_MANIFEST=1` in
/// the environment the file is written instead.
///
/// Call it with `env!("CARGO_MANIFEST_DIR")`.
///
/// # Panics
/// When they differ, and when the file cannot be read or written.
pub fn check_manifest(manifest: &Manifest, crate_dir: &str) {
    let path = Path::new(crate_dir).join("manifest.json");
    let text = match manifest.to_text() {
        Ok(text) => text,
        Err(error) => panic!("the manifest cannot be written as JSON: {error}"),
    };
    if std::env::var_os("UPDATE_MANIFEST").is_some_and(|value| value == "1") {
        if let Err(error) = std::fs::write(&path, text) {
            panic!("{} cannot be written: {error}", path.display());
        }
        return;
    }
    let kept = match std::fs::read_to_string(&path) {
        Ok(kept) => kept,
        Err(error) => panic!("{} cannot be read: {error}", path.display()),
    };
    let (kept, said): (Value, Value) =
        match (serde_json::from_str(&kept), serde_json::from_str(&text)) {
            (Ok(kept), Ok(said)) => (kept, said),
            (kept, said) => panic!("not JSON: {kept:?} {said:?}"),
        };
    assert!(
        kept == said,
        "{} is not what the code says; run the test with UPDATE_MANIFEST=1",
        path.display()
    );
}

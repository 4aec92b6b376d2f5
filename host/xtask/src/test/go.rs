//! Is there a Go that builds the control plane? Asked at the start, and not after the minutes that Rust needs.

use std::{
    env, fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::cargo;

/// The modules that are built; the newest Go that one of them asks for is what is needed.
const MODULES: [&str; 3] = ["tests/control-plane", "tests/kwok", "tests/peers"];

/// Variables by which a user brings a control plane of his own; `tests/README.md` describes them.
const OTHERS: [&str; 2] = ["SLUICE_TEST_KUBECONFIG", "KUBEBUILDER_ASSETS"];

/// Fails with what to do when the control plane cannot be built here.
pub(super) fn check() -> anyhow::Result<()> {
    if OTHERS.iter().any(|name| env::var_os(name).is_some()) {
        return Ok(());
    }
    let wanted = wanted()?;
    let advice =
        "install it from https://go.dev/dl, or leave these tests out: `cargo xtask test --fast`";

    let mut go = Command::new("go");
    // Outside of any module, and without a download of another Go.
    go.args(["env", "GOVERSION"])
        .current_dir("/")
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null());
    let Ok(output) = go.output() else {
        bail!(
            "the real control plane, on which the last level tests, is built with Go {wanted} or newer, and there is none: {advice}"
        );
    };
    let found = String::from_utf8_lossy(&output.stdout);
    let found = found.trim().trim_start_matches("go");
    if !is_enough(found, &wanted) {
        bail!(
            "the real control plane, on which the last level tests, is built with Go {wanted} or newer, and this is {found}: {advice}"
        );
    }
    Ok(())
}

/// The Go that all modules can be built with.
fn wanted() -> anyhow::Result<String> {
    let mut newest = String::new();
    for module in MODULES {
        let go_mod = cargo::root().join(module).join("go.mod");
        let text = fs::read_to_string(&go_mod)
            .with_context(|| format!("failed to read {}", go_mod.display()))?;
        let version = text.lines().find_map(|line| line.strip_prefix("go "));
        let version = version
            .with_context(|| format!("{module}/go.mod names no version of Go"))?
            .trim();
        if newest.is_empty() || is_enough(version, &newest) {
            newest = version.to_owned();
        }
    }
    Ok(newest)
}

/// Compares versions like `1.26.8`. One that cannot be read, like that of a development build, is taken: the build will
/// tell.
fn is_enough(found: &str, wanted: &str) -> bool {
    match (numbers(found), numbers(wanted)) {
        (Some(found), Some(wanted)) => found >= wanted,
        _ => true,
    }
}

/// Its numbers; a release candidate counts as its release.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let parts = version.split_whitespace().next()?.split('.');
    parts
        .map(|part| {
            let end = part
                .find(|character: char| !character.is_ascii_digit())
                .unwrap_or(part.len());
            part.get(..end)?.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (found, wanted, expected) in [
            ("1.26.8", "1.26.0", true),
            ("1.26.0", "1.26.0", true),
            ("1.9.9", "1.26.0", false),
            ("1.25.12", "1.26.0", false),
            ("2.0", "1.26.0", true),
            ("1.27rc1", "1.26.0", true),
            ("1.26.1 X:nodwarf5", "1.26.0", true),
            ("devel", "1.26.0", true),
        ] {
            assert_eq!(is_enough(found, wanted), expected, "{found} for {wanted}");
        }
    }
}

//! Is there what the last level needs and no task can install? Asked at the start, and not after the minutes that Rust
//! needs.

use std::{
    env, fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::cargo;

/// The modules that are built; the newest Go that one of them asks for is what is needed.
const MODULES: [&str; 3] = ["tests/control-plane", "tests/kwok", "tests/peers"];

/// The variable by which a user brings a cluster of his own; `tests/README.md` describes it.
const CLUSTER: &str = "SLUICE_TEST_KUBECONFIG";

/// Is the control plane ours to build?
pub(super) fn own_control_plane() -> bool {
    env::var_os(CLUSTER).is_none()
}

/// What to do without.
const OTHERWISE: &str = "leave out the tests on a real control plane: `cargo xtask test --fast`";

/// Fails with what to do when tests on the real control plane cannot run here.
pub(super) fn check() -> anyhow::Result<()> {
    if own_control_plane() {
        let wanted = wanted()?;
        match ask("go", &["env", "GOVERSION"]) {
            None => bail!(
                "the real control plane is built with Go {wanted} or newer, and there is none: install it from https://go.dev/dl, or {OTHERWISE}"
            ),
            Some(found) => {
                let found = found.trim().trim_start_matches("go");
                if !is_enough(found, &wanted) {
                    bail!(
                        "the real control plane is built with Go {wanted} or newer, and this is {found}: install that from https://go.dev/dl, or {OTHERWISE}"
                    );
                }
            }
        }
    }
    if ask("kubectl", &["version", "--client"]).is_none() {
        bail!(
            "tests do with kubectl what users do, and there is none: install it from https://kubernetes.io/docs/tasks/tools, or {OTHERWISE}"
        );
    }
    Ok(())
}

/// What a program of the user prints; none if it is not there.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    // Outside of any Go module, and without a download of another Go.
    command
        .args(arguments)
        .current_dir("/")
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null());
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
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

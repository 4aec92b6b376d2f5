//! Who depends on whom.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{cargo, none_of};

/// An allowed arrow is one that the architecture has; a crate need not use it.
struct Allowed {
    crate_name: &'static str,
    /// Crates of this workspace that it may be built with.
    depends_on: &'static [&'static str],
    /// Further ones for its own tests.
    tests_with: &'static [&'static str],
}

/// The arrows of `ARCHITECTURE.md`. Nothing of the host is missing here, and nothing of it leads to `plugins/`.
const HOST: &[Allowed] = &[
    Allowed {
        crate_name: "sluice-api",
        depends_on: &[],
        tests_with: &[],
    },
    Allowed {
        crate_name: "sluice-engine",
        depends_on: &["sluice-api"],
        tests_with: &[],
    },
    Allowed {
        crate_name: "sluice-plugin-host",
        depends_on: &["sluice-api", "sluice-engine"],
        tests_with: &[],
    },
    Allowed {
        crate_name: "sluice-cluster",
        depends_on: &["sluice-api", "sluice-engine"],
        tests_with: &["sluice-simulation"],
    },
    Allowed {
        crate_name: "sluice-simulation",
        depends_on: &["sluice-api"],
        tests_with: &[],
    },
    Allowed {
        crate_name: "sluice-controller",
        depends_on: &[
            "sluice-api",
            "sluice-cluster",
            "sluice-engine",
            "sluice-plugin-host",
        ],
        tests_with: &["sluice-simulation"],
    },
    Allowed {
        crate_name: "sluice",
        depends_on: &[
            "sluice-api",
            "sluice-cluster",
            "sluice-controller",
            "sluice-engine",
            "sluice-plugin-host",
            "sluice-simulation",
        ],
        tests_with: &[],
    },
    Allowed {
        crate_name: "sluice-xtask",
        depends_on: &["sluice-api"],
        tests_with: &[],
    },
];

/// What plugins are written against, and all that they may know of this workspace.
const SDK: &str = "sluice-plugin-sdk";

/// Crates that may never be below another, however indirectly.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("sluice-api", IMPURE),
    ("sluice-engine", IMPURE),
    (
        "sluice-plugin-host",
        &["kube", "kube-client", "kube-runtime"],
    ),
    ("sluice-cluster", &["wasmtime"]),
];

/// What can wait, look at the clock, draw lots or reach out (I1). `getrandom` is below all that draws lots.
const IMPURE: &[&str] = &[
    "async-trait",
    "futures-core",
    "getrandom",
    "hyper",
    "kube",
    "kube-client",
    "mio",
    "rand",
    "reqwest",
    "tokio",
    "wasmtime",
];

/// A crate of the workspace.
struct Member {
    folder: String,
    dependencies: BTreeSet<String>,
    dev_dependencies: BTreeSet<String>,
    /// Its targets of the kind `test`.
    tests: BTreeSet<String>,
}

fn members() -> Result<BTreeMap<String, Member>> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text)?;
    let root = metadata["workspace_root"].as_str().context("no root")?;
    let mut members = BTreeMap::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let text = |value: &Value, key: &str| {
            value[key]
                .as_str()
                .map(str::to_owned)
                .context(key.to_owned())
        };
        let named = |list: &str, keep: &dyn Fn(&Value) -> bool| {
            let items = package[list].as_array().into_iter().flatten();
            items
                .filter(|item| keep(item))
                .map(|item| text(item, "name"))
                .collect::<Result<BTreeSet<_>>>()
        };
        let manifest = text(package, "manifest_path")?;
        let folder = manifest.trim_start_matches(root).trim_start_matches('/');
        let member = Member {
            folder: folder.trim_end_matches("/Cargo.toml").to_owned(),
            dependencies: named("dependencies", &|item| item["kind"] != "dev")?,
            dev_dependencies: named("dependencies", &|item| item["kind"] == "dev")?,
            tests: named("targets", &|item| {
                item["kind"] == serde_json::json!(["test"])
            })?,
        };
        members.insert(text(package, "name")?, member);
    }
    Ok(members)
}

#[test]
fn crates_of_the_host_depend_on_each_other_only_as_the_architecture_says() -> Result<()> {
    let members = members()?;
    let mut problems = Vec::new();
    for (name, member) in members
        .iter()
        .filter(|(_, member)| member.folder.starts_with("host/"))
    {
        let Some(allowed) = HOST.iter().find(|allowed| allowed.crate_name == name) else {
            problems.push(format!("{name} has no line in HOST"));
            continue;
        };
        let ours = |names: &BTreeSet<String>| -> BTreeSet<String> {
            names
                .iter()
                .filter(|name| members.contains_key(*name))
                .cloned()
                .collect()
        };
        for other in ours(&member.dependencies) {
            if !allowed.depends_on.contains(&other.as_str()) {
                problems.push(format!("{name} depends on {other}"));
            }
        }
        for other in ours(&member.dev_dependencies) {
            if !allowed.depends_on.contains(&other.as_str())
                && !allowed.tests_with.contains(&other.as_str())
            {
                problems.push(format!("{name} is tested with {other}"));
            }
        }
    }
    none_of(
        &problems,
        "an arrow that ARCHITECTURE.md does not have; it would have to be drawn there first:",
    )
}

#[test]
fn plugins_and_the_host_share_only_the_interface_definition() -> Result<()> {
    let members = members()?;
    let mut problems = Vec::new();
    for (name, member) in members
        .iter()
        .filter(|(_, member)| member.folder.starts_with("plugins/"))
    {
        for other in member.dependencies.union(&member.dev_dependencies) {
            if members.contains_key(other) && (other != SDK || name == SDK) {
                problems.push(format!("{name} depends on {other}"));
            }
        }
    }
    none_of(
        &problems,
        "a plugin depends on nothing of this workspace but the guest SDK:",
    )
}

#[test]
fn only_the_plugin_host_knows_wasmtime() -> Result<()> {
    let knows = |member: &Member| {
        member
            .dependencies
            .union(&member.dev_dependencies)
            .any(|name| name.starts_with("wasmtime"))
    };
    let found: Vec<_> = members()?
        .into_iter()
        .filter(|(_, member)| knows(member))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(found, ["sluice-plugin-host"]);
    Ok(())
}

#[test]
fn nothing_forbidden_is_below_a_crate() -> Result<()> {
    let mut problems = Vec::new();
    for (name, forbidden) in FORBIDDEN {
        let arguments = [
            "tree",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ];
        let tree = cargo(&arguments)?;
        let below: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert!(
            below.contains(name),
            "cargo tree prints something else: {tree}"
        );
        for other in forbidden.iter().filter(|other| below.contains(**other)) {
            problems.push(format!(
                "{other} below {name}: `cargo tree -p {name} -e normal -i {other}` shows by whom"
            ));
        }
    }
    none_of(
        &problems,
        "dependencies that would let a crate do what it must not:",
    )
}

/// More than one would link the host several times, and `cargo xtask test` would not find them.
#[test]
fn tests_across_crates_are_one_binary() -> Result<()> {
    let tests: Vec<_> = members()?
        .into_iter()
        .flat_map(|(name, member)| {
            member
                .tests
                .into_iter()
                .map(move |test| format!("{name}/{test}"))
        })
        .collect();
    assert_eq!(tests, ["sluice-tests/it"]);
    Ok(())
}

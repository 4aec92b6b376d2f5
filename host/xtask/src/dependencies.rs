//! Licences of dependencies, and dependencies that are there in several versions.
//!
//! What is allowed is in `data/dependencies.yaml`, with reasons. Looked at is what is built for Linux, tests and build
//! scripts included; what other systems would add is neither shipped nor built here.

mod licence;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use self::tree::Crate;
use crate::cargo;

/// Where the rules are, from the root.
const RULES: &str = "host/xtask/data/dependencies.yaml";

/// The system that is shipped for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// SPDX identifiers, with their exception where they have one.
    licences: BTreeSet<String>,
    /// Crates that may be there in several versions.
    doubled: Vec<Doubled>,
}

/// A crate that may be there in several versions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Doubled {
    #[serde(rename = "crate")]
    name: String,
    /// As far as they matter for compatibility: `2`, `0.16`.
    versions: BTreeSet<String>,
    /// Why nothing can be done about it now.
    reason: String,
}

/// Fails with what to do about each dependency that breaks a rule.
pub(crate) fn check() -> anyhow::Result<()> {
    let path = cargo::root().join(RULES);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {RULES}"))?;
    let rules: Rules =
        serde_saphyr::from_str(&text).with_context(|| format!("failed to decode {RULES}"))?;
    let mut tree = cargo::cargo();
    tree.args([
        "tree",
        "--workspace",
        "--target",
        TARGET,
        "--edges",
        "normal,build,dev",
    ]);
    tree.args(["--prefix", "depth", "--format", tree::FORMAT]);
    let crates = tree::read(&cargo::output(&mut tree)?)?;

    let mut problems = licences(&rules, &crates);
    problems.extend(doubled(&rules, &crates));
    if problems.is_empty() {
        println!(
            "{} crates, {} of them doubled for a reason",
            crates.len(),
            rules.doubled.len()
        );
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

/// Crates whose licence is not allowed, and allowed licences that nothing has.
fn licences(rules: &Rules, crates: &[Crate]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for found in crates {
        match licence::check(&found.licence, &rules.licences) {
            Ok(licences) => used.extend(licences),
            Err(problem) => problems.push(format!(
                "{found}, wanted by {}: {problem}.\n  \
                 Do without the crate, or, if its licence goes with Apache-2.0, add the licence to `licences` in {RULES}.",
                found.wanted_by()
            )),
        }
    }
    for licence in rules.licences.difference(&used) {
        problems.push(format!(
            "no dependency needs the licence {licence}: remove it from `licences` in {RULES}."
        ));
    }
    problems
}

/// Crates that are newly there in several versions, and permissions that are no longer needed.
fn doubled(rules: &Rules, crates: &[Crate]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeMap<String, &Crate>> = BTreeMap::new();
    for found in crates {
        let lines = versions.entry(&found.name).or_default();
        lines.insert(compatible(&found.version), found);
    }
    versions.retain(|_, lines| lines.len() > 1);

    let mut problems = Vec::new();
    for (name, lines) in &versions {
        let allowed = rules.doubled.iter().find(|doubled| doubled.name == *name);
        if allowed.is_some_and(|allowed| lines.keys().all(|line| allowed.versions.contains(line))) {
            continue;
        }
        let mut problem = format!("{name} is there in {} versions:", lines.len());
        for found in lines.values() {
            problem.push_str(&format!(
                "\n    {}, wanted by {}",
                found.version,
                found.wanted_by()
            ));
        }
        problem.push_str(&format!(
            "\n  Bring them together (another version in [workspace.dependencies], or `cargo update {name}@{}`), \
             or tolerate it in `doubled` in {RULES}, with the reason.",
            lines.values().next().map_or("VERSION", |found| &found.version)
        ));
        problems.push(problem);
    }
    for Doubled {
        name,
        versions: allowed,
        reason,
    } in &rules.doubled
    {
        if reason.trim().is_empty() {
            problems.push(format!("{name}: `doubled` in {RULES} gives no reason."));
        }
        let there = versions.get(name.as_str());
        for version in allowed {
            if !there.is_some_and(|lines| lines.contains_key(version)) {
                problems.push(format!(
                    "{name} {version} no longer doubles another version: remove it from `doubled` in {RULES}."
                ));
            }
        }
    }
    problems
}

/// The part of a version that others must have in common to be compatible.
fn compatible(version: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for number in version.split('.') {
        kept.push(number);
        if number != "0" {
            break;
        }
    }
    kept.join(".")
}

#[cfg(test)]
mod tests;

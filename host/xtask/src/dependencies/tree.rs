//! Reads what `cargo tree` prints: exactly the crates that are built, which `cargo metadata` does not say.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::Context as _;

/// The format of a line, after its depth.
pub(super) const FORMAT: &str = "{p}|{l}";

/// A crate of the tree.
#[derive(Debug, PartialEq)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// As the crate writes it; empty where it does not say.
    pub(super) licence: String,
    parents: BTreeSet<String>,
}

impl Crate {
    /// Who depends on it.
    pub(super) fn wanted_by(&self) -> String {
        let parents: Vec<&str> = self.parents.iter().map(String::as_str).collect();
        if parents.is_empty() {
            "this workspace".to_owned()
        } else {
            parents.join(", ")
        }
    }
}

impl fmt::Display for Crate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// The crates of a tree whose lines begin with their depth.
pub(super) fn read(text: &str) -> anyhow::Result<Vec<Crate>> {
    let mut crates: BTreeMap<(String, String), Crate> = BTreeMap::new();
    // The crates above the current line, from the root of its tree.
    let mut above: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let unreadable = || format!("failed to read the line `{line}` of `cargo tree`");
        let end = line
            .find(|character: char| !character.is_ascii_digit())
            .with_context(unreadable)?;
        let (depth, rest) = line.split_at(end);
        let depth: usize = depth.parse().with_context(unreadable)?;
        // A crate whose dependencies were listed before ends with `(*)`.
        let (package, licence) = rest
            .trim_end_matches(" (*)")
            .split_once('|')
            .with_context(unreadable)?;
        let mut words = package.split_whitespace();
        let name = words.next().with_context(unreadable)?;
        let version = words
            .next()
            .and_then(|word| word.strip_prefix('v'))
            .with_context(unreadable)?;

        above.truncate(depth);
        let found = crates
            .entry((name.to_owned(), version.to_owned()))
            .or_insert_with(|| Crate {
                name: name.to_owned(),
                version: version.to_owned(),
                licence: licence.to_owned(),
                parents: BTreeSet::new(),
            });
        found.parents.extend(above.last().cloned());
        above.push(found.to_string());
    }
    Ok(crates.into_values().collect())
}

//! `host/COMPATIBILITY.md`: every row of the ledger in `tests/compatibility/`, with the tests that show it, or the deliberate
//! difference with its reason, or not yet.
//!
//! A row is shown because a test names it: in the comments above it, in its body, or in a table in there. Whoever deletes
//! the test takes the claim away with it. Sources are read as text; nothing is built or run for the page.

mod ledger;
mod mentions;
mod notes;
mod page;
mod tests_of;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::bail;

use ledger::Ledger;
use tests_of::Test;

/// Where the ledger is.
const FOLDER: &str = "tests/compatibility";

/// Where the page goes.
pub(super) const PAGE: &str = "host/COMPATIBILITY.md";

/// What is known of a row.
#[derive(Debug, Eq, PartialEq)]
enum State {
    /// Tests show it.
    Shown(Vec<Test>),
    /// It is different on purpose; tests may show how.
    Differs { reason: String, tests: Vec<Test> },
    /// No test names it. What happens instead, where somebody has said it.
    NotYet(Option<String>),
}

/// The text of the page.
///
/// # Errors
/// When the ledger or its notes cannot be read, and when somebody names a row that does not exist, with every such place.
pub(super) fn page(root: &Path) -> anyhow::Result<String> {
    let ledger = ledger::read(&root.join(FOLDER))?;
    let notes = notes::read(&root.join(FOLDER), &ledger)?;
    let (shown, unknown) = tests_of::named(root, &ledger)?;
    let mut problems = unknown;
    let states = states(&ledger, &notes, shown, &mut problems);
    if !problems.is_empty() {
        bail!("rows of {FOLDER}:\n  {}", problems.join("\n  "));
    }
    Ok(page::render(&notes.today, &ledger, &states))
}

/// What is known of every row. A row that is said to be missing and is named by a test all the same is a problem: one of
/// the two is wrong.
fn states(
    ledger: &Ledger,
    notes: &notes::Notes,
    mut shown: BTreeMap<String, BTreeSet<Test>>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, State> {
    let mut states = BTreeMap::new();
    for row in ledger.rows() {
        let tests: Vec<Test> = shown.remove(&row.id).into_iter().flatten().collect();
        let state = match (notes.differences.get(&row.id), notes.missing.get(&row.id)) {
            (Some(reason), _) => State::Differs {
                reason: reason.clone(),
                tests,
            },
            (None, Some(_)) if !tests.is_empty() => {
                problems.extend(tests.iter().map(|test| {
                    format!(
                        "{}: `{}` names {}, which {} lists as missing",
                        test.file,
                        test.name,
                        row.id,
                        notes::FILE
                    )
                }));
                continue;
            }
            (None, reason) if tests.is_empty() => State::NotYet(reason.cloned()),
            (None, _) => State::Shown(tests),
        };
        states.insert(row.id.clone(), state);
    }
    states
}

#[cfg(test)]
mod tests;

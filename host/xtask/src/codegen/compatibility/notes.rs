//! What people say about rows: deliberate differences, and what is missing, each with its reason.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::{ledger::Ledger, mentions};

/// The file of the ledger's folder that holds them.
pub(super) const FILE: &str = "differences.yaml";

/// The notes, by the ids of their rows.
pub(super) struct Notes {
    /// What somebody can move over today, in Markdown.
    pub today: String,
    /// Reasons for what is different on purpose.
    pub differences: BTreeMap<String, String>,
    /// What happens instead of what is not there yet.
    pub missing: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    today: String,
    differences: Vec<Note>,
    missing: Vec<Note>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Ids, or ranges of them.
    rows: Vec<String>,
    reason: String,
}

/// Reads the notes.
///
/// # Errors
/// When the file cannot be read, a reason is empty, or a row does not exist or stands there twice.
pub(super) fn read(folder: &Path, ledger: &Ledger) -> anyhow::Result<Notes> {
    let path = folder.join(FILE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, ledger).with_context(|| format!("in {FILE}"))
}

/// The notes of a text.
pub(super) fn parse(text: &str, ledger: &Ledger) -> anyhow::Result<Notes> {
    let file: File = serde_saphyr::from_str(text)?;
    let differences = by_row(&file.differences, ledger)?;
    let missing = by_row(&file.missing, ledger)?;
    if let Some(id) = differences.keys().find(|id| missing.contains_key(*id)) {
        bail!("{id} is both different and missing");
    }
    Ok(Notes {
        today: file.today.trim().to_owned(),
        differences,
        missing,
    })
}

fn by_row(notes: &[Note], ledger: &Ledger) -> anyhow::Result<BTreeMap<String, String>> {
    let mut reasons = BTreeMap::new();
    for note in notes {
        // A cell of a table has one line.
        let reason = note.reason.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(!reason.is_empty(), "{:?} have no reason", note.rows);
        for written in &note.rows {
            let mention = mentions::whole(written)
                .with_context(|| format!("{written:?} is no row and no range of rows"))?;
            for id in ledger.resolve(&mention)? {
                let before = reasons.insert(id.to_owned(), reason.clone());
                ensure!(before.is_none(), "{id} stands there twice");
            }
        }
    }
    Ok(reasons)
}

//! The ledger: one file for each chapter, with tables whose first column is a row's id.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, bail, ensure};

use super::mentions::{self, Mention};

/// All chapters, in the order of their files' names.
pub(super) struct Ledger {
    pub chapters: Vec<Chapter>,
}

/// One file.
pub(super) struct Chapter {
    /// Its name.
    pub file: String,
    /// Its first heading.
    pub title: String,
    pub rows: Vec<Row>,
}

/// One line of a table.
pub(super) struct Row {
    pub id: String,
    /// What the row is about, in short.
    pub fact: String,
}

/// Reads every chapter of a folder. Its README is none.
///
/// # Errors
/// When a file cannot be read, has no heading or no rows, or when two rows have the same id.
pub(super) fn read(folder: &Path) -> anyhow::Result<Ledger> {
    let cannot = || format!("cannot read the ledger in {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let name = entry.with_context(cannot)?.file_name();
        names.extend(name.into_string());
    }
    names.retain(|name| name.ends_with(".md") && name != "README.md");
    names.sort();
    let mut chapters = Vec::new();
    for file in names {
        let text = fs::read_to_string(folder.join(&file)).with_context(cannot)?;
        let title = text.lines().find_map(|line| line.strip_prefix("# "));
        let title = title.with_context(|| format!("{file} has no heading"))?;
        let rows: Vec<Row> = text.lines().filter_map(row).collect();
        ensure!(!rows.is_empty(), "{file} has no rows");
        chapters.push(Chapter {
            title: title.to_owned(),
            rows,
            file,
        });
    }
    let ledger = Ledger { chapters };
    let mut seen = BTreeSet::new();
    for row in ledger.rows() {
        ensure!(seen.insert(&row.id), "two rows are called {}", row.id);
    }
    Ok(ledger)
}

impl Ledger {
    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.chapters.iter().flat_map(|chapter| &chapter.rows)
    }

    /// Whether there are rows of this group.
    pub(super) fn has_group(&self, group: &str) -> bool {
        self.rows()
            .any(|row| mentions::parse(&row.id).is_some_and(|(of, _)| of == group))
    }

    /// The rows that a mention means. Both ends of a range exist; numbers in between may be unused.
    ///
    /// # Errors
    /// When a row does not exist.
    pub(super) fn resolve(&self, mention: &Mention) -> anyhow::Result<Vec<&str>> {
        for id in [Some(&mention.from), mention.to.as_ref()]
            .into_iter()
            .flatten()
        {
            if !self.rows().any(|row| row.id == *id) {
                bail!("there is no row {id}");
            }
        }
        let parsed =
            |id: &str| mentions::parse(id).map(|(group, number)| (group.to_owned(), number));
        let (Some(to), Some((group, first))) = (&mention.to, parsed(&mention.from)) else {
            let row = self.rows().find(|row| row.id == mention.from);
            return Ok(row.into_iter().map(|row| row.id.as_str()).collect());
        };
        let last = parsed(to).map_or(first, |(_, number)| number);
        let between = self.rows().filter(|row| {
            parsed(&row.id)
                .is_some_and(|(of, number)| of == group && (first..=last).contains(&number))
        });
        Ok(between.map(|row| row.id.as_str()).collect())
    }
}

/// A line of a table, if it is a row: the id, what it is about, and what is said about it, which stands last.
fn row(line: &str) -> Option<Row> {
    let mut cells = cells(line.strip_prefix('|')?.trim_end().strip_suffix('|')?).into_iter();
    let id = cells.next()?;
    mentions::parse(&id)?;
    let said: Vec<String> = cells.filter(|cell| !cell.is_empty()).collect();
    let fact = match said.as_slice() {
        [subject, .., last] => format!("{subject}: {last}"),
        [only] => only.clone(),
        [] => String::new(),
    };
    Some(Row {
        id,
        fact: shorten(&fact),
    })
}

/// The cells of a line, their marks left as they are. `\|` is a part of one.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for character in line.chars() {
        match cells.last_mut() {
            Some(cell) if character != '|' || escaped => cell.push(character),
            _ => cells.push(String::new()),
        }
        escaped = character == '\\' && !escaped;
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// How much of a fact stands on the page; the whole is in the ledger, one click away.
const SHORT: usize = 110;

/// The first sentence of a text, cut between two words where it is long, and never within `code`.
fn shorten(text: &str) -> String {
    let text = text.replace(" **[pin]**", "").replace(" **[quirk]**", "");
    let text = text.replace("**[quirk]** ", "");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_end_matches(['.', ' ']);
    let mut code = 0;
    let mut marks = 0;
    let mut cut: Option<&str> = None;
    for (index, character) in text.char_indices() {
        if character == '`' {
            marks += 1;
            continue;
        }
        if marks > 0 {
            // As many marks as began the code end it.
            match code {
                0 => code = marks,
                _ if code == marks => code = 0,
                _ => {}
            }
            marks = 0;
        }
        if code > 0 || character != ' ' {
            continue;
        }
        let before = text.get(..index).unwrap_or(text);
        if let Some(sentence) = before.strip_suffix('.')
            && !ABBREVIATIONS.iter().any(|short| before.ends_with(short))
        {
            return sentence.to_owned();
        }
        // Code that is longer is not cut; what follows it is. A word or two before it would say nothing.
        let says_little = cut.is_none_or(|cut| cut.chars().count() < SHORT / 3);
        if before.chars().count() <= SHORT || says_little {
            cut = Some(before);
        }
    }
    match cut {
        Some(cut) if text.chars().count() > SHORT => {
            format!("{} …", cut.trim_end_matches([',', ';', ':', '–', ' ']))
        }
        _ => text.to_owned(),
    }
}

/// Words that end with a point and no sentence.
const ABBREVIATIONS: &[&str] = &["e.g.", "i.e.", "n.a.", "incl.", "dep."];

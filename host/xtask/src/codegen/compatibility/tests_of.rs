//! The tests of the repository, and the rows that each names.
//!
//! A test is a function with an attribute `test`, a contract, or a story. What it names is in the comments above it, in
//! its name and in its body. Helpers of tests, and all other code, show nothing; but a row that they name has to exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
    path::Path,
};

use anyhow::{Context as _, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{ledger::Ledger, mentions};

/// Where tests are.
const ROOTS: &[&str] = &["host", "plugins", "tests"];

/// Functions there that take the `ground` are tests without an attribute: one macro runs them all.
const CONTRACTS: &str = "tests/it/contract/";

/// What has the form of a row's id and is none.
const OTHERS: &[&str] = &["SHA-256"];

/// Examples of ids, which are about no row.
const EXAMPLES: &str = "host/xtask/src/codegen/compatibility/tests.rs";

/// A test, by where it is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Test {
    /// Its file, from the root of the repository.
    pub file: String,
    /// Its function, or the name of its story.
    pub name: String,
}

/// The tests that name each row.
pub(super) type Shown = BTreeMap<String, BTreeSet<Test>>;

/// The tests that name each row, and the places that name a row which does not exist.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn named(root: &Path, ledger: &Ledger) -> anyhow::Result<(Shown, Vec<String>)> {
    let mut files = Vec::new();
    for folder in ROOTS {
        collect(root, folder, &mut files)?;
    }
    files.retain(|file| file != EXAMPLES);
    files.sort();
    let mut shown = Shown::new();
    let mut unknown = Vec::new();
    for file in files {
        let text =
            fs::read_to_string(root.join(&file)).with_context(|| format!("cannot read {file}"))?;
        if text.lines().all(|line| mentions::in_line(line).is_empty()) {
            continue;
        }
        let tests = tests_in(&file, &text).with_context(|| format!("in {file}"))?;
        for (number, line) in (1..).zip(text.lines()) {
            let within: Vec<&Test> = tests
                .iter()
                .filter(|(lines, _)| lines.contains(&number))
                .map(|(_, test)| test)
                .collect();
            for mention in mentions::in_line(line) {
                let group = mentions::parse(&mention.from).map_or("", |(group, _)| group);
                let ours = ledger.has_group(group);
                if !ours && (within.is_empty() || OTHERS.contains(&mention.from.as_str())) {
                    continue;
                }
                match ledger.resolve(&mention) {
                    Ok(rows) => {
                        for row in rows {
                            let tests = shown.entry(row.to_owned()).or_default();
                            tests.extend(within.iter().copied().cloned());
                        }
                    }
                    Err(error) => unknown.push(format!("{file}:{number}: {error}")),
                }
            }
        }
    }
    Ok((shown, unknown))
}

/// Rust and stories below a folder. What is built is left out, and a folder that does not exist has none.
fn collect(root: &Path, folder: &str, files: &mut Vec<String>) -> anyhow::Result<()> {
    let path = root.join(folder);
    if !path.is_dir() {
        return Ok(());
    }
    let cannot = || format!("cannot list {folder}");
    for entry in fs::read_dir(&path).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let child = format!("{folder}/{name}");
        let kind = entry.file_type().with_context(cannot)?;
        if kind.is_dir() && name != "target" {
            collect(root, &child, files)?;
        } else if kind.is_file() && (name.ends_with(".rs") || name.ends_with(".story")) {
            files.push(child);
        }
    }
    Ok(())
}

type Tests = Vec<(RangeInclusive<usize>, Test)>;

/// The tests of a file with their lines, counted from 1.
pub(super) fn tests_in(file: &str, text: &str) -> anyhow::Result<Tests> {
    let test = |name: &str| Test {
        file: file.to_owned(),
        name: name.to_owned(),
    };
    if let Some(name) = file.strip_suffix(".story") {
        let name = name.rsplit('/').next().unwrap_or(name);
        return Ok(vec![(1..=text.lines().count(), test(name))]);
    }
    let stream: TokenStream = text
        .parse()
        .map_err(|error| anyhow!("it is no Rust: {error}"))?;
    let mut functions = Vec::new();
    find(stream, file.starts_with(CONTRACTS), &mut functions);
    let lines: Vec<&str> = text.lines().collect();
    let found = functions.into_iter().map(|function| {
        // Comments that stand right above belong to it.
        let above = lines.iter().take(function.first.saturating_sub(1)).rev();
        let comments = above
            .take_while(|line| line.trim_start().starts_with("//"))
            .count();
        let first = function.first - comments;
        (first..=function.last, test(&function.name))
    });
    Ok(found.collect())
}

/// A function that is a test, from its first attribute to its end.
struct Function {
    name: String,
    first: usize,
    last: usize,
}

/// What was read of an item so far.
#[derive(Default)]
struct Head {
    first: Option<usize>,
    is_test: bool,
    is_public: bool,
}

fn find(stream: TokenStream, contracts: bool, functions: &mut Vec<Function>) {
    let mut trees = stream.into_iter().peekable();
    let mut head = Head::default();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = trees.peek() {
                    head.first.get_or_insert(line);
                    head.is_test |= is_test(attribute);
                    trees.next();
                }
            }
            TokenTree::Ident(word) if word == "fn" => {
                let Some(TokenTree::Ident(name)) = trees.peek().cloned() else {
                    continue;
                };
                let Rest { body, contract } = rest(&mut trees);
                let Head {
                    first,
                    is_test,
                    is_public,
                } = std::mem::take(&mut head);
                let Some(body) = body else { continue };
                if is_test || (contracts && contract && is_public) {
                    functions.push(Function {
                        name: name.to_string(),
                        first: first.unwrap_or(line),
                        last: body.span_close().end().line,
                    });
                } else {
                    find(body.stream(), contracts, functions);
                }
            }
            TokenTree::Ident(word) if word == "pub" => {
                head.first.get_or_insert(line);
                head.is_public = true;
            }
            TokenTree::Ident(word) if word == "async" => {
                head.first.get_or_insert(line);
            }
            // `pub(crate)`.
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {}
            TokenTree::Group(group) => {
                head = Head::default();
                find(group.stream(), contracts, functions);
            }
            _ => head = Head::default(),
        }
    }
}

/// What follows the name of a function.
struct Rest {
    /// None where it is only declared.
    body: Option<Group>,
    /// It takes the ground of a contract.
    contract: bool,
}

fn rest(trees: &mut impl Iterator<Item = TokenTree>) -> Rest {
    let mut contract = false;
    let mut body = None;
    for tree in trees {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                body = Some(group);
                break;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
                let first = group.stream().into_iter().next();
                contract |= first.is_some_and(|word| word.to_string() == "ground");
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => break,
            _ => {}
        }
    }
    Rest { body, contract }
}

/// `#[test]`, `#[tokio::test(…)]`: the last word before arguments.
fn is_test(attribute: &Group) -> bool {
    let words = attribute
        .stream()
        .into_iter()
        .filter_map(|tree| match tree {
            TokenTree::Ident(word) => Some(word.to_string()),
            _ => None,
        });
    words.last().is_some_and(|word| word == "test")
}

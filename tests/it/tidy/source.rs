//! Rust code as words: without comments and documentation.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::files;

/// A word of code.
#[derive(Clone, Debug)]
pub struct Word {
    /// A name, a mark, a bracket, or a literal as it is written.
    pub text: String,
    /// Where it is, counted from 1.
    pub line: usize,
}

/// Which words of a file.
#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    /// All.
    Everything,
    /// Those that are not under `#[cfg(test)]`.
    Shipped,
}

/// The words of a file.
pub fn words(file: &Path, part: Part) -> Result<Vec<Word>> {
    let text = files::text(file)?.with_context(|| format!("{} is no text", file.display()))?;
    words_of(&text, part).with_context(|| format!("failed to read {}", file.display()))
}

fn words_of(code: &str, part: Part) -> Result<Vec<Word>> {
    let stream: TokenStream = code
        .parse()
        .map_err(|error| anyhow!("it is no Rust: {error}"))?;
    let mut words = Vec::new();
    flatten(stream, part, &mut words);
    Ok(words)
}

fn flatten(stream: TokenStream, part: Part, words: &mut Vec<Word>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if matches!(&tree, TokenTree::Punct(mark) if mark.as_char() == '#') {
            // `#![…]` is about what it is in.
            trees.next_if(|tree| matches!(tree, TokenTree::Punct(mark) if mark.as_char() == '!'));
            let attribute = match trees.peek() {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
                    spelled(group)
                }
                _ => String::new(),
            };
            if attribute.starts_with("doc = ") {
                trees.next();
                continue;
            }
            if attribute == "cfg ( test )" && part == Part::Shipped {
                skip_item(&mut trees);
                continue;
            }
        }
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                words.push(Word {
                    text: open.to_owned(),
                    line,
                });
                flatten(group.stream(), part, words);
                words.push(Word {
                    text: close.to_owned(),
                    line: group.span_close().start().line,
                });
            }
            other => words.push(Word {
                text: other.to_string(),
                line,
            }),
        }
    }
}

/// What is in an attribute, with a space between all words.
fn spelled(attribute: &Group) -> String {
    let mut words = Vec::new();
    flatten(attribute.stream(), Part::Everything, &mut words);
    let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
    words.join(" ")
}

/// Skips what an attribute belongs to: up to its end mark, or its body.
fn skip_item(trees: &mut impl Iterator<Item = TokenTree>) {
    for tree in trees {
        match tree {
            TokenTree::Punct(mark) if mark.as_char() == ';' => return,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            _ => {}
        }
    }
}

/// Where a sequence of words is. Written as code, like `Timestamp :: now`.
pub fn find(words: &[Word], sequence: &str) -> Vec<usize> {
    let wanted: Vec<&str> = sequence.split(' ').collect();
    // Two marks that belong together are two words.
    let wanted: Vec<String> = wanted
        .into_iter()
        .flat_map(|word| {
            if word == "::" {
                vec![":".to_owned(); 2]
            } else {
                vec![word.to_owned()]
            }
        })
        .collect();
    let windows = words.windows(wanted.len());
    let found = windows.filter(|window| window.iter().map(|word| &word.text).eq(&wanted));
    found
        .filter_map(|window| window.first())
        .map(|word| word.line)
        .collect()
}

#[test]
fn words_are_those_of_the_code_and_not_of_what_is_said_about_it() -> Result<()> {
    let code = r##"
        //! Mentions SystemTime.
        /// Here, too: SystemTime.
        #[derive(Debug)]
        struct A; // SystemTime
        #[cfg(test)]
        mod tests { use std::time::SystemTime; }
        #[cfg(test)]
        use std::time::SystemTime;
        const NAME: &str = r#"SystemTime"#;
        fn now() -> u64 { std::time::Instant::now() }
    "##;
    assert_eq!(
        find(&words_of(code, Part::Everything)?, "SystemTime"),
        [7, 9]
    );
    let words = words_of(code, Part::Shipped)?;
    assert_eq!(find(&words, "SystemTime"), [] as [usize; 0]);
    assert_eq!(find(&words, "Instant :: now"), [11]);
    assert_eq!(find(&words, "# [ derive ( Debug ) ]"), [4]);
    assert_eq!(find(&words, "r#\"SystemTime\"#"), [10]);
    Ok(())
}

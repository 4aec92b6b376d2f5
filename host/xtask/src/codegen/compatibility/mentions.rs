//! Rows that a line of text names: alone (`CND-001`), or as a range (`CND-001..019`, `CND-001 to CND-019`).

/// One row or a range of rows, by their ids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mention {
    pub from: String,
    /// The last one of a range.
    pub to: Option<String>,
}

/// A text that is one row or one range, and nothing else.
pub(super) fn whole(text: &str) -> Option<Mention> {
    if parse(text).is_some() {
        return Some(Mention {
            from: text.to_owned(),
            to: None,
        });
    }
    let (from, after) = split_word(text);
    parse(from)?;
    let (to, behind) = range_end(from, after)?;
    behind.is_empty().then(|| Mention {
        from: from.to_owned(),
        to: Some(to),
    })
}

/// Everything in a line that has the form of a row's id, ledger or not.
pub(super) fn in_line(line: &str) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(is_of_word) {
        let (word, after) = split_word(rest.get(start..).unwrap_or_default());
        rest = after;
        if parse(word).is_none() {
            continue;
        }
        let to = range_end(word, after);
        if let Some((_, behind)) = &to {
            rest = behind;
        }
        mentions.push(Mention {
            from: word.to_owned(),
            to: to.map(|(id, _)| id),
        });
    }
    mentions
}

/// The group of rows that an id belongs to, and its number: `RT-ISTIO` and 6 of `RT-ISTIO-006`. A letter may follow.
pub(super) fn parse(word: &str) -> Option<(&str, u32)> {
    let (group, number) = word.rsplit_once('-')?;
    let digits = number.trim_end_matches(|last: char| last.is_ascii_lowercase());
    let letters = number.len() - digits.len();
    let parts = group.split('-').count();
    let group_fits = group
        .split('-')
        .all(|part| (2..=5).contains(&part.len()) && part.chars().all(|c| c.is_ascii_uppercase()));
    let fits = group_fits
        && parts <= 2
        && letters <= 1
        && (2..=3).contains(&digits.len())
        && digits.chars().all(|c| c.is_ascii_digit());
    fits.then(|| digits.parse().ok())
        .flatten()
        .map(|number| (group, number))
}

/// What ends the range that `first` begins, and the text behind it. The end may leave the group out.
fn range_end<'a>(first: &str, after: &'a str) -> Option<(String, &'a str)> {
    let rest = ["..", " to "]
        .iter()
        .find_map(|between| after.strip_prefix(between))?;
    let (word, behind) = split_word(rest);
    let (group, number) = first.rsplit_once('-')?;
    if parse(word).is_some_and(|(of, _)| of == group) {
        return Some((word.to_owned(), behind));
    }
    let completed = format!("{group}-{word}");
    let fits = word.len() == number.len() && parse(&completed).is_some();
    fits.then_some((completed, behind))
}

/// The word at the beginning, and what follows.
fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c| !is_of_word(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || "-_".contains(character)
}

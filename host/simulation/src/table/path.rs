//! The JSONPath of printer columns: fields, indexes, `[*]` and equality filters.

use serde_json::Value;

/// The first value that a path leads to.
pub(super) fn first<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.trim();
    let path = path
        .strip_prefix('{')
        .and_then(|path| path.strip_suffix('}'))
        .unwrap_or(path);
    let mut found = vec![object];
    for step in steps(path.strip_prefix('$').unwrap_or(path)) {
        found = found
            .into_iter()
            .flat_map(|value| step.follow(value))
            .collect();
    }
    found.into_iter().next()
}

/// One step of a path.
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Entries of which a field equals a text.
    Where(String, String),
}

impl Step {
    fn follow<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let place = if *index < 0 {
                    usize::try_from(-index)
                        .ok()
                        .and_then(|back| entries.len().checked_sub(back))
                } else {
                    usize::try_from(*index).ok()
                };
                place
                    .and_then(|place| entries.get(place))
                    .into_iter()
                    .collect()
            }
            Self::All => match value {
                Value::Array(entries) => entries.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where(path, wanted) => value
                .as_array()
                .into_iter()
                .flatten()
                .filter(|entry| {
                    first(entry, path).is_some_and(|found| match found {
                        Value::String(text) => text == wanted,
                        other => format!("{other}") == *wanted,
                    })
                })
                .collect(),
        }
    }
}

/// The steps of a path; what cannot be read leads nowhere.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let Some((inside, after)) = inner.split_once(']') else {
                steps.push(Step::Field(rest.to_owned()));
                break;
            };
            steps.push(bracket(inside.trim()));
            rest = after;
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let (name, after) = field(rest);
        if name == "*" {
            steps.push(Step::All);
        } else if !name.is_empty() {
            steps.push(Step::Field(name));
        } else if after.len() == rest.len() {
            break;
        }
        rest = after;
    }
    steps
}

/// A field's name up to the next dot or bracket; a backslash takes the next character as it is.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '.' | '[' => return (name, text.get(at..).unwrap_or_default()),
            '\\' => name.extend(characters.next().map(|(_, character)| character)),
            other => name.push(other),
        }
    }
    (name, "")
}

fn bracket(inside: &str) -> Step {
    if inside == "*" {
        return Step::All;
    }
    if let Ok(index) = inside.parse() {
        return Step::Index(index);
    }
    let condition = inside
        .strip_prefix("?(")
        .and_then(|inside| inside.strip_suffix(')'))
        .and_then(|inside| inside.split_once("=="));
    match condition {
        Some((path, wanted)) => Step::Where(
            path.trim().trim_start_matches('@').to_owned(),
            unquoted(wanted.trim()).to_owned(),
        ),
        None => Step::Field(unquoted(inside).to_owned()),
    }
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['"', '\''])
}

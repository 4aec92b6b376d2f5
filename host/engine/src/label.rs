//! The syntax of labels, in the words of Kubernetes' `util/validation` (recorded from apimachinery 0.34).

const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
     regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
     '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// In bytes.
const LONGEST_NAME: usize = 63;
/// In bytes.
const LONGEST_SUBDOMAIN: usize = 253;

/// What is wrong with the key of a label or annotation: a name, with or without a DNS prefix.
pub fn key_problems(key: &str) -> Vec<String> {
    let mut parts = key.split('/');
    let (prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => (None, name),
        (Some(prefix), Some(name), None) => (Some(prefix), name),
        _ => {
            let text = format!(
                "a qualified name {NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            );
            return vec![text];
        }
    };
    let mut problems = Vec::new();
    if let Some(prefix) = prefix {
        let found = match prefix {
            "" => vec!["must be non-empty".to_owned()],
            _ => subdomain_problems(prefix),
        };
        problems.extend(found.iter().map(|text| format!("prefix part {text}")));
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > LONGEST_NAME {
        problems.push(format!("name part {}", too_long(LONGEST_NAME)));
    }
    if !is_name(name) {
        problems.push(format!("name part {NAME}"));
    }
    problems
}

/// What is wrong with the value of a label.
pub fn value_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > LONGEST_NAME {
        problems.push(too_long(LONGEST_NAME));
    }
    if !value.is_empty() && !is_name(value) {
        problems.push(VALUE.to_owned());
    }
    problems
}

fn subdomain_problems(subdomain: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if subdomain.len() > LONGEST_SUBDOMAIN {
        problems.push(too_long(LONGEST_SUBDOMAIN));
    }
    let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| surrounded(label, lower, |c| lower(c) || c == b'-');
    if !subdomain.split('.').all(is_label) {
        problems.push(SUBDOMAIN.to_owned());
    }
    problems
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} characters")
}

fn is_name(text: &str) -> bool {
    surrounded(
        text,
        |c| c.is_ascii_alphanumeric(),
        |c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'),
    )
}

/// Whether the text begins and ends with such a character, and has only those inside.
fn surrounded(text: &str, edge: impl Fn(u8) -> bool, inside: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.into_iter()
        .all(|end| end.is_some_and(|end| edge(*end)))
        && bytes.iter().all(|byte| inside(*byte))
}

//! Label and field selectors: parsing and matching.

use serde_json::Value;

use crate::json;
use crate::kinds::Kind;
use crate::refusal::{self, Refusal};

/// Requirements on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    GreaterThan(i64),
    LessThan(i64),
}

impl LabelSelector {
    /// Reads the query form: `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>3`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part).ok_or_else(|| {
                    refusal::bad_request(format!(
                        "unable to parse requirement: {part:?} of label selector {text:?}"
                    ))
                })?);
            }
        }
        Ok(Self { requirements })
    }

    /// Reads the object form, with `matchLabels` and `matchExpressions`; nothing if an operator is unknown.
    /// A plain map of labels, as Services have, is `matchLabels` alone.
    pub(crate) fn from_object(selector: &Value) -> Option<Self> {
        let mut requirements =
            Self::from_map(selector.get("matchLabels").unwrap_or(&Value::Null)).requirements;
        for expression in json::entries(selector, "/matchExpressions") {
            let values = || {
                json::entries(expression, "/values")
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            };
            requirements.push(Requirement {
                key: json::text(expression, "/key").to_owned(),
                test: match json::text(expression, "/operator") {
                    "In" => Test::In(values()),
                    "NotIn" => Test::NotIn(values()),
                    "Exists" => Test::Exists,
                    "DoesNotExist" => Test::Absent,
                    _ => return None,
                },
            });
        }
        Some(Self { requirements })
    }

    /// Every label of a map, with equality.
    pub(crate) fn from_map(labels: &Value) -> Self {
        let requirements = labels
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                test: Test::In(vec![value.as_str().unwrap_or_default().to_owned()]),
            })
            .collect();
        Self { requirements }
    }

    /// Whether nothing is required.
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object's labels satisfy every requirement.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.matches_labels(object.pointer("/metadata/labels").unwrap_or(&Value::Null))
    }

    /// Whether a map of labels satisfies every requirement.
    pub(crate) fn matches_labels(&self, labels: &Value) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key).and_then(Value::as_str);
            let number = value.and_then(|value| value.parse::<i64>().ok());
            match &requirement.test {
                Test::In(values) => {
                    value.is_some_and(|value| values.iter().any(|one| one == value))
                }
                Test::NotIn(values) => {
                    value.is_none_or(|value| values.iter().all(|one| one != value))
                }
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::GreaterThan(limit) => number.is_some_and(|number| number > *limit),
                Test::LessThan(limit) => number.is_some_and(|number| number < *limit),
            }
        })
    }
}

impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, Requirement { key, test }) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::In(values) => match values.as_slice() {
                    [value] => write!(f, "{key}={value}")?,
                    values => write!(f, "{key} in ({})", values.join(","))?,
                },
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => f.write_str(key)?,
                Test::Absent => write!(f, "!{key}")?,
                Test::GreaterThan(limit) => write!(f, "{key}>{limit}")?,
                Test::LessThan(limit) => write!(f, "{key}<{limit}")?,
            }
        }
        Ok(())
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
    .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    let made = |key: &str, test| {
        let key = key.trim();
        let values: &[String] = match &test {
            Test::In(values) | Test::NotIn(values) => values,
            Test::Exists | Test::Absent | Test::GreaterThan(_) | Test::LessThan(_) => &[],
        };
        // A value has the characters of a key, without the slash.
        let values_fit = values
            .iter()
            .all(|value| value.is_empty() || is_label_key(value) && !value.contains('/'));
        (is_label_key(key) && values_fit).then(|| Requirement {
            key: key.to_owned(),
            test,
        })
    };
    if let Some(key) = text.strip_prefix('!')
        && !text.contains('=')
    {
        return made(key, Test::Absent);
    }
    if let Some((head, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values: Vec<String> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let (key, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        return match operator {
            "in" => made(key, Test::In(values)),
            "notin" => made(key, Test::NotIn(values)),
            _ => None,
        };
    }
    if let Some((key, value)) = text.split_once("!=") {
        return made(key, Test::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return made(key, Test::In(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = text.split_once('>') {
        return made(key, Test::GreaterThan(value.trim().parse().ok()?));
    }
    if let Some((key, value)) = text.split_once('<') {
        return made(key, Test::LessThan(value.trim().parse().ok()?));
    }
    made(text, Test::Exists)
}

fn is_label_key(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '/')
        })
}

/// Requirements on fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector {
    /// JSON pointer, value, and whether they must be equal (or must differ).
    requirements: Vec<(String, String, bool)>,
}

impl FieldSelector {
    /// Reads the query form, `metadata.name=x,status.phase!=Running`; a kind supports few fields.
    pub(crate) fn parse(text: &str, kind: &Kind) -> Result<Self, Refusal> {
        let mut requirements = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) = part.split_once('=') {
                (field, value.strip_prefix('=').unwrap_or(value), true)
            } else {
                return Err(refusal::bad_request(format!(
                    "invalid selector: {text:?}; can't understand {part:?}"
                )));
            };
            let more = fields_beside_metadata(kind);
            if !matches!(field, "metadata.name" | "metadata.namespace") && !more.contains(&field) {
                // Kinds without a list of their own are checked elsewhere, in other words.
                return Err(refusal::bad_request(
                    if more.is_empty() && !kind.is_custom() {
                        format!(
                            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                        )
                    } else {
                        format!("field label not supported: {field}")
                    },
                ));
            }
            requirements.push((
                format!("/{}", field.replace('.', "/")),
                value.to_owned(),
                equal,
            ));
        }
        Ok(Self { requirements })
    }

    /// Whether an object satisfies every requirement.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.requirements
            .iter()
            .all(|(pointer, value, equal)| (json::text(object, pointer) == value) == *equal)
    }

    /// Whether nothing is required.
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

/// The fields that the API server can select by, beside name and namespace.
fn fields_beside_metadata(kind: &Kind) -> &'static [&'static str] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("batch", "Job") => &["status.successful"],
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        _ => &[],
    }
}

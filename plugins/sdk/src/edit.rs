//! Edits of objects that keep every field they do not mean.
//!
//! A plugin changes a copy of the object as JSON, and this module says what the difference is: the smallest patch, none
//! where nothing differs. So a plugin never rewrites what it does not know.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Change, Creation, Edit, Object, ObjectRef, Propagation};

/// One operation of a JSON patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Put a value at a place that is free, or into a list before the item that has this index.
    Add {
        /// JSON pointer.
        path: String,
        /// What to put there.
        value: Value,
    },
    /// Take out what is at this place.
    Remove {
        /// JSON pointer.
        path: String,
    },
    /// Put a value in the place of another.
    Replace {
        /// JSON pointer.
        path: String,
        /// What to put there.
        value: Value,
    },
    /// Fail the patch unless this value is at this place.
    Test {
        /// JSON pointer.
        path: String,
        /// What must be there.
        value: Value,
    },
}

/// The operations that turn `before` into `after`; empty when they are equal.
///
/// Items of lists that are objects are recognised by their `name` or `destination`, so that an item that moves is moved,
/// and one that changes is changed in its place.
pub fn difference(before: &Value, after: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    compare("", before, after, &mut operations);
    operations
}

/// The merge patch (RFC 7386) that turns `before` into `after`; none when they are equal.
///
/// A merge patch cannot say that a field becomes null; one that does is removed.
pub fn merge_difference(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Some(after.clone());
    };
    let removed = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter_map(|(key, new)| {
        let part = match before.get(key) {
            Some(old) => merge_difference(old, new)?,
            None => new.clone(),
        };
        Some((key.clone(), part))
    });
    Some(Value::Object(removed.chain(changed).collect::<Map<_, _>>()))
}

impl Change {
    /// The change that turns an object as it was read into `after`, valid only for the version that was read; none when
    /// nothing differs.
    ///
    /// # Errors
    /// As [`Object::value`].
    pub fn patching(
        object: &Object,
        after: &Value,
        reason: impl Into<String>,
    ) -> Result<Option<Self>, crate::PluginError> {
        let operations = difference(&object.value()?, after);
        let change = (!operations.is_empty()).then(|| Self {
            precondition: Some(object.resource_version.clone()),
            ..Self::operations(object.key.clone(), &operations, reason)
        });
        Ok(change)
    }

    /// A JSON patch of these operations, applied to whatever is there.
    pub fn operations(
        target: ObjectRef,
        operations: &[Operation],
        reason: impl Into<String>,
    ) -> Self {
        let operations = operations.iter().map(Operation::to_value).collect();
        let edit = Edit::JsonPatch(Value::Array(operations).to_string());
        Self {
            target,
            edit,
            precondition: None,
            reason: reason.into(),
        }
    }

    /// The creation of an object. The host makes the subject its owner if it is `owned`.
    pub fn creating(
        target: ObjectRef,
        body: &Value,
        owned: bool,
        reason: impl Into<String>,
    ) -> Self {
        let edit = Edit::Create(Creation {
            body: body.to_string(),
            owned,
        });
        Self {
            target,
            edit,
            precondition: None,
            reason: reason.into(),
        }
    }

    /// The deletion of an object, its dependents later.
    pub fn deleting(target: ObjectRef, reason: impl Into<String>) -> Self {
        Self {
            target,
            edit: Edit::Delete(Propagation::Background),
            precondition: None,
            reason: reason.into(),
        }
    }
}

impl Operation {
    fn to_value(&self) -> Value {
        let (op, path, value) = match self {
            Self::Add { path, value } => ("add", path, Some(value)),
            Self::Remove { path } => ("remove", path, None),
            Self::Replace { path, value } => ("replace", path, Some(value)),
            Self::Test { path, value } => ("test", path, Some(value)),
        };
        let mut fields = Map::new();
        fields.insert("op".to_owned(), op.into());
        fields.insert("path".to_owned(), path.as_str().into());
        fields.extend(value.map(|value| ("value".to_owned(), value.clone())));
        Value::Object(fields)
    }
}

/// `path` with one more step, escaped as a JSON pointer (RFC 6901) wants it.
pub fn pointer(path: &str, step: &str) -> String {
    format!("{path}/{}", step.replace('~', "~0").replace('/', "~1"))
}

fn compare(path: &str, before: &Value, after: &Value, operations: &mut Vec<Operation>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            compare_objects(path, before, after, operations)
        }
        (Value::Array(before), Value::Array(after)) => {
            compare_lists(path, before, after, operations)
        }
        _ => operations.push(Operation::Replace {
            path: path.to_owned(),
            value: after.clone(),
        }),
    }
}

fn compare_objects(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    operations: &mut Vec<Operation>,
) {
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        operations.push(Operation::Remove {
            path: pointer(path, key),
        });
    }
    for (key, new) in after {
        let path = pointer(path, key);
        match before.get(key) {
            Some(old) => compare(&path, old, new, operations),
            None => operations.push(Operation::Add {
                path,
                value: new.clone(),
            }),
        }
    }
}

fn compare_lists(path: &str, before: &[Value], after: &[Value], operations: &mut Vec<Operation>) {
    // Operations are applied one after the other, so `at` counts items as they are at that moment.
    let mut at = 0;
    let (mut old, mut new) = (before, after);
    for (kept_old, kept_new) in common(before, after)
        .into_iter()
        .chain([(before.len(), after.len())])
    {
        let (gone, rest_old) = old
            .split_at_checked(kept_old + old.len() - before.len())
            .unwrap_or((old, &[]));
        let (come, rest_new) = new
            .split_at_checked(kept_new + new.len() - after.len())
            .unwrap_or((new, &[]));
        replace_run(path, &mut at, gone, come, operations);
        if let (Some((kept_old, rest_old)), Some((kept_new, rest_new))) =
            (rest_old.split_first(), rest_new.split_first())
        {
            compare(
                &pointer(path, &at.to_string()),
                kept_old,
                kept_new,
                operations,
            );
            at += 1;
            (old, new) = (rest_old, rest_new);
        }
    }
}

/// Puts the items that come in the place of those that go, between two items that stay.
fn replace_run(
    path: &str,
    at: &mut usize,
    gone: &[Value],
    come: &[Value],
    operations: &mut Vec<Operation>,
) {
    for index in 0..gone.len().max(come.len()) {
        let path = pointer(path, &at.to_string());
        match (gone.get(index), come.get(index)) {
            (Some(old), Some(new)) if identity(old).is_none() && identity(new).is_none() => {
                compare(&path, old, new, operations);
                *at += 1;
            }
            (Some(_), Some(new)) => {
                operations.push(Operation::Replace {
                    path,
                    value: new.clone(),
                });
                *at += 1;
            }
            (None, Some(new)) => {
                operations.push(Operation::Add {
                    path,
                    value: new.clone(),
                });
                *at += 1;
            }
            (Some(_), None) => operations.push(Operation::Remove { path }),
            (None, None) => {}
        }
    }
}

/// What makes an item of a list the same item after a change of its other fields.
fn identity(item: &Value) -> Option<&Value> {
    item.get("name").or_else(|| item.get("destination"))
}

fn same(old: &Value, new: &Value) -> bool {
    match (identity(old), identity(new)) {
        (Some(old), Some(new)) => old == new,
        _ => old == new,
    }
}

/// Above this many pairs of items, lists are compared by position: right, but not the smallest patch.
const MAX_COMPARED_PAIRS: usize = 1_000_000;

/// The indices of a longest common subsequence, in order.
fn common(before: &[Value], after: &[Value]) -> Vec<(usize, usize)> {
    if before.len().saturating_mul(after.len()) > MAX_COMPARED_PAIRS {
        return Vec::new();
    }
    // lengths[i][j]: how many items the rests from i and j have in common.
    let mut lengths = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    let length = |lengths: &[Vec<usize>], i: usize, j: usize| {
        lengths
            .get(i)
            .and_then(|row| row.get(j))
            .copied()
            .unwrap_or(0)
    };
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            let best = if same(old, new) {
                length(&lengths, i + 1, j + 1) + 1
            } else {
                length(&lengths, i + 1, j).max(length(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while let (Some(old), Some(new)) = (before.get(i), after.get(j)) {
        if same(old, new) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if length(&lengths, i + 1, j) >= length(&lengths, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

//! Decoding of objects that nobody vouches for. One malformed field must not hide an object, nor any other object:
//! the field is left at its zero value and reported with its path. What to do about it is the caller's decision.

use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use serde_path_to_error::{Path, Segment};

/// An object, and what had to be left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<T> {
    /// The object; each field named in `problems` has its zero value.
    pub object: T,
    /// Malformed fields. Empty for a well-formed object.
    pub problems: Vec<Problem>,
}

/// A field that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its path, such as `spec.strategy.canary.steps[0].setWeight`.
    pub field: String,
    /// What was expected and what was found.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Nothing of the value can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no object at all.
    #[error("not an object of this kind: {0}")]
    NotAnObject(String),
    /// More fields are malformed than are worth reporting; the first one is named.
    #[error("more than {MAX_PROBLEMS} malformed fields, the first is {0}")]
    TooManyProblems(Problem),
}

/// More than this is no object with a mistake in it but something else.
const MAX_PROBLEMS: usize = 100;

/// Decodes an object as tolerantly as Argo Rollouts does: unknown fields are ignored, `null` is "absent", an integer
/// written as a float is an integer, and a malformed field is left at its zero value and reported. A malformed element
/// of a list is left out.
///
/// # Errors
/// When the value is no object, or hopelessly malformed.
pub fn decode<T: DeserializeOwned>(mut value: Value) -> Result<Decoded<T>, DecodeError> {
    let mut problems: Vec<Problem> = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(object) => return Ok(Decoded { object, problems }),
            Err(error) => error,
        };
        let field = error.path().to_string();
        let message = error.inner().to_string();
        match repair(&mut value, error.path()) {
            Repair::Silent => {}
            Repair::LeftOut => problems.push(Problem { field, message }),
            Repair::Impossible => return Err(DecodeError::NotAnObject(message)),
        }
        if problems.len() > MAX_PROBLEMS {
            let first = problems.swap_remove(0);
            return Err(DecodeError::TooManyProblems(first));
        }
    }
}

enum Repair {
    /// What was there means the same as what is there now.
    Silent,
    /// The value is gone.
    LeftOut,
    /// There is nothing to remove.
    Impossible,
}

/// Changes the value at the path so that it no longer fails. Each call removes something, so the loop above ends.
fn repair(root: &mut Value, path: &Path) -> Repair {
    let mut parent = root;
    let mut segments = path.iter().peekable();
    while let Some(segment) = segments.next() {
        let step = match segment {
            Segment::Map { key } => Step::Key(key),
            Segment::Seq { index } => Step::Index(*index),
            Segment::Enum { .. } | Segment::Unknown => return Repair::Impossible,
        };
        let Some(child) = step.child(parent) else {
            return Repair::Impossible;
        };
        if segments.peek().is_none() {
            if let Some(integer) = integral(child) {
                *child = Value::Number(integer);
                return Repair::Silent;
            }
            let null = child.is_null();
            step.remove(parent);
            return if null {
                Repair::Silent
            } else {
                Repair::LeftOut
            };
        }
        // Borrowed again, because the check above must not keep the child borrowed.
        let Some(child) = step.child(parent) else {
            return Repair::Impossible;
        };
        parent = child;
    }
    Repair::Impossible
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Step<'_> {
    fn child<'v>(&self, parent: &'v mut Value) -> Option<&'v mut Value> {
        match self {
            Self::Key(key) => parent.get_mut(*key),
            Self::Index(index) => parent.get_mut(*index),
        }
    }

    fn remove(&self, parent: &mut Value) {
        match (self, parent) {
            (Self::Key(key), Value::Object(fields)) => drop(fields.remove(*key)),
            (Self::Index(index), Value::Array(items)) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
        }
    }
}

/// The integer that a float such as `3.0` stands for.
fn integral(value: &Value) -> Option<Number> {
    let Value::Number(number) = value else {
        return None;
    };
    if !number.is_f64() {
        return None;
    }
    let float = number.as_f64()?;
    // Both bounds are exact in a float, and every integer between them fits.
    if float.fract() != 0.0 || float.abs() > 9_007_199_254_740_992.0 {
        return None;
    }
    format!("{float:.0}").parse::<i64>().ok().map(Number::from)
}

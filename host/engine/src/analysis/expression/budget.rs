//! What one evaluation may take, so that no condition occupies the controller.
//!
//! The crate copies a value whenever the code names it: `all(1..90000, {len(result) > 0})` over 50 000 numbers would
//! copy 300 GB. So what an evaluation takes is reckoned where it arises, in bytes copied or in what takes as long:
//!
//! - a value takes its [`size`] each time that it is named, and each time that a function makes one;
//! - a call of a predicate takes [`PREDICATE`], and [`PART`] for each part of its body, evaluated or not;
//! - an element of a range and a character of a repeated text take a [`UNIT`], as upstream reckons them;
//! - what grows faster than what it is given is reckoned before it is done: texts that are put together, values that
//!   are compared each with each, patterns that are compiled.
//!
//! An evaluation may take a million units, as upstream's may: a quarter of a gigabyte of copies, or 100 000 calls of
//! `# < 0.9`. Measured, the worst conditions are over after four tenths of a second, and hold a third of a gigabyte
//! until then. What is not reckoned is how long a pattern takes to be matched with a long text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use expr::{Error, Value};
use regex::Regex;

use super::types;

/// What an element of a range takes; about as long as 256 bytes take to be copied.
const UNIT: u64 = 256;
/// What one evaluation may take. Upstream allows a million elements.
const BUDGET: u64 = 1_000_000 * UNIT;
/// What a call of a predicate takes besides its body: it makes a scope of its own.
const PREDICATE: u64 = 6 * UNIT;
/// What a part of a predicate's body takes: an operator, a name, a number.
const PART: u64 = UNIT;
/// What a value takes besides its text, wherever it is: in a variable, in a list, as a key.
const VALUE: u64 = 64;
/// What an entry of a map takes that is searched from its beginning, since two of these are compared each with each.
const SEARCHED: u64 = 4 * UNIT;
/// What a comparison of two values takes in a function that compares many: `groupBy` and `fromPairs` take 8 000 values
/// at most, `uniq` as many that differ.
const COMPARISON: u64 = 4;
/// What a pattern takes to be compiled; the worst take fifty milliseconds.
const PATTERN: u64 = 10_000 * UNIT;
/// Values within values: JSON has up to 128 levels, and a condition can add its own 64. Deeper ones, which only a
/// `reduce` can make, would overflow the stack when they are copied.
const DEPTH: usize = 256;

/// In upstream's words, for what upstream counts as well.
const EXHAUSTED: &str = "memory budget exceeded";
const TOO_MUCH: &str = "the condition takes too much: what a predicate names is copied for every element, so compute \
                        what is the same for all of them before, with let";
const TOO_DEEP: &str = "a value is nested too deeply";

/// What an evaluation has taken.
#[derive(Default)]
pub(super) struct Spent {
    bytes: AtomicU64,
    patterns: Mutex<BTreeMap<String, Regex>>,
}

impl Spent {
    fn spend(&self, bytes: u64, exhausted: &str) -> expr::Result<()> {
        // What is over the budget is over it, and the sum must not begin anew.
        let bytes = bytes.min(BUDGET);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) >= BUDGET {
            fail(exhausted)
        } else {
            Ok(())
        }
    }

    /// Elements of a range, or characters of a repeated text.
    pub(super) fn elements(&self, count: u64) -> expr::Result<()> {
        self.spend(count.saturating_mul(UNIT), EXHAUSTED)
    }

    /// A call of a predicate with a body of so many parts.
    pub(super) fn predicate(&self, parts: u64) -> expr::Result<()> {
        self.spend(
            PREDICATE.saturating_add(parts.saturating_mul(PART)),
            TOO_MUCH,
        )
    }

    /// A value that has been copied or made.
    pub(super) fn value(&self, value: &Value) -> expr::Result<()> {
        match size(value, DEPTH) {
            Some(size) => self.spend(size, TOO_MUCH),
            None => fail(TOO_DEEP),
        }
    }

    /// What a function is about to do that grows faster than its arguments.
    pub(super) fn ahead(&self, function: &str, arguments: &[Value]) -> expr::Result<()> {
        let bytes = match (function, arguments) {
            ("join", [Value::Array(texts), Value::String(separator)]) => {
                length(texts.len()).saturating_mul(length(separator.len()))
            }
            (
                "replace",
                [
                    Value::String(text),
                    Value::String(from),
                    Value::String(to),
                    ..,
                ],
            ) => {
                // An empty text is found before every character and at the end.
                let found = (text.len() / from.len().max(1)).saturating_add(1);
                length(found).saturating_mul(length(to.len()))
            }
            ("groupBy" | "fromPairs", [Value::Array(values), ..]) => {
                comparisons(values.len(), values.len())
            }
            ("uniq", [Value::Array(values)]) => comparisons(values.len(), different(values)),
            _ => return Ok(()),
        };
        self.spend(bytes, &format!("{function}() would take too much"))
    }

    /// A pattern is compiled once, however many elements it is matched with.
    pub(super) fn is_match(&self, pattern: &str, text: &str) -> expr::Result<bool> {
        let Ok(mut patterns) = self.patterns.lock() else {
            return fail("a pattern could not be compiled");
        };
        if let Some(known) = patterns.get(pattern) {
            return Ok(known.is_match(text));
        }
        self.spend(PATTERN, "the condition has too many patterns")?;
        match Regex::new(pattern) {
            Ok(compiled) => {
                let matches = compiled.is_match(text);
                patterns.insert(pattern.to_owned(), compiled);
                Ok(matches)
            }
            Err(error) => fail(types::pattern_error(&error)),
        }
    }
}

pub(super) fn fail<T>(message: impl Into<String>) -> expr::Result<T> {
    Err(Error::ExprError(message.into()))
}

/// Whether a value is so small that it need not be reckoned where the code names it.
pub(super) fn is_small(value: &Value) -> bool {
    size(value, DEPTH).is_some_and(|size| size <= UNIT)
}

/// Bytes of a value with everything in it, about; None where it is deeper than this.
fn size(value: &Value, depth: usize) -> Option<u64> {
    let depth = depth.checked_sub(1)?;
    let inner = match value {
        Value::String(text) => length(text.len()),
        Value::Bytes(bytes) => length(bytes.len()),
        Value::Array(values) => total(values.iter().map(|value| size(value, depth)))?,
        Value::Map(entries) => total(entries.iter().map(|(key, value)| {
            let key = VALUE.saturating_add(length(key.len()));
            Some(key.saturating_add(size(value, depth)?))
        }))?,
        Value::KeyedMap(entries) => total(entries.iter().map(|(key, value)| {
            let entry = SEARCHED.saturating_add(size(key, depth)?);
            Some(entry.saturating_add(size(value, depth)?))
        }))?,
        Value::Nil
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::DateTime(_)
        | Value::Duration(_)
        | Value::Timezone(_)
        | Value::Month(_)
        | Value::Weekday(_) => 0,
    };
    Some(VALUE.saturating_add(inner))
}

fn total(mut sizes: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    sizes.try_fold(0, |sum: u64, size| Some(sum.saturating_add(size?)))
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn comparisons(values: usize, others: usize) -> u64 {
    length(values)
        .saturating_mul(length(others))
        .saturating_mul(COMPARISON)
}

/// How many of these values are different, at most; not counted on where that exceeds the budget anyway.
fn different(values: &[Value]) -> usize {
    let mut texts = BTreeSet::new();
    let mut unequal: usize = 0;
    for value in values {
        let text = format!("{value:?}");
        // What is no number equals nothing, not even itself.
        if text.contains("NaN") {
            unequal = unequal.saturating_add(1);
        } else {
            texts.insert(text);
        }
        if comparisons(values.len(), texts.len().saturating_add(unequal)) >= BUDGET {
            break;
        }
    }
    texts.len().saturating_add(unequal)
}

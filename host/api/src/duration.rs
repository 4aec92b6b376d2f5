//! Durations as Go writes and reads them (`1h30m`): used by metrics, experiments and pauses.
//! Where a bare number of seconds is allowed as well is the business of the field that allows it.

use std::borrow::Cow;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A Go duration text on the wire, not parsed yet: what is wrong with it is said by validation, not by decoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationString(pub String);

impl DurationString {
    /// The duration.
    ///
    /// # Errors
    /// When the text is not a Go duration; the empty text is none either.
    pub fn duration(&self) -> Result<SignedDuration, DurationError> {
        parse_duration(&self.0)
    }

    /// Whether the field is not set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for DurationString {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Display for DurationString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DurationString {
    fn schema_name() -> Cow<'static, str> {
        "DurationString".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Why a text is not a duration, in Go's words, because they end up in conditions and messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of numbers with units, or beyond 64 bits of nanoseconds.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that Go does not know; note that there is none for days.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Reads a Go duration: an optional sign, then numbers with a unit (`ns`, `us`, `µs`, `ms`, `s`, `m`, `h`), or `0`.
///
/// # Errors
/// As Go's `time.ParseDuration` words them.
pub fn parse_duration(text: &str) -> Result<SignedDuration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if body == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if body.is_empty() {
        return Err(invalid());
    }

    // Unsigned nanoseconds; the magnitude of the smallest duration is one more than that of the largest.
    let limit = 1_u128 << 63;
    let mut total = 0_u128;
    let mut rest = body;
    while !rest.is_empty() {
        let (whole, after) = take_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => take_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let scale = nanoseconds_per(unit).ok_or_else(|| DurationError::UnknownUnit {
            unit: unit.to_owned(),
            text: text.to_owned(),
        })?;
        let whole = decimal(whole).filter(|n| *n <= limit).ok_or_else(invalid)?;
        total += whole * scale + fraction_of(fraction, scale);
        if total > limit {
            return Err(invalid());
        }
        rest = after;
    }

    let nanoseconds = i128::try_from(total).map_err(|_| invalid())?;
    let signed = if negative { -nanoseconds } else { nanoseconds };
    i64::try_from(signed)
        .map(SignedDuration::from_nanos)
        .map_err(|_| invalid())
}

/// Writes a duration as Go prints it: `1h30m0s`, `1.5s`, `2ms`, `0s`.
#[must_use]
pub fn format_duration(duration: SignedDuration) -> String {
    let nanoseconds = duration.as_nanos();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.unsigned_abs();
    let text = match size {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{size}ns"),
        1_000..1_000_000 => format!("{}µs", with_fraction(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", with_fraction(size, 1_000_000)),
        _ => {
            let minute = 60 * 1_000_000_000;
            let seconds = with_fraction(size % minute, 1_000_000_000);
            let minutes = size / minute;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// Digits as a number; none when it does not fit, which is far above what a duration can hold.
fn decimal(digits: &str) -> Option<u128> {
    if digits.is_empty() {
        Some(0)
    } else {
        digits.parse().ok()
    }
}

/// `0.fraction` of a unit, rounded down. Digits beyond the 18th cannot matter at nanosecond scale.
fn fraction_of(digits: &str, scale: u128) -> u128 {
    let digits = digits.get(..digits.len().min(18)).unwrap_or(digits);
    let numerator = decimal(digits).unwrap_or(0);
    let denominator = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(0));
    numerator * scale / denominator
}

fn nanoseconds_per(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Go accepts the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    })
}

fn with_fraction(size: u128, unit: u128) -> String {
    let digits = unit.to_string().len().saturating_sub(1);
    let fraction = format!("{:0digits$}", size % unit);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        format!("{}", size / unit)
    } else {
        format!("{}.{fraction}", size / unit)
    }
}

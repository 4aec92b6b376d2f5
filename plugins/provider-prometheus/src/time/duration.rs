//! Lengths of time as Go writes them.

use super::{SECOND, Span};

/// A length of time as Go writes it: `1h30m`, `-1.5s`, `0`.
///
/// # Errors
/// In Go's words.
pub fn parse_duration(text: &str) -> Result<Span, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: Span = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|found: char| !found.is_ascii_digit() && found != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end).ok_or_else(invalid)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let end = after
            .find(|found: char| found.is_ascii_digit() || found == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or_else(invalid)?;
        let nanoseconds: Span = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            other => return Err(format!("time: unknown unit {other:?} in duration {text:?}")),
        };
        let part = decimal(whole, fraction, nanoseconds).ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    // Go keeps them in 64 bits.
    if total > i128::from(i64::MAX) {
        return Err(invalid());
    }
    Ok(if negative { -total } else { total })
}

/// A decimal number of units, cut off at the nanosecond.
fn decimal(whole: &str, fraction: &str, unit: i128) -> Option<i128> {
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        i128::from(whole.parse::<i64>().ok()?)
    };
    // More digits than these say nothing about nanoseconds of an hour.
    let fraction = fraction.get(..fraction.len().min(15))?;
    let digits: i128 = if fraction.is_empty() {
        0
    } else {
        i128::from(fraction.parse::<i64>().ok()?)
    };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole
        .checked_mul(unit)?
        .checked_add(digits.checked_mul(unit)? / scale)
}

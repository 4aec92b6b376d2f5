//! Moments as RFC 3339 and Go's layouts write them.

use super::{Moment, SECOND};

/// A moment as RFC 3339 writes it.
pub fn parse_rfc3339(text: &str) -> Option<Moment> {
    parse_layout(text, "2006-01-02T15:04:05Z07:00")
}

/// A moment by one of Go's layouts, or by one of the usual ones.
///
/// # Errors
/// In the words of the expression language.
pub fn parse_date(text: &str, layout: Option<&str>) -> Result<Moment, String> {
    const USUAL: [&str; 3] = [
        "2006-01-02",
        "2006-01-02 15:04:05",
        "2006-01-02T15:04:05Z07:00",
    ];
    let found = match layout {
        Some(layout) => parse_layout(text, layout),
        None => USUAL.iter().find_map(|layout| parse_layout(text, layout)),
    };
    found.ok_or_else(|| format!("invalid date {text}"))
}

/// Reads a moment by one of Go's layouts; UTC where the layout has no offset. Parts of a layout that are not numbers are
/// taken literally.
fn parse_layout(text: &str, layout: &str) -> Option<Moment> {
    let (mut year, mut month, mut day, mut clock, mut nanoseconds, mut offset) =
        (1970, 1, 1, [0; 3], 0, 0);
    let (mut text, mut layout) = (text, layout);
    while !layout.is_empty() {
        if let Some(after) = layout.strip_prefix("2006") {
            (year, text) = digits(text, 4)?;
            layout = after;
        } else if let Some(after) = layout.strip_prefix("01") {
            (month, text) = digits(text, 2)?;
            layout = after;
        } else if let Some(after) = layout.strip_prefix("02") {
            (day, text) = digits(text, 2)?;
            layout = after;
        } else if let Some(after) = layout.strip_prefix("15") {
            (clock[0], text) = digits(text, 2)?;
            layout = after;
        } else if let Some(after) = layout.strip_prefix("04") {
            (clock[1], text) = digits(text, 2)?;
            layout = after;
        } else if let Some(after) = layout.strip_prefix("05") {
            (clock[2], text) = digits(text, 2)?;
            (nanoseconds, text) = fraction(text)?;
            layout = after;
        } else if let Some(after) = layout.strip_prefix("Z07:00") {
            (offset, text) = match text.strip_prefix('Z') {
                Some(rest) => (0, rest),
                None => offset_of(text, true)?,
            };
            layout = after;
        } else if let Some(after) = layout.strip_prefix("-07:00") {
            (offset, text) = offset_of(text, true)?;
            layout = after;
        } else if let Some(after) = layout.strip_prefix("-0700") {
            (offset, text) = offset_of(text, false)?;
            layout = after;
        } else {
            let literal = layout.chars().next()?;
            text = text.strip_prefix(literal)?;
            layout = layout.get(literal.len_utf8()..)?;
        }
    }
    let [hour, minute, second] = clock;
    let valid = text.is_empty() && hour < 24 && minute < 60 && second < 60;
    let days = days_since_1970(year, month, day).filter(|_| valid)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(i128::from(seconds) * SECOND + i128::from(nanoseconds))
}

fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let number = number
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| number.parse().ok())??;
    Some((number, rest))
}

/// Nanoseconds behind the decimal point, if there is one.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(after) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = after
        .find(|found: char| !found.is_ascii_digit())
        .unwrap_or(after.len());
    let (found, rest) = after.split_at_checked(end)?;
    let padded = format!("{found:0<9}");
    let nanoseconds = padded
        .get(..9)?
        .parse()
        .ok()
        .filter(|_| !found.is_empty())?;
    Some((nanoseconds, rest))
}

/// Seconds east of UTC.
fn offset_of(text: &str, colon: bool) -> Option<(i64, &str)> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, rest) = digits(rest, 2)?;
    let rest = if colon { rest.strip_prefix(':')? } else { rest };
    let (minutes, rest) = digits(rest, 2)?;
    (hours < 24 && minutes < 60).then_some((sign * (hours * 3600 + minutes * 60), rest))
}

/// Days of the proleptic Gregorian calendar; none for a day that does not exist.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the day that leap years have is their last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

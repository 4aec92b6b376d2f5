//! Quantities in the one form that the API server writes: `1000m` is stored as `1`, `0.5` as `500m`.
//!
//! The rules are those of `k8s.io/apimachinery/pkg/api/resource`: the largest suffix that needs no fraction,
//! and the family of suffixes that the quantity was written in.

use serde_json::Value;

/// Exponents of the decimal suffixes; the empty one is 0.
const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Powers of two of the binary suffixes.
const BINARY: &[(&str, u32)] = &[
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

/// Rewrites every quantity of a map in place; what is no quantity stays as it is.
pub(super) fn canonicalise_all(map: &mut Value) {
    for quantity in map
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
    {
        rewrite(quantity);
    }
}

/// Rewrites the quantities in some fields of an object.
pub(super) fn canonicalise(object: &mut Value, fields: &[&str]) {
    for field in fields {
        if let Some(quantity) = object.get_mut(field) {
            rewrite(quantity);
        }
    }
}

/// Rewrites the quantities of a container's `resources`.
pub(super) fn canonicalise_resources(resources: &mut Value) {
    for list in ["limits", "requests"] {
        if let Some(list) = resources.get_mut(list) {
            canonicalise_all(list);
        }
    }
}

fn rewrite(quantity: &mut Value) {
    if let Some(canonical) = quantity.as_str().and_then(canonical) {
        *quantity = Value::from(canonical);
    }
}

/// A quantity as the API server would write it; nothing if it cannot be read or is out of reach.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (mantissa, scale) = decimal(number)?;
    let written = if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        binary(mantissa, scale, *power)?
    } else {
        let (exponent, scientific) = exponent(suffix)?;
        with_decimal_suffix(mantissa, exponent - scale, scientific)?
    };
    let sign = if negative && mantissa != 0 { "-" } else { "" };
    Some(format!("{sign}{written}"))
}

/// A quantity in billionths, to compare it with others; nothing if it cannot be read.
pub(crate) fn nanos(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (mantissa, scale) = decimal(number)?;
    let mut value = i128::try_from(mantissa).ok()?.checked_mul(sign)?;
    let exponent = match BINARY.iter().find(|(name, _)| *name == suffix) {
        Some((_, power)) => {
            value = value.checked_mul(1_i128.checked_shl(*power)?)?;
            9 - scale
        }
        None => exponent(suffix)?.0 + 9 - scale,
    };
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    if exponent < 0 {
        Some(value / power)
    } else {
        value.checked_mul(power)
    }
}

/// Digits and the number of them behind the point.
fn decimal(number: &str) -> Option<(u128, i32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mantissa = format!("{whole}{fraction}").parse().ok()?;
    Some((mantissa, i32::try_from(fraction.len()).ok()?))
}

fn exponent(suffix: &str) -> Option<(i32, bool)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((*exponent, false));
    }
    let digits = suffix.strip_prefix(['e', 'E'])?;
    Some((digits.parse().ok()?, true))
}

/// The smallest mantissa without trailing thousands, with the suffix for its exponent.
fn with_decimal_suffix(mut mantissa: u128, mut exponent: i32, scientific: bool) -> Option<String> {
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    // Nothing finer than a billionth is kept; the rest is rounded up.
    while exponent < -9 {
        mantissa = mantissa.div_ceil(10);
        exponent += 1;
    }
    while exponent % 3 != 0 {
        mantissa = mantissa.checked_mul(10)?;
        exponent -= 1;
    }
    while mantissa.is_multiple_of(1000) && exponent < 18 {
        mantissa /= 1000;
        exponent += 3;
    }
    if scientific {
        return Some(match exponent {
            0 => mantissa.to_string(),
            exponent => format!("{mantissa}e{exponent}"),
        });
    }
    let (suffix, _) = DECIMAL.iter().find(|(_, of)| *of == exponent)?;
    Some(format!("{mantissa}{suffix}"))
}

fn binary(mantissa: u128, scale: i32, power: u32) -> Option<String> {
    let total = mantissa.checked_mul(1_u128.checked_shl(power)?)?;
    let divisor = 10_u128.checked_pow(u32::try_from(scale).ok()?)?;
    if total % divisor != 0 {
        // A fraction of a byte: written in thousandths.
        return with_decimal_suffix(total, -scale, false);
    }
    let bytes = total / divisor;
    if bytes == 0 {
        return Some("0".to_owned());
    }
    let fitting = BINARY
        .iter()
        .rev()
        .find(|(_, power)| bytes % (1 << power) == 0);
    // Below one Ki the binary family has no suffix.
    Some(match fitting {
        Some((suffix, power)) => format!("{}{suffix}", bytes >> power),
        None => bytes.to_string(),
    })
}

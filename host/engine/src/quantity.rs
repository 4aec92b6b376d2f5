//! Whether two Kubernetes quantities are the same amount: the API server writes `0.5` as `500m`.

use serde_json::Value;

/// Whether both are quantities and stand for the same amount.
pub(crate) fn same_amount(left: &Value, right: &Value) -> bool {
    match (nanos(left), nanos(right)) {
        (Some(left), Some(right)) => left == right,
        (Some(_) | None, _) => false,
    }
}

/// In units of 10⁻⁹, the finest that Kubernetes knows. None for what is no quantity, or beyond every machine.
fn nanos(value: &Value) -> Option<i128> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let amount = mantissa.checked_mul(unit_in_nanos(unit)?)?;
    // Kubernetes rounds away from zero what is finer than it knows.
    let rounding = if amount % scale == 0 {
        0
    } else {
        amount.signum()
    };
    Some(amount / scale + rounding)
}

fn unit_in_nanos(unit: &str) -> Option<i128> {
    const ONE: i128 = 1_000_000_000;
    const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let power = |base: i128, place: usize| base.checked_pow(u32::try_from(place).ok()?);
    if let Some(place) = DECIMAL.iter().position(|known| *known == unit) {
        return power(1000, place);
    }
    if let Some(place) = BINARY.iter().position(|known| *known == unit) {
        return power(1024, place.saturating_add(1))?.checked_mul(ONE);
    }
    let exponent: i32 = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
    power(10, usize::try_from(exponent.checked_add(9)?).ok()?)
}

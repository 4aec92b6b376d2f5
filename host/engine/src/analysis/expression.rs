//! Conditions over a measured value, in the language of Argo Rollouts (EXPR-001 to EXPR-008).

use jiff::Timestamp;
use sluice_api as api;

use crate::plugin::MeasuredValue;

/// What the conditions of a metric make of a value (EXPR-008).
///
/// # Errors
/// The message of the measurement where a condition cannot be evaluated (EXPR-007).
pub fn evaluate(
    value: Option<&MeasuredValue>,
    metric: &api::Metric,
    now: Timestamp,
) -> Result<api::AnalysisPhase, String> {
    let judge = |field: &str, text: &str| {
        if text.is_empty() {
            return Ok(None);
        }
        condition(value, text, now).map(Some).map_err(|error| {
            let why = if nothing(value) {
                NO_DATA.to_owned()
            } else {
                error
            };
            format!("could not evaluate {field} \"{text}\": {why}")
        })
    };
    let good = judge("successCondition", &metric.success_condition)?;
    let bad = judge("failureCondition", &metric.failure_condition)?;
    Ok(match (good, bad) {
        (_, Some(true)) | (Some(false), None) => api::AnalysisPhase::Failed,
        (Some(false), Some(false)) => api::AnalysisPhase::Inconclusive,
        (Some(true), _) | (None, _) => api::AnalysisPhase::Successful,
    })
}

const NO_DATA: &str = "metric result is nil or empty: no data returned from the metric provider";

fn nothing(value: Option<&MeasuredValue>) -> bool {
    match value {
        None => true,
        Some(MeasuredValue::Numbers(numbers)) => numbers.is_empty(),
        Some(MeasuredValue::Document(document)) => {
            document.is_null() || document.as_array().is_some_and(Vec::is_empty)
        }
        Some(MeasuredValue::Number(_) | MeasuredValue::Text(_)) => false,
    }
}

/// Whether a condition holds for a value.
///
/// # Errors
/// Why it cannot be evaluated.
pub fn condition(
    value: Option<&MeasuredValue>,
    text: &str,
    _now: Timestamp,
) -> Result<bool, String> {
    let mut context = expr::Context::default();
    context.insert("result", result(value));
    match expr::eval(text, &context) {
        Ok(expr::Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!("expected bool, but got {other}")),
        Err(error) => Err(error.to_string()),
    }
}

fn result(value: Option<&MeasuredValue>) -> expr::Value {
    match value {
        None => expr::Value::Nil,
        Some(MeasuredValue::Number(number)) => expr::Value::Float(*number),
        Some(MeasuredValue::Numbers(numbers)) => numbers.clone().into(),
        Some(MeasuredValue::Text(text)) => text.clone().into(),
        Some(MeasuredValue::Document(document)) => from_json(document),
    }
}

fn from_json(value: &serde_json::Value) -> expr::Value {
    match value {
        serde_json::Value::Null => expr::Value::Nil,
        serde_json::Value::Bool(flag) => (*flag).into(),
        serde_json::Value::Number(number) => number.as_f64().unwrap_or(f64::NAN).into(),
        serde_json::Value::String(text) => text.clone().into(),
        serde_json::Value::Array(items) => items.iter().map(from_json).collect::<Vec<_>>().into(),
        serde_json::Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), from_json(value)))
            .collect(),
    }
}

//! Conditions over a measured value, in the language of Argo Rollouts (EXPR-001 to EXPR-008).
//!
//! The language is expr-lang/expr 1.17 and the crate `expr-lang` evaluates it. Before that the condition is read and
//! checked as Go does it (`syntax`, `types`), and written out again in the crate's grammar (`program`), so that a mistake
//! is an error and not false, and what the crate lacks comes from its environment (`environment`). No condition reads a
//! clock or a zone, and none runs without bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use sluice_api as api;

use crate::plugin::MeasuredValue;

mod budget;
mod environment;
mod program;
mod syntax;
mod token;
mod types;

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
    now: Timestamp,
) -> Result<bool, String> {
    let node = syntax::parse(text)?;
    let expected = types::check(&node, &types::of_value(value))?;
    let result = result(value);
    match run(program::write(&node, &result), &result, now) {
        Ok(expr::Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!(
            "expected bool, but got {}",
            kind(&other, &expected)
        )),
        Err(error) if error.starts_with(OPERANDS) => {
            Err(run(program::diagnose(&node, &result), &result, now)
                .err()
                .unwrap_or(error))
        }
        Err(error) => Err(error),
    }
}

/// How the crate begins when it does not say which types do not fit.
const OPERANDS: &str = "Invalid operands for operator";

fn run(
    program: program::Program,
    result: &expr::Value,
    now: Timestamp,
) -> Result<expr::Value, String> {
    let mut context = expr::Context::default();
    context.insert("result", result.clone());
    for (name, value) in program.constants {
        context.insert(name, value);
    }
    let spent = budget::Spent::default();
    let environment = environment::environment(result, now, &program.failures, &spent);
    // The crate is not ours, and a condition is a user's: should it panic, this measurement errs and nothing else.
    let evaluated = catch_unwind(AssertUnwindSafe(|| {
        environment.eval(&program.code, &context)
    }));
    match evaluated {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err("the condition cannot be evaluated".to_owned()),
    }
}

/// Go's name of a value's type; the checker knows some more precisely.
fn kind(value: &expr::Value, expected: &types::Type) -> String {
    match (value, expected) {
        (expr::Value::Integer(_), types::Type::Int64)
        | (expr::Value::Array(_), types::Type::List(_)) => expected.to_string(),
        _ => environment::type_name(value).to_owned(),
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

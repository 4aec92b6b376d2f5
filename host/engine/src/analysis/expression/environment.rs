//! Functions of conditions: those of Argo Rollouts (EXPR-002 to EXPR-004), and what the crate lacks or does differently.

use expr::{DateTimeValue, Environment, Value};
use jiff::Timestamp;
use sluice_api as api;

use super::super::go;
use super::budget::{Spent, fail};
use super::syntax;

/// Functions that make texts, lists or maps, each known to the code as `__made_…`: what they make is reckoned.
const MAKERS: [&str; 28] = [
    "concat",
    "filter",
    "flatten",
    "fromBase64",
    "fromJSON",
    "fromPairs",
    "groupBy",
    "join",
    "keys",
    "lower",
    "map",
    "replace",
    "reverse",
    "sort",
    "sortBy",
    "split",
    "splitAfter",
    "string",
    "take",
    "toBase64",
    "toJSON",
    "toPairs",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "uniq",
    "upper",
    "values",
];

/// Whether a function makes something that is reckoned.
pub(super) fn makes(function: &str) -> bool {
    MAKERS.contains(&function)
}

/// The functions for one evaluation.
pub(super) fn environment<'a>(
    result: &'a Value,
    now: Timestamp,
    failures: &'a [String],
    spent: &'a Spent,
) -> Environment<'a> {
    let mut env = Environment::new();
    add_own(&mut env, result, spent);
    add_time(&mut env, now);
    add_json(&mut env);
    add_bounded(&mut env, spent);
    add_reckoned(&mut env, spent);
    add_members(&mut env, failures);
    add_texts(&mut env, spent);
    env.add_function("__fits", |call| match call.args.as_slice() {
        [Value::String(operator), left, right] if !fits(operator, left, right) => fail(format!(
            "invalid operation: {} {operator} {}",
            type_name(left),
            type_name(right)
        )),
        operands => named_twice(spent, operands).map(|()| Value::Nil),
    });
    env.add_function("__outside", |call| {
        named_twice(spent, &call.args)?;
        let [element, whole] = call.args.as_slice() else {
            return fail("two operands are needed");
        };
        let no_key = element.is_nil() && matches!(whole, Value::Map(_) | Value::KeyedMap(_));
        Ok(Value::Bool(whole.is_nil() || no_key))
    });
    env.add_function("__plain", |call| {
        let mut arguments = call.args.into_iter();
        match arguments.next() {
            Some(Value::String(name)) => {
                call.env
                    .eval_func(call.ctx, &name, arguments.collect(), None)
            }
            _ => fail("a function without a name"),
        }
    });
    env
}

/// Operands are named for the question whether the operator takes them, and once more for the operator.
fn named_twice(spent: &Spent, operands: &[Value]) -> expr::Result<()> {
    let mut both = operands.iter().chain(operands);
    both.try_for_each(|operand| spent.value(operand))
}

/// Whether an operator takes these operands.
fn fits(operator: &str, left: &Value, right: &Value) -> bool {
    use Value::{DateTime, Duration, Float, Integer, String};
    match (left, right) {
        (Integer(_), Integer(_)) => true,
        (Integer(_) | Float(_), Integer(_) | Float(_)) => operator != "%",
        (String(_), String(_)) => matches!(operator, "+" | "<" | ">" | "<=" | ">="),
        (Duration(_), Integer(_)) | (Integer(_), Duration(_)) => operator == "*",
        (DateTime(_), DateTime(_)) => matches!(operator, "-" | "<" | ">" | "<=" | ">="),
        (DateTime(_), Duration(_)) => matches!(operator, "+" | "-"),
        (Duration(_), DateTime(_)) => operator == "+",
        (Duration(_), Duration(_)) => matches!(operator, "+" | "-" | "<" | ">" | "<=" | ">="),
        _ => false,
    }
}

fn add_own<'a>(env: &mut Environment<'a>, result: &'a Value, spent: &'a Spent) {
    env.add_function("asInt", |call| match call.args.as_slice() {
        [Value::Integer(number)] => Ok(Value::Integer(*number)),
        // As Go converts: towards zero.
        [Value::Float(number)] => Ok(Value::Integer(*number as i64)),
        [Value::String(text)] => match syntax::integer(text) {
            Ok(number) => Ok(Value::Integer(number)),
            Err(error) => fail(error),
        },
        other => not_supported("asInt", other),
    });
    env.add_function("asFloat", |call| match call.args.as_slice() {
        [Value::Integer(number)] => Ok(Value::Float(*number as f64)),
        [Value::Float(number)] => Ok(Value::Float(*number)),
        [Value::String(text)] => float(text).map_or_else(fail, |number| Ok(Value::Float(number))),
        other => not_supported("asFloat", other),
    });
    env.add_function("isNaN", |call| match call.args.as_slice() {
        [Value::Float(number)] => Ok(Value::Bool(number.is_nan())),
        [Value::Integer(_)] => Ok(Value::Bool(false)),
        other => not_supported("isNaN", other),
    });
    env.add_function("isInf", |call| match call.args.as_slice() {
        [Value::Float(number)] => Ok(Value::Bool(number.is_infinite())),
        [Value::Integer(_)] => Ok(Value::Bool(false)),
        other => not_supported("isInf", other),
    });
    // Both look at the whole result, whatever they are asked about (EXPR-003).
    env.add_function("isNil", |_| Ok(Value::Bool(result.is_nil())));
    env.add_function("default", |mut call| {
        if result.is_nil() {
            return Ok(call.args.pop().unwrap_or_default());
        }
        spent.value(result)?;
        Ok(result.clone())
    });
}

/// A float as Go's `ParseFloat` reads it: names of special values in any case.
fn float(text: &str) -> Result<f64, String> {
    let wrong = || syntax::syntax("ParseFloat", text);
    if text.is_empty() || text.trim() != text {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

fn not_supported(function: &str, arguments: &[Value]) -> expr::Result<Value> {
    let found = arguments.first().unwrap_or(&Value::Nil);
    fail(format!(
        "{function}() not supported on {} {}",
        type_name(found),
        shown(found)
    ))
}

fn add_time(env: &mut Environment<'_>, now: Timestamp) {
    env.add_function("__now", move |call| {
        if !call.args.is_empty() {
            return fail("now() takes no arguments");
        }
        let text = Value::String(now.to_string());
        call.env.eval_func(call.ctx, "date", vec![text], None)
    });
    env.add_function("__timezone", |mut call| {
        call.args.iter_mut().for_each(universal);
        call.env.eval_func(call.ctx, "timezone", call.args, None)
    });
    env.add_function("__duration", |call| {
        // What is wrong with a duration is said in Go's words.
        if let [Value::String(text)] = call.args.as_slice()
            && let Err(error) = api::parse_duration(text)
        {
            return fail(error.to_string());
        }
        call.env.eval_func(call.ctx, "duration", call.args, None)
    });
    env.add_function("__date", |mut call| {
        call.args.iter_mut().skip(2).for_each(universal);
        call.env.eval_func(call.ctx, "date", call.args, None)
    });
}

/// The host's zone is no fact of a decision: it reads as UTC.
fn universal(zone: &mut Value) {
    if matches!(zone, Value::String(name) if name == "Local") {
        *zone = Value::String("UTC".to_owned());
    }
}

fn add_json(env: &mut Environment<'_>) {
    env.add_function("fromJSON", |call| match call.args.as_slice() {
        [Value::String(text)] => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => Ok(super::from_json(&value)),
            Err(error) => fail(error.to_string()),
        },
        other => fail(format!(
            "cannot use {} as argument (type string) to call fromJSON",
            type_names(other)
        )),
    });
    env.add_function("toJSON", |call| match call.args.as_slice() {
        [value] => match to_json(value).map(|value| serde_json::to_string_pretty(&value)) {
            Ok(Ok(text)) => Ok(Value::String(text)),
            Ok(Err(error)) => fail(error.to_string()),
            Err(message) => fail(message),
        },
        _ => fail("invalid number of arguments (expected 1)"),
    });
}

fn to_json(value: &Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Integer(number) | Value::Duration(number) => (*number).into(),
        Value::Month(number) | Value::Weekday(number) => (*number).into(),
        // Go writes a whole float without a fraction.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            (*number as i64).into()
        }
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(serde_json::Value::Number)
            .ok_or_else(|| format!("json: unsupported value: {}", go::float(*number)))?,
        Value::String(text) => text.as_str().into(),
        Value::DateTime(time) => rfc3339(time).into(),
        Value::Array(values) => values
            .iter()
            .map(to_json)
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Value::Map(values) => {
            let entries = values
                .iter()
                .map(|(name, value)| Ok((name.clone(), to_json(value)?)));
            entries
                .collect::<Result<serde_json::Map<_, _>, String>>()?
                .into()
        }
        Value::Bytes(_) | Value::Timezone(_) | Value::KeyedMap(_) => {
            return Err(format!("json: unsupported type: {}", type_name(value)));
        }
    })
}

fn rfc3339(time: &DateTimeValue) -> String {
    time.to_rfc3339()
}

fn add_bounded<'a>(env: &mut Environment<'a>, spent: &'a Spent) {
    env.add_function("__tick", |call| {
        let parts = match call.args.as_slice() {
            [Value::Integer(parts)] => u64::try_from(*parts).unwrap_or_default(),
            _ => 0,
        };
        spent.predicate(parts).map(|()| Value::Nil)
    });
    env.add_function("__range", |call| {
        let [from, to] = call.args.as_slice() else {
            return fail("a range has two ends");
        };
        let (Some(from), Some(to)) = (whole(from), whole(to)) else {
            return fail(format!(
                "invalid operation: {} .. {}",
                type_name(from),
                type_name(to)
            ));
        };
        let length = to
            .checked_sub(from)
            .and_then(|length| u64::try_from(length).ok()?.checked_add(1));
        if to >= from {
            spent.elements(length.unwrap_or(u64::MAX))?;
        }
        Ok(Value::Array((from..=to).map(Value::Integer).collect()))
    });
    env.add_function("__repeat", |call| {
        if let [Value::String(text), Value::Integer(count)] = call.args.as_slice()
            && let Ok(count) = u64::try_from(*count)
        {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            spent.elements(length.saturating_mul(count))?;
        }
        call.env.eval_func(call.ctx, "repeat", call.args, None)
    });
}

/// What reckons the values that are copied, since they are named, and those that are made.
fn add_reckoned<'a>(env: &mut Environment<'a>, spent: &'a Spent) {
    env.add_function("__named", |mut call| {
        let value = call.args.pop().unwrap_or_default();
        spent.value(&value)?;
        Ok(value)
    });
    for name in MAKERS {
        env.add_function(&format!("__made_{name}"), move |call| {
            spent.ahead(name, &call.args)?;
            let made = call
                .env
                .eval_func(call.ctx, name, call.args, call.predicate)?;
            spent.value(&made)?;
            Ok(made)
        });
    }
}

/// A number as a position: without its fraction.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Float(number) => Some(*number as i64),
        _ => None,
    }
}

fn add_members<'a>(env: &mut Environment<'a>, failures: &'a [String]) {
    env.add_function("__fail", |call| match call.args.as_slice() {
        [Value::Integer(index)] => {
            let failure = usize::try_from(*index)
                .ok()
                .and_then(|index| failures.get(index));
            fail(failure.cloned().unwrap_or_default())
        }
        _ => fail(""),
    });
    env.add_function("__path", |call| {
        let (base, steps) = match call.args.split_first() {
            Some(found) => found,
            None => return Ok(Value::Nil),
        };
        let mut value = base;
        for step in steps.chunks(2) {
            let [Value::Bool(optional), key] = step else {
                return fail("a path without a member");
            };
            if *optional && value.is_nil() {
                return Ok(Value::Nil);
            }
            value = match member(value, key) {
                Ok(found) => found,
                Err(failure) => return fail(failure),
            };
        }
        Ok(value.clone())
    });
    env.add_function("__map", |call| {
        let mut map = Vec::new();
        for pair in call.args.chunks(2) {
            match pair {
                [Value::String(key), value] => map.push((key.clone(), value.clone())),
                [key, _] => return fail(format!("cannot use {} as a map key", type_name(key))),
                _ => {}
            }
        }
        Ok(map.into_iter().collect())
    });
    env.add_function("__slice", |call| match call.args.as_slice() {
        [value, from, to] => slice(value, from, to),
        _ => fail("cannot slice"),
    });
}

/// A member of a value, as Go fetches it.
pub(super) fn member<'v>(value: &'v Value, key: &Value) -> Result<&'v Value, String> {
    const NIL: &Value = &Value::Nil;
    match (value, key) {
        (Value::Map(map), Value::String(key)) => Ok(map.get(key).unwrap_or(NIL)),
        (Value::KeyedMap(map), key) => {
            let found = map.iter().find(|(candidate, _)| candidate == key);
            Ok(found.map_or(NIL, |(_, value)| value))
        }
        (Value::Array(list), Value::Integer(_) | Value::Float(_)) => {
            let index = whole(key).unwrap_or_default();
            let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
            let index = if index < 0 {
                length.saturating_add(index)
            } else {
                index
            };
            let found = usize::try_from(index)
                .ok()
                .and_then(|index| list.get(index));
            found.ok_or_else(|| format!("index out of range: {index} (array length is {length})"))
        }
        _ => Err(format!(
            "cannot fetch {} from {}",
            shown(key),
            type_name(value)
        )),
    }
}

fn slice(value: &Value, from: &Value, to: &Value) -> expr::Result<Value> {
    let bound = |bound: &Value, length: usize, default: usize| -> expr::Result<usize> {
        let number = match (bound, whole(bound)) {
            (_, Some(number)) => number,
            (Value::Nil, None) => return Ok(default),
            (other, None) => return fail(format!("non-integer slice index {}", type_name(other))),
        };
        let size = i64::try_from(length).unwrap_or(i64::MAX);
        let number = if number < 0 {
            size.saturating_add(number)
        } else {
            number
        };
        Ok(usize::try_from(number.clamp(0, size)).unwrap_or_default())
    };
    let bounds = |length: usize| -> expr::Result<std::ops::Range<usize>> {
        let (from, to) = (bound(from, length, 0)?, bound(to, length, length)?);
        Ok(from.min(to)..to)
    };
    match value {
        Value::Array(list) => Ok(Value::Array(
            list.get(bounds(list.len())?).unwrap_or_default().to_vec(),
        )),
        Value::Bytes(bytes) => Ok(Value::Bytes(
            bytes.get(bounds(bytes.len())?).unwrap_or_default().to_vec(),
        )),
        Value::String(text) => {
            let bytes = text.as_bytes().get(bounds(text.len())?).unwrap_or_default();
            Ok(Value::String(String::from_utf8_lossy(bytes).into_owned()))
        }
        other => fail(format!("cannot slice {}", type_name(other))),
    }
}

fn add_texts<'a>(env: &mut Environment<'a>, spent: &'a Spent) {
    type Test = fn(&Spent, &str, &str) -> expr::Result<bool>;
    let tests: [(&str, Test); 4] = [
        ("matches", |spent, text, pattern| {
            spent.is_match(pattern, text)
        }),
        ("contains", |_, text, part| Ok(text.contains(part))),
        ("startsWith", |_, text, start| Ok(text.starts_with(start))),
        ("endsWith", |_, text, end| Ok(text.ends_with(end))),
    ];
    for (name, test) in tests {
        env.add_function(&format!("__{name}"), move |call| {
            match call.args.as_slice() {
                [Value::String(left), Value::String(right)] => {
                    test(spent, left, right).map(Value::Bool)
                }
                // Nothing is like nil.
                [Value::Nil, _] | [_, Value::Nil] => Ok(Value::Bool(false)),
                other => fail(format!(
                    "invalid operation: {name} (mismatched types {})",
                    type_names(other)
                )),
            }
        });
    }
}

fn type_names(values: &[Value]) -> String {
    values
        .iter()
        .map(type_name)
        .collect::<Vec<_>>()
        .join(" and ")
}

/// The type of a value as Go's `%T` writes it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "<nil>",
        Value::Bool(_) => "bool",
        Value::Integer(_) => "int",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Bytes(_) => "[]uint8",
        Value::DateTime(_) => "time.Time",
        Value::Duration(_) => "time.Duration",
        Value::Timezone(_) => "*time.Location",
        Value::Month(_) => "time.Month",
        Value::Weekday(_) => "time.Weekday",
        Value::Array(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        Value::KeyedMap(_) => "map[interface {}]interface {}",
    }
}

/// A value as Go's `%v` writes it, for those that messages name.
fn shown(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Float(number) => go::float(*number),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

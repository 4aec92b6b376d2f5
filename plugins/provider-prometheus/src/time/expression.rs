//! The times of a range: `now() - duration("1h")`, `date("2026-01-31")`.
//!
//! Argo Rollouts evaluates them with its expression language. What means a time there is here: `now()`, `date()`,
//! `duration()`, sums, differences, products with a number, and parentheses. The clock is passed in.

use super::date::parse_date;
use super::duration::parse_duration;
use super::{Moment, SECOND, Span};

/// Parentheses and signs within each other that an expression may have.
const MAX_DEPTH: u32 = 50;

const SUPPORTED: &str = "a time is written with now(), date(), duration(), + - * and parentheses";

/// The time that an expression means.
///
/// # Errors
/// Why it means none.
pub fn evaluate(expression: &str, now: Moment) -> Result<Moment, String> {
    let mut parser = Parser {
        rest: expression,
        now,
        depth: 0,
    };
    let value = parser.sum()?;
    parser.skip_space();
    if let Some(extra) = parser.rest.chars().next() {
        return Err(format!("unexpected token {extra:?}; {SUPPORTED}"));
    }
    match value {
        Value::Moment(moment) => Ok(moment),
        other => Err(format!("expected time.Time, but got {}", other.type_name())),
    }
}

/// What a part of an expression is.
#[derive(Clone, Debug)]
enum Value {
    Moment(Moment),
    Span(Span),
    Number(i64),
    Text(String),
}

impl Value {
    /// As Go calls it.
    fn type_name(&self) -> &'static str {
        match self {
            Self::Moment(_) => "time.Time",
            Self::Span(_) => "time.Duration",
            Self::Number(_) => "int",
            Self::Text(_) => "string",
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    now: Moment,
    depth: u32,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<Value, String> {
        let mut left = self.product()?;
        loop {
            let operator = match () {
                () if self.take("+") => '+',
                () if self.take("-") => '-',
                () => return Ok(left),
            };
            let right = self.product()?;
            left = add(operator, left, right)?;
        }
    }

    fn product(&mut self) -> Result<Value, String> {
        let mut left = self.signed()?;
        while self.take("*") {
            let right = self.signed()?;
            left = match (&left, &right) {
                (Value::Number(a), Value::Number(b)) => {
                    Value::Number(a.checked_mul(*b).ok_or("the number is too large")?)
                }
                (Value::Number(times), Value::Span(span))
                | (Value::Span(span), Value::Number(times)) => {
                    in_range(span.checked_mul(i128::from(*times))).map(Value::Span)?
                }
                _ => return Err(mismatch('*', &left, &right)),
            };
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the expression is nested too deeply".to_owned());
        }
        let value = if self.take("-") {
            match self.signed()? {
                Value::Number(number) => {
                    Value::Number(number.checked_neg().ok_or("the number is too large")?)
                }
                Value::Span(span) => Value::Span(-span),
                other => return Err(format!("invalid operation: - {}", other.type_name())),
            }
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn primary(&mut self) -> Result<Value, String> {
        self.skip_space();
        if self.take("(") {
            let value = self.sum()?;
            return if self.take(")") {
                Ok(value)
            } else {
                Err(self.unexpected())
            };
        }
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => self.text(quote).map(Value::Text),
            Some(first) if first.is_ascii_digit() => self.number(),
            Some(first) if first.is_ascii_alphabetic() || first == '_' => self.call(),
            _ => Err(self.unexpected()),
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let digits = self.take_while(|found| found.is_ascii_digit());
        digits
            .parse()
            .map(Value::Number)
            .map_err(|_| format!("{digits} is too large"))
    }

    fn text(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, found)) = characters.next() {
            match found {
                '\\' if quote != '`' => match characters.next() {
                    Some((_, escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                    _ => return Err("invalid escape in a text".to_owned()),
                },
                end if end == quote => {
                    self.rest = self.rest.get(at + end.len_utf8()..).unwrap_or_default();
                    return Ok(text);
                }
                other => text.push(other),
            }
        }
        Err("literal not terminated".to_owned())
    }

    fn call(&mut self) -> Result<Value, String> {
        let name = self
            .take_while(|found| found.is_ascii_alphanumeric() || found == '_')
            .to_owned();
        if !self.take("(") {
            return Err(format!("unknown name {name}; {SUPPORTED}"));
        }
        let mut arguments = Vec::new();
        while !self.take(")") {
            if !arguments.is_empty() && !self.take(",") {
                return Err(self.unexpected());
            }
            arguments.push(self.sum()?);
        }
        match (name.as_str(), arguments.as_slice()) {
            ("now", []) => Ok(Value::Moment(self.now)),
            ("duration", [Value::Text(text)]) => parse_duration(text).map(Value::Span),
            ("date", [Value::Text(text)]) => parse_date(text, None).map(Value::Moment),
            ("date", [Value::Text(text), Value::Text(layout)]) => {
                parse_date(text, Some(layout)).map(Value::Moment)
            }
            ("date", [Value::Text(text), Value::Text(layout), Value::Text(zone)]) => {
                match zone.as_str() {
                    "" | "UTC" => parse_date(text, Some(layout)).map(Value::Moment),
                    other => Err(format!(
                        "the time zone {other:?} is not known; use UTC or an offset in the date"
                    )),
                }
            }
            ("now" | "duration" | "date", _) => Err(format!("invalid arguments for {name}")),
            _ => Err(format!("unknown name {name}; {SUPPORTED}")),
        }
    }

    fn unexpected(&self) -> String {
        match self.rest.chars().next() {
            Some(found) => format!("unexpected token {found:?}; {SUPPORTED}"),
            None => "unexpected token EOF".to_owned(),
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &str {
        let end = self
            .rest
            .find(|found| !accept(found))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

fn add(operator: char, left: Value, right: Value) -> Result<Value, String> {
    let minus = operator == '-';
    let sum = |a: i128, b: i128| {
        in_range(if minus {
            a.checked_sub(b)
        } else {
            a.checked_add(b)
        })
    };
    match (&left, &right) {
        (Value::Moment(a), Value::Span(b)) => sum(*a, *b).map(Value::Moment),
        (Value::Span(a), Value::Moment(b)) if !minus => sum(*a, *b).map(Value::Moment),
        (Value::Moment(a), Value::Moment(b)) if minus => sum(*a, *b).map(Value::Span),
        (Value::Span(a), Value::Span(b)) => sum(*a, *b).map(Value::Span),
        (Value::Number(a), Value::Number(b)) => {
            let sum = if minus {
                a.checked_sub(*b)
            } else {
                a.checked_add(*b)
            };
            Ok(Value::Number(sum.ok_or("the number is too large")?))
        }
        (Value::Text(a), Value::Text(b)) if !minus => Ok(Value::Text(format!("{a}{b}"))),
        _ => Err(mismatch(operator, &left, &right)),
    }
}

fn mismatch(operator: char, left: &Value, right: &Value) -> String {
    format!(
        "invalid operation: {operator} (mismatched types {} and {})",
        left.type_name(),
        right.type_name()
    )
}

/// Ten thousand years around 1970, so that no arithmetic on times can overflow.
fn in_range(value: Option<i128>) -> Result<i128, String> {
    const LIMIT: i128 = 10_000 * 366 * 24 * 3600 * SECOND;
    value
        .filter(|value| value.abs() <= LIMIT)
        .ok_or_else(|| "the time is out of range".to_owned())
}

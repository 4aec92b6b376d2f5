//! What can be said about an expression before it is evaluated: unknown names, operands that do not fit.
//!
//! Argo Rollouts compiles a condition against the concrete value of the measurement (EXPR-005), so that comparing a list
//! with a number is an error and not simply false. What this pass does not know is left to evaluation.

use super::syntax::{Node, Step, chain, predicate};
use crate::plugin::MeasuredValue;

/// A type, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Unknown,
    Nil,
    Bool,
    Int,
    /// What `asInt` returns; it differs in name only.
    Int64,
    Float,
    Text,
    Bytes,
    /// A list that Go knows to have elements of one type.
    List(Box<Type>),
    /// A list of anything, which happens to have elements of one type.
    Any(Box<Type>),
    Map,
    Time,
    Duration,
    Location,
}

/// As Go writes it.
impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown | Self::Nil => "unknown",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Int64 => "int64",
            Self::Float => "float64",
            Self::Text => "string",
            Self::Bytes => "[]uint8",
            Self::List(element) => return write!(f, "[]{element}"),
            Self::Any(_) => "[]interface {}",
            Self::Map => "map[string]interface {}",
            Self::Time => "time.Time",
            Self::Duration => "time.Duration",
            Self::Location => "*time.Location",
        })
    }
}

/// The type of a measured value, as the providers of Argo Rollouts hand it out.
pub(super) fn of_value(value: Option<&MeasuredValue>) -> Type {
    match value {
        None => Type::Nil,
        Some(MeasuredValue::Number(_)) => Type::Float,
        Some(MeasuredValue::Numbers(_)) => Type::List(Box::new(Type::Float)),
        Some(MeasuredValue::Text(_)) => Type::Text,
        Some(MeasuredValue::Document(document)) => match document {
            serde_json::Value::Null => Type::Nil,
            serde_json::Value::Bool(_) => Type::Bool,
            serde_json::Value::Number(_) => Type::Float,
            serde_json::Value::String(_) => Type::Text,
            serde_json::Value::Array(_) => Type::list(),
            serde_json::Value::Object(_) => Type::Map,
        },
    }
}

/// The type of an expression over a `result` of this type.
///
/// # Errors
/// The first mistake, in upstream's words.
pub(super) fn check(node: &Node, result: &Type) -> Result<Type, String> {
    Checker {
        result,
        variables: Vec::new(),
        scopes: Vec::new(),
    }
    .node(node)
}

struct Checker<'a> {
    result: &'a Type,
    variables: Vec<(String, Type)>,
    /// The predicates that are open.
    scopes: Vec<Scope>,
}

/// What a predicate is about.
struct Scope {
    element: Type,
    function: String,
}

impl Type {
    /// A list of which nothing is known.
    fn list() -> Self {
        Self::Any(Box::new(Self::Unknown))
    }

    fn is_list(&self) -> bool {
        matches!(self, Self::List(_) | Self::Any(_))
    }

    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    fn is_integer(&self) -> bool {
        matches!(self, Self::Int | Self::Int64)
    }

    fn is_number(&self) -> bool {
        self.is_integer() || *self == Self::Float
    }

    /// Whether `==` makes sense between the two.
    fn is_comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown | Self::Nil, _) | (_, Self::Unknown | Self::Nil) => true,
            (left, right) if left.is_list() => right.is_list(),
            (left, right) if left.is_number() => right.is_number(),
            (left, right) => left == right,
        }
    }

    fn element(&self) -> Self {
        match self {
            Self::List(element) | Self::Any(element) => (**element).clone(),
            _ => Self::Unknown,
        }
    }
}

/// Whether two operands fit where one of them is not known before evaluation, and the other must be one of these.
fn maybe(left: &Type, right: &Type, fits: impl Fn(&Type) -> bool) -> bool {
    match (left.is_unknown(), right.is_unknown()) {
        (true, true) => true,
        (true, false) => fits(right),
        (false, true) => fits(left),
        (false, false) => false,
    }
}

impl Checker<'_> {
    fn node(&mut self, node: &Node) -> Result<Type, String> {
        Ok(match node {
            Node::Nil => Type::Nil,
            Node::Bool(_) => Type::Bool,
            Node::Integer(_) => Type::Int,
            Node::Float(_) => Type::Float,
            Node::Text(_) => Type::Text,
            Node::Bytes(_) => Type::Bytes,
            Node::Name(name) => self.name(name)?,
            Node::Pointer(name) => self.pointer(name)?,
            Node::Unary(operator, operand) => {
                let operand = self.node(operand)?;
                unary(operator, operand)?
            }
            Node::Binary(operator, left, right) => match chain(node) {
                Some((operator, operands)) => self.chain(operator, &operands)?,
                None => self.binary(operator, left, right)?,
            },
            Node::Conditional(condition, then, other) => {
                let condition = self.node(condition)?;
                if !matches!(condition, Type::Bool | Type::Unknown) {
                    return Err(format!(
                        "non-bool expression (type {condition}) used as condition"
                    ));
                }
                let (then, other) = (self.node(then)?, self.node(other)?);
                if then == other { then } else { Type::Unknown }
            }
            Node::Let(name, value, body) => {
                if self.variables.iter().any(|(known, _)| known == name) {
                    return Err(format!("cannot redeclare variable {name}"));
                }
                if name == "result" || own_arguments(name).is_some() {
                    return Err(format!("cannot redeclare {name}"));
                }
                if is_function(name) {
                    return Err(format!("cannot redeclare builtin {name}"));
                }
                let value = self.node(value)?;
                self.variables.push((name.clone(), value));
                let body = self.node(body);
                self.variables.pop();
                body?
            }
            Node::Sequence(nodes) => {
                let types = nodes
                    .iter()
                    .map(|node| self.node(node))
                    .collect::<Result<Vec<_>, _>>()?;
                types.into_iter().last().unwrap_or(Type::Nil)
            }
            Node::List(nodes) => {
                let types = self.all(nodes)?;
                match types.split_first() {
                    Some((first, rest)) if rest.iter().all(|other| other == first) => {
                        Type::Any(Box::new(first.clone()))
                    }
                    _ => Type::list(),
                }
            }
            Node::Map(pairs) => {
                for (key, value) in pairs {
                    self.node(key)?;
                    self.node(value)?;
                }
                Type::Map
            }
            Node::Path(base, steps) => self.path(base, steps)?,
            Node::Slice(base, from, to) => self.slice(base, from.as_deref(), to.as_deref())?,
            Node::Method(base, name, arguments) => {
                let base = self.node(base)?;
                self.all(arguments)?;
                match base {
                    Type::Unknown | Type::Map => Type::Unknown,
                    Type::Nil => return Err(format!("type nil has no field {name}")),
                    other => method(&other, name)
                        .ok_or_else(|| format!("type {other} has no method {name}"))?,
                }
            }
            Node::Call(name, arguments) => self.call(name, arguments)?,
            Node::Predicate(body) => self.node(body)?,
        })
    }

    fn all(&mut self, nodes: &[Node]) -> Result<Vec<Type>, String> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn name(&self, name: &str) -> Result<Type, String> {
        if let Some((_, found)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(found.clone());
        }
        match name {
            "result" => Ok(self.result.clone()),
            "$env" => Err("$env must be followed by a name".to_owned()),
            _ if is_function(name) => Err(format!("{name} must be called")),
            _ => Err(format!("unknown name {name}")),
        }
    }

    fn pointer(&self, name: &str) -> Result<Type, String> {
        let Some(Scope { element, function }) = self.scopes.last() else {
            return Err("cannot use pointer accessor outside predicate".to_owned());
        };
        match (name, function.as_str()) {
            ("", _) => Ok(element.clone()),
            ("index", "map" | "reduce") => Ok(Type::Int),
            ("acc", "reduce") => Ok(Type::Unknown),
            (other, _) => Err(format!("unknown pointer #{other}")),
        }
    }

    fn chain(&mut self, operator: &str, operands: &[&Node]) -> Result<Type, String> {
        let mut operands = operands.iter();
        let mut left = match operands.next() {
            Some(first) => self.node(first)?,
            None => return Ok(Type::Bool),
        };
        for operand in operands {
            let right = self.node(operand)?;
            left = operation(operator, &left, &right)
                .ok_or_else(|| mismatched(operator, &left, &right))?;
        }
        Ok(left)
    }

    fn binary(&mut self, operator: &str, left: &Node, right: &Node) -> Result<Type, String> {
        let pattern = match right {
            Node::Text(pattern) => Some(pattern),
            _ => None,
        };
        let (left, right) = (self.node(left)?, self.node(right)?);
        if let Some(pattern) = pattern.filter(|_| operator == "matches")
            && let Err(error) = regex::Regex::new(pattern)
        {
            return Err(pattern_error(&error));
        }
        if operator == "in" {
            return is_in(&left, &right);
        }
        operation(operator, &left, &right).ok_or_else(|| mismatched(operator, &left, &right))
    }

    fn path(&mut self, base: &Node, steps: &[Step]) -> Result<Type, String> {
        if matches!(base, Node::Name(name) if name == "$env")
            && let Some((
                Step {
                    key: Node::Text(name),
                    ..
                },
                rest,
            )) = steps.split_first()
        {
            return self.path(&Node::Name(name.clone()), rest);
        }
        let mut found = self.node(base)?;
        for Step { key, .. } in steps {
            let key_type = self.node(key)?;
            found = match (&found, key) {
                (Type::Unknown, _) => Type::Unknown,
                (Type::Nil, Node::Text(name)) => {
                    return Err(format!("type nil has no field {name}"));
                }
                (Type::Map, _) if matches!(key_type, Type::Text | Type::Unknown | Type::Nil) => {
                    Type::Unknown
                }
                (Type::Map, _) => {
                    return Err(format!(
                        "cannot use {key_type} to get an element from {found}"
                    ));
                }
                (list, _) if list.is_list() && (key_type.is_integer() || key_type.is_unknown()) => {
                    found.element()
                }
                (list, _) if list.is_list() => {
                    return Err(format!(
                        "array elements can only be selected using an integer (got {key_type})"
                    ));
                }
                (Type::Bytes, _) if key_type.is_integer() || key_type.is_unknown() => Type::Unknown,
                (_, Node::Text(name)) => return Err(format!("type {found} has no field {name}")),
                (_, _) => return Err(format!("type {found}[{key_type}] is undefined")),
            };
        }
        Ok(found)
    }

    fn slice(
        &mut self,
        base: &Node,
        from: Option<&Node>,
        to: Option<&Node>,
    ) -> Result<Type, String> {
        let base = self.node(base)?;
        if !base.is_list() && !matches!(base, Type::Unknown | Type::Text | Type::Bytes) {
            return Err(format!("cannot slice {base}"));
        }
        for bound in from.into_iter().chain(to) {
            let bound = self.node(bound)?;
            if !bound.is_integer() && !bound.is_unknown() {
                return Err(format!("non-integer slice index {bound}"));
            }
        }
        Ok(base)
    }

    fn call(&mut self, name: &str, arguments: &[Node]) -> Result<Type, String> {
        if predicate(name).is_some() {
            return self.over_elements(name, arguments);
        }
        if !is_function(name) {
            return match self.name(name)? {
                Type::Unknown => Ok(Type::Unknown),
                other => Err(format!("{other} is not callable")),
            };
        }
        let types = self.all(arguments)?;
        if let Some(wanted) = own_arguments(name) {
            if types.len() < wanted.len() {
                return Err(format!("not enough arguments to call {name}"));
            }
            if types.len() > wanted.len() {
                return Err(format!("too many arguments to call {name}"));
            }
            let wrong = types.iter().zip(wanted).find(|(found, wanted)| {
                **wanted == Type::Float && !found.is_number() && !found.is_unknown()
            });
            if let Some((found, wanted)) = wrong {
                // The space at the end is upstream's.
                return Err(format!(
                    "cannot use {found} as argument (type {wanted}) to call {name} "
                ));
            }
        }
        if name == "len" {
            match types.as_slice() {
                [
                    Type::Unknown
                    | Type::List(_)
                    | Type::Any(_)
                    | Type::Text
                    | Type::Map
                    | Type::Bytes,
                ] => {}
                [other] => return Err(format!("invalid argument for len (type {other})")),
                _ => {
                    return Err(format!(
                        "invalid number of arguments (expected 1, got {})",
                        types.len()
                    ));
                }
            }
        }
        Ok(returned(name, &types))
    }

    /// A function with a predicate.
    fn over_elements(&mut self, name: &str, arguments: &[Node]) -> Result<Type, String> {
        let Some((list, rest)) = arguments.split_first() else {
            return Err(format!("not enough arguments to call {name}"));
        };
        let list = self.node(list)?;
        if !list.is_list() && !list.is_unknown() {
            return Err(format!("builtin {name} takes only array (got {list})"));
        }
        let element = list.element();
        let mut mapped = Type::Unknown;
        for argument in rest {
            let Node::Predicate(body) = argument else {
                self.node(argument)?;
                continue;
            };
            self.scopes.push(Scope {
                element: element.clone(),
                function: name.to_owned(),
            });
            let found = self.node(body);
            self.scopes.pop();
            mapped = found?;
            let decides = !matches!(name, "map" | "sum" | "groupBy" | "sortBy" | "reduce");
            if decides && !matches!(mapped, Type::Bool | Type::Unknown) {
                return Err(format!("predicate should return boolean (got {mapped})"));
            }
        }
        if rest.is_empty() && name == "count" && !matches!(element, Type::Bool | Type::Unknown) {
            return Err(format!("predicate should return boolean (got {element})"));
        }
        Ok(match name {
            "all" | "none" | "any" | "one" => Type::Bool,
            "filter" | "sortBy" => list,
            "map" => Type::Any(Box::new(mapped)),
            "count" | "findIndex" | "findLastIndex" => Type::Int,
            "find" | "findLast" => element,
            _ => Type::Unknown,
        })
    }
}

fn unary(operator: &str, operand: Type) -> Result<Type, String> {
    let fits = match operator {
        "!" | "not" => operand == Type::Bool || operand.is_unknown(),
        _ => operand.is_number() || operand.is_unknown(),
    };
    if !fits {
        return Err(format!(
            "invalid operation: {operator} (mismatched type {operand})"
        ));
    }
    Ok(if matches!(operator, "!" | "not") {
        Type::Bool
    } else {
        operand
    })
}

fn is_in(left: &Type, right: &Type) -> Result<Type, String> {
    match right {
        Type::Map if matches!(left, Type::Text | Type::Unknown) => Ok(Type::Bool),
        Type::Map => Err(format!("cannot use {left} as type string in map key")),
        Type::List(element) | Type::Any(element) if left.is_comparable(element) => Ok(Type::Bool),
        Type::List(element) | Type::Any(element) => {
            Err(format!("cannot use {left} as type {element} in array"))
        }
        Type::Unknown => Ok(Type::Bool),
        Type::Text if left.is_unknown() => Ok(Type::Bool),
        _ => Err(mismatched("in", left, right)),
    }
}

fn mismatched(operator: &str, left: &Type, right: &Type) -> String {
    format!("invalid operation: {operator} (mismatched types {left} and {right})")
}

/// The type of an operation; None where the operands do not fit.
fn operation(operator: &str, left: &Type, right: &Type) -> Option<Type> {
    use Type::{Bool, Duration, Float, Int, List, Text, Time, Unknown};
    let numbers = left.is_number() && right.is_number();
    let ordered = |found: &Type| found.is_number() || matches!(found, Text | Time | Duration);
    let promoted = || {
        if left.is_integer() && right.is_integer() {
            Int
        } else {
            Float
        }
    };
    match operator {
        "==" | "!=" => left.is_comparable(right).then_some(Bool),
        "||" | "&&" => {
            let fits =
                (left, right) == (&Bool, &Bool) || maybe(left, right, |found| *found == Bool);
            fits.then_some(Bool)
        }
        "<" | ">" | "<=" | ">=" => {
            let fits = numbers || (left == right && ordered(left)) || maybe(left, right, ordered);
            fits.then_some(Bool)
        }
        "+" => match (left, right) {
            _ if numbers => Some(promoted()),
            (Text, Text) => Some(Text),
            (Time, Duration) | (Duration, Time) => Some(Time),
            (Duration, Duration) => Some(Duration),
            _ => maybe(left, right, ordered).then_some(Unknown),
        },
        "-" => match (left, right) {
            _ if numbers => Some(promoted()),
            (Time, Time) | (Duration, Duration) => Some(Duration),
            (Time, Duration) => Some(Time),
            _ => maybe(left, right, |found| {
                found.is_number() || matches!(found, Time | Duration)
            })
            .then_some(Unknown),
        },
        "*" => match (left, right) {
            _ if numbers => Some(promoted()),
            (Duration, Duration) => Some(Duration),
            (Duration, number) | (number, Duration) if number.is_number() => Some(Duration),
            _ => maybe(left, right, |found| found.is_number() || *found == Duration)
                .then_some(Unknown),
        },
        "/" | "**" => (numbers || maybe(left, right, Type::is_number)).then_some(Float),
        "%" => {
            let integers = left.is_integer() && right.is_integer();
            (integers || maybe(left, right, Type::is_integer)).then_some(Int)
        }
        "matches" | "contains" | "startsWith" | "endsWith" => {
            let fits =
                (left, right) == (&Text, &Text) || maybe(left, right, |found| *found == Text);
            fits.then_some(Bool)
        }
        ".." => {
            let integers = left.is_integer() && right.is_integer();
            (integers || maybe(left, right, Type::is_integer)).then(|| List(Box::new(Int)))
        }
        "??" => Some(match (left, right) {
            (Type::Nil, other) | (other, Type::Nil) => other.clone(),
            (left, right) if left == right => left.clone(),
            _ => Unknown,
        }),
        _ => None,
    }
}

/// What the functions of the environment take (EXPR-002); None for those of the language.
fn own_arguments(name: &str) -> Option<&'static [Type]> {
    Some(match name {
        "asInt" | "asFloat" | "isNil" => &[Type::Unknown],
        "isNaN" | "isInf" => &[Type::Float],
        "default" => &[Type::Unknown, Type::Unknown],
        _ => return None,
    })
}

/// What is wrong with a pattern, in one line.
pub(super) fn pattern_error(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit("error: ").next().unwrap_or(&text);
    format!("error parsing regexp: {}", reason.trim())
}

/// What a method of times, durations and zones returns; None where there is no such method.
fn method(base: &Type, name: &str) -> Option<Type> {
    Some(match (base, name) {
        (
            Type::Time,
            "Year" | "Day" | "Hour" | "Minute" | "Second" | "Nanosecond" | "YearDay" | "Compare"
            | "Unix" | "UnixMilli" | "UnixMicro" | "UnixNano",
        ) => Type::Int,
        // Months and weekdays are numbers with names; nothing is known of them here.
        (Type::Time, "Month" | "Weekday") => Type::Unknown,
        (Type::Time, "After" | "Before" | "Equal" | "IsDST" | "IsZero") => Type::Bool,
        (Type::Time, "Add" | "AddDate" | "In" | "Local" | "UTC" | "Round" | "Truncate") => {
            Type::Time
        }
        (Type::Time, "Sub") | (Type::Duration, "Abs" | "Round" | "Truncate") => Type::Duration,
        (Type::Time, "Location") => Type::Location,
        (Type::Time, "Format") | (Type::Time | Type::Duration | Type::Location, "String") => {
            Type::Text
        }
        (Type::Duration, "Hours" | "Minutes" | "Seconds") => Type::Float,
        (Type::Duration, "Milliseconds" | "Microseconds" | "Nanoseconds") => Type::Int,
        _ => return None,
    })
}

/// Whether there is a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    own_arguments(name).is_some()
        || BUILTINS.binary_search(&name).is_ok()
        || predicate(name).is_some()
}

/// Functions of the language without predicates, sorted.
const BUILTINS: [&str; 56] = [
    "abs",
    "bitand",
    "bitnand",
    "bitnot",
    "bitor",
    "bitshl",
    "bitshr",
    "bitushr",
    "bitxor",
    "ceil",
    "concat",
    "date",
    "duration",
    "first",
    "flatten",
    "float",
    "floor",
    "fromBase64",
    "fromJSON",
    "fromPairs",
    "get",
    "hasPrefix",
    "hasSuffix",
    "indexOf",
    "int",
    "join",
    "keys",
    "last",
    "lastIndexOf",
    "len",
    "lower",
    "max",
    "mean",
    "median",
    "min",
    "now",
    "repeat",
    "replace",
    "reverse",
    "round",
    "sort",
    "split",
    "splitAfter",
    "string",
    "take",
    "timezone",
    "toBase64",
    "toJSON",
    "toPairs",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "type",
    "uniq",
    "upper",
    "values",
];

/// What a function returns, where that is known.
fn returned(name: &str, arguments: &[Type]) -> Type {
    match name {
        "asInt" => Type::Int64,
        "asFloat" | "ceil" | "floor" | "round" | "float" | "mean" | "median" => Type::Float,
        "isNaN" | "isInf" | "isNil" | "hasPrefix" | "hasSuffix" => Type::Bool,
        "len" | "int" | "indexOf" | "lastIndexOf" => Type::Int,
        name if name.starts_with("bit") => Type::Int,
        "type" | "string" | "trim" | "trimPrefix" | "trimSuffix" | "upper" | "lower"
        | "replace" | "repeat" | "join" | "toJSON" | "toBase64" | "fromBase64" => Type::Text,
        "split" | "splitAfter" => Type::List(Box::new(Type::Text)),
        "take" | "reverse" | "uniq" | "concat" | "flatten" | "sort" | "keys" | "values"
        | "toPairs" => Type::list(),
        "abs" => arguments.first().cloned().unwrap_or(Type::Unknown),
        "now" | "date" => Type::Time,
        "duration" => Type::Duration,
        "timezone" => Type::Location,
        _ => Type::Unknown,
    }
}

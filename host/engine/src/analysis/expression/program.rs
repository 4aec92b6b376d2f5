//! Writes an expression down for the crate that evaluates it.
//!
//! The crate's language is Go's with gaps: `.field` in predicates, computed map literals, escapes in texts, operators
//! inside names, indices out of range, and ranges without an end are not what they are upstream. So the tree is written
//! out again in the crate's own grammar: texts are constants, members and the operators that differ are functions of the
//! environment, everything else stays an operator or function of the crate. Nothing is evaluated here but paths into
//! `result`, whose value is known and would otherwise be copied at every access.

use std::fmt::Write as _;

use expr::Value;

use super::budget;
use super::environment::{makes, member};
use super::syntax::{Node, Step, chain, predicate};

/// An expression as the crate reads it.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) code: String,
    /// Values by the name that the code has for them.
    pub(super) constants: Vec<(String, Value)>,
    /// Why a path leads nowhere, by position; raised only when the path is needed.
    pub(super) failures: Vec<String>,
    variables: Vec<(String, String)>,
    named: usize,
    /// Parts of the predicate that is being written.
    parts: usize,
    diagnosing: bool,
}

/// Writes a checked expression over this result.
pub(super) fn write(node: &Node, result: &Value) -> Program {
    let mut program = Program::default();
    program.body(node, result);
    program
}

/// The same, slower and with a check in front of every operator that names the types which do not fit.
pub(super) fn diagnose(node: &Node, result: &Value) -> Program {
    let mut program = Program {
        diagnosing: true,
        ..Program::default()
    };
    program.body(node, result);
    program
}

impl Program {
    fn constant(&mut self, value: &Value) {
        let name = match self.constants.iter().find(|(_, known)| known == value) {
            Some((name, _)) => name.clone(),
            None => {
                let name = format!("__c{}", self.constants.len());
                self.constants.push((name.clone(), value.clone()));
                name
            }
        };
        self.known_value(&name, value);
    }

    /// A name whose value is known already.
    fn known_value(&mut self, name: &str, value: &Value) {
        if budget::is_small(value) {
            self.code.push_str(name);
        } else {
            self.name(name);
        }
    }

    /// A name, whose value the crate copies.
    fn name(&mut self, name: &str) {
        let _ = write!(self.code, "__named({name})");
    }

    /// What stands where statements may stand: at the beginning, in a predicate, in a branch.
    fn body(&mut self, node: &Node, result: &Value) {
        match node {
            Node::Let(name, value, body) => {
                let known = format!("__v{}", self.named);
                self.named += 1;
                let _ = write!(self.code, "let {known} = ");
                self.expression(value, result);
                self.code.push_str("; ");
                self.variables.push((name.clone(), known));
                self.body(body, result);
                self.variables.pop();
            }
            Node::Sequence(nodes) => match nodes.last() {
                Some(last) => self.body(last, result),
                None => self.code.push_str("nil"),
            },
            other => self.expression(other, result),
        }
    }

    /// A complete operand: something in brackets, a call, a name or a number.
    fn expression(&mut self, node: &Node, result: &Value) {
        self.parts = self.parts.saturating_add(1);
        match node {
            Node::Nil => self.code.push_str("nil"),
            Node::Bool(flag) => self.code.push_str(if *flag { "true" } else { "false" }),
            Node::Integer(number) => {
                let _ = write!(self.code, "{number}");
            }
            Node::Float(number) => {
                let _ = write!(self.code, "{number:e}");
            }
            Node::Text(text) => self.constant(&Value::String(text.clone())),
            Node::Bytes(bytes) => self.constant(&Value::Bytes(bytes.clone())),
            Node::Name(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                match known.map(|(_, known)| known.clone()) {
                    Some(variable) => self.name(&variable),
                    None => self.known_value("result", result),
                }
            }
            Node::Pointer(name) if name == "index" => self.code.push_str("#index"),
            Node::Pointer(name) => self.name(&format!("#{name}")),
            Node::Unary("+", operand) => self.expression(operand, result),
            Node::Unary(operator, operand) => {
                let operator = if *operator == "not" { "!" } else { operator };
                let _ = write!(self.code, "({operator}(");
                self.expression(operand, result);
                self.code.push_str("))");
            }
            Node::Binary(operator, left, right) => match chain(node) {
                Some((operator, operands)) => self.balanced(operator, &operands, result),
                None => self.binary(operator, left, right, result),
            },
            Node::Conditional(condition, then, other) => {
                self.code.push_str("(if (");
                self.expression(condition, result);
                self.code.push_str(") { ");
                self.body(then, result);
                self.code.push_str(" } else { ");
                self.body(other, result);
                self.code.push_str(" })");
            }
            Node::Let(..) => {
                // Only a branch may have a variable of its own.
                self.code.push_str("(if true { ");
                self.body(node, result);
                self.code.push_str(" } else { nil })");
            }
            Node::Sequence(nodes) => match nodes.last() {
                Some(last) => self.expression(last, result),
                None => self.code.push_str("nil"),
            },
            Node::List(nodes) => {
                self.code.push('[');
                self.list(nodes.iter(), result);
                self.code.push(']');
            }
            Node::Map(pairs) => {
                self.function(
                    "__map",
                    pairs.iter().flat_map(|(key, value)| [key, value]),
                    result,
                );
            }
            Node::Path(base, steps) => self.path(base, steps, result),
            Node::Slice(base, from, to) => {
                let nil = Node::Nil;
                let bound = |bound: &Option<Box<Node>>| bound.as_deref().unwrap_or(&nil).clone();
                self.function(
                    "__slice",
                    [&**base, &bound(from), &bound(to)].into_iter(),
                    result,
                );
            }
            Node::Method(base, name, arguments) => {
                self.code.push('(');
                self.expression(base, result);
                // The zone of the host is no fact of a decision.
                let name = if name == "Local" { "UTC" } else { name };
                let _ = write!(self.code, ").{name}(");
                self.list(arguments.iter(), result);
                self.code.push(')');
            }
            Node::Call(name, arguments) => self.call(name, arguments, result),
            Node::Predicate(body) => self.predicate(body, result),
        }
    }

    /// A predicate, which tells at every call how many parts its body has, without those of predicates in it.
    fn predicate(&mut self, body: &Node, result: &Value) {
        let code = std::mem::take(&mut self.code);
        let parts = std::mem::take(&mut self.parts);
        self.body(body, result);
        let body = std::mem::replace(&mut self.code, code);
        let own = std::mem::replace(&mut self.parts, parts);
        let _ = write!(self.code, "{{ let __t = __tick({own}); {body} }}");
    }

    fn list<'a>(&mut self, nodes: impl Iterator<Item = &'a Node>, result: &Value) {
        for (index, node) in nodes.enumerate() {
            if index > 0 {
                self.code.push_str(", ");
            }
            self.expression(node, result);
        }
    }

    fn function<'a>(
        &mut self,
        name: &str,
        arguments: impl Iterator<Item = &'a Node>,
        result: &Value,
    ) {
        let _ = write!(self.code, "{name}(");
        self.list(arguments, result);
        self.code.push(')');
    }

    /// A chain as a balanced tree, so that a long one is not a deep one.
    fn balanced(&mut self, operator: &str, operands: &[&Node], result: &Value) {
        match operands {
            [] => self.code.push_str("true"),
            [only] => self.expression(only, result),
            _ => {
                let (left, right) = operands.split_at(operands.len() / 2);
                self.code.push('(');
                self.balanced(operator, left, result);
                let _ = write!(self.code, " {operator} ");
                self.balanced(operator, right, result);
                self.code.push(')');
            }
        }
    }

    fn binary(&mut self, operator: &str, left: &Node, right: &Node, result: &Value) {
        match operator {
            "matches" | "contains" | "startsWith" | "endsWith" => {
                self.function(&format!("__{operator}"), [left, right].into_iter(), result);
            }
            ".." => self.function("__range", [left, right].into_iter(), result),
            // Nothing is in nothing. Each operand is written once: nested ones would multiply.
            "in" => {
                self.operands(left, right, result);
                self.code.push_str(
                    "if (__outside(__l, __r)) { false } else { (__l in __r) } } else { nil })",
                );
            }
            "+" | "-" | "*" | "/" | "%" | "**" | "<" | ">" | "<=" | ">=" if self.diagnosing => {
                self.operands(left, right, result);
                self.code.push_str("let __f = __fits(");
                self.constant(&Value::String(operator.to_owned()));
                let _ = write!(
                    self.code,
                    ", __l, __r); (__l {operator} __r) }} else {{ nil }})"
                );
            }
            _ => {
                self.code.push('(');
                self.expression(left, result);
                let _ = write!(self.code, " {operator} ");
                self.expression(right, result);
                self.code.push(')');
            }
        }
    }

    /// The beginning of a branch in which the operands are `__l` and `__r`.
    fn operands(&mut self, left: &Node, right: &Node, result: &Value) {
        self.code.push_str("(if true { let __l = ");
        self.expression(left, result);
        self.code.push_str("; let __r = ");
        self.expression(right, result);
        self.code.push_str("; ");
    }

    fn path(&mut self, base: &Node, steps: &[Step], result: &Value) {
        if matches!(base, Node::Name(name) if name == "$env")
            && let Some((
                Step {
                    key: Node::Text(name),
                    ..
                },
                rest,
            )) = steps.split_first()
        {
            let base = Node::Name(name.clone());
            return if rest.is_empty() {
                self.expression(&base, result)
            } else {
                self.path(&base, rest, result)
            };
        }
        if let Some(found) = self.known(base, steps, result) {
            match found {
                Ok(value) => self.constant(value),
                Err(failure) => {
                    let _ = write!(self.code, "__fail({})", self.failures.len());
                    self.failures.push(failure);
                }
            }
            return;
        }
        self.code.push_str("__path(");
        self.expression(base, result);
        for step in steps {
            let _ = write!(self.code, ", {}, ", step.optional);
            self.expression(&step.key, result);
        }
        self.code.push(')');
    }

    /// The value at a path of fixed members of `result`.
    fn known<'v>(
        &self,
        base: &Node,
        steps: &[Step],
        result: &'v Value,
    ) -> Option<Result<&'v Value, String>> {
        let Node::Name(name) = base else { return None };
        if self.variables.iter().any(|(known, _)| known == name) {
            return None;
        }
        let mut value = result;
        for step in steps {
            let key = match &step.key {
                Node::Text(text) => Value::String(text.clone()),
                Node::Integer(number) => Value::Integer(*number),
                Node::Unary("-", number) => match **number {
                    Node::Integer(number) => Value::Integer(-number),
                    _ => return None,
                },
                _ => return None,
            };
            if step.optional && value.is_nil() {
                return Some(Ok(&Value::Nil));
            }
            match member(value, &key) {
                Ok(found) => value = found,
                Err(failure) => return Some(Err(failure)),
            }
        }
        Some(Ok(value))
    }

    fn call(&mut self, name: &str, arguments: &[Node], result: &Value) {
        match name {
            "now" | "timezone" | "date" | "duration" | "repeat" => {
                self.function(&format!("__{name}"), arguments.iter(), result)
            }
            // Without its own predicate the crate would take an argument with a `#` for one.
            "count" | "sum" if arguments.len() == 1 => {
                let name = Node::Text(name.to_owned());
                self.function("__plain", std::iter::once(&name).chain(arguments), result);
            }
            _ => {
                debug_assert!(
                    predicate(name).is_none() || arguments.len() > 1,
                    "{name} without predicate"
                );
                let prefix = if makes(name) { "__made_" } else { "" };
                self.function(&format!("{prefix}{name}"), arguments.iter(), result);
            }
        }
    }
}

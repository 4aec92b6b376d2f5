//! The tree of an expression, and how it is read: precedence and errors as in expr-lang/expr 1.17.
//! What a name is, and whether operands fit, is left to the checker.

use super::token::{Token, tokens};

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// `nil`
    Nil,
    /// `true` or `false`
    Bool(bool),
    /// A whole number; never negative.
    Integer(i64),
    /// A number with a fraction or an exponent; never negative.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A variable, or `result`.
    Name(String),
    /// `#`, `#acc`, `#index`: what a predicate is about.
    Pointer(String),
    /// `!`, `not`, `+` or `-`.
    Unary(&'static str, Box<Node>),
    /// An operator between two operands; `and` and `or` are spelled `&&` and `||`, `^` is `**`.
    Binary(&'static str, Box<Node>, Box<Node>),
    /// Condition, then, else.
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    /// A variable for the rest of the block.
    Let(String, Box<Node>, Box<Node>),
    /// Several expressions of which the last counts.
    Sequence(Vec<Node>),
    /// `[a, b]`
    List(Vec<Node>),
    /// `{a: b}`
    Map(Vec<(Node, Node)>),
    /// `base.name[index]?.name`
    Path(Box<Node>, Vec<Step>),
    /// `list[from:to]`
    Slice(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
    /// `time.Method(…)`
    Method(Box<Node>, String, Vec<Node>),
    /// `name(…)`
    Call(String, Vec<Node>),
    /// An argument that is evaluated for every element.
    Predicate(Box<Node>),
}

/// A member of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) key: Node,
    /// `?.`: nil instead of an error where there is nothing to take a member of.
    pub(super) optional: bool,
}

/// Functions that take a predicate: how many arguments come before it is always one; whether it may be left out, and
/// whether another argument may follow.
pub(super) fn predicate(name: &str) -> Option<Predicate> {
    let (optional, more) = match name {
        "all" | "none" | "any" | "one" | "filter" | "map" | "find" | "findIndex" | "findLast"
        | "findLastIndex" | "groupBy" => (false, false),
        "count" | "sum" => (true, false),
        "sortBy" | "reduce" => (false, true),
        _ => return None,
    };
    Some(Predicate { optional, more })
}

/// How a function takes its predicate.
pub(super) struct Predicate {
    optional: bool,
    more: bool,
}

/// Deeper expressions are refused, since they are evaluated by recursion.
const MAX_DEPTH: usize = 64;
/// The same while it is read, where an operand is a level of its own.
const MAX_RECURSION: usize = 150;
/// Longer expressions are refused. Upstream allows 10 000 parts.
const MAX_NODES: usize = 2_000;

/// Reads an expression.
///
/// # Errors
/// In upstream's words, without the position.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut tokens = tokens(text)?;
    tokens.reverse();
    let mut parser = Parser {
        tokens,
        predicates: 0,
        depth: 0,
        nodes: 0,
    };
    let node = parser.sequence()?;
    match parser.next() {
        Token::End => {}
        token => return Err(unexpected(&token)),
    }
    if depth(&node) > MAX_DEPTH {
        return Err("expression is nested too deeply".to_owned());
    }
    Ok(node)
}

struct Parser {
    /// The next token is the last.
    tokens: Vec<Token>,
    /// How many predicates are open.
    predicates: usize,
    depth: usize,
    nodes: usize,
}

const NONE: Token = Token::End;

fn unexpected(token: &Token) -> String {
    format!("unexpected token {token}")
}

/// Precedence of an operator between operands, and the name of it in the tree.
fn binary(operator: &str) -> Option<(u32, &'static str)> {
    Some(match operator {
        "|" => (0, "|"),
        "or" | "||" => (10, "||"),
        "and" | "&&" => (15, "&&"),
        "==" => (20, "=="),
        "!=" => (20, "!="),
        "<" => (20, "<"),
        ">" => (20, ">"),
        ">=" => (20, ">="),
        "<=" => (20, "<="),
        "in" => (20, "in"),
        "matches" => (20, "matches"),
        "contains" => (20, "contains"),
        "startsWith" => (20, "startsWith"),
        "endsWith" => (20, "endsWith"),
        ".." => (25, ".."),
        "+" => (30, "+"),
        "-" => (30, "-"),
        "*" => (60, "*"),
        "/" => (60, "/"),
        "%" => (60, "%"),
        "**" | "^" => (100, "**"),
        "??" => (500, "??"),
        _ => return None,
    })
}

fn can_be_negated(operator: &str) -> bool {
    matches!(
        operator,
        "in" | "matches" | "contains" | "startsWith" | "endsWith"
    )
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.last().unwrap_or(&NONE)
    }

    fn peek_second(&self) -> &Token {
        self.tokens.iter().rev().nth(1).unwrap_or(&NONE)
    }

    fn next(&mut self) -> Token {
        match self.tokens.len() {
            0 | 1 => Token::End,
            _ => self.tokens.pop().unwrap_or(NONE),
        }
    }

    fn at_operator(&self, operator: &str) -> bool {
        self.peek().is_operator(operator)
    }

    fn take_operator(&mut self, operator: &str) -> bool {
        let found = self.at_operator(operator);
        if found {
            self.next();
        }
        found
    }

    fn expect_operator(&mut self, operator: &str) -> Result<(), String> {
        if self.take_operator(operator) {
            Ok(())
        } else {
            Err(unexpected(self.peek()))
        }
    }

    fn take_bracket(&mut self, bracket: char) -> bool {
        let found = self.peek().is_bracket(bracket);
        if found {
            self.next();
        }
        found
    }

    fn expect_bracket(&mut self, bracket: char) -> Result<(), String> {
        if self.take_bracket(bracket) {
            Ok(())
        } else {
            Err(unexpected(self.peek()))
        }
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => Err(unexpected(&other)),
        }
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.expression(0)?];
        while self.take_operator(";") {
            if *self.peek() == Token::End {
                break;
            }
            nodes.push(self.expression(0)?);
        }
        Ok(match (nodes.pop(), nodes.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                nodes.extend(last);
                Node::Sequence(nodes)
            }
        })
    }

    fn expression(&mut self, precedence: u32) -> Result<Node, String> {
        self.depth += 1;
        self.nodes += 1;
        if self.depth > MAX_RECURSION {
            return Err("expression is nested too deeply".to_owned());
        }
        if self.nodes > MAX_NODES {
            return Err("expression is too long".to_owned());
        }
        let node = self.expression_within(precedence);
        self.depth -= 1;
        node
    }

    fn expression_within(&mut self, precedence: u32) -> Result<Node, String> {
        if precedence == 0 && self.take_operator("let") {
            return self.variable();
        }
        if precedence == 0 && self.take_operator("if") {
            return self.conditional_if();
        }
        let mut left = self.primary()?;
        let mut coalesced = false;
        loop {
            let negated = self.at_operator("not");
            let token = if negated {
                self.peek_second()
            } else {
                self.peek()
            };
            let Token::Operator(operator) = token else {
                if negated {
                    self.next();
                    return Err(unexpected(self.peek()));
                }
                break;
            };
            if negated && !can_be_negated(operator) {
                self.next();
                return Err(unexpected(self.peek()));
            }
            let Some((found, operator)) =
                binary(operator).filter(|(found, _)| *found >= precedence)
            else {
                break;
            };
            if negated {
                self.next();
            }
            if coalesced && operator != "??" && operator != "|" {
                return Err(format!(
                    "Operator ({operator}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses."
                ));
            }
            self.next();
            coalesced = operator == "??";
            left = match operator {
                "|" => {
                    let name = self.name()?;
                    self.call(name, Some(left))?
                }
                "<" | ">" | "<=" | ">=" => self.comparison(left, operator, found)?,
                _ => {
                    let right =
                        self.expression(if operator == "**" { found } else { found + 1 })?;
                    let node = Node::Binary(operator, Box::new(left), Box::new(right));
                    if negated {
                        Node::Unary("not", Box::new(node))
                    } else {
                        node
                    }
                }
            };
        }
        if precedence == 0 {
            self.ternary(left)
        } else {
            Ok(left)
        }
    }

    /// `1 < a < 3` means both. What stands between is a variable, so that it is there once.
    fn comparison(
        &mut self,
        left: Node,
        operator: &'static str,
        precedence: u32,
    ) -> Result<Node, String> {
        let mut right = self.expression(precedence + 1)?;
        let mut between = Vec::new();
        let mut comparisons: Vec<Node> = Vec::new();
        let (mut left, mut operator) = (left, operator);
        loop {
            let next = match self.peek() {
                Token::Operator(operator) => binary(operator).map(|(_, operator)| operator),
                _ => None,
            };
            let Some(next @ ("<" | ">" | "<=" | ">=")) = next else {
                break;
            };
            self.next();
            let name = self.unnamed();
            let middle = Node::Name(name.clone());
            comparisons.push(Node::Binary(
                operator,
                Box::new(left),
                Box::new(middle.clone()),
            ));
            between.push((name, right));
            (left, operator) = (middle, next);
            right = self.expression(precedence + 1)?;
        }
        let last = Node::Binary(operator, Box::new(left), Box::new(right));
        comparisons.push(last);
        let both = comparisons
            .into_iter()
            .reduce(|left, right| Node::Binary("&&", Box::new(left), Box::new(right)));
        let bound = between.into_iter().rev();
        Ok(
            bound.fold(both.unwrap_or(Node::Nil), |body, (name, value)| {
                Node::Let(name, Box::new(value), Box::new(body))
            }),
        )
    }

    /// A variable that no text can name.
    fn unnamed(&mut self) -> String {
        self.nodes += 1;
        format!("?{}", self.nodes)
    }

    fn variable(&mut self) -> Result<Node, String> {
        let name = self.name()?;
        self.expect_operator("=")?;
        let value = self.expression(0)?;
        self.expect_operator(";")?;
        let body = self.sequence()?;
        Ok(Node::Let(name, Box::new(value), Box::new(body)))
    }

    fn conditional_if(&mut self) -> Result<Node, String> {
        let condition = self.expression(0)?;
        let then = self.block()?;
        self.expect_operator("else")?;
        let other = if self.at_operator("if") {
            self.expression(0)?
        } else {
            self.block()?
        };
        Ok(Node::Conditional(
            Box::new(condition),
            Box::new(then),
            Box::new(other),
        ))
    }

    fn block(&mut self) -> Result<Node, String> {
        self.expect_bracket('{')?;
        let node = self.sequence()?;
        self.expect_bracket('}')?;
        Ok(node)
    }

    fn ternary(&mut self, mut node: Node) -> Result<Node, String> {
        while self.take_operator("?") {
            if self.take_operator(":") {
                // `a ?: b` is `a ? a : b`, with one `a`.
                let name = self.unnamed();
                let same = || Box::new(Node::Name(name.clone()));
                let other = Box::new(self.expression(0)?);
                let choice = Node::Conditional(same(), same(), other);
                node = Node::Let(name, Box::new(node), Box::new(choice));
                continue;
            }
            let then = self.expression(0)?;
            self.expect_operator(":")?;
            let other = self.expression(0)?;
            node = Node::Conditional(Box::new(node), Box::new(then), Box::new(other));
        }
        Ok(node)
    }

    fn primary(&mut self) -> Result<Node, String> {
        let unary = match self.peek() {
            Token::Operator(operator) => match operator.as_str() {
                "not" => Some(("not", 50)),
                "!" => Some(("!", 50)),
                "-" => Some(("-", 90)),
                "+" => Some(("+", 90)),
                _ => None,
            },
            _ => None,
        };
        if let Some((operator, precedence)) = unary {
            self.next();
            let node = Node::Unary(operator, Box::new(self.expression(precedence)?));
            return self.postfix(node);
        }
        if self.take_bracket('(') {
            let node = self.sequence()?;
            self.expect_bracket(')')?;
            return self.postfix(node);
        }
        if self.predicates > 0 && self.take_operator("#") {
            let name = match self.peek() {
                Token::Name(_) => self.name()?,
                _ => String::new(),
            };
            return self.postfix(Node::Pointer(name));
        }
        // `.name` is a member of what the predicate is about.
        if self.predicates > 0 && self.at_operator(".") {
            return self.postfix(Node::Pointer(String::new()));
        }
        if self.take_operator("::") {
            let name = self.name()?;
            let node = self.call(name, None)?;
            return self.postfix(node);
        }
        let node = self.operand()?;
        match node {
            Node::Bool(_) | Node::Nil | Node::Integer(_) | Node::Float(_) => Ok(node),
            other => self.postfix(other),
        }
    }

    fn operand(&mut self) -> Result<Node, String> {
        match self.next() {
            Token::Name(name) => match name.as_str() {
                "true" => Ok(Node::Bool(true)),
                "false" => Ok(Node::Bool(false)),
                "nil" => Ok(Node::Nil),
                _ if self.peek().is_bracket('(') => self.call(name, None),
                _ => Ok(Node::Name(name)),
            },
            Token::Number(text) => number(&text),
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Bytes(bytes) => Ok(Node::Bytes(bytes)),
            Token::Bracket('[') => self.list(']').map(Node::List),
            Token::Bracket('{') => self.map(),
            other => Err(unexpected(&other)),
        }
    }

    /// Expressions up to a bracket; a comma may follow the last.
    fn list(&mut self, end: char) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        while !self.take_bracket(end) {
            if !nodes.is_empty() {
                self.expect_operator(",")?;
                if self.take_bracket(end) {
                    break;
                }
            }
            nodes.push(self.expression(0)?);
        }
        Ok(nodes)
    }

    fn map(&mut self) -> Result<Node, String> {
        let mut pairs = Vec::new();
        while !self.take_bracket('}') {
            if !pairs.is_empty() {
                self.expect_operator(",")?;
                if self.take_bracket('}') {
                    break;
                }
            }
            let key = match self.peek() {
                Token::Bracket('(') => self.expression(0)?,
                _ => match self.next() {
                    Token::Name(text) | Token::Number(text) | Token::Text(text) => Node::Text(text),
                    other => {
                        return Err(format!(
                            "a map key must be a quoted string, a number, a identifier, or an expression enclosed in \
                             parentheses (unexpected token {other})"
                        ));
                    }
                },
            };
            self.expect_operator(":")?;
            pairs.push((key, self.expression(0)?));
        }
        Ok(Node::Map(pairs))
    }

    fn call(&mut self, name: String, piped: Option<Node>) -> Result<Node, String> {
        self.expect_bracket('(')?;
        let Some(shape) = predicate(&name) else {
            let mut arguments: Vec<Node> = piped.into_iter().collect();
            arguments.extend(self.list(')')?);
            return Ok(Node::Call(name, arguments));
        };
        let least = 2 - usize::from(shape.optional);
        let mut arguments: Vec<Node> = piped.into_iter().collect();
        let piped = arguments.len();
        for position in piped..2 + usize::from(shape.more) {
            if self.peek().is_bracket(')') {
                if position < least {
                    return Err(format!(
                        "expected at least {} arguments",
                        2 + usize::from(shape.more) - piped
                    ));
                }
                break;
            }
            if position > piped {
                self.expect_operator(",")?;
                if self.peek().is_bracket(')') && position >= least {
                    break;
                }
            }
            arguments.push(if position == 1 {
                self.predicate()?
            } else {
                self.expression(0)?
            });
        }
        self.take_operator(",");
        self.expect_bracket(')')?;
        Ok(Node::Call(name, arguments))
    }

    fn predicate(&mut self) -> Result<Node, String> {
        self.predicates += 1;
        let node = if self.peek().is_bracket('{') {
            self.block()?
        } else {
            let node = self.expression(0)?;
            if self.at_operator(";") {
                return Err("wrap predicate with brackets { and }".to_owned());
            }
            node
        };
        self.predicates -= 1;
        Ok(Node::Predicate(Box::new(node)))
    }

    fn postfix(&mut self, mut node: Node) -> Result<Node, String> {
        loop {
            let optional = self.at_operator("?.");
            if optional || self.at_operator(".") {
                self.next();
                if optional && self.peek().is_bracket('[') {
                    self.next();
                    node = self.index(node, true)?;
                    continue;
                }
                let name = match self.next() {
                    Token::Name(name) => name,
                    // A word that is an operator elsewhere is a name here.
                    Token::Operator(word) if word.starts_with(char::is_alphabetic) => word,
                    Token::End => return Err("unexpected end of expression".to_owned()),
                    _ => return Err("expected name".to_owned()),
                };
                node = if self.take_bracket('(') {
                    let arguments = self.list(')')?;
                    Node::Method(Box::new(node), name, arguments)
                } else {
                    member(node, Node::Text(name), optional)
                };
            } else if self.take_bracket('[') {
                node = self.index(node, false)?;
            } else {
                return Ok(node);
            }
        }
    }

    /// What follows `[`.
    fn index(&mut self, node: Node, optional: bool) -> Result<Node, String> {
        let from = if self.at_operator(":") {
            None
        } else {
            Some(self.expression(0)?)
        };
        let node = if self.take_operator(":") {
            let to = if self.peek().is_bracket(']') {
                None
            } else {
                Some(Box::new(self.expression(0)?))
            };
            Node::Slice(Box::new(node), from.map(Box::new), to)
        } else {
            match from {
                Some(key) => member(node, key, optional),
                None => return Err(unexpected(self.peek())),
            }
        };
        self.expect_bracket(']')?;
        Ok(node)
    }
}

fn member(node: Node, key: Node, optional: bool) -> Node {
    let step = Step { key, optional };
    match node {
        Node::Path(base, mut steps) => {
            steps.push(step);
            Node::Path(base, steps)
        }
        other => Node::Path(Box::new(other), vec![step]),
    }
}

fn number(text: &str) -> Result<Node, String> {
    let lower = text.to_lowercase();
    let radix = [("0x", 16, "hex"), ("0b", 2, "binary"), ("0o", 8, "octal")];
    if let Some((digits, (_, radix, name))) = radix
        .iter()
        .find_map(|radix| Some((lower.strip_prefix(radix.0)?, radix)))
    {
        return i64::from_str_radix(digits, *radix)
            .map(Node::Integer)
            .map_err(|error| {
                format!(
                    "invalid {name} literal: {}",
                    go_number("ParseInt", text, &error)
                )
            });
    }
    if lower.contains(['.', 'e']) {
        let value: f64 = lower
            .parse()
            .map_err(|_| format!("invalid float literal: {}", syntax("ParseFloat", text)))?;
        if value.is_infinite() {
            return Err(format!(
                "invalid float literal: {}",
                range("ParseFloat", text)
            ));
        }
        return Ok(Node::Float(value));
    }
    text.parse().map(Node::Integer).map_err(|error| {
        format!(
            "invalid integer literal: {}",
            go_number("ParseInt", text, &error)
        )
    })
}

fn go_number(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
            range(function, text)
        }
        _ => syntax(function, text),
    }
}

/// What Go says about a number that it cannot read.
pub(super) fn syntax(function: &str, text: &str) -> String {
    format!(
        "strconv.{function}: parsing {}: invalid syntax",
        super::super::go::quote(text)
    )
}

fn range(function: &str, text: &str) -> String {
    format!(
        "strconv.{function}: parsing {}: value out of range",
        super::super::go::quote(text)
    )
}

/// What Go says about a number that it cannot read, for an integer.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|error| go_number("ParseInt", text, &error))
}

/// How deep a tree is, and with it its evaluation. Chains of `and` and of `or` are evaluated as balanced trees.
fn depth(node: &Node) -> usize {
    let (children, levels) = match chain(node) {
        Some((_, operands)) => {
            let levels = operands.len().next_power_of_two().ilog2();
            (operands, usize::try_from(levels).unwrap_or(MAX_DEPTH))
        }
        None => (children(node), 1),
    };
    children.into_iter().map(depth).max().unwrap_or_default() + levels
}

fn children(node: &Node) -> Vec<&Node> {
    match node {
        Node::Nil
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float(_)
        | Node::Text(_)
        | Node::Bytes(_)
        | Node::Name(_)
        | Node::Pointer(_) => Vec::new(),
        Node::Unary(_, operand) | Node::Predicate(operand) => vec![operand],
        Node::Binary(_, left, right) | Node::Let(_, left, right) => vec![left, right],
        Node::Conditional(condition, then, other) => vec![condition, then, other],
        Node::Sequence(nodes) | Node::List(nodes) | Node::Call(_, nodes) => nodes.iter().collect(),
        Node::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        Node::Path(base, steps) => std::iter::once(&**base)
            .chain(steps.iter().map(|step| &step.key))
            .collect(),
        Node::Slice(base, from, to) => {
            let bounds = from.iter().chain(to).map(|bound| &**bound);
            std::iter::once(&**base).chain(bounds).collect()
        }
        Node::Method(base, _, arguments) => std::iter::once(&**base).chain(arguments).collect(),
    }
}

/// The operands of a chain of `and` or of `or`, from left to right.
pub(super) fn chain(node: &Node) -> Option<(&'static str, Vec<&Node>)> {
    let Node::Binary(operator @ ("&&" | "||"), left, right) = node else {
        return None;
    };
    let mut operands = vec![&**right];
    let mut rest = &**left;
    while let Node::Binary(same, left, right) = rest
        && same == operator
    {
        operands.push(right);
        rest = left;
    }
    operands.push(rest);
    operands.reverse();
    Some((operator, operands))
}

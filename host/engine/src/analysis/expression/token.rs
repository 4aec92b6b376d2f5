//! The words of an expression.

use std::iter::Peekable;
use std::str::Chars;

use super::super::go;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, `true`, `false` and `nil` included.
    Name(String),
    /// A number as written, without underscores.
    Number(String),
    /// A text, unescaped.
    Text(String),
    /// Bytes, unescaped.
    Bytes(Vec<u8>),
    /// An operator, or a word that is one.
    Operator(String),
    /// One of `([{}])`.
    Bracket(char),
    /// The end.
    End,
}

impl Token {
    pub(super) fn is_operator(&self, text: &str) -> bool {
        matches!(self, Self::Operator(operator) if operator == text)
    }

    pub(super) fn is_bracket(&self, bracket: char) -> bool {
        *self == Self::Bracket(bracket)
    }
}

/// As upstream's error messages name it.
impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(text) => write!(f, "Identifier({})", go::quote(text)),
            Self::Number(text) => write!(f, "Number({})", go::quote(text)),
            Self::Text(text) => write!(f, "String({})", go::quote(text)),
            Self::Bytes(bytes) => {
                write!(f, "Bytes({})", go::quote(&String::from_utf8_lossy(bytes)))
            }
            Self::Operator(text) => write!(f, "Operator({})", go::quote(text)),
            Self::Bracket(bracket) => write!(f, "Bracket(\"{bracket}\")"),
            Self::End => f.write_str("EOF"),
        }
    }
}

/// Takes a text apart. The last token is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer {
        rest: text.chars().peekable(),
        tokens: Vec::new(),
    };
    while let Some(first) = lexer.rest.next() {
        lexer.token(first)?;
    }
    lexer.tokens.push(Token::End);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn token(&mut self, first: char) -> Result<(), String> {
        let token = match first {
            ' ' | '\t' | '\r' | '\n' => return Ok(()),
            '\'' | '"' => Token::Text(self.quoted(first)?),
            '`' => Token::Text(self.raw()?),
            'b' | 'B' if matches!(self.rest.peek(), Some('\'' | '"')) => {
                let quote = self.rest.next().unwrap_or('"');
                Token::Bytes(self.bytes(quote)?)
            }
            '0'..='9' => Token::Number(self.number(first)?),
            '.' if matches!(self.rest.peek(), Some('0'..='9')) => {
                Token::Number(self.number(first)?)
            }
            '/' => match self.rest.peek() {
                Some('/') => return self.line_comment(),
                Some('*') => return self.block_comment(),
                _ => Token::Operator("/".to_owned()),
            },
            '#' => return self.pointer(),
            '(' | '[' | '{' | ')' | ']' | '}' => Token::Bracket(first),
            ',' | ';' | '%' | '+' | '-' | '^' => Token::Operator(first.to_string()),
            '|' => self.operator(first, "|"),
            ':' => self.operator(first, ":"),
            '?' => self.operator(first, ".?"),
            '.' => self.operator(first, "."),
            '&' | '!' | '=' | '*' | '<' | '>' => self.operator(first, "&=*"),
            letter if is_word(letter) => self.word(letter),
            other => {
                return Err(format!(
                    "unrecognized character: U+{:04X} '{other}'",
                    u32::from(other)
                ));
            }
        };
        self.tokens.push(token);
        Ok(())
    }

    fn operator(&mut self, first: char, seconds: &str) -> Token {
        let mut text = first.to_string();
        text.extend(self.rest.next_if(|second| seconds.contains(*second)));
        Token::Operator(text)
    }

    fn word(&mut self, first: char) -> Token {
        let mut word = first.to_string();
        while let Some(next) = self.rest.next_if(|next| is_word(*next)) {
            word.push(next);
        }
        match word.as_str() {
            "not" | "in" | "or" | "and" | "matches" | "contains" | "startsWith" | "endsWith"
            | "let" | "if" | "else" => Token::Operator(word),
            _ => Token::Name(word),
        }
    }

    /// `#`, and `#index` as `#` and a name.
    fn pointer(&mut self) -> Result<(), String> {
        self.tokens.push(Token::Operator("#".to_owned()));
        let mut word = String::new();
        while let Some(next) = self.rest.next_if(|next| is_word(*next)) {
            word.push(next);
        }
        if !word.is_empty() {
            self.tokens.push(Token::Name(word));
        }
        Ok(())
    }

    fn number(&mut self, first: char) -> Result<String, String> {
        let mut text = first.to_string();
        let radix = if first == '0' {
            self.rest.next_if(|next| "xXoObB".contains(*next))
        } else {
            None
        };
        text.extend(radix);
        let digits = if radix.is_some() { 16 } else { 10 };
        self.digits(&mut text, digits);
        let fraction = radix.is_none() && first != '.' && self.rest.peek() == Some(&'.') && {
            // `1..2` is a range.
            let mut ahead = self.rest.clone();
            ahead.next();
            ahead.peek() != Some(&'.')
        };
        if fraction {
            text.extend(self.rest.next());
            self.digits(&mut text, digits);
        }
        if radix.is_none()
            && let Some(exponent) = self.rest.next_if(|next| matches!(next, 'e' | 'E'))
        {
            text.push(exponent);
            text.extend(self.rest.next_if(|next| matches!(next, '+' | '-')));
            self.digits(&mut text, digits);
        }
        if let Some(next) = self.rest.next_if(|next| is_word(*next)) {
            text.push(next);
            return Err(format!("bad number syntax: {}", go::quote(&text)));
        }
        Ok(text.replace('_', ""))
    }

    fn digits(&mut self, text: &mut String, radix: u32) {
        while let Some(next) = self
            .rest
            .next_if(|next| next.is_digit(radix) || *next == '_')
        {
            text.push(next);
        }
    }

    fn line_comment(&mut self) -> Result<(), String> {
        while self.rest.next_if(|next| *next != '\n').is_some() {}
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), String> {
        self.rest.next();
        loop {
            match self.rest.next() {
                Some('*') if self.rest.peek() == Some(&'/') => {
                    self.rest.next();
                    return Ok(());
                }
                Some(_) => {}
                None => return Err("unclosed comment".to_owned()),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None | Some('\n') => return Err(NOT_TERMINATED.to_owned()),
                Some('\\') => text.push(self.escape(quote)?),
                Some(end) if end == quote => return Ok(text),
                Some(other) => text.push(other),
            }
        }
    }

    /// Everything between backticks; two of them are one.
    fn raw(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None => return Err(NOT_TERMINATED.to_owned()),
                Some('`') => match self.rest.next_if_eq(&'`') {
                    Some(escaped) => text.push(escaped),
                    None => return Ok(text),
                },
                Some(other) => text.push(other),
            }
        }
    }

    fn bytes(&mut self, quote: char) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4];
        loop {
            match self.rest.next() {
                None | Some('\n') => return Err(NOT_TERMINATED.to_owned()),
                Some('\\') if matches!(self.rest.peek(), Some('x' | '0'..='7')) => {
                    let code = u32::from(self.escape(quote)?);
                    bytes.push(u8::try_from(code).map_err(|_| BAD_ESCAPE.to_owned())?);
                }
                Some('\\') => bytes.extend(self.escape(quote)?.encode_utf8(&mut buffer).bytes()),
                Some(end) if end == quote => return Ok(bytes),
                Some(other) => bytes.extend(other.encode_utf8(&mut buffer).bytes()),
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<char, String> {
        let escape = self.rest.next().ok_or(BAD_ESCAPE)?;
        let code = match escape {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' => return Ok('\\'),
            same if same == quote => return Ok(quote),
            'x' => self.code(16, 2)?,
            'u' if self.rest.next_if_eq(&'{').is_some() => self.braced_code()?,
            'u' => self.code(16, 4)?,
            'U' => self.code(16, 8)?,
            octal @ '0'..='7' => octal.to_digit(8).unwrap_or_default() * 64 + self.code(8, 2)?,
            _ => return Err(BAD_ESCAPE.to_owned()),
        };
        char::from_u32(code).ok_or_else(|| BAD_ESCAPE.to_owned())
    }

    fn code(&mut self, radix: u32, digits: usize) -> Result<u32, String> {
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit = self
                .rest
                .next()
                .and_then(|digit| digit.to_digit(radix))
                .ok_or(BAD_ESCAPE)?;
            code = code.wrapping_mul(radix).wrapping_add(digit);
        }
        Ok(code)
    }

    fn braced_code(&mut self) -> Result<u32, String> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
            digits.push(digit);
        }
        let closed = self.rest.next() == Some('}');
        let code = u32::from_str_radix(&digits, 16)
            .ok()
            .filter(|_| closed && digits.len() <= 6);
        code.ok_or_else(|| BAD_ESCAPE.to_owned())
    }
}

const NOT_TERMINATED: &str = "literal not terminated";
const BAD_ESCAPE: &str = "invalid char escape";

/// What a name is made of.
fn is_word(character: char) -> bool {
    character == '_' || character == '$' || character.is_alphanumeric()
}

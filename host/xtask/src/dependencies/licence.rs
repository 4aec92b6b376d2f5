//! Evaluates a crate's licence: an SPDX expression of `AND`, `OR`, `WITH` and parentheses. Old crates write `/` for `OR`.

use std::collections::BTreeSet;

/// The allowed licences under which the crate can be used. Where it leaves a choice, every allowed one counts.
///
/// # Errors
/// Why it cannot be used, as the end of a sentence about the crate.
pub(super) fn check(
    expression: &str,
    allowed: &BTreeSet<String>,
) -> Result<BTreeSet<String>, String> {
    if expression.trim().is_empty() {
        return Err("names no licence".to_owned());
    }
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let result = any(&mut words, allowed).filter(|_| words.is_empty());
    match result {
        None => Err(format!("its licence `{expression}` is no SPDX expression")),
        Some(None) => Err(format!("its licence `{expression}` is not allowed")),
        Some(Some(licences)) => Ok(licences),
    }
}

/// `None` where the rest is no expression; inside, `None` where it is not satisfied by what is allowed.
type Evaluated = Option<Option<BTreeSet<String>>>;

/// Alternatives. `words` are in reverse: the next is the last.
fn any(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Evaluated {
    let mut result = all(words, allowed)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        result = match (result, all(words, allowed)?) {
            (Some(mut one), Some(other)) => {
                one.extend(other);
                Some(one)
            }
            (one, other) => one.or(other),
        };
    }
    Some(result)
}

/// What must be satisfied together.
fn all(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Evaluated {
    let mut result = one(words, allowed)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        result = match (result, one(words, allowed)?) {
            (Some(mut one), Some(other)) => {
                one.extend(other);
                Some(one)
            }
            _ => None,
        };
    }
    Some(result)
}

/// A licence, with its exception if it has one, or an expression in parentheses.
fn one(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Evaluated {
    let word = words
        .pop()
        .filter(|word| !matches!(*word, ")" | "OR" | "AND" | "WITH"))?;
    if word == "(" {
        let result = any(words, allowed)?;
        words.pop_if(|word| *word == ")")?;
        return Some(result);
    }
    let mut licence = word.to_owned();
    if words.pop_if(|word| *word == "WITH").is_some() {
        licence = format!("{licence} WITH {}", words.pop()?);
    }
    Some(
        allowed
            .contains(&licence)
            .then(|| BTreeSet::from([licence])),
    )
}

#[cfg(test)]
mod tests {

    fn check(expression: &str, expected: Result<&[&str], &str>) {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"];
        let allowed = allowed.map(str::to_owned).into();
        let found = super::check(expression, &allowed);
        let expected = match expected {
            Ok(licences) => Ok(licences.iter().map(ToString::to_string).collect()),
            Err(problem) => Err(problem.to_owned()),
        };
        assert_eq!(found, expected, "{expression}");
    }

    #[test]
    fn one_allowed_alternative_is_enough() {
        check("MIT", Ok(&["MIT"]));
        check("MIT OR GPL-3.0", Ok(&["MIT"]));
        check("GPL-3.0 OR MIT", Ok(&["MIT"]));
        check("MIT/Apache-2.0", Ok(&["Apache-2.0", "MIT"]));
        check("Apache-2.0 / MIT", Ok(&["Apache-2.0", "MIT"]));
        check("GPL-3.0", Err("its licence `GPL-3.0` is not allowed"));
    }

    #[test]
    fn what_is_joined_must_all_be_allowed() {
        check("MIT AND ISC", Ok(&["ISC", "MIT"]));
        check(
            "MIT AND GPL-3.0",
            Err("its licence `MIT AND GPL-3.0` is not allowed"),
        );
        check(
            "(MIT OR Apache-2.0) AND ISC",
            Ok(&["Apache-2.0", "ISC", "MIT"]),
        );
        // AND binds more tightly.
        check("MIT OR ISC AND GPL-3.0", Ok(&["MIT"]));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        check(
            "Apache-2.0 WITH LLVM-exception",
            Ok(&["Apache-2.0 WITH LLVM-exception"]),
        );
        check(
            "MIT WITH odd-exception",
            Err("its licence `MIT WITH odd-exception` is not allowed"),
        );
    }

    #[test]
    fn what_is_no_expression_is_not_taken() {
        check("", Err("names no licence"));
        for odd in [
            "MIT OR",
            "OR MIT",
            "(MIT",
            "MIT)",
            "MIT Apache-2.0",
            "MIT WITH",
            "()",
        ] {
            check(
                odd,
                Err(&format!("its licence `{odd}` is no SPDX expression")),
            );
        }
    }
}

//! Counts tests by what cargo's test runner prints.

use std::time::Duration;

/// Numbers of tests.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) passed: u32,
    failed: u32,
    ignored: u32,
    pub(super) names_of_failed: Vec<String>,
    /// Commands that failed although none of their tests did: they did not build, or a test ended the whole process.
    broken: Vec<String>,
    /// Those at the last end of a command.
    failed_before: u32,
}

impl Tally {
    /// Reads a line of the runner's.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.names_of_failed.push(name.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let (_, numbers) = result.split_once(". ").unwrap_or_default();
        for part in numbers.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let number = number.parse().unwrap_or_default();
            match what {
                "passed" => self.passed = self.passed.saturating_add(number),
                "failed" => self.failed = self.failed.saturating_add(number),
                "ignored" => self.ignored = self.ignored.saturating_add(number),
                _ => {}
            }
        }
    }

    /// Notes how a command ended.
    pub(super) fn end(&mut self, command: &str, success: bool) {
        if !success && self.failed == self.failed_before {
            self.broken.push(command.to_owned());
        }
        self.failed_before = self.failed;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.ignored = self.ignored.saturating_add(other.ignored);
        self.names_of_failed.extend(other.names_of_failed);
        self.broken.extend(other.broken);
    }

    pub(super) fn is_bad(&self) -> bool {
        self.failed > 0 || !self.broken.is_empty()
    }

    /// Its line in the table.
    pub(super) fn line(&self, level: &str, took: Duration) -> Vec<String> {
        let failed = if self.broken.is_empty() {
            self.failed.to_string()
        } else {
            "broken".to_owned()
        };
        let seconds = format!("{:.1}", took.as_secs_f64());
        vec![
            level.to_owned(),
            self.passed.to_string(),
            failed,
            self.ignored.to_string(),
            seconds,
        ]
    }

    /// What went wrong, in a sentence.
    pub(super) fn verdict(&self) -> String {
        let mut parts = Vec::new();
        match self.failed {
            0 => {}
            1 => parts.push("a test failed".to_owned()),
            failed => parts.push(format!("{failed} tests failed")),
        }
        for command in &self.broken {
            parts.push(format!("`{command}` did not end well"));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_binaries_are_added() {
        let mut tally = Tally::default();
        for line in [
            "running 2 tests",
            "test a::passes ... ok",
            "test a::fails ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 5 filtered out; finished in 0.02s",
            "test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.50s; merged doctests",
            "a test says: test result: none",
        ] {
            tally.read(line);
        }
        tally.end("cargo test", false);
        assert_eq!((tally.passed, tally.failed, tally.ignored), (41, 1, 2));
        assert_eq!(tally.names_of_failed, ["a::fails"]);
        assert!(tally.is_bad());
        assert_eq!(tally.verdict(), "a test failed");
    }

    #[test]
    fn a_command_that_fails_without_a_failed_test_is_not_forgotten() {
        let mut tally = Tally::default();
        tally.read("test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s");
        tally.end("cargo test --lib", false);
        tally.end("cargo test --doc", false);
        let mut total = Tally::default();
        total.end("cargo test", true);
        assert!(!total.is_bad());
        total.add(tally);
        assert!(total.is_bad());
        assert_eq!(
            total.verdict(),
            "2 tests failed; `cargo test --doc` did not end well"
        );
    }
}

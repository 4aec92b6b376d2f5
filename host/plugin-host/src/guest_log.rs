//! The log of one call: passed on to tracing, within a budget, and kept where it explains a trap.

use std::fmt::Write as _;

/// How urgent a line is, as in the WIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Bytes of the last error line that are kept for a message.
const KEPT: usize = 2048;
/// Bytes after which a printed line is broken.
const LONGEST_LINE: usize = 4096;

/// Collects the lines of one call.
#[derive(Debug, Default)]
pub(crate) struct GuestLog {
    plugin: String,
    subject: String,
    round: u32,
    left: usize,
    dropped: u64,
    last_error: Option<String>,
    /// What was printed to standard error: runtimes tell of a panic in several lines.
    printed: String,
    /// What was printed since the last end of a line, to standard output and to standard error.
    unfinished: [Vec<u8>; 2],
}

impl GuestLog {
    pub(crate) fn new(plugin: &str, subject: String, round: u32, budget: usize) -> Self {
        Self {
            plugin: plugin.to_owned(),
            subject,
            round,
            left: budget,
            dropped: 0,
            last_error: None,
            printed: String::new(),
            unfinished: [Vec::new(), Vec::new()],
        }
    }

    /// Takes a line.
    pub(crate) fn line(&mut self, level: Level, message: &str, fields: &[(String, String)]) {
        if level == Level::Error {
            self.last_error = Some(shortened(&printable(message, fields)));
        }
        self.pass_on(level, message, fields);
    }

    fn pass_on(&mut self, level: Level, message: &str, fields: &[(String, String)]) {
        let size = fields.iter().fold(message.len(), |size, (name, value)| {
            size.saturating_add(name.len()).saturating_add(value.len())
        });
        let Some(left) = self.left.checked_sub(size) else {
            // A line that is too long ends the budget, or short ones could still slip through in part.
            self.left = 0;
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        self.left = left;
        let text = printable(message, fields);
        let Self {
            plugin,
            subject,
            round,
            ..
        } = self;
        match level {
            Level::Trace => {
                tracing::trace!(target: "sluice::guest", plugin, subject, round, "{text}")
            }
            Level::Debug => {
                tracing::debug!(target: "sluice::guest", plugin, subject, round, "{text}")
            }
            Level::Info => {
                tracing::info!(target: "sluice::guest", plugin, subject, round, "{text}")
            }
            Level::Warn => {
                tracing::warn!(target: "sluice::guest", plugin, subject, round, "{text}")
            }
            Level::Error => {
                tracing::error!(target: "sluice::guest", plugin, subject, round, "{text}")
            }
        }
    }

    /// Takes bytes that were printed, line by line.
    #[cfg_attr(not(feature = "wasi"), expect(dead_code, reason = "only WASI prints"))]
    pub(crate) fn print(&mut self, level: Level, bytes: &[u8]) {
        let [output, errors] = &mut self.unfinished;
        let unfinished = if level == Level::Error {
            errors
        } else {
            output
        };
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' || unfinished.len() >= LONGEST_LINE {
                lines.push(String::from_utf8_lossy(&std::mem::take(unfinished)).into_owned());
            }
            if *byte != b'\n' {
                unfinished.push(*byte);
            }
        }
        for line in lines {
            self.printed_line(level, &line);
        }
    }

    /// Takes what was printed without an end of its line: the call has ended, and nothing follows any more.
    pub(crate) fn end(&mut self) {
        let [output, errors] = std::mem::take(&mut self.unfinished);
        for (level, rest) in [(Level::Info, output), (Level::Error, errors)] {
            self.printed_line(level, &String::from_utf8_lossy(&rest));
        }
    }

    fn printed_line(&mut self, level: Level, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if level == Level::Error && self.printed.len() < KEPT {
            self.printed
                .push_str(if self.printed.is_empty() { "" } else { " " });
            escape(&mut self.printed, line.trim());
        }
        self.pass_on(level, line, &[]);
    }

    /// Where a guest puts the text of its panic, shortened: the last line of level error, or what it printed to standard
    /// error.
    pub(crate) fn last_words(&self) -> Option<String> {
        let printed = || (!self.printed.is_empty()).then(|| shortened(&self.printed));
        self.last_error.clone().or_else(printed)
    }

    /// How many lines did not fit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The line with its fields behind it and no control characters: it may end in a terminal.
fn printable(message: &str, fields: &[(String, String)]) -> String {
    let mut text = String::with_capacity(message.len());
    escape(&mut text, message.trim_end());
    for (name, value) in fields {
        text.push(' ');
        escape(&mut text, name);
        text.push('=');
        escape(&mut text, value);
    }
    text
}

fn escape(text: &mut String, from: &str) {
    for letter in from.chars() {
        if letter.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}", letter.escape_default());
        } else {
            text.push(letter);
        }
    }
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(KEPT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

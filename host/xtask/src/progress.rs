//! What a task says while something takes long: one line that changes in place on a terminal, few plain lines elsewhere.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    time::{Duration, Instant},
};

/// Where lines cannot change in place, the reader hears this often that the work goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// A stage of a task. It says nothing until there is something to wait for.
pub(crate) struct Stage {
    title: String,
    in_place: bool,
    start: Instant,
    spoke: Option<Instant>,
}

impl Stage {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            in_place: stdout().is_terminal(),
            start: Instant::now(),
            spoke: None,
        }
    }

    /// Says how far it is.
    pub(crate) fn is_at(&mut self, detail: &str) {
        let due = self.spoke.is_none_or(|last| last.elapsed() >= SIGN_OF_LIFE);
        if self.in_place {
            let text = format!("{}: {detail}", self.title);
            show(&format!("\r\x1b[2K{}", fit(&text, columns())));
        } else if due {
            show(&format!("{}: {detail}\n", self.title));
        } else {
            return;
        }
        self.spoke = Some(Instant::now());
    }

    /// Ends with a line that stays.
    pub(crate) fn done(mut self, result: &str) {
        self.clear();
        let took = if self.spoke.is_some() {
            format!(" ({})", duration(self.start.elapsed()))
        } else {
            String::new()
        };
        show(&format!("{}: {result}{took}\n", self.title));
        self.spoke = None;
    }

    /// How long it has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn clear(&self) {
        if self.in_place && self.spoke.is_some() {
            show("\r\x1b[2K");
        }
    }
}

/// A stage that fails ends without a word; an error follows on a clean line.
impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}

fn show(text: &str) {
    let mut out = stdout();
    // Progress that nobody can read is no reason to end the work.
    let _nobody_reads = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Terminals that do not say how wide they are get what fits all.
fn columns() -> usize {
    let said = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok());
    said.unwrap_or(80)
}

/// The text in a line that does not wrap: a wrapped line cannot be taken back.
fn fit(text: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1);
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    kept + "…"
}

/// A length of time as people say it: `0.4 s`, `12 s`, `3 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests;

//! Makes a failing history as short as it can be while it still fails in the same way.

use std::path::Path;

use anyhow::Result;

use super::{History, Volume, play};

/// Takes events out, many at once first, then one by one. `tries` bounds how often the history is played.
pub fn shrink(history: &History, law: &str, plugins: &Path, tries: usize) -> Result<History> {
    let mut kept = history.clone();
    let mut left = tries;
    let mut size = kept.events.len().div_ceil(2).max(1);
    loop {
        let mut index = 0;
        let mut shorter = false;
        while index < kept.events.len() {
            if left == 0 {
                return Ok(kept);
            }
            left -= 1;
            let numbers = kept.numbers();
            let without: Vec<usize> = numbers
                .iter()
                .enumerate()
                .filter(|(place, _)| *place < index || *place >= index + size)
                .map(|(_, number)| *number)
                .collect();
            let candidate = kept.only(&without);
            let told = play(&candidate, plugins, Volume::Silent)?;
            if told
                .violations
                .first()
                .is_some_and(|violation| violation.law == law)
            {
                kept = candidate;
                shorter = true;
            } else {
                index += size;
            }
        }
        if size > 1 {
            size = size.div_ceil(2).min(size - 1).max(1);
        } else if !shorter {
            return Ok(kept);
        }
    }
}

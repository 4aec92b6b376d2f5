//! Makes a failing history as short as it can be while it still fails in the same way.

use std::path::Path;

use anyhow::Result;

use super::{History, Volume, play};

/// The shortest history that still breaks this law first. `tries` bounds how often it is played.
pub fn shrink(history: &History, law: &str, plugins: &Path, tries: usize) -> Result<History> {
    shrink_while(history, tries, |candidate| {
        let told = play(candidate, plugins, Volume::Silent)?;
        let first = told.violations.first();
        Ok(first.is_some_and(|violation| violation.law == law))
    })
}

/// Takes events out, many at once first, then one by one, as long as the history fails.
fn shrink_while(
    history: &History,
    tries: usize,
    mut fails: impl FnMut(&History) -> Result<bool>,
) -> Result<History> {
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
            if fails(&candidate)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of some length, and what is left of it while these of its events make it fail.
    fn left(needed: &[usize], tries: usize) -> (Vec<usize>, usize) {
        let history = (1..)
            .map(History::draw)
            .find(|it| it.events.len() >= 9)
            .unwrap();
        let mut played = 0;
        let short = shrink_while(&history, tries, |candidate| {
            played += 1;
            let numbers = candidate.numbers();
            Ok(needed.iter().all(|number| numbers.contains(number)))
        });
        (short.unwrap().numbers(), played)
    }

    #[test]
    fn only_what_makes_a_history_fail_is_left() {
        for needed in [&[][..], &[0], &[8], &[2, 5], &[0, 1, 2, 3, 4, 5, 6, 7, 8]] {
            assert_eq!(left(needed, 1000).0, needed);
        }
        let (unfinished, played) = left(&[2, 5], 3);
        assert_eq!(played, 3);
        assert!(unfinished.contains(&2) && unfinished.contains(&5));
    }
}

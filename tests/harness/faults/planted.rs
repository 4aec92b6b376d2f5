//! Shows that the net catches fish: each deliberate bug is looked for until a history finds it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use sluice_engine::planted::{self, Bug};

use super::{History, Violation, Volume, play};

/// What became of one bug.
pub struct Hunt {
    /// Which.
    pub bug: Bug,
    /// Histories that were played until one found it, and what it found; none if none did.
    pub found: Option<(u64, u64, Violation)>,
    /// Seconds of real time.
    pub seconds: f64,
}

/// Bugs whose names contain this text; `common` ones are not rare.
pub fn bugs(named: Option<&str>, common: bool) -> Vec<Bug> {
    let named = named.unwrap_or_default();
    let all = planted::ALL.iter().copied();
    all.filter(|bug| format!("{bug:?}").contains(named))
        .filter(|bug| !(common && planted::RARE.contains(bug)))
        .collect()
}

/// Plants a bug and plays histories until one finds it, at most so many. A history that breaks a law without the bug, too,
/// has not found it.
pub fn hunt(bug: Bug, first: u64, most: u64, jobs: usize, plugins: &Path) -> Result<Hunt> {
    let began = Instant::now();
    let end = first.saturating_add(most);
    let mut next = first;
    let found = loop {
        planted::plant(Some(bug));
        let found = search(next, end, jobs, plugins);
        planted::plant(None);
        let Some((seed, violation)) = found? else {
            break None;
        };
        let sound = play(&History::draw(seed), plugins, Volume::Silent)?;
        if sound.violations.is_empty() {
            break Some((seed, seed - first + 1, violation));
        }
        next = seed + 1;
    };
    Ok(Hunt {
        bug,
        found,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// The first history that breaks a law.
fn search(first: u64, end: u64, jobs: usize, plugins: &Path) -> Result<Option<(u64, Violation)>> {
    let next = AtomicU64::new(first);
    let over = AtomicBool::new(false);
    let found: Mutex<Option<(u64, Violation)>> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if over.load(Ordering::Relaxed) || seed >= end {
                return Ok(());
            }
            let told = play(&History::draw(seed), plugins, Volume::Silent)?;
            if let Some(violation) = told.violations.into_iter().next() {
                over.store(true, Ordering::Relaxed);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                if found.as_ref().is_none_or(|(other, _)| seed < *other) {
                    *found = Some((seed, violation));
                }
            }
        }
    };
    let ends: Vec<Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| match worker.join() {
            Ok(end) => end,
            Err(_) => bail!("a thread panicked"),
        });
        ends.collect()
    });
    ends.into_iter().collect::<Result<()>>()?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

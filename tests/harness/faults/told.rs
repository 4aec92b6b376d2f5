//! What came of a history: its verdict, a hash of its request log, and, if somebody wants to read it, the story.

use std::fmt::Write as _;
use std::time::Duration;

use sluice_simulation::Deed;

use super::controllers::PREFIX;
use super::court::Violation;

/// How much of a story is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// Nothing.
    Silent,
    /// What a user would see.
    Story,
    /// Every write of the controllers, too.
    Requests,
}

/// What came of a history.
#[derive(Clone, Debug)]
pub struct Told {
    volume: Volume,
    /// The story so far.
    pub text: String,
    /// Over the whole request log: the same seed has the same hash in every process.
    pub log_hash: u64,
    /// Requests.
    pub requests: u64,
    /// Virtual time.
    pub simulated: Duration,
    /// Queries to the metrics backend.
    pub queries: usize,
    /// What should not have happened.
    pub violations: Vec<Violation>,
}

impl Told {
    pub(super) fn new(volume: Volume) -> Self {
        Self {
            volume,
            text: String::new(),
            log_hash: 0xcbf2_9ce4_8422_2325,
            requests: 0,
            simulated: Duration::ZERO,
            queries: 0,
            violations: Vec::new(),
        }
    }

    pub(super) fn wants_story(&self) -> bool {
        self.volume != Volume::Silent
    }

    pub(super) fn wants_requests(&self) -> bool {
        self.volume == Volume::Requests
    }

    /// A request, and what it made of objects if it is a controller's.
    pub(super) fn hash(&mut self, deed: &Deed) {
        self.requests += 1;
        let request = &deed.request;
        let sent = request.sent.as_nanosecond().to_le_bytes();
        let time = request.at.as_nanosecond().to_le_bytes();
        let texts = [
            &sent[..],
            &time[..],
            request.client.as_bytes(),
            request.verb.as_bytes(),
            request.path.as_bytes(),
            request.outcome.as_bytes(),
        ];
        for text in texts {
            self.mix(text);
        }
        if request.client.starts_with(PREFIX) {
            for after in deed
                .changes
                .iter()
                .filter_map(|change| change.after.as_ref())
            {
                self.mix(after.to_string().as_bytes());
            }
        }
    }

    /// FNV-1a: stable between builds, unlike the standard hasher.
    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.log_hash = (self.log_hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn line_at(&mut self, since: Duration, line: &str) {
        if self.volume != Volume::Silent {
            let _ = writeln!(self.text, "{:8.3} s  {line}", since.as_secs_f64());
        }
    }
}

//! Everything random in the simulation, from one seed: name suffixes, UIDs, latencies, fault dice.
//!
//! Small and our own, so that a log made from a seed stays the same when a dependency changes its generator.

use tower::util::rng::Rng;

/// The characters that the API server uses for generated names: no vowels, nothing that can be mistaken.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A SplitMix64 generator.
#[derive(Clone, Debug)]
pub(crate) struct Seeded {
    state: u64,
}

impl Seeded {
    /// A generator whose sequence depends on the seed alone.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator of its own for one purpose, so that draws elsewhere do not shift its sequence.
    pub(crate) fn fork(seed: u64, purpose: &str) -> Self {
        // FNV-1a over the purpose: stable between builds, unlike the standard hasher.
        let hash = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self::new(seed ^ hash)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.checked_sub(low).and_then(|span| span.checked_add(1)) {
            Some(span) => low + self.next() % span,
            None => low,
        }
    }

    /// True with the given chance, in thousandths.
    pub(crate) fn chance(&mut self, per_mille: u16) -> bool {
        self.next() % 1000 < u64::from(per_mille)
    }

    /// The five characters that the API server appends to `generateName`.
    pub(crate) fn name_suffix(&mut self) -> String {
        (0..5)
            .filter_map(|_| {
                let pick = self.next() % NAME_ALPHABET.len() as u64;
                NAME_ALPHABET
                    .get(usize::try_from(pick).unwrap_or_default())
                    .map(|byte| char::from(*byte))
            })
            .collect()
    }

    /// A version 4 UUID.
    pub(crate) fn uid(&mut self) -> String {
        let high = (self.next() & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (self.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

impl Rng for Seeded {
    fn next_u64(&mut self) -> u64 {
        self.next()
    }
}

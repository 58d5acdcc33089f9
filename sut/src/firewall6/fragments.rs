//! Datagrams whose first fragment has passed, so that the others may.
//!
//! A fixed number of them, in sets of four: where a set is full, the oldest goes and the rest of
//! its datagram with it. That is the price of keeping nothing for whoever sends first fragments
//! and no more. Fragments that come before their first one are dropped, not held.

use super::flow::Ends;
use crate::table::Hash;
use crate::timer::{TICK_NS, Tick};

/// A fragmented datagram: what all its fragments have in common (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) ends: Ends,
    pub(super) id: u32,
}

impl Whole {
    /// For the hash.
    #[inline]
    pub(super) fn words(&self) -> [u64; 5] {
        let Ends { source, destination } = self.ends;
        let id = u64::from(self.id);
        [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64, id]
    }
}

#[derive(Clone, Copy)]
struct Entry {
    of: Whole,
    /// Bytes of the first fragment; zero is "no entry", since one that holds a whole header chain
    /// and is not the last has eight at least.
    len: u16,
    expiry: u16,
}

const SETS: usize = 256;
const WAYS: usize = 4;

/// Sets a sweep looks at.
const SETS_PER_SWEEP: usize = 4;

/// Reassembly gives up after 60 s (RFC 8200 §4.5); in ticks, with the one under way.
const LIFE_TICKS: u16 = (60_000_000_000 / TICK_NS) as u16 + 1;

const NONE: Entry =
    Entry { of: Whole { ends: Ends { source: 0, destination: 0 }, id: 0 }, len: 0, expiry: 0 };

pub(super) struct Fragments {
    sets: Vec<[Entry; WAYS]>,
    cursor: usize,
}

impl Fragments {
    pub(super) fn new() -> Fragments {
        Fragments { sets: vec![[NONE; WAYS]; SETS], cursor: 0 }
    }

    /// Takes note of a first fragment of `len` bytes that has passed.
    #[inline]
    pub(super) fn note(&mut self, of: Whole, hash: Hash, len: u16, now: Tick) {
        let left = |entry: &Entry| match entry.len > 0 && !now.is_past(entry.expiry) {
            true => entry.expiry.wrapping_sub(now.0),
            false => 0,
        };
        let set = &mut self.sets[set_of(hash)];
        let known = set.iter().position(|entry| entry.len > 0 && entry.of == of);
        let oldest = (0..WAYS).min_by_key(|&way| left(&set[way])).unwrap_or(0);
        let expiry = now.0.wrapping_add(LIFE_TICKS);
        set[known.unwrap_or(oldest)] = Entry { of, len, expiry };
    }

    /// Bytes of the first fragment of this datagram, if it has passed not too long ago.
    #[inline]
    pub(super) fn first_len(&self, of: &Whole, hash: Hash, now: Tick) -> Option<u16> {
        let set = &self.sets[set_of(hash)];
        let entry = set.iter().find(|entry| entry.len > 0 && entry.of == *of)?;
        (!now.is_past(entry.expiry)).then_some(entry.len)
    }

    /// Forgets what is over in the next few sets. A round must be done within two hours: then a
    /// 16-bit deadline would look as if it were still to come.
    pub(super) fn sweep(&mut self, now: Tick) {
        for _ in 0..SETS_PER_SWEEP {
            for entry in &mut self.sets[self.cursor] {
                if now.is_past(entry.expiry) {
                    *entry = NONE;
                }
            }
            self.cursor = (self.cursor + 1) % SETS;
        }
    }
}

#[inline]
fn set_of(hash: Hash) -> usize {
    usize::from(hash.tag) % SETS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(id: u32) -> Whole {
        Whole { ends: Ends { source: 1, destination: 2 }, id }
    }

    const HASH: Hash = Hash { home: 0, tag: 7 };

    #[test]
    fn a_datagram_is_known_for_sixty_seconds() {
        let mut fragments = Fragments::new();
        let start = Tick(65_500);
        fragments.note(whole(1), HASH, 1232, start);
        let at = |ticks: u16| Tick(start.0.wrapping_add(ticks));
        assert_eq!(fragments.first_len(&whole(1), HASH, at(240)), Some(1232));
        assert_eq!(fragments.first_len(&whole(2), HASH, at(0)), None);
        assert_eq!(fragments.first_len(&whole(1), HASH, at(241)), None);
        (0..SETS / SETS_PER_SWEEP).for_each(|_| fragments.sweep(at(241)));
        assert_eq!(fragments.first_len(&whole(1), HASH, at(40_000)), None);
    }

    #[test]
    fn a_full_set_forgets_its_oldest() {
        let mut fragments = Fragments::new();
        for id in 0..5 {
            fragments.note(whole(id), HASH, 8, Tick(id as u16));
        }
        let known = |id| fragments.first_len(&whole(id), HASH, Tick(5)).is_some();
        assert_eq!([0, 1, 2, 3, 4].map(known), [false, true, true, true, true]);
    }
}

//! A burst of lookups in passes, so that the misses of 32 packets overlap.

use super::{Entry, Hash, Key, Table};
use arrayvec::ArrayVec;
use dataplane::burst::BURST;

/// The records, as far as a lookup is concerned.
pub trait Keys {
    /// Whether the record in `slot` is that of `key`.
    fn matches(&self, slot: u32, key: &Key) -> bool;
    /// Asks for the cache line of the record in `slot`.
    fn prefetch(&self, slot: u32);
}

/// What is known of one packet of a burst.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup {
    /// The key's hash, to insert with where there is no entry. Look up again before: an earlier
    /// packet of the burst may have opened the same connection.
    pub hash: Hash,
    /// The connection's entry.
    pub entry: Option<Entry>,
}

impl Table {
    /// Looks up to 32 keys up; `found[i]` belongs to `keys[i]`, what was in `found` is dropped.
    ///
    /// # Panics
    /// On more than 32 keys.
    #[inline]
    pub fn find_burst(
        &self,
        keys: &[Key],
        records: &impl Keys,
        found: &mut ArrayVec<Lookup, BURST>,
    ) {
        let lines = self.lines();
        found.clear();
        for key in keys {
            let hash = self.hash(key);
            lines.prefetch(hash);
            found.push(Lookup { hash, entry: None });
        }
        // The few entries that are in their secondary bucket get a pass of their own: a miss that
        // nothing overlaps costs as much as eight that are overlapped.
        let mut elsewhere = 0u32;
        for (i, lookup) in found.iter_mut().enumerate() {
            lookup.entry = lines.peek(lookup.hash);
            match lookup.entry {
                Some(candidate) => records.prefetch(candidate.slot),
                None => elsewhere |= 1 << i,
            }
        }
        while elsewhere != 0 {
            let lookup = &mut found[elsewhere.trailing_zeros() as usize];
            elsewhere &= elsewhere - 1;
            lookup.entry = lines.peek_away(lookup.hash);
            if let Some(candidate) = lookup.entry {
                records.prefetch(candidate.slot);
            }
        }
        // Where there was no candidate there is no entry; a false one has the search done again.
        for (lookup, key) in found.iter_mut().zip(keys) {
            let false_candidate =
                lookup.entry.is_some_and(|candidate| !records.matches(candidate.slot, key));
            if false_candidate {
                lookup.entry = lines.find(lookup.hash, |slot| records.matches(slot, key));
            }
        }
    }
}

//! A burst of lookups in passes, so that the misses of 32 packets overlap.

use super::layout::{Layout, Tagged};
use super::{Cuckoo, Entry, Hash, Key, Table};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Group};

/// The records, as far as a lookup is concerned; `K` is what a record is known by.
pub trait Keys<K = Key> {
    /// Whether the record in `slot` is that of `key`.
    fn matches(&self, slot: u32, key: &K) -> bool;
    /// Asks for the cache line of the record in `slot`.
    fn prefetch(&self, slot: u32);
}

/// What a table can hash: the 5-tuple of IPv4, or any number of words.
pub trait Hashed {
    /// Its hash in `table`, which means nothing to another one.
    fn hash_in<B: Layout>(&self, table: &Cuckoo<B>) -> Hash;
}

impl Hashed for Key {
    #[inline]
    fn hash_in<B: Layout>(&self, table: &Cuckoo<B>) -> Hash {
        table.hash(self)
    }
}

impl<const N: usize> Hashed for [u64; N] {
    #[inline]
    fn hash_in<B: Layout>(&self, table: &Cuckoo<B>) -> Hash {
        table.hash_words(self)
    }
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
    pub fn find_burst<K: Hashed>(
        &self,
        keys: &[K],
        records: &impl Keys<K>,
        found: &mut ArrayVec<Lookup, BURST>,
    ) {
        self.find_burst_by(
            keys,
            |candidate| records.prefetch(candidate.slot),
            |candidate, key| records.matches(candidate.slot, key),
            found,
        );
    }
}

impl<B: Tagged> Cuckoo<B> {
    /// The passes: hash and ask for home lines; compare tags and ask for what `prefetch` knows of a
    /// candidate; the same for the few that are in their secondary bucket, in a pass of their own,
    /// for a miss that nothing overlaps costs as much as eight that are overlapped; `matches`.
    #[inline]
    pub(crate) fn find_burst_by<K: Hashed>(
        &self,
        keys: &[K],
        prefetch: impl Fn(Entry),
        matches: impl Fn(Entry, &K) -> bool,
        found: &mut ArrayVec<Lookup, BURST>,
    ) {
        let lines = self.lines();
        found.clear();
        for key in keys {
            let hash = key.hash_in(self);
            lines.prefetch(hash);
            found.push(Lookup { hash, entry: None });
        }
        let mut elsewhere = Group::default();
        for (i, lookup) in found.iter_mut().enumerate() {
            lookup.entry = lines.peek(lookup.hash);
            elsewhere.insert_if(i, lookup.entry.is_none());
            if let Some(candidate) = lookup.entry {
                prefetch(candidate);
            }
        }
        for i in elsewhere {
            let lookup = &mut found[i];
            lookup.entry = lines.peek_away(lookup.hash);
            if let Some(candidate) = lookup.entry {
                prefetch(candidate);
            }
        }
        // Where there was no candidate there is no entry; a false one has the search done again.
        for (lookup, key) in found.iter_mut().zip(keys) {
            let Some(candidate) = lookup.entry else { continue };
            lookup.entry = if matches(candidate, key) {
                Some(lines.verified(candidate))
            } else {
                lines.find(lookup.hash, |candidate| matches(candidate, key))
            };
        }
    }
}

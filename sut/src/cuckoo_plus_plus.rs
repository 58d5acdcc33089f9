//! Cuckoo++ as published (Le Scouarnec, "Cuckoo++ hash tables", ANCS 2018): the yardstick beside
//! the flow table's own layout.
//!
//! Buckets of eight. A line of metadata has eight 16-bit tags to compare at once, eight timers
//! compared beside them, and a 64-bit Bloom filter of the tags of the bucket's entries that were
//! displaced to their secondary bucket; four more lines have the entries, a 16-byte key with a
//! 16-byte value each. A lookup reads the metadata of the primary bucket, that of the secondary only
//! if the filter says so, and the line of each candidate: 40 bytes a slot, two lines a hit, one a
//! miss. Keys are in the table and so no record is needed.
//!
//! From the paper are the layout, the filter and the passes of a lookup. Ours are the hash, how the
//! second bucket follows from the first, and insertion, deletion, sweep and feed of changes, which
//! are those of [`crate::table`] over this layout: the public release's have three defects
//! (`sut/src/table/defects.rs`). Its timers make a slot 48 bytes, here they fit the metadata's line.
//! It refuses to be what the NAT uses: `docs/adr/0005-flow-table.md` compares the two.

mod bucket;

use crate::table::layout::Timed;
use crate::table::{Cuckoo, Entry, Full, Hash, Lookup};
use arrayvec::ArrayVec;
use bucket::{Bucket, Content};
use dataplane::burst::BURST;

/// A key: any 16 bytes.
pub type Words = [u64; 2];

/// A Cuckoo++ table from 16-byte keys to slots (the value's first four bytes).
pub type CuckooPlusPlus = Cuckoo<Bucket>;

impl CuckooPlusPlus {
    /// The hash of `key`; asks for the metadata of its primary bucket.
    #[inline]
    pub fn announce(&self, key: &Words) -> Hash {
        let hash = self.hash_words(key);
        self.lines().prefetch(hash);
        hash
    }

    /// Adds a key that is not in the table.
    ///
    /// # Errors
    /// [`Full`] at capacity, or where no short chain of moves frees a lane; nothing has changed.
    #[inline]
    pub fn insert(
        &mut self,
        hash: Hash,
        key: &Words,
        slot: u32,
        expiry: u16,
    ) -> Result<Entry, Full> {
        let content = Content { tag: hash.tag, expiry, key: *key, slot };
        let (bucket, lane) = self.insert_content(hash, content)?;
        Ok(Entry { bucket, lane, slot })
    }

    /// The entry of `key`, whose hash in this table is `hash`, expired or not.
    #[inline]
    pub fn find(&self, hash: Hash, key: &Words) -> Option<Entry> {
        self.lines().find(hash, |entry| self.key(entry) == key)
    }

    /// Looks up to 32 keys up; `found[i]` belongs to `keys[i]`, what was in `found` is dropped. An
    /// entry whose time is over at tick `now` counts as absent.
    ///
    /// # Panics
    /// On more than 32 keys.
    #[inline]
    pub fn find_burst(&self, keys: &[Words], now: u16, found: &mut ArrayVec<Lookup, BURST>) {
        self.find_burst_by(
            keys,
            |candidate| dataplane::cpu::prefetch(self.key(candidate)),
            |candidate, key| self.key(candidate) == key && self.is_live(candidate, now),
            found,
        );
    }

    #[inline]
    fn key(&self, entry: Entry) -> &Words {
        self.buckets[entry.bucket as usize].key(entry.lane)
    }

    #[inline]
    fn is_live(&self, entry: Entry, now: u16) -> bool {
        let expiry = self.buckets[entry.bucket as usize].expiry(entry.lane);
        now.wrapping_sub(expiry) >= 1 << 15
    }
}

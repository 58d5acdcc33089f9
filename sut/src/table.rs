//! The flow table: from a connection's hash to the `slot` of its record, one cache line a lookup.
//!
//! A bucketised cuckoo table of 64-byte buckets with seven entries each. An entry is a 16-bit tag,
//! a coarse expiry and a 32-bit slot; the record that the slot names lives outside, holds the whole
//! 5-tuple and decides whether a candidate is the connection. An entry sits in the *home* bucket of
//! its hash or, displaced, as a *guest* in the secondary one. The home bucket counts the entries it
//! has away and keeps a filter of their tags, so that a lookup touches the secondary bucket only
//! when something is likely to be there (the idea of Cuckoo++; Le Scouarnec, ANCS 2018).
//!
//! Only outbound packets come here: the destination of an inbound one *is* the slot
//! ([`crate::ports`]). The table allocates once and belongs to one core. It refuses to know keys,
//! records or clocks, to grow, and to check that a key is inserted once: the caller just looked.
//!
//! Stages for a burst, each a pass over its packets: [`Table::hash`], [`Table::prefetch`],
//! [`Table::peek`] (prefetch the record it names), [`Table::find`]. [`Table::find_burst`] runs them
//! all. `docs/adr/0005-flow-table.md` has the reasons.

mod bucket;
mod burst;
mod changes;
mod hash;
mod insert;
pub(crate) mod layout;
mod lookup;
mod place;
mod sweep;

#[cfg(test)]
mod defects;
#[cfg(test)]
mod tests;

pub use burst::{Hashed, Keys, Lookup};
pub use changes::Feed;
pub use hash::{Hash, Key};
pub use insert::Full;
pub use sweep::Verdict;

use dataplane::memory::Pages;
use hash::Secret;
use layout::{Layout, Tagged, Timed};
use lookup::Lines;
use place::Places;
use std::io;

/// The load to size for: `entries / LOAD` lanes. A tenth of the entries then live in their
/// secondary bucket (14 % after churn without sweeps); at [`LOAD_MAX`] it is a quarter (a third).
pub const LOAD: f64 = 0.8;

/// The highest load a table accepts: inserts are tested to succeed up to here.
pub const LOAD_MAX: f64 = 0.95;

/// Where a lookup found its connection.
///
/// Good until the next [`Table::insert`] or [`Table::sweep`], which may move entries, or the
/// removal of this one; where it is no longer there the calls that take it answer `false` or
/// `None`, and the caller looks up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) bucket: u32,
    pub(crate) lane: u8,
    /// Index of the connection's record.
    pub slot: u32,
}

/// The flow table: from a hash to the slot of a record kept elsewhere, seven entries a line.
pub type Table = Cuckoo<bucket::Bucket>;

/// A cuckoo table of fixed size for one core, its buckets laid out as `B`.
pub struct Cuckoo<B> {
    pub(crate) buckets: Pages<B>,
    places: Places,
    secret: Secret,
    len: usize,
    capacity: usize,
    cursor: u32,
}

impl<B: Layout> Cuckoo<B> {
    /// An empty table for `entries` connections, so many buckets that they make up `load_max` of
    /// its lanes ([`LOAD`] is the recommended value). `seed` keys the hash and must be one that
    /// nobody outside can guess, or collisions can be made on purpose.
    ///
    /// # Errors
    /// `InvalidInput` when `load_max` is not in (0, [`LOAD_MAX`]] or the table would need 2³¹
    /// buckets or more; otherwise what the kernel said when asked for the memory.
    pub fn with_capacity(entries: usize, load_max: f64, seed: u64) -> io::Result<Self> {
        if !(load_max > 0.0 && load_max <= LOAD_MAX) {
            let text = format!("flow table: load {load_max} is not in (0, {LOAD_MAX}]; use {LOAD}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let wanted = (entries as f64 / (B::LANES as f64 * load_max)).ceil();
        let places = Places::for_buckets(wanted).ok_or_else(|| {
            let text = format!("flow table: {entries} entries at load {load_max} are too many");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        Ok(Self {
            buckets: Pages::zeroed(places.buckets() as usize)?,
            places,
            secret: Secret::new(seed),
            len: 0,
            capacity: entries,
            cursor: 0,
        })
    }

    /// Connections held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no connection is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Connections the table was made for; an insert beyond them is refused.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Buckets of the table: what [`Table::sweep`] must visit for one round.
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Entries a bucket can hold.
    pub fn lanes(&self) -> usize {
        B::LANES
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.buckets.resident_bytes()
    }

    /// The hash of `key` in this table: it means nothing to another one.
    #[inline]
    pub fn hash(&self, key: &Key) -> Hash {
        self.secret.hash(key, &self.places)
    }

    /// The hash of a key that fills `words`, such as a connection of IPv6.
    #[inline]
    pub fn hash_words<const N: usize>(&self, words: &[u64; N]) -> Hash {
        self.secret.hash_words(words, &self.places)
    }

    /// Takes the entry out. `false`: it is no longer there.
    #[inline]
    pub fn remove(&mut self, entry: Entry) -> bool {
        let there = self.holds(entry);
        if there {
            self.vacate(entry.bucket, entry.lane);
        }
        there
    }

    /// Whether the entry is where it was found.
    #[inline]
    fn holds(&self, entry: Entry) -> bool {
        let bucket = &self.buckets[entry.bucket as usize];
        bucket.taken() & 1 << entry.lane != 0 && bucket.slot(entry.lane) == entry.slot
    }

    /// Empties an occupied lane. A guest's home bucket must hear of it: the bucket at hand is not
    /// the one whose count and filter speak of this entry.
    fn vacate(&mut self, bucket: u32, lane: u8) {
        let tag = self.buckets[bucket as usize].tag(lane);
        let (_, guest) = self.buckets[bucket as usize].take(lane);
        if guest {
            let home = self.places.other(bucket, tag);
            self.buckets[home as usize].note_return();
        }
        self.len -= 1;
    }
}

impl<B: Timed> Cuckoo<B> {
    /// Sets when the entry expires, storing only what changed. `false`: it is no longer there.
    #[inline]
    pub fn refresh(&mut self, entry: Entry, expiry: u16) -> bool {
        let there = self.holds(entry);
        let bucket = &mut self.buckets[entry.bucket as usize];
        if there && bucket.expiry(entry.lane) != expiry {
            bucket.set_expiry(entry.lane, expiry);
        }
        there
    }

    /// The tick at which the entry expires; `None`: it is no longer there.
    #[inline]
    pub fn expiry(&self, entry: Entry) -> Option<u16> {
        self.holds(entry).then(|| self.buckets[entry.bucket as usize].expiry(entry.lane))
    }
}

impl Table {
    /// Asks for the line of the home bucket.
    #[inline]
    pub fn prefetch(&self, hash: Hash) {
        self.lines().prefetch(hash);
    }

    /// The slot of the first candidate in the home bucket, for the caller to prefetch its record.
    /// Where there is none but the filter speaks of a guest elsewhere, asks for the line of the
    /// secondary bucket: [`Table::peek_away`] may follow.
    #[inline]
    pub fn peek(&self, hash: Hash) -> Option<u32> {
        self.lines().peek(hash).map(|entry| entry.slot)
    }

    /// The slot of the first candidate in the secondary bucket, looked for only if the filter of
    /// the home bucket, whose line must be at hand, says so.
    #[inline]
    pub fn peek_away(&self, hash: Hash) -> Option<u32> {
        self.lines().peek_away(hash).map(|entry| entry.slot)
    }

    /// The entry with this hash whose record `matches` (it is given the slot of each candidate,
    /// seldom more than one).
    #[inline]
    pub fn find(&self, hash: Hash, mut matches: impl FnMut(u32) -> bool) -> Option<Entry> {
        self.lines().find(hash, |entry| matches(entry.slot))
    }
}

impl<B: Tagged> Cuckoo<B> {
    #[inline]
    pub(crate) fn lines(&self) -> Lines<'_, B> {
        Lines { buckets: &self.buckets, places: &self.places }
    }
}

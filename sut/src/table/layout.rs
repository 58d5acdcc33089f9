//! What the cuckoo machinery needs to know of a bucket; each layout of a bucket implements it.
//!
//! Two do: [`super::bucket::Bucket`], the flow table's own line, and that of
//! [`crate::cuckoo_plus_plus`]. Insertion, removal, sweep and feed of changes are written once, over
//! these traits, so that a comparison of layouts compares nothing else and one model test holds
//! both.

use std::fmt::Debug;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A bucket of a cuckoo table: lanes with an entry or none, and what is known of the bucket's own
/// entries that are guests elsewhere. Lanes are sets of bits where several are meant.
pub trait Layout: FromBytes + IntoBytes + KnownLayout + Immutable {
    /// All that a lane holds, as it moves from one to another.
    type Content: Copy + Debug + PartialEq;

    /// Entries per bucket.
    const LANES: usize;

    /// A lane without entry.
    fn free_lane(&self) -> Option<u8>;
    /// Occupied lanes.
    fn taken(&self) -> u8;
    /// Lanes whose entry has its home elsewhere.
    fn guests(&self) -> u8;
    /// The tag of the entry in an occupied lane, which leads to its other bucket.
    fn tag(&self, lane: u8) -> u16;
    /// The slot of the entry in an occupied lane.
    fn slot(&self, lane: u8) -> u32;
    /// Fills a free lane, and marks the entry as changed.
    fn put(&mut self, lane: u8, content: Self::Content, guest: bool);
    /// Empties an occupied lane: what was in it, and whether it was a guest.
    fn take(&mut self, lane: u8) -> (Self::Content, bool);

    /// Whether an entry of this bucket with this tag may be in its secondary bucket.
    fn may_be_away(&self, tag: u16) -> bool;
    /// An entry of this bucket goes to live in its secondary one.
    fn note_departure(&mut self, tag: u16);
    /// An entry of this bucket that was away came home or ended.
    fn note_return(&mut self);
    /// The count of entries away, and how many bits of the filter are set, for tests to audit.
    #[cfg(test)]
    fn away(&self) -> (usize, u32);
}

/// A bucket with tags to compare at once.
pub trait Tagged: Layout {
    /// Lanes with this tag whose entry is at home.
    fn residents_with(&self, tag: u16) -> u8;
    /// Lanes with this tag whose entry is a guest.
    fn guests_with(&self, tag: u16) -> u8;
    /// The slot of a candidate as far as the line of the tags tells: where it is in another line,
    /// which nobody has asked for yet, 0 until the candidate is verified.
    fn candidate_slot(&self, lane: u8) -> u32;
}

/// A bucket that knows when its entries expire and which of them changed.
pub trait Timed: Layout {
    /// The tick at which the entry in a lane expires.
    fn expiry(&self, lane: u8) -> u16;
    /// Sets it, and marks the entry as changed.
    fn set_expiry(&mut self, lane: u8, expiry: u16);
    /// Occupied lanes whose expiry is at or before `now`, the nearer way round the 16-bit clock.
    fn due(&self, now: u16) -> u8;
    /// Occupied lanes whose entry was put or changed since its mark was cleared.
    fn changed(&self) -> u8;
    /// Marks every entry.
    fn mark_all(&mut self);
    /// Clears the mark of a lane.
    fn clear_changed(&mut self, lane: u8);
}

/// The lanes of a set, lowest first.
#[inline]
pub(crate) fn lanes(mut set: u8) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let lane = set.trailing_zeros() as u8;
        set &= set.wrapping_sub(1);
        (lane < 8).then_some(lane)
    })
}

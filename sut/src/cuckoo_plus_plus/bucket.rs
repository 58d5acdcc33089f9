//! A line of metadata and four of entries.

use crate::table::layout::{Layout, Tagged, Timed};
use dataplane::cpu;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const LANES: usize = 8;

/// The tag of a free lane; no hash has it.
const FREE: u16 = 0;

/// Where the count of absent entries sticks, and the filter with it.
const MANY: u8 = u8::MAX;

/// Eight entries in five lines.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct Bucket {
    tags: [u16; LANES],
    expiry: [u16; LANES],
    /// Bits of the tags of this bucket's entries that went away since it last had none away.
    filter: u64,
    /// Lanes whose entry has its home elsewhere.
    guests: u8,
    /// Lanes whose entry was put or changed since its mark was cleared.
    changed: u8,
    /// Entries of this bucket that are guests elsewhere, up to [`MANY`].
    away: u8,
    spare: [u8; 21],
    entries: [Entry; LANES],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Entry {
    key: [u64; 2],
    slot: u32,
    rest: [u32; 3],
}

const _: () = assert!(size_of::<Bucket>() == 320 && std::mem::offset_of!(Bucket, entries) == 64);

/// What an entry is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub(super) tag: u16,
    pub(super) expiry: u16,
    pub(super) key: [u64; 2],
    pub(super) slot: u32,
}

impl Bucket {
    /// The key in a lane.
    #[inline]
    pub(super) fn key(&self, lane: u8) -> &[u64; 2] {
        &self.entries[usize::from(lane)].key
    }
}

impl Layout for Bucket {
    type Content = Content;

    const LANES: usize = LANES;

    #[inline]
    fn free_lane(&self) -> Option<u8> {
        let free = !self.taken();
        (free != 0).then(|| free.trailing_zeros() as u8)
    }

    #[inline]
    fn taken(&self) -> u8 {
        !cpu::equal_lanes(&self.tags, FREE)
    }

    #[inline]
    fn guests(&self) -> u8 {
        self.guests
    }

    #[inline]
    fn tag(&self, lane: u8) -> u16 {
        self.tags[usize::from(lane)]
    }

    #[inline]
    fn slot(&self, lane: u8) -> u32 {
        self.entries[usize::from(lane)].slot
    }

    #[inline]
    fn put(&mut self, lane: u8, content: Content, guest: bool) {
        let i = usize::from(lane);
        assert!(self.tags[i] == FREE && content.tag != FREE, "cuckoo++: lane {lane} is taken");
        self.tags[i] = content.tag;
        self.expiry[i] = content.expiry;
        self.entries[i].key = content.key;
        self.entries[i].slot = content.slot;
        self.guests |= u8::from(guest) << lane;
        self.changed |= 1 << lane;
    }

    #[inline]
    fn take(&mut self, lane: u8) -> (Content, bool) {
        let i = usize::from(lane);
        assert!(self.tags[i] != FREE, "cuckoo++: lane {lane} is free");
        let Entry { key, slot, .. } = self.entries[i];
        let content = Content { tag: self.tags[i], expiry: self.expiry[i], key, slot };
        let guest = self.guests & 1 << lane != 0;
        self.tags[i] = FREE;
        self.guests &= !(1 << lane);
        self.changed &= !(1 << lane);
        (content, guest)
    }

    #[inline]
    fn may_be_away(&self, tag: u16) -> bool {
        self.filter & filter_bit(tag) != 0
    }

    #[inline]
    fn note_departure(&mut self, tag: u16) {
        self.filter |= filter_bit(tag);
        self.away = self.away.saturating_add(1);
    }

    #[inline]
    fn note_return(&mut self) {
        assert!(self.away != 0, "cuckoo++: nobody of this bucket was away");
        if self.away == MANY {
            return;
        }
        self.away -= 1;
        if self.away == 0 {
            self.filter = 0;
        }
    }

    #[cfg(test)]
    fn away(&self) -> (usize, u32) {
        (usize::from(self.away), self.filter.count_ones())
    }
}

impl Tagged for Bucket {
    #[inline]
    fn residents_with(&self, tag: u16) -> u8 {
        cpu::equal_lanes(&self.tags, tag) & !self.guests
    }

    #[inline]
    fn guests_with(&self, tag: u16) -> u8 {
        cpu::equal_lanes(&self.tags, tag) & self.guests
    }

    #[inline]
    fn candidate_slot(&self, _: u8) -> u32 {
        0
    }
}

impl Timed for Bucket {
    #[inline]
    fn expiry(&self, lane: u8) -> u16 {
        self.expiry[usize::from(lane)]
    }

    #[inline]
    fn set_expiry(&mut self, lane: u8, expiry: u16) {
        self.expiry[usize::from(lane)] = expiry;
        self.changed |= 1 << lane;
    }

    #[inline]
    fn due(&self, now: u16) -> u8 {
        let mut due = 0;
        for (lane, &expiry) in self.expiry.iter().enumerate() {
            due |= u8::from(now.wrapping_sub(expiry) < 1 << 15) << lane;
        }
        due & self.taken()
    }

    #[inline]
    fn changed(&self) -> u8 {
        self.changed
    }

    #[inline]
    fn mark_all(&mut self) {
        self.changed = self.taken();
    }

    #[inline]
    fn clear_changed(&mut self, lane: u8) {
        self.changed &= !(1 << lane);
    }
}

/// The filter bit of a tag.
#[inline]
fn filter_bit(tag: u16) -> u64 {
    1 << (tag >> 10)
}

//! One cache line of the flow table: seven entries, and what is known of those that are elsewhere.

use super::layout::{Layout, Tagged, Timed};
use dataplane::cpu;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Entries per bucket.
pub(crate) const LANES: usize = 7;

/// The tag of a free lane; no hash has it.
const FREE: u16 = 0;

/// Where the marks of changed entries are, among the tags.
const MARKS: usize = LANES;

/// All lanes that can hold an entry.
const ENTRIES: u8 = (1 << LANES) - 1;

/// Where the count of absent entries sticks, and the filter with it. A bucket that ever had so many
/// away answers "maybe" for their tags for good: slower, and never wrong.
const MANY: u8 = u8::MAX;

/// What an entry is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub(crate) tag: u16,
    pub(crate) slot: u32,
    pub(crate) expiry: u16,
}

/// Seven entries in 64 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct Bucket {
    /// The eighth is no tag, though the vector compare reads it: bit i tells that the entry in lane
    /// i was put, moved or refreshed since the feed of changes last passed it.
    tags: [u16; LANES + 1],
    slots: [u32; LANES],
    /// Bits of the tags of this bucket's entries that went away since it last had none away.
    filter: u32,
    expiry: [u16; LANES],
    /// Lanes whose entry has its home elsewhere.
    guests: u8,
    /// Entries of this bucket that are guests elsewhere, up to [`MANY`].
    away: u8,
}

const _: () = assert!(size_of::<Bucket>() == 64 && align_of::<Bucket>() == 64);

impl Layout for Bucket {
    type Content = Content;

    const LANES: usize = LANES;

    #[inline]
    fn free_lane(&self) -> Option<u8> {
        let free = !self.taken() & ENTRIES;
        (free != 0).then(|| free.trailing_zeros() as u8)
    }

    #[inline]
    fn taken(&self) -> u8 {
        !cpu::equal_lanes(&self.tags, FREE) & ENTRIES
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
        self.slots[usize::from(lane)]
    }

    #[inline]
    fn put(&mut self, lane: u8, content: Content, guest: bool) {
        let i = usize::from(lane);
        assert!(i < LANES && self.tags[i] == FREE, "flow table: lane {lane} is taken");
        assert!(content.tag != FREE, "flow table: the tag of a free lane");
        self.tags[i] = content.tag;
        self.slots[i] = content.slot;
        self.expiry[i] = content.expiry;
        self.guests |= u8::from(guest) << lane;
        self.tags[MARKS] |= 1 << lane;
    }

    #[inline]
    fn take(&mut self, lane: u8) -> (Content, bool) {
        let i = usize::from(lane);
        assert!(i < LANES && self.tags[i] != FREE, "flow table: lane {lane} is free");
        let content = Content { tag: self.tags[i], slot: self.slots[i], expiry: self.expiry[i] };
        let guest = self.guests & (1 << lane) != 0;
        self.tags[i] = FREE;
        self.guests &= !(1 << lane);
        self.tags[MARKS] &= !(1 << lane);
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

    /// One filter bit may stand for several tags, so bits go only when nobody is away.
    #[inline]
    fn note_return(&mut self) {
        assert!(self.away != 0, "flow table: nobody of this bucket was away");
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
        cpu::equal_lanes(&self.tags, tag) & !self.guests & ENTRIES
    }

    #[inline]
    fn guests_with(&self, tag: u16) -> u8 {
        cpu::equal_lanes(&self.tags, tag) & self.guests
    }

    #[inline]
    fn candidate_slot(&self, lane: u8) -> u32 {
        self.slot(lane)
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
        self.tags[MARKS] |= 1 << lane;
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
        self.tags[MARKS] as u8
    }

    #[inline]
    fn mark_all(&mut self) {
        self.tags[MARKS] = u16::from(self.taken());
    }

    #[inline]
    fn clear_changed(&mut self, lane: u8) {
        self.tags[MARKS] &= !(1 << lane);
    }
}

/// The filter bit of a tag.
#[inline]
fn filter_bit(tag: u16) -> u32 {
    1 << (tag >> 11)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    const TAG: u16 = 7;

    proptest! {
        #[test]
        fn due_is_the_signed_distance_to_now(now: u16, expiry: [u16; LANES], taken in 0u8..128) {
            let mut bucket = Bucket::new_zeroed();
            let mut wanted = 0;
            for lane in (0..LANES as u8).filter(|lane| taken & (1 << lane) != 0) {
                let expiry = expiry[usize::from(lane)];
                bucket.put(lane, Content { tag: TAG, slot: 0, expiry }, false);
                wanted |= u8::from((now.wrapping_sub(expiry) as i16) >= 0) << lane;
            }
            prop_assert_eq!(bucket.due(now), wanted);
        }
    }

    #[test]
    fn the_filter_forgets_when_the_last_one_is_back() {
        let mut bucket = Bucket::new_zeroed();
        bucket.note_departure(TAG);
        bucket.note_departure(TAG);
        bucket.note_return();
        assert!(bucket.may_be_away(TAG), "one of two is still away");
        bucket.note_return();
        assert!(!bucket.may_be_away(TAG));
    }

    #[test]
    fn a_count_that_overflowed_never_lets_the_filter_go() {
        let mut bucket = Bucket::new_zeroed();
        for _ in 0..300 {
            bucket.note_departure(TAG);
        }
        for _ in 0..299 {
            bucket.note_return();
        }
        assert!(bucket.may_be_away(TAG), "one is still away");
    }

    #[test]
    fn the_marks_of_changes_are_nobodys_tag() {
        let mut bucket = Bucket::new_zeroed();
        let marks = 1 << 2 | 1 << 5;
        bucket.put(2, Content { tag: TAG, slot: 9, expiry: 0 }, false);
        bucket.put(5, Content { tag: TAG, slot: 9, expiry: 0 }, true);
        assert_eq!(bucket.changed(), marks);
        assert_eq!(bucket.residents_with(u16::from(marks)), 0);
        assert_eq!(bucket.guests_with(u16::from(marks)), 0);
        bucket.clear_changed(2);
        bucket.take(5);
        assert_eq!((bucket.changed(), bucket.taken()), (0, 1 << 2));
        bucket.set_expiry(2, 7);
        assert_eq!(bucket.changed(), 1 << 2);
    }

    #[test]
    fn residents_and_guests_of_one_tag_are_told_apart() {
        let mut bucket = Bucket::new_zeroed();
        let content = Content { tag: TAG, slot: 9, expiry: 0 };
        bucket.put(2, content, false);
        bucket.put(5, content, true);
        assert_eq!((bucket.residents_with(TAG), bucket.guests_with(TAG)), (1 << 2, 1 << 5));
        assert_eq!(bucket.take(5), (content, true));
        assert_eq!((bucket.residents_with(TAG), bucket.guests_with(TAG)), (1 << 2, 0));
    }
}

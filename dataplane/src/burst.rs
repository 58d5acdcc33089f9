//! Packets travel in bursts of up to 32: enough to hide the latency of one cache miss behind the
//! others, few enough to stay in the first-level cache.

use arrayvec::ArrayVec;

/// Largest number of frames one call receives or sends.
pub const BURST: usize = 32;

/// Frames in flight between two stages of one core, in order of arrival.
pub type Burst<F> = ArrayVec<F, BURST>;

/// Some packets of a burst, by their place in it. Working on a burst group by group, where the
/// groups are random, saves the mispredicted branches of working on it packet by packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group(u32);

const _: () = assert!(BURST == u32::BITS as usize);

impl Group {
    /// The first `count` packets, up to [`BURST`].
    #[inline]
    pub fn first(count: usize) -> Group {
        Group(((1u64 << count) - 1) as u32)
    }

    /// Adds the packet in place `index`, below [`BURST`], if it is a `member`.
    #[inline]
    pub fn insert_if(&mut self, index: usize, member: bool) {
        self.0 |= u32::from(member) << index;
    }

    /// Its packets that are not in `other`.
    #[inline]
    #[must_use]
    pub fn without(self, other: Group) -> Group {
        Group(self.0 & !other.0)
    }

    /// Whether it has no packets.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the packet in place `index`, below [`BURST`], belongs to it.
    #[inline]
    pub fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    /// Whether it is the first `count` packets, up to [`BURST`].
    #[inline]
    pub fn is_all_of(self, count: usize) -> bool {
        self == Group::first(count)
    }

    /// Takes out the packet in place `index`.
    #[inline]
    pub fn remove(&mut self, index: usize) {
        self.0 &= !(1 << index);
    }
}

impl IntoIterator for Group {
    type Item = usize;
    type IntoIter = Places;
    #[inline]
    fn into_iter(self) -> Places {
        Places(self.0)
    }
}

/// Places of the packets of a [`Group`], in order.
#[derive(Clone, Debug)]
pub struct Places(u32);

impl Iterator for Places {
    type Item = usize;
    #[inline]
    fn next(&mut self) -> Option<usize> {
        let lowest = (self.0 != 0).then(|| self.0.trailing_zeros() as usize);
        self.0 &= self.0.wrapping_sub(1);
        lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_names_its_packets_in_order() {
        let mut group = Group::default();
        for index in [31, 0, 7, 8] {
            group.insert_if(index, true);
        }
        group.insert_if(9, false);
        group.remove(8);
        assert_eq!(group.into_iter().collect::<Vec<_>>(), [0, 7, 31]);
        assert!(group.has(31) && group.has(0) && !group.has(8) && !group.is_all_of(32));
        assert!(Group::first(32).is_all_of(32) && Group::default().is_all_of(0));
        assert_eq!(Group::default().into_iter().next(), None);
        assert_eq!(Group::first(9).without(group), {
            let mut rest = Group::first(7);
            rest.insert_if(8, true);
            rest.remove(0);
            rest
        });
        assert_eq!(Group::first(3).into_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(Group::first(BURST).into_iter().count(), BURST);
    }
}

//! The order in which a burst is worked on: one protocol and direction after the other.
//!
//! Protocol and direction of a packet are drawn at random, so every branch on them is mispredicted
//! half of the time. Within a group it is not. Only the order of the work changes: packets keep
//! their place in the burst, so the traffic stays as random as it was, for the system under test
//! too. Packets of one stream are of one group and keep their order.

/// Protocol and direction of up to 32 packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Classes {
    /// A bit per packet, rotated to the right by one for each: see [`Classes::push`].
    udp: u32,
    down: u32,
    count: u32,
}

impl Classes {
    /// How many packets have been noted.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Notes the next packet of the burst. The bits turn instead of being moved into their place,
    /// which takes an instruction less each.
    #[inline]
    pub(super) fn push(&mut self, udp: bool, down: bool) {
        self.udp = (self.udp | u32::from(udp)).rotate_right(1);
        self.down = (self.down | u32::from(down)).rotate_right(1);
        self.count += 1;
    }

    /// Indices of the packets of each group, as bits: UDP up, UDP down, TCP up, TCP down.
    #[inline]
    pub(super) fn split(self) -> [u32; 4] {
        let all = ((1u64 << self.count) - 1) as u32;
        let (udp, down) = (self.udp.rotate_left(self.count), self.down.rotate_left(self.count));
        [all & udp & !down, udp & down, all & !udp & !down, !udp & down]
    }
}

/// Takes the bits that are set, from the lowest; yields their positions.
#[inline]
pub(super) fn ones(bits: &mut u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (*bits != 0).then(|| bits.trailing_zeros() as usize);
        *bits &= bits.wrapping_sub(1);
        lowest
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_are_a_stable_sort(burst in prop::collection::vec(any::<(bool, bool)>(), 0..=32)) {
            let mut classes = Classes::default();
            burst.iter().for_each(|&(udp, down)| classes.push(udp, down));
            let mut sorted: Vec<usize> = (0..burst.len()).collect();
            sorted.sort_by_key(|&i| (!burst[i].0, burst[i].1));
            prop_assert_eq!(classes.split().into_iter().flat_map(|mut group| ones(&mut group).collect::<Vec<_>>()).collect::<Vec<_>>(), sorted);
        }
    }
}

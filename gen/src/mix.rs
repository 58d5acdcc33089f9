//! Which size a packet has: a repeating sequence of frame sizes (an RFC 6985 genome, expanded).
//!
//! Sizes are Ethernet frame sizes with the 4-byte frame check sequence, as everybody publishes
//! them; buffers are 4 bytes shorter. Each core starts at its own place in the sequence.

use dataplane::burst::BURST;
use dataplane::frame::{FCS, SHORTEST};

/// Walks a repeating sequence of buffer lengths.
#[derive(Clone, Debug)]
pub struct Mix {
    /// The sequence, and its beginning again for as long as a burst: no walk of one turns around.
    lengths: Box<[u16]>,
    period: usize,
    next: usize,
    /// Whether a length occurs, by length: few of its lines are ever touched.
    known: Box<[bool; 1 << 16]>,
}

impl Mix {
    /// A walk over `sizes` (with frame check sequence) that starts at an offset drawn from `seed`.
    ///
    /// # Panics
    /// If `sizes` is empty or holds one below 64; `Config::validate` refuses both.
    pub fn new(sizes: &[u16], seed: u64) -> Mix {
        assert!(!sizes.is_empty(), "a size sequence has at least one size");
        let endless = sizes.iter().cycle().map(|size| size - FCS as u16);
        let lengths: Box<[u16]> = endless.take(sizes.len() + BURST).collect();
        assert!(lengths.iter().all(|&length| usize::from(length) >= SHORTEST));
        let mut known = Box::new([false; 1 << 16]);
        // Control packets are of the shortest length, whatever the data.
        for &length in lengths.iter().chain([&(SHORTEST as u16)]) {
            known[usize::from(length)] = true;
        }
        let next = ((u128::from(seed) * sizes.len() as u128) >> 64) as usize;
        Mix { lengths, period: sizes.len(), next, known }
    }

    /// Lengths in bytes of the buffers of the next `count` frames, at most a burst; what stands
    /// behind them will be the beginning of the next walk.
    #[inline]
    pub fn next_lengths(&mut self, count: usize) -> [u16; BURST] {
        let lengths = self.lengths[self.next..].first_chunk();
        self.next = (self.next + count) % self.period;
        *lengths.expect("a burst follows every place of the sequence")
    }

    /// Whether frames of this buffer length are sent at all.
    #[inline]
    pub fn is_known(&self, length: u16) -> bool {
        self.known[usize::from(length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_repeats_from_a_seeded_offset() {
        let sizes = [64, 64, 570, 1518];
        let mut mix = Mix::new(&sizes, u64::MAX / 4 * 3 + 3);
        let walk: Vec<u16> =
            [1, 2, 6].iter().flat_map(|&n| mix.next_lengths(n)[..n].to_vec()).collect();
        assert_eq!(walk, [1514, 60, 60, 566, 1514, 60, 60, 566, 1514]);
        let whole = mix.next_lengths(BURST);
        assert_eq!(whole[..4], [60, 60, 566, 1514]);
        assert_eq!(mix.next_lengths(BURST), whole);
    }

    #[test]
    fn only_lengths_of_the_sequence_are_known() {
        let mix = Mix::new(&[570, 1518], 0);
        let known: Vec<u16> = (0..=u16::MAX).filter(|&length| mix.is_known(length)).collect();
        assert_eq!(known, [60, 566, 1514]);
    }
}

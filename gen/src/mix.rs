//! Which size a packet has: a repeating sequence of frame sizes (an RFC 6985 genome, expanded).
//!
//! Sizes are Ethernet frame sizes with the 4-byte frame check sequence, as everybody publishes
//! them; buffers are 4 bytes shorter. Each core starts at its own place in the sequence.

use dataplane::frame::{FCS, SHORTEST};

/// Walks a repeating sequence of buffer lengths.
#[derive(Clone, Debug)]
pub struct Mix {
    lengths: Box<[u16]>,
    next: usize,
    /// One bit per length that occurs.
    known: Box<[u64]>,
}

impl Mix {
    /// A walk over `sizes` (with frame check sequence) that starts at an offset drawn from `seed`.
    ///
    /// # Panics
    /// If `sizes` is empty or holds one below 64; `Config::validate` refuses both.
    pub fn new(sizes: &[u16], seed: u64) -> Mix {
        assert!(!sizes.is_empty(), "a size sequence has at least one size");
        let lengths: Box<[u16]> = sizes.iter().map(|size| size - FCS as u16).collect();
        assert!(lengths.iter().all(|&length| usize::from(length) >= SHORTEST));
        let mut known = vec![0; (usize::from(u16::MAX) + 1) / 64].into_boxed_slice();
        // Control packets are of the shortest length, whatever the data.
        for &length in lengths.iter().chain([&(SHORTEST as u16)]) {
            known[usize::from(length) / 64] |= 1u64 << (length % 64);
        }
        let next = ((u128::from(seed) * lengths.len() as u128) >> 64) as usize;
        Mix { lengths, next, known }
    }

    /// Length of the next frame's buffer in bytes.
    #[inline]
    pub fn next_length(&mut self) -> u16 {
        let length = self.lengths[self.next];
        self.next = if self.next + 1 == self.lengths.len() { 0 } else { self.next + 1 };
        length
    }

    /// Whether frames of this buffer length are sent at all.
    #[inline]
    pub fn is_known(&self, length: u16) -> bool {
        self.known[usize::from(length) / 64] & (1u64 << (length % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_repeats_from_a_seeded_offset() {
        let sizes = [64, 64, 570, 1518];
        let mut mix = Mix::new(&sizes, u64::MAX / 4 * 3 + 3);
        let walk: Vec<u16> = (0..9).map(|_| mix.next_length()).collect();
        assert_eq!(walk, [1514, 60, 60, 566, 1514, 60, 60, 566, 1514]);
    }

    #[test]
    fn only_lengths_of_the_sequence_are_known() {
        let mix = Mix::new(&[570, 1518], 0);
        let known: Vec<u16> = (0..=u16::MAX).filter(|&length| mix.is_known(length)).collect();
        assert_eq!(known, [60, 566, 1514]);
    }
}

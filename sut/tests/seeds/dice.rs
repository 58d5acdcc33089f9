//! What a seed decides: every choice of a world is thrown from one pair of dice, in order.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::Range;

pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Evenly from a range that is not empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.0.next_u64() % (range.end - range.start)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.within(0..end as u64) as usize
    }

    pub(crate) fn permille(&mut self, share: u32) -> bool {
        self.within(0..1000) < u64::from(share)
    }

    /// From 1 to `most`, small numbers as likely as large ones.
    pub(crate) fn spread(&mut self, most: u64) -> u64 {
        let bits = u64::from(64 - most.leading_zeros());
        let scale = 1 << self.within(0..bits);
        (scale + self.within(0..scale)).min(most)
    }
}

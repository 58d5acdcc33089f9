//! Random keys that can be made again from their number, so that none need be stored.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

/// A key.
pub(crate) type Words = [u64; 2];

/// Numbers from here on are in no table.
const ABSENT: u64 = 1 << 40;

/// The key with this number.
pub(crate) fn key(number: u64) -> Words {
    let mut words = SplitMix64::seed_from_u64(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    [words.next_u64(), words.next_u64()]
}

/// Keys of the first `entries` numbers in random order, some of them twice.
pub(crate) fn present(count: usize, entries: u32, seed: u64) -> Vec<Words> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let number = |bits: u64| ((u128::from(bits) * u128::from(entries)) >> 64) as u64;
    (0..count).map(|_| key(number(random.next_u64()))).collect()
}

/// Keys that were never inserted.
pub(crate) fn absent(count: usize, seed: u64) -> Vec<Words> {
    let first = ABSENT + seed * count as u64;
    (first..first + count as u64).map(key).collect()
}

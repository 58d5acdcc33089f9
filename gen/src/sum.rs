//! Ones' complement sums of header fields (RFC 1071), in as few instructions as a packet affords.
//!
//! 2¹⁶, 2³² and 2⁶⁴ all leave 1 modulo 65,535. So words of any width may be added as they are,
//! provided that they begin at an even byte and that a carry out of 64 bits is added again. Sums
//! here are over fields that are in registers anyway, in one byte order for all of a sum; bytes of
//! unknown content are summed by [`dataplane::wire::checksum`].

/// Adds 64 bits of the frame.
#[inline]
pub(crate) fn add(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + u64::from(carry)
}

/// The sum in 16 bits, as [`dataplane::wire::checksum::fold`] gives it.
#[inline]
pub(crate) fn fold(sum: u64) -> u16 {
    // The upper half of a number added to its own rotation is upper half plus lower half plus the
    // carry of that very addition.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::wire::checksum::{self, is_intact};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_those_of_the_bytes(words in prop::collection::vec(any::<u64>(), 1..8)) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let sum = words.iter().fold(0, |sum, &word| add(sum, word));
            prop_assert_eq!(fold(sum), checksum::fold(checksum::sum(&bytes)));
            let check = !fold(sum);
            prop_assert!(is_intact(add(sum, u64::from(check))));
            prop_assert!(!is_intact(add(sum, u64::from(check ^ 1))));
        }
    }

    #[test]
    fn every_carry_is_kept() {
        assert_eq!((fold(0), fold(u64::MAX), fold(0x0002_fffe)), (0, 0xffff, 1));
        assert_eq!(add(u64::MAX, u64::MAX), u64::MAX);
    }
}

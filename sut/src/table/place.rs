//! Which two buckets a hash may live in.
//!
//! The second is computed from the first and the tag alone, and the first from the second likewise,
//! so an entry can be moved without its key or its record.

/// The geometry of one table: an even number of buckets, so that the two of a hash always differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    buckets: u32,
}

impl Places {
    /// The next even number of buckets from `wanted` up; `None` from 2³¹ on.
    pub(crate) fn for_buckets(wanted: f64) -> Option<Places> {
        let fits = wanted < f64::from(1u32 << 31);
        fits.then(|| Places { buckets: (wanted as u32).max(2).next_multiple_of(2) })
    }

    pub(crate) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The home bucket of 32 hash bits: their share of the table, by one multiplication.
    #[inline]
    pub(crate) fn home(&self, bits: u32) -> u32 {
        share(bits, self.buckets)
    }

    /// The other bucket of an entry that is in `bucket`: `g(tag) - bucket` modulo the number of
    /// buckets, an involution. `g` is odd and the modulus even, so no bucket is its own other.
    #[inline]
    pub(crate) fn other(&self, bucket: u32, tag: u16) -> u32 {
        // The golden ratio spreads the few tags over the many buckets.
        let spread = u32::from(tag).wrapping_mul(0x9e37_79b1);
        let sum = 2 * share(spread, self.buckets / 2) + 1 + self.buckets - bucket;
        if sum >= self.buckets { sum - self.buckets } else { sum }
    }
}

/// `bits / 2³²` of `whole`.
#[inline]
fn share(bits: u32, whole: u32) -> u32 {
    ((u64::from(bits) * u64::from(whole)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_other_of_the_other_is_the_first(wanted in 1u32..1 << 31, bits: u32, tag: u16) {
            let Some(places) = Places::for_buckets(f64::from(wanted)) else { return Ok(()) };
            prop_assert!(places.buckets() >= wanted && places.buckets() <= wanted.max(2) + 1);
            let home = places.home(bits);
            let other = places.other(home, tag);
            prop_assert!(home < places.buckets() && other < places.buckets());
            prop_assert_ne!(home, other);
            prop_assert_eq!(places.other(other, tag), home);
        }
    }

    #[test]
    fn tags_spread_the_others_of_one_bucket_over_the_table() {
        let places = Places::for_buckets(1000.0).unwrap();
        let others: std::collections::HashSet<u32> =
            (0..=u16::MAX).map(|tag| places.other(17, tag)).collect();
        assert_eq!(others.len(), 500, "every bucket of the other parity");
    }

    #[test]
    fn too_many_buckets_are_refused() {
        assert!(Places::for_buckets(f64::from(1u32 << 31)).is_none());
        assert!(Places::for_buckets(f64::NAN).is_none());
    }
}

//! How fast connections may be opened: a token bucket that holds no more than a burst.
//!
//! Time is told once a burst and counted in units of a connection times a nanosecond times its rate,
//! so that nothing is lost to rounding, however short the bursts. It is for devices whose control
//! plane is to be spared, and for tests that must find a rate which is known.

use dataplane::clock::Nanos;
use std::num::NonZeroU32;

/// Longest time whose connections may come at once, and how many may in any case: what comes evenly is
/// not refused for coming in lumps.
const DEPTH: Nanos = Nanos(100_000);
const DEPTH_MIN: u64 = 8;

/// What a connection costs: a second in nanoseconds, at one connection a second.
const COST: u64 = 1_000_000_000;

/// A bucket that fills by `per_s` connections a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_s: u64,
    depth: u64,
    filled: u64,
    at: Option<Nanos>,
}

impl Pace {
    /// A full bucket.
    pub(super) fn new(per_s: NonZeroU32) -> Pace {
        let per_s = u64::from(per_s.get());
        let depth = (DEPTH.0 * per_s).max(DEPTH_MIN * COST);
        Pace { per_s, depth, filled: depth, at: None }
    }

    /// It is now `now`, which never goes back.
    #[inline]
    pub(super) fn pass(&mut self, now: Nanos) {
        let elapsed = now.since(self.at.replace(now).unwrap_or(now));
        let gained = elapsed.0.saturating_mul(self.per_s);
        self.filled = self.filled.saturating_add(gained).min(self.depth);
    }

    /// Takes one connection's worth; `false` if it is not there.
    #[inline]
    pub(super) fn take(&mut self) -> bool {
        let enough = self.filled >= COST;
        self.filled -= if enough { COST } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_passes_is_the_rate_and_a_bucket(per_s in 1u32..10_000_000, steps in prop::collection::vec(1u64..3_000_000, 1..200)) {
            let mut pace = Pace::new(NonZeroU32::new(per_s).expect("above 0"));
            let (mut now, mut passed) = (Nanos(5), 0u64);
            pace.pass(now);
            for step in steps {
                now = now + Nanos(step);
                pace.pass(now);
                passed += (0..10_000).take_while(|_| pace.take()).count() as u64;
            }
            let elapsed = (now.0 - 5) as f64 / 1e9;
            let bucket = (f64::from(per_s) / 1e4).max(8.0);
            prop_assert!(passed as f64 <= f64::from(per_s) * elapsed + bucket + 1e-6);
        }
    }

    #[test]
    fn a_steady_load_at_the_rate_passes_whole_and_a_little_more_does_not() {
        let refused = |load_per_s: u64| {
            let mut pace = Pace::new(NonZeroU32::new(100_000).expect("above 0"));
            let mut refused = 0;
            for index in 0..200_000 {
                pace.pass(Nanos(index * COST / load_per_s));
                refused += u64::from(!pace.take());
            }
            refused
        };
        assert_eq!(refused(100_000), 0);
        // Two seconds at 1 % more, less the bucket of 10.
        let over = refused(101_000);
        assert!((1_800..1_990).contains(&over), "{over} refused");
    }
}

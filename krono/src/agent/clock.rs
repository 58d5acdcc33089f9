//! How a clock elsewhere differs from ours, and by how much that may be wrong.
//!
//! A probe takes four readings, as NTP does (RFC 5905 §8): ours when the request left, theirs when
//! it came and when the reply left, ours when that came. Whatever the two ways took, the true
//! difference lies within half the round trip of the estimate; so the probe with the shortest round
//! trip counts.

use dataplane::clock::Nanos;
use serde::Serialize;

/// Four readings.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// On our clock: the request left.
    pub sent: Nanos,
    /// On theirs: it came.
    pub received: Nanos,
    /// On theirs: the reply left.
    pub replied: Nanos,
    /// On ours: that came.
    pub back: Nanos,
}

/// Their clock less ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Offset {
    /// The estimate, in ns.
    pub offset_ns: i64,
    /// The truth is no further from it than this, in ns.
    pub bound_ns: u64,
}

impl Probe {
    fn round_trip(&self) -> Nanos {
        self.back.since(self.sent).since(self.replied.since(self.received))
    }

    /// What it says of the clocks.
    pub fn offset(&self) -> Offset {
        let difference = |theirs: Nanos, ours: Nanos| i128::from(theirs.0) - i128::from(ours.0);
        let twice = difference(self.received, self.sent) + difference(self.replied, self.back);
        // Half a nanosecond may be lost on the way.
        let bound_ns = self.round_trip().0 / 2 + 1;
        // Two counters of nanoseconds since the start of machines: centuries fit.
        Offset { offset_ns: i64::try_from(twice / 2).unwrap_or(i64::MAX), bound_ns }
    }
}

impl Offset {
    /// The best that several probes say; `None` of none.
    pub fn best(probes: &[Probe]) -> Option<Offset> {
        probes.iter().min_by_key(|probe| probe.round_trip()).map(Probe::offset)
    }

    /// An instant of our clock, on theirs.
    pub fn theirs(&self, ours: Nanos) -> Nanos {
        Nanos(ours.0.saturating_add_signed(self.offset_ns))
    }

    /// An instant of their clock, on ours.
    pub fn ours(&self, theirs: Nanos) -> Nanos {
        Nanos(theirs.0.saturating_add_signed(self.offset_ns.saturating_neg()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probe(truth: i64, ways: [u64; 3]) -> Probe {
        let [there, stay, home] = ways;
        let sent = Nanos(1 << 40);
        let received = Nanos((sent.0 + there).saturating_add_signed(truth));
        let replied = received + Nanos(stay);
        Probe { sent, received, replied, back: sent + Nanos(there + stay + home) }
    }

    proptest! {
        /// However unequal the two ways are.
        #[test]
        fn the_truth_is_within_the_bound(
            truth in -(1i64 << 39)..1 << 39,
            ways in any::<[u32; 3]>(),
            instant in 1u64 << 41..1 << 50,
        ) {
            let offset = probe(truth, ways.map(u64::from)).offset();
            prop_assert!(offset.offset_ns.abs_diff(truth) <= offset.bound_ns, "{offset:?}");
            prop_assert_eq!(offset.ours(offset.theirs(Nanos(instant))), Nanos(instant));
        }
    }

    #[test]
    fn the_shortest_round_trip_counts() {
        let probes = [probe(500, [90, 5, 10]), probe(500, [8, 70, 6]), probe(500, [9, 1, 9])];
        assert_eq!(Offset::best(&probes), Some(Offset { offset_ns: 501, bound_ns: 8 }));
        assert_eq!(Offset::best(&[]), None);
        // A clock that is behind.
        let offset = probe(-400, [50, 3, 50]).offset();
        assert_eq!(offset, Offset { offset_ns: -400, bound_ns: 51 });
        assert_eq!(offset.theirs(Nanos(1000)), Nanos(600));
    }
}

//! How a clock elsewhere differs from ours, and by how much that may be wrong.
//!
//! A probe takes four readings, as NTP does (RFC 5905 §8): ours when the request left, theirs when
//! it came and when the reply left, ours when that came. Whatever the two ways took, the true
//! difference lies within half the round trip of the estimate; so the probe with the shortest round
//! trip counts.
//!
//! What no clock can say is a [`Lie`]: it would pass for a bound that is none. It comes of a machine
//! that was moved or suspended, of counters that differ between processors, of an agent that
//! answers what it likes; whatever of it, what was begun by such a clock proves nothing.

use dataplane::clock::Nanos;
use std::time::Duration;

/// How fast clocks may drift apart that are both well: as much as NTP slews one (RFC 5905, MAXFREQ).
const DRIFT_MAX: f64 = 500e-6;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// When it was so, on our clock.
    pub at: Nanos,
    /// The estimate, in ns.
    pub offset_ns: i64,
    /// The truth is no further from it than this, in ns.
    pub bound_ns: u64,
}

/// What a clock has said that none can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// A reply left before its request came.
    #[error("a reply of it left {0:?} before the request came")]
    Backwards(Duration),
    /// The other side has taken more than the whole round trip.
    #[error("it counted {there:?} in a round trip of {whole:?}")]
    Longer {
        /// By their clock.
        there: Duration,
        /// By ours.
        whole: Duration,
    },
    /// It is further from where it was than a drift takes it.
    #[error("it has moved by {by:?} in {elapsed:?}, where {most:?} are the most")]
    Moved {
        /// By how much.
        by: Duration,
        /// In which time.
        elapsed: Duration,
        /// Drift and both bounds.
        most: Duration,
    },
    /// It tells of an instant that is still to come.
    #[error("it is {0:?} ahead of what it said before")]
    Ahead(Duration),
    /// It tells of an instant that is long gone.
    #[error("it is {0:?} behind what it said before")]
    Behind(Duration),
}

impl Probe {
    /// Time on the way, there and back.
    fn round_trip(&self) -> Result<Nanos, Lie> {
        if self.replied < self.received {
            return Err(Lie::Backwards(span(self.received - self.replied)));
        }
        let (there, whole) = (self.replied - self.received, self.back.since(self.sent));
        if there > whole + drift(whole) + Nanos(1) {
            return Err(Lie::Longer { there: span(there), whole: span(whole) });
        }
        Ok(whole.since(there))
    }

    /// What it says of the clocks, with so much time on the way.
    fn offset(&self, round_trip: Nanos) -> Offset {
        let difference = |theirs: Nanos, ours: Nanos| i128::from(theirs.0) - i128::from(ours.0);
        let twice = difference(self.received, self.sent) + difference(self.replied, self.back);
        // Half a nanosecond may be lost on the way.
        let bound_ns = round_trip.0 / 2 + 1;
        // Two counters of nanoseconds since the start of machines: centuries fit.
        let offset_ns = i64::try_from(twice / 2).unwrap_or(i64::MAX);
        Offset { at: self.back, offset_ns, bound_ns }
    }
}

impl Offset {
    /// The best that several probes say; `None` of none.
    ///
    /// # Errors
    /// When one of them is a lie.
    pub fn best(probes: &[Probe]) -> Result<Option<Offset>, Lie> {
        let mut best: Option<(Nanos, &Probe)> = None;
        for probe in probes {
            let round_trip = probe.round_trip()?;
            if best.is_none_or(|(shortest, _)| round_trip < shortest) {
                best = Some((round_trip, probe));
            }
        }
        Ok(best.map(|(round_trip, probe)| probe.offset(round_trip)))
    }

    /// Whether a clock that was so before can be so now.
    ///
    /// # Errors
    /// When it has moved by more than drift and bounds.
    pub fn follows(&self, before: &Offset) -> Result<(), Lie> {
        let elapsed = self.at.since(before.at);
        let by = Nanos(self.offset_ns.abs_diff(before.offset_ns));
        let bounds_ns = self.bound_ns.saturating_add(before.bound_ns);
        let most = Nanos(bounds_ns.saturating_add(drift(elapsed).0));
        if by > most {
            let [by, elapsed, most] = [by, elapsed, most].map(span);
            return Err(Lie::Moved { by, elapsed, most });
        }
        Ok(())
    }

    /// Whether what was heard at `heard`, on our clock, can be of the instant `told`, on theirs;
    /// it may have taken `patience` to come.
    ///
    /// # Errors
    /// When that is still to come, or longer ago.
    pub fn allows(&self, told: Nanos, heard: Nanos, patience: Nanos) -> Result<(), Lie> {
        let told = self.ours(told);
        let doubt = Nanos(self.bound_ns) + drift(heard.since(self.at));
        if told > heard + doubt {
            return Err(Lie::Ahead(span(told - heard)));
        }
        if heard > told + doubt + patience {
            return Err(Lie::Behind(span(heard - told)));
        }
        Ok(())
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

fn drift(elapsed: Nanos) -> Nanos {
    Nanos((elapsed.0 as f64 * DRIFT_MAX) as u64)
}

fn span(nanos: Nanos) -> Duration {
    Duration::from_nanos(nanos.0)
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

    fn best(probes: &[Probe]) -> Offset {
        Offset::best(probes).expect("no lie").expect("some")
    }

    proptest! {
        /// However unequal the two ways are.
        #[test]
        fn the_truth_is_within_the_bound(
            truth in -(1i64 << 39)..1 << 39,
            ways in any::<[u32; 3]>(),
            instant in 1u64 << 41..1 << 50,
        ) {
            let offset = best(&[probe(truth, ways.map(u64::from))]);
            prop_assert!(offset.offset_ns.abs_diff(truth) <= offset.bound_ns, "{offset:?}");
            prop_assert_eq!(offset.ours(offset.theirs(Nanos(instant))), Nanos(instant));
        }
    }

    #[test]
    fn the_shortest_round_trip_counts() {
        let probes = [probe(500, [90, 5, 10]), probe(500, [8, 70, 6]), probe(500, [9, 1, 9])];
        let offset = best(&probes);
        assert_eq!((offset.offset_ns, offset.bound_ns, offset.at), (501, 8, probes[1].back));
        assert_eq!(Offset::best(&[]), Ok(None));
        // A clock that is behind.
        let offset = best(&[probe(-400, [50, 3, 50])]);
        assert_eq!((offset.offset_ns, offset.bound_ns), (-400, 51));
        assert_eq!(offset.theirs(Nanos(1000)), Nanos(600));
    }

    /// Either would pass for a bound of next to nothing.
    #[test]
    fn a_reply_takes_no_longer_than_its_round_trip() {
        let good = probe(0, [50, 3, 50]);
        let early = Probe { replied: good.received - Nanos(7), ..good };
        let lie = Lie::Backwards(Duration::from_nanos(7));
        assert_eq!(Offset::best(&[good, early]), Err(lie));
        let long = Probe { replied: good.received + Nanos(200), ..good };
        assert!(matches!(Offset::best(&[long, good]), Err(Lie::Longer { .. })));
    }

    #[test]
    fn a_clock_stays_where_drift_and_bounds_leave_it() {
        let before = Offset { at: Nanos::SECOND, offset_ns: -40_000, bound_ns: 1_000 };
        // 500 us may a clock drift in a second, and 1 us is the bound of either probe.
        let after = |offset_ns| Offset { at: Nanos(2 * Nanos::SECOND.0), offset_ns, ..before };
        for (offset_ns, good) in
            [(-542_000, true), (462_000, true), (-542_001, false), (462_001, false)]
        {
            assert_eq!(after(offset_ns).follows(&before).is_ok(), good, "{offset_ns}");
        }
        let (told, patience) = (Nanos(5_000_000_000), Nanos::SECOND);
        let offset = Offset { at: Nanos(5_000_000_000), offset_ns: 1_000_000, bound_ns: 10_000 };
        let allows = |heard| offset.allows(told, Nanos(heard), patience);
        assert_eq!(allows(4_999_000_000), Ok(()));
        assert_eq!(allows(4_998_980_000), Err(Lie::Ahead(Duration::from_micros(20))));
        assert_eq!(allows(5_999_000_000), Ok(()));
        assert!(
            matches!(allows(6_000_000_000), Err(Lie::Behind(_))),
            "{:?}",
            allows(6_000_000_000)
        );
    }
}

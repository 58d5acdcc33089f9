//! When a packet is due: an open loop that owes nothing to what comes back.
//!
//! The k-th instant is `start + ⌊(k·10¹² + phase) / N⌋` nanoseconds for a rate of `N` thousandths of
//! a packet per second, kept by exact integer accumulation: no division per packet and no drift,
//! however long the trial. The phase is drawn from the seed, so that cores with equal rates do not
//! beat together. A sender that cannot keep up falls behind its plan; what is more than
//! [`BACKLOG`] behind is shed and becomes `unsent`, so that a stall of the host does not turn into
//! a burst that nobody asked for.

use dataplane::clock::Nanos;

/// Furthest a sender may fall behind its plan before instants are given up.
pub const BACKLOG: Nanos = Nanos(10_000_000);

/// Thousandths of nanoseconds·packets in a second: 10⁹ ns times 10³.
const SECOND_MILLI: u64 = 1_000_000_000_000;

/// The instants of one stream of events at a constant rate.
#[derive(Clone, Debug)]
pub struct Pacer {
    next: Nanos,
    /// Whole nanoseconds between two instants, and the rest in units of `1/rate_milli` ns.
    interval: u64,
    rest: u64,
    carry: u64,
    /// Events per 1,000 s; zero means never.
    rate_milli: u64,
}

impl Pacer {
    /// Instants from `start` on at `rate` per second; `phase` (any value) shifts the first one by a
    /// fraction of an interval.
    pub fn new(start: Nanos, rate: f64, phase: u64) -> Pacer {
        let rate_milli = (rate * 1e3).round() as u64;
        if rate_milli == 0 {
            return Pacer { next: Nanos(u64::MAX), interval: 0, rest: 0, carry: 0, rate_milli };
        }
        let (interval, rest) = (SECOND_MILLI / rate_milli, SECOND_MILLI % rate_milli);
        let shift = ((u128::from(phase) * u128::from(SECOND_MILLI)) >> 64) as u64;
        let next = start + Nanos(shift / rate_milli);
        Pacer { next, interval, rest, carry: shift % rate_milli, rate_milli }
    }

    /// The next instant if it has come.
    #[inline]
    pub fn take(&mut self, now: Nanos) -> Option<Nanos> {
        if self.next > now {
            return None;
        }
        let planned = self.next;
        self.next = planned + Nanos(self.interval);
        self.carry += self.rest;
        if self.carry >= self.rate_milli {
            self.carry -= self.rate_milli;
            self.next.0 += 1;
        }
        Some(planned)
    }

    /// Whether an instant has come.
    #[inline]
    pub fn is_due(&self, now: Nanos) -> bool {
        self.next <= now
    }

    /// Gives up the instants more than [`BACKLOG`] behind `now`; returns how many.
    #[inline]
    pub fn shed(&mut self, now: Nanos) -> u64 {
        let behind = now.since(self.next);
        if behind <= BACKLOG { 0 } else { self.skip(behind.0 - BACKLOG.0) }
    }

    /// Gives up every instant that has come; returns how many.
    pub fn give_up(&mut self, now: Nanos) -> u64 {
        if self.next > now { 0 } else { self.skip(now.0 - self.next.0 + 1) }
    }

    /// Moves on by the instants that fall into `span` nanoseconds.
    #[cold]
    fn skip(&mut self, span: u64) -> u64 {
        let rate = u128::from(self.rate_milli);
        let second = u128::from(SECOND_MILLI);
        let count = (u128::from(span) * rate - u128::from(self.carry)).div_ceil(second);
        let moved = count * second + u128::from(self.carry);
        self.next.0 += (moved / rate) as u64;
        self.carry = (moved % rate) as u64;
        count as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition in the module's text, by 128-bit division.
    fn instant(k: u64, start: u64, rate_milli: u64, phase: u64) -> u64 {
        let shift = (u128::from(phase) * u128::from(SECOND_MILLI)) >> 64;
        start + ((u128::from(k) * u128::from(SECOND_MILLI) + shift) / u128::from(rate_milli)) as u64
    }

    proptest! {
        #[test]
        fn instants_follow_the_definition(rate_milli in 1u64..50_000_000_000, phase: u64, k in 1u64..3000) {
            let mut pacer = Pacer::new(Nanos(5000), rate_milli as f64 / 1e3, phase);
            let mut last = Nanos(0);
            for _ in 0..k {
                last = pacer.take(Nanos(u64::MAX - 1)).unwrap_or_default();
            }
            prop_assert_eq!(last.0, instant(k - 1, 5000, rate_milli, phase));
        }

        #[test]
        fn shedding_keeps_the_grid(rate_milli in 1_000u64..50_000_000_000, phase: u64, late in 0u64..100_000_000) {
            let mut pacer = Pacer::new(Nanos(0), rate_milli as f64 / 1e3, phase);
            let now = Nanos(instant(0, 0, rate_milli, phase) + late);
            let shed = pacer.shed(now);
            let next = pacer.take(Nanos(u64::MAX - 1)).unwrap_or_default();
            prop_assert_eq!(next.0, instant(shed, 0, rate_milli, phase));
            prop_assert!(now.since(next) <= BACKLOG, "{next:?} {now:?}");
            if shed > 0 {
                let before = instant(shed - 1, 0, rate_milli, phase);
                prop_assert!(now.0 - before >= BACKLOG.0);
            }
        }
    }

    #[test]
    fn a_second_holds_its_rate_and_no_more() {
        let mut pacer = Pacer::new(Nanos(0), 1_234_567.0, u64::MAX / 3);
        let count = std::iter::from_fn(|| pacer.take(Nanos(999_999_999))).count();
        assert_eq!(count, 1_234_567);
        assert!(!pacer.is_due(Nanos(999_999_999)));
    }

    #[test]
    fn what_is_given_up_is_what_was_due() {
        let mut taken = Pacer::new(Nanos(0), 3e6, 12345);
        let mut given = taken.clone();
        let count = std::iter::from_fn(|| taken.take(Nanos(1_000_000))).count();
        assert_eq!(given.give_up(Nanos(1_000_000)), count as u64);
        assert_eq!(given.take(Nanos(2_000_000)), taken.take(Nanos(2_000_000)));
    }

    #[test]
    fn rate_zero_is_never_due() {
        let mut pacer = Pacer::new(Nanos(0), 0.0, 7);
        assert_eq!(pacer.take(Nanos(1 << 60)), None);
        assert_eq!(pacer.shed(Nanos(1 << 60)), 0);
        assert_eq!(pacer.give_up(Nanos(1 << 60)), 0);
        assert!(!pacer.is_due(Nanos(1 << 60)));
    }
}

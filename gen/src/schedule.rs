//! When a packet is due: an open loop that owes nothing to what comes back.
//!
//! The k-th instant is `start + ⌊(k·10¹² + phase) / N⌋` nanoseconds for a rate of `N` thousandths of
//! a packet per second, kept by exact integer accumulation: no division per packet and no drift,
//! however long the trial. The phase is drawn from the seed, so that cores with equal rates do not
//! beat together. A sender that cannot keep up falls behind its plan; what is more than
//! [`BACKLOG`] behind is shed and becomes `unsent`, so that a stall of the host does not turn into
//! a burst that nobody asked for.
//!
//! A rate that changes is a [`Course`] of steps, each with a rate of its own. The part of a packet that is
//! due at the end of one is carried into the next, so that no more and no fewer packets are planned than
//! the steps add up to.

mod course;

pub use course::Course;

use course::Step;
use dataplane::clock::Nanos;

/// Furthest a sender may fall behind its plan before instants are given up.
pub const BACKLOG: Nanos = Nanos(10_000_000);

/// An instant that does not come.
const NEVER: Nanos = Nanos(u64::MAX);

/// Thousandths of nanoseconds·packets in a second: 10⁹ ns times 10³.
const SECOND_MILLI: u64 = 1_000_000_000_000;

/// A rate per second in events per 1,000 s.
fn rate_milli(per_s: f64) -> u64 {
    (per_s * 1e3).round() as u64
}

/// Up to a nanosecond and a share of one, in 2⁶⁴ths: the first instant's part of an interval.
fn part_of_interval(phase: u64) -> u64 {
    ((u128::from(phase) * u128::from(SECOND_MILLI)) >> 64) as u64
}

/// The instants of one stream of events at a rate that is constant, or in each of many steps.
#[derive(Clone, Debug)]
pub struct Pacer {
    next: Nanos,
    /// Whole nanoseconds between two instants, and the rest in units of `1/rate_milli` ns.
    interval: u64,
    rest: u64,
    carry: u64,
    /// Events per 1,000 s; zero means never.
    rate_milli: u64,
    /// End of the step under way: `next` is before it.
    until: Nanos,
    start: Nanos,
    course: Option<Course>,
}

impl Pacer {
    /// Instants from `start` on at `rate` per second; `phase` (any value) shifts the first one by a
    /// fraction of an interval.
    pub fn new(start: Nanos, rate: f64, phase: u64) -> Pacer {
        let mut pacer = Pacer {
            next: NEVER,
            interval: 0,
            rest: 0,
            carry: 0,
            rate_milli: 0,
            until: NEVER,
            start,
            course: None,
        };
        let rate_milli = rate_milli(rate);
        if rate_milli > 0 {
            pacer.proceed(start, rate_milli, part_of_interval(phase));
        }
        pacer
    }

    /// The same at the rates of `course`, which begins at `start`.
    pub fn shaped(start: Nanos, course: Course, phase: u64) -> Pacer {
        let mut pacer = Pacer { until: start, course: Some(course), ..Pacer::new(start, 0.0, 0) };
        pacer.turn(u128::from(part_of_interval(phase)));
        pacer
    }

    /// Goes on at a rate from `begin` on, where `owed` 10⁻¹² of a packet are to pass before the next.
    fn proceed(&mut self, begin: Nanos, rate_milli: u64, owed: u64) {
        (self.interval, self.rest) = (SECOND_MILLI / rate_milli, SECOND_MILLI % rate_milli);
        self.rate_milli = rate_milli;
        self.next = begin + Nanos(owed / rate_milli);
        self.carry = owed % rate_milli;
    }

    /// Goes on at the rate of the step in which `owed` 10⁻¹² of a packet, counted from the end of the step
    /// under way, have passed; never, where there is no such step.
    fn turn(&mut self, mut owed: u128) {
        while let Some(Step { rate_milli, end }) = self.course.as_mut().and_then(Course::step) {
            let begin = self.until;
            self.until = self.start + end;
            let passing = u128::from(rate_milli) * u128::from(self.until.0 - begin.0);
            if owed < passing {
                // Of one packet: less than 10¹² and a nanosecond's worth.
                return self.proceed(begin, rate_milli, owed as u64);
            }
            owed -= passing;
        }
        (self.next, self.until) = (NEVER, NEVER);
    }

    /// What is owed of the next packet at the end of the step, which its instant is beyond.
    #[cold]
    fn turn_over(&mut self) {
        let beyond = u128::from(self.next.0 - self.until.0);
        self.turn(beyond * u128::from(self.rate_milli) + u128::from(self.carry));
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
        if self.next >= self.until {
            self.turn_over();
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
        if behind <= BACKLOG { 0 } else { self.skip(Nanos(now.0 - BACKLOG.0)) }
    }

    /// Gives up every instant that has come; returns how many.
    pub fn give_up(&mut self, now: Nanos) -> u64 {
        if self.next > now { 0 } else { self.skip(now + Nanos(1)) }
    }

    /// Moves on by the instants before `end`, step by step; returns how many.
    #[cold]
    fn skip(&mut self, end: Nanos) -> u64 {
        let mut skipped = 0;
        while self.next < end {
            let span = end.min(self.until).0 - self.next.0;
            let rate = u128::from(self.rate_milli);
            let second = u128::from(SECOND_MILLI);
            let count = (u128::from(span) * rate - u128::from(self.carry)).div_ceil(second);
            let moved = count * second + u128::from(self.carry);
            self.next.0 += (moved / rate) as u64;
            self.carry = (moved % rate) as u64;
            skipped += count as u64;
            if self.next >= self.until {
                self.turn_over();
            }
        }
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::plan::Shape;
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

    fn shapes() -> impl Strategy<Value = Shape> {
        let ms = 1_000_000;
        prop_oneof![
            (0.0..=2.0).prop_map(|from| Shape::Ramp { from }),
            (0.01..=1.0, 1u64..=4)
                .prop_map(move |(swing, n)| Shape::Wave { swing, period_ns: 240 * ms / n }),
            (1u64..=9).prop_map(move |on| Shape::Bursts { on_ns: on * ms, off_ns: (10 - on) * ms }),
        ]
    }

    proptest! {
        #[test]
        fn shaped_instants_follow_the_sum_of_the_steps(
            shape in shapes(), rate in 100.0..500_000.0, phase: u64, start in 0u64..1 << 40,
        ) {
            let (span, start) = (Nanos(240_000_000), Nanos(start));
            prop_assert_eq!(shape.problem(span.0), None);
            // The definition, by 128-bit division in each step.
            let (mut course, mut expected) = (Course::new(shape, rate, span), Vec::new());
            let second = u128::from(SECOND_MILLI);
            let (mut begin, mut passed) = (0, second - u128::from(part_of_interval(phase)));
            while let Some(Step { rate_milli, end }) = course.step() {
                let rate = u128::from(rate_milli);
                let passing = passed + rate * u128::from(end.0 - begin);
                for k in passed.div_ceil(second).max(1)..passing.div_ceil(second) {
                    let at = (k * second - passed) / rate;
                    expected.push(start + Nanos(begin + at as u64));
                }
                (begin, passed) = (end.0, passing);
            }
            let mut pacer = Pacer::shaped(start, Course::new(shape, rate, span), phase);
            let mut given_up = pacer.clone();
            let taken: Vec<Nanos> = std::iter::from_fn(|| pacer.take(Nanos(u64::MAX - 1))).collect();
            prop_assert_eq!(&taken, &expected);
            // As many as the mean rate has, and as many again if nobody takes them.
            let planned = rate * span.as_secs_f64();
            prop_assert!((taken.len() as f64 - planned).abs() <= 2.0, "{} {planned}", taken.len());
            let halfway = start + Nanos(span.0 / 2);
            let before = given_up.give_up(halfway);
            prop_assert_eq!(before, taken.iter().filter(|&&instant| instant <= halfway).count() as u64);
            prop_assert_eq!(before + given_up.give_up(start + span), taken.len() as u64);
        }
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

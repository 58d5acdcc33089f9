//! The only reader of time. Everything else is told what time it is.
//!
//! [`Tsc`] reads the processor's time stamp counter, calibrated once against the kernel's monotonic
//! clock, so that two processes on one host agree on it. [`Virtual`] is set by its owner.

use crate::cpu;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Nanoseconds since the clock's origin.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// One second.
    pub const SECOND: Nanos = Nanos(1_000_000_000);
    /// One millisecond.
    pub const MILLISECOND: Nanos = Nanos(1_000_000);

    /// Time since `earlier`, zero if that is in the future.
    #[inline]
    pub fn since(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// As seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for Nanos {
    type Output = Nanos;
    #[inline]
    fn add(self, other: Nanos) -> Nanos {
        Nanos(self.0 + other.0)
    }
}

impl Sub for Nanos {
    type Output = Nanos;
    #[inline]
    fn sub(self, other: Nanos) -> Nanos {
        Nanos(self.0 - other.0)
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Nanos {
        Nanos(duration.as_nanos() as u64)
    }
}

/// A source of time.
pub trait Clock {
    /// Nanoseconds since the clock's origin; never goes back.
    fn now(&self) -> Nanos;
}

/// The time stamp counter, scaled to nanoseconds by one multiplication.
#[derive(Clone, Copy, Debug)]
pub struct Tsc {
    origin: u64,
    /// Nanoseconds per cycle in 2⁻³² units.
    scale: u64,
}

impl Tsc {
    /// Calibrates against the kernel's monotonic clock for 20 ms; the error is below 10⁻⁵.
    pub fn calibrate() -> Tsc {
        let (t0, c0) = Self::pair();
        std::thread::sleep(Duration::from_millis(20));
        let (t1, c1) = Self::pair();
        let nanos = (t1 - t0).as_nanos() as f64;
        let scale = (nanos / (c1 - c0) as f64 * (1u64 << 32) as f64) as u64;
        Tsc { origin: c0, scale }
    }

    /// One reading of both clocks, the closest of several so that a preemption does not tear them.
    fn pair() -> (Instant, u64) {
        (0..16)
            .map(|_| {
                let before = cpu::cycles();
                let instant = Instant::now();
                let after = cpu::cycles();
                (after - before, instant, before + (after - before) / 2)
            })
            .min_by_key(|&(width, _, _)| width)
            .map(|(_, instant, cycles)| (instant, cycles))
            .expect("sixteen readings were taken")
    }

    /// Counter frequency in Hz.
    pub fn hz(&self) -> f64 {
        1e9 * (1u64 << 32) as f64 / self.scale as f64
    }

    /// Cycles the counter advances in `span`.
    pub fn cycles(&self, span: Nanos) -> f64 {
        span.0 as f64 * self.hz() / 1e9
    }
}

/// Text that is no clock.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no clock: expected ORIGIN,SCALE, two whole numbers, the second above 0")]
pub struct NotAClock(String);

impl fmt::Display for Tsc {
    /// What another process of this host needs to tell the same time: the counter at the origin, and
    /// nanoseconds per cycle in 2⁻³² units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.origin, self.scale)
    }
}

impl FromStr for Tsc {
    type Err = NotAClock;
    fn from_str(text: &str) -> Result<Tsc, NotAClock> {
        let parts = text.split_once(',').and_then(|(origin, scale)| {
            Some(Tsc { origin: origin.parse().ok()?, scale: scale.parse().ok()? })
        });
        parts.filter(|clock| clock.scale > 0).ok_or_else(|| NotAClock(text.to_owned()))
    }
}

impl Clock for Tsc {
    #[inline]
    fn now(&self) -> Nanos {
        let cycles = cpu::cycles().saturating_sub(self.origin);
        Nanos(((u128::from(cycles) * u128::from(self.scale)) >> 32) as u64)
    }
}

/// Time that its owner sets.
#[derive(Debug, Default)]
pub struct Virtual(Cell<u64>);

impl Virtual {
    /// Moves time on by `span`.
    pub fn advance(&self, span: Nanos) {
        self.0.set(self.0.get() + span.0);
    }
}

impl Clock for Virtual {
    fn now(&self) -> Nanos {
        Nanos(self.0.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calibrated_counter_agrees_with_the_kernel() {
        let tsc = Tsc::calibrate();
        let (start, begin) = (Instant::now(), tsc.now());
        std::thread::sleep(Duration::from_millis(50));
        let (kernel, ours) = (start.elapsed().as_nanos() as f64, tsc.now().since(begin).0 as f64);
        assert!((ours / kernel - 1.0).abs() < 0.01, "kernel {kernel} ns, counter {ours} ns");
    }

    #[test]
    fn a_clock_handed_to_another_process_tells_the_same_time() {
        let tsc = Tsc::calibrate();
        let other: Tsc = tsc.to_string().parse().unwrap();
        let (before, between, after) = (tsc.now(), other.now(), tsc.now());
        assert!(before <= between && between <= after, "{before:?} {between:?} {after:?}");
        for text in ["", "1", "1,0", "1,x", "-1,1"] {
            let error = text.parse::<Tsc>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("ORIGIN,SCALE"), "{error}");
        }
    }

    #[test]
    fn virtual_time_moves_only_when_told() {
        let clock = Virtual::default();
        assert_eq!(clock.now(), Nanos(0));
        clock.advance(Nanos::MILLISECOND);
        assert_eq!(clock.now(), Nanos(1_000_000));
    }
}

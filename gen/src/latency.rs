//! Latency of one trial, from the instant a packet was planned for to the step that received it.
//!
//! An HdrHistogram of two significant digits from 1 ns to 10 s, allocated once: 3 digits would take
//! 200 KiB and leave the cache. Longer latencies count as 10 s.

use dataplane::clock::Nanos;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latency that longer ones are counted as.
pub const LATENCY_MAX: Nanos = Nanos(10_000_000_000);

/// Latencies of one trial.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    /// Value recorded last and how often, not yet in the histogram: packets of one burst often
    /// share their latency, and then cost a comparison.
    last: u64,
    pending: u64,
}

/// What is said of a trial's latencies, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// Packets measured.
    pub count: u64,
    /// Smallest.
    pub min_ns: u64,
    /// Median.
    pub p50_ns: u64,
    /// 99 of 100 are at or below.
    pub p99_ns: u64,
    /// 999 of 1,000 are at or below.
    pub p999_ns: u64,
    /// Largest.
    pub max_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX.0, 2);
        Self { histogram: histogram.expect("1 ns to 10 s with 2 digits"), last: 0, pending: 0 }
    }
}

impl Latency {
    /// Counts one packet.
    #[inline]
    pub fn record(&mut self, latency: Nanos) {
        if latency.0 == self.last {
            self.pending += 1;
        } else {
            self.settle();
            (self.last, self.pending) = (latency.0, 1);
        }
    }

    /// Moves pending counts into the histogram.
    #[inline]
    pub fn settle(&mut self) {
        if self.pending > 0 {
            self.histogram.saturating_record_n(self.last, self.pending);
            self.pending = 0;
        }
    }

    /// What is said of them; settles first.
    pub fn quantiles(&mut self) -> Quantiles {
        self.settle();
        let h = &self.histogram;
        if h.is_empty() {
            return Quantiles::default();
        }
        Quantiles {
            count: h.len(),
            min_ns: h.min(),
            p50_ns: h.value_at_quantile(0.5),
            p99_ns: h.value_at_quantile(0.99),
            p999_ns: h.value_at_quantile(0.999),
            max_ns: h.max(),
        }
    }

    /// Buckets that are not empty: highest value in ns, and count; settles first.
    pub fn buckets(&mut self) -> Vec<(u64, u64)> {
        self.settle();
        let recorded = self.histogram.iter_recorded();
        recorded.map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_two_digits() {
        let mut latency = Latency::default();
        (1..=10_000).for_each(|us| latency.record(Nanos(us * 1000)));
        latency.record(Nanos(u64::MAX));
        let q = latency.quantiles();
        assert_eq!(q.count, 10_001);
        let near = |value: u64, truth: f64| (value as f64 / truth - 1.0).abs() < 0.01;
        assert!(near(q.min_ns, 1e3) && near(q.p50_ns, 5e6) && near(q.p99_ns, 9.9e6), "{q:?}");
        assert!(near(q.max_ns, 1e10), "{q:?}");
    }

    #[test]
    fn buckets_add_up_to_the_packets() {
        let mut latency = Latency::default();
        for ns in [5, 5, 7] {
            latency.record(Nanos(ns));
        }
        assert_eq!(latency.buckets(), [(5, 2), (7, 1)]);
    }
}

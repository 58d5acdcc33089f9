//! Latency: from the histograms of the generator cores to percentiles and to `latency.hlog`, and how
//! far it may be from the truth.
//!
//! What is measured is what the SUT takes, X, and what the generator adds, E >= 0, which a plain wire
//! shows alone. Whatever the two have to do with each other, the q-quantile of their sum is at least
//! that of X, and at most the (q + a)-quantile of X plus the (1 - a)-quantile of E: of the packets,
//! 1 - q - a are beyond the one, and a beyond the other. With a = (1 - q)/10 the rank is off by a tenth
//! of the packets beyond it, and the bound of the 99th percentile is the wire's 99.9th.

use super::trials;
use crate::testbed::{Calibration, Outcome, PhaseOutcome};
use dataplane::clock::Nanos;
use format::Plan;
use format::plan::{Rate, Testbed};
use format::summary::{Latency, LatencyError};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use kronogen::latency::LATENCY_MAX;
use kronogen::stamp::TICK_SHIFT;
use kronogen::trial::Record;
use std::time::{Duration, SystemTime};

/// Percentiles over all cores and trials; nothing where no packet was measured.
pub(super) fn latency(trials: &[&PhaseOutcome]) -> Latency {
    let all = merged(trials);
    let mut min_ns: Option<u64> = None;
    for record in trials.iter().flat_map(|trial| &trial.generators) {
        let smallest = Some(record.latency.min_ns).filter(|_| record.latency.count > 0);
        min_ns = min_ns.into_iter().chain(smallest).min();
    }
    let Some(min_ns) = min_ns.filter(|_| !all.is_empty()) else { return Latency::default() };
    let us = |ns: u64| Some(ns as f64 / 1e3);
    let at = |quantile| us(all.value_at_quantile(quantile));
    Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: us(all.max()),
        min: us(min_ns),
        pdv: us(all.value_at_quantile(0.999).saturating_sub(min_ns)),
    }
}

/// Bounds of the error of each percentile; `None` where nothing was calibrated or measured.
pub(super) fn error(
    trials: &[&PhaseOutcome],
    calibration: Option<Calibration>,
) -> Option<LatencyError> {
    let (all, wire) = (merged(trials), calibration?);
    if all.is_empty() {
        return None;
    }
    // Stamps count in ticks, and both ends are rounded down; a bucket is read at its upper end.
    let us = |bound_ns: u64, value_ns: u64| {
        let bucket_ns = all.highest_equivalent(value_ns) - all.lowest_equivalent(value_ns);
        (bound_ns + (1 << TICK_SHIFT) + bucket_ns) as f64 / 1e3
    };
    let at = |bound_ns, quantile| us(bound_ns, all.value_at_quantile(quantile));
    let (min, p999) = (us(wire.p90_ns, all.min()), at(wire.p9999_ns, 0.999));
    Some(LatencyError {
        rate_mpps: wire.rate_pps / 1e6,
        packets: wire.packets,
        min,
        p50: at(wire.p95_ns, 0.5),
        p90: at(wire.p99_ns, 0.9),
        p99: at(wire.p999_ns, 0.99),
        p999,
        max: us(wire.max_ns, all.max()),
        pdv: min.max(p999),
    })
}

/// Why there is no bound.
pub(super) fn uncalibrated(plan: &Plan, outcome: &Outcome) -> &'static str {
    let rate = plan.measured_phase().map_or(Rate::None, |phase| phase.rate);
    match (rate, &plan.testbed) {
        _ if outcome.calibration.is_some() => "no latency was measured.",
        (Rate::None, _) => "the measured phase sends no data.",
        (Rate::Max, _) => {
            "at rate = \"max\" latency is that of full queues, which the wire of a calibration does \
             not have."
        }
        (_, Testbed::Sim) => "virtual time goes in steps of 10 µs.",
        (_, Testbed::Process | Testbed::Hosts(_) | Testbed::Netns) => {
            "a port of this testbed has another core at its end, and no plain wire to calibrate with."
        }
        (_, Testbed::Embedded) if plan.topology.sut_kind.is_foreign() => {
            "beside a system that others made the generator is not measured alone."
        }
        (_, Testbed::Embedded) => "the generator was not measured alone at this rate.",
    }
}

/// The content of `latency.hlog`: an interval per trial and generator core, tagged
/// `gen.SERVER.CORE`, values in nanoseconds, times relative to `started`.
///
/// # Errors
/// None in practice: the log is written to memory.
pub fn log(plan: &Plan, outcome: &Outcome, started: SystemTime) -> anyhow::Result<Vec<u8>> {
    let records = outcome.phases.iter().flat_map(|phase| &phase.generators);
    let origin = records.map(|record| record.start).min().unwrap_or(Nanos(0));
    let (mut content, mut serializer) = (Vec::new(), V2Serializer::new());
    let phase = plan.measured_phase().map_or("", |phase| phase.name.as_str());
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&format!("latency in ns from the planned instant, phase {phase}"))
        .with_base_time(started)
        .begin_log_with(&mut content, &mut serializer)?;
    for record in trials(plan, outcome).iter().flat_map(|trial| &trial.generators) {
        let mut histogram = empty();
        add(&mut histogram, record);
        let start = Duration::from_nanos(record.start.since(origin).0);
        let length = Duration::try_from_secs_f64(record.seconds).unwrap_or_default();
        let tag = format!("gen.{}.{}", record.server, record.core);
        log.write_histogram(&histogram, start, length, Tag::new(&tag))
            .map_err(|error| anyhow::anyhow!("latency.hlog: {error}"))?;
    }
    Ok(content)
}

/// The latencies of all cores and trials.
fn merged(trials: &[&PhaseOutcome]) -> Histogram<u64> {
    let mut all = empty();
    for record in trials.iter().flat_map(|trial| &trial.generators) {
        add(&mut all, record);
    }
    all
}

/// A histogram as the generator's cores have it.
pub(crate) fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX.0, 2).expect("1 ns to 10 s with 2 digits")
}

/// Adds the latencies of a record.
pub(crate) fn add(histogram: &mut Histogram<u64>, record: &Record) {
    for &(ns, count) in &record.histogram {
        histogram.saturating_record_n(ns, count);
    }
}

//! Latency: from the histograms of the generator cores to percentiles and to `latency.hlog`.

use super::trials;
use crate::testbed::{Outcome, PhaseOutcome};
use dataplane::clock::Nanos;
use format::Plan;
use format::summary::Latency;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use kronogen::latency::LATENCY_MAX;
use kronogen::trial::Record;
use std::time::{Duration, SystemTime};

/// Percentiles over all cores and trials; nothing where no packet was measured.
pub(super) fn latency(trials: &[&PhaseOutcome]) -> Latency {
    let mut all = empty();
    let mut min_ns: Option<u64> = None;
    for record in trials.iter().flat_map(|trial| &trial.generators) {
        add(&mut all, record);
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

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX.0, 2).expect("1 ns to 10 s with 2 digits")
}

fn add(histogram: &mut Histogram<u64>, record: &Record) {
    for &(ns, count) in &record.histogram {
        histogram.saturating_record_n(ns, count);
    }
}

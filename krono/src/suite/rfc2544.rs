//! RFC 2544: throughput, latency, frame loss rate and back-to-back frames (RFC 9004), frame size by
//! frame size.

use super::bench::{Base, Bench, Ended};
use super::settings::Rules;
use super::throughput::{self, STEADY, Traffic};
use super::trial::{Judge, spread};
use crate::cli::Part;
use format::genome::Genome;
use format::plan::Search;
use format::scenario::keys::Keys;
use format::suite::{BackToBack, FrameSize, LatencyAtRate, LossPoint, Trial};
use format::unit::PacketRate;
use kronogen::search::Range;
use kronogen::search::bisect::{self, Bracket};

/// Longest burst, in seconds at its rate (RFC 2544 section 26.4).
const BURST_S_MAX: f64 = 2.0;
/// Step of the frame loss rate, in percent (RFC 2544 section 26.3).
const LOSS_STEP: u32 = 10;
/// Shortest length of the trial that says what is forwarded at most, in seconds.
pub(super) const MRR_S_MIN: f64 = 0.1;

/// Runs the suite.
pub(super) fn run(
    bench: &mut Bench<'_>,
    base: &Base,
    rules: &Rules,
) -> Result<Vec<FrameSize>, Ended> {
    rules.sizes.iter().map(|size| frame_size(bench, base, rules, size)).collect()
}

/// Keys of the scenario with frames of this size.
pub(super) fn keys_of(base: &Base, size: &str) -> Keys {
    let mut keys = base.keys();
    keys.traffic.genome = Genome::Name(size.to_owned());
    keys
}

/// The traffic of a frame size, and the rates to search among.
pub(super) fn traffic_of<'a>(
    bench: &mut Bench<'_>,
    base: &'a Base,
    rules: &Rules,
    size: &str,
) -> Result<Traffic<'a>, Ended> {
    let seconds = rules.goal.initial_s.max(MRR_S_MIN);
    Traffic::new(bench, base, size, keys_of(base, size), seconds, None)
}

fn frame_size(
    bench: &mut Bench<'_>,
    base: &Base,
    rules: &Rules,
    size: &str,
) -> Result<FrameSize, Ended> {
    let traffic = traffic_of(bench, base, rules, size)?;
    let plan = traffic.at(PacketRate::Max, 1.0)?.plan;
    let mut result = FrameSize {
        frame: size.to_owned(),
        mean_frame_bytes: plan.traffic.mean_frame_bytes,
        mrr_pps: traffic.mrr_pps,
        rate_max_pps: traffic.range.max,
        ..FrameSize::default()
    };
    let throughput = traffic.search(bench, Search::Ndr, rules.goal)?;
    let ndr_pps = throughput.lower_mpps.map(|mpps| (mpps * 1e6).round());
    result.throughput = Some(throughput);
    if rules.pdr {
        let goal = rules.goal.with_loss(Search::Pdr.loss_ratio());
        result.pdr = Some(traffic.search(bench, Search::Pdr, goal)?);
    }
    if let Some(pps) = ndr_pps.filter(|_| rules.wants(Part::Latency)) {
        result.latency = Some(latency(bench, &traffic, rules, pps)?);
    }
    if rules.wants(Part::FrameLoss) {
        result.frame_loss = frame_loss(bench, &traffic, rules)?;
    }
    if rules.wants(Part::BackToBack) {
        result.back_to_back = Some(back_to_back(bench, &traffic, rules, ndr_pps)?);
    }
    Ok(result)
}

/// Latency at the throughput (section 26.2).
fn latency(
    bench: &mut Bench<'_>,
    traffic: &Traffic<'_>,
    rules: &Rules,
    ndr_pps: f64,
) -> Result<LatencyAtRate, Ended> {
    let trial_s = rules.latency_s;
    let timed = traffic.timed(bench, "latency", ndr_pps, (trial_s, rules.repetitions))?;
    let of = |value: fn(&Trial) -> Option<f64>| timed.trials.iter().filter_map(value).collect();
    let typical: Vec<f64> = of(|trial| trial.latency_us.p50);
    let mean_us = analysis::stats::mean(&typical);
    let (typical_us, worst_us) = (spread(typical), spread(of(|trial| trial.latency_us.p999)));
    let (rate_pps, throughput_share) = (timed.rate_pps, timed.throughput_share);
    Ok(LatencyAtRate { rate_pps, throughput_share, trial_s, typical_us, worst_us, mean_us })
}

/// From the highest rate down, until two in a row lose nothing (section 26.3).
fn frame_loss(
    bench: &mut Bench<'_>,
    traffic: &Traffic<'_>,
    rules: &Rules,
) -> Result<Vec<LossPoint>, Ended> {
    let mut points: Vec<LossPoint> = Vec::new();
    for percent in (1..=100 / LOSS_STEP).rev().map(|step| step * LOSS_STEP) {
        let pps = traffic.range.clamp(traffic.range.max * f64::from(percent) / 100.0);
        let key = format!("loss/{percent}-percent");
        let trial = traffic.trial(bench, &key, pps, rules.goal.final_s, Judge::Packets)?;
        let Some(phase) = throughput::data(&trial) else { continue };
        let missing = phase.planned.saturating_sub(phase.arrived) as f64;
        let loss_percent = missing / phase.planned.max(1) as f64 * 100.0;
        points.push(LossPoint { percent: percent.into(), offered_pps: pps, loss_percent });
        if points.iter().rev().take(2).filter(|point| point.loss_percent == 0.0).count() == 2 {
            break;
        }
    }
    Ok(points)
}

/// The longest bursts at the highest rate that lose nothing (RFC 9004 section 5).
fn back_to_back(
    bench: &mut Bench<'_>,
    traffic: &Traffic<'_>,
    rules: &Rules,
    ndr_pps: Option<f64>,
) -> Result<BackToBack, Ended> {
    let rate = traffic.range.max;
    let range = Range::new(1.0, rate * BURST_S_MAX);
    let (mut bursts, mut at_least, mut before) = (Vec::new(), false, Bracket::default());
    for number in 1..=rules.bursts {
        let passes = |frames: f64| {
            let key = format!("burst/{number}-{frames}-frames");
            let trial = traffic.trial(bench, &key, rate, frames / rate, Judge::Packets)?;
            Ok::<_, Ended>(trial.phase(STEADY).is_some_and(|it| it.arrived == it.planned))
        };
        before = bisect::again(range, before, rules.goal.width, passes)?;
        at_least |= before.upper.is_none();
        bursts.push(before.lower.unwrap_or(0.0));
    }
    let mean = analysis::stats::mean(&bursts);
    let buffer_s = mean.map(|frames| frames / rate).filter(|_| !at_least);
    let forwarded = ndr_pps.map_or(0.0, |pps| (pps / rate).min(1.0));
    Ok(BackToBack {
        rate_pps: rate,
        stdev_frames: stdev(&bursts),
        frames: spread(bursts),
        mean_frames: mean,
        at_least,
        buffer_s,
        // RFC 9004 section 6.3: what is forwarded meanwhile needs no buffer.
        corrected_buffer_s: buffer_s.map(|seconds| seconds * (1.0 - forwarded)),
    })
}

/// Standard deviation of a sample; `None` of fewer than two values.
fn stdev(values: &[f64]) -> Option<f64> {
    let mean = analysis::stats::mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_is_that_of_a_sample() {
        let of_eight = stdev(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert!((of_eight - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12, "{of_eight}");
        assert_eq!((stdev(&[1.0]), stdev(&[])), (None, None));
    }
}

//! RFC 8219 section 7: latency and packet delay variation at the throughput, or at the share of it at
//! which the generator is in time.

use super::bench::{Base, Bench, Ended};
use super::rfc2544::traffic_of;
use super::settings::Rules;
use super::trial::spread;
use format::plan::Search;
use format::suite::{DelaySize, Trial};

/// Runs the suite.
pub(super) fn run(
    bench: &mut Bench<'_>,
    base: &Base,
    rules: &Rules,
) -> Result<Vec<DelaySize>, Ended> {
    rules.sizes.iter().map(|size| delay_size(bench, base, rules, size)).collect()
}

fn delay_size(
    bench: &mut Bench<'_>,
    base: &Base,
    rules: &Rules,
    size: &str,
) -> Result<DelaySize, Ended> {
    let traffic = traffic_of(bench, base, rules, size)?;
    let throughput = traffic.search(bench, Search::Ndr, rules.goal)?;
    let how = (rules.latency_s, rules.repetitions);
    let timed = match throughput.lower_mpps {
        Some(mpps) => Some(traffic.timed(bench, "delay", (mpps * 1e6).round(), how)?),
        None => None,
    };
    let trials = timed.iter().flat_map(|timed| &timed.trials);
    let of = |value: fn(&Trial) -> Option<f64>| spread(trials.clone().filter_map(value).collect());
    Ok(DelaySize {
        frame: size.to_owned(),
        throughput,
        rate_pps: timed.as_ref().map(|timed| timed.rate_pps),
        throughput_share: timed.as_ref().map(|timed| timed.throughput_share),
        typical_us: of(|trial| trial.latency_us.p50),
        worst_us: of(|trial| trial.latency_us.p999),
        pdv_us: of(|trial| trial.latency_us.pdv),
    })
}

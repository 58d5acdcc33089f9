//! RFC 8219 section 7: latency and packet delay variation at the throughput.

use super::bench::{Base, Bench, Ended};
use super::rfc2544::traffic_of;
use super::settings::Rules;
use super::trial::{Judge, spread};
use format::plan::Search;
use format::suite::DelaySize;

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
    let [mut typical, mut worst, mut pdv] = [const { Vec::new() }; 3];
    if let Some(pps) = throughput.lower_mpps.map(|mpps| (mpps * 1e6).round()) {
        for number in 1..=rules.repetitions {
            let key = format!("delay/{number}-{pps}pps");
            let trial = traffic.trial(bench, &key, pps, rules.latency_s, Judge::Times)?;
            typical.extend(trial.latency_us.p50);
            worst.extend(trial.latency_us.p999);
            pdv.extend(trial.latency_us.pdv);
        }
    }
    let [typical_us, worst_us, pdv_us] = [typical, worst, pdv].map(spread);
    Ok(DelaySize { frame: size.to_owned(), throughput, typical_us, worst_us, pdv_us })
}

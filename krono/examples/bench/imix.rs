//! The NAT between links, by `krono run`, beside `rte_hash` with as many entries; and the latency it
//! adds to a plain forwarder's.

use super::programs::{Programs, ensure_valid};
use super::row::{Asked, Row, Spread, median};
use super::table;
use anyhow::Context;
use format::Summary;
use std::path::Path;

/// Rounds of each.
const ROUNDS: usize = 3;

/// Of a run's SUT core: packets a second it could do, in millions, and its cycles a packet.
fn capacity(summary: &Summary) -> anyhow::Result<(f64, f64)> {
    ensure_valid(summary)?;
    let [core] = summary.sut.cores.as_slice() else { anyhow::bail!("not one SUT core") };
    let cycles = core.cycles_per_packet.context("no cycles per packet")?;
    let hz = summary.host.tsc_hz.context("no frequency of the time stamp counter")?;
    Ok((hz as f64 / cycles / 1e6, cycles))
}

/// 1,032,192 connections, and latency at half of the rate they go through at.
pub(crate) fn a_million(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let scenario = Path::new("scenarios/imix.toml");
    let (mut mpps, mut cycles, mut lookups, mut forwarded) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let summary = programs.run(scenario, &["--set", "phase.steady.for=3s"])?;
        let (rate, per_packet) = capacity(&summary)?;
        mpps.push(rate);
        cycles.push(per_packet);
        forwarded.push(summary.throughput.forwarded_mpps.context("no rate")?);
        lookups.push(table::rte_hash(programs, "1032192")?);
    }
    let row =
        ratio_row("NAT, IMIX, 1,032,192 connections ÷ rte_hash", (&mpps, &cycles, &lookups), 0.6)?;
    let half = Spread::of(&forwarded).context("no rounds")?.median / 2.0;
    let latency = latency(programs, scenario, half)
        .unwrap_or_else(|error| Row::without_figure(LATENCY, &format!("{error:#}")));
    Ok(vec![row, latency])
}

/// 60 million connections, one run between two of `rte_hash`.
pub(crate) fn sixty_million(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let before = table::rte_hash(programs, "60000000")?;
    let summary = programs.run(Path::new("scenarios/imix-60m.toml"), &[""; 0])?;
    let after = table::rte_hash(programs, "60000000")?;
    let (mpps, cycles) = capacity(&summary)?;
    let figures = (&[mpps; 2][..], &[cycles][..], &[before, after][..]);
    Ok(vec![ratio_row("NAT, IMIX, 60 M connections ÷ rte_hash", figures, 0.9)?])
}

fn ratio_row(
    what: &str,
    (mpps, cycles, lookups): (&[f64], &[f64], &[f64]),
    asked: f64,
) -> anyhow::Result<Row> {
    let ratio = Spread::of_ratios(mpps, lookups).context("no rounds")?;
    let (mpps, lookups, cycles) = (median(mpps), median(lookups), median(cycles));
    let from = format!("{mpps:.1} / {lookups:.1} M/s; {cycles:.0} cycles a packet");
    Ok(Row::new(what, (ratio, ""), Asked::AtLeast(asked), from))
}

const LATENCY: &str = "latency added at half that rate, 99.9th percentile";

/// 99.9th percentile with the NAT, less that with a plain forwarder, at a planned rate. A pair of
/// runs counts if the generator was on time in both.
fn latency(programs: &Programs, scenario: &Path, mpps: f64) -> anyhow::Result<Row> {
    let rate = format!("phase.steady.rate={mpps:.3}Mpps");
    let p999 = |kind: &str| -> anyhow::Result<f64> {
        let kind = format!("topology.sut.kind={kind}");
        let arguments = ["--set", "phase.steady.for=3s", "--set", &rate, "--set", &kind];
        let summary = programs.run(scenario, &arguments)?;
        ensure_valid(&summary)?;
        summary.latency_us.p999.context("no latency")
    };
    let pair = || Ok((p999("krononat")?, p999("forwarder")?));
    let pairs: Vec<anyhow::Result<(f64, f64)>> = (0..ROUNDS).map(|_| pair()).collect();
    let valid: Vec<(f64, f64)> = pairs.iter().flatten().copied().collect();
    let added: Vec<f64> = valid.iter().map(|(with, without)| with - without).collect();
    let Some(added) = Spread::of(&added) else {
        return pairs.into_iter().find_map(Result::err).map_or_else(
            || anyhow::bail!("no rounds"),
            |error| Err(error.context(format!("at {mpps:.2} Mpps"))),
        );
    };
    let (with, without): (Vec<f64>, Vec<f64>) = valid.into_iter().unzip();
    let count = with.len();
    Ok(Row::new(
        LATENCY,
        (added, "us"),
        Asked::Told,
        format!(
            "{:.0} - {:.0} us at {mpps:.2} Mpps, {count} of {ROUNDS} rounds valid",
            median(&with),
            median(&without)
        ),
    ))
}

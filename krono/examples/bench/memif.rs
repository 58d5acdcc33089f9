//! The NAT over memif beside testpmd in its place, the same generator before both.

use super::programs::{Programs, ensure_valid};
use super::row::{Asked, Row, Spread, median};
use super::testpmd;
use anyhow::Context;
use format::RunOptions;
use format::plan::Testbed;
use format::summary::Bound;
use krono::scenario;
use std::path::Path;

/// Rounds of each.
const ROUNDS: usize = 3;

const SCENARIO: &str = "scenarios/imix.toml";

/// 1,032,192 connections, IMIX both ways.
pub(crate) fn rows(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let testpmd = testpmd::program()?;
    let options = RunOptions { testbed: Testbed::Process, seed: None, repeat: None };
    let settings = [("phase.steady.for", "3s")];
    let loaded = scenario::resolve(Path::new(SCENARIO), &settings, &options)
        .map_err(|refusal| anyhow::anyhow!("{SCENARIO}: {refusal:?}"))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut our_cycles, mut their_cycles) = (Vec::new(), Vec::new());
    let mut bounds = Vec::new();
    for _ in 0..ROUNDS {
        let arguments = ["--testbed", "process", "--set", "phase.steady.for=3s"];
        let summary = programs.run(Path::new(SCENARIO), &arguments)?;
        ensure_valid(&summary)?;
        ours.push(summary.throughput.forwarded_mpps.context("no rate")?);
        our_cycles.extend(summary.sut.cores.iter().filter_map(|core| core.cycles_per_packet));
        bounds.extend(summary.throughput.bound);
        let plain = testpmd::forward(&testpmd, &programs.binary("kronogen"), &loaded.plan)?;
        theirs.push(plain.mpps);
        their_cycles.push(plain.cycles);
    }
    // What is not bound by the SUT says how fast generator and memif are.
    let free = bounds.iter().filter(|&&bound| bound != Bound::Sut).count();
    let rates = format!("{:.2} / {:.2} Mpps", median(&ours), median(&theirs));
    let cycles = format!("{:.0} / {:.0} cycles", median(&their_cycles), median(&our_cycles));
    Ok(vec![
        Row::new(
            "NAT over memif, IMIX, 1,032,192 connections ÷ testpmd",
            (Spread::of_ratios(&ours, &theirs).context("no rounds")?, ""),
            Asked::AtLeast(0.7),
            format!("{rates}; bound by generator or link in {free} of {ROUNDS} rounds"),
        ),
        Row::new(
            "the same by each one's own busy cycles a packet",
            (Spread::of_ratios(&their_cycles, &our_cycles).context("no cycles")?, ""),
            Asked::Told,
            cycles,
        ),
    ])
}

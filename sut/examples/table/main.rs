//! How the flow table compares with DPDK's `rte_hash`, with Cuckoo++ and with what the machine's
//! memory allows, on one core.
//!
//! `cargo run --release -p krononat --example table -- [--entries N] [--rounds N]
//! [--json]`
//!
//! All tables are filled with the same random 16-byte keys, in turns of a slice each, and then
//! looked up in rounds: a fresh sample of keys, chosen without regard to the order of insertion (in
//! the same order a table looks a third faster than it is), goes through every table in bursts of
//! 32, present keys and absent ones. Who comes first changes from round to round. Printed are
//! medians over the rounds, and medians of the ratios within a round, which is what to trust on a
//! machine that others use too. Every hit is counted and must be right.
//!
//! A lookup in the flow table is the whole of it: hash, bucket, and the comparison with the record's
//! key, which is in an array outside. The others have keys in their own memory. All memory is
//! touched before and asked to be on 2 MiB pages; how much of each table is, is printed. The machine's
//! limit is the rate of random loads of a line from an array as large as the smallest table, or of
//! 1 GiB if that is less.

mod contenders;
mod keys;
mod limit;
mod report;
mod resident;

use clap::Parser;
use contenders::{Contender, Field};
use keys::Words;
use krononat::table::LOAD;
use limit::Limit;
use report::{Column, Report};
use std::time::Instant;

/// Compares the flow table with others, on one core.
#[derive(Parser)]
struct Args {
    /// Keys held by each table. `rte_hash` has a power of two of slots: for the same load as ours
    /// take so many, 0.8 of a Mi or of 32 Mi (26,843,545, for which it takes 5 GiB).
    #[arg(long, default_value_t = 838_860)]
    entries: u32,
    /// Rounds of lookups; medians are over them.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Lookups of each table in a round, of each kind.
    #[arg(long, default_value_t = 2_000_000)]
    lookups: usize,
    /// Load of the flow table and of Cuckoo++.
    #[arg(long, default_value_t = LOAD)]
    load: f64,
    /// Measures `rte_hash` alone, as what a NAT with as many connections is held against.
    #[arg(long)]
    only_rte_hash: bool,
    /// One JSON object for each table, with the figures of every round, instead of text.
    #[arg(long)]
    json: bool,
}

/// Largest array that stands for the machine's memory.
const LIMIT_BYTES_MAX: usize = 1 << 30;

/// Turns in which the tables are filled.
const TURNS: u32 = 64;

/// Seconds of `work`.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Fills all, a slice each in turns: millions of inserts a second, in each turn and over all.
fn fill(contenders: &mut [Box<dyn Contender>], entries: u32, report: &mut Report) {
    let mut taken = vec![0.0; contenders.len()];
    let slice = entries.div_ceil(TURNS);
    for first in (0..entries).step_by(slice as usize) {
        let end = entries.min(first.saturating_add(slice));
        let keys: Vec<Words> = (first..end).map(|id| keys::key(u64::from(id))).collect();
        for (at, (contender, taken)) in contenders.iter_mut().zip(&mut taken).enumerate() {
            let turn = seconds(|| contender.insert(&keys, first));
            report.add(at, Column::InsertTurn, keys.len() as f64 / turn / 1e6);
            *taken += turn;
        }
    }
    for (at, taken) in taken.into_iter().enumerate() {
        report.add(at, Column::Insert, f64::from(entries) / taken / 1e6);
    }
}

/// One round: each contender looks up the same present and the same absent keys.
fn round(
    number: usize,
    args: &Args,
    contenders: &mut [Box<dyn Contender>],
    limit: &Limit,
    report: &mut Report,
) {
    let present = keys::present(args.lookups, args.entries, number as u64);
    let absent = keys::absent(args.lookups, number as u64);
    let mops = |seconds: f64| args.lookups as f64 / seconds / 1e6;
    let count = contenders.len();
    for turn in 0..count {
        let at = (turn + number) % count;
        let contender = &mut contenders[at];
        let mut hits = 0;
        let positive = mops(seconds(|| hits = contender.lookup(&present)));
        assert_eq!(hits, args.lookups, "{}: present keys not found", contender.name());
        let negative = mops(seconds(|| hits = contender.lookup(&absent)));
        assert_eq!(hits, 0, "{}: absent keys found", contender.name());
        report.add(at, Column::Positive, positive);
        report.add(at, Column::Negative, negative);
    }
    report.add_limit(mops(seconds(|| limit.load(args.lookups, number as u64))));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let load = (!args.only_rte_hash).then_some(args.load);
    let Field { mut contenders, huge, missing } = Field::new(args.entries, load)?;
    let bytes = contenders.iter().map(|contender| contender.bytes()).min().unwrap_or(0);
    let bytes = bytes.min(LIMIT_BYTES_MAX);
    let limit = Limit::new(bytes)?;
    let mut report = Report::new(contenders.len());
    fill(&mut contenders, args.entries, &mut report);
    for number in 0..args.rounds {
        round(number, &args, &mut contenders, &limit, &mut report);
    }
    if args.json {
        print!("{}", report.json(&contenders, &huge, args.entries, bytes));
        for reason in missing {
            println!("{}", serde_json::json!({ "missing": reason }));
        }
        return Ok(());
    }
    if !contenders.is_empty() {
        print!("{}", report.text(&contenders, &huge, args.entries, bytes));
    }
    for reason in missing {
        println!("{reason}");
    }
    Ok(())
}

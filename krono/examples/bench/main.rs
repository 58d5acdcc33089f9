//! `make bench`: Krononat's figures on this machine in one table, each beside what is asked of it.
//!
//! Runs the programs that measure, one after the other, reads what they print for machines, and makes
//! ratios of figures that were taken beside each other; how each row comes about is in
//! `docs/bench.md`. It measures nothing itself but the packets that testpmd returns, changes nothing
//! on the machine, and never runs more than two busy threads.
//!
//! A part that this machine has no memory or program for is listed without a figure, with what is
//! missing. How far other work disturbed a part is in its rows, and in words at the end.

mod disturbance;
mod imix;
mod memif;
mod nat;
mod programs;
mod row;
mod table;
mod testpmd;

use clap::{Parser, ValueEnum};
use disturbance::Watch;
use krono::machine::Machine;
use programs::Programs;
use row::Row;
use std::process::ExitCode;
use std::time::Instant;

/// Krononat's figures on this machine, with ratios and spread.
#[derive(Parser)]
#[command(after_help = "Example:\n  cargo run --release -p krono --example bench -- --only setup")]
struct Arguments {
    /// Adds what takes minutes and gigabytes: the NAT with 60 million connections.
    #[arg(long)]
    full: bool,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// One JSON object for each row instead of the table.
    #[arg(long)]
    json: bool,
}

/// What is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The flow table beside `rte_hash`, 32 Mi slots.
    Table32m,
    /// The same with 1 Mi slots.
    Table1m,
    /// The NAT between links beside `rte_hash`, and the latency it adds.
    Imix,
    /// The same with 60 million connections.
    Imix60m,
    /// The NAT over memif beside testpmd.
    Memif,
    /// Resident memory with 60 million connections.
    Memory,
    /// Connections opened a second.
    Setup,
    /// The longest step.
    Longest,
}

/// Parts with a figure in the table, in its order.
const PARTS: [Part; 8] = [
    Part::Table32m,
    Part::Table1m,
    Part::Imix,
    Part::Imix60m,
    Part::Memif,
    Part::Memory,
    Part::Setup,
    Part::Longest,
];

impl Part {
    /// What is missing here for this part.
    fn lacks(self, full: bool, available_bytes: Option<u64>) -> Option<String> {
        let gib = match self {
            Part::Table32m => 6,
            Part::Imix60m if !full => return Some("only with `make bench FULL=1`".to_owned()),
            Part::Imix60m => 7,
            Part::Memory => 4,
            _ => 1,
        };
        let available = available_bytes?;
        (available < gib << 30).then(|| {
            let there = available as f64 / f64::from(1 << 30);
            format!("it takes {gib} GiB of memory, {there:.1} are available")
        })
    }

    fn measure(self, programs: &Programs) -> anyhow::Result<Vec<Row>> {
        match self {
            Part::Table32m => table::large(programs),
            Part::Table1m => table::small(programs),
            Part::Imix => imix::a_million(programs),
            Part::Imix60m => imix::sixty_million(programs),
            Part::Memif => memif::rows(programs),
            Part::Memory => nat::memory(programs),
            Part::Setup => nat::setup(programs),
            Part::Longest => nat::longest(programs),
        }
    }

    fn rows(self, arguments: &Arguments, programs: &Programs) -> Vec<Row> {
        let name = format!("{self:?}").to_lowercase();
        if let Some(why) = self.lacks(arguments.full, Machine::this().memory_available_bytes()) {
            return vec![Row::without_figure(&name, &why)];
        }
        eprint!("{name} ... ");
        let (watch, start) = (Watch::start(), Instant::now());
        let measured = self.measure(programs);
        let disturbance = watch.end();
        eprintln!("{:.0} s, {disturbance}", start.elapsed().as_secs_f64());
        match measured {
            Ok(mut rows) => {
                rows.iter_mut().for_each(|row| row.disturbance = Some(disturbance));
                rows
            }
            Err(error) => vec![Row::without_figure(&name, &format!("{error:#}"))],
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let programs = match Programs::beside_this() {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("bench: {error:#}");
            return ExitCode::from(3);
        }
    };
    let wanted = |part: &Part| arguments.only.is_empty() || arguments.only.contains(part);
    let watch = Watch::start();
    let rows: Vec<Row> = PARTS
        .into_iter()
        .filter(wanted)
        .flat_map(|part| part.rows(&arguments, &programs))
        .collect();
    if arguments.json {
        rows.iter().for_each(|row| println!("{}", row.json()));
    } else {
        print!("{}", row::table(&rows));
        println!("{}", watch.end().in_words());
    }
    ExitCode::SUCCESS
}

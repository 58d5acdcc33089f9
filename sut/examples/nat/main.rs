//! What the NAT costs by itself, without network or generator: the headers are in the first-level
//! cache, and time is what each measurement says it is.
//!
//! `cargo run --release -p krononat --example nat -- [forward | setup | longest | memory | sharing]`
//!
//! - `forward` (without any word the same): cycles a packet of a uniformly random connection, half
//!   of the packets in each direction;
//! - `setup`: connections opened a second while a million is held, and what their end costs;
//! - `longest`: how long a single step and a single turn of housekeeping take at most;
//! - `memory`: resident bytes for each connection, as the kernel counts them;
//! - `sharing`: packets a second of all processors, each with its own table or all with one.
//!
//! With `--json` one object on a line instead of text, for `make bench`. Nothing is judged here.

mod forward;
mod longest;
mod memory;
mod rig;
mod setup;
mod sharing;

use clap::{Args, Parser, Subcommand};
use std::fmt::Display;

#[derive(Parser)]
#[command(about = "What the NAT costs by itself")]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Subcommand)]
enum What {
    /// Cycles a packet of connections that stand (default)
    Forward,
    /// Connections opened a second
    Setup,
    /// The longest step and the longest turn of housekeeping
    Longest,
    /// Resident bytes a connection
    Memory,
    /// Packets a second of all processors, sharing nothing or a table under a lock
    Sharing,
}

/// How much of it.
#[derive(Args)]
struct Options {
    /// Connections held.
    #[arg(long, global = true, default_value_t = 1_032_192)]
    connections: u32,
    /// Rounds; figures are medians over them, or for `longest` the least of them.
    #[arg(long, global = true, default_value_t = 9)]
    rounds: usize,
    /// Bursts of 32 packets in a round.
    #[arg(long, global = true, default_value_t = 100_000)]
    bursts: usize,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
}

impl Options {
    /// Prints a result one way or the other.
    fn print(&self, json: &serde_json::Value, text: impl Display) {
        if self.json {
            println!("{json}");
        } else {
            println!("{text}");
        }
    }
}

/// Least, median and greatest.
fn spread(figures: &[f64]) -> [f64; 3] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    [sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
}

fn main() {
    let Arguments { what, options } = Arguments::parse();
    assert!(options.connections > 0 && options.rounds > 0 && options.bursts > 0, "none of it");
    match what.unwrap_or(What::Forward) {
        What::Forward => forward::measure(&options),
        What::Setup => setup::measure(&options),
        What::Longest => longest::measure(&options),
        What::Memory => memory::measure(&options),
        What::Sharing => sharing::measure(&options),
    }
}

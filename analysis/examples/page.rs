//! How long a report of many sample rows takes, and how large its page is.
//!
//! `cargo run --release -p analysis --example page [ROWS]` writes a run of 1,000,000 rows, or as
//! many as asked for, makes its report five times, as `krono report` does, and prints what each
//! took. The figure of `docs/report.md` is the median of these.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use anyhow::Context as _;
use std::time::Instant;

/// How often the report is made.
const TIMES: usize = 5;

fn main() -> anyhow::Result<()> {
    let asked = std::env::args().nth(1);
    let rows = asked.map_or(Ok(1_000_000), |text| text.parse()).context("ROWS is no number")?;
    let dir = tempfile::tempdir()?;
    fixture::many(dir.path(), rows);
    for _ in 0..TIMES {
        let begin = Instant::now();
        let page = analysis::report::write(dir.path())?.page;
        let took_s = begin.elapsed().as_secs_f64();
        println!("{rows} rows: {took_s:.2} s, {} bytes", std::fs::metadata(page)?.len());
    }
    Ok(())
}

//! `krono-analysis`: writes the report of run directories, on any machine.

#![forbid(unsafe_code)]

use analysis::report;
use anyhow::{Context, Result};
use clap::Parser;
use std::path::PathBuf;

/// Writes report.html and its plots into each run directory and prints the path.
#[derive(Parser)]
#[command(
    name = "krono-analysis",
    version,
    after_help = "Example:\n  krono-analysis results/2026-11-23-imix-lab1\n  \
                  krono-analysis results/*-scale-cores-* --out scale.html"
)]
struct Args {
    /// Run directories, as `krono run` wrote them.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// One page of all runs; without it only each run's own page is written.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    for run in &args.runs {
        let path = report::write(run).context("no report written")?;
        println!("{}", path.display());
    }
    if let Some(out) = &args.out {
        report::write_all(&args.runs, out).context("no joint report written")?;
        println!("{}", out.display());
    }
    Ok(())
}

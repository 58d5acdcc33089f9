//! `krono-analysis`: what `krono` does with finished runs, on any machine.

#![forbid(unsafe_code)]

use analysis::command::{self, Outcome, Unusable};
use analysis::picture::Painter;
use analysis::report;
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes report.html and its plots into each run directory and prints the path.
#[derive(Parser)]
#[command(
    name = "krono-analysis",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  krono-analysis results/2026-11-23-imix-lab1\n  \
                  krono-analysis results/*-scale-cores-* --out scale.html"
)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Run directories, as `krono run` wrote them.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// One page of all runs; without it only each run's own page is written.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the plots of what is written to this folder as well, as PNG
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Set two runs side by side, or many beside the first
    #[command(after_help = "Example:\n  krono-analysis compare results/a results/b")]
    Compare(command::Compare),
    /// Write the figures of runs in a format that others read
    #[command(after_help = "Example:\n  krono-analysis export results/a --to junit > junit.xml")]
    Export(command::Export),
    /// Keep the figures of runs in a file of JSON lines
    #[command(after_help = "Example:\n  krono-analysis history add results/a --to lab.ndjson")]
    History(command::History),
    /// Say where the level of a history changed, and between which revisions
    #[command(after_help = "Example:\n  krono-analysis trend lab.ndjson")]
    Trend(command::Trend),
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(command) = &args.command {
        return Ok(ExitCode::from(answer(match command {
            Command::Compare(args) => command::compare(args),
            Command::Export(args) => command::export(args),
            Command::History(args) => command::history(args),
            Command::Trend(args) => command::trend(args),
        })));
    }
    // Before anything is written: whether this machine can.
    let painter = args.png.as_ref().map(|_| Painter::new()).transpose()?;
    let mut plots = Vec::new();
    for written in report::write_each(&args.runs).context("no report written")? {
        println!("{}", written.page.display());
        plots.extend(written.plots);
    }
    if let Some(out) = &args.out {
        let written = report::write_all(&args.runs, out).context("no joint report written")?;
        println!("{}", written.page.display());
        plots = written.plots;
    }
    if let (Some(painter), Some(to)) = (&painter, &args.png) {
        for path in report::write_pictures(painter, &plots, to).context("no picture written")? {
            println!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a command has to say; its exit code.
fn answer(outcome: Result<Outcome, Unusable>) -> u8 {
    match outcome {
        Ok(Outcome { text, code, notes }) => {
            for note in notes {
                let _ = writeln!(io::stderr(), "{note}");
            }
            // Nobody reads it any more: no reason to fail.
            let _ = io::stdout().write_all(text.as_bytes());
            code
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            command::USAGE
        }
    }
}
